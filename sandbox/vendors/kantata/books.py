"""Rows of Kantata OX that are written: projects, and references of other systems. No HTTP.

Facts and their sources: connectors/vendors/kantata/README.md. A deleted row is gone, and with a
project its references.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

Row = dict[str, Any]

WORKSPACES: Final = "workspaces"
REFERENCES: Final = "external_references"
FIELDS: Final[Mapping[str, Row]] = {
    WORKSPACES: {
        "title": None, "description": None, "archived": False, "start_date": None,
        "due_date": None, "currency": "USD", "budgeted": True, "price": None,
        "creator_role": "maven",
    },
    REFERENCES: {
        "service_name": None, "service_model": None, "service_model_ref": None,
        "subject_type": None, "subject_id": None, "status": "successful", "external_link": None,
        "external_message": None, "external_status": None, "locked": False,
    },
}  # fmt: skip
"""What clients may set, with the defaults."""
_REQUIRED: Final = {
    WORKSPACES: ("title",),
    REFERENCES: (
        "service_name", "service_model", "service_model_ref", "subject_type", "subject_id",
    ),
}  # fmt: skip
_DATES: Final = ("start_date", "due_date")


class RefusedRowError(Exception):
    """A value that the vendor refuses."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message


@dataclass(slots=True)
class KantataBooks:
    """All rows of the account."""

    clock: VendorClock
    _tables: dict[str, dict[int, Row]] = field(
        default_factory=lambda: {name: {} for name in FIELDS}
    )
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(41_000_001))

    def rows(self) -> dict[str, list[Row]]:
        """Return all rows by collection, the oldest first."""
        return {name: list(table.values()) for name, table in self._tables.items()}

    def create(self, record_type: str, values: Mapping[str, Any]) -> Row:
        """Add a row; a project may come with its `external_reference`. Raises RefusedRowError."""
        given = dict(values)
        reference = given.pop("external_reference", None)
        row = {**FIELDS[self._named(record_type)], **_known(record_type, given)}
        _check(record_type, row)
        now, row_id = self._stamp(), next(self._ids)
        if reference is not None:
            subject = {"subject_type": "Workspace", "subject_id": row_id}
            _check(REFERENCES, {**FIELDS[REFERENCES], **reference, **subject})
        self._tables[record_type][row_id] = {
            "id": str(row_id), **row, "created_at": now, "updated_at": now
        }  # fmt: skip
        if reference is not None:
            self.create(REFERENCES, {**reference, **subject})
        return self._tables[record_type][row_id]

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> Row:
        """Change fields of a row. Raises RefusedRowError, UnknownRowError."""
        row = self.get(record_type, row_id)
        changed = {**row, **_known(record_type, values)}
        _check(record_type, changed)
        row |= {**changed, "updated_at": self._stamp()}
        return row

    def delete(self, record_type: str, row_id: str) -> None:
        """Take a row away. Raises UnknownRowError."""
        self.get(record_type, row_id)
        del self._tables[record_type][int(row_id)]
        if record_type == WORKSPACES:
            references = self._tables[REFERENCES]
            for each in [it for it, row in references.items() if str(row["subject_id"]) == row_id]:
                del references[each]

    def get(self, record_type: str, row_id: str) -> Row:
        """Return a row. Raises UnknownRowError."""
        row = self._tables[self._named(record_type)].get(int(row_id) if row_id.isdecimal() else 0)
        if row is None:
            raise UnknownRowError(f"no {record_type} {row_id}")
        return row

    def _named(self, record_type: str) -> str:
        if record_type not in self._tables:
            raise UnknownRowError(f"no collection {record_type}")
        return record_type

    def _stamp(self) -> str:
        """Whole seconds with an offset."""
        return self.clock.now().isoformat(timespec="seconds")


def _known(record_type: str, values: Mapping[str, Any]) -> Row:
    unknown = sorted(values.keys() - FIELDS[record_type].keys())
    if unknown:
        raise InvalidRowError(f"{record_type} has no {', '.join(unknown)}")
    return dict(values)


def _check(record_type: str, row: Row) -> None:
    """Raises RefusedRowError for a row that the vendor does not take."""
    for name in _REQUIRED[record_type]:
        if row.get(name) in (None, ""):
            raise RefusedRowError(name, f"{name.replace('_', ' ').capitalize()} can't be blank")
    if record_type != WORKSPACES:
        return
    if row["creator_role"] not in ("maven", "buyer"):
        raise RefusedRowError("creator_role", "Creator role is not included in the list")
    if row["budgeted"] and not isinstance(row["price"], int):
        raise RefusedRowError("price", "Price is not a number")
    for name in _DATES:
        try:
            date.fromisoformat(row[name] or "2026-01-01")
        except (TypeError, ValueError):
            raise RefusedRowError(name, f"{name} is no date") from None
