"""Rows of one account as its vendor keeps them: put, changed and removed, and told to who asks.

How they are told is the business of who serves them: `psastream.conformance.server` over HTTP,
`psastream.conformance.tapped` as a Singer tap. What it does beyond what is documented, a clause
asks of it: rows that come late, twice or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final

from psastream.conformance.documented import Documented, Lost, Way
from psastream.conformance.paths import drop, get, put

NUMBERS_FROM: Final = 7_000
FIRST_DAY: Final = date(2026, 1, 1)


@dataclass(slots=True)
class Stored:
    """A row: as the vendor shows it, when it last changed, when it was deleted, how that shows.

    `version` numbers the changes of an account, but for those that nobody is told of.
    """

    key: str
    row: dict[str, Any]
    stamp: datetime
    version: int
    parent: str | None = None
    deleted_at: datetime | None = None
    shows: Way | None = None


@dataclass(slots=True)
class Quirks:
    """What a list does that no page promises not to.

    `page_rows`: fewer rows a page than asked for. `reshape` changes the rows of a page. `repeats`:
    the next page is always the first again. `away`: the next page is at that address.
    `window_rows`: a list that ends early ends after so many. `shown_rows`: who asks sees no more
    of the rows, as if a right were lost. `lost`: the answer to tokens that were given before it.
    """

    page_rows: int | None = None
    reshape: Callable[[list[Any]], list[Any]] = lambda rows: rows
    repeats: bool = False
    away: str | None = None
    window_rows: int | None = None
    shown_rows: int | None = None
    lost: Lost | None = None


class Account:
    """The rows of one account, by object and id."""

    def __init__(
        self,
        objects: Mapping[str, Documented],
        samples: Mapping[str, list[dict[str, Any]]],
        clock: Callable[[], datetime],
    ) -> None:
        self.clock = clock
        self._objects = objects
        self._samples = samples
        self.rows: dict[str, dict[str, Stored]] = {obj: {} for obj in objects}
        self.quirks = Quirks()
        self.pages = 0
        """How many pages that show rows were told."""
        self._numbers: dict[str, int] = {}
        self.version = 1

    def documented(self, obj: str) -> Documented:
        """Return what is documented of an object."""
        return self._objects[obj]

    def template(self, obj: str) -> dict[str, Any]:
        """Return a row as the vendor shows it."""
        return deepcopy(self._samples[obj][0])

    def key_of(self, obj: str, number: int) -> str:
        """Return the id of the row of a number, in the form of the sample's ids."""
        *before, found = (get(self.template(obj), path) for path in self.documented(obj).ids)
        digits = str(NUMBERS_FROM + number)
        last = digits if isinstance(found, int) else str(found)[: -len(digits)] + digits
        own = ",".join([*map(str, before), last])
        return f"{self._parent_of(obj)},{own}" if self.documented(obj).is_within_parent else own

    def _parent_of(self, obj: str) -> str:
        """Return the key of the row that rows of an object stand below: the first there is."""
        above = self.documented(obj).parent
        assert above is not None, f"{obj} has no parent"
        return next(iter(self.rows[above]), self.key_of(above, 0))

    def named(self, obj: str, row: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Return a row under another id."""
        documented, written = self.documented(obj), dict(row)
        own = key.rpartition(",")[2] if documented.is_within_parent else key
        parts = own.split(",") if documented.ids[1:] else [own]
        for path, part in zip(documented.ids, parts, strict=True):
            is_number = isinstance(get(self.template(obj), path), int)
            written = put(written, path, int(part) if is_number else part)
        return written

    def put(
        self,
        obj: str,
        key: str,
        text: str | None = None,
        *,
        stamp: datetime | None = None,
        row: Mapping[str, Any] | None = None,
        silent: bool = False,
    ) -> None:
        """Write a row, now or with the stamp of another time.

        `text` goes to the field that varies; `row`: what it is made of. `silent`: its time of
        change stays.
        """
        documented, known = self.documented(obj), self.rows[obj].get(key)
        base = row if row is not None else known.row if known else self.template(obj)
        written = self.named(obj, base, key)
        if text is not None:
            written = put(written, documented.vary, self._varied(documented, text))
        if documented.flag is not None:
            written = put(written, documented.flag, False)
        changed_at = stamp or self.clock()
        if silent and known is not None:
            changed_at = known.stamp
        elif documented.changed_at is not None:
            for path in documented.changed_at.paths:
                is_unset = row is not None and get(row, path) is None
                if not (is_unset and path in documented.nullable):
                    written = put(written, path, documented.changed_at.format.write(changed_at))
        parent = None
        if documented.parent is not None:
            parent = next(iter(self.rows[documented.parent]))
            if documented.parent_path is not None:
                top = self.rows[documented.parent][parent].row
                found = get(top, self.documented(documented.parent).id)
                written = put(written, documented.parent_path, found)
        version = known.version if silent and known is not None else self._next_version()
        self.rows[obj][key] = Stored(key, written, changed_at, version, parent)

    def _next_version(self) -> int:
        self.version += 1
        return self.version

    def _varied(self, documented: Documented, text: str) -> object:
        """Return the value that stands for a text where no text can be."""
        number = self._numbers.setdefault(text, len(self._numbers) + 1)
        if documented.varies == "number":
            return number
        if documented.varies == "date":
            return (FIRST_DAY + timedelta(days=number)).isoformat()
        return text

    def remove(self, obj: str, key: str, way: Way | None = None) -> None:
        """Delete a row, so that it shows as documented: in one of several ways, or the first."""
        documented, stored = self.documented(obj), self.rows[obj][key]
        stored.deleted_at = self.clock()
        stored.shows = way or documented.deletes[0]
        stored.version = self._next_version()
        if documented.flag is not None:
            stored.row = put(stored.row, documented.flag, True)
            stored.stamp = stored.deleted_at
            for path in documented.changed_at.paths if documented.changed_at else ():
                assert documented.changed_at is not None
                stored.row = put(stored.row, path, documented.changed_at.format.write(stored.stamp))

    def purge(self, obj: str, key: str) -> None:
        """Show a row no more that was shown as deleted."""
        self.rows[obj][key].shows = "list" if "list" in self.documented(obj).deletes else "absence"

    def hide(self, obj: str, path: str) -> None:
        """Show a field of no row any more, as if a right were lost."""
        self.quirks.reshape = partial(without, path)

    def visible(self, obj: str) -> list[Stored]:
        """Return the rows that lists of living rows show, in their order, those flagged too."""
        rows = self.rows[obj].values()
        shown = [each for each in rows if each.deleted_at is None or each.shows == "flag"]
        return in_order(self.documented(obj), shown)

    def logged(self, obj: str) -> list[Stored]:
        """Return the rows that lists of deleted rows show."""
        is_listed = "list" in self.documented(obj).deletes
        rows = [each for each in self.rows[obj].values() if each.deleted_at is not None]
        return in_order(self.documented(obj), rows if is_listed else [])

    def changed(self, obj: str, version: int) -> list[Stored]:
        """Return the rows that changed or went since a version, those that went last."""
        rows = [each for each in self.rows[obj].values() if each.version > version]
        return sorted(rows, key=lambda each: (each.deleted_at is not None, each.version))

    def texts(self, obj: str) -> dict[str, str]:
        """Return what varies of each living row, by id."""
        vary = self.documented(obj).vary
        return {
            key: str(get(stored.row, vary))
            for key, stored in self.rows[obj].items()
            if stored.deleted_at is None
        }

    def first(self, obj: str) -> str:
        """Return the id of the row that stands first in the lists of an object."""
        return in_order(self.documented(obj), list(self.rows[obj].values()))[0].key


def without(path: str, rows: list[Any]) -> list[Any]:
    """Return rows without a field."""
    return [drop(row, path) for row in rows]


def in_order(documented: Documented, rows: list[Stored]) -> list[Stored]:
    """Return rows as lists show them."""
    if documented.order == "id":
        return sorted(rows, key=lambda each: order_of(each.key))
    is_reversed = documented.order == "newest"
    return sorted(rows, key=lambda each: (each.stamp, each.key), reverse=is_reversed)


def order_of(key: object) -> tuple[int, str]:
    """What ids are ordered by: as numbers, where they are numbers."""
    text = str(key)
    return len(text), text
