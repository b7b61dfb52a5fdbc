"""What a group orders after it was computed anew is newer than all that its targets have settled.

A change that comes while no worker runs is read by the group that is computed anew, in whichever
order it reads its topics. The dispatcher leaves out what is older than what it has done.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from schemas.identity import time_bill_id
from tests.support.histories import PSA_PROJECTS, Change
from tests.support.topology import Topology
from tests.unit.tables.test_engagement import (
    ENGAGEMENT,
    ERP_PROJECT,
    commands,
    erp_project,
    legal_entity,
    topology,
    win_a_deal,
)
from tests.unit.tables.test_time_entry import ERP, PROJECT, Firm, bill, entry

OF_TIME = ["psa.time_entry", "psa.time_bill", "psa.project", "psa.internal.project_context"]
OF_DEALS = [
    "psa.opportunity",
    "psa.opportunity_line",
    "psa.legal_entity",
    "psa.internal.customer_status",
    "psa.internal.project_link",
]


def last(found: list[dict[str, Any]], key: str) -> Any:
    """Return what the newest command asks for: of equal revisions the first one counts."""
    newest = max(found, key=lambda each: each["revision"])
    return json.loads(newest["payload"])[key]


@pytest.mark.parametrize("first", list(permutations(OF_TIME))[::5])
def test_hours_that_change_while_no_worker_runs_are_ordered_as_newer(
    first: tuple[str, ...],
) -> None:
    firm = Firm(PROJECT, ERP, entry(), bill("2.00"), entry(hours=Decimal("3.00")), bill("3.00"))
    firm.feeder.feed(entry(hours=Decimal("4.00")))
    firm.tables.rebuild("project", first)
    found = [row for _, row in firm.tables.records("psa.command.netsuite") if row is not None]
    assert last([row for row in found if ":time_bill:" in str(row["natural_key"])], "hours") == "4"


@pytest.mark.parametrize("first", list(permutations(OF_DEALS))[::17])
def test_a_deal_that_changes_while_no_worker_runs_is_ordered_as_newer(
    first: tuple[str, ...],
) -> None:
    work: Topology = topology()
    win_a_deal(work)
    work.run()
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.run()
    legal_entity(work, "VAT-2")
    work.run()
    work.put("psa.project", ERP_PROJECT, {**erp_project(), "tax_code": "VAT-2"}, ERP_PROJECT)
    work.run()
    line = {"id": "line-1", "engagement_id": ENGAGEMENT, "service_line": "advisory"}
    changed = {**line, "country_code": "DE", "amount": Decimal("950.0000")}
    work.put("psa.opportunity_line", "line-1", changed, ENGAGEMENT)
    work.rebuild("engagement", first)
    assert last(commands(work, "upsert_project"), "contract_value") == "950"


@pytest.mark.parametrize("group", ["project", "rollup"])
@pytest.mark.parametrize("topic", ["psa.metric.project_margin", "psa.metric.utilization"])
def test_the_version_of_a_measure_grows_though_it_was_computed_anew(group: str, topic: str) -> None:
    """Also where more changes were summed before than are read again."""
    firm = Firm(PROJECT, ERP, *[entry(hours=Decimal(hours)) for hours in range(1, 9)])
    for hours in (9, 10):
        firm.tables.rebuild(group)
        firm.feed(entry(hours=Decimal(hours)))
    found: dict[str, list[Any]] = {}
    for key, row in firm.tables.records(topic):
        if row is not None:
            found.setdefault(key, []).append(row["version"])
    assert found
    for versions in found.values():
        assert versions == sorted(set(versions))


MOVED = Change("project", PSA_PROJECTS[1], {**(PROJECT.record or {})})
GONE = Change("time_entry", "inhouse:time_entry:1")


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize("first", [OF_TIME, OF_TIME[::-1]])
@pytest.mark.parametrize(
    ("meanwhile", "is_wanted"),
    [
        pytest.param(entry(), True, id="nothing"),
        pytest.param(entry(status="draft"), False, id="unapproved"),
        pytest.param(entry(is_billable=False), False, id="not billable"),
        pytest.param(entry(project_ref=PSA_PROJECTS[1]), False, id="moved"),
        pytest.param(GONE, False, id="deleted"),
    ],
)
def test_c7_the_bill_of_an_entry_that_changed_while_no_worker_ran_is_taken_back(
    meanwhile: Change, first: list[str], *, is_wanted: bool
) -> None:
    firm = Firm(PROJECT, MOVED, ERP, entry(), bill("2.00"))
    firm.feeder.feed(meanwhile)
    firm.tables.rebuild("project", first)
    identity = time_bill_id("inhouse:time_entry:1", PSA_PROJECTS[0])
    found = [row for _, row in firm.tables.records("psa.command.netsuite") if row is not None]
    own = [row for row in found if row["natural_key"] == f"netsuite:time_bill:{identity}"]
    newest = max(own, key=lambda row: row["revision"])
    assert newest["kind"] == ("upsert_time_bill" if is_wanted else "delete_time_bill")


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_a_bill_is_not_taken_back_because_nobody_has_told_of_its_entry() -> None:
    """Whatever is read first, and though the source of entries tells nothing for days."""
    firm = Firm(PROJECT, ERP, bill("2.00"))
    assert not firm.tables.records("psa.command.netsuite")
    firm.feeder.feed(entry(status="draft"))
    firm.tables.run()
    [(_, order)] = firm.tables.records("psa.command.netsuite")
    assert order["kind"] == "delete_time_bill"


def expense(number: int, amount: str, *, is_billable: bool) -> Change:
    row = {
        "project_ref": PROJECT.id,
        "spent_on": date(2026, 11, 3),
        "amount": Decimal(amount),
        "currency": "EUR",
        "status": "approved",
        "is_billable": is_billable,
    }
    return Change("expense", f"inhouse:expense:{number}", row)


@pytest.mark.parametrize(
    ("revenue", "cost", "ratio"),
    [
        ("0.0001", "99999999.9999", "-999999999999.000000"),
        ("0.0001", "100000000.0000", None),  # 10^12: a digit more than the contract has
        ("0.0001", "9999999999999.9999", None),
        ("3.0000", "2.0000", "-0.666667"),
    ],
)
def test_a_ratio_that_no_contract_can_say_is_none(
    revenue: str, cost: str, ratio: str | None
) -> None:
    """A row with it was dead-lettered, and with it the expense."""
    firm = Firm(PROJECT, expense(1, revenue, is_billable=True), expense(2, cost, is_billable=False))
    [row] = firm.tables.table("psa.metric.project_margin").values()
    assert row["margin_ratio"] == (None if ratio is None else Decimal(ratio))
    assert firm.tables.outcomes["dead_lettered"] == 0


def test_half_read_tables_take_back_what_is_right_and_their_newest_command_orders_it_again() -> (
    None
):
    """Why `psastream rebuild` has commands wait, and why of each thing only the newest goes."""
    kinds = set()
    for first in list(permutations(OF_TIME))[::4]:
        firm = Firm(PROJECT, ERP, entry(), bill("2.00"))
        before = len(firm.orders())
        firm.tables.rebuild("project", first)
        orders = firm.orders()[before:]
        kinds.add(tuple(orders))
        assert orders[-1:] in ([], ["upsert_time_bill"])
    assert ("delete_time_bill", "upsert_time_bill") in kinds
