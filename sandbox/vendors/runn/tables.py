"""Rows of Runn: people, contracts, projects, the plan, time off, numbering and stamps. No HTTP.

Facts and their sources: connectors/vendors/runn/README.md. A deleted row is gone; the log of
activities tells of some. No reference is unique. Leave and holidays are numbered as one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

PRICING: Final = ("fp", "tm", "nb")


FULL_TIME: Final = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), 480)
"""Minutes of a contract by day; nobody can be rostered on a weekend."""


@dataclass(frozen=True, slots=True)
class RecordType:
    """A collection. `defaults` lists every field a client may set, `required` those it must.

    `event` is what the log of activities calls a deleted row, None where it is silent.
    """

    defaults: Mapping[str, Any]
    required: tuple[str, ...]
    references: Mapping[str, str] = field(default_factory=dict)
    event: str | None = None


_PLANNED: Final = {"startDate": None, "endDate": None, "minutesPerDay": None, "note": None}

RECORD_TYPES: Final = {
    "clients": RecordType(
        defaults={"name": None, "website": None, "isArchived": False, "references": []},
        required=("name",),
    ),
    "roles": RecordType(
        defaults={
            "name": None,
            "isArchived": False,
            "defaultHourCost": 0,
            "standardRate": 0,
            "references": [],
        },
        required=("name",),
    ),
    "people": RecordType(
        defaults={
            "firstName": None,
            "lastName": None,
            "email": None,
            "isArchived": False,
            "teamId": None,
            "references": [],
            "tags": [],
            "holidaysGroupId": None,
            "managers": [],
        },
        required=("firstName", "lastName"),
        event="person",
    ),
    "contracts": RecordType(
        defaults={
            "personId": None,
            "roleId": None,
            "costPerHour": 0,
            "employmentType": "employee",
            "minutesPerDay": 480,
            "rosteredDays": FULL_TIME,
            "startDate": None,
            "endDate": None,
            "jobTitle": None,
        },
        required=("personId", "roleId", "startDate"),
        references={"personId": "people", "roleId": "roles"},
    ),
    "placeholders": RecordType(
        defaults={
            "firstName": None,
            "lastName": None,
            "isArchived": False,
            "tags": [],
            "references": [],
        },
        required=("firstName", "lastName"),
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
        references={"clientId": "clients"},
        event="project",
    ),
    "milestones": RecordType(
        defaults={"title": None, "icon": None, "note": None, "date": None, "projectId": None},
        required=("title", "icon", "date"),
        references={"projectId": "projects"},
    ),
    "assignments": RecordType(
        defaults={
            **_PLANNED,
            "personId": None,
            "projectId": None,
            "roleId": None,
            "phaseId": None,
            "workstreamId": None,
            "isActive": True,
            "isBillable": True,
            "isNonWorkingDay": False,
            "isTemplate": False,
            "isPlaceholder": False,
        },
        required=("personId", "projectId", "roleId", "startDate", "endDate", "minutesPerDay"),
        references={"projectId": "projects", "roleId": "roles"},
        event="assignment",
    ),
    "phases": RecordType(
        defaults={
            "name": None,
            "projectId": None,
            "startDate": None,
            "endDate": None,
            "color": "#3b4dd1",
        },
        required=("name", "projectId", "startDate", "endDate"),
        references={"projectId": "projects"},
    ),
    "actuals": RecordType(
        defaults={
            "date": None,
            "billableMinutes": 0,
            "nonbillableMinutes": 0,
            "billableNote": None,
            "nonbillableNote": None,
            "phaseId": None,
            "personId": None,
            "projectId": None,
            "roleId": None,
            "workstreamId": None,
        },
        required=("date", "personId", "projectId", "roleId"),
        references={"personId": "people", "projectId": "projects", "roleId": "roles"},
        event="actual",
    ),
    "leave": RecordType(
        defaults={**_PLANNED, "personId": None},
        required=("personId", "startDate", "endDate"),
        references={"personId": "people"},
        event="timeOff",
    ),
    "holidays": RecordType(
        defaults={**_PLANNED, "personId": None, "holidayId": None},
        required=("personId", "startDate", "endDate"),
        references={"personId": "people"},
        event="timeOff",
    ),
}
EVENTS: Final = {
    "person": "person_deleted",
    "project": "project_deleted",
    "actual": "actual_deleted",
    "assignment": "assignment_deleted",
    "timeOff": "time_off_deleted",
}
"""What the log of activities calls a deletion, by what was deleted."""
_OWNED: Final = {"people": "personId", "projects": "projectId"}
"""Rows whose deletion takes those with it that name them."""


class RunnBooks:
    """All rows of the account, by id."""

    def __init__(self, clock: VendorClock) -> None:
        self._clock = clock
        self._tables: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in RECORD_TYPES}
        self._ids = {name: itertools.count(1) for name in RECORD_TYPES}
        self._ids["holidays"] = self._ids["leave"]
        self._activities: list[dict[str, Any]] = []

    def activities(self) -> list[dict[str, Any]]:
        """Return what the log tells of deletions, the oldest first."""
        return list(self._activities)

    def contracts_in_force(self) -> list[dict[str, Any]]:
        """Return today's contract of each person that has one."""
        today = self._clock.now().date().isoformat()
        return [
            dict(row)
            for row in self._tables["contracts"].values()
            if row["startDate"] <= today <= (row["endDate"] or today)
        ]

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
        if record_type == "contracts":
            self._end_contract(row)
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
        """Remove a row, and with a person or a project what is theirs."""
        row = self._row(record_type, row_id)
        del self._tables[record_type][row["id"]]
        noun = RECORD_TYPES[record_type].event
        if noun is not None:
            number, now = len(self._activities) + 1, self._stamp()
            told = {"id": number, "eventType": EVENTS[noun], "timestamp": now, noun: dict(row)}
            self._activities.append(told)
        if (owner := _OWNED.get(record_type)) is None:
            return
        for name, table in self._tables.items():
            is_owned = owner in RECORD_TYPES[name].defaults
            for each in [it for it in table.values() if is_owned and it[owner] == row["id"]]:
                self.delete(name, str(each["id"]))

    def _end_contract(self, new: Mapping[str, Any]) -> None:
        """A new contract ends the one before on the day before it."""
        for each in self._tables["contracts"].values():
            is_open = each["endDate"] is None or each["endDate"] >= new["startDate"]
            if each["personId"] == new["personId"] and is_open:
                last = date.fromisoformat(new["startDate"]) - timedelta(days=1)
                each |= {"endDate": last.isoformat(), "updatedAt": self._stamp()}

    def _check(self, record_type: str, row: Mapping[str, Any]) -> None:
        rules = self._rules(record_type)
        unknown = row.keys() - rules.defaults.keys() - {"id", "createdAt", "updatedAt"}
        if unknown:
            raise InvalidRowError(f"body must NOT have additional properties: {min(unknown)}")
        for name in rules.required:
            if row[name] is None:
                raise InvalidRowError(f"body must have required property '{name}'")
        for name, is_sound in _SOUND.items():
            if row.get(name) is not None and not is_sound(row[name]):
                raise InvalidRowError(f"body/{name} is not valid")
        references = dict(rules.references)
        if record_type == "assignments":
            references["personId"] = "placeholders" if row["isPlaceholder"] else "people"
        for name, target in references.items():
            if row[name] is not None and row[name] not in self._tables[target]:
                raise InvalidRowError(f"{name} {row[name]} does not exist")

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
    "startDate": _is_day,
    "endDate": _is_day,
    "references": _are_references,
    "pricingModel": lambda value: value in PRICING,
    "isConfirmed": lambda value: isinstance(value, bool),
}
