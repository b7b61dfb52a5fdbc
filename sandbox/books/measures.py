"""Expected rows of the measures: margin, utilization, pipeline, and the billing of hours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sandbox.books.projects import STAGES, psa_project_id, resource_of
from sandbox.books.rows import Row, SourceRows, by_id, number, rounded, worked_hours
from sandbox.books.status import Expected

MOST_HOURS_A_DAY = 24
MOST_HOURS_TAKEN_BACK = 744  # by one correction: those of a month
POSTED_STATUSES = ("A", "B")  # open and paid in full; the ERP's letters


def counted_entries(rows: SourceRows) -> Iterator[Row]:
    """Yield the time entries that count: approved, possible, on a project the PSA knows."""
    projects = by_id(rows.projects)
    for entry in rows.time_entries:
        is_possible = -MOST_HOURS_TAKEN_BACK <= worked_hours(entry) <= MOST_HOURS_A_DAY
        if entry["status"] == "approved" and is_possible and entry["project_id"] in projects:
            yield entry


def expected_margins(rows: SourceRows) -> Expected:
    """Return `psa.metric.project_margin`: approved work and expenses, by month and currency."""
    sums: dict[tuple[int, str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
    for entry in counted_entries(rows):
        total = sums[entry["project_id"], f"{entry['work_on']:%Y-%m}", entry["currency"]]
        hours = worked_hours(entry)
        total[0] += hours
        if entry["is_billable"]:
            total[1] += hours * Fraction(number(entry["bill_rate"]))
        total[2] += hours * Fraction(number(entry["cost_rate"]))
    projects = by_id(rows.projects)
    for expense in rows.expenses:
        if expense["status"] == "approved" and expense["project_id"] in projects:
            month = f"{expense['spent_on']:%Y-%m}"
            total = sums[expense["project_id"], month, expense["currency"]]
            if expense["is_billable"]:
                total[1] += Fraction(expense["amount"])
            total[2] += Fraction(expense["amount"])
    expected: Expected = {}
    for (project, period, currency), (hours, revenue, cost) in sums.items():
        if hours == revenue == cost == 0:
            continue
        reference = f"inhouse:project:{project}"
        expected[f"{reference}|{period}|{currency}"] = {
            "project_id": psa_project_id(projects[project]) or reference,
            "project_ref": reference,
            "period": period,
            "currency": currency,
            "variant": "actual_approved",
            **_time("hours", "seconds", hours),
            "revenue": rounded(revenue, 6),
            "cost": rounded(cost, 6),
            "margin": rounded(revenue, 6) - rounded(cost, 6),
            "margin_ratio": _ratio(revenue - cost, revenue),
        }
    return expected


def expected_utilization(rows: SourceRows) -> Expected:
    """Return `psa.metric.utilization`: billable hours over available hours, by person and week."""
    people = {resource_of(person["email"]): person for person in rows.people}
    sums: dict[tuple[str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 2)
    for entry in counted_entries(rows):
        year, week, _ = entry["work_on"].isocalendar()
        total = sums[resource_of(entry["worker_email"]), f"{year:04d}-W{week:02d}"]
        if entry["is_billable"]:
            total[0] += worked_hours(entry)
        total[1] += worked_hours(entry)
    expected: Expected = {}
    for (resource, week), (billable, worked) in sums.items():
        if worked == 0:
            continue
        person = people.get(resource)
        available = available_hours(person, week) if person else None
        expected[f"{resource}|{week}"] = {
            "resource_id": resource,
            "iso_week": week,
            "variant": "billable_availability",
            **_time("billable_hours", "billable_seconds", billable),
            **_time("total_hours", "total_seconds", worked),
            "available_hours": available,
            "utilization_ratio": _ratio(billable, Fraction(available)) if available else None,
        }
    return expected


def available_hours(person: Row, iso_week: str) -> Decimal:
    """Return a person's standard hours on the days of a week on which they are employed."""
    hours = Decimal(0)
    monday = date.fromisocalendar(int(iso_week[:4]), int(iso_week[6:]), 1)
    for day in (monday + timedelta(days=offset) for offset in range(7)):
        has_begun = person["start_date"] is None or person["start_date"] <= day.isoformat()
        has_left = person["end_date"] is not None and person["end_date"] < day.isoformat()
        if has_begun and not has_left:
            # The resource tool's week begins on Sunday.
            hours += number(person["work_days_hours"][day.isoweekday() % 7])
    return hours


