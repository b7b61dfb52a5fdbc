"""Measures of the firm's own: the rows they count, and what partitions add up to.

Rows are kept as they were received, so that a change is the measure of the new row less that of
the old one. Rows of objects that name their project see columns of the project too; a project that
changes retracts its rows and adds them again. Two folds: by partition, then by key.

State: `r:<object>|<id>` rows as received; `i:<project>|<object>|<id>` their
rows; `n:<measure>|<key>` totals of a partition; `x:<measure>|<key>|<source>` what partitions sent,
`y:<measure>|<key>` totals of all of them, `v:<measure>|<key>` the version last published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox, Tally
from tables.foundation.facts import MeasurePartial
from tables.measures.fold import Fold
from tables.measures.measure import Row, publish
from tables.measures.own import CONTEXT, OBJECTS, OwnMeasure, rows_schema
from tables.project.time_entry import EntryChanges, latest_of, standing_rows

PARTIAL_TOPIC: Final = "psa.internal.measure_partial"
PROJECT: Final = "project"

Read = Callable[[str, Sequence[bytes]], pl.DataFrame]
"""Decodes values of an object, in order."""


def has_context(name: str) -> bool:
    """Whether rows of an object see columns of their project."""
    return name != PROJECT and OBJECTS[name].route_field == "project_ref"


class OwnRows:
    """The rows of a partition that measures count, for one chunk."""

    def __init__(
        self, documents: Documents, measures: Sequence[OwnMeasure], read: Read, source: str
    ) -> None:
        self._documents = documents
        self._read = read
        self._source = source
        self._measures: dict[str, list[tuple[OwnMeasure, Fold]]] = {}
        for each in measures:
            fold = Fold(each.measure, documents)
            self._measures.setdefault(each.of, []).append((each, fold))

    def apply(self, name: str, changes: EntryChanges, owns: Callable[[str], bool]) -> Tally:
        """Take in changes of an object's rows. `owns`: by id, whether a row is counted here."""
        ids = list(dict.fromkeys(changes.ids))
        stored = self._documents.raw_many([f"r:{name}|{row}" for row in ids])
        old = self._read(name, [value for value in stored if value is not None])
        latest = latest_of(changes, old)
        old = old.filter(pl.col("id").is_in(list(latest.index)))
        new = standing_rows(changes, latest)
        for row, value in zip(ids, stored, strict=True):
            if value is not None and row in latest.removed:
                self._documents.delete(f"r:{name}|{row}")
        for row in new["id"].to_list():
            self._documents.put_raw(f"r:{name}|{row}", changes.values[latest.index[row]] or b"")
        if name in self._measures:
            mine = [row for row in ids if owns(row)]
            self._move(name, *(rows.filter(pl.col("id").is_in(mine)) for rows in (old, new)))
        if name == PROJECT:
            self._move_projects(old, new)
        return Tally(applied=len(changes.ids) - latest.stale, stale=latest.stale)

    def settle(self, outbox: Outbox) -> None:
        """Write what has changed, and hand it on; once, last."""
        for measures in self._measures.values():
            for own, fold in measures:
                for total in fold.settle():
                    if total.before == total.after:
                        continue
                    partial = {
                        "measure": own.name,
                        "definition": own.definition,
                        "dimension": total.key,
                        "source": self._source,
                        "sums": list(map(str, total.after)),
                    }
                    key = f"{own.name}|{total.key}|{self._source}"
                    outbox.add(PARTIAL_TOPIC, key, partial, route=total.key)

    def _move(self, name: str, old: pl.DataFrame, new: pl.DataFrame) -> None:
        """Replace old rows by new ones."""
        contexts: pl.DataFrame | None = None
        if has_context(name):
            self._index(name, old, new)
            projects = sorted({*old["project_ref"], *new["project_ref"]} - {None})
            stored = self._documents.raw_many([f"r:{PROJECT}|{ref}" for ref in projects])
            contexts = self._read(PROJECT, [value for value in stored if value is not None])
        self._count(name, _with_context(name, old, contexts), -1)
        self._count(name, _with_context(name, new, contexts), 1)

    def _move_projects(self, old: pl.DataFrame, new: pl.DataFrame) -> None:
        """Retract the rows of projects that have changed, and add them again."""
        refs = sorted({*old["id"], *new["id"]})
        found: dict[str, list[str]] = {}
        for ref in refs:
            for key in self._documents.keys(f"i:{ref}|"):
                _, name, row = key.split("|", 2)
                found.setdefault(name, []).append(f"r:{name}|{row}")
        for name, keys in sorted(found.items()):
            stored = self._documents.raw_many(keys)
            rows = self._read(name, [value for value in stored if value is not None])
            self._count(name, _with_context(name, rows, old), -1)
            self._count(name, _with_context(name, rows, new), 1)

    def _count(self, name: str, rows: pl.DataFrame, sign: int) -> None:
        for own, fold in self._measures.get(name, ()):
            for key, amounts in own.contributions(rows):
                fold.add(key, tuple(sign * each for each in amounts))

    def _index(self, name: str, old: pl.DataFrame, new: pl.DataFrame) -> None:
        for rows, value in ((old, None), (new, b"1")):
            for ref, row in rows.select("project_ref", "id").iter_rows():
                key = f"i:{ref}|{name}|{row}"
                if value is None:
                    self._documents.delete(key)
                else:
                    self._documents.put_raw(key, value)


