"""What an assignment plans: hours on working days, at the person's rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from tables.facts import Assignment, RateCard
from tables.pipeline import MONEY

COUNTED_STATUSES: Final = frozenset({"approved", "completed"})
WORKING_DAYS_A_WEEK: Final = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """Planned hours and money of one assignment; money is None until the person has a rate."""

    hours: Decimal
    cost: Decimal | None
    revenue: Decimal | None
    currency: str | None


def working_days(first: date, last: date) -> int:
    """Count Mondays to Fridays from `first` to `last`, both included; 0 if `last` is earlier."""
    days = (last - first).days + 1
    if days <= 0:
        return 0
    weeks, rest = divmod(days, 7)
    start = first.weekday()
    extra = sum((start + offset) % 7 < WORKING_DAYS_A_WEEK for offset in range(rest))
    return weeks * WORKING_DAYS_A_WEEK + extra


def plan(assignment: Assignment, rate: RateCard | None) -> Plan:
    """Return what an assignment plans."""
    hours = assignment.hours_per_day * working_days(assignment.starts_on, assignment.ends_on)
    if rate is None or rate.cost_rate is None or rate.bill_rate is None:
        return Plan(hours=hours, cost=None, revenue=None, currency=None)
    revenue = hours * rate.bill_rate if assignment.is_billable else Decimal(0)
    return Plan(
        hours=hours,
        cost=(hours * rate.cost_rate).quantize(MONEY),
        revenue=revenue.quantize(MONEY),
        currency=rate.currency,
    )


def total(plans: list[Plan]) -> Plan:
    """Add up priced plans. Money in more than one currency has no sum: then it is None."""
    currencies = {each.currency for each in plans}
    hours = sum((each.hours for each in plans), Decimal(0))
    if len(currencies) > 1:
        return Plan(hours=hours, cost=None, revenue=None, currency=None)
    return Plan(
        hours=hours,
        cost=sum((each.cost or Decimal(0) for each in plans), Decimal(0)),
        revenue=sum((each.revenue or Decimal(0) for each in plans), Decimal(0)),
        currency=currencies.pop() if currencies else None,
    )
