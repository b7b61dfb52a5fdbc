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


def print_catalogue(topics: Sequence[Topic], width: int | None = None) -> None:
    """Print topics as a table.

    `width`: columns of the terminal, None where it may be as wide as it is. Where that is too
    little, only what people look for is printed: a name that is cut off is of no use.
    """
    table = Table("topic", "key", "record", "partitions", "kept", "owner", "criticality")
    for topic in topics:
        table.add_row(
            topic.name,
            topic.key,
            record_name(topic),
            str(topic.partitions),
            _kept(topic),
            topic.owner,
            topic.criticality.value,
        )
    whole = Console(width=1_000).measure(table).maximum
    if width is None or whole <= width:
        Console(width=whole).print(table)
        return
    rows = [("topic", "kept", "owner"), *((it.name, _kept(it), it.owner) for it in topics)]
    names, kept = (max(len(row[at]) for row in rows) for at in (0, 1))
    for name, how_long, owner in rows:
        print(f"{name:<{names}}  {how_long:<{kept}}  {owner}")
    print("\nkey, contract, partitions and criticality: on a wider terminal, or with --json")


def _kept(topic: Topic) -> str:
    if topic.retention_ms is None:
        return topic.cleanup.value
    return f"{topic.retention_ms // 86_400_000} days"


def record_name(topic: Topic) -> str:
    """Return where the contract of a topic's values is, blank where another system owns it."""
    if topic.contract is not None:
        return topic.contract.name
    return topic.record or ""


def _fields(topic: Topic) -> dict[str, object]:
    return asdict(replace(topic, contract=None)) | {"record": record_name(topic) or None}
