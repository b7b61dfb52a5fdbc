"""Publishes the canonical records of one target of the normalizer: where each belongs, and was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import ne

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.codec.columnar import FEW_RECORDS, ChunkEncoder
from schemas.codec.framing import header
from schemas.contracts import record_schema
from schemas.keys import KEY_SCHEMA, encode_keys
from schemas.mapping.compiled import TargetMapping, part_suffix
from schemas.routing import partition_of
from schemas.topics import Route
from streams.agents.normalize_state import NOWHERE, Partitions
from streams.agents.registry import SubjectIds
from streams.engine import OutputBatch

Chosen = npt.NDArray[np.intp]
"""Numbers of rows."""


def part(frame: pl.DataFrame, chosen: Chosen) -> pl.DataFrame:
    """Some rows of a frame in their order; as a rule all of them."""
    return frame if len(chosen) == frame.height else frame[chosen]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the records of some rows lie: the partition of each, and its co-partition key."""

    partitions: Partitions
    routes: list[str]


class TargetWriter:
    """Publishes the canonical records of one target."""

    def __init__(self, target: TargetMapping, ids: SubjectIds, few: int) -> None:
        """`few` as for ChunkEncoder."""
        assert target.topic.record is not None
        self._topic = target.topic
        self._ids = ids
        self._contract = record_schema(target.topic.record)
        self._encoder = ChunkEncoder(self._contract, few=min(few, FEW_RECORDS))
        self._suffix = part_suffix(target.part)

    @property
    def rows_move(self) -> bool:
        """Whether a row may get another co-partition key."""
        return self._topic.rows_move

    def routes(self, ids: list[str], frame: pl.DataFrame) -> list[str]:
        """The co-partition key of each record; the row's id where it has none."""
        if self._topic.route is Route.BROADCAST:
            return ids
        assert self._topic.route_field is not None
        own = frame[self._topic.route_field].to_list()
        return [row_id if route is None else route for route, row_id in zip(own, ids, strict=True)]

    def partitions(self, routes: list[str]) -> Partitions:
        """Where each record belongs; 0 stands for everywhere if the topic is broadcast."""
        if self._topic.route is Route.BROADCAST:
            return np.zeros(len(routes), np.uint16)
        numbers = {route: partition_of(route, self._topic.partitions) for route in set(routes)}
        return np.fromiter(map(numbers.__getitem__, routes), np.uint16, len(routes))

    def outputs(
        self, ids: list[str], frame: pl.DataFrame, was: Places, now: Places
    ) -> list[OutputBatch]:
        """Tombstones of the keys that rows had, then the rows.

        In this order: a row that moves within a partition must not be deleted behind itself.
        """
        name = self._topic.name
        key_id = self._ids.subject_id(f"{name}-key", KEY_SCHEMA)
        prefix = header(self._ids.subject_id(f"{name}-value", self._contract.text))
        is_live = now.partitions != NOWHERE
        has_left = ~is_live
        if self._topic.rows_move:
            has_left |= np.fromiter(map(ne, was.routes, now.routes), np.bool_, len(ids))
        live = np.flatnonzero(is_live)
        gone = np.flatnonzero((was.partitions != NOWHERE) & has_left)
        values = self._encoder.encode(part(frame, live), prefix=prefix)
        upserts = self._batch(key_id, ids, now, live, values)
        tombstones = self._batch(key_id, ids, was, gone, [None] * len(gone))
        return [batch for batch in (tombstones, upserts) if batch.keys]

    def _batch(
        self,
        key_id: int,
        ids: list[str],
        places: Places,
        chosen: Chosen,
        values: Sequence[bytes | None],
    ) -> OutputBatch:
        key = self._topic.message_key
        at = chosen.tolist()
        keys = encode_keys(key_id, [key(places.routes[row], ids[row] + self._suffix) for row in at])
        if self._topic.route is not Route.BROADCAST:
            partitions = places.partitions[chosen].tolist()
            return OutputBatch(self._topic.name, partitions, keys, values)
        copies = range(self._topic.partitions)
        return OutputBatch(
            self._topic.name,
            [partition for partition in copies for _ in keys],
            [key for _ in copies for key in keys],
            [value for _ in copies for value in values],
        )
