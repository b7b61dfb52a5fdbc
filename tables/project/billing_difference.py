"""What a time entry and the invoice lines that name it disagree about, as an exception.

An exception of an entry on a project is open exactly as long as there is a difference: a credit
memo ends it, and so does the reversal of the change. Nothing is ordered meanwhile
(`tables.project.billing`). Time that an old time bill still offers for billing is a difference,
too.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from schemas.canonical_json import Payload
from schemas.exact import SECONDS_AN_HOUR, hours_of
from tables.foundation import exceptions
from tables.foundation.effects import Outbox
from tables.foundation.facts import TimeBill
from tables.foundation.told import remember
from tables.project.billing import NO_PROJECT, BillingDocument, Invoiced, open_seconds
from tables.project.hours import APPROVED, MONEY_UNITS, money_of

KIND: Final = "billed_time_changed"
RATE_CHANGED: Final = "billing.rate_changed"
MORE_HOURS: Final = "billing.more_hours"
NO_HOURS: Final = "billing.no_hours"
LEFT_OVER: Final = "billing.left_over"
UNNAMED: Final = "billing.no_project"
UNCLEAR: Final = "billing.unclear_bill"
_RATE_UNITS: Final = MONEY_UNITS // SECONDS_AN_HOUR
_HINT: Final = "credit the invoice, or undo the change of the entry; what is right then is billed"
_HINT_MORE: Final = "bill the rest in the ERP, credit the invoice, or undo the change of the entry"
_HINT_LEFT: Final = (
    "clear Billable on the old time record in the ERP, or cut its hours to what is invoiced of it; "
    "what is right then is billed"
)
_HINT_UNNAMED: Final = (
    "set the project on the lines in the ERP, or credit them; until then the entry is billed "
    "on no project"
)
_HINT_UNCLEAR: Final = (
    "an invoice may have used the time record, so it is left alone: correct or delete it in the ERP"
)


@dataclass(frozen=True, slots=True)
class EntryNow:
    """A time entry as it stands on a project."""

    status: str
    is_billable: bool
    is_hourly: bool
    seconds: int
    bill_rate: Decimal | None
    currency: str | None
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A reason and the money at stake, in `MONEY_UNITS`; None where currencies do not compare."""

    code: str
    detail: str
    hint: str
    amount: int | None
    currency: str | None


def difference(
    document: BillingDocument, entry_id: str, project_ref: str, entry: EntryNow | None
) -> Difference | None:
    """Return what is wrong between an entry (None: not on the project now) and its invoices."""
    if project_ref == NO_PROJECT:
        return _unnamed(document)
    if not document.is_locked(project_ref):
        left_over = _left_over(document, entry_id, project_ref, has_left=entry is None)
        return left_over or _unclear(document, entry_id, project_ref, entry)
    by_currency = document.named(project_ref)
    seconds = sum(net.seconds for net in by_currency.values())
    code = _code(document, entry_id, project_ref, entry, seconds)
    if code is None:
        return None
    if code == LEFT_OVER and entry is not None:
        return _left_over(document, entry_id, project_ref, open_seconds(entry.seconds, seconds))
    approved = entry.seconds if entry and _is_to_bill(entry) else 0
    detail = f"{hours_of(seconds)} h are invoiced, {hours_of(approved)} h are approved to bill"
    amount, currency = None, None
    if len(by_currency) == 1:
        ((currency, invoiced),) = by_currency.items()
        due = {RATE_CHANGED: seconds, NO_HOURS: 0}.get(code, approved)
        amount = _at_stake(entry, due, invoiced, currency)
    hint = _HINT_MORE if code == MORE_HOURS else _HINT
    return Difference(code, detail, hint, amount, currency)


def _left_over(
    document: BillingDocument,
    entry_id: str,
    project_ref: str,
    rest: int = 0,
    *,
    has_left: bool = False,
) -> Difference | None:
    """Return the time that the ERP offers for billing beside what stands for the entry.

    None while a line that names no project locks the entry: it may have used that time.
    """
    left = document.left_over(entry_id, project_ref, rest, has_left=has_left)
    if left == 0 or document.is_locked(None):
        return None
    detail = f"{hours_of(left)} h of an old time record in the ERP can still be invoiced"
    old = document.old_bills(entry_id, project_ref, has_left=has_left)
    prices = {(bill.bill_rate, bill.currency) for bill in old if bill.is_billable is not False}
    rate, currency = prices.pop() if len(prices) == 1 else (None, None)
    if rate is None or currency is None:
        return Difference(LEFT_OVER, detail, _HINT_LEFT, None, None)
    return Difference(LEFT_OVER, detail, _HINT_LEFT, abs(left * int(rate * _RATE_UNITS)), currency)


