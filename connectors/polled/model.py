"""The words of polling: rows, pages, deletions, and what the engine asks of a vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple, Protocol, runtime_checkable

NAMELESS: Final = "?"
"""First character of the id of a row that has no usable id: the rest names its content."""


class Row(NamedTuple):
    """One row as read: values typed as its Avro contract says, names the vendor's.

    `modified_at` is None where the object has no usable time of change. A tuple, since there is
    one for each row of a first read: a frozen dataclass takes three times as long to make.
    """

    id: str
    values: Mapping[str, object]
    modified_at: datetime | None = None
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row that does not fit its contract, with the reason; the rows around it are fine.

    It is there all the same: not readable is not deleted.
    """

    id: str
    raw: object
    detail: str
    is_oversize: bool = False

    @property
    def is_nameless(self) -> bool:
        """Whether nobody can say which row this is, so that any row missed may be this one."""
        return self.id.startswith(NAMELESS)


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the server's clock when they were read.

    `reached`: every row changed up to then has been yielded, which only a reader that reads in
    order of change can say; the bookmark may move there at once.
    `parents` names the parents all of whose children are in this page: a known child of such a
    parent that is in neither `rows` nor `unreadable` is missing. `new_fields` names fields no
    contract knows, each once. `token`: where reading goes on once this page is published, in the
    words of a `ContinuedReader`. `gone`: rows that the vendor tells as deleted, by their ids alone;
    none of them is in `rows`. `shows` and `lacks` name the optional columns that some rows have,
    and that some have not.
    """

    rows: Sequence[Row]
    unreadable: Sequence[UnreadableRow] = ()
    server_at: datetime | None = None
    parents: frozenset[str] = frozenset()
    reached: datetime | None = None
    new_fields: tuple[str, ...] = ()
    token: str | None = None
    shows: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Deletion:
    """A row, or the parent of rows, that the vendor says is gone."""

    id: str
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class DeletePage:
    """Some entries of a delete log, and those that cannot be read."""

    deletions: Sequence[Deletion]
    unreadable: Sequence[UnreadableRow] = ()


class DeleteFeed(Enum):
    """Where a reader's `deletions` come from, hence when to ask for them."""

    EVERY_POLL = "every poll"  # the only prompt sign of a delete
    AT_SWEEP = "at sweep"  # rows carry a flag; the feed only tells those already purged
    NONE = "none"  # deletes show only as rows missing from a complete scan


@dataclass(frozen=True, slots=True)
class ReaderTraits:
    """How an object can be read.

    `has_cursor`: `changes(since)` filters by time; without it every poll reads all rows.
    `has_parent`: a row id is `<parent id>-<child id>`, and deletions name parents.
    `shows_all`: a complete scan shows every living row, so that absence tells deletes.
    `begins_whole`: what a `ContinuedReader` begins with is every living row.
    `reads_ahead`: a page may be asked for before the one before it is committed.
    """

    has_cursor: bool = True
    has_parent: bool = False
    delete_feed: DeleteFeed = DeleteFeed.NONE
    shows_all: bool = True
    begins_whole: bool = False
    reads_ahead: bool = False


class ObjectReader(Protocol):
    """One object of one vendor, read over its API.

    Methods raise the errors of `connectors.toolkit.http`, and SchemaMismatchError when a field of
    the contract is missing from the answer.
    """

    @property
    def traits(self) -> ReaderTraits:
        """How this object can be read."""
        ...

    def key(self, row_id: str) -> Mapping[str, object]:
        """Return the record's identifying field alone, typed as its contract says."""
        ...

    def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        """Yield every row changed at or after `since`; None: every living row there is.

        Raises an error unless the scan was complete.
        """
        ...

    def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        """Yield what was deleted at or after `since`, oldest first.

        Raises VendorRejectedError where the vendor refuses its delete log, DeleteLogIncompleteError
        where it no longer has that period.
        """
        ...


@runtime_checkable
class ContinuedReader(ObjectReader, Protocol):
    """An object whose vendor says where reading goes on, in words that nobody else reads.

    Its polls go on from the token of the last page that was published. Its `changes` are only asked
    for all rows, and their pages have no token: what sweeps read moves no poll.
    """

    def continued(self, token: str | None) -> AsyncIterator[Page]:
        """Yield what changed since the token was given; None: what the vendor begins with.

        Raises LostTokenError where the vendor does not go on from the token, and an error unless
        all that there was has been yielded.
        """
        ...


@runtime_checkable
class QueuedReader(ObjectReader, Protocol):
    """An object whose changes a queue tells, the first message until it is deleted.

    It has no cursor: polls read the queue, and sweeps all rows.
    """

    def queued(self) -> AsyncIterator[Page]:
        """Yield what each message tells, until there is none or enough for a poll.

        A message is deleted when the page behind its own is asked for: it must be committed then.
        One that tells nothing of use is yielded as unreadable, and deleted, too.
        """
        ...


class LostTokenError(Exception):
    """The vendor does not go on from a token that it gave; the text says why. A signal."""


def parent_of(row_id: str) -> str:
    """Return the parent part of a row id `<parent>-<child>`."""
    return row_id.rpartition("-")[0]


async def no_deletions() -> AsyncIterator[DeletePage]:
    """The delete feed of an object that has none."""
    nothing: tuple[DeletePage, ...] = ()
    for page in nothing:
        yield page
