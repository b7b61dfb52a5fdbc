"""Rules over rows that hold for columns and for single values: each stands once.

A rule asks for what it reads by name and gets an expression, for all rows of a frame at once, or
the value of one row. Below some rows a frame costs more than what is done with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Context, Decimal
from typing import Any, Final

import polars as pl

Get = Callable[[str], Any]
"""What a rule reads of a row: its columns, or its values."""
Column = Callable[[Get], Any]
"""A rule that makes one column, or one value."""

_EXACT: Final = Context(prec=60)


def named(name: str) -> Column:
    """Return a column as it is."""
    return lambda get: get(name)


def constant(value: str | None) -> Column:
    """Return the same value for every row."""
    return lambda _: value


def made(function: Callable[..., Any], *columns: Column) -> Column:
    """Return a function of columns; null where one of them is."""

    def make(get: Get) -> Any:
        values = [column(get) for column in columns]
        return None if any(value is None for value in values) else function(*values)

    return make


def known(value: Any, default: Any) -> Any:
    """Return a value, or the default where there is none."""
    if isinstance(value, pl.Expr):
        return pl.coalesce(value, _literal(default))
    return default if value is None else value


def is_there(value: Any) -> Any:
    """Whether there is a value."""
    return value.is_not_null() if isinstance(value, pl.Expr) else value is not None


def negated(flag: Any) -> Any:
    """Return the opposite of what is known."""
    return ~flag if isinstance(flag, pl.Expr) else not flag


def number(flag: Any) -> Any:
    """Return 1 for what is so, else 0."""
    return flag.cast(pl.Int64) if isinstance(flag, pl.Expr) else int(flag)


def where(condition: Any, then: Any, otherwise: Any) -> Any:
    """Return one of two values."""
    if not isinstance(condition, pl.Expr):
        return then if condition else otherwise
    return pl.when(condition).then(_literal(then)).otherwise(_literal(otherwise))


def least(left: Any, right: Any) -> Any:
    """Return the lower one of two numbers."""
    if isinstance(left, pl.Expr):
        return pl.min_horizontal(left, right)
    return min(left, right)


def most(left: Any, right: Any) -> Any:
    """Return the higher one of two numbers."""
    if isinstance(left, pl.Expr):
        return pl.max_horizontal(left, right)
    return max(left, right)


def unscaled(value: Any, scale: int) -> Any:
    """Return a decimal of at most `scale` digits as an integer of the last of them."""
    if isinstance(value, pl.Expr):
        return value.cast(pl.Decimal(38, scale)).to_physical().cast(pl.Int128)
    return None if value is None else int(_EXACT.scaleb(value, scale))


def as_decimal(whole: Any, precision: int, scale: int) -> Any:
    """Return unscaled integers as the decimals they stand for, exactly."""
    if not isinstance(whole, pl.Expr):
        return _EXACT.scaleb(Decimal(whole), -scale)
    wide = whole.cast(pl.Decimal(38, scale)) / pl.lit(Decimal(10**scale))
    return wide.cast(pl.Decimal(precision, scale))


def month_number(day: Any) -> Any:
    """Return the month of a day as YYYYMM."""
    if isinstance(day, pl.Expr):
        return day.dt.year() * 100 + day.dt.month()
    return int(day.year) * 100 + int(day.month)


def week_number(day: Any) -> Any:
    """Return the ISO week of a day as YYYYww."""
    if isinstance(day, pl.Expr):
        return day.dt.iso_year() * 100 + day.dt.week()
    assert isinstance(day, date)
    year, week, _ = day.isocalendar()
    return year * 100 + week


def frame_of(rows: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Return the columns that rules make of rows."""
    return rows.select(_literal(make(pl.col)).alias(name) for name, make in columns.items())


def record_of(get: Get, columns: Mapping[str, Column]) -> dict[str, Any]:
    """Return the values that rules make of one row."""
    return {name: make(get) for name, make in columns.items()}


def those(
    rows: pl.DataFrame, rule: Column, columns: Sequence[Column], few: int
) -> list[tuple[Any, ...]]:
    """Return the columns of the rows for which a rule is true."""
    if rows.height > few:
        chosen = rows.filter(rule(pl.col))
        return chosen.select(
            _literal(make(pl.col)).alias(str(at)) for at, make in enumerate(columns)
        ).rows()
    return [
        tuple(make(row.__getitem__) for make in columns)
        for row in rows.to_dicts()
        if rule(row.__getitem__)
    ]


def _literal(value: Any) -> pl.Expr:
    return value if isinstance(value, pl.Expr) else pl.lit(value)
