"""Expected rows of the measures: margin, utilization and pipeline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sandbox.books.contracts import contracts, fixed_fees
from sandbox.books.people import available_hours, resource_of, weeks_employed, worker_of
from sandbox.books.rows import Row, SourceRows, by_id, number, rounded
from sandbox.books.status import Expected
from schemas.identity import resource_id

MOST_HOURS_A_DAY = 24
WEEKS_KEPT = 260
MOST_HOURS_TAKEN_BACK = 744  # by one correction: those of a month


def counted_entries(rows: SourceRows) -> Iterator[Row]:
    """Yield the time entries that count: approved, possible, on a project the PSA knows."""
    projects = by_id(rows.projects, "ref")
    for entry in rows.time_entries:
        is_possible = -MOST_HOURS_TAKEN_BACK <= entry["hours"] <= MOST_HOURS_A_DAY
        if entry["status"] == "approved" and is_possible and entry["project_ref"] in projects:
            yield entry


def expected_margins(rows: SourceRows) -> Expected:
    """Return `psa.metric.project_margin`: approved work and expenses, by month and currency."""
    agreed = contracts(rows)
    hours_of: dict[str, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    sums: dict[tuple[str, str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
    for entry in counted_entries(rows):
        total = sums[entry["project_ref"], f"{entry['work_on']:%Y-%m}", entry["currency"]]
        hours = entry["hours"]
        total[0] += hours
        hours_of[entry["project_ref"]][f"{entry['work_on']:%Y-%m}"] += hours
        if entry["is_billable"] and agreed[entry["project_ref"]].is_hourly:
            total[1] += hours * Fraction(number(entry["bill_rate"]))
        total[2] += hours * Fraction(number(entry["cost_rate"]))
    projects = by_id(rows.projects, "ref")
    for expense in rows.expenses:
        if expense["status"] == "approved" and expense["project_ref"] in projects:
            month = f"{expense['spent_on']:%Y-%m}"
            total = sums[expense["project_ref"], month, expense["currency"]]
            if expense["is_billable"]:
                total[1] += Fraction(expense["amount"])
            total[2] += Fraction(expense["amount"])
    unknown: dict[str, str | None] = {}
    for project in {project for project, _, _ in sums}:
        if agreed[project].is_hourly:
            continue
        fees, unknown[project] = fixed_fees(agreed[project], hours_of[project])
        for month, fee in fees.items():
            sums[project, month, str(agreed[project].currency)][1] += fee
    expected: Expected = {}
    for (project, period, currency), (hours, revenue, cost) in sums.items():
        reason = unknown.get(project)
        if hours == revenue == cost == 0:
            continue
        expected[f"{project}|{period}|{currency}"] = {
            "project_id": projects[project]["project_id"] or project,
            "project_ref": project,
            "period": period,
            "currency": currency,
            "variant": "actual_approved",
            **time_of("hours", "seconds", hours),
            "revenue": None if reason else rounded(revenue, 6),
            "revenue_reason": reason,
            "cost": rounded(cost, 6),
            "margin": None if reason else rounded(revenue, 6) - rounded(cost, 6),
            "margin_ratio": None if reason else _ratio(revenue - cost, revenue),
        }
    return expected


def expected_utilization(rows: SourceRows) -> Expected:
    """Return `psa.metric.utilization`: billable hours over available hours, by person and week.

    Each person has a row for each week of employment of the last years, and for weeks with hours.
    """
    people = {resource_of(person): person for person in rows.people}
    sums: dict[tuple[str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 2)
    for entry in counted_entries(rows):
        year, week, _ = entry["work_on"].isocalendar()
        person = worker_of(rows, entry["worker"])
        resource = resource_of(person) if person else resource_id(entry["worker"])
        total = sums[resource, f"{year:04d}-W{week:02d}"]
        if entry["is_billable"]:
            total[0] += entry["hours"]
        total[1] += entry["hours"]
    weeks = {key for key, total in sums.items() if any(total)}
    for resource, person in people.items():
        weeks |= {(resource, week) for week in weeks_employed(rows, person, WEEKS_KEPT)}
    expected: Expected = {}
    for resource, week in weeks:
        billable, worked = sums[resource, week]
        person = people.get(resource)
        available = available_hours(rows, person, week) if person else None
        if person is None:
            reason = "unknown_person"
        else:
            reason = "unknown_hours" if available is None else "no_availability"
        expected[f"{resource}|{week}"] = {
            "resource_id": resource,
            "iso_week": week,
            "variant": "billable_availability",
            **time_of("billable_hours", "billable_seconds", billable),
            **time_of("total_hours", "total_seconds", worked),
            "available_hours": available,
            "utilization_ratio": _ratio(billable, Fraction(available)) if available else None,
            "ratio_reason": None if available else reason,
        }
    return expected


def expected_pipeline(rows: SourceRows) -> Expected:
    """Return `psa.metric.pipeline_health`: deals by stage and currency."""
    expected: Expected = {}
    for deal in rows.deals:
        if deal["amount"] is None or deal["currency"] is None:
            continue
        stage, currency = deal["stage"], deal["currency"]
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
        amount = number(deal["amount"])
        row["opportunities"] += 1
        row["amount"] += amount
        row["weighted_amount"] += amount * deal["probability"]
    return expected


def time_of(hours_field: str, seconds_field: str, hours: Fraction) -> dict[str, Any]:
    """Return time as published: hours at two digits, and whole seconds."""
    return {hours_field: rounded(hours, 2), seconds_field: int(hours * 3600)}


def _ratio(part: Fraction, whole: Fraction) -> Decimal | None:
    return rounded(part / whole, 6) if whole else None
