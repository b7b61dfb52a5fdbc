"""Turns what tables want published into Kafka records of catalogued topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from schemas.codec.columnar import FEW_RECORDS, ChunkEncoder
from schemas.codec.framing import header
from schemas.codec.record import RecordCodec
from schemas.contracts import record_of
from schemas.exact import FEW
from schemas.keys import KEY_SCHEMA, encode_keys
from schemas.routing import partition_of
from schemas.topics import Topic, topic_of
from streams.agents.registry import SubjectIds
from streams.engine import Output, OutputBatch
from tables.foundation.effects import Emit, EmitColumns, Outbox


@dataclass(frozen=True, slots=True)
class _Writer:
    """How records of one topic are encoded, keyed and spread over its partitions."""

    key_id: int
    value_header: bytes
    codec: RecordCodec
    columns: ChunkEncoder
    topic: Topic


class Publisher:
    """Encodes an outbox. Schema ids are looked up once a topic; keeps no other state."""

    def __init__(
        self, ids: SubjectIds, topics: Mapping[str, Topic] | None = None, *, few: int = FEW
    ) -> None:
        """`topics` are some that are not the product's, by name; `few` as for ChunkEncoder."""
        self._few = few
        self._ids = ids
        self._topics = topics or {}
        self._writers: dict[str, _Writer] = {}

    def outputs(self, outbox: Outbox) -> list[Output | OutputBatch]:
        """Return the records of an outbox, in order within each key."""
        return [
            *(self._single(emit) for emit in outbox.emits),
            *(self._batch(columns) for columns in outbox.columns),
        ]

    def _single(self, emit: Emit) -> Output:
        writer = self._writer(emit.topic)
        value = None
        if emit.record is not None:
            value = writer.value_header + writer.codec.encode(_used(emit.record))
        return Output(
            emit.topic,
            partition_of(emit.route, writer.topic.partitions),
            encode_keys(writer.key_id, (writer.topic.message_key(emit.route, emit.key),))[0],
            value,
        )

    def _batch(self, emit: EmitColumns) -> OutputBatch:
        writer = self._writer(emit.topic)
        values: list[bytes | None] = []
        if isinstance(emit.rows, pl.DataFrame):
            values.extend(writer.columns.encode(emit.rows, prefix=writer.value_header))
        else:
            values.extend(writer.value_header + writer.codec.encode(row) for row in emit.rows)
        values.extend([None] * len(emit.removed))
        routes = [*emit.routes, *emit.removed]
        return OutputBatch(
            emit.topic,
            [partition_of(route, writer.topic.partitions) for route in routes],
            encode_keys(
                writer.key_id,
                map(writer.topic.message_key, routes, [*emit.keys, *emit.removed]),
            ),
            values,
        )

    def _writer(self, name: str) -> _Writer:
        known = self._writers.get(name)
        if known is None:
            topic = self._topics.get(name) or topic_of(name)
            schema = record_of(topic)
            assert schema is not None
            known = self._writers[name] = _Writer(
                key_id=self._ids.subject_id(f"{name}-key", KEY_SCHEMA),
                value_header=header(self._ids.subject_id(f"{name}-value", schema.text)),
                codec=RecordCodec(schema),
                columns=ChunkEncoder(schema, few=min(self._few, FEW_RECORDS)),
                topic=topic,
            )
        return known


def _used(record: Mapping[str, object]) -> dict[str, object]:
    """Leave out what is unset: the contract's default is null everywhere."""
    return {name: value for name, value in record.items() if value is not None}
