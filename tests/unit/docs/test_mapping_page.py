"""The examples of docs/mapping.md do what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from psastream.system import Tried, tried_row
from schemas.mapping.sql_words import FUNCTIONS
from tests.support.catalogue import load_mappings

PAGE = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text()
EXAMPLES = re.findall(r"^\| `(\{.*\})` \| (.*) \|$", PAGE, re.MULTILINE)


def tried(row: str) -> Tried:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return tried_row(load_mappings(text)["src.inhouse.works"], None, json.loads(row))


@pytest.mark.parametrize(("row", "becomes"), EXAMPLES)
def test_a_row_becomes_what_the_page_says(row: str, becomes: str) -> None:
    found = tried(row)
    if becomes.startswith("refused: "):
        assert f"refused: {found.refused}" == becomes
        return
    assert found.refused is None
    if becomes == "nothing":
        assert found.records == {}
        return
    entity, _, fields = becomes.partition(": ")
    [made] = found.records
    assert made == entity
    said = json.loads(fields.strip("`"))
    record = json.loads(json.dumps(found.records[entity], default=str))
    assert {name: record[name] for name in said} == said


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) == 6


def test_the_functions_are_those_there_are() -> None:
    [listed] = re.findall(r"<!-- begin functions -->\n(.*)\n<!-- end functions -->", PAGE)
    assert listed == ", ".join(sorted(FUNCTIONS))
