"""What an audit of packages says, above all where it knows nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.audit import Verdict, told

KNOWN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "not found"}
FLAWED = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("packages", "verdict", "line"),
    [
        ([KNOWN], Verdict.CLEAN, "no advisory for 1 packages"),
        ([KNOWN, SKIPPED], Verdict.NOT_AUDITED, "NOT AUDITED: .* 1 of 2 packages"),
        ([], Verdict.NOT_AUDITED, "NOT AUDITED"),
        ([KNOWN, SKIPPED, FLAWED], Verdict.VULNERABLE, r"c 2: PYSEC-1 \(mended in 3\)"),
    ],
)
def test_what_was_passed_over_is_no_pass(
    packages: list[dict[str, Any]], verdict: Verdict, line: str
) -> None:
    answer = told({"dependencies": packages})
    assert answer.verdict is verdict
    assert re.search(line, answer.lines[0])
