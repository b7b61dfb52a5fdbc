"""Each fault of a bad sink breaks the clauses that are about it, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from connectors.systems import Systems
from psastream.conformance.clauses import SINK_CLAUSES
from psastream.conformance.suite import judge
from tests.conformance.bad_sink import vendor_with, write_shelves

FAULTS: Final = {
    "": set(),
    "makes one more": {"one effect", "unclear answer", "shows back"},
    "hopes for the best": {"unclear answer", "lost request", "faults told apart"},
    "says that nothing was done": {"unclear answer", "faults told apart"},
    "says that it is down": {"refusals"},
    "looks by writing": {"looks only", "unclear answer"},
    "looks at names alone": {"shows back"},
    "tells no newest": {"newest"},
    "never looks": {"one effect", "unclear answer", "lost request", "shows back"},
}
"""What a fault breaks: who cannot see what was written can keep no promise about it."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_breaks_the_clauses_that_are_about_it_alone(tmp_path: Path, fault: str) -> None:
    folder = write_shelves(tmp_path)
    system = Systems([folder]).read("visits")
    found = judge(folder, system, vendor_with(fault))
    assert {each.clause for each in found} == SINK_CLAUSES.keys()
    assert {each.clause for each in found if each.broken} == FAULTS[fault]


def test_every_clause_but_the_clients_own_is_broken_by_some_fault() -> None:
    assert SINK_CLAUSES.keys() - set().union(*FAULTS.values()) == {"writes stay"}
