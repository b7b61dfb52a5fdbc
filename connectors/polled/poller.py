"""Polling one object: what to read, what it means, what to publish.

A poll reads everything changed since its bookmark less the overlap, so that rows which became
visible late or share a stamp are read again; the ledger drops what was already published. The
bookmark never passes the start of the scan, by the earlier of the server's clock and ours: a scan
that takes longer than the overlap would otherwise skip rows that became visible behind it, and a
clock that runs ahead all changes until then. A bookmark of the future is not believed: all rows are
compared, and reading goes on from the present.

Where the vendor says itself where reading goes on (a token), polls follow it and have no overlap:
what it shows late, sweeps find. A token is kept with the last of what it stands for. One that the
vendor does not go on from is forgotten, and reading begins anew; where that shows all rows, a sweep
follows it, since the token that it ends with may be younger than its first pages, and since nothing
told what was deleted meanwhile.

Where a queue tells changes, whose first message stays until it is deleted, polls read the queue. A
page is asked for only once the one before it is committed, which is when the reader deletes the
message. A sweep that is due comes first: a queue that is refused or stuck holds up none.

A sweep reads every row. A page of full rows costs the same request as a page of ids, so a sweep is
the one proof that needs no second kind of query: what differs from the ledger is published, what
is missing is deleted. Every delete has passed `connectors.polled.deletes`.

What a scan shows after the delete that a log names was restored, or vanishes late: a replica lags,
or the delete was committed late. Where more than the overlap lies between, it was restored. Until
then polls read the row again, from before their window where it has left that, and a poll that does
not show it tells the delete. What complete scans alone can show is believed to be deleted.

A column that not every account has may be lost, with a right, by one that had it: absent is not
null, and what is known must not be overwritten. Where all rows had it when they were last read and
those of a page do not, a sweep tells: it stops the object unless other rows have it.

People may pause an object: nothing is asked and nothing moves until they have it go on, whoever
restarts meanwhile. They may order a sweep before it is due, and a resync: rows are read and
published again, all or those changed since an instant. Each poll takes what was ordered, reads what
has changed, and then does it: a resync that cannot end holds up no change. It moves nothing back,
so changes and deletes meanwhile are told as ever. A pause or another resync ends it with its page.
Cut short, it goes on where it was, if the vendor's pages come in order of change, and begins anew
otherwise. Rows without a stamp are among all rows alone: one of all rows reads all again to go on.

Scheduling, retries and errors are `connectors.polled.loop`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain

import structlog

from connectors.polled import instruments
from connectors.polled.bookmark import (
    Batch,
    Bookmark,
    Change,
    Phase,
    Rejected,
    RowsTooLargeError,
    SourceLog,
)
from connectors.polled.clocks import Clock, Clocks
from connectors.polled.config import PolledConfig, SnapshotMode
from connectors.polled.delete_log import ToldDeletes
from connectors.polled.deletes import Awaited, DeleteGuard
from connectors.polled.ledger import (
    EPOCH,
    Ledger,
    Verdict,
    digest_of,
    entry_of,
    oversize,
    window_start,
)
from connectors.polled.model import (
    ContinuedReader,
    DeleteFeed,
    LostTokenError,
    ObjectReader,
    Page,
    QueuedReader,
    Row,
    UnreadableRow,
    parent_of,
)
from connectors.polled.orders import (
    Action,
    NoOrders,
    Orders,
    Taken,
    news_of,
    pending,
    with_changed,
    with_done,
    with_new,
)
from connectors.polled.scan import Draft, Pages, Scan, ids_of
from connectors.toolkit.faults import DeleteLogIncompleteError, VendorRejectedError
from runtime.clocks import SKEW, has_passed
from schemas.errors import (
    InvalidEntityError,
    RecordTooLargeError,
    SchemaMismatchError,
)

_log = structlog.get_logger()


class LostColumnError(SchemaMismatchError):
    """Rows came without a column that every row had when all were read last."""

    code = "record.lost_column"


class ResyncStoppedError(Exception):
    """A pause or another resync was ordered while one was under way. A signal."""


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
        beat: Callable[[], None] = lambda: None,
        orders: Orders | None = None,
    ) -> None:
        """`beat` is called with each page read; `orders` are asked before each poll."""
        self._config = config
        self._obj = obj
        self._reader = reader
        self._log = source_log
        self._ledger = ledger
        self._clock = clock
        self._beat = beat
        self._clocks = Clocks(config.system, obj, clock)
        self._labels = (config.system, obj)
        self._bookmark = self._kept = bookmark or Bookmark()
        self._guard = DeleteGuard(
            config.system,
            obj,
            max_ratio=config.max_delete_ratio,
            max_rows=config.max_delete_rows,
            sweep_interval=self._sweep_interval,
            awaited=Awaited(frozenset(self._bookmark.missed), self._bookmark.missed_at),
        )
        self._continued: ContinuedReader | None = None
        if isinstance(reader, ContinuedReader) and reader.traits.has_cursor:
            self._continued = reader
        self._queued = reader if isinstance(reader, QueuedReader) else None
        self._orders = NoOrders() if orders is None else orders
        self._resync: Taken | None = None  # while its rows are read
        self._lacks_delete_log = False
        self._forces_snapshot = config.snapshot_mode is SnapshotMode.ALWAYS
        if self._forces_snapshot:
            self._bookmark = replace(self._bookmark, phase=Phase.SNAPSHOT, cursor=None, token=None)

    @property
    def _sweep_interval(self) -> timedelta:
        return timedelta(milliseconds=self._config.sweep_interval_ms)

    @property
    def bookmark(self) -> Bookmark:
        """Where this object stands."""
        return self._bookmark

    async def poll(self) -> bool:
        """Publish what changed; False: people have paused the object, and nothing was asked.

        Raises what the reader and the log raise; may then be repeated.
        """
        await self._take_orders()
        is_paused = pending(self._bookmark.orders, Action.PAUSE) is not None
        instruments.PAUSED.labels(*self._labels).set(int(is_paused))
        if is_paused:
            return False
        self._guard.start(self._ledger.living_count)
        if self._bookmark.phase is Phase.SNAPSHOT:
            await self._snapshot()
        elif self._queued is not None:
            await self._read_queue(self._queued)
        elif self._reader.traits.has_cursor:
            await self._read_changes()
        else:
            await self._sweep()
        if resync := pending(self._bookmark.orders, Action.RESYNC):
            await self._publish_again(resync)
        await self._commit(Draft(self._bookmark.position), self._bookmark)
        instruments.LAST_SUCCESS.labels(*self._labels).set(self._clock().timestamp())
        return True

    async def _take_orders(self) -> None:
        """Keep what was ordered with the bookmark, before anything is done about it.

        The place of the bookmark is the one that is kept: where this process is to begin anew, it
        does so with its first page.
        """
        known = self._bookmark.orders
        orders = await self._orders.of(self._config.system, self._obj)
        taken = with_new(known, orders, self._clock())
        for each in news_of(taken, known):
            _log.info(
                "poll.order_taken",
                system=self._config.system,
                object=self._obj,
                action=each.order.action.value,
                order_id=each.order.order_id,
                by=each.order.ordered_by,
                note=each.order.note,
            )
        here = self._bookmark
        await self._commit(Draft(self._kept.position), replace(self._kept, orders=taken))
        self._bookmark = replace(here, orders=taken)

    async def _publish_again(self, resync: Taken) -> None:
        """Publish the rows of a resync; what has changed meanwhile goes out as what it is."""
        if not self._reads_by_time or self._window_start() is None:
            resync = replace(resync, reached=None)  # it cannot go on, and begins anew
        self._resync = resync
        try:
            await self._scan(self._reader.changes(self._resync_begins(resync)))
        except ResyncStoppedError:
            return  # the next poll takes what was ordered
        except LostColumnError:
            self._resync = None  # the next poll goes on; what a sweep reads does not go out again
            await self._sweep()
            return
        finally:
            self._resync = None
        done = with_done(self._bookmark.orders, Action.RESYNC, self._clock())
        await self._commit(Draft(self._bookmark.position), replace(self._bookmark, orders=done))
        _log.info(
            "poll.resync_completed",
            system=self._config.system,
            object=self._obj,
            order_id=resync.order.order_id,
            rows=len(self._ledger),
        )

    def _resync_begins(self, resync: Taken) -> datetime | None:
        """Where the scan of a resync begins; None: it reads all rows.

        Never behind where a poll would: the scan moves the bookmark, past rows not yet visible.
        """
        window = self._window_start()
        if not self._reads_by_time or resync.order.since is None or window is None:
            return None
        return min(resync.begins or EPOCH, window)

    async def _require_resync(self, resync: Taken) -> None:
        """Raises ResyncStoppedError where a resync under way is to end."""
        orders = await self._orders.of(self._config.system, self._obj)
        taken = with_new(self._bookmark.orders, orders, self._clock())
        last = pending(taken, Action.RESYNC)
        is_last = last is not None and last.order.order_id == resync.order.order_id
        if not is_last or pending(taken, Action.PAUSE):
            raise ResyncStoppedError

    @property
    def _reads_by_time(self) -> bool:
        return self._reader.traits.has_cursor and self._continued is None

    async def _read_queue(self, reader: QueuedReader) -> None:
        if self._is_sweep_due():
            await self._sweep()
        try:
            await self._scan(reader.queued())
        except LostColumnError:
            await self._sweep()  # the message stays, and is read again by the next poll

    async def _read_changes(self) -> None:
        try:
            scan = await self._scan_changes()
        except LostColumnError:
            await self._sweep()  # whether all rows are without it, or those that have changed
            return
        if self._reader.traits.delete_feed is DeleteFeed.EVERY_POLL:
            await self._apply_delete_feed(scan)
        if self._is_sweep_due():
            await self._sweep()

    async def _scan_changes(self) -> Scan:
        if self._begins_whole and self._bookmark.token is None:
            self._bookmark = replace(self._bookmark, swept_at=None)
        try:
            return await self._scan(self._changes())
        except LostTokenError as error:
            _log.warning(
                "poll.token_lost",
                system=self._config.system,
                object=self._obj,
                error=str(error),
                hint="all rows are read, and compared for deletes",
            )
            lost = replace(self._bookmark, token=None, swept_at=None)
            await self._commit(Draft(lost.position), lost)
        return await self._scan(self._changes())

    @property
    def _begins_whole(self) -> bool:
        return self._continued is not None and self._reader.traits.begins_whole

    def _all_rows(self) -> AsyncIterator[Page]:
        """What a snapshot reads: with a token in the end, where the vendor begins with all rows."""
        if self._continued is not None and self._begins_whole:
            return self._continued.continued(None)
        return self._reader.changes(None)

    def _changes(self) -> AsyncIterator[Page]:
        if self._continued is not None:
            return self._continued.continued(self._bookmark.token)
        return self._reader.changes(self._window_start())

    def _window_start(self) -> datetime | None:
        """Where a poll starts to read: earlier than the overlap while a row may be restored."""
        start = window_start(self._bookmark.cursor, self._config.overlap)
        if start is None or self._bookmark.reread_from is None:
            return start
        return max(min(start, self._bookmark.reread_from), self._earliest)

    @property
    def _earliest(self) -> datetime:
        """What no poll reads beyond, whatever it reads again."""
        reach = self._config.overlap
        if self._reader.traits.delete_feed is DeleteFeed.EVERY_POLL:
            reach += self._lateness
        return window_start(self._bookmark.cursor, reach) or EPOCH

    @property
    def _lateness(self) -> timedelta:
        """How long after a delete a scan may still show the row; logs tell seconds or minutes."""
        return max(self._config.overlap, SKEW)

    async def _snapshot(self) -> None:
        is_first = self._bookmark.cursor is None and not len(self._ledger)
        is_all = self._continued is not None or self._bookmark.cursor is None
        scan = await self._scan(self._all_rows() if is_all else self._changes())
        if self._reader.traits.delete_feed is DeleteFeed.EVERY_POLL:
            # What this scan shows, later ones need not: the log may name it for long.
            if is_first:
                self._guard.start(self._ledger.living_count)
            await self._apply_delete_feed(scan)
        self._forces_snapshot = False
        # One that follows another, cut short, neither sees what was deleted meanwhile nor reads
        # again what has no stamp.
        is_whole = is_first and not (self._lacks_delete_log or self._begins_whole)
        swept_at = self._clock() if is_whole else None
        columns = self._columns(scan) if is_all else self._bookmark.columns
        streaming = replace(
            self._bookmark, phase=Phase.STREAMING, swept_at=swept_at, columns=columns
        )
        await self._commit(Draft(self._bookmark.position), streaming)
        _log.info(
            "poll.snapshot_completed",
            system=self._config.system,
            object=self._obj,
            rows=len(self._ledger),
        )

    def _is_sweep_due(self) -> bool:
        if pending(self._bookmark.orders, Action.SWEEP):
            return True
        return has_passed(self._sweep_interval, self._bookmark.swept_at, self._clock())

    async def _sweep(self) -> None:
        living = self._ledger.living()
        scan = await self._scan(self._reader.changes(None), repairs_before=self._bookmark.cursor)
        if self._reader.traits.delete_feed is not DeleteFeed.NONE:
            scan.seen |= await self._apply_delete_feed(scan, compared_at=scan.started_at)
        vanished = self._missed(living & self._ledger.living(), scan)
        if vanished:
            # Offset pages shift under edits: a row is gone when two complete scans miss it.
            vanished = self._missed(vanished, await self._scan(self._reader.changes(None)))
        if not self._guard.missed(vanished, len(living), self._clock()):
            vanished = set()
        draft = Draft(self._bookmark.position)
        self._draft_deletes(draft, vanished & self._ledger.living())
        if self._bookmark.cursor is not None:
            for row_id in self._ledger.expired(self._earliest):
                if row_id not in scan.seen:
                    draft.entries[row_id] = None
        for row_id in self._ledger.never_sound() - scan.seen:
            draft.entries[row_id] = None
        swept = replace(
            self._bookmark,
            swept_at=self._clock(),
            missed=tuple(sorted(self._guard.awaited.rows)),
            missed_at=self._guard.awaited.since,
            columns=self._columns(scan),
            orders=with_done(self._bookmark.orders, Action.SWEEP, self._clock()),
        )
        await self._commit(draft, swept)

    def _columns(self, scan: Scan) -> tuple[str, ...]:
        """Return the optional columns that every row of a complete scan had."""
        is_empty = not (scan.shows or scan.lacks)
        return self._bookmark.columns if is_empty else tuple(sorted(scan.shows - scan.lacks))

    def _require_columns(self, page: Page, scan: Scan) -> None:
        """Raises LostColumnError where a page is without a column that all rows had."""
        lost = set(self._bookmark.columns) & (page.lacks - page.shows - scan.shows)
        if lost and not self._forces_snapshot:
            raise LostColumnError(
                f"{self._config.system}.{self._obj} came without {', '.join(sorted(lost))}, which "
                "all its rows had",
                hint="check the integration user's field rights; absent is not null. Where the "
                "account has no such field any more, start once with snapshot.mode = always",
            )

    def _missed(self, row_ids: set[str], scan: Scan) -> set[str]:
        """Those of some rows that a complete scan shows to be absent."""
        if not self._reader.traits.shows_all:
            return set()
        missed = row_ids - scan.seen - scan.childless
        if scan.nameless:
            self._guard.undecided(missed, scan.nameless)
            return set()
        return missed

    async def _scan(
        self, read: AsyncIterator[Page], *, repairs_before: datetime | None = None
    ) -> Scan:
        ours_at = self._clock()
        scan, pages = Scan(ours_at), Pages(read)
        try:
            async for page in pages:
                self._beat()
                if not scan.has_begun:
                    self._begin(scan, self._clocks.started(ours_at, page.server_at))
                self._require_columns(page, scan)
                stamps = (row.modified_at for row in page.rows if row.modified_at is not None)
                scan.newest = max(chain([scan.newest], stamps))
                scan.reached = page.reached or scan.reached
                scan.see(page)
                self._guard.see(ids_of(page) - {row.id for row in page.rows if row.is_deleted})
                draft = self._draft_page(page, scan, repairs_before)
                advanced = self._advanced(scan, scan.reached)
                orders = self._gone_on(scan)
                token = page.token or advanced.token
                if self._reader.traits.reads_ahead:
                    pages.ask()
                await self._commit(draft, replace(advanced, token=token, orders=orders))
                if self._resync is not None:
                    await self._require_resync(self._resync)
        finally:
            await pages.aclose()  # what the reader has open ends with the scan
        final = self._advanced(scan, max(scan.newest, scan.reached))
        await self._commit(Draft(self._bookmark.position), final)
        return scan

    def _begin(self, scan: Scan, started_at: datetime) -> None:
        scan.started_at, scan.has_begun = started_at, True
        if not self._clocks.believes("cursor", self._bookmark.cursor, started_at):
            self._bookmark = replace(self._bookmark, cursor=None, swept_at=None)

    def _advanced(self, scan: Scan, reached: datetime) -> Bookmark:
        """The bookmark when all is read up to `reached`: never back, never past the scan's start.

        The delete feed is due from the first scan on, since its rows can be deleted from then on.
        """
        bookmark = self._bookmark
        if bookmark.deletions_cursor is None:
            bookmark = replace(bookmark, deletions_cursor=scan.started_at)
        if not self._reader.traits.has_cursor or reached == EPOCH:
            return bookmark
        reached = min(reached, scan.started_at)
        return replace(bookmark, cursor=max(reached, bookmark.cursor or EPOCH))

    def _gone_on(self, scan: Scan) -> tuple[Taken, ...]:
        """Return the orders of the bookmark when a resync has come as far as its scan has."""
        orders = self._bookmark.orders
        if self._resync is None or not self._reads_by_time or scan.reached == EPOCH:
            return orders
        before = self._resync.reached or EPOCH  # it reads again what lies before
        reached = max(min(scan.reached, scan.started_at), before)
        return with_changed(orders, replace(self._resync, reached=reached))

    def _draft_page(self, page: Page, scan: Scan, repairs_before: datetime | None) -> Draft:
        draft = Draft(self._bookmark.position)
        duplicates = repaired = 0
        rows = {row.id: row for row in page.rows}
        flagged = {row.id for row in page.rows if row.is_deleted and self._is_living(row.id)}
        if not self._guard.told(flagged):
            rows = {row_id: row for row_id, row in rows.items() if row_id not in flagged}
        shown_at, captured_at = self._shown_at(scan), self._clock()
        repeats = self._forces_snapshot or self._resync is not None
        is_silent = self._bookmark.phase is Phase.SNAPSHOT and not self._reads_data
        for row in rows.values():
            if self._resync and row.is_deleted and not self._is_living(row.id):
                continue  # told, or never there
            known = self._ledger.get(row.id)
            entry = entry_of(row, known, shown_at)
            verdict = self._ledger.judge(row.id, entry)
            is_again = repeats and self._is_published_again(row)
            if row.is_deleted and known and known.is_deleted and not is_again:
                duplicates += 1  # whether it was there meanwhile or not, nobody holds it
                if entry != known:
                    draft.entries[row.id] = entry
                continue
            if verdict is Verdict.DUPLICATE and not is_again:
                duplicates += 1
                if known is not None and known.refused is not None:
                    # Readable again, as it last was.
                    draft.entries[row.id] = replace(entry, shown_at=known.shown_at)
                continue
            was_refused = known is not None and known.refused == oversize(entry.digest)
            if was_refused and not is_again:
                duplicates += 1
                continue
            draft.entries[row.id] = entry
            if not (is_silent and self._keeps_back(row, scan)):
                self._draft_change(draft, row, verdict, captured_at)
            if repairs_before and (row.modified_at or repairs_before) <= repairs_before:
                repaired += 1
        gone = {row_id for row_id in page.gone if self._is_living(row_id)}
        if self._guard.told(gone):
            self._draft_deletes(draft, gone)
        self._draft_refusals(draft, page.unreadable)
        self._draft_missing_children(draft, page, scan)
        if self._resync is None and (lag_s := draft.lag_s(rows)) is not None:
            instruments.LAG.labels(*self._labels).set(lag_s)
        instruments.DUPLICATES.labels(*self._labels).inc(duplicates)
        instruments.SWEEP_REPAIRED.labels(*self._labels).inc(repaired)
        self._report_new_fields(page.new_fields)
        return draft

    def _is_published_again(self, row: Row) -> bool:
        """Whether a row goes out although it is as it was."""
        is_resynced = self._resync is not None and self._resync.includes(row.modified_at)
        return self._forces_snapshot or is_resynced

    def _shown_at(self, scan: Scan) -> datetime | None:
        """Since when a scan shows its rows, where a delete log may name them for what was before.

        The log may be refused in this poll, and told in one whose scan does not show the row.
        """
        if self._reader.traits.delete_feed is DeleteFeed.NONE:
            return None
        return scan.started_at - self._lateness

    def _draft_refusals(self, draft: Draft, unreadable: Iterable[UnreadableRow]) -> None:
        """Dead-letter rows that cannot be read, each content once; their last value stays."""
        for row in unreadable:
            entry = self._ledger.refuse(row.id, digest_of(row.raw))
            if entry is None or row.id in draft.entries:
                continue
            draft.entries[row.id] = entry
            now = self._clock()
            position = draft.next_position(now)
            code = RecordTooLargeError.code if row.is_oversize else InvalidEntityError.code
            draft.rejected.append(Rejected(row.id, row.raw, row.detail, position, now, code))

    def _draft_missing_children(self, draft: Draft, page: Page, scan: Scan) -> None:
        """Delete known children of the page's parents that are not in it, where believed."""
        if any(row.is_nameless for row in page.unreadable):
            return
        present = ids_of(page)
        shown = {parent_of(row_id) for row_id in present}
        missing = self._children(page.parents & shown) - present
        if self._guard.told(missing):
            self._draft_deletes(draft, missing)
        childless = self._children(page.parents - shown)
        if self._guard.left_without(childless):
            self._draft_deletes(draft, childless)
        else:
            scan.childless |= childless

    def _children(self, parents: Iterable[str]) -> set[str]:
        return {row_id for parent in parents for row_id in self._ledger.children(parent)}

    def _is_living(self, row_id: str) -> bool:
        entry = self._ledger.get(row_id)
        return entry is not None and entry.is_living

    def _keeps_back(self, row: Row, scan: Scan) -> bool:
        """Whether a row does not go out: one that a `no_data` connector finds as it long was.

        As if its bookmark stood where the first scan began: what changed since, less the overlap,
        goes out, and so does what differs from what that scan read before it was cut short.
        """
        if self._ledger.get(row.id) is not None:
            return False
        began_at = self._bookmark.deletions_cursor or scan.started_at
        since = window_start(began_at, self._config.overlap) or EPOCH
        return row.modified_at is None or row.modified_at < since

    @property
    def _reads_data(self) -> bool:
        """Whether a snapshot is one: of the rows that are there."""
        return self._config.snapshot_mode is not SnapshotMode.NO_DATA

    def _draft_change(
        self, draft: Draft, row: Row, verdict: Verdict, captured_at: datetime
    ) -> None:
        position = draft.next_position(captured_at)
        if row.is_deleted:
            op, before, after = "d", row.values, None
        else:
            is_snapshot = self._bookmark.phase is Phase.SNAPSHOT and self._reads_data
            is_again = self._resync is not None and verdict is Verdict.DUPLICATE
            op = "r" if is_snapshot or is_again else "c" if verdict is Verdict.NEW else "u"
            before, after = None, row.values
        draft.changes.append(Change(row.id, op, before, after, position, captured_at))

    def _draft_deletes(self, draft: Draft, row_ids: Iterable[str]) -> None:
        for row_id in sorted(row_ids):
            self._draft_delete(draft, row_id)

    def _draft_delete(self, draft: Draft, row_id: str) -> None:
        now = self._clock()
        before = self._reader.key(row_id)
        position = draft.next_position(now)
        draft.changes.append(Change(row_id, "d", before, None, position, now))
        draft.entries[row_id] = None

    def _expect_flags(self, draft: Draft, row_ids: Iterable[str]) -> None:
        """Remember rows as deleted that a replica may still show with their flag."""
        for row_id in row_ids:
            if known := self._ledger.get(row_id):
                present = self._clocks.present
                draft.entries[row_id] = replace(known, is_deleted=True, modified_at=present)

    async def _apply_delete_feed(self, scan: Scan, compared_at: datetime | None = None) -> set[str]:
        """Publish what the delete log tells; return the ids of its entries that are unreadable.

        `scan` is the one just made: what it showed after a delete is there.
        `compared_at`: when all rows were last read, so that absence tells older deletes. Where
        the log is refused, it alone does.
        """
        unreadable: set[str] = set()
        try:
            await self._read_delete_feed(scan, unreadable)
        except VendorRejectedError as error:
            await self._go_without_delete_log(error, compared_at)
        else:
            self._lacks_delete_log = False
            self._set_delete_log_stopped(False)
        return unreadable

    async def _go_without_delete_log(
        self, error: VendorRejectedError, compared_at: datetime | None
    ) -> None:
        """Let sweeps tell deletes: the next at once, later ones when they are due.

        A log that was purged is asked again from now on, one that is refused from where it was.
        """
        is_purged = isinstance(error, DeleteLogIncompleteError)
        if not self._lacks_delete_log:
            _log.warning(
                "poll.delete_log_incomplete" if is_purged else "poll.delete_log_refused",
                system=self._config.system,
                object=self._obj,
                code=error.code,
                error=str(error),
                hint="deletes are found by comparing all rows",
            )
        bookmark = self._bookmark
        if is_purged:
            bookmark = replace(bookmark, deletions_cursor=compared_at or self._clocks.present)
        if not self._lacks_delete_log and compared_at is None:
            bookmark = replace(bookmark, swept_at=None)
        await self._commit(Draft(bookmark.position), bookmark)
        self._lacks_delete_log = True
        self._set_delete_log_stopped(not is_purged)

    def _set_delete_log_stopped(self, stopped: bool) -> None:
        instruments.STOPPED.labels(*self._labels, "delete_log").set(int(stopped))

    async def _read_delete_feed(self, scan: Scan, unreadable: set[str]) -> None:
        present = self._clocks.present
        cursor = self._bookmark.deletions_cursor
        if not self._clocks.believes("deletions_cursor", cursor, present):
            cursor = present
            self._bookmark = replace(self._bookmark, deletions_cursor=cursor, swept_at=None)
        since = window_start(cursor, self._config.overlap) or EPOCH
        has_parent = self._reader.traits.has_parent
        told = ToldDeletes(self._ledger, scan, self._lateness, self._earliest, has_parent)
        before = [] if self._bookmark.reread_from is None else [self._bookmark.reread_from]
        async for page in self._reader.deletions(since):
            self._beat()
            draft = Draft(self._bookmark.position)
            self._draft_refusals(draft, page.unreadable)
            unreadable.update(row.id for row in page.unreadable)
            deleted = told.rows(draft, page.deletions, self._clocks.vendors)
            if not self._guard.told(deleted):
                await self._commit(draft, self._bookmark)  # what is known of the others
                break  # the cursor stays: they are told again, for a person to decide
            self._draft_deletes(draft, deleted)
            if self._reader.traits.delete_feed is DeleteFeed.AT_SWEEP:
                self._expect_flags(draft, deleted)
            newest = max((deletion.deleted_at for deletion in page.deletions), default=since)
            reached = max(min(newest, present), cursor or EPOCH)
            again = min(told.late + before, default=None)
            await self._commit(
                draft, replace(self._bookmark, deletions_cursor=reached, reread_from=again)
            )
        else:
            before = []
        whole = replace(self._bookmark, reread_from=min(told.late + before, default=None))
        await self._commit(Draft(self._bookmark.position), whole)

    async def _commit(self, draft: Draft, bookmark: Bookmark) -> None:
        """Publish a draft and keep the bookmark.

        While deletes are in doubt, it is kept as if no sweep had been: the next process begins with
        one, which tells the doubts again or, where a person has decided, settles them.
        """
        bookmark = replace(bookmark, position=draft.position)
        kept = bookmark
        if self._guard.has_doubts:
            kept = replace(bookmark, swept_at=None)
        if kept == self._kept and not draft.entries:
            self._bookmark = bookmark
            return
        answers = news_of(kept.orders, self._kept.orders)
        while True:  # each time with a row less
            batch = Batch(self._obj, kept, draft.changes, draft.rejected, draft.entries, answers)
            try:
                await self._log.commit(batch)
                break
            except RowsTooLargeError as error:
                draft.put_aside(error, self._reader.key, self._ledger)
        self._bookmark, self._kept = bookmark, kept
        for row_id, entry in draft.entries.items():
            self._ledger.put(row_id, entry)
        for op, count in Counter(change.op for change in draft.changes).items():
            instruments.RECORDS.labels(*self._labels, op).inc(count)
        instruments.UNREADABLE.labels(*self._labels).inc(len(draft.rejected))
        oversize = sum(row.error_code == RecordTooLargeError.code for row in draft.rejected)
        instruments.OVERSIZE.labels(*self._labels).inc(oversize)

    def _report_new_fields(self, names: tuple[str, ...]) -> None:
        if names:
            instruments.NEW_FIELDS.labels(*self._labels).inc(len(names))
            _log.warning(
                "poll.new_fields_ignored",
                system=self._config.system,
                object=self._obj,
                fields=names,
            )
