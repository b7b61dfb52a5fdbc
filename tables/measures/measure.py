"""What a measure is: sums of contributions by key, and what is shown of them.

Contributions are linear in the rows: of rows that change they are those of the new rows less
those of the old ones. So one fold (`tables.measures.fold`) keeps every measure exact, whatever
happens to the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from struct import Struct
from typing import Any, Final

import polars as pl

from schemas.exact import (
    RATIO_PRECISION,
    RATIO_SCALE,
    half_even,
    hundredths_of_hours,
    ratio_of,
)
from tables.foundation.columns import (
    Column,
    as_decimal,
    constant,
    frame_of,
    made,
    named,
    record_of,
)
from tables.foundation.effects import EmitColumns, Outbox, instant
from tables.project.hours import MONEY_UNITS

PARTIAL_TOPIC: Final = "psa.internal.partial"
MONEY_DIGITS: Final = 6
_UNITS_A_MICRO: Final = MONEY_UNITS // 10**MONEY_DIGITS
_LOW_BITS: Final = 2**64 - 1
_RATIO: Final = pl.Decimal(RATIO_PRECISION, RATIO_SCALE)

Amounts = tuple[int, ...]
Row = tuple[Any, ...]


class Quantity(Enum):
    """What a sum is of. Sums are integers: 64 bits hold time and numbers, 128 bits money."""

    SECONDS = "seconds"
    COUNT = "count"
    MONEY = "money"  # undivided, in `tables.project.hours.MONEY_UNITS`
    MICROS = "micros"  # millionths of the currency

    @property
    def is_wide(self) -> bool:
        """Whether a sum needs 128 bits."""
        return self in (Quantity.MONEY, Quantity.MICROS)


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure.

    `prefix` begins the names of its totals in a group's state. `of_hours` says which column of
    `tables.project.hours.measured` each sum adds up, and `text` makes a key of the columns of
    `key`; a measure of other rows is handed amounts. `columns` are those of a row before `shown`
    makes the record's of them. A total that `is_dated` keeps its version and the highest source
    position that went in, and outlives being empty, so that readers never see the version fall.
    """

    name: str
    topic: str
    prefix: str
    key: tuple[str, ...]
    sums: Mapping[str, Quantity]
    columns: Mapping[str, pl.DataType]
    shown: Mapping[str, Column]
    of_hours: Mapping[str, str] = field(default_factory=dict)
    text: Callable[..., str] = "{}|{}".format
    is_dated: bool = False
    stored: Struct = field(init=False)
    """How a total is stored: its sums; version and source position where it is dated."""
    wide: frozenset[int] = field(init=False)
    """Places of sums of 128 bits."""

    def __post_init__(self) -> None:
        sums = list(self.sums.values())
        forms = ("qQ" if each.is_wide else "q" for each in sums)
        layout = Struct(f">{''.join(forms)}{'qq' if self.is_dated else ''}")
        object.__setattr__(self, "stored", layout)
        wide = frozenset(at for at, each in enumerate(sums) if each.is_wide)
        object.__setattr__(self, "wide", wide)

    @property
    def nothing(self) -> Amounts:
        """The amounts of no rows."""
        return (0,) * len(self.sums)

    def pack(self, amounts: Amounts) -> bytes:
        """Return the stored form of sums, and of the version and position of a dated total."""
        if not self.wide:
            return self.stored.pack(*amounts)
        parts: list[int] = []
        for at, each in enumerate(amounts):
            parts += halves(each) if at in self.wide else (each,)
        return self.stored.pack(*parts)

    def unpack(self, data: bytes) -> Amounts:
        """Read the stored form."""
        parts = self.stored.unpack(data)
        if not self.wide:
            return parts
        rest = iter(parts)
        count = len(self.sums) + 2 * self.is_dated
        return tuple(
            whole(next(rest), next(rest)) if at in self.wide else next(rest) for at in range(count)
        )


def plus(left: Amounts, right: Amounts) -> Amounts:
    """Add amounts up, one by one."""
    return tuple(a + b for a, b in zip(left, right, strict=True))


def halves(number: int) -> tuple[int, int]:
    """Return the high (signed) and the low 64 bits of a 128-bit integer."""
    return number >> 64, number & _LOW_BITS


def whole(high: int, low: int) -> int:
    """Return the 128-bit integer of two halves."""
    return (high << 64) | low


def hours(seconds: str) -> Column:
    """Return seconds in hours, half-even at 2 digits."""
    return made(lambda whole: as_decimal(hundredths_of_hours(whole), 18, 2), named(seconds))


