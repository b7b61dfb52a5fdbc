"""Rows of Runn: clients, projects, milestones, numbering and stamps. No HTTP.

A deleted row is gone; no reference is unique.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

PRICING: Final = ("fp", "tm", "nb")


@dataclass(frozen=True, slots=True)
class RecordType:
    """A collection. `defaults` lists every field a client may set, `required` those it must."""

    defaults: Mapping[str, Any]
    required: tuple[str, ...]


RECORD_TYPES: Final = {
    "clients": RecordType(
        defaults={"name": None, "website": None, "isArchived": False, "references": []},
        required=("name",),
    ),
    "projects": RecordType(
        defaults={
            "name": None,
            "isTemplate": False,
            "isArchived": False,
            "isConfirmed": False,
            "pricingModel": "tm",
            "rateType": "hours",
            "teamId": None,
            "budget": None,
            "expensesBudget": None,
            "references": [],
            "clientId": None,
            "rateCardId": 1,
            "customFields": {"select": [], "text": [], "checkbox": [], "date": []},
            "managerIds": [],
            "tags": [],
        },
        required=("name", "clientId"),
    ),
    "milestones": RecordType(
        defaults={"title": None, "icon": None, "note": None, "date": None, "projectId": None},
        required=("title", "icon", "date"),
    ),
}


class RunnBooks:
    """All rows of the account, by id."""

    def __init__(self, clock: VendorClock) -> None:
        self._clock = clock
        self._tables: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in RECORD_TYPES}
        self._ids = {name: itertools.count(1) for name in RECORD_TYPES}

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return all rows by collection, in the order of their ids."""
        return {name: [dict(row) for row in table.values()] for name, table in self._tables.items()}

    def get(self, record_type: str, row_id: str) -> dict[str, Any]:
        """Return one row. Raises UnknownRowError."""
        return dict(self._row(record_type, row_id))

    def create(self, record_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add a row. Raises InvalidRowError with what the vendor says of it."""
        rules = self._rules(record_type)
        row = {"id": next(self._ids[record_type]), **rules.defaults, **values}
        row |= {"createdAt": self._stamp(), "updatedAt": self._stamp()}
        self._check(record_type, row)
        self._tables[record_type][row["id"]] = row
        return dict(row)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields and stamp the change; a list replaces the former one."""
        row = self._row(record_type, row_id)
        changed = {**row, **values, "updatedAt": self._stamp()}
        self._check(record_type, changed)
        row |= changed
        return dict(row)

    def delete(self, record_type: str, row_id: str) -> None:
        """Remove a row, and the milestones of a project with it."""
        row = self._row(record_type, row_id)
        del self._tables[record_type][row["id"]]
        if record_type == "projects":
            milestones = self._tables["milestones"]
            for each in [it for it in milestones.values() if it["projectId"] == row["id"]]:
                del milestones[each["id"]]

    def _check(self, record_type: str, row: Mapping[str, Any]) -> None:
        rules = self._rules(record_type)
        unknown = row.keys() - rules.defaults.keys() - {"id", "createdAt", "updatedAt"}
        if unknown:
            raise InvalidRowError(f"body must NOT have additional properties: {min(unknown)}")
        for field in rules.required:
            if row[field] is None:
                raise InvalidRowError(f"body must have required property '{field}'")
        for field, is_sound in _SOUND.items():
            if row.get(field) is not None and not is_sound(row[field]):
                raise InvalidRowError(f"body/{field} is not valid")
        for field, target in (("clientId", "clients"), ("projectId", "projects")):
            if row.get(field) is not None and row[field] not in self._tables[target]:
                raise InvalidRowError(f"{field} {row[field]} does not exist")

    def _rules(self, record_type: str) -> RecordType:
        if record_type not in RECORD_TYPES:
            raise UnknownRowError(f"no collection {record_type}")
        return RECORD_TYPES[record_type]

    def _row(self, record_type: str, row_id: str) -> dict[str, Any]:
        self._rules(record_type)
        row = self._tables[record_type].get(int(row_id)) if row_id.isdigit() else None
        if row is None:
            raise UnknownRowError(f"no {record_type} {row_id}")
        return row

    def _stamp(self) -> str:
        now = self._clock.now().astimezone(UTC).replace(tzinfo=None)
        return f"{now.isoformat(timespec='milliseconds')}Z"


def instant(stamp: str) -> datetime:
    """Return the instant of a stamp."""
    return datetime.fromisoformat(stamp)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _are_references(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and each.keys() == {"referenceName", "externalId"}
        and all(isinstance(text, str) for text in each.values())
        for each in value
    )


_SOUND: Final[Mapping[str, Callable[[object], bool]]] = {
    "name": _is_text,
    "title": _is_text,
    "icon": _is_text,
    "date": _is_day,
    "references": _are_references,
    "pricingModel": lambda value: value in PRICING,
    "isConfirmed": lambda value: isinstance(value, bool),
}
