"""Availability of a week, the weeks that have a row, and margins as ratios."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from schemas.errors import InvalidEntityError
from tables.foundation.columns import named
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import Calendar, DayOff, Employment, KnownPattern, Partial
from tables.measures.measure import ratio
from tables.measures.pipeline import PIPELINE
from tables.measures.utilization import (
    UTILIZATION,
    WEEKS_KEPT,
    _that_differ,
    availability,
    is_week_of,
)
from tables.rollup import RollupTable
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


@pytest.mark.fault("B10", place="tables/measures/utilization.py")
def test_b10_unknown_hours_give_no_availability_and_a_reason() -> None:
    nobody_knows = KnownPattern(starts_on=date(2020, 1, 1), seconds=None)
    unknown = person().model_copy(update={"patterns": (nobody_knows,)})
    assert availability(unknown, LAST_WEEK) == (None, "unknown_hours")
    assert availability(None, LAST_WEEK) == (None, "unknown_person")
    away = person(None, None, off(LAST_WEEK, date(2027, 1, 3)))
    assert availability(away, LAST_WEEK) == (0, "no_availability")


@pytest.mark.fault("C9", place="tables/measures/utilization.py")
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


def weeks_from(monday: date, count: int) -> list[date]:
    return [monday + timedelta(weeks=number) for number in range(count)]


def names(mondays: Iterable[date]) -> set[str]:
    return {f"r|{year:04d}-W{week:02d}" for year, week, _ in (it.isocalendar() for it in mondays)}


class Weeks:
    """The second folds of one partition, chunk by chunk."""

    def __init__(self) -> None:
        self._documents = Documents(MemoryState())

    def chunk(
        self,
        day: date,
        calendar: Calendar | None = None,
        **partials: tuple[int | None, int | None] | None,
    ) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """Take in a calendar and partials of the last week by source; return rows and removals."""
        outbox = Outbox()
        table = RollupTable(self._documents, outbox)
        if calendar is not None:
            table.apply_calendar("r", calendar, 0)
        for source, seconds in partials.items():
            dimension = "r|2026-W53"
            fact = seconds and Partial(
                measure="utilization",
                dimension=dimension,
                source=source,
                seconds=seconds[0],
                total_seconds=seconds[1],
            )
            table.apply_partial(f"utilization|{dimension}|{source}", fact or None, 0)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        table.settle(int(noon.timestamp() * 1_000))
        rows: dict[str, dict[str, Any]] = {}
        removed: set[str] = set()
        for emit in outbox.columns:
            assert emit.topic == UTILIZATION.topic
            rows |= dict(zip(emit.keys, emit.to_dicts(), strict=True))
            removed |= set(emit.removed)
        return rows, removed


@pytest.mark.fault("C9", place="tables/measures/utilization.py")
def test_c9_as_weeks_pass_they_get_rows_and_the_oldest_lose_theirs() -> None:
    weeks, kept = Weeks(), WEEKS_KEPT - 1
    rows, removed = weeks.chunk(LAST_WEEK, person(date(1990, 1, 1)))
    oldest = LAST_WEEK - timedelta(weeks=kept)
    assert (rows.keys(), removed) == (names(weeks_from(oldest, WEEKS_KEPT)), set())

    later = LAST_WEEK + timedelta(weeks=2)
    rows, removed = weeks.chunk(later + timedelta(days=6))
    assert rows.keys() == names([LAST_WEEK + timedelta(weeks=1), later])
    assert removed == names(weeks_from(oldest, 2))

    assert weeks.chunk(later + timedelta(days=6)) == ({}, set()), "the same week"
    assert weeks.chunk(LAST_WEEK) == ({}, set()), "a clock that goes back"

    much_later = later + timedelta(weeks=WEEKS_KEPT + 40)
    rows, removed = weeks.chunk(much_later)
    assert rows.keys() == names(weeks_from(much_later - timedelta(weeks=kept), WEEKS_KEPT))
    assert removed == names(weeks_from(later - timedelta(weeks=kept), WEEKS_KEPT))


def test_partials_of_a_week_add_up_and_are_published_where_they_change_it() -> None:
    weeks = Weeks()
    rows, _ = weeks.chunk(LAST_WEEK, person(LAST_WEEK))
    first = rows["r|2026-W53"]["version"]
    rows, _ = weeks.chunk(LAST_WEEK, a=(9 * HOUR, 9 * HOUR), b=(3 * HOUR, 5 * HOUR))
    row = rows["r|2026-W53"]
    assert (row["billable_hours"], row["total_hours"], row["available_hours"]) == (12, 14, 36)
    assert (row["billable_seconds"], row["total_seconds"]) == (12 * HOUR, 14 * HOUR)
    assert (row["utilization_ratio"], row["version"]) == (Decimal("0.333333"), first + 1)

    assert weeks.chunk(LAST_WEEK, b=(3 * HOUR, 5 * HOUR)) == ({}, set()), "sent again"
    rows, _ = weeks.chunk(LAST_WEEK, a=(0, HOUR))
    row = rows["r|2026-W53"]
    assert (row["billable_hours"], row["total_hours"], row["version"]) == (3, 6, first + 2)
    rows, _ = weeks.chunk(LAST_WEEK, a=None, b=(0, 0))
    row = rows["r|2026-W53"]
    assert (row["billable_hours"], row["total_hours"], row["version"]) == (0, 0, first + 3)


@pytest.mark.parametrize("seconds", [(HOUR, None), (None, HOUR), (HOUR, HOUR)])
def test_a_week_of_an_unknown_person_has_a_row_while_it_has_hours(
    seconds: tuple[int | None, int | None],
) -> None:
    weeks = Weeks()
    rows, removed = weeks.chunk(LAST_WEEK, a=seconds)
    assert (rows.keys(), removed) == ({"r|2026-W53"}, set())
    assert rows["r|2026-W53"]["ratio_reason"] == "unknown_person"
    assert weeks.chunk(LAST_WEEK, a=(0, 0)) == ({}, {"r|2026-W53"})


def stage(*partials: Partial | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Take in partials of one stage, each of its own source; return rows and removals."""
    outbox = Outbox()
    table = RollupTable(Documents(MemoryState()), outbox)
    for number, partial in enumerate(partials):
        table.apply_partial(f"pipeline|won|EUR|{number}", partial, 0)
    table.settle(0)
    rows = [row for columns in outbox.columns for row in columns.to_dicts()]
    assert {columns.topic for columns in outbox.columns} <= {PIPELINE.topic}
    return rows, [key for columns in outbox.columns for key in columns.removed]


