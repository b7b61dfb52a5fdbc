"""Billing of one time entry: what the ERP shows, and what is ordered from it."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from schemas.identity import time_bill_id
from tables.billing import Billable, BillingDocument, order_bills
from tables.effects import Outbox
from tables.facts import InvoiceLine, TimeBill

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


def line(status: str, project_ref: str = "p1") -> InvoiceLine:
    return InvoiceLine(id=f"i-{status}", status=status, project_ref=project_ref, time_entry_id="e")


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


@pytest.mark.parametrize(
    ("document", "billed"),
    [
        (shown(), {}),
        (shown(bill()), {"p1": "transferred"}),
        (shown(bill(), line("open")), {"p1": "invoiced"}),
        (shown(bill(), line("void")), {"p1": "transferred"}),
        (shown(line("void")), {}),
        (shown(line("void"), line("paid")), {"p1": "invoiced"}),
        (shown(bill("p1"), line("open", "p2")), {"p1": "transferred", "p2": "invoiced"}),
    ],
)
def test_how_far_billing_is_on_each_project(
    document: BillingDocument, billed: dict[str, str]
) -> None:
    assert document.billed() == billed


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
