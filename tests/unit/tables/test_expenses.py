"""What an expense adds to the margin of its project, and takes back."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE
from tests.support.histories import PROJECT_IDS, PSA_PROJECTS, Change, Feeder
from tests.support.topology import FixedRegistry, Topology

REGISTRY = FixedRegistry()
GROUPS = make_groups([], REGISTRY, LANDSCAPE)
PROJECT = {"source_system": "inhouse", "project_id": PROJECT_IDS[0], "status": "active"}
EXPENSE = {
    "project_ref": PSA_PROJECTS[0],
    "spent_on": date(2026, 11, 3),
    "amount": Decimal(70),
    "currency": "EUR",
    "is_billable": True,
    "status": "approved",
}


def margins(*versions: dict[str, Any] | None) -> list[tuple[object, object]]:
    """Revenue and cost of the margin rows after these versions of one expense."""
    topology = Topology(GROUPS, REGISTRY)
    feeder = Feeder(topology)
    feeder.feed(Change("project", PSA_PROJECTS[0], PROJECT))
    for version in versions:
        feeder.feed(Change("expense", "inhouse:expense:1", version))
        topology.run()
    rows = topology.table("psa.metric.project_margin").values()
    return [(row["revenue"], row["cost"]) for row in rows if row["cost"]]


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ([EXPENSE], [(70, 70)]),
        ([{**EXPENSE, "is_billable": False}], [(0, 70)]),
        ([{**EXPENSE, "status": "submitted"}], []),
        ([EXPENSE, {**EXPENSE, "amount": Decimal(50)}], [(50, 50)]),
        ([EXPENSE, {**EXPENSE, "is_billable": False}], [(0, 70)]),
        ([EXPENSE, {**EXPENSE, "status": "rejected"}], []),
        ([EXPENSE, None], []),
    ],
)
def test_an_expense_counts_as_it_is_now(
    versions: list[dict[str, Any] | None], found: list[tuple[int, int]]
) -> None:
    assert margins(*versions) == found


def test_an_expense_without_a_position_in_its_source_takes_none() -> None:
    topology = Topology(GROUPS, REGISTRY)
    ref, expense = PSA_PROJECTS[0], "inhouse:expense:1"
    topology.put("psa.project", ref, {"id": ref, **PROJECT}, ref)
    topology.put("psa.expense", expense, {"id": expense, **EXPENSE}, ref)
    topology.run()
    [row] = topology.table("psa.metric.project_margin").values()
    assert (row["cost"], row["source_position"]) == (70, 0)