def micros(units: str) -> Column:
    """Return undivided money in millionths of the currency, half-even: the one division."""
    return made(lambda whole: half_even(whole, _UNITS_A_MICRO), named(units))


def money(in_micros: Column) -> Column:
    """Return millionths of a currency as money."""
    return made(lambda whole: as_decimal(whole, 38, MONEY_DIGITS), in_micros)


def money_of_micros(column: str) -> Column:
    """Return a column of millionths of a currency as money."""
    return money(named(column))


def ratio(part: Column, of: Column) -> Column:
    """Return part / whole: see `schemas.exact.ratio_of`."""
    return made(_ratio, part, of)


def _ratio(part: Any, of: Any) -> Any:
    if not isinstance(part, pl.Expr):
        return ratio_of(part, of)
    both = pl.struct(part.alias("part"), of.alias("whole"))
    return both.map_batches(_ratios, return_dtype=_RATIO)


def _ratios(both: pl.Series) -> pl.Series:
    parts, wholes = both.struct.field("part"), both.struct.field("whole")
    values = [ratio_of(part, whole) for part, whole in zip(parts, wholes, strict=True)]
    return pl.Series(values, dtype=_RATIO)


def publish(
    outbox: Outbox,
    measure: Measure,
    keys: list[str],
    rows: list[Row],
    *,
    removed: list[str],
    timestamp_ms: int,
) -> None:
    """Publish rows of a measure under their keys, and say which have gone."""
    if not (keys or removed):
        return
    as_of = instant(timestamp_ms)
    if len(rows) > outbox.few:
        stamp = pl.lit(as_of).cast(pl.Datetime("ms", "UTC")).alias("as_of")
        frame = pl.DataFrame(rows, schema=measure.columns, orient="row")
        frame = frame_of(frame, measure.shown).with_columns(stamp)
        outbox.columns.append(EmitColumns(measure.topic, keys, keys, frame, removed))
        return
    records = [
        record_of(dict(zip(measure.columns, row, strict=True)).__getitem__, measure.shown)
        | {"as_of": as_of}
        for row in rows
    ]
    outbox.columns.append(EmitColumns(measure.topic, keys, keys, records, removed))


def publish_partials(
    outbox: Outbox, measure: Measure, partials: Sequence[Row], routes: list[str]
) -> None:
    """Hand totals on to who adds them up by dimension.

    `partials` are (dimension, source, *sums) each; `routes` say which partition adds them up.
    """
    if not partials:
        return
    keys = ["|".join((measure.name, *partial[:2])) for partial in partials]
    told = {
        "measure": constant(measure.name),
        **{name: named(name) for name in ("dimension", "source")},
        **{
            name: column(of) if of in measure.sums else constant(None)
            for name, of, column, _ in _PARTIAL
        },
    }
    if len(partials) <= outbox.few:
        names_of = ("dimension", "source", *measure.sums)
        records = [
            record_of(dict(zip(names_of, partial, strict=True)).__getitem__, told)
            for partial in partials
        ]
        outbox.columns.append(EmitColumns(PARTIAL_TOPIC, keys, routes, records, []))
        return
    sums = {
        name: pl.Int128() if each.is_wide else pl.Int64() for name, each in measure.sums.items()
    }
    names = pl.DataFrame(
        partials, schema={"dimension": pl.String(), "source": pl.String(), **sums}, orient="row"
    )
    unset = {name: kind for name, of, _, kind in _PARTIAL if of not in sums}
    frame = frame_of(names, told)
    frame = frame.with_columns(pl.col(name).cast(kind) for name, kind in unset.items())
    outbox.columns.append(EmitColumns(PARTIAL_TOPIC, keys, routes, frame, []))


_HOURS: Final = pl.Decimal(18, 2)
_MONEY: Final = pl.Decimal(38, MONEY_DIGITS)
_PARTIAL: Final[Sequence[tuple[str, str, Callable[[str], Column], pl.DataType]]] = (
    ("hours", "seconds", hours, _HOURS),
    ("total_hours", "total_seconds", hours, _HOURS),
    ("seconds", "seconds", named, pl.Int64()),
    ("total_seconds", "total_seconds", named, pl.Int64()),
    ("count", "count", named, pl.Int64()),
    ("amount", "amount", money_of_micros, _MONEY),
    ("weighted_amount", "weighted_amount", money_of_micros, _MONEY),
)
"""Columns of `internal/partial`, each with the sum it shows."""
