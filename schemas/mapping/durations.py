"""Durations of sources in seconds: what the mapping word `duration` does.

A duration is rounded once, half-even to the second, and only where its unit says something else
than whole seconds: 0.33 h are 1188 s and no third of an hour, an interval of 20 minutes is 1200 s.
"""

from __future__ import annotations

from math import gcd
from typing import Final

import polars as pl

from schemas.exact import (
    HOURS_SCALE,
    SECONDS_AN_HOUR,
    half_even,
    hundredths_of_hours,
    made_once,
    unscaled,
)
from schemas.mapping.casts import INTERVAL
from schemas.mapping.config import Duration

_SECONDS: Final = {
    Duration.HOURS: SECONDS_AN_HOUR,
    Duration.MINUTES: 60,
    Duration.SECONDS: 1,
}
_MICROSECONDS: Final = 1_000_000
_UNSCALED_MAX: Final = 10**34
"""Of a decimal: in seconds more would not fit."""

# https://debezium.io/documentation/reference/stable/connectors/postgresql.html: an interval as
# text is `P<years>Y<months>M<days>DT<hours>H<minutes>M<seconds>S`, each part with its own sign.
_INTERVAL: Final = (
    r"^P(?:(-?[0-9]{1,9})Y)?(?:(-?[0-9]{1,9})M)?(?:(-?[0-9]{1,9})D)?"
    r"(?:T(?:(-?[0-9]{1,9})H)?(?:(-?[0-9]{1,9})M)?(?:(-?)([0-9]{1,9})(?:\.([0-9]{1,9}))?S)?)?$"
)
_DAY, _HOUR, _MINUTE = 86_400, SECONDS_AN_HOUR, 60
_NANOSECONDS: Final = 10**9
_NANOSECONDS_MAX: Final = 10**20
"""Of an interval in a column: sums and differences of some, and of times, still fit."""


class DurationError(Exception):
    """The unit is not one of the column's type, or the field cannot hold a duration."""


def seconds_of(unit: Duration, expr: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return a source column as whole seconds, Int64; null where it is no such duration.

    Raises DurationError for a column whose type does not fit the unit.
    """
    if unit is Duration.INTERVAL and isinstance(dtype, pl.Duration):
        return _quotient(expr.dt.total_microseconds().cast(pl.Int128), _MICROSECONDS).cast(pl.Int64)
    if unit is Duration.INTERVAL:
        _expect(dtype == pl.String, unit, dtype)
        return _quotient(_nanoseconds(expr), _NANOSECONDS).cast(pl.Int64, strict=False)
    if unit is Duration.MICROSECONDS:
        _expect(dtype.is_integer(), unit, dtype)
        return _quotient(expr.cast(pl.Int128), _MICROSECONDS).cast(pl.Int64)
    if isinstance(dtype, pl.Decimal):
        number = unscaled(expr)
        fits = number.abs() < pl.lit(_UNSCALED_MAX, pl.Int128)
        common = gcd(_SECONDS[unit], 10**dtype.scale)
        dividend = pl.when(fits).then(number) * (_SECONDS[unit] // common)
        exact = _quotient(dividend, 10**dtype.scale // common)
    else:
        _expect(dtype.is_integer(), unit, dtype)
        exact = expr.cast(pl.Int128) * _SECONDS[unit]
    return exact.cast(pl.Int64, strict=False)


def interval(text: pl.Expr) -> pl.Expr:
    """Return PostgreSQL's intervals, as Debezium writes them, as INTERVAL.

    Null where a text is none of a known length, or of more than 3000 years.
    """
    nanoseconds = _nanoseconds(text)
    is_held = nanoseconds.abs() < _NANOSECONDS_MAX
    microseconds = pl.when(is_held & (nanoseconds % 1_000 == 0)).then(nanoseconds // 1_000)
    return microseconds.cast(pl.Int64).cast(INTERVAL)


def in_field(seconds: pl.Expr, target: pl.DataType) -> pl.Expr:
    """Return seconds as a field holds them: whole, or as hours half-even at 2 digits.

    Raises DurationError for a field of another type.
    """
    if target == pl.Int64:
        return seconds
    if isinstance(target, pl.Decimal) and target.scale == HOURS_SCALE:
        hundredths = made_once(seconds.cast(pl.Int128), hundredths_of_hours)
        one = pl.lit(f"1e-{HOURS_SCALE}").cast(pl.Decimal(38, HOURS_SCALE))
        return (hundredths.cast(pl.Decimal(38, 0)) * one).cast(target, strict=False)
    raise DurationError(f"a duration does not become {target}")


def _quotient(dividend: pl.Expr, divisor: int) -> pl.Expr:
    if divisor == 1:
        return dividend
    return made_once(dividend, lambda made: half_even(made, divisor))


def _nanoseconds(text: pl.Expr) -> pl.Expr:
    """The length of an interval, Int128; null where it has none.

    Years and months have no fixed length: an interval with them is none of a known length.
    """
    part = text.str.extract_groups(_INTERVAL).struct.field
    number = {
        group: part(str(group)).cast(pl.Int128, strict=False).fill_null(0) for group in range(1, 6)
    }
    whole = part("7").cast(pl.Int128, strict=False).fill_null(0)
    fraction = part("8").fill_null("").str.pad_end(9, "0").cast(pl.Int128, strict=False)
    sign = pl.when(part("6") == "-").then(-1).otherwise(1).cast(pl.Int128)
    days_to_minutes = number[3] * _DAY + number[4] * _HOUR + number[5] * _MINUTE
    nanoseconds = days_to_minutes * _NANOSECONDS + sign * (whole * _NANOSECONDS + fraction)
    has_part = text.str.contains(r"[0-9]")
    is_fixed = (number[1] == 0) & (number[2] == 0)
    is_interval = text.str.contains(_INTERVAL) & has_part & is_fixed
    return pl.when(is_interval).then(nanoseconds)


def _expect(is_fit: bool, unit: Duration, dtype: pl.DataType) -> None:
    if not is_fit:
        raise DurationError(f"duration: {unit.value} is not for {dtype}")
