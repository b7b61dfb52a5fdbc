"""Rows of a vendor by kind and id, with the fields that people may set. No HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows of one kind. `defaults` are the fields that people set; `parents` are kinds of the rows
    that a field names, and with which a row goes; `first_id` is where ids begin."""

    defaults: Mapping[str, Any]
    required: tuple[str, ...] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    first_id: int = 1


class Tables:
    """All rows of an account. A subclass adds what follows from a row, and what a change leaves."""

    def __init__(self, clock: VendorClock, kinds: Mapping[str, Kind]) -> None:
        self._clock = clock
        self._kinds = kinds
        self._tables: dict[str, dict[str, Row]] = {name: {} for name in kinds}
        self._ids = {name: itertools.count(kind.first_id) for name, kind in kinds.items()}

    def rows(self) -> dict[str, list[Row]]:
        """All rows by kind, in the order of their ids."""
        return {name: [dict(row) for row in table.values()] for name, table in self._tables.items()}

    def table(self, record_type: str) -> list[Row]:
        """The rows of a kind, not to be changed. Raises UnknownRowError."""
        return list(self._table(record_type).values())

    def get(self, record_type: str, row_id: object) -> Row:
        """One row, not to be changed. Raises UnknownRowError."""
        row = self._table(record_type).get(str(row_id))
        if row is None:
            raise UnknownRowError(f"no {record_type} {row_id}")
        return row

    def create(self, record_type: str, values: Mapping[str, Any]) -> Row:
        """Add a row. Raises InvalidRowError."""
        table, kind = self._table(record_type), self._kinds[record_type]
        row = {"id": self.next_id(record_type), **kind.defaults, **self._known(kind, values)}
        self._check(record_type, row)
        table[row["id"]] = row
        self.changed(record_type, row)
        return dict(row)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> Row:
        """Change fields of a row. Raises InvalidRowError, UnknownRowError."""
        row, kind = self.get(record_type, row_id), self._kinds[record_type]
        changed = row | self._known(kind, values)
        self._check(record_type, changed)
        row |= changed
        self.changed(record_type, row)
        return dict(row)

    def delete(self, record_type: str, row_id: str) -> None:
        """Take a row away, and with it those that it is the parent of. Raises UnknownRowError."""
        row = self.get(record_type, row_id)
        for name, kind in self._kinds.items():
            for name_of, parent in kind.parents.items():
                if parent == record_type:
                    below = [each for each in self.table(name) if each[name_of] == row["id"]]
                    for each in below:
                        self.delete(name, each["id"])
        del self._tables[record_type][row["id"]]
        self.deleted(record_type, row)

    def next_id(self, record_type: str) -> str:
        """The id of a new row."""
        return str(next(self._ids[record_type]))

    def settle(self, record_type: str, row: Row) -> None:
        """Give a row what follows from it. Raises InvalidRowError."""

    def changed(self, record_type: str, row: Row) -> None:
        """A row was added or changed."""

    def deleted(self, record_type: str, row: Row) -> None:
        """A row was taken away."""

    def _check(self, record_type: str, row: Row) -> None:
        kind = self._kinds[record_type]
        for name in kind.required:
            if row[name] in (None, ""):
                raise InvalidRowError(f"{name} can't be blank")
        for name, parent in kind.parents.items():
            if row[name] is not None:
                row[name] = self.get(parent, row[name])["id"]
        self.settle(record_type, row)

    def _known(self, kind: Kind, values: Mapping[str, Any]) -> Row:
        unknown = sorted(values.keys() - kind.defaults.keys())
        if unknown:
            raise InvalidRowError(f"there is no field {', '.join(unknown)}")
        return dict(values)

    def _table(self, record_type: str) -> dict[str, Row]:
        if record_type not in self._tables:
            raise UnknownRowError(f"there are no {record_type}")
        return self._tables[record_type]


def day(value: object, field: str) -> str:
    """A calendar day as it is written. Raises InvalidRowError."""
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError as error:
        raise InvalidRowError(f"{field} is no day: {value}") from error
