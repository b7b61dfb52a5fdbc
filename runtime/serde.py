"""Single records of catalogued topics, encoded and decoded. Chunks: `schemas.codec.columnar`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runtime.registry import Registry
from schemas.codec.framing import frame, unframe
from schemas.codec.record import RecordCodec
from schemas.contracts import value_schema
from schemas.keys import KEY_SCHEMA, decode_key, encode_keys
from schemas.topics import Topic, topic_of


class Serde:
    """Confluent-framed Avro by topic name. Decoding resolves the writer's schema by its id."""

    def __init__(self, registry: Registry, sources: Iterable[Topic] = ()) -> None:
        """`sources` are topics that are written beside those of the product."""
        self._registry = registry
        self._sources = {topic.name: topic for topic in sources}
        self._writers: dict[str, tuple[int, RecordCodec]] = {}
        self._readers: dict[int, RecordCodec] = {}

    def key(self, topic: str, key: str) -> bytes:
        """Encode a message key of a topic whose keys are strings."""
        return encode_keys(self._registry.subject_id(f"{topic}-key", KEY_SCHEMA), (key,))[0]

    def value(self, topic: str, record: Mapping[str, object]) -> bytes:
        """Encode a record of a topic. Raises InvalidEntityError where it breaks the contract."""
        if topic not in self._writers:
            schema = value_schema(self._sources.get(topic) or topic_of(topic))
            schema_id = self._registry.subject_id(f"{topic}-value", schema.text)
            self._writers[topic] = (schema_id, RecordCodec(schema))
        schema_id, codec = self._writers[topic]
        return frame(schema_id, codec.encode(record))

    def read_key(self, data: bytes) -> str:
        """Decode a string key. Raises DecodeError."""
        return decode_key(data)

    def read(self, data: bytes) -> dict[str, Any]:
        """Decode any Confluent-framed record, logical types included. Raises DecodeError."""
        schema_id, payload = unframe(data)
        if schema_id not in self._readers:
            self._readers[schema_id] = RecordCodec(self._registry.schema(schema_id))
        return self._readers[schema_id].decode(payload)
