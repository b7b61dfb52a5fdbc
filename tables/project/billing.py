"""Billing of one time entry: what the ERP shows of it, and which time bills may be touched.

Billed is locked. A time bill that an invoice line may stand for is never deleted or rewritten,
and an entry that is invoiced anywhere is not billed a second time until credit memos have taken
all of it back; then its next time bill has an id of its own. Credit leaves time billed, so a time
bill that was invoiced in part keeps its rest for billing: while one does, no other bill is ordered
beside it, wherever the entry has moved. What the entry and its invoice lines disagree about is
`tables.project.billing_difference`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pydantic import BaseModel, Field

from schemas.exact import SECONDS_AN_HOUR
from schemas.identity import time_bill_id, vendor_order
from tables.foundation.facts import InvoiceLine, TimeBill
from tables.foundation.ledger import GONE, LedgerEntry
from tables.project.hours import CREDITED, INVOICED, MONEY_UNITS, NO_CURRENCY, UNMATCHED

CREDIT_MEMO: Final = "credit_memo"
VOID: Final = "void"
HALF_A_HUNDREDTH_HOUR: Final = 18
"""Seconds by which time may differ that an ERP shows in hours at two digits."""
HALF_A_MINUTE: Final = 30
"""Seconds by which a time bill may differ that an ERP keeps as a clock shows it."""
_UNITS_A_MICRO: Final = MONEY_UNITS // 10**6
NO_PROJECT: Final = ""
"""Stands for the lines that name an entry and no project, where texts are compared."""
PAPERS_DELETED: Final = 16
"""How many papers of an entry, at most, nobody sees any more that gave its time bills numbers."""
NOT_INVOICED: Final = frozenset({VOID, "draft"})

BillingKey = tuple[str, str, str]
"""Source project id, currency, state."""

Amounts = tuple[int, ...]
"""Seconds, money in `MONEY_UNITS`, entries."""


@dataclass(frozen=True, slots=True)
class Invoiced:
    """Time and money of invoice lines, signed as the customer owes them."""

    seconds: int = 0
    amount: int = 0  # in MONEY_UNITS

    @classmethod
    def of(cls, lines: list[InvoiceLine]) -> Invoiced:
        """Add up lines of one currency."""
        return cls(sum(map(_seconds, lines)), sum(map(_amount, lines)))


class BillingDocument(BaseModel):
    """What the ERP shows of one time entry, and what was ordered of it in this partition.

    `bills` and `lines` are those of every project: an entry that moves must find its lock, and
    what is left of its bills, where it arrives.
    """

    bills: dict[str, TimeBill] = Field(default_factory=dict)  # source id → time bill
    lines: dict[str, InvoiceLine] = Field(default_factory=dict)  # source id → invoice line
    ledgers: dict[str, LedgerEntry] = Field(default_factory=dict)  # slot → ledger
    erps: dict[str, str] = Field(default_factory=dict)  # slot of a ledger → ERP it is ordered in
    exceptions: dict[str, str] = Field(default_factory=dict)  # source project id → hash of content
    uses: dict[str, list[str]] = Field(default_factory=dict)  # invoice line → slots maybe used
    adopted_ms: int = -1
    """The present in which bills of a lost state were found: until it is over, its rows are read
    again in any order, and when a line comes does not tell which bill it has used."""

    def standing(self, project_ref: str | None) -> list[InvoiceLine]:
        """Return the lines of a project that are not void: they lock what they name.

        None: the lines that name no project.
        """
        return [
            line
            for line in self.lines.values()
            if line.project_ref == project_ref and line.status != VOID
        ]

    def projects(self) -> set[str]:
        """Return the source projects of its lines."""
        return {line.project_ref for line in self.lines.values() if line.project_ref}

    def named_projects(self) -> set[str]:
        """Return the source projects of its bills, its lines and of what was ordered."""
        of_bills = {bill.project_ref for bill in self.bills.values() if bill.project_ref}
        return of_bills | self.projects() | {project_of(slot) for slot in self.ledgers}

    def reported(self) -> set[str]:
        """Return the source projects, or `NO_PROJECT`, on which something may be wrong."""
        of_bills = Counter(bill.project_ref for bill in self.bills.values() if bill.project_ref)
        beside = {project for project, count in of_bills.items() if count > 1}
        if self.invoices(None):
            beside.update(of_bills)
        for bill in self.bills.values():
            entry, project = bill.time_entry_id, bill.project_ref
            if entry and project and bill.time_bill_id not in (None, time_bill_id(entry, project)):
                beside.add(project)
        unnamed = {NO_PROJECT} if self.standing(None) else set()
        return self.projects() | beside | unnamed | set(self.exceptions)

    def invoices(self, project_ref: str | None) -> int:
        """Return how many invoice lines stand: as many time bills may have been used up."""
        return sum(line.kind != CREDIT_MEMO for line in self.standing(project_ref))

    def is_locked(self, project_ref: str | None) -> bool:
        """Whether an invoice line names the entry on a project and no credit has undone it.

        A credit has undone it when neither time nor money is left in any currency: an invoice may
        ask for money without a quantity, and a credit may take back time for less than its price.
        """
        if not self.invoices(project_ref):
            return False
        return any(net != Invoiced() for net in self.named(project_ref).values())

    def is_locked_elsewhere(self, project_ref: str) -> bool:
        """Whether the entry is invoiced on another project than this one, or on none by name."""
        return any(self.is_locked(other) for other in {None, *self.projects()} - {project_ref})

    def is_billed_elsewhere(self, entry_id: str, project_ref: str) -> bool:
        """Whether the entry is invoiced, or what is left of it can be, on another project."""
        is_locked = self.is_locked_elsewhere(project_ref)
        return is_locked or self.is_left_elsewhere(entry_id, project_ref)

    def used(self, project_ref: str) -> int:
        """Return how many time bills of a project may be used up: a line without one counts."""
        return self.invoices(project_ref) + self.invoices(None)

    def used_up(self) -> list[str]:
        """Return the slots, of those ordered for, whose time bills invoice lines may have used."""
        used = self._used_slots()
        return [slot for slot in sorted(self.ledgers) if self.is_locked(None) or slot in used]

    def forgotten(self, entry_id: str, project_refs: Iterable[str]) -> list[str]:
        """Return the slots on projects of bills of ours that the state does not know as ordered.

        Nothing of them at all, or that they were deleted before they had been seen. A bill is ours
        by its id, whatever project it is on by now: nobody else gives one.
        """
        known = {
            time_bill_id(entry_id, slot)
            for slot, entry in self.ledgers.items()
            if entry.ordered != GONE or entry.observed
        }
        ids = {bill.time_bill_id for bill in self.bills.values() if bill.time_bill_id} - known
        highest = len(self.bills) + len(self.lines) + PAPERS_DELETED
        numbers = range(highest + 1 if ids else 0)
        slots = [_slot(ref, number) for ref in sorted(project_refs) for number in numbers]
        return [slot for slot in slots if time_bill_id(entry_id, slot) in ids]

    def remember_uses(self, entry_id: str) -> bool:
        """Remember which time bills a new invoice line may have used; return whether one is new.

        A line does not name its bill, and papers may be deleted in any order: what stands when a
        line comes is all that it can have used, or else what was ordered last.
        """
        lines = {line.id: line for line in self._invoice_lines() if line.status != VOID}
        before = dict(self.uses)
        self.uses = {}
        for line, slots in before.items():
            ref = lines[line].project_ref if line in lines else ""
            kept = [slot for slot in slots if ref in (None, project_of(slot))]
            if kept or ref is None:
                self.uses[line] = kept
        for line in sorted(lines.keys() - self.uses.keys(), key=vendor_order):
            project_ref = lines[line].project_ref
            refs = {project_ref} if project_ref else {project_of(slot) for slot in self.ledgers}
            self.uses[line] = [slot for ref in sorted(refs) for slot in self._usable(entry_id, ref)]
        return self.uses != before

    def guess_uses(self, entry_id: str) -> None:
        """Take each invoice line for one of the bills that stand: see `left_over`.

        One that names no project is thought over as if it came now.
        """
        unnamed = {line.id for line in self.standing(None)}
        self.uses = {line: slots for line, slots in self.uses.items() if line not in unnamed}
        for project_ref in {project_of(slot) for slot in self.ledgers}:
            bills = {}
            for slot in self._ordered(project_ref):
                bill = self.bill_in(entry_id, slot)
                if bill is not None:
                    bills[bill.id] = slot
            _, taken = self._left([self.bills[each] for each in bills], project_ref)
            found = {line: [bills[each] for each in used] for line, used in taken.items() if used}
            self.uses |= found

    def slots(
        self, entry_id: str, project_ref: str, erp: str | None = None
    ) -> tuple[str, list[str]]:
        """Return the time bill for the open hours, and the surplus ones that nothing has used.

        The first one that stands unused, or else one after all that lines may have used. Of those
        in `erp` if one is given, and after all that were ordered in others: a bill that is to be
        elsewhere is another one.
        """
        used = self._used_slots()
        unused = [slot for slot in self._ordered(project_ref) if slot not in used]
        others = [slot for slot in unused if erp is not None and erp != self.erps[slot]]
        standing = [
            slot
            for slot in unused
            if slot not in others and self.bill_in(entry_id, slot) is not None
        ]
        after = [1 + _number(slot) for slot in (*used, *others) if project_of(slot) == project_ref]
        number = max([self.used(project_ref), *after])
        current = standing[0] if standing else _slot(project_ref, number)
        return current, [slot for slot in unused if slot != current]

    def _usable(self, entry_id: str, project_ref: str) -> list[str]:
        """Return the slots that an invoice line may have used when it comes."""
        ordered, used = self._ordered(project_ref), self._used_slots()
        unused = [slot for slot in ordered if slot not in used]
        standing = [slot for slot in unused if self.bill_in(entry_id, slot) is not None]
        return standing or unused[-1:] or ordered[-1:] or [project_ref]

    def _ordered(self, project_ref: str) -> list[str]:
        return sorted(
            (slot for slot in self.ledgers if project_of(slot) == project_ref), key=_number
        )

    def _used_slots(self) -> set[str]:
        return {slot for slots in self.uses.values() for slot in slots}

    def _invoice_lines(self) -> list[InvoiceLine]:
        return [line for line in self.lines.values() if line.kind != CREDIT_MEMO]

    def bill_in(self, entry_id: str, slot: str) -> TimeBill | None:
        """Return the time bill that bears the id of a slot."""
        identity = time_bill_id(entry_id, slot)
        return _oldest([each for each in self.bills.values() if each.time_bill_id == identity])

    def bill(self, entry_id: str, project_ref: str) -> TimeBill | None:
        """Return the time bill that stands for the open hours of an entry on a project.

        What was billed on a project that the entry has left does not bill it on another one.
        """
        own = [each for each in self.bills.values() if each.project_ref == project_ref]
        is_locked = self.is_locked(project_ref) or self.is_locked(None)
        if self.used(project_ref) and not is_locked:
            return self._open_bill(entry_id, project_ref)
        return _oldest(own)

    def _open_bill(self, entry_id: str, project_ref: str) -> TimeBill | None:
        """Return the first time bill of ours beside as many as invoice lines may have used."""
        count = self.used(project_ref)
        before = {time_bill_id(entry_id, _slot(project_ref, each)) for each in range(count)}
        following = time_bill_id(entry_id, _slot(project_ref, count))
        own = [
            bill
            for bill in self.bills.values()
            if bill.project_ref == project_ref and bill.time_bill_id not in {None, *before}
        ]
        return _oldest([bill for bill in own if bill.time_bill_id == following] or own)

    def old_bills(
        self, entry_id: str, project_ref: str, *, has_left: bool = False
    ) -> list[TimeBill]:
        """Return the bills beside the one that stands for the open hours.

        All of them while the entry is locked, and where it `has_left` after it was invoiced:
        nothing stands for its open hours then. What a person wrote beside it counts only where
        finance has invoiced the entry.
        """
        current = None
        if not self.is_locked(project_ref) and not (has_left and self.used(project_ref)):
            current = self._open_bill(entry_id, project_ref)
        is_any = project_ref in self.projects() or self.used(project_ref) > 0
        return [
            bill
            for bill in self.bills.values()
            if bill.project_ref == project_ref
            and (current is None or bill.id != current.id)
            and (is_any or bill.time_bill_id is not None)
        ]

    def is_left_elsewhere(self, entry_id: str, project_ref: str) -> bool:
        """Whether finance can invoice time of bills on projects that the entry has left."""
        others = {bill.project_ref for bill in self.bills.values()} - {None, project_ref}
        return any(self.left_over(entry_id, other, has_left=True) for other in others if other)

    def is_offered(self, entry_id: str, project_ref: str, slot: str) -> bool:
        """Whether finance can invoice time of other bills of ours than the one of a slot."""
        is_unclear = self.unclear_bill(entry_id, project_ref, slot) is not None
        return is_unclear or self.left_over(entry_id, project_ref) != 0

    def unclear_bill(
        self, entry_id: str, project_ref: str, slot: str | None = None
    ) -> TimeBill | None:
        """Return the bill that offers the open time and that a line may have used all the same.

        So it is neither rewritten nor deleted, and none is ordered beside it.
        """
        current = slot or self.slots(entry_id, project_ref)[0]
        bill = self._open_bill(entry_id, project_ref)
        if bill is None or self.bill_in(entry_id, current) is not None:
            return None
        sure = {slots[0] for slots in self.uses.values() if len(slots) == 1}
        clear = {time_bill_id(entry_id, slot) for slot in {current, *sure}}
        return bill if bill.time_bill_id not in clear else None

    def left_over(
        self, entry_id: str, project_ref: str, rest: int = 0, *, has_left: bool = False
    ) -> int:
        """Return the seconds beyond `rest` that finance can still invoice of `old_bills`.

        Credit memos leave time billed; a draft uses it, a void invoice does not. A line does not
        name its bill: it is taken for the oldest one that has room for it. A line that names no
        project may have used a bill of another one, so it is taken for none.
        """
        left, _ = self._left(self.old_bills(entry_id, project_ref, has_left=has_left), project_ref)
        total = sum(left[each] for each in left if self.bills[each].is_billable is not False)
        coarse = self.coarseness(project_ref) + len(left) * HALF_A_MINUTE
        return total - rest if abs(total) > abs(rest) + coarse else 0

    def holds(self, entry_id: str, project_ref: str, rest: int) -> bool:
        """Whether time bills that nothing has used hold `rest` seconds of an invoiced entry."""
        left, _ = self._left(self.old_bills(entry_id, project_ref), project_ref)
        coarse = self.coarseness(project_ref) + len(left) * HALF_A_MINUTE
        return abs(sum(left.values())) + coarse >= abs(rest)

    def _left(
        self, bills: list[TimeBill], project_ref: str
    ) -> tuple[dict[str, int], dict[str, list[str]]]:
        """Return the seconds of each bill that no invoice line has used, and the bills of lines."""
        left = {bill.id: _seconds(bill) for bill in bills}
        ids = sorted(left, key=vendor_order)
        lines = [line for line in self.standing(project_ref) if line.kind != CREDIT_MEMO]
        taken: dict[str, list[str]] = {}
        for line in sorted(lines, key=lambda each: vendor_order(each.id)):
            used = _seconds(line)
            enough = abs(used) - HALF_A_HUNDREDTH_HOUR
            room = [each for each in ids if left[each] * used > 0]
            taken[line.id] = [each for each in room if abs(left[each]) >= enough][:1] or room
            for each in taken[line.id]:
                part = used - open_seconds(used, left[each])
                left[each] -= part
                used -= part
        return left, taken

    def coarseness(self, project_ref: str) -> int:
        """Return the seconds by which the ERP's lines may differ from an entry when equal."""
        return len(self.standing(project_ref)) * HALF_A_HUNDREDTH_HOUR

    def invoiced(self, project_ref: str) -> dict[str, Invoiced]:
        """Return what is invoiced less credited on a project, by currency."""
        return {
            currency: Invoiced.of(lines) for currency, lines in self._invoiced_lines(project_ref)
        }

    def named(self, project_ref: str | None) -> dict[str, Invoiced]:
        """Return the same with the lines of drafts: what locks."""
        return {
            currency: Invoiced.of(lines)
            for currency, lines in _by_currency(self.standing(project_ref))
        }

    def totals(self, project_ref: str) -> dict[BillingKey, Amounts]:
        """Return what the lines of a project add to its billing status.

        Invoiced and credited time is unmatched until an approved entry covers it (`cover`).
        """
        found: dict[BillingKey, Amounts] = {}
        for currency, lines in self._invoiced_lines(project_ref):
            invoices = [line for line in lines if line.kind != CREDIT_MEMO]
            credits = [line for line in lines if line.kind == CREDIT_MEMO]
            for state, some in ((INVOICED, invoices), (CREDITED, credits)):
                if some:
                    total = Invoiced.of(some)
                    found[project_ref, currency, state] = total.seconds, total.amount, 1
            net = Invoiced.of(lines)
            if net != Invoiced():
                found[project_ref, currency, UNMATCHED] = -net.seconds, -net.amount, 1
        return found

    def cover(self, project_ref: str, seconds: int) -> dict[BillingKey, Amounts]:
        """Return what an approved entry on a project takes off the unmatched time.

        `seconds` is the time of the entry; what the lines leave of it is open.
        """
        invoiced = self.invoiced(project_ref)
        rest = seconds - open_seconds(seconds, sum(net.seconds for net in invoiced.values()))
        found: dict[BillingKey, Amounts] = {}
        for currency in sorted(invoiced):
            net = invoiced[currency]
            if rest * net.seconds <= 0:
                continue  # nothing is left, or of the other sign
            taken = min(rest, net.seconds, key=abs)
            amount = _share(net.amount, taken, net.seconds)
            is_all = taken == net.seconds
            found[project_ref, currency, UNMATCHED] = taken, amount, -1 if is_all else 0
            rest -= taken
        return found

    def _invoiced_lines(self, project_ref: str) -> list[tuple[str, list[InvoiceLine]]]:
        standing = self.standing(project_ref)
        return _by_currency([line for line in standing if line.status not in NOT_INVOICED])


