"""Bookmarks, and the log that moves them: what is published and remembered in one step.

A `Batch` is published atomically: its change events, ledger entries and bookmark become visible
together or not at all. So a bookmark never passes a record the broker does not hold. Upholds I2.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, Protocol, Self

import structlog

from connectors.polled.ledger import Entry
from connectors.polled.orders import UNREADABLE, Taken, instant_text, read_instant
from schemas.errors import InvalidEntityError

_log = structlog.get_logger()


class Phase(Enum):
    """How far the reading of an object has come."""

    SNAPSHOT = "snapshot"
    STREAMING = "streaming"


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where the reading of one object stands.

    `cursor`: every change up to it, but for late-visible ones, is published. `position`: the last
    capture position given out. `deletions_cursor`: the same for the delete feed; before that is
    first read, the start of the first scan. `swept_at`: when the last sweep ended; none, or deletes
    that are in doubt, make one due at the next start. `missed`: rows that it did not show, and that
    one must miss too to be believed to be deleted that comes an interval after `missed_at`.
    `token`: where a `ContinuedReader` goes on. `columns`: the optional ones that every row had when
    all were read last. `orders`: what people have ordered, the last of each concern.
    `reread_from`: the oldest stamp of rows that were shown after the delete that the log names,
    while it may only be late that they vanish.
    """

    phase: Phase = Phase.SNAPSHOT
    cursor: datetime | None = None
    position: int = 0
    deletions_cursor: datetime | None = None
    swept_at: datetime | None = None
    missed: tuple[str, ...] = ()
    missed_at: datetime | None = None
    token: str | None = None
    columns: tuple[str, ...] = ()
    orders: tuple[Taken, ...] = ()
    reread_from: datetime | None = None

    def to_bytes(self) -> bytes:
        """Encode for the bookmarks topic."""
        record = {
            "phase": self.phase.value,
            "cursor": instant_text(self.cursor),
            "position": self.position,
            "deletions_cursor": instant_text(self.deletions_cursor),
            "swept_at": instant_text(self.swept_at),
            "missed": self.missed,
            "missed_at": instant_text(self.missed_at),
            "token": self.token,
            "columns": self.columns,
            "orders": [each.to_record() for each in self.orders],
            "reread_from": instant_text(self.reread_from),
        }
        return json.dumps(record, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode. Raises ValueError or KeyError for other bytes.

        An order that cannot be read, such as one of a newer release, is left out and logged: the
        place is worth more.
        """
        record = json.loads(data)
        return cls(
            phase=Phase(record["phase"]),
            cursor=read_instant(record["cursor"]),
            position=int(record["position"]),
            deletions_cursor=read_instant(record["deletions_cursor"]),
            swept_at=read_instant(record["swept_at"]),
            missed=tuple(record.get("missed", ())),
            missed_at=read_instant(record.get("missed_at")),
            token=record.get("token"),
            columns=tuple(record.get("columns", ())),
            orders=_read_orders(record.get("orders", ())),
            reread_from=read_instant(record.get("reread_from")),
        )


class Change(NamedTuple):
    """A change event to publish. `op` is Debezium's: c, u, d or r. A tuple, as a `Row` is."""

    row_id: str
    op: str
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None
    position: int
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row for the dead-letter topic: `raw` as read, `detail` why it does not fit.

    One that is not whole is told of without its content, which no message holds.
    """

    row_id: str
    raw: object
    detail: str
    position: int
    captured_at: datetime
    error_code: str = InvalidEntityError.code
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """What becomes visible together. `entries` maps row ids to their new entry, None to forget.

    `answers`: orders of which there is news, for whoever gave them.
    """

    obj: str
    bookmark: Bookmark
    changes: Sequence[Change] = ()
    rejected: Sequence[Rejected] = ()
    entries: Mapping[str, Entry | None] = field(default_factory=dict)
    answers: Sequence[Taken] = ()


class RowsTooLargeError(Exception):
    """Rows of a batch are larger than the broker takes; nothing of it was published. A signal.

    `rows`: bytes of the message by the id of a row. `letters`: ids of rows whose dead letters are.
    """

    def __init__(self, rows: Mapping[str, int], letters: Collection[str]) -> None:
        super().__init__("the broker takes no message as large")
        self.rows = rows
        self.letters = letters


class SourceLog(Protocol):
    """Where batches go."""

    async def commit(self, batch: Batch) -> None:
        """Publish a batch atomically.

        Raises TransientError or RowsTooLargeError when nothing of it was published, FatalError
        when another poller has taken over or the outcome cannot be told.
        """
        ...


def _read_orders(records: Iterable[Any]) -> tuple[Taken, ...]:
    taken = []
    for record in records:
        try:
            taken.append(Taken.from_record(record))
        except UNREADABLE as error:
            _log.error(
                "poll.order_unreadable",
                key=f"bookmark {json.dumps(record)}",
                error=f"{type(error).__name__}: {error}",
                hint="it is left out; the bookmark keeps its place. Give the order again",
            )
    return tuple(taken)
