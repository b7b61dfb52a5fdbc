"""Rows of the resource manager: fields, numbering, `created` and `modified`. No HTTP.

A deleted row is gone without a trace, as at the vendor.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

_CODE_LENGTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class RecordType:
    """A collection. `defaults` lists every field a client may set."""

    id_field: str
    defaults: Mapping[str, Any]
    required: tuple[str, ...]
    references: Mapping[str, str]
    is_stamped: bool = True


RECORD_TYPES: Final = {
    "people": RecordType(
        id_field="people_id",
        defaults={
            "name": None,
            "email": None,
            "job_title": None,
            "department": None,
            "role_id": None,
            "people_type_id": 1,
            "cost_rate": None,
            "default_hourly_rate": None,
            "work_days_hours": [0, 8, 8, 8, 8, 8, 0],
            "work_days_hours_history": None,
            "contracts": [],
            "region_id": None,
            "start_date": None,
            "end_date": None,
            "active": 1,
        },
        required=("name",),
        references={"role_id": "roles"},
    ),
    "roles": RecordType(
        id_field="id",
        defaults={"name": None, "default_hourly_rate": None, "cost_rate": None},
        required=("name",),
        references={},
        is_stamped=False,
    ),
    "projects": RecordType(
        id_field="project_id",
        defaults={
            "client_id": None,
            "name": None,
            "project_code": None,
            "budget_type": 0,
            "budget_total": None,
            "non_billable": 0,
            "status": 2,
            "start_date": None,
            "end_date": None,
            "project_manager": None,
            "project_team": [],
            "notes": None,
            "active": 1,
        },
        required=("name",),
        references={},
    ),
    "tasks": RecordType(
        id_field="task_id",
        defaults={
            "people_id": None,
            "people_ids": None,
            "project_id": None,
            "name": "",
            "start_date": None,
            "end_date": None,
            "hours": None,
            "status": 2,
            "billable": 1,
            "repeat_state": 0,
            "repeat_end_date": None,
            "notes": None,
        },
        required=("people_id", "project_id", "start_date", "end_date", "hours"),
        references={"people_id": "people", "project_id": "projects"},
    ),
    "timeoffs": RecordType(
        id_field="timeoff_id",
        defaults={
            "timeoff_type_id": 1,
            "people_ids": None,
            "start_date": None,
            "end_date": None,
            "full_day": 1,
            "hours": None,
            "timeoff_notes": None,
            "status": 2,
            "repeat_state": 0,
            "repeat_end": None,
        },
        required=("people_ids", "start_date", "end_date"),
        references={},
    ),
    "public-holidays": RecordType(
        id_field="id",
        defaults={"name": None, "dates": None, "region": None},
        required=("name", "dates", "region"),
        references={},
        is_stamped=False,
    ),
    "holidays": RecordType(
        id_field="holiday_id",
        defaults={"name": None, "date": None, "end_date": None},
        required=("name", "date"),
        references={},
        is_stamped=False,
    ),
}

EVER_SINCE: Final = "1970-01-01"
_SYSTEM_FIELDS: Final = ("created", "modified")
_DATE_FIELDS: Final = ("start_date", "end_date", "repeat_end_date", "date")


@dataclass(frozen=True, slots=True)
class Problem:
    """A value the vendor refuses."""

    field: str
    message: str


class FloatBooks:
    """All rows of the account, by id."""

    def __init__(self, clock: VendorClock) -> None:
        self._clock = clock
        self._tables: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in RECORD_TYPES}
        self._ids = {name: itertools.count(1) for name in RECORD_TYPES}

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {name: [dict(row) for row in table.values()] for name, table in self._tables.items()}

    def get(self, record_type: str, row_id: str) -> dict[str, Any]:
        """One row. Raises UnknownRowError."""
        return dict(self._row(record_type, row_id))

    def create(self, record_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add a row; `modified` stays empty until the first edit. Raises InvalidRowError."""
        table = self._table(record_type)
        rules = RECORD_TYPES[record_type]
        row = {rules.id_field: next(self._ids[record_type]), **rules.defaults}
        if rules.is_stamped:
            row |= {"created": self._stamp(), "modified": None}
        row |= _known(record_type, values)
        _refuse(self.problems(record_type, row))
        if record_type == "people" and row["work_days_hours_history"] is None:
            hours = row["work_days_hours"]
            row["work_days_hours_history"] = {EVER_SINCE: hours} if hours else {}
        table[row[rules.id_field]] = row
        return dict(row)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields and stamp the edit. Raises UnknownRowError or InvalidRowError."""
        row = self._row(record_type, row_id)
        changes = _known(record_type, values)
        _refuse(self.problems(record_type, {**row, **changes}))
        if RECORD_TYPES[record_type].is_stamped:
            row["modified"] = self._stamp()
        if "work_days_hours" in changes and "work_days_hours_history" not in changes:
            # Other working hours hold from today.
            history = {**row["work_days_hours_history"]}
            history[self._stamp()[:10]] = changes["work_days_hours"]
            changes["work_days_hours_history"] = history
        row |= changes
        return dict(row)

    def delete(self, record_type: str, row_id: str) -> None:
        """Remove a row, and the allocations of a person or project with it."""
        row = self._row(record_type, row_id)
        id_field = RECORD_TYPES[record_type].id_field
        if id_field in RECORD_TYPES["tasks"].references:
            tasks = self._tables["tasks"]
            for task in [task for task in tasks.values() if task[id_field] == row[id_field]]:
                del tasks[task["task_id"]]
        del self._tables[record_type][row[id_field]]

    def problems(self, record_type: str, row: Mapping[str, Any]) -> list[Problem]:
        """What the vendor would refuse about a row."""
        return list(self._problems(RECORD_TYPES[record_type], row))

    def _problems(self, rules: RecordType, row: Mapping[str, Any]) -> Iterator[Problem]:
        for field in rules.required:
            if row[field] in (None, ""):
                yield Problem(field, f"{_label(field)} cannot be blank.")
        for field, target in rules.references.items():
            if row[field] is not None and row[field] not in self._tables[target]:
                yield Problem(field, f"{_label(field)} is invalid.")
        for field in _DATE_FIELDS:
            if row.get(field) is not None and not _is_date(row[field]):
                yield Problem(field, f"The format of {_label(field)} is invalid.")
        if len(str(row.get("project_code") or "")) > _CODE_LENGTH_MAX:
            yield Problem(
                "project_code",
                f"Project Code should contain at most {_CODE_LENGTH_MAX} characters.",
            )

    def _table(self, record_type: str) -> dict[int, dict[str, Any]]:
        if record_type not in self._tables:
            raise UnknownRowError(f"no collection {record_type}")
        return self._tables[record_type]

    def _row(self, record_type: str, row_id: str) -> dict[str, Any]:
        row = self._table(record_type).get(int(row_id)) if row_id.isdigit() else None
        if row is None:
            raise UnknownRowError(f"no {record_type} {row_id}")
        return row

    def _stamp(self) -> str:
        return self._clock.stamp().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


class RefusedRowError(InvalidRowError):
    """A row with problems the vendor lists."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


def last_changed_on(row: Mapping[str, Any]) -> date:
    """Day of the last edit; of the creation where the row was never edited."""
    return datetime.fromisoformat(row["modified"] or row["created"]).date()


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise RefusedRowError(problems)


def _known(record_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
    known = (*RECORD_TYPES[record_type].defaults, *_SYSTEM_FIELDS)
    unknown = sorted(values.keys() - set(known))
    if unknown:
        raise InvalidRowError(f"{record_type} has no field {', '.join(unknown)}")
    return dict(values)


def _label(field: str) -> str:
    return field.replace("_", " ").title()


def _is_date(value: object) -> bool:
    try:
        date.fromisoformat(str(value))
    except ValueError:
        return False
    return True
