"""Availability of a week, the weeks that have a row, and margins as ratios."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from tables.documents import Documents
from tables.effects import Outbox
from tables.facts import Calendar, DayOff, Employment, KnownPattern
from tables.rollup import WEEKS_KEPT, RollupTable, availability, is_week_of
from tables.totals import _ratios
from tests.support.topology import MemoryState

HOUR = 3_600
WEEK = tuple(hours * HOUR for hours in (8, 8, 8, 8, 4, 0, 0))
LAST_WEEK = date(2026, 12, 28)  # Monday of 2026-W53


def person(
    starts_on: date | None = None, ends_on: date | None = None, *days_off: DayOff
) -> Calendar:
    return Calendar(
        resource_id="r",
        employments=(Employment(starts_on=starts_on, ends_on=ends_on),),
        patterns=(KnownPattern(starts_on=date(2020, 1, 1), seconds=WEEK),),
        days_off=days_off,
    )


def off(first: date, last: date, hours: int | None = None) -> DayOff:
    seconds = None if hours is None else hours * HOUR
    return DayOff(starts_on=first, ends_on=last, seconds=seconds, is_holiday=False)


@pytest.mark.parametrize(
    ("calendar", "hours"),
    [
        pytest.param(person(), 36, id="all week"),
        pytest.param(person(date(2026, 12, 30)), 20, id="hired on Wednesday"),
        pytest.param(person(None, date(2026, 12, 29)), 16, id="left on Tuesday"),
        pytest.param(person(date(2026, 12, 29), date(2026, 12, 30)), 16, id="two days"),
        pytest.param(person(None, None, off(date(2026, 12, 30), date(2027, 1, 8))), 16, id="leave"),
        pytest.param(
            person(None, None, off(date(2026, 12, 28), date(2026, 12, 29), 3)), 30, id="short days"
        ),
        pytest.param(
            person(None, None, off(LAST_WEEK, LAST_WEEK, 6), off(LAST_WEEK, LAST_WEEK, 6)),
            28,
            id="more leave than the day holds",
        ),
    ],
)
def test_availability_of_the_last_iso_week(calendar: Calendar, hours: int) -> None:
    assert availability(calendar, LAST_WEEK) == (hours * HOUR, None)


@pytest.mark.fault("B10", place="tables/rollup.py")
def test_b10_unknown_hours_give_no_availability_and_a_reason() -> None:
    nobody_knows = KnownPattern(starts_on=date(2020, 1, 1), seconds=None)
    unknown = person().model_copy(update={"patterns": (nobody_knows,)})
    assert availability(unknown, LAST_WEEK) == (None, "unknown_hours")
    assert availability(None, LAST_WEEK) == (None, "unknown_person")
    away = person(None, None, off(LAST_WEEK, date(2027, 1, 3)))
    assert availability(away, LAST_WEEK) == (0, "no_availability")


@pytest.mark.fault("C9", place="tables/rollup.py")
@pytest.mark.parametrize(
    ("monday", "has_row"),
    [
        pytest.param(LAST_WEEK, True, id="the latest week"),
        pytest.param(LAST_WEEK + timedelta(weeks=1), False, id="not yet"),
        pytest.param(LAST_WEEK - timedelta(weeks=WEEKS_KEPT - 1), True, id="the oldest kept"),
        pytest.param(LAST_WEEK - timedelta(weeks=WEEKS_KEPT), False, id="older"),
    ],
)
def test_weeks_with_a_row_are_bounded_whenever_somebody_was_hired(
    monday: date, has_row: bool
) -> None:
    assert is_week_of(person(date(1990, 1, 1)), monday, LAST_WEEK) is has_row


@pytest.mark.parametrize("passed", [1, 2, WEEKS_KEPT, WEEKS_KEPT + 1, 2 * WEEKS_KEPT + 9])
def test_a_week_that_is_kept_no_longer_has_no_row_however_long_nothing_came(passed: int) -> None:
    state, standing = MemoryState(), set[str]()
    for monday in (LAST_WEEK, LAST_WEEK + passed * timedelta(days=7)):
        documents, outbox = Documents(state), Outbox()
        table = RollupTable(documents, outbox)
        table.apply_calendar("r" if monday == LAST_WEEK else "other", person(), 0)
        stamp = datetime(monday.year, monday.month, monday.day, tzinfo=UTC)
        table.settle(int(stamp.timestamp()) * 1_000)
        state.commit(documents.changes())
        for columns in outbox.columns:
            standing = (standing | set(columns.keys)) - set(columns.removed)
    of_r = {key for key in standing if key.startswith("r|")}
    assert len(of_r) == WEEKS_KEPT


def test_a_placeholder_has_no_bench() -> None:
    seat = person().model_copy(update={"kind": "placeholder"})
    assert not is_week_of(seat, LAST_WEEK, LAST_WEEK)


@pytest.mark.parametrize(
    ("part", "whole", "ratio"),
    [
        (1, 3, "0.333333"),
        (2, 3, "0.666667"),
        (1, 2_000_000, "0.000000"),
        (3, 2_000_000, "0.000002"),
        (5, 2_000_000, "0.000002"),
        (-1, 4, "-0.250000"),
    ],
)
def test_ratios_round_half_to_even(part: int, whole: int, ratio: str) -> None:
    assert _ratios("x", pl.Series([part]), pl.Series([whole])).to_list() == [Decimal(ratio)]


def test_a_ratio_of_nothing_is_null() -> None:
    assert _ratios("x", pl.Series([5]), pl.Series([0])).to_list() == [None]
