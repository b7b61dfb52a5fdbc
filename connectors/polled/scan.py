"""What one poll gathers: what a scan saw, and the batch that is put together from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from connectors.polled.bookmark import Change, Rejected, RowsTooLargeError
from connectors.polled.ledger import EPOCH, Entry, Ledger, digest_of, oversize
from connectors.polled.model import Page, Row
from schemas.errors import FatalError, RecordTooLargeError

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(slots=True)
class Scan:
    """What a scan saw.

    `started_at`: when it began, by the earlier of the server's clock and ours. `reached`: how far
    it got, in order of change.
    `shown`: ids of the rows that it last showed readable and not flagged as deleted; `seen` counts
    the others too.
    `nameless`: rows of which nobody can say which they are; with such rows, absence proves nothing.
    `childless`: known children of parents that are there without any.
    `shows` and `lacks`: optional columns that some rows had, and that some had not.
    """

    started_at: datetime
    has_begun: bool = False
    newest: datetime = EPOCH
    reached: datetime = EPOCH
    seen: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    nameless: int = 0
    childless: set[str] = field(default_factory=set)
    shows: set[str] = field(default_factory=set)
    lacks: set[str] = field(default_factory=set)

    def see(self, page: Page) -> None:
        """Note the rows of a page; a later page knows better."""
        flagged = {row.id for row in page.rows if row.is_deleted}
        self.seen |= ids_of(page)
        self.shown |= {row.id for row in page.rows}
        self.shown -= flagged
        self.nameless += sum(row.is_nameless for row in page.unreadable)
        self.shows |= page.shows
        self.lacks |= page.lacks


class Pages:
    """The pages of a scan, of which the next may be asked for while the last is committed."""

    def __init__(self, pages: AsyncIterator[Page]) -> None:
        self._pages = pages
        self._upcoming: asyncio.Future[Page | None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page:
        upcoming, self._upcoming = self._upcoming, None
        page = await (self._next() if upcoming is None else upcoming)
        if page is None:
            raise StopAsyncIteration
        return page

    def ask(self) -> None:
        """Ask for the next page, beside what is done until it is awaited."""
        self._upcoming = asyncio.ensure_future(self._next())

    async def _next(self) -> Page | None:
        return await anext(self._pages, None)

    async def aclose(self) -> None:
        """End what the reader has open."""
        if self._upcoming is not None:
            self._upcoming.cancel()
            await asyncio.gather(self._upcoming, return_exceptions=True)
        if isinstance(self._pages, AsyncGenerator):
            await self._pages.aclose()


@dataclass(slots=True)
class Draft:
    """A batch being put together."""

    position: int
    changes: list[Change] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    entries: dict[str, Entry | None] = field(default_factory=dict)
    _last: tuple[datetime, int] = (EPOCH, 0)

    def next_position(self, now: datetime) -> int:
        """Take a capture position: the clock in microseconds, and always larger than the last."""
        if now is not self._last[0]:
            self._last = now, (now - EPOCH) // _MICROSECOND
        self.position = max(self.position + 1, self._last[1])
        return self.position

    def lag_s(self, rows: Mapping[str, Row]) -> float | None:
        """How old the last change is of some rows whose vendor gave a time; None: of none."""
        for change in reversed(self.changes):
            row = rows.get(change.row_id)
            if row is not None and row.modified_at is not None:
                return max((change.captured_at - row.modified_at).total_seconds(), 0.0)
        return None

    def put_aside(
        self, error: RowsTooLargeError, key: Callable[[str], Mapping[str, Any]], ledger: Ledger
    ) -> None:
        """Dead-letter rows that no message holds; their last value stays. A delete needs no row.

        `key` returns the key fields of a row. Raises FatalError where not even those are taken.
        """
        changes, self.changes = self.changes, []
        self.rejected = [
            replace(row, is_whole=row.is_whole and row.row_id not in error.letters)
            for row in self.rejected
        ]
        for change in changes:
            size = error.rows.get(change.row_id)
            if size is None:
                self.changes.append(change)
            elif change.after is None:
                before = key(change.row_id)
                if before == change.before:
                    raise FatalError(
                        f"the broker takes no message of {size} bytes",
                        hint="psastream check tells which settings of topics are not as declared",
                    )
                self.changes.append(change._replace(before=before))
            else:
                detail = f"the row makes a message of {size} bytes, more than the broker takes"
                self.rejected.append(
                    Rejected(
                        change.row_id, None, detail, change.position, change.captured_at,
                        RecordTooLargeError.code, is_whole=False,
                    )
                )  # fmt: skip
                known = ledger.get(change.row_id) or Entry("", None)
                refused = oversize(digest_of(change.after))
                self.entries[change.row_id] = replace(known, refused=refused)


def ids_of(page: Page) -> set[str]:
    """Ids of the rows in a page, readable or not."""
    return {row.id for row in page.rows} | {row.id for row in page.unreadable}
