"""What an assignment plans: hours on the person's working days, at the rates of each day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from schemas.exact import SECONDS_AN_HOUR, hours_of
from tables.foundation.facts import Assignment, Calendar
from tables.project.hours import MONEY
from tables.project.people import DAY, Pattern, Rates, days_off_on, on, pattern_on

COUNTED_STATUSES: Final = frozenset({"approved", "completed"})
FULL_WEEK: Final[Pattern] = (1, 1, 1, 1, 1, 0, 0)
"""Working days of a person whose working pattern is not known: Monday to Friday."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Planned hours and money of one assignment; money is None until the person has a rate."""

    hours: Decimal
    cost: Decimal | None
    revenue: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Days over which nothing changes: `working` counts the working days, `at_work` all of them."""

    first: date
    working: int
    at_work: int


def working_days(first: date, last: date, pattern: Pattern = FULL_WEEK) -> int:
    """Count the days of a pattern's week from `first` to `last`, both included."""
    weeks, rest = divmod(max((last - first).days + 1, 0), 7)
    is_working = [seconds > 0 for seconds in pattern]
    start = first.weekday()
    return weeks * sum(is_working) + sum(is_working[(start + day) % 7] for day in range(rest))


def plan(assignment: Assignment, calendar: Calendar | None, rates: Rates | None) -> Plan:
    """Return what an assignment plans.

    It plans its hours on each working day that is neither a holiday nor a day off. Where it
    covers no working day at all, somebody planned the rest days on purpose, and they count.
    """
    stretches = list(_stretches(assignment, calendar, rates))
    is_on_purpose = not any(each.working for each in stretches)
    seconds, cost, revenue = 0, Decimal(0), Decimal(0)
    is_priced = rates is not None and rates.card.currency is not None
    for each in stretches:
        planned = (each.at_work if is_on_purpose else each.working) * _seconds_per_day(assignment)
        seconds += planned
        cost_rate = on(rates.costs, each.first) if rates else None
        bill_rate = on(rates.prices, each.first) if rates else None
        if cost_rate is None or bill_rate is None:
            is_priced = False
            continue
        cost += planned * cost_rate
        revenue += planned * bill_rate if assignment.is_billable else Decimal(0)
    if not is_priced or rates is None:
        return Plan(hours=hours_of(seconds), cost=None, revenue=None, currency=None)
    return Plan(hours_of(seconds), _money(cost), _money(revenue), rates.card.currency)


def _seconds_per_day(assignment: Assignment) -> int:
    if assignment.seconds_per_day is not None:
        return assignment.seconds_per_day
    return int(assignment.hours_per_day * SECONDS_AN_HOUR)


def _money(seconds_at_rate: Decimal) -> Decimal:
    """Return a sum of seconds times rates an hour as money, divided once."""
    return (seconds_at_rate / SECONDS_AN_HOUR).quantize(MONEY)


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


def _stretches(
    assignment: Assignment, calendar: Calendar | None, rates: Rates | None
) -> Iterator[Stretch]:
    """Cut the days of an assignment where a pattern, a rate or an absence begins or ends."""
    first, last = assignment.starts_on, assignment.ends_on
    if last < first:
        yield Stretch(first, 0, 0)
        return
    bounds: set[date] = set()
    if rates is not None:
        bounds |= {starts_on for starts_on, _ in (*rates.costs, *rates.prices)}
    if calendar is not None:
        bounds |= {each.starts_on for each in calendar.patterns}
        bounds |= {each.starts_on for each in calendar.days_off}
        bounds |= {each.ends_on + DAY for each in calendar.days_off if each.ends_on < last}
    starts = [first, *sorted(day for day in bounds if first < day <= last)]
    ends = [*(day - DAY for day in starts[1:]), last]
    for start, end in zip(starts, ends, strict=True):
        days = (end - start).days + 1
        if calendar is None:
            yield Stretch(start, working_days(start, end), days)
            continue
        off = [each for each in days_off_on(calendar, start) if each.seconds is None]
        pattern = pattern_on(calendar, start) or FULL_WEEK
        is_leave = any(not each.is_holiday for each in off)
        yield Stretch(
            start, 0 if off else working_days(start, end, pattern), 0 if is_leave else days
        )
