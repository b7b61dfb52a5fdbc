"""Exact integers behind decimal columns: unscaled values, and quotients rounded once.

Seconds and money are added up as integers and divided when they are published. 128 bits hold
what 64 do not: a year of a firm's seconds times a rate in the currency's ten-thousandths.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any, Final, TypeVar

import polars as pl

SECONDS_AN_HOUR: Final = 3_600
HOURS_SCALE: Final = 2
RATIO_PRECISION: Final = 18
RATIO_SCALE: Final = 6
FEW: Final = 64
"""Up to so many values, one after the other is faster than columns."""
_SECONDS_A_HUNDREDTH: Final = SECONDS_AN_HOUR // 10**HOURS_SCALE


def unscaled(column: pl.Expr) -> pl.Expr:
    """Return a decimal column as its unscaled 128-bit integer; null stays null."""
    return column.to_physical().cast(pl.Int128)


Whole = TypeVar("Whole", int, pl.Expr)
"""An integer, or a column of integers."""


def half_even(dividend: Whole, divisor: int) -> Whole:
    """Return integers divided by a positive one, half-even to an integer; null stays null."""
    quotient = dividend // divisor  # towards minus infinity, so that the rest is never negative
    twice_rest = 2 * (dividend - quotient * divisor)
    is_up = (twice_rest > divisor) | ((twice_rest == divisor) & (quotient % 2 != 0))
    return quotient + (is_up.cast(pl.Int8) if isinstance(is_up, pl.Expr) else is_up)


def made_once(column: pl.Expr, function: Callable[[Any], Any]) -> pl.Expr:
    """Return a function of a column of integers that names it several times, made only once.

    polars makes what is named twice twice, and so what rests on it four times. Of few integers the
    function is taken one by one. The type stays.
    """

    def of_values(values: pl.Series) -> pl.Series:
        if len(values) <= FEW:
            each = [None if value is None else function(value) for value in values.to_list()]
            return pl.Series(values.name, each, dtype=values.dtype)
        made = values.alias("made").to_frame().select(function(pl.col("made")))
        return made.to_series().alias(values.name)

    return column.map_batches(of_values, return_dtype=pl.self_dtype(), is_elementwise=True)


def hundredths_of_hours(seconds: Whole) -> Whole:
    """Return seconds in hundredths of hours, half-even."""
    return half_even(seconds, _SECONDS_A_HUNDREDTH)


def hours_of(seconds: int) -> Decimal:
    """Return seconds in hours, half-even at 2 digits."""
    exact = Decimal(seconds) / SECONDS_AN_HOUR
    return exact.quantize(Decimal(1).scaleb(-HOURS_SCALE), rounding=ROUND_HALF_EVEN)


def seconds_of_hundredths(hundredths: Whole) -> Whole:
    """Return hundredths of hours in seconds, exactly."""
    return hundredths * _SECONDS_A_HUNDREDTH


def ratio_of(part: int, whole: int | None) -> Decimal | None:
    """Return part / whole, half-even at 6 digits.

    None where the whole is zero or not known, and where no contract's ratio holds the quotient.
    """
    if not whole:
        return None
    scaled = round(Fraction(part * 10**RATIO_SCALE, whole))
    is_held = abs(scaled) < 10**RATIO_PRECISION
    return Decimal(scaled).scaleb(-RATIO_SCALE) if is_held else None
