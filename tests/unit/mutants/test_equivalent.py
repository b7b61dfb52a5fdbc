"""`equivalent.toml` speaks of lines that are there: a stale row excuses nothing, or another."""

import tomllib
from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.mutants.places import mutants_of
from tests.mutants.run import EQUIVALENT, PACKAGES, ROOT

ROWS: list[dict[str, Any]] = tomllib.loads(EQUIVALENT.read_text())["mutant"]
BY_FILE: dict[str, list[dict[str, Any]]] = defaultdict(list)
for _row in ROWS:
    BY_FILE[_row.get("file", "")].append(_row)


def test_each_row_names_a_line_a_change_and_a_reason() -> None:
    fields = {"file", "line", "operator", "reason"}
    wrong = [row for row in ROWS if set(row) != fields or not all(map(str.strip, row.values()))]
    assert not wrong
    assert not [row for row in ROWS if not row["file"].startswith(PACKAGES)]


def test_no_row_is_there_twice() -> None:
    rows = Counter((row["file"], row["line"], row["operator"]) for row in ROWS)
    assert not [row for row, times in rows.items() if times > 1]


@pytest.mark.parametrize("file", sorted(BY_FILE))
def test_each_row_is_a_change_that_can_be_made(file: str) -> None:
    path = ROOT / file
    lines = path.read_text().splitlines()
    possible = {(lines[it.line - 1].strip(), it.operator) for it in mutants_of(path, ROOT)}
    stale = [row for row in BY_FILE[file] if (row["line"], row["operator"]) not in possible]
    assert not stale
