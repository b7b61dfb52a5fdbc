"""The threat model: each of its lines names tests, and there are such."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.catalogue_pages import DOCS

ROOT = DOCS.parent
PAGE = (DOCS / "security.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| threat ")
]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def named_in(path: Path) -> frozenset[str]:
    found = ast.walk(ast.parse(path.read_text()))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(
        it.name for it in found if isinstance(it, kinds) and it.name.startswith("test_")
    )


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:40] for row in ROWS])
def test_each_line_names_tests_that_there_are(row: list[str]) -> None:
    threat, defence, proof = row
    assert threat and defence
    named = NAMED.findall(proof)
    assert named or "](adr/" in proof, proof
    assert len(named) == proof.count("::"), proof
    for file, test in named:
        assert test in named_in(ROOT / file), f"{file}::{test}"


def test_the_page_has_its_lines() -> None:
    assert len(ROWS) >= 20
