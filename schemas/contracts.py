"""The Avro contracts: the product's, which are packaged files, and those of its systems.

Reading files happens on first use; importing this module opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

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


VOCABULARY: Final = "vocabulary"
"""Attribute of a field: all words it may hold, or the name of a public list of them."""
PUBLIC_LISTS: Final = ("currency", "country")
"""Named as the checks of a mapping that know them."""

Vocabulary = tuple[str, ...] | str


def vocabularies(record: AvroSchema) -> Mapping[str, Vocabulary]:
    """Return the vocabulary of each field of a record that has one. Other fields hold anything."""
    fields: Any = record.parsed["fields"]
    found = {each["name"]: each[VOCABULARY] for each in fields if VOCABULARY in each}
    return {name: words if words in PUBLIC_LISTS else tuple(words) for name, words in found.items()}


def record_of(topic: Topic) -> AvroSchema | None:
    """Return the record contract of a topic, None where another system owns its schema."""
    return topic.contract if topic.record is None else record_schema(topic.record)


def value_schema(topic: Topic) -> AvroSchema:
    """Return the value contract of a topic that has a record: plain, or wrapped in an envelope."""
    record = record_of(topic)
    if record is None:
        raise ConfigError(f"topic {topic.name} has no record of ours")
    return envelope_schema(record) if topic.is_envelope else record
