"""Polling one object: what to read, what it means, what to publish.

A poll reads everything changed since its bookmark less the overlap, so that rows which became
visible late or share a stamp are read again; the ledger drops what was already published. The
bookmark never passes the server's clock as of the start of the scan: a scan that takes longer than
the overlap would otherwise skip rows that became visible behind it.

A sweep reads every row. A page of full rows costs the same request as a page of ids, so a sweep is
the one proof that needs no second kind of query: what differs from the ledger is published, what
is missing is deleted, unless too much is missing to be believed. Scheduling, retries and errors
are `connectors.polled.loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain

import structlog

from connectors.polled import instruments
from connectors.polled.bookmark import Batch, Bookmark, Change, Phase, Rejected, SourceLog
from connectors.polled.config import PolledConfig, SnapshotMode
from connectors.polled.ledger import (
    EPOCH,
    Entry,
    Ledger,
    Verdict,
    digest_of,
    entry_of,
    is_implausible,
    window_start,
)
from connectors.polled.model import (
    DeleteFeed,
    Deletion,
    ObjectReader,
    Page,
    Row,
    UnreadableRow,
)

log = structlog.get_logger()

Clock = Callable[[], datetime]


@dataclass(slots=True)
class _Scan:
    """What a scan saw. `started_at` is the server's clock at its first page.

    `reached`: how far it got, in order of change. `nameless`: rows of which nobody can say which
    they are; with such rows, absence proves nothing.
    """

    started_at: datetime | None = None
    newest: datetime = EPOCH
    reached: datetime = EPOCH
    seen: set[str] = field(default_factory=set)
    nameless: int = 0


@dataclass(slots=True)
class _Draft:
    """A batch being put together."""

    position: int
    changes: list[Change] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    entries: dict[str, Entry | None] = field(default_factory=dict)


class ObjectPoller:
    """Polls one object. Not for concurrent use: one poll at a time."""

    def __init__(
        self,
        config: PolledConfig,
        obj: str,
        reader: ObjectReader,
        source_log: SourceLog,
        *,
        bookmark: Bookmark | None,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._config = config
        self._obj = obj
        self._reader = reader
        self._log = source_log
        self._ledger = ledger
        self._clock = clock
        self._labels = (config.system, obj)
        self._bookmark = bookmark or Bookmark()
        self._forces_snapshot = config.snapshot_mode is SnapshotMode.ALWAYS
        if self._forces_snapshot:
            self._bookmark = replace(self._bookmark, phase=Phase.SNAPSHOT, cursor=None)

    @property
    def bookmark(self) -> Bookmark:
        """Where this object stands."""
        return self._bookmark

    async def poll(self) -> None:
        """Publish what changed. Raises what the reader and the log raise; may then be repeated."""
        if self._bookmark.phase is Phase.SNAPSHOT:
            await self._snapshot()
        elif self._reader.traits.has_cursor:
            await self._scan(window_start(self._bookmark.cursor, self._config.overlap))
            if self._reader.traits.delete_feed is DeleteFeed.EVERY_POLL:
                await self._apply_delete_feed()
            if self._is_sweep_due():
                await self._sweep()
        else:
            await self._sweep()
        instruments.LAST_SUCCESS.labels(*self._labels).set(self._clock().timestamp())

    async def _snapshot(self) -> None:
        await self._scan(window_start(self._bookmark.cursor, self._config.overlap))
        self._forces_snapshot = False
        streaming = replace(self._bookmark, phase=Phase.STREAMING, swept_at=self._clock())
        await self._commit(_Draft(self._bookmark.position), streaming)
        log.info(
            "snapshot_completed",
            system=self._config.system,
            object=self._obj,
            rows=len(self._ledger),
        )

    def _is_sweep_due(self) -> bool:
        swept_at = self._bookmark.swept_at or EPOCH
        interval = timedelta(milliseconds=self._config.sweep_interval_ms)
        return self._clock() - swept_at >= interval

    async def _sweep(self) -> None:
        living = self._ledger.living()
        scan = await self._scan(None, repairs_before=self._bookmark.cursor)
        if self._reader.traits.delete_feed is not DeleteFeed.NONE:
            scan.seen |= await self._apply_delete_feed()
        vanished = (living & self._ledger.living()) - scan.seen
        if vanished and scan.nameless:
            self._report_undecided(vanished, scan.nameless)
            vanished = set()
        if self._is_refused(vanished, len(living)):
            vanished = set()
        if vanished:
            # Offset pages shift under edits: a row is gone when two complete scans miss it.
            vanished -= (await self._scan(None)).seen
        draft = _Draft(self._bookmark.position)
        for row_id in sorted(vanished & self._ledger.living()):
            self._draft_delete(draft, row_id)
        if start := window_start(self._bookmark.cursor, self._config.overlap):
            for row_id in self._ledger.expired(start):
                if row_id not in scan.seen:
                    draft.entries[row_id] = None
        for row_id in self._ledger.never_sound() - scan.seen:
            draft.entries[row_id] = None
        await self._commit(draft, replace(self._bookmark, swept_at=self._clock()))

    def _is_refused(self, vanished: set[str], living: int) -> bool:
        refused = is_implausible(
            len(vanished),
            living,
            max_ratio=self._config.max_delete_ratio,
            max_rows=self._config.max_delete_rows,
        )
        instruments.REFUSED_DELETES.labels(*self._labels).set(len(vanished) if refused else 0)
        if refused:
            log.error(
                "deletes_refused",
                system=self._config.system,
                object=self._obj,
                vanished=len(vanished),
                living=living,
                hint="check the integration user's rights; raise max.delete.ratio to believe it",
            )
        return refused

    def _report_undecided(self, vanished: set[str], nameless: int) -> None:
        log.error(
            "deletes_undecided",
            system=self._config.system,
            object=self._obj,
            vanished=len(vanished),
            nameless=nameless,
            hint="correct the rows without a usable id; any of them may be one that is missed",
        )

    async def _scan(
        self, since: datetime | None, *, repairs_before: datetime | None = None
    ) -> _Scan:
        scan = _Scan()
        async for page in self._reader.changes(since):
            scan.started_at = scan.started_at or page.server_at
            stamps = (row.modified_at for row in page.rows if row.modified_at is not None)
            scan.newest = max(chain([scan.newest], stamps))
            scan.reached = page.reached or scan.reached
            scan.seen.update(row.id for row in page.rows)
            scan.seen.update(row.id for row in page.unreadable)
            scan.nameless += sum(row.is_nameless for row in page.unreadable)
            draft = self._draft_page(page, repairs_before)
            await self._commit(draft, self._advanced(scan, scan.reached))
        final = self._advanced(scan, max(scan.newest, scan.reached))
        await self._commit(_Draft(self._bookmark.position), final)
        return scan

    def _advanced(self, scan: _Scan, reached: datetime) -> Bookmark:
        """The bookmark when all is read up to `reached`: never back, never past the scan's start.

        The delete feed is due from the first scan on, since its rows can be deleted from then on.
        """
        bookmark = self._bookmark
        if bookmark.deletions_cursor is None:
            bookmark = replace(bookmark, deletions_cursor=scan.started_at or self._clock())
        if not self._reader.traits.has_cursor or reached == EPOCH:
            return bookmark
        reached = min(reached, scan.started_at or reached)
        return replace(bookmark, cursor=max(reached, bookmark.cursor or EPOCH))

    def _draft_page(self, page: Page, repairs_before: datetime | None) -> _Draft:
        draft = _Draft(self._bookmark.position)
        duplicates = repaired = 0
        rows = {row.id: row for row in page.rows}
        for row in rows.values():
            entry = entry_of(row)
            verdict = self._ledger.judge(row.id, entry)
            if verdict is Verdict.DUPLICATE and not self._forces_snapshot:
                duplicates += 1
                known = self._ledger.get(row.id)
                if known is not None and known.refused is not None:
                    draft.entries[row.id] = entry  # readable again, as it last was
                continue
            draft.entries[row.id] = entry
            if self._publishes():
                self._draft_change(draft, row, verdict)
            if repairs_before and (row.modified_at or repairs_before) <= repairs_before:
                repaired += 1
        self._draft_refusals(draft, page.unreadable)
        for row_id in self._missing_children(page):
            self._draft_delete(draft, row_id)
        instruments.DUPLICATES.labels(*self._labels).inc(duplicates)
        instruments.SWEEP_REPAIRED.labels(*self._labels).inc(repaired)
        self._report_new_fields(page.new_fields)
        return draft

    def _draft_refusals(self, draft: _Draft, unreadable: Iterable[UnreadableRow]) -> None:
        """Dead-letter rows that cannot be read, each content once; their last value stays."""
        for row in unreadable:
            entry = self._ledger.refuse(row.id, digest_of(row.raw))
            if entry is None or row.id in draft.entries:
                continue
            draft.entries[row.id] = entry
            draft.position = self._next_position(draft)
            draft.rejected.append(
                Rejected(row.id, row.raw, row.detail, draft.position, self._clock())
            )

    def _missing_children(self, page: Page) -> list[str]:
        """Living rows of the page's parents that are not in it, in a stable order."""
        if any(row.is_nameless for row in page.unreadable):
            return []
        present = {row.id for row in page.rows} | {row.id for row in page.unreadable}
        children = (self._ledger.children(parent) for parent in page.parents)
        return sorted(set().union(*children) - present)

    def _publishes(self) -> bool:
        """Whether rows go out: not those a `no_data` connector finds at first."""
        return not (
            self._bookmark.phase is Phase.SNAPSHOT
            and self._config.snapshot_mode is SnapshotMode.NO_DATA
        )

    def _draft_change(self, draft: _Draft, row: Row, verdict: Verdict) -> None:
        draft.position = self._next_position(draft)
        if row.is_deleted:
            op, before, after = "d", row.values, None
        else:
            is_snapshot = self._bookmark.phase is Phase.SNAPSHOT
            op = "r" if is_snapshot else "c" if verdict is Verdict.NEW else "u"
            before, after = None, row.values
        draft.changes.append(Change(row.id, op, before, after, draft.position, self._clock()))
        if row.modified_at is not None:
            lag_s = (self._clock() - row.modified_at).total_seconds()
            instruments.LAG.labels(*self._labels).set(max(lag_s, 0))

    def _draft_delete(self, draft: _Draft, row_id: str) -> None:
        draft.position = self._next_position(draft)
        before = self._reader.key(row_id)
        draft.changes.append(Change(row_id, "d", before, None, draft.position, self._clock()))
        draft.entries[row_id] = None

    def _next_position(self, draft: _Draft) -> int:
        """A capture position: the clock in microseconds, and always larger than the last."""
        now_us = (self._clock() - EPOCH) // timedelta(microseconds=1)
        return max(draft.position + 1, now_us)

    async def _apply_delete_feed(self) -> set[str]:
        """Publish what the delete log tells; return the ids of its entries that are unreadable."""
        unreadable: set[str] = set()
        cursor = self._bookmark.deletions_cursor
        since = window_start(cursor, self._config.overlap) or EPOCH
        async for page in self._reader.deletions(since):
            draft = _Draft(self._bookmark.position)
            self._draft_refusals(draft, page.unreadable)
            unreadable.update(row.id for row in page.unreadable)
            for row_id in self._deleted_rows(page.deletions):
                self._draft_delete(draft, row_id)
            newest = max((deletion.deleted_at for deletion in page.deletions), default=since)
            reached = max(newest, cursor or EPOCH)
            await self._commit(draft, replace(self._bookmark, deletions_cursor=reached))
        return unreadable

    def _deleted_rows(self, deletions: Iterable[Deletion]) -> list[str]:
        """Living rows the feed names, unless they changed after the delete (an undelete)."""
        found: dict[str, None] = {}
        for deletion in deletions:
            has_parent = self._reader.traits.has_parent
            ids = self._ledger.children(deletion.id) if has_parent else {deletion.id}
            for row_id in sorted(ids):
                entry = self._ledger.get(row_id)
                if entry is None or not entry.is_living:
                    continue
                if entry.modified_at is None or entry.modified_at <= deletion.deleted_at:
                    found[row_id] = None
        return list(found)

    async def _commit(self, draft: _Draft, bookmark: Bookmark) -> None:
        bookmark = replace(bookmark, position=draft.position)
        if bookmark == self._bookmark and not draft.entries:
            return
        batch = Batch(self._obj, bookmark, draft.changes, draft.rejected, draft.entries)
        await self._log.commit(batch)
        self._bookmark = bookmark
        for row_id, entry in draft.entries.items():
            self._ledger.put(row_id, entry)
        for change in draft.changes:
            instruments.RECORDS.labels(*self._labels, change.op).inc()
        instruments.UNREADABLE.labels(*self._labels).inc(len(draft.rejected))

    def _report_new_fields(self, names: tuple[str, ...]) -> None:
        if names:
            instruments.NEW_FIELDS.labels(*self._labels).inc(len(names))
            log.warning(
                "new_fields_ignored", system=self._config.system, object=self._obj, fields=names
            )