def deals(count: int | None, amount: int | None, weighted: int | None) -> Partial:
    money = [None if each is None else Decimal(each) for each in (amount, weighted)]
    return Partial(
        measure="pipeline",
        dimension="won|EUR",
        source="s",
        count=count,
        amount=money[0],
        weighted_amount=money[1],
    )


@pytest.mark.parametrize(
    ("partials", "totals"),
    [
        ([deals(2, 30, 5), deals(1, 4, 2)], (3, 34, 7)),
        ([deals(2, 30, None), deals(1, None, 2)], (3, 30, 2)),
        ([deals(1, None, None)], (1, 0, 0)),
        ([deals(None, 30, 5)], None),
        ([deals(2, 30, 5), None], (2, 30, 5)),
    ],
)
def test_what_partials_do_not_tell_adds_nothing_to_a_stage(
    partials: list[Partial | None], totals: tuple[int, int, int] | None
) -> None:
    rows, removed = stage(*partials)
    assert removed == []
    found = [(row["opportunities"], row["amount"], row["weighted_amount"]) for row in rows]
    assert found == ([] if totals is None else [totals])
    assert {(row["stage"], row["currency"], row["version"]) for row in rows} <= {("won", "EUR", 1)}


def test_a_partial_of_a_measure_that_nobody_knows_is_refused() -> None:
    documents = Documents(MemoryState())
    table = RollupTable(documents, Outbox())
    with pytest.raises(InvalidEntityError, match="there is no measure weather"):
        table.apply_partial("weather|won|EUR|s", deals(1, 2, 3), 0)
    assert documents.changes() == {}


NEXT_WEEK = LAST_WEEK + timedelta(weeks=1)
HELD = off(date(2026, 12, 28), date(2026, 12, 29))


@pytest.mark.parametrize(
    ("former", "now", "weeks"),
    [
        pytest.param(None, person(), 4, id="a new person"),
        pytest.param(person(), None, 4, id="a person less"),
        pytest.param(person(), person(date(2020, 1, 1)), 4, id="another employment"),
        pytest.param(person(), person(), 0, id="nothing"),
        pytest.param(person(None, None, HELD), person(None, None, HELD), 0, id="the same leave"),
        pytest.param(person(None, None, HELD), person(), [LAST_WEEK], id="leave less"),
        pytest.param(
            person(None, None, HELD),
            person(None, None, HELD, off(NEXT_WEEK, NEXT_WEEK)),
            [NEXT_WEEK],
            id="leave more, from and to Monday",
        ),
        pytest.param(
            person(),
            person(None, None, off(date(2027, 1, 3), date(2027, 1, 3))),
            [LAST_WEEK],
            id="a Sunday",
        ),
        pytest.param(
            person(),
            person(None, None, off(date(2027, 1, 3), NEXT_WEEK)),
            [LAST_WEEK, NEXT_WEEK],
            id="Sunday and Monday",
        ),
    ],
)
def test_a_change_of_leave_touches_its_weeks_and_any_other_change_all_weeks(
    former: Calendar | None, now: Calendar | None, weeks: int | list[date]
) -> None:
    mondays = weeks_from(LAST_WEEK - timedelta(weeks=1), 4)
    expected = mondays[:weeks] if isinstance(weeks, int) else weeks
    assert _that_differ(former, now, mondays) == expected


def ratio_of(part: int | None, whole: int | None) -> Decimal | None:
    frame = pl.DataFrame(
        {"part": [part], "whole": [whole]}, schema=dict.fromkeys(("part", "whole"), pl.Int128)
    )
    value: Decimal | None = frame.select(ratio(named("part"), named("whole"))(pl.col)).item()
    return value


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (1, 3, "0.333333"),
        (2, 3, "0.666667"),
        (1, 2_000_000, "0.000000"),
        (3, 2_000_000, "0.000002"),
        (5, 2_000_000, "0.000002"),
        (-1, 4, "-0.250000"),
    ],
)
def test_ratios_round_half_to_even(part: int, whole: int, expected: str) -> None:
    assert ratio_of(part, whole) == Decimal(expected)


def test_a_ratio_of_nothing_is_null() -> None:
    assert ratio_of(5, 0) is None
    assert ratio_of(5, None) is None
    assert ratio_of(None, None) is None
