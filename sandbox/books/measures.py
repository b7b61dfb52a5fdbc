"""Expected rows of the measures: margin, utilization, pipeline, and the billing of hours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sandbox.books.projects import MICRO, STAGES, psa_project_id, resource_of
from sandbox.books.rows import Row, SourceRows, by_id, number
from sandbox.books.status import Expected

MOST_HOURS_A_DAY = 24


def counted_entries(rows: SourceRows) -> Iterator[Row]:
    """Yield the time entries that count: approved, possible, on a project the PSA knows."""
    projects = by_id(rows.projects)
    for entry in rows.time_entries:
        is_possible = 0 <= entry["hours"] <= MOST_HOURS_A_DAY
        if entry["status"] == "approved" and is_possible and entry["project_id"] in projects:
            yield entry


def expected_margins(rows: SourceRows) -> Expected:
    """Return `psa.metric.project_margin`: approved work and expenses, by month and currency."""
    sums: dict[tuple[int, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for entry in counted_entries(rows):
        total = sums[entry["project_id"], f"{entry['work_on']:%Y-%m}", entry["currency"]]
        total[0] += entry["hours"]
        if entry["is_billable"]:
            total[1] += entry["hours"] * number(entry["bill_rate"])
        total[2] += entry["hours"] * number(entry["cost_rate"])
    projects = by_id(rows.projects)
    for expense in rows.expenses:
        if expense["status"] == "approved" and expense["project_id"] in projects:
            month = f"{expense['spent_on']:%Y-%m}"
            total = sums[expense["project_id"], month, expense["currency"]]
            if expense["is_billable"]:
                total[1] += expense["amount"]
            total[2] += expense["amount"]
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
            "hours": hours,
            "revenue": revenue,
            "cost": cost,
            "margin": revenue - cost,
            "margin_ratio": _ratio(revenue - cost, revenue),
        }
    return expected


def expected_utilization(rows: SourceRows) -> Expected:
    """Return `psa.metric.utilization`: billable hours over available hours, by person and week."""
    people = {resource_of(person["email"]): person for person in rows.people}
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 2)
    for entry in counted_entries(rows):
        year, week, _ = entry["work_on"].isocalendar()
        total = sums[resource_of(entry["worker_email"]), f"{year:04d}-W{week:02d}"]
        if entry["is_billable"]:
            total[0] += entry["hours"]
        total[1] += entry["hours"]
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
            "billable_hours": billable,
            "total_hours": worked,
            "available_hours": available,
            "utilization_ratio": _ratio(billable, available) if available else None,
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


def expected_billing(rows: SourceRows) -> Expected:
    """Return `psa.status.billing`: approved hours by how far their billing is."""
    projects = by_id(rows.projects)
    in_erp = {job["externalid"] for job in rows.jobs}
    billed = {bill["custcol_psa_time_entry"] for bill in rows.time_bills}
    standing = {invoice["id"] for invoice in rows.invoices if invoice["status"] != "voided"}
    invoiced = {
        line["custcol_psa_time_entry"]
        for line in rows.invoice_lines
        if line["transaction"] in standing
    }
    expected: Expected = {}
    for entry in counted_entries(rows):
        identity, reference = (
            f"inhouse:time_entry:{entry['id']}",
            f"inhouse:project:{entry['project_id']}",
        )
        project_id = psa_project_id(projects[entry["project_id"]])
        if not entry["is_billable"]:
            state = "non_billable"
        elif identity in invoiced:
            state = "invoiced"
        elif identity in billed:
            state = "transferred"
        else:
            state = "ready" if project_id in in_erp else "blocked"
        row = expected.setdefault(
            f"{reference}|{entry['currency']}|{state}",
            {
                "project_ref": reference,
                "project_id": project_id,
                "currency": entry["currency"],
                "state": state,
                "hours": Decimal(0),
                "amount": Decimal(0),
                "entries": 0,
            },
        )
        row["hours"] += entry["hours"]
        if entry["is_billable"]:
            row["amount"] += entry["hours"] * number(entry["bill_rate"])
        row["entries"] += 1
    return expected


def expected_billing_totals(rows: SourceRows) -> Expected:
    """Return the approved hours of each project, whatever their billing state. Upholds I11."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for entry in counted_entries(rows):
        totals[f"inhouse:project:{entry['project_id']}"] += entry["hours"]
    return {project: {"hours": hours} for project, hours in totals.items()}


def billing_totals(billing: dict[str, dict[str, Any]]) -> Expected:
    """Return the hours of each project in published billing rows, all states together."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for row in billing.values():
        totals[row["project_ref"]] += row["hours"]
    return {project: {"hours": hours} for project, hours in totals.items()}


def _ratio(part: Decimal, whole: Decimal) -> Decimal | None:
    return (part / whole).quantize(MICRO, rounding=ROUND_HALF_EVEN) if whole else None
