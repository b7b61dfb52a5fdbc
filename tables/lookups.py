"""What rows look up: projections of rows that are looked for, and rows that look for them.

Every partition holds all projections; a row is on the partition of its changes, and on no other.
What is found for a row is a function of the projections that are there, whatever came before, so
it does not matter in which order rows and projections come.

    lookp|<id>                      what a row shows, as text by column; references as source ids
    lookn|<rows>|<reference>|<id>|<other id>   the other row names the id in that reference
    lookr|<id>                      a row that looks others up, as its source last sent it
    lookd|<rows>|<lookup>|<id>|<row id>        the row's lookup begins at the id
    waits|<id>                      `<system>:<kind>|<lookup>|<reason>` of a row that waits

`rows` begins the ids of all rows of an object, `<system>:<kind>:`. No id holds a `|`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from struct import Struct
from typing import Final

from schemas.mapping.lookups import Lookup, Way
from tables.foundation.documents import KeyValue

WAITS: Final = "waits|"
"""Prefix of the keys of rows that wait, which are counted by their values."""
SEEKERS: Final = "lookr|"
"""Prefix of the keys of rows that look others up."""
_HEAD: Final = Struct("<qI")

Shows = Mapping[str, str | None]
"""What a row shows: a text a column."""


class Reason(StrEnum):
    """Why a row waits."""

    MISSING = "missing"  # a row that is named is not there
    CYCLE = "cycle"  # parents lead back to a row
    SEVERAL = "several"  # more than one row names this one
    UNREADABLE = "unreadable"  # what was found lacks a column, or is no value of its type
    UNFIT = "unfit"  # a rule is broken by what was found


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a row waits: for which lookup, and for which row, or what else there is to say."""

    lookup: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Change:
    """A row that shows something else, and the rows it names, or named before."""

    row_id: str
    named: set[str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a lookup found: what the row there shows (nothing: {}), or why the row waits."""

    shows: Shows
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class Seeker:
    """A row that looks others up.

    `version` is that of the last record published of it, `begins` where each lookup of it begins,
    `value` the change event of its source; without one, it is deleted.
    """

    version: int = -1
    begins: Mapping[str, str] = field(default_factory=dict)
    wait: Wait | None = None
    value: bytes | None = None


class LookupTable:
    """The lookups of one partition, for one chunk: reads see what it wrote."""

    def __init__(self, committed: KeyValue) -> None:
        self._committed = committed
        self._written: dict[bytes, bytes | None] = {}
        self._shows: dict[str, Shows | None] = {}
        self._named: dict[str, set[str]] = {}

    def changes(self) -> dict[bytes, bytes | None]:
        """Return what was written: key → new bytes, None for a removal."""
        return self._written

    # -- projections ------------------------------------------------------------------------

    def shows(self, row_id: str) -> Shows | None:
        """Return what a row shows, None where it is not there."""
        if row_id not in self._shows:
            self.load([row_id])
        return self._shows[row_id]

    def load(self, row_ids: Iterable[str]) -> None:
        """Read what rows show, many at once."""
        unread = [each for each in dict.fromkeys(row_ids) if each not in self._shows]
        values = self._committed.get_many([f"lookp|{each}".encode() for each in unread])
        for row_id, value in zip(unread, values, strict=True):
            self._shows[row_id] = None if value is None else json.loads(value)

    def show(self, row_id: str, shows: Shows | None) -> Change | None:
        """Have a row show something else, or be gone (None). None: it shows what it did."""
        before = self.shows(row_id)
        if before == shows:
            return None
        self._shows[row_id] = shows
        value = None if shows is None else json.dumps(shows, separators=(",", ":")).encode()
        self._written[f"lookp|{row_id}".encode()] = value
        touched: set[str] = set()
        for was_there, texts in ((True, before), (False, shows)):
            for reference, named in (texts or {}).items():
                if ">" in reference and named is not None:
                    touched.add(named)
                    self._name(row_id, reference, named, is_removed=was_there)
        return Change(row_id, touched)

    def _name(self, row_id: str, reference: str, named: str, *, is_removed: bool) -> None:
        place = f"{rows_of(row_id)}|{reference}|{named}|"
        known = self.naming(place)
        (known.discard if is_removed else known.add)(row_id)
        self._written[f"lookn|{place}{row_id}".encode()] = None if is_removed else b""

    def naming(self, place: str) -> set[str]:
        """Return the rows that name a row: `<their rows>|<reference>|<id>|`."""
        if place not in self._named:
            prefix = f"lookn|{place}".encode()
            found = self._committed.scan(prefix)
            self._named[place] = {key[len(prefix) :].decode() for key, _ in found}
        return self._named[place]

    # -- what is found ----------------------------------------------------------------------

    def find(self, lookup: Lookup, begins: str | None) -> Found:
        """Return what a lookup that begins at a row finds."""
        if begins is None:
            return Found({})
        if lookup.way is Way.ROOT:
            return self._root(lookup, begins)
        if lookup.way is Way.KEY:
            return self._at(lookup, begins)
        naming = self.naming(f"{lookup.rows}|{lookup.reference}|{begins}|")
        if len(naming) > 1:
            told = ", ".join(sorted(naming)[:2])
            return Found({}, Wait(lookup.name, Reason.SEVERAL, told))
        return self._at(lookup, next(iter(naming), None), f"a row that names {begins}")

    def _at(self, lookup: Lookup, row_id: str | None, told: str = "") -> Found:
        shows = None if row_id is None else self.shows(row_id)
        if shows is not None:
            return Found(shows)
        if lookup.is_optional:
            return Found({})
        return Found({}, Wait(lookup.name, Reason.MISSING, told or str(row_id)))

    def _root(self, lookup: Lookup, begins: str) -> Found:
        seen = {begins}
        at = begins
        while (shows := self.shows(at)) is not None:
            parent = shows.get(lookup.reference)
            if parent is None:
                return Found(shows)
            if parent in seen:
                return Found({}, Wait(lookup.name, Reason.CYCLE, parent))
            seen.add(parent)
            at = parent
        return self._at(lookup, at)

    def seeking(self, seekers: str, lookup: Lookup, change: Change) -> set[str]:
        """Return the rows of an object (`seekers` begins their ids) whose lookup may find another.

        Of a lookup in reverse there may be none of them on this partition.
        """
        if not change.row_id.startswith(lookup.rows):
            return set()
        if lookup.way is Way.REVERSE:
            return {each for each in change.named if each.startswith(seekers)}
        found = set()
        row_id = change.row_id
        for node in self._below(lookup, row_id) if lookup.way is Way.ROOT else (row_id,):
            prefix = f"lookd|{seekers}|{lookup.name}|{node}|".encode()
            found |= {key[len(prefix) :].decode() for key, _ in self._committed.scan(prefix)}
        return found

    def _below(self, lookup: Lookup, row_id: str) -> set[str]:
        """A row and all below it in the tree that a lookup climbs, cycles and all."""
        found, ahead = {row_id}, [row_id]
        while ahead:
            place = f"{lookup.rows}|{lookup.reference}|{ahead.pop()}|"
            fresh = self.naming(place) - found
            found |= fresh
            ahead += fresh
        return found

    # -- rows that look others up -----------------------------------------------------------

    def seekers(self, row_ids: Sequence[str]) -> list[Seeker]:
        """Return rows that look others up, as they were before the chunk."""
        values = self._committed.get_many([f"{SEEKERS}{each}".encode() for each in row_ids])
        return [Seeker() if value is None else read_seeker(value) for value in values]

    def keep(self, row_id: str, before: Seeker, now: Seeker) -> None:
        """Keep a row in the place of what it was."""
        rows = rows_of(row_id)
        for name, begins in before.begins.items() - now.begins.items():
            self._written[f"lookd|{rows}|{name}|{begins}|{row_id}".encode()] = None
        for name, begins in now.begins.items() - before.begins.items():
            self._written[f"lookd|{rows}|{name}|{begins}|{row_id}".encode()] = b""
        self._written[f"{SEEKERS}{row_id}".encode()] = _packed(now)
        if now.wait is not None:
            label = f"{rows.removesuffix(':')}|{now.wait.lookup}|{now.wait.reason}"
            self._written[f"{WAITS}{row_id}".encode()] = label.encode()
        elif before.wait is not None:
            self._written[f"{WAITS}{row_id}".encode()] = None


def rows_of(row_id: str) -> str:
    """Return what begins the ids of all rows of an id's object: `<system>:<kind>:`."""
    system, kind, _ = row_id.split(":", 2)
    return f"{system}:{kind}:"


def _packed(row: Seeker) -> bytes:
    wait = row.wait and (row.wait.lookup, row.wait.reason, row.wait.detail)
    text = json.dumps([dict(row.begins), wait], separators=(",", ":")).encode()
    return _HEAD.pack(row.version, len(text)) + text + (row.value or b"")


def read_seeker(value: bytes) -> Seeker:
    """Return a row as the state holds it under SEEKERS."""
    version, size = _HEAD.unpack_from(value)
    begins, wait = json.loads(value[_HEAD.size : _HEAD.size + size])
    rest = value[_HEAD.size + size :]
    told = None if wait is None else Wait(wait[0], Reason(wait[1]), wait[2])
    return Seeker(version, begins, told, rest or None)
