"""Second folds: partial totals of other groups, summed by their dimension.

A partial replaces the one its source partition sent before, so the sum equals a recomputation.
What a row shows of its sums, and whether there is one, is in the files of `tables.measures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from schemas.errors import InvalidEntityError
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import Calendar, Partial
from tables.measures import pipeline
from tables.measures.fold import Fold, Total
from tables.measures.measure import Amounts, Measure, Row, publish
from tables.measures.pipeline import PIPELINE, micros_of
from tables.measures.utilization import UTILIZATION, Weeks

MEASURES: Final[Mapping[str, Measure]] = {each.name: each for each in (UTILIZATION, PIPELINE)}


class RollupTable:
    """The second folds over the documents of one partition, for one chunk.

    State: `x:<measure>|<dimension>|<source>` partials, the totals of each measure under its prefix,
    `v:<measure>|<dimension>` version and content of the row last published; see `Weeks`.
    """

    def __init__(self, documents: Documents, outbox: Outbox) -> None:
        self._documents = documents
        self._outbox = outbox
        self._folds = {name: Fold(measure, documents) for name, measure in MEASURES.items()}
        self._weeks = Weeks(documents)
        self._rows: Mapping[str, Callable[[str, Amounts], Row | None]] = {
            UTILIZATION.name: self._weeks.row,
            PIPELINE.name: pipeline.row,
        }

    def apply_partial(self, key: str, fact: Partial | None, _: int) -> None:
        """Take in a partial; the key is measure, dimension and source.

        Raises InvalidEntityError for a measure that nobody knows.
        """
        name, _bar, rest = key.partition("|")
        if name not in self._folds:
            raise InvalidEntityError(f"there is no measure {name}", hint="see tables/measures")
        measure = MEASURES[name]
        stored = self._documents.raw(f"x:{key}")
        former = measure.nothing if stored is None else measure.unpack(stored)
        now = measure.nothing if fact is None else amounts_of(measure, fact)
        if any(now):
            self._documents.put_raw(f"x:{key}", measure.pack(now))
        elif stored is not None:
            self._documents.delete(f"x:{key}")
        change = tuple(new - old for new, old in zip(now, former, strict=True))
        self._folds[name].add(rest.rpartition("|")[0], change)

    def apply_calendar(self, key: str, fact: Calendar | None, _: int) -> None:
        """Take in the days of a person; every week that may change is measured again."""
        self._weeks.apply_calendar(key, fact)

    def settle(self, timestamp_ms: int) -> None:
        """Sum, store and publish every dimension the chunk touched; call once, last."""
        for key in self._weeks.settle(timestamp_ms):
            self._folds[UTILIZATION.name].touch(key)
        for fold in self._folds.values():
            self._publish(fold.measure, fold.settle(), timestamp_ms)

    def _publish(self, measure: Measure, totals: list[Total], timestamp_ms: int) -> None:
        """Publish the rows that are not as they were last published."""
        rows: list[Row] = []
        keys, removed = [], []
        names = [f"v:{measure.name}|{total.key}" for total in totals]
        stored = self._documents.raw_many(names)
        for total, name, data in zip(totals, names, stored, strict=True):
            version, _, former = (data or b"0|").decode().partition("|")
            row = self._rows[measure.name](total.key, total.after)
            content = "" if row is None else "|".join(map(str, row))
            if content == former:
                continue
            newer = max(int(version) + 1, timestamp_ms)
            self._documents.put_raw(name, f"{newer}|{content}".encode())
            if row is None:
                removed.append(total.key)
            else:
                keys.append(total.key)
                rows.append((*row, newer))
        publish(self._outbox, measure, keys, rows, removed=removed, timestamp_ms=timestamp_ms)


def amounts_of(measure: Measure, partial: Partial) -> Amounts:
    """Return the sums of a partial, nothing where it tells none of what makes it count."""
    if not (partial.seconds or partial.total_seconds or partial.count):
        return measure.nothing
    told = (getattr(partial, name) or 0 for name in measure.sums)
    wide = measure.wide
    return tuple(micros_of(Decimal(each)) if at in wide else each for at, each in enumerate(told))
