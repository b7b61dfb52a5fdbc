"""Prints the topic catalogue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import Enum

from rich.console import Console
from rich.table import Table

from schemas.topics import Topic


def catalogue_json(topics: Sequence[Topic]) -> str:
    """Return topics as a JSON list."""

    def plain(value: object) -> object:
        if isinstance(value, Enum):
            return value.value
        raise TypeError(type(value).__name__)

    return json.dumps([_fields(topic) for topic in topics], default=plain, indent=2)


def print_catalogue(topics: Sequence[Topic]) -> None:
    """Print topics as a table."""
    table = Table("topic", "key", "record", "partitions", "kept", "owner", "criticality")
    for topic in topics:
        kept = (
            topic.cleanup.value
            if topic.retention_ms is None
            else f"{topic.retention_ms // 86_400_000} days"
        )
        table.add_row(
            topic.name,
            topic.key,
            record_name(topic),
            str(topic.partitions),
            kept,
            topic.owner,
            topic.criticality.value,
        )
    # As wide as it needs, however narrow the terminal: a name that is cut off is of no use.
    width = Console(width=1_000).measure(table).maximum
    Console(width=width).print(table)


def record_name(topic: Topic) -> str:
    """Return where the contract of a topic's values is, blank where another system owns it."""
    if topic.contract is not None:
        return topic.contract.name
    return topic.record or ""


def _fields(topic: Topic) -> dict[str, object]:
    return asdict(replace(topic, contract=None)) | {"record": record_name(topic) or None}
