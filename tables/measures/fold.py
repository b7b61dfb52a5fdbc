"""The fold of every measure: what a chunk adds to totals, each read, changed and written once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from tables.foundation.documents import Documents
from tables.measures.measure import Amounts, Measure, plus


class Total(NamedTuple):
    """A total as a chunk changes it. `version` and `position` of one that is dated, else 0."""

    key: str
    before: Amounts
    after: Amounts
    is_stored: bool  # it was there before the chunk
    version: int
    position: int


class Fold:
    """The totals of a measure on a partition, for one chunk. Adding up is in no order."""

    def __init__(self, measure: Measure, documents: Documents) -> None:
        self.measure = measure
        self._documents = documents
        self._added: dict[str, Amounts] = {}
        self._positions: dict[str, int] = {}

    def add(self, key: str, amounts: Amounts, position: int = 0) -> None:
        """Add what a row contributes to a key; `position` is that of the row at its source."""
        known = self._added.get(key)
        self._added[key] = amounts if known is None else plus(known, amounts)
        if position:
            self._positions[key] = max(self._positions.get(key, 0), position)

    def add_hours(self, signed: pl.DataFrame) -> None:
        """Add what time entries contribute, times its sign: see `tables.project.hours.signed`."""
        measure = self.measure
        latest = pl.col("source_position").max()
        grouped = signed.group_by(*measure.key).agg(
            *(
                pl.col(measure.of_hours[name]).sum().alias(name)
                if name in measure.of_hours
                else pl.lit(0).alias(name)
                for name in measure.sums
            ),
            *((latest,) if measure.is_dated else (pl.lit(0).alias("source_position"),)),
        )
        parts = len(measure.key)
        for row in grouped.iter_rows():
            self.add(measure.text(*row[:parts]), row[parts:-1], row[-1])

    def add_each(self, signed: Iterable[Mapping[str, Any]]) -> None:
        """Add the same, row by row."""
        measure = self.measure
        for row in signed:
            key = measure.text(*(row[part] for part in measure.key))
            amounts = tuple(
                row[measure.of_hours[name]] if name in measure.of_hours else 0
                for name in measure.sums
            )
            self.add(key, amounts, row["source_position"] if measure.is_dated else 0)

    def touch(self, key: str) -> None:
        """Have a total settled though nothing may be added to it."""
        self._added.setdefault(key, self.measure.nothing)

    def keys(self) -> list[str]:
        """Return the keys the chunk has changed so far."""
        return list(self._added)

    def stored_keys(self, prefix: str) -> list[str]:
        """Return the keys of totals with a prefix, as they are stored."""
        begin = self.measure.prefix
        return [name.removeprefix(begin) for name in self._documents.keys(f"{begin}{prefix}")]

    def stored(self, keys: Iterable[str]) -> list[Amounts]:
        """Return the amounts of totals as they are stored; those of nothing where there is none."""
        names = [f"{self.measure.prefix}{key}" for key in keys]
        nothing, unpack = self.measure.nothing, self.measure.unpack
        return [unpack(data) if data else nothing for data in self._documents.raw_many(names)]

    def look(self, keys: Iterable[str]) -> list[Total]:
        """Return totals as they are and will be, by key; nothing is written."""
        names = sorted(keys)  # sums come in no particular order
        stored = self._documents.raw_many([f"{self.measure.prefix}{name}" for name in names])
        return [self._total(name, data) for name, data in zip(names, stored, strict=True)]

    def settle(self, timestamp_ms: int = 0) -> list[Total]:
        """Write every total the chunk has changed, and return them by key; once, last.

        A version is the time at least: so it grows, too, where what was counted is lost.
        """
        looked = self.look(self._added)
        found = [total._replace(version=max(total.version, timestamp_ms)) for total in looked]
        for total in found:
            name = f"{self.measure.prefix}{total.key}"
            if self.measure.is_dated:
                dated = (*total.after, total.version, total.position)
                self._documents.put_raw(name, self.measure.pack(dated))
            elif any(total.after):
                self._documents.put_raw(name, self.measure.pack(total.after))
            elif total.is_stored:
                self._documents.delete(name)
        return found

    def _total(self, key: str, data: bytes | None) -> Total:
        before, version, position = self.measure.nothing, 0, 0
        if data is not None:
            before = self.measure.unpack(data)
            if self.measure.is_dated:
                *amounts, version, position = before
                before = tuple(amounts)
        added = self._added.get(key)
        return Total(
            key,
            before,
            before if added is None else plus(before, added),
            data is not None,
            version + 1,
            max(position, self._positions.get(key, 0)),
        )
