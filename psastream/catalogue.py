"""Prints the topic catalogue."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum

from rich.console import Console
from rich.table import Table

from schemas.topics import CATALOGUE


def catalogue_json() -> str:
    """Return the catalogue as a JSON list."""

    def plain(value: object) -> object:
        if isinstance(value, Enum):
            return value.value
        raise TypeError(type(value).__name__)

    return json.dumps([asdict(topic) for topic in CATALOGUE], default=plain, indent=2)


def print_catalogue() -> None:
    """Print the catalogue as a table."""
    table = Table("topic", "key", "record", "partitions", "kept", "owner", "criticality")
    for topic in CATALOGUE:
        kept = (
            topic.cleanup.value
            if topic.retention_ms is None
            else f"{topic.retention_ms // 86_400_000} days"
        )
        table.add_row(
            topic.name,
            topic.key,
            topic.record or "",
            str(topic.partitions),
            kept,
            topic.owner,
            topic.criticality.value,
        )
    # As wide as it needs, however narrow the terminal: a name that is cut off is of no use.
    width = Console(width=1_000).measure(table).maximum
    Console(width=width).print(table)
