"""Values of one type as another, exactly: null where one is none, or would lose a digit."""

from __future__ import annotations

from typing import Final

import polars as pl

from schemas.calendar import is_in_calendar

INSTANT: Final = pl.Datetime("us", "UTC")
"""Of every time: SQL's TIMESTAMP, as exact as PostgreSQL's. One without a zone is of UTC."""
INTERVAL: Final = pl.Duration("us")
"""Of every difference of times."""
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
    if isinstance(dtype, pl.Duration):
        return "INTERVAL"
    return _NAMES.get(str(dtype), str(dtype).upper())


def cast(  # noqa: PLR0911 - one return for each pair of types
    expr: pl.Expr, old: pl.DataType, new: pl.DataType
) -> pl.Expr:
    """Return a column as another type. Raises CastError where types cannot become each other.

    A DOUBLE is its shortest text: 0.1 is a tenth.
    """
    if old in (new, pl.Null()):
        return expr.cast(new)
    if isinstance(new, pl.Datetime):
        return _as_instant(expr, old, new)
    if is_inexact(old):
        return cast(expr.cast(pl.String), pl.String(), new)
    if old.is_numeric() and (isinstance(new, pl.Decimal) or new.is_integer()):
        made = expr.cast(new, strict=False)
        return pl.when(made == expr).then(made) if isinstance(old, pl.Decimal) else made
    if old == pl.String and isinstance(new, pl.Decimal):
        return exact_number(_plain(expr), new)
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
    if old in (new, pl.Null()) or new == pl.String:
        return True
    if isinstance(new, pl.Datetime):  # years of six digits are none
        return False
    return old in (pl.Boolean(), pl.Date()) or isinstance(old, pl.Datetime)


def exact_number(text: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    """The number of a text; null where it is none (NaN, infinities) or would lose a digit.

    Zeros at the end are no digits: a database writes them to the scale of its column. Without an
    exponent; see `plain_numbers`.
    """
    whole = dtype.precision - dtype.scale
    plain = rf"^[+-]?0*[0-9]{{0,{whole}}}(?:\.[0-9]{{0,{dtype.scale}}}0*)?$"
    return pl.when(text.str.contains(plain)).then(text.cast(dtype, strict=False))


def plain_numbers(text: pl.Expr) -> pl.Expr:
    """Numbers that a database wrote as texts, without exponents: Java writes small ones with one.

    `1.50E-7`, and a zero of many places as `0E-10`. Hardly any has one, and it takes time.
    Whether a text is looked at must not depend on the others: either letter has all looked at.
    """

    def plain(texts: pl.Series) -> pl.Series:
        written = "".join(filter(None, texts.to_list()))
        if "e" not in written and "E" not in written:
            return texts
        return texts.to_frame("text").select(_plain(pl.col("text"))).to_series()

    return text.map_batches(plain, return_dtype=pl.String, is_elementwise=True)


def _plain(text: pl.Expr) -> pl.Expr:
    has_exponent = text.str.contains(_WITH_EXPONENT)
    return pl.when(has_exponent).then(_without_exponent(text)).otherwise(text)


_WITH_EXPONENT: Final = r"^([+-]?)([0-9])(?:\.([0-9]{1,60}))?[eE]([+-]?)([0-9]{1,3})$"


def _without_exponent(text: pl.Expr) -> pl.Expr:
    """A number of one digit in front of the point, and an exponent, with neither."""
    part = text.str.extract_groups(_WITH_EXPONENT).struct.field
    digits = part("2") + part("3").fill_null("")
    exponent = part("5").cast(pl.Int64)
    small = pl.lit("0.") + digits.str.pad_start(digits.str.len_bytes() + exponent - 1, "0")
    is_whole = part("3").fill_null("").str.len_bytes() <= exponent
    large = pl.when(is_whole).then(digits.str.pad_end(exponent + 1, "0"))
    is_small = (part("4") == "-") & (exponent > 0)
    return part("1") + pl.when(is_small).then(small).otherwise(large)


def instant(text: pl.Expr, dtype: pl.Datetime = INSTANT) -> pl.Expr:
    """ISO 8601 and `YYYY-MM-DD HH:MM:SS`, in UTC; another offset gives null, hence a rejection."""
    plain = text.str.replace(" ", "T", literal=True).str.replace(r"(?:Z|\+00:?00)$", "")
    return plain.str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f", time_unit=dtype.time_unit, time_zone="UTC", strict=False
    )


def _as_instant(expr: pl.Expr, old: pl.DataType, new: pl.Datetime) -> pl.Expr:
    if old == pl.String:
        return instant(expr, new)
    if not (old == pl.Date or isinstance(old, pl.Datetime)):
        raise CastError(f"{type_name(old)} does not become TIMESTAMP")
    held = pl.when(is_in_calendar(expr, old)).then(expr)  # others wrap in silence
    if isinstance(old, pl.Datetime) and old.time_zone is not None:
        return held.dt.convert_time_zone("UTC").cast(new)
    return held.cast(pl.Datetime(new.time_unit)).dt.replace_time_zone("UTC")
