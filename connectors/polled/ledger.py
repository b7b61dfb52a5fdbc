"""What a poller already told: row id → digest of the content last published.

The ledger holds every living row, not only those of the overlap window. One digest a row (about
100 bytes) buys four things that must survive a restart: a re-read publishes nothing, a new row is
told from a changed one, rows missing from a complete scan are known, and a sweep sees which rows
the polls missed. It is kept in the compacted bookmarks topic, an entry a row, written in the
transaction that publishes the row: it never says more or less than the topic holds.

A row deleted by flag keeps an entry while the overlap window can still show it again, and so does
one whose delete a log told of a source with flags. This module
does no IO.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import blake2b
from typing import Final, Self

import orjson

from connectors.polled.model import Row, parent_of
from schemas.errors import RecordTooLargeError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Verdict(Enum):
    """What a row means, given what was published before."""

    NEW = "new"
    CHANGED = "changed"
    DELETED = "deleted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a row. `modified_at` is the time its vendor gave it, if any.

    `digest` is of the last sound content, which is what the topic holds; empty before there was
    one. `refused` is of the content last dead-lettered, while that is what the vendor shows.
    `shown_at`: a scan showed that the row was there then, whatever the delete log names before.
    """

    digest: str
    modified_at: datetime | None
    is_deleted: bool = False
    refused: str | None = None
    shown_at: datetime | None = None

    @property
    def is_living(self) -> bool:
        """Whether the topic holds the row."""
        return bool(self.digest) and not self.is_deleted

    def to_bytes(self) -> bytes:
        """Encode for the bookmarks topic."""
        record: dict[str, object] = {"digest": self.digest}
        if self.modified_at is not None:
            record["modified_at"] = self.modified_at
        if self.is_deleted:
            record["is_deleted"] = True
        if self.refused is not None:
            record["refused"] = self.refused
        if self.shown_at is not None:
            record["shown_at"] = self.shown_at
        return orjson.dumps(record)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode. Raises ValueError or KeyError for other bytes."""
        record = json.loads(data)
        return cls(
            record["digest"],
            _instant(record.get("modified_at")),
            record.get("is_deleted", False),
            record.get("refused"),
            _instant(record.get("shown_at")),
        )


def _instant(text: str | None) -> datetime | None:
    """Raises ValueError for a time without a zone: it compares with none."""
    instant = None if text is None else datetime.fromisoformat(text)
    if instant is not None and instant.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return instant


def digest_of(values: object) -> str:
    """Return the digest of a row's content; equal content gives an equal digest."""
    text = json.dumps(values, sort_keys=True, default=str, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=12).hexdigest()


def digest_of_row(values: Mapping[str, object]) -> str:
    """Return the same digest, sooner, of values as a contract types them: none is a float."""
    try:
        text = orjson.dumps(values, default=str, option=_AS_JSON)
    except TypeError:  # an integer of more than 64 bits
        return digest_of(values)
    if not text.isascii():
        text = text.decode().encode("ascii", _ESCAPING)
    if _DELETE in text:
        text = text.replace(_DELETE, b"\\u007f")
    return blake2b(text, digest_size=12).hexdigest()


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write characters of JSON as `json.dumps` does, which made the digests that are kept."""
    assert isinstance(error, UnicodeEncodeError)
    found = error.object[error.start : error.end]
    return json.encoder.encode_basestring_ascii(found)[1:-1], error.end


_ESCAPING: Final = "psastream.json"
codecs.register_error(_ESCAPING, _escape)
_DELETE: Final = b"\x7f"
"""`json.dumps` escapes this one, orjson does not."""
_AS_JSON: Final = (
    orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
)


def oversize(digest: str) -> str:
    """Return what stands as `Entry.refused` of a row that no message holds."""
    return f"{RecordTooLargeError.code}|{digest}"


def entry_of(row: Row, known: Entry | None = None, shown_at: datetime | None = None) -> Entry:
    """Return the entry that remembers `row`; that it was shown after a delete holds on.

    `shown_at`: since when it is shown anew, unless it is deleted.
    """
    before = None if known is None else known.shown_at
    if shown_at is None or row.is_deleted:
        shown_at = before
    elif before is not None:
        shown_at = max(shown_at, before)
    return Entry(digest_of_row(row.values), row.modified_at, row.is_deleted, None, shown_at)


class Ledger:
    """Entries of one object."""

    def __init__(self, entries: Mapping[str, Entry] | None = None) -> None:
        self._entries: dict[str, Entry] = {}
        self._children: dict[str, set[str]] = {}
        for row_id, entry in (entries or {}).items():
            self.put(row_id, entry)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, row_id: str) -> Entry | None:
        """Return the entry of a row."""
        return self._entries.get(row_id)

    def put(self, row_id: str, entry: Entry | None) -> None:
        """Remember (or, with None, forget) a row."""
        parent = parent_of(row_id)
        if entry is None:
            self._entries.pop(row_id, None)
            self._children.get(parent, set()).discard(row_id)
        else:
            self._entries[row_id] = entry
            if parent:
                self._children.setdefault(parent, set()).add(row_id)

    def judge(self, row_id: str, entry: Entry) -> Verdict:
        """Say what a row that was read means. Changes nothing."""
        known = self._entries.get(row_id)
        if known is not None and (known.digest, known.is_deleted) == (
            entry.digest,
            entry.is_deleted,
        ):
            return Verdict.DUPLICATE
        if entry.is_deleted:
            return Verdict.DELETED
        return Verdict.NEW if known is None or not known.is_living else Verdict.CHANGED

    def refuse(self, row_id: str, refused: str) -> Entry | None:
        """Return the entry of a row that cannot be read, None if that was told before.

        Its last sound value stays what it was. Changes nothing.
        """
        known = self._entries.get(row_id, Entry("", None))
        return None if known.refused == refused else replace(known, refused=refused)

    def living(self) -> set[str]:
        """Ids of the rows that are not deleted."""
        return {row_id for row_id, entry in self._entries.items() if entry.is_living}

    @property
    def living_count(self) -> int:
        """How many rows are not deleted."""
        return sum(entry.is_living for entry in self._entries.values())

    def never_sound(self) -> set[str]:
        """Ids of the rows that were never readable."""
        return {row_id for row_id, entry in self._entries.items() if not entry.digest}

    def children(self, parent: str) -> set[str]:
        """Ids of the living rows of a parent."""
        return {
            row_id for row_id in self._children.get(parent, ()) if self._entries[row_id].is_living
        }

    def expired(self, window_start: datetime) -> list[str]:
        """Deleted rows that no read from `window_start` on can show again."""
        return [
            row_id
            for row_id, entry in self._entries.items()
            if entry.is_deleted and (entry.modified_at or EPOCH) < window_start
        ]


def window_start(cursor: datetime | None, overlap: timedelta) -> datetime | None:
    """Where a poll starts to read; None: from the beginning."""
    if cursor is None:
        return None
    return cursor - overlap if cursor - EPOCH > overlap else EPOCH
