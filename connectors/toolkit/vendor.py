"""What the code in a system's folder can do: `VENDOR` of its `vendor.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from connectors.dispatch.config import ConfiguredSink
from connectors.dispatch.remedies import Remedies
from connectors.polled.source import PolledSource
from schemas.commands import CommandContent
from schemas.system import SystemBundle


class Idempotency(Enum):
    """Why carrying out a command twice leaves one record."""

    UPSERT = "upsert"  # the vendor makes or replaces the record of an external id
    SEARCH = "search"  # the sink looks for the record before it makes one
    CHANGE = "change"  # a record that is there is set or deleted, by its external id


@dataclass(frozen=True, slots=True)
class Vendor:
    """The code of a system. A database that Debezium captures needs none.

    `shape` turns a row as the vendor tells it into the fields of its contract, or into a list of
    such, where it holds several rows. `commands`: the
    kinds that the sink carries out, each with why it may be repeated. `remedies`: what a person can
    do about its refusals. Raises TypeError for a kind that does not say why, for kinds that nothing
    carries out, and for a sink without `newest`: nobody checks the types of a package.
    """

    source: type[PolledSource] | None = None
    shape: Callable[[SystemBundle, str, object], object] = lambda system, obj, row: row
    sink: type[ConfiguredSink] | None = None
    commands: Mapping[type[CommandContent], Idempotency] = field(default_factory=dict)
    remedies: Remedies = field(default_factory=dict)

    def __post_init__(self) -> None:
        unclear = [
            content.kind
            for content, why in self.commands.items()
            if not isinstance(why, Idempotency)
        ]
        if unclear:
            raise TypeError(f"why may {', '.join(unclear)} be repeated? It names no Idempotency")
        if self.commands and self.sink is None:
            raise TypeError("it names kinds of commands, and no sink that carries them out")
        if self.sink is not None and not callable(getattr(self.sink, "newest", None)):
            raise TypeError("its sink does not tell its newest records (newest)")
