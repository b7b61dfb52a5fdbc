"""A source and a log in memory, for the polled engine: rows become visible late, commits fail."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from connectors.polled.bookmark import Batch, Bookmark, Change, Rejected, RowsTooLargeError
from connectors.polled.config import ApiConfig, PolledConfig
from connectors.polled.conversion import nameless
from connectors.polled.ledger import EPOCH, Entry, Ledger
from connectors.polled.model import DeletePage, Deletion, Page, ReaderTraits, Row, UnreadableRow
from connectors.polled.orders import Action, Order
from connectors.polled.poller import ObjectPoller
from schemas.errors import TransientError

START = EPOCH + timedelta(days=20_000)


def make_config(**keys: object) -> ApiConfig:
    """A configuration of seconds; keys by their names in the file."""
    base: dict[str, object] = {
        "name": "test",
        "connector.class": "none",
        "topic.prefix": "src.salesforce",
        "object.include.list": "account",
        "url": "http://127.0.0.1:1",
        "overlap.ms": 10_000,
        "sweep.interval.ms": 10**12,
    }
    return ApiConfig.model_validate(base | keys)


@dataclass
class Clock:
    """Time that moves when told to."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Version:
    """A row as some transaction left it: it got its stamp before it became visible."""

    row_id: str
    text: str
    stamp: datetime
    visible_at: datetime
    is_deleted: bool = False
    is_gone: bool = False


@dataclass
class MemoryTable:
    """The truth, with whole-second stamps and late visibility.

    `true_time` is what happens by; `clock`, what the vendor shows, may be wrong. Queries see what
    was `lag_s` ago.
    """

    clock: Clock
    versions: list[Version] = field(default_factory=list)
    feed: list[Deletion] = field(default_factory=list)
    true_time: Clock | None = None
    lag_s: float = 0

    def _true_now(self) -> datetime:
        return (self.true_time or self.clock).now

    def write(self, row_id: str, text: str, *, late_s: float = 0, is_deleted: bool = False) -> None:
        stamp = self.clock.now.replace(microsecond=0)
        visible_at = self._true_now() + timedelta(seconds=late_s)
        self.versions.append(Version(row_id, text, stamp, visible_at, is_deleted))

    def purge(self, row_id: str) -> None:
        """Remove a row and all memory of it."""
        self.versions = [version for version in self.versions if version.row_id != row_id]

    def remove(self, row_id: str, *, late_s: float = 0) -> None:
        """Delete a row: the delete log tells it at once, and queries show the row until later."""
        gone_at = self._true_now() + timedelta(seconds=late_s)
        self.versions.append(replace(self._last(row_id), visible_at=gone_at, is_gone=True))
        self.feed.append(Deletion(row_id, self.clock.now))

    def restore(self, row_id: str) -> None:
        """Bring a deleted row back as it was, with its old stamp."""
        back = replace(self._last(row_id), visible_at=self._true_now(), is_gone=False)
        self.versions.append(back)

    def _last(self, row_id: str) -> Version:
        return next(one for one in reversed(self.versions) if one.row_id == row_id)

    def visible(self) -> dict[str, Version]:
        """What a query sees now."""
        seen_at = self._true_now() - timedelta(seconds=self.lag_s)
        shown = {one.row_id: one for one in self.versions if one.visible_at <= seen_at}
        return {row_id: version for row_id, version in shown.items() if not version.is_gone}


