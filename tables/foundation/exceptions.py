"""Exceptions of tables: something that a person must settle, told once for each change of it.

The identity begins with the table's own prefix, and there is no command id: that is what
`connectors.dispatch` knows the exceptions of its commands by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from schemas.canonical_json import Payload, canonical_json
from tables.foundation.content import content_hash
from tables.foundation.effects import Outbox, Record, Value, instant

TOPIC: Final = "psa.exception"
PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "engagement": ("engagement", "biller", "unshown"),
    "project": ("billing", "person"),
}
"""By group that raises them: what identities begin with, up to the first colon."""
_KNOWN: Final = frozenset(prefix for prefixes in PREFIXES.values() for prefix in prefixes)
_SUBJECT: Final = (
    "exception_id", "system", "kind", "natural_key", "correlation_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """What an exception is about, open or resolved."""

    exception_id: str
    system: str
    kind: str
    natural_key: str
    correlation_id: str | None

    def __post_init__(self) -> None:
        """What begins with another prefix would stay open after its group has begun anew."""
        assert _prefix(self.exception_id) in _KNOWN, self.exception_id


@dataclass(frozen=True, slots=True)
class Finding:
    """Why it is open: a stable code, what happened, what to do, and the money that waits."""

    code: str
    detail: str
    hint: str
    payload: Payload
    amount: Decimal | None
    currency: str | None


def tell(
    outbox: Outbox, subject: Subject, finding: Finding | None, told: str, timestamp_ms: int
) -> str:
    """Publish an exception where it is not what was told; return what is told now.

    `told` and what is returned are the hash of an open exception, "" where none is open.
    """
    content: Mapping[str, str | Decimal | None] = {
        "exception_id": subject.exception_id,
        "system": subject.system,
        "kind": subject.kind,
        "natural_key": subject.natural_key,
        "error_code": finding.code if finding else None,
        "detail": finding.detail if finding else None,
        "hint": finding.hint if finding else None,
        "payload": canonical_json(finding.payload) if finding else None,
        "amount": finding.amount if finding else None,
        "currency": finding.currency if finding else None,
        "correlation_id": subject.correlation_id,
    }
    now = content_hash(content) if finding else ""
    if now != told:
        stamped = {"status": "open" if finding else "resolved", "raised_at": instant(timestamp_ms)}
        outbox.add(TOPIC, subject.exception_id, {**content, **stamped})
    return now


def take_back(rows: Iterable[Mapping[str, Value]], group: str, at: datetime) -> list[Record]:
    """Return what resolves the open exceptions of a group that forgets what it has told.

    `rows` are the last words on exceptions, of others too. What is still so is told again.
    """
    prefixes = PREFIXES.get(group, ())
    ours = (
        row
        for row in rows
        if row["status"] == "open"
        and row["command_id"] is None
        and _prefix(str(row["exception_id"])) in prefixes
    )
    return [
        {**{name: row[name] for name in _SUBJECT}, "status": "resolved", "raised_at": at}
        for row in ours
    ]


def _prefix(exception_id: str) -> str:
    return exception_id.partition(":")[0]
