"""The Avro contracts: the product's, which are packaged files, and those of its systems.

Reading files happens on first use; importing this module opens nothing.
"""

from __future__ import annotations

import json
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
    if topic.record is None:
        return topic.contract
    return _with_contents(topic.record, topic.contents)


@cache
def _with_contents(path: str, kinds: tuple[str, ...]) -> AvroSchema:
    """Return a record with a field more for each kind of command: its content, null by default."""
    record = record_schema(path)
    if not kinds:
        return record
    definition = json.loads(record.text)
    for kind in kinds:
        content = json.loads(content_schema(kind).text)
        definition["fields"].append(
            {
                "name": kind,
                "type": ["null", content],
                "default": None,
                "doc": f"What a command of the kind {kind} says; null in all others.",
            }
        )
    return load_schema(definition)


def content_schema(kind: str) -> AvroSchema:
    """Return the contract of what a kind of command says. Raises FileNotFoundError."""
    return record_schema(f"command/{kind}")


def value_schema(topic: Topic) -> AvroSchema:
    """Return the value contract of a topic that has a record: plain, or wrapped in an envelope."""
    record = record_of(topic)
    if record is None:
        raise ConfigError(f"topic {topic.name} has no record of ours")
    return envelope_schema(record) if topic.is_envelope else record
