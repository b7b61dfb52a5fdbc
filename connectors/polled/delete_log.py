"""Which rows a delete log deletes, where a scan may show a row later than its delete. Pure.

`connectors.polled.poller` says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from connectors.polled.ledger import EPOCH, Entry, Ledger
from connectors.polled.model import Deletion
from connectors.polled.scan import Draft, Scan
from runtime.clocks import is_past


@dataclass(frozen=True, slots=True)
class ToldDeletes:
    """What pages of a delete log say of the rows of a ledger, beside a scan of the same poll.

    `lateness`: how long after a delete a scan may still show its row. `earliest`: what no poll
    reads beyond. `has_parent`: the log names parents of the rows. `late`: stamps of rows that were
    shown after their delete and may be gone all the same, for polls to read them again.
    """

    ledger: Ledger
    scan: Scan
    lateness: timedelta
    earliest: datetime
    has_parent: bool
    late: list[datetime] = field(default_factory=list)

    def rows(self, draft: Draft, deletions: Iterable[Deletion], now: datetime) -> set[str]:
        """Return the living rows that deletions name, unless they were there after the delete.

        `now` is of the vendor's clock.

        A scan that began later than the delete by more than rows are late, and shows the row, knows
        better than the log, which may name it for long; that is noted in the draft, since later
        scans need not show it. A stamp after the delete (an undelete) knows better too, but for one
        of the future, made before the clock was right.
        """
        found: set[str] = set()
        for deletion in deletions:
            for row_id, entry in self._named(deletion, now):
                shown_at = entry.shown_at
                if shown_at and deletion.deleted_at <= shown_at and is_past(shown_at, now):
                    continue
                changed_at = entry.modified_at or EPOCH
                if row_id in self.scan.shown and deletion.deleted_at <= self.scan.started_at:
                    there_at = self.scan.started_at - self.lateness
                    if deletion.deleted_at < there_at:
                        draft.entries[row_id] = replace(entry, shown_at=there_at)
                    elif self.earliest <= changed_at <= deletion.deleted_at:
                        self.late.append(changed_at)
                    continue
                if changed_at <= deletion.deleted_at or not is_past(changed_at, now):
                    found.add(row_id)
        return found

    def _named(self, deletion: Deletion, now: datetime) -> list[tuple[str, Entry]]:
        """The living rows that a delete names.

        Of a delete in the future nobody knows whether it was taken back since: sweeps tell it.
        """
        if not is_past(deletion.deleted_at, now):
            return []
        ids = self.ledger.children(deletion.id) if self.has_parent else {deletion.id}
        entries = [(row_id, self.ledger.get(row_id)) for row_id in ids]
        return [(row_id, entry) for row_id, entry in entries if entry and entry.is_living]
