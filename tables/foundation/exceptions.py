"""Exceptions of tables: something that a person must settle, told once for each change of it.

The identity begins with the table's own prefix, and there is no command id: that is what
`connectors.dispatch` knows the exceptions of its commands by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tables.foundation.content import Payload, canonical_json, content_hash
from tables.foundation.effects import Outbox, instant

TOPIC: Final = "psa.exception"


@dataclass(frozen=True, slots=True)
class Subject:
    """What an exception is about, open or resolved."""

    exception_id: str
    system: str
    kind: str
    natural_key: str
    correlation_id: str | None


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
