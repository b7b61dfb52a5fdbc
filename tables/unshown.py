"""Orders that a target says it has carried out, until capture shows them.

What was made and taken away in a target between two polls is never captured, and neither is its
end. It counts as lost once capture has shown news of the target's projects that are younger by
`PATIENCE_MS`. News that come in another order (a rebuild reads history) can make a loss of what
stands: ordering it anew writes what is there.

State: `u:<target>|<natural key>` which revision was carried out, and when.
"""

from __future__ import annotations

from typing import Final

from tables.documents import Documents

CARRIED_OUT: Final = frozenset({"succeeded", "adopted"})
"""Status of results after which the target holds what was ordered."""
PATIENCE_MS: Final = 24 * 3_600_000
"""Longer than capture lags behind its target."""


class UnshownOrders:
    """The orders of a partition that nothing has shown yet, for one chunk."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._shown_ms: dict[str, int] = {}  # target → when the chunk last showed a row of it

    def carried_out(self, natural_key: str, revision: int, timestamp_ms: int) -> None:
        """Await what a target says it has carried out."""
        target = natural_key.partition(":")[0]
        self._documents.put_raw(f"u:{target}|{natural_key}", f"{revision}|{timestamp_ms}".encode())

    def shown(self, row: str, timestamp_ms: int) -> None:
        """Take in that capture has shown a row, or its end."""
        target = row.partition(":")[0]
        self._shown_ms[target] = max(timestamp_ms, self._shown_ms.get(target, 0))

    def take_overdue(self) -> list[tuple[str, int]]:
        """Return natural key and revision of what should have shown; it is awaited no more."""
        found = []
        for target, shown_ms in sorted(self._shown_ms.items()):
            for name in self._documents.keys(f"u:{target}|"):
                revision, _, made_ms = (self._documents.raw(name) or b"").decode().partition("|")
                if shown_ms - int(made_ms) >= PATIENCE_MS:
                    self._documents.delete(name)
                    found.append((name.partition("|")[2], int(revision)))
        return found
