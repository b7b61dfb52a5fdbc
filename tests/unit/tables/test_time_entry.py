"""Hours whose project comes, goes, or reaches the ERP."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from schemas.identity import engagement_of, time_bill_id
from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE
from tests.support.histories import PROJECT_IDS, PSA_PROJECTS, Change, Feeder
from tests.support.topology import FixedRegistry, Topology

REGISTRY = FixedRegistry()
GROUPS = make_groups([], REGISTRY, LANDSCAPE)
NAMES = {"project_id": PROJECT_IDS[0], "engagement_id": engagement_of(PROJECT_IDS[0])}
PROJECT = Change("project", PSA_PROJECTS[0], {"source_system": "inhouse", **NAMES})
ERP = Change("project", "netsuite:project:0", {"source_system": "netsuite", **NAMES})
ENTRY: dict[str, Any] = {
    "project_ref": PSA_PROJECTS[0],
    "resource_id": "res-1",
    "work_on": date(2026, 11, 3),
    "hours": Decimal("2.00"),
    "bill_rate": Decimal("100.0000"),
    "cost_rate": Decimal("40.0000"),
    "currency": "EUR",
    "status": "approved",
    "is_billable": True,
}


class Firm:
    """The tables, which take in each change before the next one."""

    def __init__(self, *changes: Change) -> None:
        self.tables = Topology(GROUPS, REGISTRY)
        self.feeder = Feeder(self.tables)
        self.feed(*changes)

    def feed(self, *changes: Change) -> None:
        for change in changes:
            self.feeder.feed(change)
            self.tables.run()
        self.tables.run()

    def put(self, row: dict[str, Any]) -> None:
        """Write an entry as it is; it is taken in with the next change."""
        identity = "inhouse:time_entry:1"
        self.tables.put("psa.time_entry", identity, {"id": identity, **row}, row["project_ref"])

    def states(self) -> dict[object, object]:
        rows = self.tables.table("psa.status.billing").values()
        return {row["state"]: row["entries"] for row in rows}

    def stale(self) -> int:
        return self.tables.outcomes["stale"]

    def rebuild(self) -> None:
        """Compute the project group anew."""
        self.tables.rebuild("project")

    def orders(self) -> list[object]:
        """Return the kinds of orders of time bills, in order."""
        records = self.tables.records("psa.command.netsuite")
        commands = [record for _, record in records if record is not None]
        return [each["kind"] for each in commands if ":time_bill:" in str(each["natural_key"])]

    def open_exceptions(self) -> list[str]:
        rows = self.tables.table("psa.exception")
        return [key for key, row in rows.items() if row["status"] == "open"]

    def worked(self) -> list[object]:
        return [row["hours"] for row in self.tables.table("psa.metric.project_margin").values()]


def entry(**changes: Any) -> Change:
    return Change("time_entry", "inhouse:time_entry:1", {**ENTRY, **changes})


def bill(hours: str, slot: str = "", **changes: Any) -> Change:
    """What the ERP shows of what was ordered of the entry on the first project."""
    row = {
        "time_entry_id": "inhouse:time_entry:1",
        "project_ref": PSA_PROJECTS[0],
        "time_bill_id": time_bill_id("inhouse:time_entry:1", PSA_PROJECTS[0] + slot),
        "project_id": PROJECT_IDS[0],
        "work_on": ENTRY["work_on"],
        "hours": Decimal(hours),
        "bill_rate": ENTRY["bill_rate"],
        "currency": "EUR",
    }
    return Change("time_bill", "netsuite:time_bill:1", {**row, **changes})


@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_bill_holds_beyond_its_credited_invoice_blocks_the_entry(sign: int) -> None:
    invoiced: dict[str, Any] = {
        "kind": "invoice",
        "status": "open",
        "project_ref": PSA_PROJECTS[0],
        "time_entry_id": "inhouse:time_entry:1",
        "hours": Decimal(5 * sign),
        "amount": Decimal(500 * sign),
        "currency": "EUR",
    }
    firm = Firm(PROJECT, ERP, entry(hours=Decimal(8 * sign)), bill(f"{8 * sign}"))
    assert firm.states() == {"transferred": 1}
    taken_back = {"hours": -invoiced["hours"], "amount": -invoiced["amount"]}
    firm.feed(
        Change("invoice", "netsuite:invoice:1", invoiced),
        Change("invoice", "netsuite:invoice:2", {**invoiced, **taken_back, "kind": "credit_memo"}),
    )
    assert firm.states() == {"invoiced": 1, "credited": 1, "blocked": 1}


@pytest.mark.parametrize("is_billable", [True, False])
@pytest.mark.parametrize("is_in_erp", [True, False])
def test_hours_of_a_project_that_is_deleted_count_nowhere_until_it_is_back(
    *, is_billable: bool, is_in_erp: bool
) -> None:
    firm = Firm(PROJECT, *([ERP] if is_in_erp else []), entry(is_billable=is_billable))
    before = firm.states()
    assert firm.worked() == [2]
    firm.feed(Change("project", PSA_PROJECTS[0]))
    assert (firm.states(), firm.worked()) == ({}, [])
    firm.feed(PROJECT)
    assert (firm.states(), firm.worked()) == (before, [2])


def test_an_entry_that_comes_again_is_stale_and_counts_once() -> None:
    """At the same position, as when a source topic is read again; an older version, too."""
    firm = Firm(PROJECT, ERP, entry(), entry(hours=Decimal("3.00")))
    before = firm.states(), firm.worked(), firm.stale()
    for back in (0, 1):
        firm.feed(Change("time_entry", "inhouse:time_entry:1", None, repeat=back))
    assert before == ({"ready": 1}, [3], 0)
    assert (firm.states(), firm.worked(), firm.stale()) == ({"ready": 1}, [3], 2)


@pytest.mark.parametrize(
    ("positions", "hours", "stale"),
    [
        ([1, 2, 3], 3, 0),
        ([3, 2, 1], 1, 2),
        ([2, 2, 2], 1, 2),
        ([-5, -5, -4], 3, 1),
        ([None, 1, None], 2, 1),  # what tells no position is older than what does
        ([None, None, 1], 3, 1),
        ([0, None, -1], 1, 2),
    ],
)
@pytest.mark.parametrize("is_one_chunk", [True, False])
def test_the_latest_position_of_an_entry_counts(
    positions: list[int | None], hours: int, stale: int, *, is_one_chunk: bool
) -> None:
    firm = Firm(PROJECT)
    for number, position in enumerate(positions, start=1):
        firm.put({**ENTRY, "hours": Decimal(number), "source_position": position})
        if not is_one_chunk:
            firm.feed()
    firm.feed()
    assert (firm.worked(), firm.stale()) == ([hours], stale)


def test_hours_wait_for_the_erp_to_hold_their_project_and_wait_again_without_it() -> None:
    firm = Firm(PROJECT, entry())
    assert firm.states() == {"blocked": 1}
    firm.feed(ERP)
    assert firm.states() == {"ready": 1}
    firm.feed(Change("project", ERP.id))
    assert firm.states() == {"blocked": 1}
    assert firm.worked() == [2]


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_after_a_rebuild_the_partition_of_the_project_deletes_what_a_void_invoice_frees() -> (
    None
):
    """Every partition has the bill and the line; the entry has left for a project elsewhere."""
    names = {"time_entry_id": "inhouse:time_entry:1", "project_ref": PSA_PROJECTS[0]}
    amounts = {"hours": Decimal("2.00"), "currency": "EUR"}
    line = {"kind": "invoice", "status": "open", "amount": Decimal("200.0000")}
    firm = Firm(
        PROJECT,
        ERP,
        entry(),
        bill("2.00"),
        Change("invoice", "netsuite:invoice:1", {**names, **amounts, **line}),
        entry(project_ref=PSA_PROJECTS[1]),
    )
    firm.rebuild()
    assert firm.orders() == ["upsert_time_bill"]
    firm.feed(
        Change("invoice", "netsuite:invoice:1", {**names, **amounts, **line, "status": "void"})
    )
    assert firm.orders() == ["upsert_time_bill", "delete_time_bill"]


def test_a_contract_that_cannot_be_read_is_told_until_it_is_mended_though_no_total_is_left() -> (
    None
):
    def worth(value: str) -> Change:
        terms = {"billing_type": "fixed_fee", "contract_value": Decimal(value), "currency": "EUR"}
        return Change("project", PSA_PROJECTS[0], {"source_system": "inhouse", **terms})

    names = {"time_entry_id": "inhouse:time_entry:9", "project_ref": PSA_PROJECTS[0]}
    amounts = {"hours": Decimal("2.00"), "currency": "EUR", "amount": Decimal("200.0000")}
    line = {**names, **amounts, "kind": "invoice", "status": "open"}
    identity = "netsuite:invoice:1"
    firm = Firm(worth("-100"), Change("invoice", identity, line), Change("invoice", identity))
    assert f"billing:{PSA_PROJECTS[0]}" in firm.open_exceptions()
    firm.feed(worth("100"))
    assert firm.open_exceptions() == []


def test_a_bill_that_names_another_entry_now_is_no_longer_one_of_its_first() -> None:
    other = {"time_entry_id": "inhouse:time_entry:2", "time_bill_id": None}
    firm = Firm(PROJECT, ERP, entry(), bill("2.00"))
    assert firm.states() == {"transferred": 1}
    firm.feed(bill("2.00", **other))
    assert firm.states() == {"ready": 1}


def test_nothing_is_billed_of_hours_that_do_not_say_whether_they_are_billable() -> None:
    firm = Firm(PROJECT, ERP, entry(is_billable=None))
    assert firm.orders() == []
    firm.feed(entry(is_billable=True))
    assert firm.orders() == ["upsert_time_bill"]


def test_a_project_of_the_only_erp_bills_though_nobody_told_which_one_it_is() -> None:
    firm = Firm(PROJECT, entry())
    context = {"project_id": PROJECT_IDS[0], "is_in_erp": True, "erp": None}
    identity = f"{PSA_PROJECTS[0]}|{PROJECT_IDS[0]}"
    firm.tables.put(
        "psa.internal.project_context", identity, {"id": identity, **context}, PSA_PROJECTS[0]
    )
    firm.feed()
    assert (firm.states(), firm.orders()) == ({"ready": 1}, ["upsert_time_bill"])