@dataclass
class MemoryReader:
    """Keyset pages over a table. `between_pages` runs before every page but the first.

    `unstamped` rows have no time of change: only a complete scan shows them. `lineless` ones are
    parents without children. The delete log comes in pages of `log_page_size`.
    """

    table: MemoryTable
    page_size: int = 3
    log_page_size: int = 1000
    new_fields: tuple[str, ...] = ()
    traits: ReaderTraits = field(default_factory=ReaderTraits)
    between_pages: Callable[[], None] = lambda: None
    hidden: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    parents: frozenset[str] = frozenset()
    nameless: list[object] = field(default_factory=list)
    unstamped: set[str] = field(default_factory=set)
    lineless: set[str] = field(default_factory=set)
    tells_reached: bool = True
    log_error: Exception | None = None
    scans: list[datetime | None] = field(default_factory=list)
    logs: list[datetime] = field(default_factory=list)

    def key(self, row_id: str) -> Mapping[str, object]:
        return {"Id": row_id}

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        self.scans.append(since)
        cursor: tuple[datetime, str] = (since or EPOCH, "")
        is_first = True
        while True:
            if not is_first:
                self.between_pages()
            is_first = False
            found = sorted(
                (version.stamp, version.row_id, version)
                for version in self.table.visible().values()
                if (version.stamp, version.row_id) > cursor
                and version.row_id not in self.hidden | self.unstamped
            )[: self.page_size]
            if since is None and len(found) < self.page_size:
                yield self._unstamped()
            without = self.broken | self.lineless
            rows = [_row(version) for *_, version in found if version.row_id not in without]
            unreadable = [
                UnreadableRow(version.row_id, {"text": version.text}, "broken")
                for *_, version in found
                if version.row_id in self.broken
            ]
            unreadable += [nameless(raw, "Id: null is not a key") for raw in self.nameless]
            reached = found[-1][0] if found and self.tells_reached else None
            now = self.table.clock.now
            yield Page(rows, unreadable, now, self.parents, reached, self.new_fields)
            if len(found) < self.page_size:
                return
            cursor = found[-1][:2]

    def _unstamped(self) -> Page:
        found = [row for row_id, row in self.table.visible().items() if row_id in self.unstamped]
        return Page([_row(version)._replace(modified_at=None) for version in found])

    async def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        self.logs.append(since)
        if self.log_error is not None:
            raise self.log_error
        told = [deletion for deletion in self.table.feed if deletion.deleted_at >= since]
        for start in range(0, max(len(told), 1), self.log_page_size):
            yield DeletePage(told[start : start + self.log_page_size])


def _row(version: Version) -> Row:
    values = {"Id": version.row_id, "text": version.text, "stamp": version.stamp}
    return Row(version.row_id, values, version.stamp, version.is_deleted)


@dataclass
class MemoryOrders:
    """What people have ordered: of each concern the last, as the topic tells."""

    given: dict[str, Order] = field(default_factory=dict)

    def give(self, action: Action, order_id: str = "1", since: datetime | None = None) -> Order:
        order = Order(order_id, "salesforce", "account", action, START, "ada@desk", None, since)
        self.given[order.key] = order
        return order

    async def of(self, system: str, obj: str) -> Sequence[Order]:
        assert (system, obj) == ("salesforce", "account")
        return list(self.given.values())


@dataclass
class MemoryLog:
    """Keeps what was committed. `failures` says for each coming commit whether it fails.

    `large`: texts of rows that no message holds.
    """

    batches: list[Batch] = field(default_factory=list)
    large: frozenset[str] = frozenset()
    failures: Iterator[bool] = field(default_factory=lambda: iter(()))

    async def commit(self, batch: Batch) -> None:
        if next(self.failures, False):
            raise TransientError("the broker is gone")
        for change in batch.changes:
            if (change.after or change.before or {}).get("text") in self.large:
                raise RowsTooLargeError({change.row_id: 5_000_000}, ())
        self.batches.append(replace(batch, entries=dict(batch.entries)))

    @property
    def changes(self) -> list[Change]:
        return [change for batch in self.batches for change in batch.changes]

    @property
    def rejected(self) -> list[Rejected]:
        return [row for batch in self.batches for row in batch.rejected]

    def operations(self) -> list[tuple[str, str]]:
        """(operation, row id) of every change, in order."""
        return [(change.op, change.row_id) for change in self.changes]

    def state(self) -> dict[str, Mapping[str, object]]:
        """What a consumer that keeps the last change of every row holds."""
        rows: dict[str, Mapping[str, object]] = {}
        for change in self.changes:
            if change.after is None:
                rows.pop(change.row_id, None)
            else:
                rows[change.row_id] = change.after
        return rows

    def stored(self) -> tuple[Bookmark | None, Ledger]:
        """Bookmark and ledger as a new process finds them, through their encoding."""
        entries: dict[str, Entry] = {}
        bookmark = None
        for batch in self.batches:
            bookmark = Bookmark.from_bytes(batch.bookmark.to_bytes())
            for row_id, entry in batch.entries.items():
                if entry is None:
                    entries.pop(row_id, None)
                else:
                    entries[row_id] = Entry.from_bytes(entry.to_bytes())
        return bookmark, Ledger(entries)


def make_poller(
    reader: MemoryReader,
    log: MemoryLog,
    config: PolledConfig | None = None,
    *,
    clock: Clock | None = None,
    orders: MemoryOrders | None = None,
) -> ObjectPoller:
    """A poller as a new process would start it on what the log holds.

    `clock`: this host's; by default the table's own.
    """
    bookmark, ledger = log.stored()
    return ObjectPoller(
        config or make_config(),
        "account",
        reader,
        log,
        bookmark=bookmark,
        ledger=ledger,
        clock=clock or reader.table.clock,
        orders=orders,
    )