def project_of(slot: str) -> str:
    """Return the source project of a slot."""
    return slot.partition("#")[0]


def _slot(project_ref: str, number: int) -> str:
    return f"{project_ref}#{number}" if number else project_ref


def _number(slot: str) -> int:
    return int(slot.partition("#")[2] or 0)


def _by_currency(lines: list[InvoiceLine]) -> list[tuple[str, list[InvoiceLine]]]:
    found: dict[str, list[InvoiceLine]] = defaultdict(list)
    for line in lines:
        found[line.currency or NO_CURRENCY].append(line)
    return sorted(found.items())


def open_seconds(seconds: int, invoiced: int) -> int:
    """Return what is left to invoice of an entry: between nothing and all of it."""
    return sorted((0, seconds - invoiced, seconds))[1]


def _seconds(row: InvoiceLine | TimeBill) -> int:
    if row.seconds is not None:
        return row.seconds
    return int((row.hours or 0) * SECONDS_AN_HOUR)


def _amount(line: InvoiceLine) -> int:
    return int((line.amount or 0) * MONEY_UNITS)


def _share(amount: int, part: int, whole: int) -> int:
    """Return the money of a part of invoiced time, half-even at 6 digits of the currency."""
    return round(Fraction(amount * part, whole * _UNITS_A_MICRO)) * _UNITS_A_MICRO


def _oldest(bills: list[TimeBill]) -> TimeBill | None:
    return min(bills, key=lambda bill: vendor_order(bill.id), default=None)
