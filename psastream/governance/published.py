"""Which topics are told of, and what both formats say of one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import Any, Final

from schemas.contracts import record_of, value_schema
from schemas.errors import ConfigError
from schemas.topics import Topic

TITLE: Final = "psastream"


def product_version() -> str:
    """Return the version of the installed product."""
    return version(TITLE)


def published(topics: Iterable[Topic], patterns: Sequence[str] = ()) -> list[Topic]:
    """Return the topics that have a record and match a pattern; without patterns the public ones.

    A pattern is a topic's name, or one with `*`. Raises ConfigError for one that nothing matches.
    """
    ours = [topic for topic in topics if record_of(topic) is not None]
    if not patterns:
        return [each for each in ours if each.is_public]
    for pattern in patterns:
        if not any(fnmatchcase(each.name, pattern) for each in ours):
            raise ConfigError(
                f"no topic with a record of ours matches {pattern}",
                hint="psastream topics list prints the names",
            )
    return [each for each in ours if any(fnmatchcase(each.name, it) for it in patterns)]


def value_record(topic: Topic) -> dict[str, Any]:
    """Return the Avro record of a topic's values, as the registry holds it."""
    definition: dict[str, Any] = json.loads(value_schema(topic).text)
    return definition


def about(topic: Topic) -> str:
    """Return what a record of a topic is, in a sentence or two."""
    doc = str(value_record(topic).get("doc", "")).strip()
    return " ".join(filter(None, (doc, _kept(topic))))


def _kept(topic: Topic) -> str:
    if topic.is_envelope:
        return f"Changes as Debezium writes them, kept {_days(topic)} days."
    if topic.retention_ms is not None:
        return f"Kept {_days(topic)} days."
    return "A table by its key: the last record of a key is the row, a null deletes it."


def _days(topic: Topic) -> int:
    assert topic.retention_ms is not None
    return topic.retention_ms // 86_400_000
