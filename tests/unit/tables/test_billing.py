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


EIGHT = replace(BILLABLE, seconds=28_800)
FIVE = line("5", number=1)
FIVE_BACK = line("-5", kind="credit_memo", number=2)


def second_bill(hours: str = "8") -> TimeBill:
    """The bill that was ordered after one invoice line was credited."""
    changes = {"id": "b-second", "time_bill_id": time_bill_id("e", "p1#1")}
    return bill(hours=hours).model_copy(update=changes)


def written_off(hours: str = "8") -> TimeBill:
    return bill(hours=hours).model_copy(update={"is_billable": False})


@pytest.mark.fault("C7", place="tables/billing.py")
@pytest.mark.parametrize(
    ("rows", "orders", "left", "amount"),
    [
        # 5 of 8 h are invoiced and credited: the old bill offers 3 h, and 8 h more would be 11
        ([bill(hours="8"), FIVE, FIVE_BACK], [], 10_800, "300"),
        ([bill(hours="8"), line("5", status="draft"), FIVE_BACK], [], 10_800, "300"),
        ([bill(hours="8"), FIVE, line("-2", kind="credit_memo", number=2),
          line("-3", kind="credit_memo", number=3)], [], 10_800, "300"),
        ([bill(hours="8"), line("4"), line("2", number=3), line("-6", kind="credit_memo")],
         [], 7_200, "200"),
        # a line that names no project may have used any bill: none is taken as used
        ([bill(hours="8"), line("8", None), line("-8", None, kind="credit_memo", number=2)],
         [], 28_800, "800"),
        ([bill(hours="8"), FIVE, line("3", None, number=3), line("-5", kind="credit_memo"),
          line("-3", None, kind="credit_memo", number=4)], [], 10_800, "300"),
        ([written_off(), line("8", None), line("-8", None, kind="credit_memo", number=2)],
         ["p1"], 0, None),
        ([line("8", None), line("-8", None, kind="credit_memo", number=2)], ["p1"], 0, None),
        # a person has cut or closed the old bill, or all of it was invoiced
        ([bill(hours="5"), FIVE, FIVE_BACK], ["p1"], 0, None),
        ([written_off(), FIVE, FIVE_BACK], ["p1"], 0, None),
        ([bill(hours="8"), FIVE, line("3", number=3), line("-8", kind="credit_memo")],
         ["p1"], 0, None),
        # the invoice is void, before or after its credit: the old bill stands for all again
        ([bill(hours="8"), line("5", status="void")], [], 0, None),
        ([bill(hours="8"), line("5", status="void"), FIVE_BACK], [], 0, None),
        ([bill(hours="8"), line("5", status="void"),
          line("-5", kind="credit_memo", status="void", number=2)], [], 0, None),
        # and beside the second bill it is one too many: a person chooses
        ([bill(hours="5"), second_bill(), line("5", status="void")], [], 28_800, "800"),
        ([bill(hours="5"), second_bill()], [], 28_800, "800"),  # deleted, not void
        ([bill(hours="8"), second_bill(), FIVE, FIVE_BACK], [], 10_800, "300"),
        ([bill(hours="5"), second_bill(), FIVE, FIVE_BACK], [], 0, None),
    ],
)  # fmt: skip
def test_c7_no_bill_is_ordered_beside_time_that_the_erp_still_offers(
    rows: list[TimeBill | InvoiceLine], orders: list[str], left: int, amount: str | None
) -> None:
    lines = [row for row in rows if isinstance(row, InvoiceLine)]
    document = shown(*(row for row in rows if isinstance(row, TimeBill)))
    document.lines = {str(number): row for number, row in enumerate(lines)}
    assert order(document, EIGHT) == [("upsert_time_bill", project) for project in orders]
    assert document.left_over("e", "p1") == left
    outbox = Outbox()
    now = replace(ENTRY, seconds=28_800)
    report(document, "e", "p1", now, outbox=outbox, timestamp_ms=10)
    told = [(emit.record or {}) for emit in outbox.emits]
    if amount is None:
        assert told == []
    else:
        ((code, stake, currency),) = [
            (each["error_code"], each["amount"], each["currency"]) for each in told
        ]
        assert (code, stake, currency) == ("billing.left_over", Decimal(amount), "EUR")


@pytest.mark.fault("C7", place="tables/billing.py")
def test_c7_an_order_that_is_on_its_way_is_taken_back_when_the_old_bill_shows() -> None:
    document = shown(FIVE, FIVE_BACK)
    assert order(document, EIGHT) == [("upsert_time_bill", "p1")]
    document.bills["b-p1"] = bill(hours="8")
    outbox = Outbox()
    order_bills(document, "e", EIGHT, correlation="c", outbox=outbox, timestamp_ms=20)
    ((kind, identity),) = [
        (each["kind"], json.loads(str(each["payload"]))["time_bill_id"])
        for each in (emit.record or {} for emit in outbox.emits)
    ]
    assert (kind, identity) == ("delete_time_bill", time_bill_id("e", "p1#1"))


@pytest.mark.fault("C7", place="tables/billing_difference.py")
@pytest.mark.parametrize(
    ("rows", "entry", "code"),
    [
        ([bill(hours="0.17"), line("0.17")], 600, None),  # 10 minutes
        ([bill(hours="8"), FIVE], 28_800, None),  # the rest is what is open
        ([bill(hours="8"), FIVE], 18_000, "billing.left_over"),  # the entry is shorter now
        # the first invoice is void after the second bill was invoiced
        ([bill(hours="5"), second_bill(), line("8")], 28_800, "billing.left_over"),
        ([written_off("5"), second_bill(), line("8")], 28_800, None),
        # what a person closed stays closed when its successor is invoiced
        ([written_off(), second_bill(), FIVE, FIVE_BACK, line("8", number=3)], 28_800, None),
    ],
)
def test_c7_time_that_is_offered_beyond_what_is_open_is_told_while_invoiced(
    rows: list[TimeBill | InvoiceLine], entry: int, code: str | None
) -> None:
    outbox = Outbox()
    now = replace(ENTRY, seconds=entry)
    report(shown(*rows), "e", "p1", now, outbox=outbox, timestamp_ms=10)
    assert [(emit.record or {})["error_code"] for emit in outbox.emits] == ([code] if code else [])


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
    own = bill().model_copy(update={"time_bill_id": time_bill_id("x:e", "p1")})
    outbox, document = Outbox(), shown(own, *lines)
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
