"""Tokens of a vendor's own: each fault of a reader breaks the clause that is about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from psastream.conformance.suite import conform, read_subject
from psastream.system import read_system
from tests.conformance.bad_deltas import source_with
from tests.conformance.test_vendors import VENDORS

FAULTS: Final = {
    "moves on at once": "kept token",
    "begins from now": "lost token",
    "takes its own token for whole": "young token",
    "drops what is gone": "deletes",
}
"""Fault of the reader, and the clause that is broken by it."""
ALSO: Final = {"drops what is gone": "kept token"}
"""What else a fault breaks by its nature."""


@pytest.mark.parametrize(("fault", "clause"), FAULTS.items())
def test_a_fault_breaks_the_clause_that_is_about_it(fault: str, clause: str) -> None:
    subject = read_subject(VENDORS / "dataverse", *read_system(VENDORS / "dataverse"))
    assert subject is not None
    clauses = {*FAULTS.values()} - {ALSO.get(fault)}
    found = conform(replace(subject, source=source_with(fault)), ["account"], clauses)
    assert [finding.clause for finding in found if finding.broken] == [clause]