def expected_pipeline(rows: SourceRows) -> Expected:
    """Return `psa.metric.pipeline_health`: deals by stage and currency."""
    expected: Expected = {}
    for deal in rows.deals:
        if deal["Amount"] is None or deal["CurrencyIsoCode"] is None:
            continue
        stage, currency = STAGES[deal["StageName"]], deal["CurrencyIsoCode"]
        row = expected.setdefault(
            f"{stage}|{currency}",
            {
                "stage": stage,
                "currency": currency,
                "opportunities": 0,
                "amount": Decimal(0),
                "weighted_amount": Decimal(0),
            },
        )
        amount = number(deal["Amount"])
        row["opportunities"] += 1
        row["amount"] += amount
        row["weighted_amount"] += amount * number(deal["Probability"]) / 100
    return expected


def invoiced_hours(rows: SourceRows) -> dict[str, Decimal]:
    """Return the hours of each time entry on the ERP's invoices, less those credited.

    The ledger shows sales as negative quantities, on credit memos as positive ones.
    """
    standing = {row["id"] for row in rows.invoices if row["status"] in POSTED_STATUSES}
    hours: dict[str, Decimal] = defaultdict(Decimal)
    for line in rows.invoice_lines:
        is_sale = line["mainline"] == "F" and line["taxline"] == "F"
        if is_sale and line["transaction"] in standing and line["custcol_psa_time_entry"]:
            hours[line["custcol_psa_time_entry"]] -= number(line["quantity"])
    return hours


def expected_billing(rows: SourceRows) -> Expected:
    """Return `psa.status.billing`: approved hours by how far their billing is."""
    projects = by_id(rows.projects)
    in_erp = {job["externalid"] for job in rows.jobs}
    billed = {bill["custcol_psa_time_entry"] for bill in rows.time_bills}
    invoiced = {entry for entry, hours in invoiced_hours(rows).items() if hours > 0}
    sums: dict[tuple[int, str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
    for entry in counted_entries(rows):
        identity = f"inhouse:time_entry:{entry['id']}"
        project_id = psa_project_id(projects[entry["project_id"]])
        if not entry["is_billable"]:
            state = "non_billable"
        elif identity in invoiced:
            state = "invoiced"
        elif identity in billed:
            state = "transferred"
        else:
            state = "ready" if project_id in in_erp else "blocked"
        total = sums[entry["project_id"], entry["currency"], state]
        total[0] += worked_hours(entry)
        if entry["is_billable"]:
            total[1] += worked_hours(entry) * Fraction(number(entry["bill_rate"]))
        total[2] += 1
    return {
        f"inhouse:project:{project}|{currency}|{state}": {
            "project_ref": f"inhouse:project:{project}",
            "project_id": psa_project_id(projects[project]),
            "currency": currency,
            "state": state,
            **_time("hours", "seconds", hours),
            "amount": rounded(amount, 6),
            "entries": int(entries),
        }
        for (project, currency, state), (hours, amount, entries) in sums.items()
    }


def expected_billing_totals(rows: SourceRows) -> Expected:
    """Return the approved time of each project, whatever its billing state. Upholds I11."""
    totals: dict[str, Fraction] = defaultdict(Fraction)
    for entry in counted_entries(rows):
        totals[f"inhouse:project:{entry['project_id']}"] += worked_hours(entry)
    return {project: {"seconds": int(hours * 3600)} for project, hours in totals.items()}


def billing_totals(billing: dict[str, dict[str, Any]]) -> Expected:
    """Return the time of each project in published billing rows, all states together."""
    totals: dict[str, int] = defaultdict(int)
    for row in billing.values():
        totals[row["project_ref"]] += row["seconds"]
    return {project: {"seconds": seconds} for project, seconds in totals.items()}


def _time(hours_field: str, seconds_field: str, hours: Fraction) -> dict[str, Any]:
    return {hours_field: rounded(hours, 2), seconds_field: int(hours * 3600)}


def _ratio(part: Fraction, whole: Fraction) -> Decimal | None:
    return rounded(part / whole, 6) if whole else None
