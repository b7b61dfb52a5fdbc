"""The first amounts of a total: nothing stood there before, to the last unit of money."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from streams.groups import make_groups
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import Partial
from tables.rollup import RollupTable
from tests.support.catalogue import LANDSCAPE
from tests.support.histories import PROJECT_IDS, PSA_PROJECTS, Change, Feeder
from tests.support.topology import FixedRegistry, MemoryState, Topology

PROJECT = {"source_system": "inhouse", "project_id": PROJECT_IDS[0], "status": "active"}
MICRO = Decimal("0.000001")


@pytest.mark.parametrize(
    ("seconds", "micros"),
    [
        (18, 0),  # half a millionth goes to the even neighbour; a unit more would go up
        (54, 2),  # one and a half; a unit less would go down
    ],
)
def test_the_first_cost_and_revenue_of_a_month_are_exact_to_the_unit(
    seconds: int, micros: int
) -> None:
    registry = FixedRegistry()
    topology = Topology(make_groups([], registry, LANDSCAPE), registry)
    feeder = Feeder(topology)
    feeder.feed(Change("project", PSA_PROJECTS[0], PROJECT))
    entry = {
        "project_ref": PSA_PROJECTS[0],
        "resource_id": "res-1",
        "work_on": date(2026, 11, 3),
        "hours": Decimal("0.01"),
        "seconds": seconds,
        "bill_rate": Decimal("0.0001"),
        "cost_rate": Decimal("0.0001"),
        "currency": "EUR",
        "status": "approved",
        "is_billable": True,
    }
    feeder.feed(Change("time_entry", "inhouse:time_entry:1", entry))
    topology.run()
    (row,) = topology.table("psa.metric.project_margin").values()
    assert row["seconds"] == seconds
    assert (row["revenue"], row["cost"]) == (micros * MICRO, micros * MICRO)


def deals(count: int | None) -> Partial:
    return Partial(
        measure="pipeline",
        dimension="won|EUR",
        source="s",
        count=count,
        amount=Decimal(5),
        weighted_amount=Decimal(2),
    )


@pytest.mark.parametrize(
    ("counts", "row"),
    [
        ([], None),
        ([0], None),
        ([None], None),
        ([1], ("won", "EUR", 1, Decimal(5), Decimal(2))),
        ([0, 1], ("won", "EUR", 1, Decimal(5), Decimal(2))),
        ([1, 1], ("won", "EUR", 2, Decimal(10), Decimal(4))),
        ([2], ("won", "EUR", 2, Decimal(5), Decimal(2))),
    ],
)
def test_a_stage_has_a_row_as_soon_as_and_as_long_as_it_has_a_deal(
    counts: list[int | None], row: tuple[object, ...] | None
) -> None:
    outbox = Outbox()
    table = RollupTable(Documents(MemoryState()), outbox)
    for number, count in enumerate(counts):
        table.apply_partial(f"pipeline|won|EUR|{number}", deals(count), 0)
    table.settle(0)
    names = ("stage", "currency", "opportunities", "amount", "weighted_amount")
    found = [
        tuple(row[name] for name in names)
        for columns in outbox.columns
        for row in columns.to_dicts()
    ]
    assert found == ([] if row is None else [row])
