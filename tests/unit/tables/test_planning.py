"""Hours and money an assignment plans."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from tables.facts import Assignment, RateCard
from tables.planning import Plan, plan, total, working_days

MONDAY = date(2026, 11, 2)


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
    ],
)
def test_working_days(first: date, last: date, days: int) -> None:
    assert working_days(first, last) == days


def assignment(*, is_billable: bool | None = True) -> Assignment:
    return Assignment(
        id="a",
        project_ref="p",
        resource_ref="r",
        starts_on=MONDAY,
        ends_on=date(2026, 11, 3),
        hours_per_day=Decimal("7.50"),
        status="approved",
        is_billable=is_billable,
    )


RATE = RateCard(id="r", cost_rate=Decimal("40.0000"), bill_rate=Decimal("100.3333"), currency="EUR")


def test_a_plan_is_hours_at_both_rates() -> None:
    expected = Plan(Decimal("15.00"), Decimal("600.000000"), Decimal("1504.999500"), "EUR")
    assert plan(assignment(), RATE) == expected


@pytest.mark.parametrize("is_billable", [False, None])
def test_what_is_not_billable_costs_and_earns_nothing(is_billable: bool | None) -> None:
    planned = plan(assignment(is_billable=is_billable), RATE)
    assert (planned.cost, planned.revenue) == (Decimal(600), Decimal(0))


@pytest.mark.parametrize("missing", ["cost_rate", "bill_rate"])
def test_without_a_rate_there_are_hours_and_no_money(missing: str) -> None:
    rate = RATE.model_copy(update={missing: None})
    assert plan(assignment(), rate) == Plan(Decimal("15.00"), None, None, None)


def test_plans_in_one_currency_add_up() -> None:
    one = Plan(Decimal(1), Decimal(2), Decimal(3), "EUR")
    assert total([one, one]) == Plan(Decimal(2), Decimal(4), Decimal(6), "EUR")


def test_money_in_two_currencies_has_no_sum() -> None:
    plans = [Plan(Decimal(1), Decimal(2), Decimal(3), currency) for currency in ("EUR", "USD")]
    assert total(plans) == Plan(Decimal(2), None, None, None)
