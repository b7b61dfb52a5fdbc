"""Orders that a target says it has carried out, until capture shows them.

What was made and taken away in a target between two polls is never captured, and neither is its
end. It counts as lost once capture has shown news of the target's projects that are younger by
`PATIENCE_MS`. News that come in another order (a rebuild reads history) can make a loss of what
stands: ordering it anew writes what is there.

A target may never show what it says it has made: a rule of its own deletes it, or the user that
capture reads with does not see it. So each loss in a row doubles the patience, up to a month, and
from `TOLD_AFTER` losses on a person is told until it shows or nobody wants it any more.

State: `u:<target>|<natural key>` which revision was carried out, and when it counts as lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.exceptions import Finding, Subject, tell
from tables.foundation.ledger import GONE, LedgerEntry
from tables.foundation.told import Hashes, remember

CARRIED_OUT: Final = frozenset({"succeeded", "adopted"})
"""Status of results after which the target holds what was ordered."""
PATIENCE_MS: Final = 24 * 3_600_000
"""Longer than capture lags behind its target."""
MOST_DOUBLINGS: Final = 5
TOLD_AFTER: Final = 3
KIND: Final = "unshown_order"
CODE: Final = "order.unshown"
_HINT: Final = (
    "look for it in the target: a rule there may delete it, or the user that psastream reads with "
    "may not see it; it is ordered again meanwhile, at last once a month"
)


class UnshownOrders:
    """The orders of a partition that nothing has shown yet, for one chunk."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._shown_ms: dict[str, int] = {}  # target → when the chunk last showed a row of it

    def carried_out(
        self, natural_key: str, revision: int, timestamp_ms: int, *, losses: int
    ) -> None:
        """Await what a target says it has carried out, after `losses` orders in a row."""
        target = natural_key.partition(":")[0]
        due_ms = timestamp_ms + PATIENCE_MS * 2 ** min(losses, MOST_DOUBLINGS)
        self._documents.put_raw(f"u:{target}|{natural_key}", f"{revision}|{due_ms}".encode())

    def shown(self, row: str, timestamp_ms: int) -> None:
        """Take in that capture has shown a row, or its end."""
        target = row.partition(":")[0]
        self._shown_ms[target] = max(timestamp_ms, self._shown_ms.get(target, 0))

    def take_overdue(self) -> list[tuple[str, int]]:
        """Return natural key and revision of what should have shown; it is awaited no more."""
        found = []
        for target, shown_ms in sorted(self._shown_ms.items()):
            for name in self._documents.keys(f"u:{target}|"):
                revision, _, due_ms = (self._documents.raw(name) or b"").decode().partition("|")
                if shown_ms >= int(due_ms):
                    self._documents.delete(name)
                    found.append((name.partition("|")[2], int(revision)))
        return found


def tell_unshown(
    ledgers: Mapping[str, LedgerEntry],
    told: Hashes,
    system: str,
    outbox: Outbox,
    timestamp_ms: int,
) -> None:
    """Open, change or resolve the exceptions of orders that no capture shows.

    `told` maps natural keys to the hash of what is open; `system` is where the wish comes from.
    """
    for natural_key in sorted(ledgers.keys() | told.keys()):
        subject = Subject(
            exception_id=f"unshown:{natural_key}",
            system=system,
            kind=KIND,
            natural_key=natural_key,
            correlation_id=None,
        )
        finding = _finding(ledgers.get(natural_key, LedgerEntry()))
        now = tell(outbox, subject, finding, told.get(natural_key, ""), timestamp_ms)
        remember(told, natural_key, now)


def _finding(entry: LedgerEntry) -> Finding | None:
    is_awaited = entry.ordered not in ("", GONE) and not entry.is_confirmed and not entry.observed
    if not is_awaited or entry.losses < TOLD_AFTER:
        return None
    return Finding(
        code=CODE,
        detail=f"the target said {entry.losses} times that it has it, and nothing of it was seen",
        hint=_HINT,
        payload={"losses": entry.losses},
        amount=None,
        currency=None,
    )
