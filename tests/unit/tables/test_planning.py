"""Hours and money an assignment plans."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from tables.foundation.facts import (
    Assignment,
    Calendar,
    DatedRate,
    DayOff,
    Employment,
    KnownPattern,
    RateCard,
)
from tables.project.people import Rates, priced
from tables.project.planning import Plan, plan, total, working_days

MONDAY = date(2026, 11, 2)
HOUR = 3_600


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        pytest.param(MONDAY, MONDAY, 1, id="one Monday"),
        pytest.param(date(2026, 11, 6), date(2026, 11, 9), 2, id="Friday to Monday"),
        pytest.param(date(2026, 11, 7), date(2026, 11, 8), 0, id="a weekend"),
        pytest.param(date(2026, 11, 8), date(2026, 11, 15), 5, id="Sunday to Sunday"),
        pytest.param(MONDAY, date(2026, 11, 30), 21, id="a month"),
        pytest.param(MONDAY, date(2026, 11, 1), 0, id="the day before"),
        pytest.param(MONDAY, date(2026, 1, 1), 0, id="reversed"),
        pytest.param(date(2026, 11, 3), MONDAY, 0, id="reversed from a Tuesday"),
        pytest.param(date(2026, 11, 4), date(2026, 1, 1), 0, id="reversed from a Wednesday"),
        pytest.param(date.min, date.max, 2_608_615, id="for ever"),
    ],
)
def test_working_days(first: date, last: date, days: int) -> None:
    assert working_days(first, last) == days


def assignment(
    *, is_billable: bool | None = True, ends_on: date = date(2026, 11, 3), hours: str = "7.50"
) -> Assignment:
    return Assignment(
        id="a",
        project_ref="p",
        resource_ref="r",
        starts_on=MONDAY,
        ends_on=ends_on,
        hours_per_day=Decimal(hours),
        status="approved",
        is_billable=is_billable,
    )


CARD = RateCard(id="r", cost_rate=Decimal("40.0000"), bill_rate=Decimal("100.3333"), currency="EUR")
RATES = priced(None, CARD)


def test_a_plan_is_hours_at_both_rates() -> None:
    expected = Plan(Decimal("15.00"), Decimal("600.000000"), Decimal("1504.999500"), "EUR")
    assert plan(assignment(), None, RATES) == expected


@pytest.mark.fault("B10", place="tables/project/people.py")
@pytest.mark.parametrize("order", [1, -1])
def test_b10_of_two_rates_of_one_day_the_known_one_counts(order: int) -> None:
    """A contract without a rate beside one that has it: the contract of records allows both."""
    found = [DatedRate(starts_on=MONDAY, rate=rate) for rate in (None, Decimal("40.0000"))]
    rates = priced(None, CARD.model_copy(update={"cost_rates": tuple(found[::order])}))
    assert plan(assignment(), None, rates).cost == Decimal("600.000000")


@pytest.mark.parametrize("is_billable", [False, None])
def test_what_is_not_billable_costs_and_earns_nothing(is_billable: bool | None) -> None:
    planned = plan(assignment(is_billable=is_billable), None, RATES)
    assert (planned.cost, planned.revenue) == (Decimal(600), Decimal(0))


@pytest.mark.parametrize("missing", ["cost_rate", "bill_rate", "currency"])
def test_without_a_rate_there_are_hours_and_no_money(missing: str) -> None:
    rates = priced(None, CARD.model_copy(update={missing: None}))
    assert plan(assignment(), None, rates) == Plan(Decimal("15.00"), None, None, None)


def test_without_rates_there_are_hours_and_no_money() -> None:
    assert plan(assignment(), None, None) == Plan(Decimal("15.00"), None, None, None)


@pytest.mark.parametrize("costs", [(None, Decimal(50)), (Decimal(50), None)])
def test_a_day_without_a_rate_leaves_the_hours_of_all_days_and_no_money(
    costs: tuple[Decimal | None, Decimal | None],
) -> None:
    dated = tuple(zip((date(2020, 1, 1), date(2026, 11, 3)), costs, strict=True))
    rates = RATES.model_copy(update={"costs": dated})
    assert plan(assignment(), None, rates) == Plan(Decimal("15.00"), None, None, None)


@pytest.mark.fault("C21", place="tables/project/planning.py")
def test_c21_seconds_a_day_are_planned_and_not_their_rounded_hours() -> None:
    ten_minutes = assignment(hours="0.17").model_copy(update={"seconds_per_day": 600})
    planned = plan(ten_minutes, None, RATES)
    assert (planned.hours, planned.cost) == (Decimal("0.33"), Decimal("13.333333"))
    for seconds, hours in ((18, "0.00"), (54, "0.02")):  # halves go to the even neighbour
        short = assignment(ends_on=MONDAY).model_copy(update={"seconds_per_day": seconds})
        assert plan(short, None, RATES).hours == Decimal(hours)
    nothing = ten_minutes.model_copy(update={"seconds_per_day": 0})
    assert plan(nothing, None, RATES).hours == 0


@pytest.mark.parametrize(
    ("changed_on", "cost"),
    [(MONDAY, 100), (date(2026, 11, 3), 90), (date(2026, 11, 4), 80)],
    ids=["the first day", "the last day", "the day after"],
)
def test_a_rate_counts_from_its_day(changed_on: date, cost: int) -> None:
    rates = RATES.model_copy(
        update={"costs": ((date(2020, 1, 1), Decimal(40)), (changed_on, Decimal(50)))}
    )
    assert plan(assignment(hours="1.00"), None, rates).cost == cost


def test_one_day_is_planned_and_a_reversed_assignment_is_not() -> None:
    assert planned_hours(None, MONDAY) == 8
    assert planned_hours(None, date(2026, 11, 1)) == 0
    assert planned_hours(calendar(0), date(2026, 11, 1)) == 0


def calendar(*weekdays: int, days_off: tuple[DayOff, ...] = ()) -> Calendar:
    """Somebody who works eight hours on some weekdays, Monday is 0."""
    seconds = tuple(8 * HOUR if weekday in weekdays else 0 for weekday in range(7))
    pattern = KnownPattern(starts_on=date(2020, 1, 1), seconds=seconds)
    return Calendar(
        resource_id="r", employments=(Employment(),), patterns=(pattern,), days_off=days_off
    )


def off(first: date, last: date, *, is_holiday: bool = False, hours: int | None = None) -> DayOff:
    seconds = None if hours is None else hours * HOUR
    return DayOff(starts_on=first, ends_on=last, is_holiday=is_holiday, seconds=seconds)


def planned_hours(days: Calendar | None, ends_on: date) -> Decimal:
    return plan(assignment(ends_on=ends_on, hours="8.00"), days, RATES).hours


@pytest.mark.fault("C10", place="tables/project/planning.py")
def test_c10_a_person_of_three_days_is_planned_on_three_days_a_week() -> None:
    assert planned_hours(calendar(0, 1, 2), date(2026, 11, 15)) == 48


@pytest.mark.fault("C10", place="tables/project/planning.py")
@pytest.mark.parametrize(
    ("days_off", "hours"),
    [
        pytest.param((off(MONDAY, date(2026, 11, 3)),), 24, id="leave"),
        pytest.param((off(MONDAY, MONDAY, is_holiday=True),), 32, id="a holiday"),
        pytest.param((off(date(2026, 11, 7), date(2026, 11, 8)),), 40, id="leave at the weekend"),
        pytest.param((off(MONDAY, MONDAY, hours=4),), 40, id="an afternoon off"),
        pytest.param((off(date.min, date.max),), 0, id="away for ever"),
        pytest.param((off(MONDAY, date(2026, 11, 8)),), 0, id="away to the last day"),
        pytest.param((off(date(2026, 11, 6), date(2026, 11, 20)),), 32, id="away from Friday on"),
        pytest.param((off(date(2026, 10, 1), MONDAY),), 32, id="back on Tuesday"),
        pytest.param(
            (off(MONDAY, MONDAY), off(MONDAY, date(2026, 11, 4), is_holiday=True)), 16, id="both"
        ),
    ],
)
def test_days_off_are_not_planned(days_off: tuple[DayOff, ...], hours: int) -> None:
    days = calendar(0, 1, 2, 3, 4, days_off=days_off)
    assert planned_hours(days, date(2026, 11, 8)) == hours


@pytest.mark.fault("C10", place="tables/project/planning.py")
def test_rest_days_alone_were_planned_on_purpose() -> None:
    """Float lets somebody be planned on days of rest, and counts them as scheduled."""
    never_at_work_then = calendar(3, 4)
    assert planned_hours(never_at_work_then, date(2026, 11, 3)) == 16
    assert planned_hours(never_at_work_then, date(2026, 11, 5)) == 8
    away = calendar(3, 4, days_off=(off(MONDAY, MONDAY),))
    assert planned_hours(away, date(2026, 11, 3)) == 8


@pytest.mark.fault("C10", place="tables/project/planning.py")
def test_of_an_unknown_person_monday_to_friday_are_planned() -> None:
    unknown = KnownPattern(starts_on=date(2020, 1, 1), seconds=None)
    hours_unknown = calendar().model_copy(update={"patterns": (unknown,)})
    assert planned_hours(None, date(2026, 11, 8)) == 40
    assert planned_hours(hours_unknown, date(2026, 11, 8)) == 40


@pytest.mark.fault("C3", place="tables/project/people.py")
def test_each_day_is_planned_at_its_pattern_and_its_rates() -> None:
    full = KnownPattern(starts_on=date(2020, 1, 1), seconds=(8 * HOUR,) * 5 + (0, 0))
    half = KnownPattern(starts_on=date(2026, 11, 4), seconds=(8 * HOUR, 0, 0, 0, 0, 0, 0))
    days = calendar().model_copy(update={"patterns": (full, half)})
    rates = Rates(
        card=CARD,
        costs=((date(2020, 1, 1), Decimal(40)), (date(2026, 11, 3), Decimal(50))),
        prices=((date(2026, 11, 9), Decimal(100)),),
    )
    # 2 and 3 November at the full pattern, 9 November at the other: 8 h at 40, 16 h at 50.
    planned = plan(assignment(ends_on=date(2026, 11, 10), hours="8.00"), days, rates)
    assert planned == Plan(Decimal("24.00"), Decimal(1120), Decimal(2400), "EUR")


def test_leave_for_ever_in_an_assignment_for_ever_is_planned_away() -> None:
    away = calendar(0, 1, days_off=(off(date.min, date.max),))
    assert planned_hours(away, date.max) == 0


def test_a_pattern_counts_days_with_any_work() -> None:
    assert working_days(MONDAY, date(2026, 11, 8), (1, 0, 1, 0, 0, 0, 0)) == 2


@pytest.mark.parametrize(
    "plans", [[], [Plan(Decimal(0), Decimal(0), Decimal(0), None)]], ids=["none", "of nothing"]
)
def test_no_plans_come_to_nothing(plans: list[Plan]) -> None:
    assert total(plans) == Plan(Decimal(0), Decimal(0), Decimal(0), None)


def test_plans_in_one_currency_add_up() -> None:
    one = Plan(Decimal(1), Decimal(2), Decimal(3), "EUR")
    assert total([one, one]) == Plan(Decimal(2), Decimal(4), Decimal(6), "EUR")


def test_money_in_two_currencies_has_no_sum() -> None:
    plans = [Plan(Decimal(1), Decimal(2), Decimal(3), currency) for currency in ("EUR", "USD")]
    assert total(plans) == Plan(Decimal(2), None, None, None)
