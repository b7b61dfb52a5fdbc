"""Builders for the source topics: Avro change events, a registry and a state in memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from schemas.codec.framing import frame, unframe
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.contracts import record_of
from schemas.envelope import envelope_schema
from schemas.errors import DecodeError
from schemas.keys import decode_key
from schemas.mapping.compiled import ObjectMapping
from streams.agents.normalize import make_normalizer
from streams.engine import Chunk, Effects, Output
from tests.support.catalogue import BY_NAME, load_mappings

GOLDEN = Path(__file__).parents[1] / "golden" / "debezium_inhouse.json"


def mapping_text(system: str) -> str:
    """The shipped mapping.yaml of a system."""
    return (files("connectors.vendors") / system / "mapping.yaml").read_text()


def mapping_of(topic: str) -> ObjectMapping:
    """The shipped mapping of a source topic."""
    return _mappings(topic.split(".")[1])[topic]


@cache
def _mappings(system: str) -> Mapping[str, ObjectMapping]:
    return load_mappings(mapping_text(system))


@dataclass
class FakeRegistry:
    """Schemas by id; subjects get ids as they are asked for."""

    schemas: dict[int, AvroSchema] = field(default_factory=dict)
    subjects: dict[str, int] = field(default_factory=dict)
    failure: Exception | None = None

    def schema(self, schema_id: int) -> AvroSchema:
        if self.failure is not None:
            raise self.failure
        if schema_id not in self.schemas:
            raise DecodeError(f"unknown schema id: the registry has no schema {schema_id}")
        return self.schemas[schema_id]

    def subject_id(self, subject: str, schema: str) -> int:
        return self.subjects.setdefault(subject, 1_000 + len(self.subjects))

    def add(self, schema: AvroSchema) -> int:
        """Register a schema; return its id."""
        self.schemas[len(self.schemas) + 1] = schema
        return len(self.schemas)


@dataclass
class MemoryState:
    """The state of one group on one partition as a dictionary."""

    rows: dict[bytes, bytes] = field(default_factory=dict)

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.rows.get(key) for key in keys]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, value) for key, value in self.rows.items() if key.startswith(prefix))

    def commit(self, effects: Effects) -> None:
        """Apply what a chunk does to the state."""
        for key, value in effects.state.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


@cache
def debezium_schema(topic: str) -> AvroSchema:
    """The envelope Debezium really registered for a table."""
    for schema in json.loads(GOLDEN.read_text())["schemas"].values():
        if schema["namespace"] == topic:
            return load_schema(schema)
    raise LookupError(topic)


def golden_values(topic: str) -> list[tuple[int, bytes]]:
    """The values Debezium really wrote, each with its schema id."""
    golden = json.loads(GOLDEN.read_text())
    values = [
        base64.b64decode(item["value"]) for item in golden["records"] if item["topic"] == topic
    ]
    return [(unframe(value)[0], value) for value in values]


def golden_registry() -> FakeRegistry:
    """A registry holding the captured schemas under their ids."""
    golden = json.loads(GOLDEN.read_text())
    return FakeRegistry({int(key): load_schema(text) for key, text in golden["schemas"].items()})


def numbers_as_text(row: Mapping[str, object] | None) -> dict[str, object] | None:
    """A row as Debezium writes it with `decimal.handling.mode=string`."""
    if row is None:
        return None
    return {
        name: format(value, "f") if isinstance(value, Decimal) else value
        for name, value in row.items()
    }


class Source:
    """Writes change events of one topic as its connector does."""

    def __init__(self, topic: str, registry: FakeRegistry) -> None:
        contract = record_of(BY_NAME[topic])
        self._is_database = contract is None
        schema = debezium_schema(topic) if contract is None else envelope_schema(contract)
        self._codec = RecordCodec(schema)
        self._schema_id = registry.add(schema)

    def change(
        self,
        position: int,
        after: Mapping[str, object] | None,
        *,
        op: str = "u",
        before: Mapping[str, object] | None = None,
        ts_ms: int = 1_767_225_600_000,
    ) -> bytes:
        """One framed envelope."""
        source: dict[str, Any] = {
            "version": "1",
            "connector": "test",
            "name": "src",
            "ts_ms": ts_ms,
            "snapshot": "false",
            "db": "db",
            "sequence": json.dumps([str(position)]),
            "table": "table",
        }
        if self._is_database:
            source |= {"schema": "inhouse", "lsn": position}
            before, after = numbers_as_text(before), numbers_as_text(after)
        envelope = {"before": before, "after": after, "source": source, "op": op, "ts_ms": ts_ms}
        return frame(self._schema_id, self._codec.encode(envelope))


def chunk_of(
    topic: str, values: Sequence[bytes | None], *, partition: int = 0, start: int = 0
) -> Chunk:
    """A chunk of these values at consecutive offsets."""
    count = len(values)
    offsets = range(start, start + count)
    return Chunk(
        topic,
        partition,
        start,
        start + count,
        offsets,
        [1_767_225_600_000 + offset for offset in offsets],
        [b"key"] * count,
        values,
    )


@dataclass(frozen=True)
class Published:
    """One record of an output topic."""

    topic: str
    partition: int
    key: str
    value: dict[str, Any] | None


def published(effects: Effects) -> list[Published]:
    """All records of the effects, decoded, in order."""
    records = []
    for output in effects.outputs:
        if isinstance(output, Output):
            rows = [(output.partition, output.key, output.value)]
        else:
            rows = list(zip(output.partitions, output.keys, output.values, strict=True))
        codec = _codec_of(output.topic)
        for partition, key, value in rows:
            assert key is not None
            record = None if value is None else codec.decode(unframe(value)[1])
            records.append(Published(output.topic, partition, decode_key(key), record))
    return records


def canonical(
    topic: str,
    row: Mapping[str, object],
    *,
    position: int = 77,
    mapping: ObjectMapping | None = None,
) -> dict[str, dict[str, Any]]:
    """The records made from a source row, by entity, without nulls; `dlq` where it is refused."""
    registry = FakeRegistry()
    value = Source(topic, registry).change(position, row)
    normalize = make_normalizer(mapping or mapping_of(topic), registry)
    return {
        record.topic.removeprefix("psa."): {
            field: content for field, content in (record.value or {}).items() if content is not None
        }
        for record in published(normalize(chunk_of(topic, [value]), MemoryState()))
    }


@cache
def _codec_of(topic: str) -> RecordCodec:
    contract = record_of(BY_NAME[topic])
    assert contract is not None
    return RecordCodec(contract)
