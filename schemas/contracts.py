"""The Avro contracts: the product's, which are packaged files, and those of its systems.

Reading files happens on first use; importing this module opens nothing.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from schemas.codec.record import AvroSchema, load_schema
from schemas.envelope import envelope_schema
from schemas.errors import ConfigError
from schemas.topics import Topic


@cache
def record_schema(path: str) -> AvroSchema:
    """Return the record at `path` below `schemas/avro`, without suffix.

    Raises FileNotFoundError for an unknown path.
    """
    return load_schema(files("schemas").joinpath("avro", *f"{path}.avsc".split("/")).read_text())


def record_of(topic: Topic) -> AvroSchema | None:
    """Return the record contract of a topic, None where another system owns its schema."""
    return topic.contract if topic.record is None else record_schema(topic.record)


def value_schema(topic: Topic) -> AvroSchema:
    """Return the value contract of a topic that has a record: plain, or wrapped in an envelope."""
    record = record_of(topic)
    if record is None:
        raise ConfigError(f"topic {topic.name} has no record of ours")
    return envelope_schema(record) if topic.is_envelope else record
