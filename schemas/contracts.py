"""The Avro contracts as packaged files: one record a file, found by its catalogue path.

Reading them happens on first use; importing this module opens nothing.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from schemas.topics import CATALOGUE, Topic

AvroSchema = dict[str, Any]

KEY_SCHEMA = '"string"'
"""Schema of the message key of every topic in the catalogue that has a record."""


@cache
def record_schema(path: str) -> AvroSchema:
    """Return the record at `path` below `schemas/avro`, without suffix.

    Callers must not change the returned mapping. Raises FileNotFoundError for an unknown path.
    """
    text = files("schemas").joinpath("avro", *f"{path}.avsc".split("/")).read_text()
    schema: AvroSchema = json.loads(text)
    return schema


def topics_with_records() -> tuple[Topic, ...]:
    """Topics whose value contract is ours."""
    return tuple(topic for topic in CATALOGUE if topic.record is not None)
