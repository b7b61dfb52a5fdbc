"""Durations of sources: whole seconds, rounded once."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError
from schemas.exact import FEW, half_even, hours_of
from schemas.mapping.config import Duration
from schemas.mapping.durations import DurationError, in_field, seconds_of
from tests.support.catalogue import load_mappings
from tests.support.source_events import mapping_text

DECIMAL = pl.Decimal(18, 4)


def seconds(unit: Duration, value: Any, dtype: pl.DataType) -> int | None:
    frame = pl.DataFrame({"value": [value]}, schema={"value": dtype})
    found: int | None = frame.select(seconds_of(unit, pl.col("value"), dtype)).item()
    return found


@pytest.mark.fault("C21", place="schemas/mapping/durations.py")
@pytest.mark.parametrize(
    ("unit", "value", "dtype", "expected"),
    [
        (Duration.HOURS, Decimal("0.33"), pl.Decimal(9, 2), 1_188),
        (Duration.HOURS, Decimal("0.3333"), DECIMAL, 1_200),
        (Duration.HOURS, Decimal("-8.00"), pl.Decimal(9, 2), -28_800),
        (Duration.HOURS, 8, pl.Int64(), 28_800),
        (Duration.MINUTES, 50, pl.Int32(), 3_000),
        (Duration.MINUTES, Decimal("7.5"), DECIMAL, 450),
        (Duration.SECONDS, 3_001, pl.Int64(), 3_001),
        (Duration.SECONDS, Decimal("2.5000"), DECIMAL, 2),
        (Duration.SECONDS, Decimal("3.5000"), DECIMAL, 4),
        (Duration.SECONDS, Decimal("-2.5000"), DECIMAL, -2),
        (Duration.MICROSECONDS, 1_200_000_000, pl.Int64(), 1_200),
        (Duration.MICROSECONDS, -500_000, pl.Int64(), 0),
        (Duration.INTERVAL, "P0Y0M0DT0H50M0S", pl.String(), 3_000),
        (Duration.INTERVAL, "P0Y0M0DT\u0663H0M0S", pl.String(), None),  # digits of another script
        (Duration.INTERVAL, "P0Y0M1DT1H-30M0.0S", pl.String(), 88_200),
        (Duration.INTERVAL, "P0Y0M0DT0H0M-2.5S", pl.String(), -2),
        (Duration.INTERVAL, "PT20M", pl.String(), 1_200),
        (Duration.INTERVAL, "P0Y0M0DT0H0M0.500001S", pl.String(), 1),
        (Duration.INTERVAL, "P0Y1M0DT0H0M0S", pl.String(), None),
        (Duration.INTERVAL, "P1Y", pl.String(), None),
        (Duration.INTERVAL, "P", pl.String(), None),
        (Duration.INTERVAL, "PT", pl.String(), None),
        (Duration.INTERVAL, "50 minutes", pl.String(), None),
        (Duration.INTERVAL, "", pl.String(), None),
        (Duration.HOURS, Decimal("99999999999999.0000"), DECIMAL, 359_999_999_999_996_400),
        (Duration.MINUTES, 2**62, pl.Int64(), None),
    ],
)
def test_c21_seconds_of_each_unit(
    unit: Duration, value: Any, dtype: pl.DataType, expected: int | None
) -> None:
    assert seconds(unit, value, dtype) == expected
    assert seconds(unit, None, dtype) is None


@pytest.mark.parametrize(
    ("unit", "dtype"),
    [
        (Duration.HOURS, pl.String()),
        (Duration.MICROSECONDS, DECIMAL),
        (Duration.INTERVAL, pl.Int64()),
        (Duration.MINUTES, pl.Float64()),
    ],
)
def test_a_column_that_does_not_fit_the_unit_is_refused(unit: Duration, dtype: pl.DataType) -> None:
    with pytest.raises(DurationError, match=unit.value):
        seconds_of(unit, pl.col("value"), dtype)


def test_a_field_of_another_type_is_a_problem_of_the_mapping() -> None:
    text = mapping_text("float").replace(
        "name: {from: name, text: trim}", "name: {from: id, duration: minutes}"
    )
    with pytest.raises(ConfigError, match="a duration does not become"):
        load_mappings(text)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**6))
def test_half_even_is_that_of_fractions(dividend: int, divisor: int) -> None:
    expected = round(Fraction(dividend, divisor))
    frame = pl.DataFrame({"n": [dividend]}, schema={"n": pl.Int128})
    assert frame.select(half_even(pl.col("n"), divisor)).item() == expected
    assert half_even(dividend, divisor) == expected


@given(st.integers(-(10**9), 10**9))
def test_hours_in_a_field_are_hours_as_a_value(value: int) -> None:
    for count in (1, FEW + 1):  # one by one, and as a column
        frame = pl.DataFrame({"s": [value] * count})
        found = set(frame.select(in_field(pl.col("s"), pl.Decimal(18, 2))).to_series())
        assert found == {hours_of(value)} == {Decimal(round(Fraction(value, 36))) / 100}


def test_a_number_too_large_for_seconds_is_none() -> None:
    wraps = 2**128 // 3600 + 1  # as seconds, it would come round to a few
    hours = pl.DataFrame({"n": [Decimal(wraps), Decimal(2)]}, schema={"n": pl.Decimal(38, 0)})
    made = seconds_of(Duration.HOURS, pl.col("n"), hours.schema["n"])
    assert hours.select(made).to_series().to_list() == [None, 7200]
