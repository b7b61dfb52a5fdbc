"""Second folds: partial aggregates of other groups, summed by their dimension.

A partial replaces the one its source partition sent before, so the sum equals a recomputation.
Utilization also needs the person's availability; see `available_hours`.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import polars as pl
from pydantic import BaseModel, Field

from schemas.exact import SECONDS_AN_HOUR, hours_of
from tables.documents import Documents
from tables.effects import EmitColumns, Outbox, instant
from tables.facts import Partial, Resource

UTILIZATION_TOPIC: Final = "psa.metric.utilization"
PIPELINE_TOPIC: Final = "psa.metric.pipeline_health"
UTILIZATION_VARIANT: Final = "billable_availability"
RATIO: Final = Decimal("0.000001")

Row = tuple[str | int | Decimal | None, ...]

_HOURS: Final = pl.Decimal(18, 2)
_MONEY: Final = pl.Decimal(38, 6)
ROWS: Final = {
    UTILIZATION_TOPIC: {
        "resource_id": pl.String(),
        "iso_week": pl.String(),
        "variant": pl.String(),
        "billable_hours": _HOURS,
        "total_hours": _HOURS,
        "billable_seconds": pl.Int64(),
        "total_seconds": pl.Int64(),
        "available_hours": _HOURS,
        "utilization_ratio": pl.Decimal(18, 6),
        "version": pl.Int64(),
    },
    PIPELINE_TOPIC: {
        "stage": pl.String(),
        "currency": pl.String(),
        "opportunities": pl.Int64(),
        "amount": _MONEY,
        "weighted_amount": _MONEY,
        "version": pl.Int64(),
    },
}
"""Columns of what is published, in the order of the rows; `as_of` follows them."""


class RollupDocument(BaseModel):
    """Partials of one dimension by source, and what was last published of their sum."""

    partials: dict[str, Partial] = Field(default_factory=dict)
    version: int = 0
    published: str = ""


class RollupTable:
    """The second folds over the documents of one partition, for one chunk.

    Partials are taken in one by one; each dimension they touch is summed and published once, by
    `settle`.
    """

    def __init__(self, documents: Documents, outbox: Outbox) -> None:
        self._documents = documents
        self._outbox = outbox
        # (measure, dimension) → partials of the chunk by source; None is a removal.
        self._touched: dict[tuple[str, str], dict[str, Partial | None]] = {}
        self._resources: dict[str, Resource | None] = {}

    def apply_partial(self, key: str, fact: Partial | None, _: int) -> None:
        """Take in a partial; the key is measure, dimension and source."""
        measure, _bar, rest = key.partition("|")
        dimension, _bar, source = rest.rpartition("|")
        self._touched.setdefault((measure, dimension), {})[source] = fact

    def apply_resource(self, key: str, fact: Resource | None, _: int) -> None:
        """Take in a person; every week of theirs is measured again."""
        former = self._documents.get(Resource, f"k:{key}")
        if former is not None:
            self._documents.delete(f"k:{key}")
            self._documents.delete(f"r:{former.resource_id}|{key}")
        if fact is not None:
            self._documents.put(f"k:{key}", fact)
            self._documents.put(f"r:{fact.resource_id}|{key}", fact)
        for resource_id in sorted({each.resource_id for each in (former, fact) if each}):
            for name in self._documents.keys(f"utilization|{resource_id}|"):
                measure, _bar, dimension = name.partition("|")
                self._touched.setdefault((measure, dimension), {})

    def settle(self, timestamp_ms: int) -> None:
        """Sum, store and publish every dimension the chunk touched; call once, last."""
        published: dict[str, tuple[list[str], list[Row], list[str]]] = {
            topic: ([], [], []) for topic in (UTILIZATION_TOPIC, PIPELINE_TOPIC)
        }
        for (measure, dimension), changes in self._touched.items():
            name = f"{measure}|{dimension}"
            document = self._documents.get(RollupDocument, name) or RollupDocument()
            for source, partial in changes.items():
                document.partials.pop(source, None)
                if partial is not None:
                    document.partials[source] = partial
            is_utilization = measure == "utilization"
            row = (self._utilization if is_utilization else _pipeline)(dimension, document)
            content = "" if row is None else "|".join(map(str, row))
            if content != document.published:
                document.published = content
                document.version += 1
                keys, rows, removed = published[
                    UTILIZATION_TOPIC if is_utilization else PIPELINE_TOPIC
                ]
                if row is None:
                    removed.append(dimension)
                else:
                    keys.append(dimension)
                    rows.append((*row, document.version))
            self._documents.put(name, document)
        for topic, (keys, rows, removed) in published.items():
            if keys or removed:
                frame = pl.DataFrame(rows, schema=ROWS[topic], orient="row").with_columns(
                    pl.lit(instant(timestamp_ms)).cast(pl.Datetime("ms", "UTC")).alias("as_of")
                )
                self._outbox.columns.append(EmitColumns(topic, keys, keys, frame, removed))

    def _resource(self, resource_id: str) -> Resource | None:
        """Return the person's row; of several, a re-hire's, the first active one counts."""
        if resource_id not in self._resources:
            names = self._documents.keys(f"r:{resource_id}|")
            rows = [row for name in names if (row := self._documents.get(Resource, name))]
            first = rows[0] if rows else None
            self._resources[resource_id] = next((row for row in rows if row.is_active), first)
        return self._resources[resource_id]

    def _utilization(self, dimension: str, document: RollupDocument) -> Row | None:
        """Return the columns of `metric/utilization` up to the version; None: nothing worked."""
        resource_id, _, iso_week = dimension.rpartition("|")
        parts = document.partials.values()
        billable = sum(each.seconds or 0 for each in parts)
        worked = sum(each.total_seconds or 0 for each in parts)
        if worked == 0:
            return None
        resource = self._resource(resource_id)
        available = available_hours(resource, iso_week) if resource else None
        whole = available * SECONDS_AN_HOUR if available else None
        ratio = (Decimal(billable) / whole).quantize(RATIO) if whole else None
        hours, total = hours_of(billable), hours_of(worked)
        identity = resource_id, iso_week, UTILIZATION_VARIANT
        return *identity, hours, total, billable, worked, available, ratio


def _pipeline(dimension: str, document: RollupDocument) -> Row | None:
    """Return the columns of `metric/pipeline_health` up to the version; None: no deals."""
    stage, _, currency = dimension.partition("|")
    parts = document.partials.values()
    count = sum(each.count or 0 for each in parts)
    if count == 0:
        return None
    amount = sum((each.amount or Decimal(0) for each in parts), Decimal(0))
    weighted = sum((each.weighted_amount or Decimal(0) for each in parts), Decimal(0))
    return stage, currency, count, amount, weighted


def available_hours(resource: Resource, iso_week: str) -> Decimal:
    """Return the standard hours of the days of an ISO week on which the person is employed."""
    monday = date.fromisocalendar(int(iso_week[:4]), int(iso_week[6:]), 1)
    hours = Decimal(0)
    for offset, standard in enumerate(resource.work_hours):
        day = monday + timedelta(days=offset)
        is_hired = resource.starts_on is None or resource.starts_on <= day
        is_there = resource.ends_on is None or day <= resource.ends_on
        if is_hired and is_there:
            hours += standard
    return hours
