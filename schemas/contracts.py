"""The Avro contracts as packaged files: one record a file, found by its catalogue path.

Reading them happens on first use; importing this module opens nothing.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from schemas.codec import AvroSchema, load_schema
from schemas.topics import CATALOGUE, Topic


@cache
def record_schema(path: str) -> AvroSchema:
    """Return the record at `path` below `schemas/avro`, without suffix.

    Raises FileNotFoundError for an unknown path.
    """
    return load_schema(files("schemas").joinpath("avro", *f"{path}.avsc".split("/")).read_text())


def topics_with_records() -> tuple[Topic, ...]:
    """Topics whose value contract is ours."""
    return tuple(topic for topic in CATALOGUE if topic.record is not None)
