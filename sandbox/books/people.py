"""The people of the resource tool day by day: who they are, when they work, what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sandbox.books.rows import Row, SourceRows, number, optional_number
from schemas.identity import resource_id


def resource_of(person: Row) -> str:
    """Return the canonical resource of a person, whatever their address."""
    return resource_id(person["ref"])


def worker_of(rows: SourceRows, email: str) -> Row | None:
    """Return the person with an address, however it is spelt."""
    wanted = email.strip().lower()
    return next(
        (each for each in rows.people if (each["email"] or "").strip().lower() == wanted), None
    )


def week_of(iso_week: str) -> list[date]:
    """Return the days of an ISO week."""
    year, week = int(iso_week[:4]), int(iso_week[6:])
    return [date.fromisocalendar(year, week, weekday) for weekday in range(1, 8)]


def is_employed(person: Row, day: date) -> bool:
    """Whether a person is employed on a day."""
    has_begun = person["starts_on"] is None or person["starts_on"] <= day.isoformat()
    has_left = person["ends_on"] is not None and person["ends_on"] < day.isoformat()
    return has_begun and not has_left


def pattern_hours(person: Row, day: date) -> Decimal | None:
    """Return the hours of the weekday in the working week that holds on a day."""
    week = _held(person["weeks"], day)
    return None if week is None else number(week[day.weekday()])


def is_holiday(rows: SourceRows, person: Row, day: date) -> bool:
    """Whether a day is a holiday of the person's region or of the whole company."""
    text = day.isoformat()
    return any(
        each["starts_on"] <= text <= each["ends_on"] and each["region"] in (None, person["region"])
        for each in rows.holidays
    )


def time_off(rows: SourceRows, person: Row, day: date) -> Iterator[Row]:
    """Yield the time off of a person on a day."""
    for each in rows.days_off:
        is_then = each["starts_on"] <= day.isoformat() <= each["ends_on"]
        if is_then and person["ref"] in each["people"]:
            yield each


def is_away(rows: SourceRows, person: Row, day: date) -> bool:
    """Whether a person is off for the whole of a day."""
    return any(each["hours"] is None for each in time_off(rows, person, day))


def available_hours(rows: SourceRows, person: Row, iso_week: str) -> Decimal | None:
    """Return the hours of the working week a person is there for; None where nobody knows them."""
    total = Decimal(0)
    for day in week_of(iso_week):
        if not is_employed(person, day):
            continue
        hours = pattern_hours(person, day)
        if hours is None:
            return None
        if is_holiday(rows, person, day) or is_away(rows, person, day):
            continue
        taken = sum((number(each["hours"]) for each in time_off(rows, person, day)), Decimal(0))
        total += max(Decimal(0), hours - taken)
    return total


def weeks_employed(rows: SourceRows, person: Row, most: int) -> Iterator[str]:
    """Yield the ISO weeks of employment up to the present one, of at most so many last ones."""
    if person["is_placeholder"]:
        return
    for back in range(most):
        day = rows.today - timedelta(weeks=back)
        year, week, _ = day.isocalendar()
        name = f"{year:04d}-W{week:02d}"
        if any(is_employed(person, each) for each in week_of(name)):
            yield name


def planned_days(rows: SourceRows, person: Row, first: date, last: date) -> list[date]:
    """Return the working days of a person from a day to a day.

    Where none of them is a working day, they were planned as they are, and all of them count but
    those of leave.
    """
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    present = [day for day in days if not is_away(rows, person, day)]
    working = []
    for day in present:
        hours = pattern_hours(person, day)
        is_working = day.isoweekday() <= 5 if hours is None else hours > 0
        if is_working and not is_holiday(rows, person, day):
            working.append(day)
    return working or present


def cost_rate(person: Row, day: date) -> Decimal | None:
    """Return what an hour of a person costs on a day."""
    return optional_number(_held(person["cost_rates"], day))


def _held(history: Sequence[tuple[str, Any]], day: date) -> Any:
    """Return what holds on a day, of pairs in the order of their first days; None of none."""
    held = [value for first, value in history if first <= day.isoformat()]
    return (held or [value for _, value in history[:1]] or [None])[-1]