def _with_context(name: str, rows: pl.DataFrame, projects: pl.DataFrame | None) -> pl.DataFrame:
    """Add the columns of the project of each row, null where nobody knows it.

    A project that names no deal has its source id for `project_id`, as in every row that the
    product publishes by project.
    """
    schema = rows_schema(name)
    if projects is None or not has_context(name):
        return rows
    more = [each for each in CONTEXT if each in schema and each not in rows.columns]
    known = projects.with_columns(pl.coalesce("project_id", "id").alias("project_id"))
    known = known.select(pl.col("id").alias("project_ref"), *more)
    return rows.join(known, on="project_ref", how="left", maintain_order="left")


class OwnTotals:
    """What all partitions add up to, for one chunk of one of them."""

    def __init__(
        self, documents: Documents, outbox: Outbox, measures: Sequence[OwnMeasure]
    ) -> None:
        self._documents = documents
        self._outbox = outbox
        self._measures: Mapping[str, OwnMeasure] = {each.name: each for each in measures}
        self._folds = {
            each.name: Fold(replace(each.measure, prefix=f"y:{each.name}|"), documents)
            for each in measures
        }
        self._outdated: set[tuple[str, str]] = set()

    def apply_partial(self, key: str, fact: MeasurePartial | None, _: int) -> None:
        """Take in what a partition's rows add up to.

        Of another definition it counts for nothing, and what was published of it goes.
        """
        name, _bar, rest = key.partition("|")
        if name not in self._measures:
            return
        own, fold = self._measures[name], self._folds[name]
        dimension = rest.rpartition("|")[0]
        now = own.measure.nothing
        if fact is not None and fact.definition == own.definition:
            now = tuple(map(int, fact.sums))
        elif fact is not None:
            self._outdated.add((name, dimension))
            fold.touch(dimension)
        stored = self._documents.raw(f"x:{key}")
        former = own.measure.nothing if stored is None else own.measure.unpack(stored)
        if any(now):
            self._documents.put_raw(f"x:{key}", own.measure.pack(now))
        elif stored is not None:
            self._documents.delete(f"x:{key}")
        fold.add(dimension, tuple(a - b for a, b in zip(now, former, strict=True)))

    def settle(self, timestamp_ms: int) -> None:
        """Publish every row that has changed; once, last."""
        for name, fold in self._folds.items():
            own = self._measures[name]
            rows: list[Row] = []
            keys, removed = [], []
            for total in fold.settle():
                is_outdated = (name, total.key) in self._outdated
                if total.before == total.after and not is_outdated:
                    continue
                if not total.after[0]:
                    removed.append(total.key)
                    continue
                version = int(self._documents.raw(f"v:{name}|{total.key}") or 0) + 1
                self._documents.put_raw(f"v:{name}|{total.key}", str(version).encode())
                keys.append(total.key)
                rows.append((*own.key_values(total.key), *total.after[1:], version))
            publish(
                self._outbox, own.measure, keys, rows, removed=removed, timestamp_ms=timestamp_ms
            )
