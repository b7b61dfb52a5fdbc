"""The dates and instants a record may hold: years 1 to 9999, as Python and ISO 8601 know them.

Avro's integers and polars' columns reach much further. What lies outside is no value: Python
raises on it, and polars panics at years of six digits.
"""

from typing import Final

import polars as pl

DAYS_MIN: Final = -719_162
DAYS_MAX: Final = 2_932_896
"""Days from 1970-01-01 to 0001-01-01 and to 9999-12-31."""

_DAY: Final = {"ms": 86_400_000, "us": 86_400_000_000}


def instant_bounds(unit: str) -> tuple[int, int]:
    """First and last instant, in `unit` (`ms` or `us`) since 1970-01-01 UTC."""
    return DAYS_MIN * _DAY[unit], (DAYS_MAX + 1) * _DAY[unit] - 1


def is_in_calendar(expr: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Whether a date, an instant, or the integer that stands for it, may be held. Null: null."""
    if isinstance(dtype, pl.Datetime):
        low, high = instant_bounds(dtype.time_unit)
    else:
        low, high = DAYS_MIN, DAYS_MAX
    return expr.to_physical().is_between(low, high)
