"""Single records of catalogued topics, encoded and decoded. Chunks: `schemas.codec.columnar`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from runtime.data_keys import has_keys
from runtime.kafka import KafkaSettings
from runtime.registry import Registry
from runtime.sealing import Sealing, sealing_of
from runtime.settings import Settings
from schemas.codec.framing import frame, header, unframe
from schemas.codec.record import AvroSchema, RecordCodec
from schemas.contracts import value_schema
from schemas.errors import ConfigError, DecodeError
from schemas.keys import KEY_SCHEMA, decode_key, encode_keys
from schemas.sealing import subject_of_row
from schemas.topics import ROW_ID, Topic, topic_of


class Serde:
    """Confluent-framed Avro by topic name. Decoding resolves the writer's schema by its id."""

    def __init__(
        self, registry: Registry, sources: Iterable[Topic] = (), sealing: Sealing | None = None
    ) -> None:
        """`sources` are topics that are written beside those of the product.

        `sealing` encrypts what is written and opens what is read; without it nothing is.
        """
        self._registry = registry
        self._sealing = sealing
        self._sources = {topic.name: topic for topic in sources}
        self._writers: dict[str, tuple[int, RecordCodec]] = {}
        self._readers: dict[int, RecordCodec] = {}

    @classmethod
    def of(cls, settings: Settings, sources: Iterable[Topic] = ()) -> Self:
        """Return the one of a process: with its registry, and its keys where it has some."""
        registry = Registry(settings.registry)
        return cls(registry, sources, sealing_of(settings, registry.schema))

    def key(self, topic: str, key: str) -> bytes:
        """Encode a message key of a topic whose keys are strings."""
        return encode_keys(self._registry.subject_id(f"{topic}-key", KEY_SCHEMA), (key,))[0]

    def value(self, topic: str, record: Mapping[str, object], row_id: str = "") -> bytes:
        """Encode a record of a topic. Raises InvalidEntityError where it breaks the contract.

        `row_id`: of a row of a source.
        """
        schema_id, codec = self._writer(topic)
        value = frame(schema_id, codec.encode(record))
        if self._sealing is None:
            return value
        entry = self.topic(topic)
        subject = subject_of_row(topic, row_id) if entry.subject == ROW_ID else None
        [sealed] = self._sealing.seal_values(entry, [value], subject)
        assert sealed is not None
        return sealed

    def keys(self, topic: str, keys: Iterable[str]) -> list[bytes]:
        """Encode message keys of a topic whose keys are strings."""
        return encode_keys(self._registry.subject_id(f"{topic}-key", KEY_SCHEMA), keys)

    def header(self, topic: str) -> bytes:
        """Return what each value of a topic begins with that is not encrypted."""
        return header(self._writer(topic)[0])

    def topic(self, name: str) -> Topic:
        """Return a topic that is written."""
        return self._sources.get(name) or topic_of(name)

    @property
    def is_sealing(self) -> bool:
        """Whether values are encrypted."""
        return self._sealing is not None

    def _writer(self, topic: str) -> tuple[int, RecordCodec]:
        if topic not in self._writers:
            schema = value_schema(self.topic(topic))
            schema_id = self._registry.subject_id(f"{topic}-value", schema.text)
            self._writers[topic] = (schema_id, RecordCodec(schema))
        return self._writers[topic]

    def read_key(self, data: bytes) -> str:
        """Decode a string key. Raises DecodeError."""
        return decode_key(data)

    def read(self, data: bytes) -> dict[str, Any]:
        """Decode any Confluent-framed record, logical types included. Raises DecodeError."""
        [opened] = self.opened([data])
        if opened is None:
            raise DecodeError("the record was forgotten: its key is destroyed")
        schema_id, payload = unframe(opened)
        if schema_id not in self._readers:
            self._readers[schema_id] = RecordCodec(self._registry.schema(schema_id))
        return self._readers[schema_id].decode(payload)

    def opened(self, values: Sequence[bytes | None]) -> Sequence[bytes | None]:
        """Return values as they were before they were encrypted, None for those nobody opens."""
        return values if self._sealing is None else self._sealing.open_values(values)

    def schema(self, schema_id: int) -> AvroSchema:
        """Return the schema of an id. Raises as `Registry.schema`."""
        return self._registry.schema(schema_id)

    def require_keys(self, kafka: KafkaSettings) -> None:
        """Raise ConfigError where records are encrypted and this process has no keys.

        It would take what it cannot read for nothing, and write what nobody should read.
        Raises BrokerUnavailableError.
        """
        if self._sealing is None and has_keys(kafka):
            raise ConfigError(
                "records are encrypted, and this process has no keys",
                hint="PSASTREAM_MASTER_KEYS_FILE names the file of the master keys",
            )
