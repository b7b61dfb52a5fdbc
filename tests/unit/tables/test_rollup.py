"""Availability, and margins as ratios."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import polars as pl
import pytest

from tables.facts import Resource
from tables.rollup import available_hours
from tables.totals import _ratios

WEEK = tuple(map(Decimal, ("8", "8", "8", "8", "4", "0", "0")))


def person(starts_on: date | None = None, ends_on: date | None = None) -> Resource:
    return Resource(id="p", resource_id="r", work_hours=WEEK, starts_on=starts_on, ends_on=ends_on)


@pytest.mark.parametrize(
    ("starts_on", "ends_on", "hours"),
    [
        pytest.param(None, None, 36, id="all week"),
        pytest.param(date(2026, 12, 30), None, 20, id="hired on Wednesday"),
        pytest.param(None, date(2026, 12, 29), 16, id="left on Tuesday"),
        pytest.param(date(2026, 12, 29), date(2026, 12, 30), 16, id="two days"),
        pytest.param(date(2027, 1, 4), None, 0, id="hired the week after"),
    ],
)
def test_available_hours_of_the_last_iso_week(
    starts_on: date | None, ends_on: date | None, hours: int
) -> None:
    assert available_hours(person(starts_on, ends_on), "2026-W53") == hours


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
