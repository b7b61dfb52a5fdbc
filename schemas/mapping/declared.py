"""Column types that a mapping declares of a database: PostgreSQL's names, as Debezium writes them.

https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-data-types,
with `time.precision.mode=adaptive`, `decimal.handling.mode=string` and, where a column is an
`interval`, `interval.handling.mode=string`: Debezium's other way makes days of months in silence.
Columns of MySQL, SQL Server and Oracle are declared by the same names, and a few of their own:
docs/databases.md says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl

from schemas.calendar import instant_bounds
from schemas.mapping.casts import INSTANT, INTERVAL, exact_number, instant, plain_numbers
from schemas.mapping.durations import interval

_DIGITS_MAX: Final = 38
_MILLISECONDS_UPTO: Final = 3
"""Digits of a second up to which Debezium writes milliseconds, and microseconds beyond."""
_MICROSECONDS_A_DAY: Final = 86_400_000_000
_NO_START: Final = (-2_147_472_691, -625_821_272, -625_821_271)
_NO_END: Final = (-2_147_472_692, 2_146_033_979, -622_191_234, -622_191_233)
"""Days since 1970-01-01 that stand for no start and for no end.

What Debezium makes of PostgreSQL's -infinity, and of infinity until and since dbz#2524, in the
stream; in a snapshot what is left of the driver's milliseconds in an int of days, west and east
of UTC.
"""

_MICROSECONDS_UPTO: Final = 6
"""Likewise microseconds, and nanoseconds beyond, which PostgreSQL does not know."""
_PRECISE: Final = re.compile(r"(timestamp|time)\(([0-9])\)")
_OFFSET: Final = re.compile(
    r"^([0-9T:-]{19}(?:\.[0-9]{1,6})?)[0-9]*(?:Z|([+-])([0-9]{2}):([0-9]{2}))$"
)
_DECIMAL: Final = re.compile(r"decimal\(([0-9]{1,2}),([0-9]{1,2})\)")
_CLOCK: Final = re.compile(r"(-?)([0-9]{1,7}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,6})?)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class DeclaredTypeError(Exception):
    """There is no such column type."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A declared type: the Avro type that Debezium writes, what rules see, and how to get there.

    `value` is null where what was written is no value of the type. With `refuses` its row is
    refused then.
    """

    avro: str
    dtype: pl.DataType
    value: Callable[[pl.Expr], pl.Expr]
    refuses: bool = False
    unit: str = ""  # of a number that stands for a time


def column_type(text: str) -> ColumnType:
    """Return the type that a mapping names. Raises DeclaredTypeError."""
    if text in _PLAIN:
        return _PLAIN[text]
    if precise := _PRECISE.fullmatch(text):
        digits_of_second = int(precise[2])
        unit = "us" if digits_of_second > _MILLISECONDS_UPTO else "ms"
        if digits_of_second > _MICROSECONDS_UPTO:
            unit = "ns"
        return _timestamp(unit) if precise[1] == "timestamp" else _time(unit)
    digits = _DECIMAL.fullmatch(text)
    if digits is None:
        names = ", ".join(_PLAIN)
        raise DeclaredTypeError(
            f"unknown column type {text!r}, not one of {names}, timestamp(p), time(p), decimal(p,s)"
        )
    precision, scale = int(digits[1]), int(digits[2])
    if not max(scale, 1) <= precision <= _DIGITS_MAX:
        raise DeclaredTypeError(f"{text} is no type of at most {_DIGITS_MAX} digits")
    dtype = pl.Decimal(precision, scale)
    # As text, since a schema holds one scale, and numbers of PostgreSQL may be no numbers.
    return ColumnType(
        "string", dtype, lambda column: exact_number(plain_numbers(column), dtype), refuses=True
    )


def as_written(text: str, value: object) -> object:
    """Return a value as Debezium writes it of a column of this type, given as people write it.

    Days and times are given in ISO 8601, intervals also as PostgreSQL shows them (`01:30:00`).
    What is none stays as it is. Raises DeclaredTypeError.
    """
    declared = column_type(text)
    if isinstance(value, Decimal) and declared.avro == "string":
        return format(value, "f")
    if not isinstance(value, str):
        return value
    try:
        return _of_text(text, declared, value)
    except ValueError:
        return value


def _of_text(text: str, declared: ColumnType, value: str) -> object:
    if declared.dtype == pl.Date:
        return date.fromisoformat(value).toordinal() - _EPOCH.toordinal()
    if declared.dtype == INSTANT:
        at = datetime.fromisoformat(value)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        if declared.avro == "string":
            return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"
        return _counted(at - _EPOCH, declared.unit)
    if text == "interval":
        seconds = Decimal(clock_time(value) // _MICROSECOND).scaleb(-6).normalize()
        return f"PT{seconds:f}S"
    if declared.dtype == INTERVAL:
        return _counted(clock_time(value), declared.unit)
    return value


def _counted(length: timedelta, unit: str) -> int:
    """A length of time in whole units."""
    micros = length // _MICROSECOND
    return {"ms": micros // 1_000, "us": micros, "ns": micros * 1_000}[unit]


def clock_time(text: str) -> timedelta:
    """Return a time that is written as a clock shows it, `01:30:00`. Raises ValueError."""
    shown = _CLOCK.fullmatch(text)
    if shown is None:
        raise ValueError(text)
    micros = int(Decimal(shown[4]).scaleb(6))
    length = timedelta(hours=int(shown[2]), minutes=int(shown[3]), microseconds=micros)
    return -length if shown[1] else length


def _plain(avro: str, dtype: pl.DataType) -> ColumnType:
    return ColumnType(avro, dtype, lambda column: column.cast(dtype))


def _unbounded(days: tuple[int, ...]) -> ColumnType:
    """A date whose infinity is null."""
    return ColumnType(
        "int", pl.Date(), lambda column: pl.when(~column.is_in(days)).then(column).cast(pl.Date())
    )


def _timestamp(unit: str) -> ColumnType:
    """Debezium's Timestamp (ms), MicroTimestamp (us) and NanoTimestamp (ns).

    Without a zone it is what a clock on the wall showed, read as if that was UTC; of nanoseconds
    whole microseconds are. Infinity, and whatever no calendar has, is none.
    """
    low, high = instant_bounds("ms" if unit == "ms" else "us")

    def value(column: pl.Expr) -> pl.Expr:
        written = pl.Datetime("ms" if unit == "ms" else "us", "UTC")
        count = column // 1_000 if unit == "ns" else column
        return pl.when(count.is_between(low, high)).then(count).cast(written).cast(INSTANT)

    return ColumnType("long", INSTANT, value, refuses=True, unit=unit)


def _time(unit: str) -> ColumnType:
    """Debezium's Time (ms), MicroTime (us) and NanoTime (ns): since midnight, up to 24:00:00."""

    def value(column: pl.Expr) -> pl.Expr:
        count = column.cast(pl.Int64)
        since_midnight = {"ms": count * 1_000, "us": count, "ns": count // 1_000}[unit]
        is_time = since_midnight.is_between(0, _MICROSECONDS_A_DAY)
        return pl.when(is_time).then(since_midnight).cast(INTERVAL)

    return ColumnType("int" if unit == "ms" else "long", INTERVAL, value, refuses=True, unit=unit)


def _with_offset(text: pl.Expr) -> pl.Expr:
    """Debezium's ZonedTimestamp with whatever offset, to the microsecond."""
    clock, sign, hours, minutes = (text.str.extract(_OFFSET.pattern, at) for at in (1, 2, 3, 4))
    ahead = pl.duration(
        hours=hours.cast(pl.Int64).fill_null(0),
        minutes=minutes.cast(pl.Int64).fill_null(0),
        time_unit="us",
    )
    at = instant(clock, INSTANT)
    return pl.when((sign == "-").fill_null(value=False)).then(at + ahead).otherwise(at - ahead)


_PLAIN: Final[dict[str, ColumnType]] = {
    "text": _plain("string", pl.String()),
    "long": _plain("long", pl.Int64()),
    "unsigned": ColumnType(
        "long", pl.Int64(), lambda column: pl.when(column >= 0).then(column), refuses=True
    ),
    "int": _plain("int", pl.Int32()),
    "boolean": _plain("boolean", pl.Boolean()),
    "double": _plain("double", pl.Float64()),
    "real": _plain("float", pl.Float32()),
    "date": _plain("int", pl.Date()),
    "start_date": _unbounded(_NO_START),
    "end_date": _unbounded(_NO_END),
    "timestamp": _timestamp("us"),
    "timestamptz": ColumnType("string", INSTANT, lambda text: instant(text, INSTANT), refuses=True),
    "datetimeoffset": ColumnType("string", INSTANT, _with_offset, refuses=True),
    "time": _time("us"),
    "interval": ColumnType("string", INTERVAL, interval, refuses=True),
}
