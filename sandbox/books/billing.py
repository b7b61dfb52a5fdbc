"""Expected billing status of time: what the ERP's invoices and credit memos leave of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from sandbox.books.contracts import contracts
from sandbox.books.measures import counted_entries, time_of
from sandbox.books.rows import Row, SourceRows, by_id, erp_hours, number, rounded
from sandbox.books.status import Expected

POSTED_STATUSES: Final = ("A", "B")
"""Open and paid in full: the ERP's letters."""


@dataclass(frozen=True, slots=True)
class SoldTime:
    """A line of an invoice or a credit memo that is posted, as the customer owes it."""

    entry: str
    project: str
    currency: str
    state: str  # invoiced or credited
    hours: Fraction
    amount: Fraction


def sold_time(rows: SourceRows) -> Iterator[SoldTime]:
    """Yield the ERP's lines of sales that name a time entry.

    The ledger shows what is sold as negative, and what is credited as positive.
    """
    posted = {row["id"]: row for row in rows.invoices if row["status"] in POSTED_STATUSES}
    for line in rows.invoice_lines:
        is_sale = line["mainline"] == "F" and line["taxline"] == "F"
        if is_sale and line["transaction"] in posted and line["custcol_psa_time_entry"]:
            header = posted[line["transaction"]]
            yield SoldTime(
                entry=line["custcol_psa_time_entry"],
                project=line["custcol_psa_project"],
                currency=header["currency"],
                state="credited" if header["type"] == "CustCred" else "invoiced",
                hours=-erp_hours(line["quantity"]),
                amount=-Fraction(number(line["foreignamount"])),
            )


def expected_billing(rows: SourceRows) -> Expected:
    """Return `psa.status.billing`: time by how far its billing is.

    Money of invoiced time is that of the invoice lines; what they leave of an entry is open.
    """
    projects, agreed = by_id(rows.projects, "ref"), contracts(rows)
    in_erp = {job["externalid"] for job in rows.jobs}
    billed, locked = _billed(rows), locked_projects(rows)
    parts: dict[tuple[str, str, str], list[tuple[Fraction, Fraction]]] = defaultdict(list)
    sold: dict[tuple[str, str, str], tuple[Fraction, Fraction]] = {}
    lines: dict[tuple[str, str, str, str], tuple[Fraction, Fraction]] = {}
    for line in sold_time(rows):
        key = line.entry, line.project, line.currency
        sold[key] = _plus(sold.get(key), line)
        lines[*key, line.state] = _plus(lines.get((*key, line.state)), line)
    for (_, project, currency, state), total in lines.items():
        parts[project, currency, state].append(total)
    for entry in counted_entries(rows):
        identity, project = entry["ref"], entry["project_ref"]
        worked, currency = entry["hours"], entry["currency"]
        is_sold = (identity, project, currency) in sold
        hours, amount = sold.pop((identity, project, currency), (Fraction(), Fraction()))
        taken = max(min(hours, max(worked, Fraction())), min(worked, Fraction()))
        share = Fraction(rounded(amount * taken / hours, 6)) if taken else Fraction()
        if (hours, amount) != (taken, share):
            parts[project, currency, "unmatched"].append((taken - hours, share - amount))
        rest = worked - taken
        if not entry["is_billable"]:
            state = "non_billable"
        elif not agreed[project].is_hourly:
            state = "covered"
        elif locked.get(identity, {project}) - {project}:
            state = "blocked"  # until what is invoiced elsewhere is credited
        elif (identity, project) in billed:
            state = "transferred"
        else:
            in_time = projects[project]["project_id"] in in_erp
            state = "ready" if in_time else "blocked"
        is_charged = state not in ("non_billable", "covered")
        price = Fraction(number(entry["bill_rate"])) if is_charged else Fraction()
        if rest or not is_sold:
            parts[project, currency, state].append((rest, rest * price))
    for (_, project, currency), (hours, amount) in sold.items():
        if hours or amount:
            parts[project, currency, "unmatched"].append((-hours, -amount))
    return {
        f"{project}|{currency}|{state}": {
            "project_ref": project,
            "project_id": projects[project]["project_id"],
            "currency": currency,
            "state": state,
            **time_of("hours", "seconds", sum((hours for hours, _ in some), Fraction())),
            "amount": rounded(sum((amount for _, amount in some), Fraction()), 6),
            "entries": len(some),
        }
        for (project, currency, state), some in parts.items()
    }


def expected_billing_totals(rows: SourceRows) -> Expected:
    """Return the approved time of each project, whatever its billing state. Upholds I11."""
    totals: dict[str, Fraction] = defaultdict(Fraction)
    for entry in counted_entries(rows):
        totals[entry["project_ref"]] += entry["hours"]
    return {project: {"seconds": int(hours * 3600)} for project, hours in totals.items()}


