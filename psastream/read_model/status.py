"""How the read model is: which generation, how far behind its topics, what it could not take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from psastream.exits import Exit
from psastream.read_model.process import read_tables, url_of
from psastream.read_model.store import Store
from runtime.kafka import require_broker, spans_of
from runtime.settings import Settings

SHOWN_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Status:
    """What is told. `behind`: messages of a topic that are not in yet, markers counted, too."""

    generation: int | None
    seen_at: datetime | None
    lacks: Sequence[str]
    rows: Mapping[str, int]
    behind: Mapping[str, int]
    unreadable: Sequence[tuple[str, str, str]]

    @property
    def exit(self) -> Exit:
        """FAILED where it is not there, behind, or without some rows."""
        is_whole = self.generation is not None and not self.lacks and not self.unreadable
        return Exit.OK if is_whole and not any(self.behind.values()) else Exit.FAILED


def read_status(settings: Settings) -> Status:
    """Ask the database and the broker.

    Raises ConfigError, ReadModelUnavailableError, BrokerUnavailableError.
    """
    tables = read_tables(settings)
    with closing(Store(url_of(settings))) as store:
        lacks = store.lacks()
        live = None if lacks else store.live()
        if live is None:
            return Status(None, None, lacks, {}, {}, ())
        places = store.places(live)
        rows, unreadable = store.counts(live, tables), store.unreadable(live)
    require_broker(settings.kafka.client())
    behind: dict[str, int] = {}
    for place, (start, end) in spans_of(settings.kafka, [it.topic.name for it in tables]).items():
        left = max(0, end - max(start, places.get(place, 0)))
        behind[place[0]] = behind.get(place[0], 0) + left
    return Status(live.number, live.seen_at, lacks, rows, behind, unreadable)


def print_status(status: Status, *, as_json: bool) -> None:
    """Print it, within 80 columns; what is wrong comes last, each with what to do."""
    if as_json:
        typer.echo(json.dumps(_document(status), default=str, indent=2))
        return
    if status.lacks:
        typer.echo("the read model lacks migrations\n  try: psastream readmodel migrate")
        return
    if status.generation is None or status.seen_at is None:
        typer.echo("the read model was not filled yet\n  try: psastream readmodel run")
        return
    table = Table("topic", box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    table.add_column("behind", justify="right")
    for name, count in status.rows.items():
        table.add_row(name, f"{count:,}", f"{status.behind.get(name, 0):,}")
    Console().print(table)
    seen = status.seen_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    typer.echo(f"generation {status.generation}, followed at {seen}")
    if left := sum(status.behind.values()):
        typer.echo(f"{left:,} messages are not in yet\n  try: psastream readmodel run")
    for topic, key, reason in status.unreadable[:SHOWN_MAX]:
        typer.echo(f"no row: {topic} {key}: {reason}")
    if status.unreadable:
        typer.echo(
            f"{len(status.unreadable)} records are no rows\n"
            "  try: psastream topics read TOPIC shows them; the next record of a key cures it"
        )


def _document(status: Status) -> dict[str, object]:
    return {
        "generation": status.generation,
        "seen_at": status.seen_at and status.seen_at.isoformat(),
        "lacks": list(status.lacks),
        "topics": {
            name: {"rows": count, "behind": status.behind.get(name, 0)}
            for name, count in status.rows.items()
        },
        "unreadable": [
            {"topic": topic, "key": key, "reason": reason}
            for topic, key, reason in status.unreadable
        ],
    }
