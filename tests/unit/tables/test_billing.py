"""Billing of one time entry: what the ERP shows, and what is ordered from it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from schemas.identity import time_bill_id
from tables.billing import (
    Billable,
    BillingDocument,
    Invoiced,
    open_seconds,
    order_bills,
)
from tables.billing_difference import EntryNow, report
from tables.effects import Outbox
from tables.facts import InvoiceLine, TimeBill
from tables.hours import MONEY_UNITS

BILLABLE = Billable("p1", "eng-abcdefghijkl-de", date(2026, 11, 2), 27_000, Decimal(100), "EUR")


def bill(project_ref: str = "p1", hours: str = "7.5") -> TimeBill:
    return TimeBill(
        id=f"b-{project_ref}",
        time_bill_id=time_bill_id("e", project_ref),
        project_ref=project_ref,
        time_entry_id="e",
        project_id=BILLABLE.project_id,
        work_on=BILLABLE.work_on,
        hours=Decimal(hours),
        bill_rate=BILLABLE.bill_rate,
        currency=BILLABLE.currency,
    )


def line(
    hours: str = "7.5",
    project_ref: str | None = "p1",
    *,
    status: str = "open",
    kind: str = "invoice",
    number: int = 1,
) -> InvoiceLine:
    return InvoiceLine(
        id=f"i-{number}-{project_ref}",
        status=status,
        kind=kind,
        project_ref=project_ref,
        time_entry_id="e",
        seconds=int(Decimal(hours) * 3_600),
        amount=Decimal(hours) * 100,
        currency="EUR",
    )


CREDIT = line("-7.5", kind="credit_memo", number=2)


def shown(*rows: TimeBill | InvoiceLine) -> BillingDocument:
    return BillingDocument(
        bills={row.id: row for row in rows if isinstance(row, TimeBill)},
        lines={row.id: row for row in rows if isinstance(row, InvoiceLine)},
    )


def order(document: BillingDocument, wanted: Billable | None) -> list[tuple[str, str]]:
    """Return the kind and the project of each command."""
    outbox = Outbox()
    order_bills(document, "e", wanted, correlation="c", outbox=outbox, timestamp_ms=10)
    commands = [emit.record for emit in outbox.emits if emit.record is not None]
    return [
        (str(command["kind"]), json.loads(str(command["payload"]))["project_ref"])
        for command in commands
    ]


def sent(document: BillingDocument, wanted: Billable | None) -> list[dict[str, Any]]:
    """Return the commands."""
    outbox = Outbox()
    order_bills(document, "e", wanted, correlation="c", outbox=outbox, timestamp_ms=10)
    return [dict(emit.record) for emit in outbox.emits if emit.record is not None]


def test_a_missing_bill_is_ordered_once() -> None:
    document = shown()
    assert order(document, BILLABLE) == [("upsert_time_bill", "p1")]
    assert order(document, BILLABLE) == []


def test_an_equal_bill_is_left_alone_and_another_one_put_right() -> None:
    assert order(shown(bill()), BILLABLE) == []
    assert order(shown(bill(hours="8")), BILLABLE) == [("upsert_time_bill", "p1")]


def test_a_bill_that_was_ordered_is_taken_back() -> None:
    document = shown(bill())
    order(document, BILLABLE)
    assert order(document, None) == [("delete_time_bill", "p1")]


def test_a_bill_that_nobody_ordered_is_somebody_elses() -> None:
    assert order(shown(bill()), None) == []


def test_an_entry_that_moves_is_one_deletion_and_one_creation() -> None:
    document = shown(bill())
    order(document, BILLABLE)
    moved = Billable("p2", "eng-abcdefghijkl-fr", BILLABLE.work_on, 27_000, Decimal(100), "EUR")
    assert order(document, moved) == [("delete_time_bill", "p1"), ("upsert_time_bill", "p2")]


MOVED = Billable("p2", "eng-abcdefghijkl-fr", BILLABLE.work_on, 27_000, Decimal(100), "EUR")
LESS = replace(BILLABLE, seconds=18_000)


def billed(*lines: InvoiceLine) -> BillingDocument:
    """An entry whose bill was ordered and seen before the lines came."""
    document = shown(bill(), *lines)
    before = document.lines
    document.lines = {}
    assert order(document, BILLABLE) == []
    document.lines = before
    return document


@pytest.mark.fault("A3", place="tables/billing.py")
@pytest.mark.parametrize("status", ["open", "paid", "draft"])
@pytest.mark.parametrize("wanted", [None, MOVED, LESS, replace(BILLABLE, bill_rate=Decimal(120))])
@pytest.mark.parametrize("hours", ["7.5", "5"])
def test_a3_nothing_is_ordered_of_time_that_an_invoice_names(
    status: str, wanted: Billable | None, hours: str
) -> None:
    assert order(billed(line(hours, status=status)), wanted) == []


@pytest.mark.fault("A3", place="tables/billing.py")
def test_a3_an_invoice_on_another_project_locks_too() -> None:
    assert order(shown(line("8", "p9")), BILLABLE) == []


WITHOUT_QUANTITY = line().model_copy(update={"seconds": None})
LESS_MONEY = CREDIT.model_copy(update={"amount": Decimal(-700)})


@pytest.mark.fault("A3", place="tables/billing.py")
@pytest.mark.parametrize("wanted", [BILLABLE, None, MOVED, LESS])
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([WITHOUT_QUANTITY], id="no quantity"),
        pytest.param([line().model_copy(update={"seconds": 0})], id="quantity 0"),
        pytest.param([line(), LESS_MONEY], id="time credited, not all of the money"),
        pytest.param([line(), CREDIT.model_copy(update={"currency": "USD"})], id="other currency"),
        pytest.param([line().model_copy(update={"project_ref": None})], id="no project"),
    ],
)
def test_a3_money_that_is_invoiced_locks_whatever_the_line_lacks(
    lines: list[InvoiceLine], wanted: Billable | None
) -> None:
    assert order(billed(*lines), wanted) == []


@pytest.mark.fault("A3", place="tables/billing.py")
@pytest.mark.parametrize("wanted", [LESS, None], ids=["a correction", "a deletion"])
@pytest.mark.parametrize("status", ["open", "draft"])
@pytest.mark.parametrize("project_ref", ["p1", None])
def test_a3_what_the_erp_has_refused_so_far_does_not_come_through_once_it_is_invoiced(
    status: str, wanted: Billable | None, project_ref: str | None
) -> None:
    document = shown(bill())
    order(document, BILLABLE)
    first = sent(document, wanted)
    document.lines = {each.id: each for each in [line("7.5", project_ref, status=status)]}

    [withdrawal] = sent(document, wanted)

    assert withdrawal["kind"] == "withdraw"
    assert withdrawal["natural_key"] == first[0]["natural_key"]
    assert withdrawal["revision"] > first[0]["revision"]
    assert sent(document, wanted) == [], "once"
    document.lines = {}
    assert [each["kind"] for each in sent(document, wanted)] == [first[0]["kind"]], "unlocked"


@pytest.mark.fault("A3", place="tables/billing.py")
def test_a3_the_bill_of_a_standing_invoice_stays_when_older_papers_are_deleted() -> None:
    document = billed(line(), CREDIT)
    assert order(document, BILLABLE) == [("upsert_time_bill", "p1")]
    again = time_bill_id("e", document.slot("p1"))
    document.bills["b-2"] = bill().model_copy(update={"id": "b-2", "time_bill_id": again})
    assert order(document, BILLABLE) == []
    document.lines = {"i-3": line(number=3)}
    for wanted in (BILLABLE, LESS, MOVED, None):
        assert order(document, wanted) == []


@pytest.mark.fault("A3", place="tables/billing.py")
def test_a3_a_void_invoice_locks_nothing() -> None:
    assert order(billed(line(status="void")), None) == [("delete_time_bill", "p1")]


@pytest.mark.fault("A3", place="tables/billing.py")
def test_a3_after_the_credit_what_is_right_now_is_billed_anew() -> None:
    """The bill that the invoice used up stays; the next one has an id of its own."""
    document = billed(line(), CREDIT)
    outbox = Outbox()
    order_bills(document, "e", LESS, correlation="c", outbox=outbox, timestamp_ms=10)
    (command,) = [emit.record for emit in outbox.emits if emit.record is not None]
    payload = json.loads(str(command["payload"]))
    assert (command["kind"], payload["hours"], payload["project_ref"]) == (
        "upsert_time_bill",
        "5",
        "p1",
    )
    assert payload["time_bill_id"] not in ("", time_bill_id("e", "p1"))
    assert order(document, LESS) == []
    assert order(billed(line(), CREDIT), MOVED) == [("upsert_time_bill", "p2")]
    assert order(billed(line(), CREDIT), None) == []


@pytest.mark.fault("C7", place="tables/billing.py")
def test_c7_five_of_eight_hours_are_invoiced_and_three_open() -> None:
    document = shown(bill(), line("5"))
    seconds = 8 * 3_600
    invoiced = sum(net.seconds for net in document.invoiced("p1").values())
    assert (invoiced, open_seconds(seconds, invoiced)) == (5 * 3_600, 3 * 3_600)
    assert document.totals("p1")["p1", "EUR", "invoiced"] == (18_000, 500 * MONEY_UNITS, 1)
    assert document.cover("p1", seconds) == {
        ("p1", "EUR", "unmatched"): (18_000, 500 * MONEY_UNITS, -1)
    }


@pytest.mark.fault("C7", place="tables/billing.py")
def test_c7_a_credit_memo_leaves_nothing_invoiced() -> None:
    document = shown(bill(), line(), CREDIT)
    assert document.invoiced("p1") == {"EUR": Invoiced()}
    assert document.totals("p1") == {
        ("p1", "EUR", "invoiced"): (27_000, 750 * MONEY_UNITS, 1),
        ("p1", "EUR", "credited"): (-27_000, -750 * MONEY_UNITS, 1),
    }
    assert document.cover("p1", 27_000) == {}


ENTRY = EntryNow("approved", True, True, 27_000, Decimal(100), "EUR", "c")


@pytest.mark.fault("A3", place="tables/billing_difference.py")
@pytest.mark.parametrize(
    ("lines", "entry", "code", "amount"),
    [
        ([line()], ENTRY, None, None),
        ([line("5")], ENTRY, None, None),
        ([line(status="void")], None, None, None),
        ([line(), CREDIT], None, None, None),
        ([line()], None, "billing.entry_gone", "750"),
        ([line(status="draft")], None, "billing.entry_gone", "750"),
        ([line()], replace(ENTRY, status="submitted"), "billing.not_approved", "750"),
        ([line()], replace(ENTRY, is_billable=False), "billing.not_billable", "750"),
        ([line()], replace(ENTRY, seconds=18_000), "billing.fewer_hours", "250"),
        ([line()], replace(ENTRY, seconds=36_000), "billing.more_hours", "250"),
        ([line()], replace(ENTRY, bill_rate=Decimal(120)), "billing.rate_changed", "150"),
        ([line()], replace(ENTRY, currency="USD"), "billing.rate_changed", "750"),
        ([line(), line(number=3)], ENTRY, "billing.invoiced_twice", "750"),
        ([line("5"), line("2.5", number=3)], ENTRY, None, None),
        ([WITHOUT_QUANTITY], ENTRY, "billing.no_hours", "750"),
        ([line(), LESS_MONEY], ENTRY, "billing.no_hours", "50"),
        ([line("0.17")], replace(ENTRY, seconds=600), None, None),  # 10 minutes
        ([line(), line("-2.5", kind="credit_memo", number=3)], ENTRY, None, None),
        (
            [line(), line("-2.5", kind="credit_memo", number=3)],
            replace(ENTRY, seconds=18_000),
            None,
            None,
        ),
    ],
)
def test_a3_what_an_entry_and_its_invoices_disagree_about(
    lines: list[InvoiceLine], entry: EntryNow | None, code: str | None, amount: str | None
) -> None:
    outbox, document = Outbox(), shown(bill(), *lines)
    report(document, "x:e", "p1", entry, outbox=outbox, timestamp_ms=10)
    opened = [(emit.key, dict(emit.record or {})) for emit in outbox.emits]
    if code is None:
        assert opened == []
        return
    ((key, record),) = opened
    assert key == record["exception_id"] == "billing:x:e|p1"
    assert (record["status"], record["error_code"]) == ("open", code)
    assert (record["amount"], record["currency"]) == (Decimal(amount or 0), "EUR")
    assert record["hint"]


@pytest.mark.fault("A3", place="tables/billing_difference.py")
@pytest.mark.parametrize("is_credited", [True, False])
def test_a3_the_exception_is_resolved_by_a_credit_or_by_the_reversal(is_credited: bool) -> None:
    outbox, document = Outbox(), shown(bill(), line())
    for _ in range(2):
        report(document, "x:e", "p1", None, outbox=outbox, timestamp_ms=10)
    if is_credited:
        document.lines[CREDIT.id] = CREDIT
    now = None if is_credited else ENTRY
    for _ in range(2):
        report(document, "x:e", "p1", now, outbox=outbox, timestamp_ms=20)
    assert [(emit.record or {})["status"] for emit in outbox.emits] == ["open", "resolved"]
