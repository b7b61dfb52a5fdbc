"""Values of one type as another, exactly: null where one is none, or would lose a digit."""

from __future__ import annotations

from typing import Final

import polars as pl

INSTANT: Final = pl.Datetime("ms", "UTC")
"""Of every time: SQL's TIMESTAMP, and one without a zone is of UTC."""
_DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_NAMES: Final = {"Int16": "SMALLINT", "Int32": "INTEGER", "Int64": "BIGINT", "String": "TEXT"}


class CastError(Exception):
    """There is no such cast."""


def type_name(dtype: pl.DataType) -> str:
    """The name of a type in SQL."""
    if isinstance(dtype, pl.Decimal):
        return f"DECIMAL({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMP"
    return _NAMES.get(str(dtype), str(dtype).upper())


def cast(  # noqa: PLR0911 - one return for each pair of types
    expr: pl.Expr, old: pl.DataType, new: pl.DataType
) -> pl.Expr:
    """Return a column as another type. Raises CastError where types cannot become each other.

    A DOUBLE is its shortest text: 0.1 is a tenth.
    """
    if isinstance(new, pl.Datetime):
        return _as_instant(expr, old)
    if old in (new, pl.Null()):
        return expr.cast(new)
    if is_inexact(old):
        return cast(expr.cast(pl.String), pl.String(), new)
    if old.is_numeric() and (isinstance(new, pl.Decimal) or new.is_integer()):
        made = expr.cast(new, strict=False)
        return pl.when(made == expr).then(made) if isinstance(old, pl.Decimal) else made
    if old == pl.String and isinstance(new, pl.Decimal):
        return exact_number(expr, new)
    if old == pl.String and new.is_integer():
        return expr.cast(new, strict=False)
    if old == pl.String and new == pl.Date:
        return pl.when(expr.str.contains(_DAY)).then(expr.str.to_date("%Y-%m-%d", strict=False))
    if isinstance(old, pl.Datetime) and new == pl.Date:
        return expr.dt.date()
    is_plain = old.is_numeric() or old in (pl.Boolean(), pl.Date()) or isinstance(old, pl.Datetime)
    if (is_plain and new == pl.String) or (old == pl.Boolean and new.is_integer()):
        return expr.cast(new)
    raise CastError(f"{type_name(old)} does not become {type_name(new)}")


def is_inexact(dtype: pl.DataType) -> bool:
    """Whether numbers of a type are binary fractions, which no sum of money is."""
    return dtype.is_numeric() and not dtype.is_integer() and not dtype.is_decimal()


def is_total(old: pl.DataType, new: pl.DataType) -> bool:
    """Whether every value of one type is one of the other."""
    if old in (new, pl.Null(), pl.Boolean(), pl.Date()) or new == pl.String:
        return True
    return isinstance(old, pl.Datetime)


def exact_number(text: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    """The number of a text; null where it is none (NaN, infinities) or would lose a digit.

    Zeros at the end are no digits: a database writes them to the scale of its column. Java writes
    a zero of many places with an exponent.
    """
    whole = dtype.precision - dtype.scale
    plain = rf"^[+-]?0*[0-9]{{0,{whole}}}(?:\.[0-9]{{0,{dtype.scale}}}0*)?$"
    zero = r"^[+-]?0(?:\.0+)?E[+-]?[0-9]+$"
    number = pl.when(text.str.contains(zero)).then(pl.lit("0")).otherwise(text)
    return pl.when(number.str.contains(plain)).then(number.cast(dtype, strict=False))


def instant(text: pl.Expr) -> pl.Expr:
    """ISO 8601 and `YYYY-MM-DD HH:MM:SS`, in UTC; another offset gives null, hence a rejection."""
    plain = text.str.replace(" ", "T", literal=True).str.replace(r"(?:Z|\+00:?00)$", "")
    return plain.str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f", time_unit="ms", time_zone="UTC", strict=False
    )


def _as_instant(expr: pl.Expr, old: pl.DataType) -> pl.Expr:
    if old == pl.String:
        return instant(expr)
    if old == pl.Null:
        return expr.cast(INSTANT)
    if old == pl.Date or (isinstance(old, pl.Datetime) and old.time_zone is None):
        return expr.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    if isinstance(old, pl.Datetime):
        return expr.dt.convert_time_zone("UTC").cast(INSTANT)
    raise CastError(f"{type_name(old)} does not become TIMESTAMP")
