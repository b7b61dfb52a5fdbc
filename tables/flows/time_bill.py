"""Time bills: approved billable time in the ERP that holds its project.

Which bills of an entry that is about is in `tables.project.bill_orders`: a bill is never kept right
by itself once an invoice line may stand for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from schemas.commands import DeleteTimeBill, UpsertTimeBill
from schemas.exact import SECONDS_AN_HOUR, hours_of
from schemas.identity import time_bill_id
from schemas.landscape import Role
from tables.flows.flow import Flow, Worth
from tables.foundation.facts import TimeBill
from tables.project.billing import BillingDocument, project_of
from tables.project.hours import MONEY


@dataclass(frozen=True, slots=True)
class Billable:
    """An approved billable entry of a project that `erp` holds."""

    erp: str
    project_ref: str
    project_id: str
    work_on: date
    seconds: int
    bill_rate: Decimal
    currency: str

    @property
    def hours(self) -> Decimal:
        """The time in hours at two digits, the finest an ERP shows.

        Two times of whole minutes never look the same, and what it shows of 50 minutes looks like
        50 minutes.
        """
        return hours_of(self.seconds)

    def amount(self) -> Decimal:
        """Return what the hours cost the customer, half-even at 6 digits."""
        return (self.seconds * self.bill_rate / SECONDS_AN_HOUR).quantize(MONEY)


class BillView:
    """A time bill of an entry, known by its slot, and what it should say; None: be gone."""

    def __init__(
        self,
        document: BillingDocument,
        entry_id: str,
        slot: str,
        billable: Billable | None,
        correlation_id: str | None,
    ) -> None:
        self.entry_id = entry_id
        self.billable = billable
        self.correlation_id = correlation_id
        self.identity = time_bill_id(entry_id, slot)
        self.origin_key = project_of(slot)
        self.held = document.bill_in(entry_id, slot)


def _wanted(view: BillView, _: str) -> UpsertTimeBill | DeleteTimeBill:
    billable = view.billable
    if billable is None:
        return DeleteTimeBill(
            time_bill_id=view.identity,
            correlation_id=view.correlation_id,
            time_entry_id=view.entry_id,
            project_ref=view.origin_key,
        )
    return UpsertTimeBill(
        time_bill_id=view.identity,
        correlation_id=view.correlation_id,
        time_entry_id=view.entry_id,
        project_ref=view.origin_key,
        project_id=billable.project_id,
        work_on=billable.work_on,
        hours=billable.hours,
        seconds=billable.seconds,
        bill_rate=billable.bill_rate,
        currency=billable.currency,
    )


def _held(view: BillView, _: str) -> TimeBill | None:
    return view.held


def _worth(view: BillView) -> Worth:
    billable = view.billable
    return (None, None) if billable is None else (billable.amount(), billable.currency)


TIME_BILL: Final = Flow(
    role=Role.ERP,
    noun="time_bill",
    upsert=UpsertTimeBill,
    delete=DeleteTimeBill,
    kept_equal=("project_id", "work_on", "hours", "bill_rate", "currency"),
    shown_by=("time_bill", "invoice"),
    wanted=_wanted,
    held=_held,
    worth=_worth,
)
