"""What people order of polled objects: who, when and why, and what came of it. No IO.

Of each concern of an object the last order holds. It is taken once: a bookmark keeps its id, so
that a restart neither repeats nor forgets it, and what came of it is told with the bookmark, in one
transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol, Self

NOTE_MAX: Final = 500
"""Letters of a note: it stands in every bookmark of its object."""
UNREADABLE: Final = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What is raised where bytes, or a record, are no order."""


class Action(StrEnum):
    """What is ordered."""

    PAUSE = "pause"  # nothing is polled
    RESUME = "resume"  # polls go on where they were
    SWEEP = "sweep"  # all rows are compared at the next poll
    RESYNC = "resync"  # rows are read and published again

    @property
    def concern(self) -> str:
        """What it is about: a later order of the same concern takes its place."""
        return Action.PAUSE.value if self is Action.RESUME else self.value


@dataclass(frozen=True, slots=True)
class Order:
    """An order about one object. `since`: of a resync, rows changed before it are left alone."""

    order_id: str
    system: str
    obj: str
    action: Action
    ordered_at: datetime
    ordered_by: str
    note: str | None = None
    since: datetime | None = None

    @property
    def key(self) -> str:
        """Key of its record."""
        return f"order|{self.system}|{self.obj}|{self.action.concern}"

    def to_record(self) -> dict[str, Any]:
        """Return what JSON holds of it."""
        return {
            "order_id": self.order_id,
            "system": self.system,
            "object": self.obj,
            "action": self.action.value,
            "ordered_at": instant_text(self.ordered_at),
            "ordered_by": self.ordered_by,
            "note": self.note,
            "since": instant_text(self.since),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read it. Raises ValueError, KeyError or TypeError for another record."""
        ordered_at = read_instant(record["ordered_at"])
        if ordered_at is None:
            raise ValueError("it does not say when it was given")
        note = record.get("note")
        return cls(
            str(record["order_id"]),
            str(record["system"]),
            str(record["object"]),
            Action(record["action"]),
            ordered_at,
            str(record["ordered_by"]),
            None if note is None else str(note)[:NOTE_MAX],
            read_instant(record.get("since")),
        )

    def to_bytes(self) -> bytes:
        """Encode for the topic of orders."""
        return _encoded(self.to_record())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode. Raises ValueError, KeyError or TypeError for other bytes."""
        return cls.from_record(_decoded(data))


@dataclass(frozen=True, slots=True)
class Taken:
    """An order that a poller has taken. A pause is done when it ends, by another order.

    `reached`: a resync has published what changed up to it.
    """

    order: Order
    taken_at: datetime
    done_at: datetime | None = None
    reached: datetime | None = None

    @property
    def key(self) -> str:
        """Key of the record that tells of it: never that of the order, which may be a newer one."""
        return f"answer|{self.order.system}|{self.order.obj}|{self.order.action.concern}"

    @property
    def begins(self) -> datetime | None:
        """From which change on rows are still to be published again; None: all."""
        marks = [at for at in (self.order.since, self.reached) if at is not None]
        return max(marks, default=None)

    def includes(self, modified_at: datetime | None) -> bool:
        """Whether a row of this change is still to be published again; one without a stamp is."""
        return self.begins is None or modified_at is None or modified_at >= self.begins

    def to_record(self) -> dict[str, Any]:
        """Return what JSON holds of it."""
        return {
            "order": self.order.to_record(),
            "taken_at": instant_text(self.taken_at),
            "done_at": instant_text(self.done_at),
            "reached": instant_text(self.reached),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read it. Raises ValueError, KeyError or TypeError for another record."""
        taken_at = read_instant(record["taken_at"])
        if taken_at is None:
            raise ValueError("it does not say when it was taken")
        return cls(
            Order.from_record(record["order"]),
            taken_at,
            read_instant(record.get("done_at")),
            read_instant(record.get("reached")),
        )

    def to_bytes(self) -> bytes:
        """Encode for the topic of orders."""
        return _encoded(self.to_record())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode. Raises ValueError, KeyError or TypeError for other bytes."""
        return cls.from_record(_decoded(data))


class Orders(Protocol):
    """Where a poller finds what was ordered."""

    async def of(self, system: str, obj: str) -> Sequence[Order]:
        """Return the last order of each concern of an object; one that is done may be left out.

        Raises BrokerUnavailableError where that is not known.
        """
        ...


class NoOrders:
    """Nobody orders anything."""

    async def of(self, system: str, obj: str) -> Sequence[Order]:
        """Return nothing."""
        return ()


def pending(taken: Iterable[Taken], action: Action) -> Taken | None:
    """Return the order of an action that is taken and not done."""
    for each in taken:
        if each.order.action is action and each.done_at is None:
            return each
    return None


def with_new(taken: Sequence[Taken], orders: Iterable[Order], at: datetime) -> tuple[Taken, ...]:
    """Return what is taken once these orders are: those known by their ids stay as they are."""
    by_concern = {each.order.action.concern: each for each in taken}
    for order in orders:
        known = by_concern.get(order.action.concern)
        if known is None or known.order.order_id != order.order_id:
            is_done = order.action is Action.RESUME
            by_concern[order.action.concern] = Taken(order, at, at if is_done else None)
    return tuple(by_concern.values())


def with_changed(taken: Sequence[Taken], changed: Taken) -> tuple[Taken, ...]:
    """Return what is taken, one of them as it is now."""
    return tuple(changed if each.order == changed.order else each for each in taken)


def with_done(taken: Sequence[Taken], action: Action, at: datetime) -> tuple[Taken, ...]:
    """Return what is taken once the pending order of an action is done."""
    found = pending(taken, action)
    return tuple(taken) if found is None else with_changed(taken, replace(found, done_at=at))


def news_of(taken: Iterable[Taken], told: Iterable[Taken]) -> list[Taken]:
    """Return those of what is taken that say something that was not told."""
    known = {(each.order.order_id, each.done_at) for each in told}
    return [each for each in taken if (each.order.order_id, each.done_at) not in known]


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _decoded(data: bytes) -> Mapping[str, Any]:
    record = json.loads(data)
    if not isinstance(record, dict):
        raise ValueError("it is no record")
    return record


def instant_text(instant: datetime | None) -> str | None:
    """Return a time as JSON holds it."""
    return None if instant is None else instant.isoformat()


def read_instant(text: str | None) -> datetime | None:
    """Read a time. Raises ValueError for one without a zone: it compares with none."""
    instant = None if text is None else datetime.fromisoformat(text)
    if instant is not None and instant.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return instant
