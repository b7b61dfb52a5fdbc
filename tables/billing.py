"""Billing of one time entry: what the ERP shows of it, and what must be ordered there.

An approved billable entry of a project the ERP holds should be a time bill in the ERP; anything
else should not be one. The natural key is the entry on its project, so an entry that moves to
another project is one deletion and one creation, in whichever partitions they happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from pydantic import BaseModel, Field

from schemas.exact import SECONDS_AN_HOUR, hours_of
from schemas.identity import time_bill_id
from tables.effects import Outbox
from tables.facts import InvoiceLine, TimeBill
from tables.hours import INVOICED, TRANSFERRED
from tables.ledger import GONE, LedgerEntry, Order, Payload, content_hash, decide, send
from tables.pipeline import MONEY

VOID: Final = "void"


class BillingDocument(BaseModel):
    """What the ERP shows of one time entry in this partition, and what was ordered."""

    bills: dict[str, TimeBill] = Field(default_factory=dict)  # source id → time bill
    lines: dict[str, InvoiceLine] = Field(default_factory=dict)  # source id → invoice line
    ledgers: dict[str, LedgerEntry] = Field(default_factory=dict)  # source project id → ledger

    def billed(self) -> dict[str, str]:
        """Return how far the ERP is with the entry: source project id → state.

        What was billed on a project that the entry has left does not bill it on another one.
        """
        bills = {bill.project_ref for bill in self.bills.values()}
        lines = {line.project_ref for line in self.lines.values() if line.status != VOID}
        return {
            **{project_ref: TRANSFERRED for project_ref in bills if project_ref},
            **{project_ref: INVOICED for project_ref in lines if project_ref},
        }


@dataclass(frozen=True, slots=True)
class Billable:
    """An approved billable entry of a project the ERP holds."""

    project_ref: str
    project_id: str
    work_on: date
    seconds: int
    bill_rate: Decimal
    currency: str

    def content(self) -> Payload:
        """Return the fields psastream keeps equal in the ERP.

        Time in hours at two digits, the finest an ERP shows: two times of whole minutes never
        look the same, and what it shows of 50 minutes looks like 50 minutes.
        """
        return {
            "project_id": self.project_id,
            "work_on": self.work_on,
            "hours": hours_of(self.seconds),
            "bill_rate": self.bill_rate,
            "currency": self.currency,
        }

    def amount(self) -> Decimal:
        """Return what the hours cost the customer, half-even at 6 digits."""
        return (self.seconds * self.bill_rate / SECONDS_AN_HOUR).quantize(MONEY)


def order_bills(
    document: BillingDocument,
    entry_id: str,
    wanted: Billable | None,
    *,
    correlation: str | None,
    outbox: Outbox,
    timestamp_ms: int,
) -> bool:
    """Order what the ERP should hold of an entry; return whether the document has changed."""
    projects = set(document.ledgers) | {bill.project_ref for bill in document.bills.values()}
    if wanted is not None:
        projects.add(wanted.project_ref)
    has_changed = False
    for project_ref in sorted(project for project in projects if project is not None):
        bill = _bill_of(document, entry_id, project_ref)
        is_wanted = wanted is not None and wanted.project_ref == project_ref
        before = document.ledgers.get(project_ref)
        if before is None and not is_wanted:
            continue  # a bill we never ordered is somebody else's
        after, is_due = decide(
            before or LedgerEntry(),
            content_hash(wanted.content()) if wanted is not None and is_wanted else GONE,
            content_hash(_observed(bill)) if bill is not None else "",
            timestamp_ms,
        )
        has_changed |= after != before
        document.ledgers[project_ref] = after
        if is_due:
            order = _order(entry_id, project_ref, wanted if is_wanted else None, correlation)
            payload: Payload = {
                **(
                    {**wanted.content(), "seconds": wanted.seconds}
                    if wanted is not None and is_wanted
                    else {}
                ),
                "time_bill_id": time_bill_id(entry_id, project_ref),
                "time_entry_id": entry_id,
                "project_ref": project_ref,
                "correlation_id": correlation,
            }
            send(outbox, order, payload, revision=after.revision, timestamp_ms=timestamp_ms)
    return has_changed


def _bill_of(document: BillingDocument, entry_id: str, project_ref: str) -> TimeBill | None:
    identity = time_bill_id(entry_id, project_ref)
    return next((bill for bill in document.bills.values() if bill.time_bill_id == identity), None)


def _observed(bill: TimeBill) -> Payload:
    return {
        "project_id": bill.project_id,
        "work_on": bill.work_on,
        "hours": bill.hours,
        "bill_rate": bill.bill_rate,
        "currency": bill.currency,
    }


def _order(
    entry_id: str, project_ref: str, wanted: Billable | None, correlation: str | None
) -> Order:
    return Order(
        target="netsuite",
        kind="delete_time_bill" if wanted is None else "upsert_time_bill",
        natural_key=f"netsuite:time_bill:{time_bill_id(entry_id, project_ref)}",
        origin_key=project_ref,
        correlation_id=correlation,
        amount=None if wanted is None else wanted.amount(),
        currency=None if wanted is None else wanted.currency,
    )
