"""The examples of docs/mapping.md do what the page says."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from psastream.system import Tried, tried_row
from schemas.mapping.compiled import ObjectMapping
from schemas.mapping.loader import load_system
from schemas.mapping.sql_words import FUNCTIONS
from tests.support.catalogue import ID_FORMS

PAGE = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```(.*?)(?=```yaml|\Z)", PAGE, re.DOTALL)
EXAMPLES = [
    (mapping, row, becomes)
    for mapping, rest in BLOCKS
    for row, becomes in re.findall(r"^\| `(\{.*\})` \| (.*) \|$", rest, re.MULTILINE)
]


@cache
def mappings(text: str) -> tuple[ObjectMapping, ...]:
    return load_system(text, {}, ID_FORMS).mappings


def tried(text: str, row: str) -> Tried:
    return tried_row(mappings(text)[-1], None, json.loads(row))


@pytest.mark.parametrize(("text", "row", "becomes"), EXAMPLES)
def test_a_row_becomes_what_the_page_says(text: str, row: str, becomes: str) -> None:
    found = tried(text, row)
    if becomes.startswith("waits: "):
        assert (f"waits: {found.waits}", found.records) == (becomes, {})
        return
    assert found.waits is None
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
    assert len(BLOCKS) == 3
    assert len(EXAMPLES) == 14


def test_the_functions_are_those_there_are() -> None:
    [listed] = re.findall(r"<!-- begin functions -->\n(.*)\n<!-- end functions -->", PAGE)
    assert listed == ", ".join(sorted(FUNCTIONS))
