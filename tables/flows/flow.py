"""A flow: what systems of a role should hold of one kind of thing, and what they do hold.

Its file declares of what, with two pure functions of a view: the content that is `wanted` of a
target, and the row there that shows what is `held`. `Orders` is the loop of all flows: it decides
by the ledger of a thing, remembers what was decided, and sends it.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Generic, Protocol, TypeVar

from schemas.canonical_json import canonical_json
from schemas.commands import WITHDRAW, CommandContent
from schemas.identity import command_id
from schemas.landscape import Role
from schemas.topics import COMMAND_PREFIX
from tables.foundation.content import content_hash, fields_of
from tables.foundation.effects import Outbox, instant
from tables.foundation.ledger import GONE, LedgerEntry, decide, forget, withdraw

Worth = tuple[Decimal, str | None] | tuple[None, None]
"""The money that waits for a command: amount and currency."""


class Thing(Protocol):
    """What a view is of: the id at the end of natural keys, who asks for it, what traces it."""

    identity: str
    origin_key: str

    @property
    def correlation_id(self) -> str | None: ...


class Place(Enum):
    """What is held where no row could show it."""

    MISSING = "missing"


View = TypeVar("View", bound=Thing)


def _nothing(_: Thing) -> Worth:
    return None, None


@dataclass(frozen=True, kw_only=True)
class Flow(Generic[View]):
    """The declaration. The functions are given a view and a target.

    `wanted` returns content of `upsert`, or of `delete` where the target should hold nothing. None:
    nobody wishes anything, and what is not carried out yet is withdrawn. `held` returns the row
    that shows what the target holds; None: it holds nothing. Where that is part of another row
    which is `Place.MISSING`, what was ordered went with it. `shown_by` names the canonical entities
    that show what a target holds, `kept_equal` the fields that are compared in rows of the first.
    """

    role: Role
    noun: str
    upsert: type[CommandContent]
    delete: type[CommandContent] | None = None
    kept_equal: tuple[str, ...]
    shown_by: tuple[str, ...]
    wanted: Callable[[View, str], CommandContent | None]
    held: Callable[[View, str], object]
    worth: Callable[[View], Worth] = _nothing

    @property
    def contents(self) -> tuple[type[CommandContent], ...]:
        """What it sends."""
        return (self.upsert,) if self.delete is None else (self.upsert, self.delete)

    def natural_key(self, view: View, target: str) -> str:
        """Return what names the thing in a target."""
        return f"{target}:{self.noun}:{view.identity}"

    def deletes(self, content: CommandContent | None) -> bool:
        """Whether a content asks for nothing to be held."""
        return self.delete is not None and isinstance(content, self.delete)

    def shown(self, row: object) -> str:
        """Return the hash of what is compared of a content or a row, "" of nothing."""
        return "" if row is None else content_hash(fields_of(row, self.kept_equal))


class Orders:
    """Decides, remembers and sends, for the ledgers of one document."""

    def __init__(
        self, ledgers: MutableMapping[str, LedgerEntry], outbox: Outbox, timestamp_ms: int
    ) -> None:
        self._ledgers = ledgers
        self._outbox = outbox
        self._timestamp_ms = timestamp_ms

    def keep(
        self, flow: Flow[View], view: View, target: str, name: str | None = None
    ) -> CommandContent | None:
        """Order what is wanted and neither there nor ordered; return what is ordered now.

        `name` is that of the ledger in its document; the natural key where none is given.
        """
        name = name or flow.natural_key(view, target)
        known = self._ledgers.get(name)
        wanted, held = flow.wanted(view, target), flow.held(view, target)
        is_wished = wanted is not None and not flow.deletes(wanted) and held is not Place.MISSING
        if known is None and not is_wished:
            return None  # nothing of ours is there
        entry = known or LedgerEntry()
        if held is Place.MISSING:
            self._ledgers[name] = forget(self._withdrawn(flow, view, target, entry))
            return None
        desired = GONE if flow.deletes(wanted) else flow.shown(wanted) or None
        entry, is_due = decide(entry, desired, flow.shown(held), self._timestamp_ms)
        if wanted is None:
            entry = self._withdrawn(flow, view, target, entry)
        self._ledgers[name] = entry
        if not is_due:
            return None
        self._send(flow, view, target, wanted, entry.revision)
        return wanted

    def take_back(self, flow: Flow[View], view: View, target: str, name: str) -> None:
        """Withdraw what is not carried out yet, be it a deletion; nothing else is decided."""
        entry = self._ledgers[name]
        self._ledgers[name] = self._withdrawn(flow, view, target, entry, is_deletion_too=True)

    def _withdrawn(
        self,
        flow: Flow[View],
        view: View,
        target: str,
        entry: LedgerEntry,
        *,
        is_deletion_too: bool = False,
    ) -> LedgerEntry:
        entry, is_open = withdraw(entry, self._timestamp_ms, is_deletion_too=is_deletion_too)
        if is_open:
            self._send(flow, view, target, None, entry.revision)
        return entry

    def _send(
        self,
        flow: Flow[View],
        view: View,
        target: str,
        content: CommandContent | None,
        revision: int,
    ) -> None:
        """Put a command into the outbox; without content, it withdraws all below its revision."""
        natural_key = flow.natural_key(view, target)
        kind = WITHDRAW if content is None else content.kind
        said = {} if content is None else content.model_dump()
        payload = canonical_json(said)
        amount, currency = flow.worth(view) if isinstance(content, flow.upsert) else (None, None)
        self._outbox.add(
            f"{COMMAND_PREFIX}{target}",
            natural_key,
            {
                "command_id": command_id(target, kind, natural_key, revision, payload),
                "target": target,
                "kind": kind,
                "natural_key": natural_key,
                "revision": revision,
                "payload": payload,
                "origin_key": view.origin_key,
                "correlation_id": view.correlation_id,
                "amount": amount,
                "currency": currency,
                "issued_at": instant(self._timestamp_ms),
                **({} if content is None else {kind: said}),
            },
        )
