"""Single records of catalogued topics, encoded and decoded. Chunks: `schemas.columnar`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.registry import Registry, value_schema
from schemas.codec import RecordCodec
from schemas.errors import DecodeError
from schemas.framing import frame, unframe
from schemas.topics import BY_NAME


class Serde:
    """Confluent-framed Avro by topic name. Decoding resolves the writer's schema by its id."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._writers: dict[str, tuple[int, RecordCodec]] = {}
        self._readers: dict[int, RecordCodec] = {}

    def key(self, topic: str, key: str) -> bytes:
        """Encode a message key of a topic whose keys are strings."""
        schema_id, codec = self._writer(f"{topic}-key", "string")
        return frame(schema_id, codec.encode(key))

    def value(self, topic: str, record: Mapping[str, object]) -> bytes:
        """Encode a record of a topic. Raises InvalidEntityError where it breaks the contract."""
        schema_id, codec = self._writer(f"{topic}-value", value_schema(BY_NAME[topic]))
        return frame(schema_id, codec.encode(record))

    def read_key(self, data: bytes) -> str:
        """Decode a string key."""
        key = self._decode(data)
        if not isinstance(key, str):
            raise DecodeError(f"the message key is a {type(key).__name__}, not a string")
        return key

    def read(self, data: bytes) -> dict[str, Any]:
        """Decode any Confluent-framed record, logical types included."""
        record = self._decode(data)
        if not isinstance(record, dict):
            raise DecodeError(f"the message is a {type(record).__name__}, not a record")
        return record

    def _writer(self, subject: str, schema: Any) -> tuple[int, RecordCodec]:
        if subject not in self._writers:
            self._writers[subject] = (self._registry.subject_id(subject), RecordCodec(schema))
        return self._writers[subject]

    def _decode(self, data: bytes) -> object:
        schema_id, payload = unframe(data)
        if schema_id not in self._readers:
            self._readers[schema_id] = RecordCodec(self._registry.schema(schema_id))
        return self._readers[schema_id].decode(payload)
