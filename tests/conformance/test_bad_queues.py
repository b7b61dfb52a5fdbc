"""Queues that tell changes: each fault of a reader breaks the clause that is about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from psastream.conformance.suite import conform, read_subject
from psastream.system import read_system
from tests.conformance.bad_queues import source_with
from tests.conformance.test_vendors import VENDORS

FAULTS: Final = {
    "deletes at once": "kept message",
    "waits for sense": "odd messages",
    "takes 404 for an error": "gone message",
}
"""Fault of the reader, and the clause that is broken by it."""


@pytest.mark.parametrize(("fault", "clause"), FAULTS.items())
def test_a_fault_breaks_the_clause_that_is_about_it(fault: str, clause: str) -> None:
    subject = read_subject(VENDORS / "adp", *read_system(VENDORS / "adp"))
    assert subject is not None
    found = conform(replace(subject, source=source_with(fault)), ["worker"], {clause})
    assert [finding.clause for finding in found if finding.broken] == [clause]
