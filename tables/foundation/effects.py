"""What a table wants published: records by topic, key and route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeAlias

import polars as pl

from schemas.exact import FEW

Value: TypeAlias = (
    "str | int | bool | Decimal | date | datetime | Sequence[Value] | Mapping[str, Value] | None"
)
Record = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Emit:
    """One record to publish; `record=None` is a tombstone.

    `route` is the co-partition key whose hash picks the partition.
    """

    topic: str
    key: str
    route: str
    record: Record | None


@dataclass(slots=True)
class Tally:
    """How the records of a chunk were accounted for. Upholds I5 with the engine's check."""

    applied: int = 0
    stale: int = 0
    parked: int = 0

    def count(self, outcome: str) -> None:
        """Count one record under `applied`, `stale` or `parked`."""
        match outcome:
            case "applied":
                self.applied += 1
            case "stale":
                self.stale += 1
            case "parked":
                self.parked += 1
            case _:
                raise ValueError(f"unknown outcome {outcome}")


@dataclass(frozen=True, slots=True)
class EmitColumns:
    """Many records of one topic: row i of `rows`, columns or records, goes out under `keys[i]`.

    `routes[i]` is its co-partition key. `removed` are tombstones, routed by their key.
    """

    topic: str
    keys: list[str]
    routes: list[str]
    rows: pl.DataFrame | Sequence[Record]
    removed: list[str]

    def to_dicts(self) -> list[dict[str, Value]]:
        """Return the records."""
        if isinstance(self.rows, pl.DataFrame):
            return self.rows.to_dicts()
        return [dict(row) for row in self.rows]


@dataclass(slots=True)
class Outbox:
    """Records of one chunk in the order they were decided.

    Up to `few` rows are made one after the other, more as columns.
    """

    emits: list[Emit] = field(default_factory=list)
    columns: list[EmitColumns] = field(default_factory=list)
    few: int = FEW

    def add(self, topic: str, key: str, record: Record | None, *, route: str | None = None) -> None:
        """Publish a record, routed by its key unless a route is given."""
        self.emits.append(Emit(topic, key, key if route is None else route, record))


def instant(timestamp_ms: int) -> datetime:
    """Return the UTC instant of a Kafka timestamp."""
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC)