def billing_totals(billing: dict[str, dict[str, Any]]) -> Expected:
    """Return the time of each project in published billing rows, all states together."""
    totals: dict[str, int] = defaultdict(int)
    for row in billing.values():
        totals[row["project_ref"]] += row["seconds"]
    return {project: {"seconds": seconds} for project, seconds in totals.items()}


def locked_projects(rows: SourceRows) -> dict[str, set[str]]:
    """Return the PSA projects that time entries are invoiced on and not credited, by entry.

    A customer who still owes money, or has paid time that is not given back, is not even.
    """
    owed: dict[tuple[str, str, str], tuple[Fraction, Fraction]] = {}
    for line in sold_time(rows):
        key = line.entry, line.project, line.currency
        owed[key] = _plus(owed.get(key), line)
    locked: dict[str, set[str]] = defaultdict(set)
    for (entry, project, _), left in owed.items():
        if any(left):
            locked[entry].add(project)
    return dict(locked)


def expected_billing_exceptions(rows: SourceRows) -> Expected:
    """Return the open exceptions of invoiced time that is not what the PSA says any more."""
    entries = by_id(rows.time_entries, "ref")
    bills = {
        (bill["custcol_psa_time_entry"], bill["custcol_psa_project"]): bill
        for bill in rows.time_bills
    }
    agreed = contracts(rows)
    sums: dict[tuple[str, str, str], tuple[Fraction, Fraction]] = {}
    for line in sold_time(rows):
        key = line.entry, line.project, line.currency
        sums[key] = _plus(sums.get(key), line)
    expected: Expected = {}
    for (identity, project, currency), (hours, amount) in sums.items():
        entry = entries.get(identity)
        if entry is not None and entry["project_ref"] != project:
            entry = None
        is_to_bill = (
            entry is not None and entry["is_billable"] and agreed[entry["project_ref"]].is_hourly
        )
        bill = bills.get((identity, project))
        code = None
        if hours or amount:
            code = _disagreement(entry, bill, hours, is_to_bill=is_to_bill)
        if code is None:
            continue
        due = Fraction()
        if hours and entry is not None and entry["status"] == "approved" and is_to_bill:
            due = entry["hours"] * Fraction(number(entry["bill_rate"]))
        expected[f"billing:{identity}|{project}"] = {
            "exception_id": f"billing:{identity}|{project}",
            "status": "open",
            "system": rows.psa,
            "kind": "billed_time_changed",
            "natural_key": identity,
            "error_code": f"billing.{code}",
            "amount": rounded(abs(due - amount), 6),
            "currency": currency,
        }
    return expected


def _disagreement(  # noqa: PLR0911 - one return for each reason
    entry: Row | None, bill: Row | None, invoiced: Fraction, *, is_to_bill: bool
) -> str | None:
    """Return how the PSA disagrees with the hours invoiced of an entry, None where it does not."""
    if entry is None:
        return "entry_gone"
    if entry["status"] != "approved":
        return "not_approved"
    if not is_to_bill:
        return "not_billable"
    if invoiced == 0:
        return "no_hours"  # what is left is money alone
    worked = entry["hours"]
    if worked < invoiced:
        return "fewer_hours"
    if worked > invoiced and (bill is None or erp_hours(bill["hours"]) != worked):
        return "more_hours"
    is_other_price = bill is not None and number(bill["rate"]) != entry["bill_rate"]
    return "rate_changed" if is_other_price else None


def _billed(rows: SourceRows) -> set[tuple[str, str]]:
    """Return the (entry, project) that have a time bill for what is not invoiced.

    A time bill is used up once all that was invoiced of it is credited, time and money.
    """
    invoices = {row["id"] for row in rows.invoices if row["type"] == "CustInvc"}
    void = {row["id"] for row in rows.invoices if row["status"] == "V"}
    net: dict[int, Fraction] = defaultdict(Fraction)
    money: dict[int, Fraction] = defaultdict(Fraction)
    used: set[int] = set()
    for line in rows.invoice_lines:
        bill = line.get("timebill")
        if bill is not None and line["transaction"] not in void:
            net[bill] -= erp_hours(line["quantity"])
            money[bill] -= Fraction(number(line["foreignamount"]))
            used |= {bill} if line["transaction"] in invoices else set()
    return {
        (bill["custcol_psa_time_entry"], bill["custcol_psa_project"])
        for bill in rows.time_bills
        if bill["id"] not in used or net[bill["id"]] or money[bill["id"]]
    }


def _plus(total: tuple[Fraction, Fraction] | None, line: SoldTime) -> tuple[Fraction, Fraction]:
    hours, amount = total or (Fraction(), Fraction())
    return hours + line.hours, amount + line.amount