def _unnamed(document: BillingDocument) -> Difference | None:
    """Return what lines that name no project leave invoiced of an entry: no status counts it."""
    nets = {currency: net for currency, net in document.named(None).items() if net != Invoiced()}
    if not nets:
        return None
    hours = hours_of(sum(net.seconds for net in nets.values()))
    detail = f"{hours} h are on invoice lines that name the time entry and no project"
    amount, currency = None, None
    if len(nets) == 1:
        ((currency, net),) = nets.items()
        amount = abs(net.amount)
    return Difference(UNNAMED, detail, _HINT_UNNAMED, amount, currency)


def _unclear(
    document: BillingDocument, entry_id: str, project_ref: str, entry: EntryNow | None
) -> Difference | None:
    """Return how the bill differs that nobody rewrites, since an invoice line may have used it."""
    bill = document.unclear_bill(entry_id, project_ref)
    if bill is None or document.is_locked(None):
        return None
    due = entry if entry and _is_to_bill(entry) else None
    is_same_time = due is not None and bill.hours == hours_of(due.seconds)
    if due is not None and is_same_time and not _is_other_price(bill, due):
        return None
    approved = due.seconds if due else 0
    detail = f"a time record of {bill.hours} h is open, {hours_of(approved)} h are approved to bill"
    return Difference(UNCLEAR, detail, _HINT_UNCLEAR, None, None)


def _is_to_bill(entry: EntryNow) -> bool:
    return entry.status == APPROVED and entry.is_billable and entry.is_hourly


def _code(  # noqa: PLR0911 - one return for each reason
    document: BillingDocument,
    entry_id: str,
    project_ref: str,
    entry: EntryNow | None,
    invoiced: int,
) -> str | None:
    if entry is None:
        return "billing.entry_gone"
    if entry.status != APPROVED:
        return "billing.not_approved"
    if not _is_to_bill(entry):
        return "billing.not_billable"
    if invoiced == 0:
        return NO_HOURS
    rest = open_seconds(entry.seconds, invoiced)
    coarse = document.coarseness(project_ref)
    if abs(entry.seconds - invoiced) <= coarse:
        rest = 0  # what an ERP shows in hours at two digits
    elif entry.seconds - rest != invoiced:
        is_twice = document.invoices(project_ref) > 1
        return "billing.invoiced_twice" if is_twice else "billing.fewer_hours"
    bill = document.bill(entry_id, project_ref)
    is_other_time = bill is None or bill.hours != hours_of(entry.seconds)
    if rest and (is_other_time or not document.holds(entry_id, project_ref, rest)):
        return MORE_HOURS
    if document.left_over(entry_id, project_ref, open_seconds(entry.seconds, invoiced)):
        return LEFT_OVER
    if bill is not None and _is_other_price(bill, entry):
        return RATE_CHANGED
    return None


def _is_other_price(bill: TimeBill, entry: EntryNow) -> bool:
    return bill.bill_rate != entry.bill_rate or bill.currency != entry.currency


def _at_stake(entry: EntryNow | None, due: int, invoiced: Invoiced, currency: str) -> int:
    """Return how far the money invoiced is from what is due for `due` seconds."""
    if entry is None or entry.currency != currency:
        return abs(invoiced.amount)
    return abs(due * int((entry.bill_rate or 0) * _RATE_UNITS) - invoiced.amount)


def report(
    document: BillingDocument,
    entry_id: str,
    project_ref: str,
    entry: EntryNow | None,
    *,
    outbox: Outbox,
    timestamp_ms: int,
) -> bool:
    """Open, change or resolve the exception of an entry on a project; return whether it did.

    `NO_PROJECT`: of its lines that name none.
    """
    found = difference(document, entry_id, project_ref, entry)
    finding = None
    if found is not None:
        payload: Payload = {
            "project_ref": project_ref or None,
            "time_entry_id": entry_id,
            "invoices": ",".join(sorted(_numbers(document, project_ref))),
        }
        amount = None if found.amount is None else money_of(found.amount)
        finding = exceptions.Finding(
            found.code, found.detail, found.hint, payload, amount, found.currency
        )
    subject = exceptions.Subject(
        exception_id=f"billing:{entry_id}" + (f"|{project_ref}" if project_ref else ""),
        system=entry_id.partition(":")[0],
        kind=KIND,
        natural_key=entry_id,
        correlation_id=entry.correlation_id if entry else None,
    )
    before = document.exceptions.get(project_ref, "")
    now = exceptions.tell(outbox, subject, finding, before, timestamp_ms)
    remember(document.exceptions, project_ref, now)
    return now != before


def _numbers(document: BillingDocument, project_ref: str) -> set[str]:
    return {line.number or line.id for line in document.standing(project_ref or None)}
