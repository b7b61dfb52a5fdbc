"""Rows of the time tracker: what people enter, what follows from it, and approvals. No HTTP.

Rows name others by id; `api.py` shows them as the vendor does. Facts and their sources:
connectors/vendors/harvest/README.md. A deleted row is gone without a trace.

`timesheets` has no rows: to create one is to submit, approve or unsubmit what a person entered on
some days, as the screens of the vendor do it, time and expenses together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

Row = dict[str, Any]

UNSUBMITTED, SUBMITTED, APPROVED = "unsubmitted", "submitted", "approved"
TIMESHEETS: Final = "timesheets"
_CENT: Final = Decimal("0.01")
_SECONDS_AN_HOUR: Final = 3600
_TRACKED: Final = ("time_entries", "expenses")


@dataclass(frozen=True, slots=True)
class RecordType:
    """A list. `defaults` are the fields that people set; `first_id` is where its ids begin."""

    first_id: int
    defaults: Mapping[str, Any]
    required: tuple[str, ...]
    references: Mapping[str, str]


RECORD_TYPES: Final = {
    "clients": RecordType(
        6_100_001, {"name": None, "currency": "EUR", "is_active": True, "address": None},
        required=("name",), references={},
    ),
    "users": RecordType(
        3_200_001,
        {
            "first_name": None, "last_name": None, "email": None, "telephone": "",
            "timezone": "Berlin", "weekly_capacity": 126_000, "is_contractor": False,
            "is_active": True, "default_hourly_rate": None, "cost_rate": None,
            "has_access_to_all_future_projects": False, "roles": (), "access_roles": ("member",),
        },
        required=("first_name", "last_name", "email"), references={},
    ),
    "projects": RecordType(
        15_400_001,
        {
            "client_id": None, "name": None, "code": None, "is_active": True, "is_billable": True,
            "is_fixed_fee": False, "bill_by": "People", "hourly_rate": None, "budget": None,
            "budget_by": "none", "budget_is_monthly": False, "notify_when_over_budget": False,
            "over_budget_notification_percentage": Decimal("80.0"), "show_budget_to_all": False,
            "over_budget_notification_date": None, "cost_budget": None, "fee": None,
            "cost_budget_include_expenses": False, "notes": None, "starts_on": None,
            "ends_on": None,
        },
        required=("client_id", "name"), references={"client_id": "clients"},
    ),
    "tasks": RecordType(
        9_300_001,
        {"name": None, "billable_by_default": True, "default_hourly_rate": None,
         "is_default": False, "is_active": True},
        required=("name",), references={},
    ),
    "task_assignments": RecordType(
        168_500_001,
        {"project_id": None, "task_id": None, "billable": True, "is_active": True,
         "hourly_rate": None, "budget": None},
        required=("project_id", "task_id"),
        references={"project_id": "projects", "task_id": "tasks"},
    ),
    "user_assignments": RecordType(
        137_600_001,
        {"project_id": None, "user_id": None, "is_project_manager": False, "is_active": True,
         "use_default_rates": True, "hourly_rate": None, "budget": None},
        required=("project_id", "user_id"),
        references={"project_id": "projects", "user_id": "users"},
    ),
    "time_entries": RecordType(
        1_700_000_001,
        {"user_id": None, "project_id": None, "task_id": None, "spent_date": None, "hours": None,
         "notes": None, "is_running": False},
        required=("user_id", "project_id", "task_id", "spent_date"),
        references={"user_id": "users", "project_id": "projects", "task_id": "tasks"},
    ),
    "expense_categories": RecordType(
        4_500_001, {"name": None, "unit_name": None, "unit_price": None, "is_active": True},
        required=("name",), references={},
    ),
    "expenses": RecordType(
        33_800_001,
        {"user_id": None, "project_id": None, "expense_category_id": None, "spent_date": None,
         "total_cost": None, "billable": True, "notes": None},
        required=("user_id", "project_id", "expense_category_id", "spent_date", "total_cost"),
        references={"user_id": "users", "project_id": "projects",
                    "expense_category_id": "expense_categories"},
    ),
}  # fmt: skip
_DATES: Final = ("spent_date", "starts_on", "ends_on")


class HarvestBooks:
    """All rows of the account, by id."""

    def __init__(self, clock: VendorClock) -> None:
        self._clock = clock
        self._tables: dict[str, dict[int, Row]] = {name: {} for name in RECORD_TYPES}
        self._ids = {name: itertools.count(kind.first_id) for name, kind in RECORD_TYPES.items()}
        self._assignments: dict[tuple[str, int, int], Row] = {}

    def rows(self) -> dict[str, list[Row]]:
        """Return everything; the hours of a running timer are those before it was started."""
        return {name: [dict(row) for row in table.values()] for name, table in self._tables.items()}

    def table(self, record_type: str) -> list[Row]:
        """Return the rows of a list, not to be changed. Raises UnknownRowError."""
        return list(self._table(record_type).values())

    def get(self, record_type: str, row_id: object) -> Row:
        """Return one row, not to be changed. Raises UnknownRowError."""
        return self._row(record_type, row_id)

    def assignment(self, kind: str, project_id: int, other_id: int) -> Row | None:
        """Return how a `user` or a `task` is assigned to a project."""
        return self._assignments.get((kind, project_id, other_id))

    def hours(self, entry: Row) -> Decimal:
        """Return the hours of an entry as of now: those of a running timer grow."""
        if entry["timer_started_at"] is None:
            return Decimal(entry["hours"])
        started_at = datetime.fromisoformat(entry["timer_started_at"])
        passed_s = Decimal((self._clock.now() - started_at).total_seconds())
        return _rounded(entry["hours"] + passed_s / _SECONDS_AN_HOUR)

    def create(self, record_type: str, values: Mapping[str, Any]) -> Row:
        """Add a row. Raises InvalidRowError; time without hours is a timer that runs."""
        if record_type == TIMESHEETS:
            return self._decide(values)
        table, defaults = self._table(record_type), RECORD_TYPES[record_type].defaults
        row = {"id": next(self._ids[record_type]), **defaults}
        row |= self._known(record_type, values)
        if record_type == "time_entries" and row["hours"] is None:
            row |= {"hours": Decimal(0), "is_running": True}
        if record_type in _TRACKED:
            row |= {"approval_status": UNSUBMITTED, "is_billed": False}
        row["created_at"] = row["updated_at"] = self._stamp()
        self._settle(record_type, row)
        table[row["id"]] = row
        for kind in ("user", "task"):
            if record_type == f"{kind}_assignments":
                self._assignments[kind, row["project_id"], row[f"{kind}_id"]] = row
        return dict(row)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> Row:
        """Change fields, as an administrator may, approved or not. Raises InvalidRowError."""
        row = self._row(record_type, row_id)
        changed = row | self._known(record_type, values) | {"updated_at": self._stamp()}
        if row.get("is_running") and not changed["is_running"] and "hours" not in values:
            changed["hours"] = self.hours(row)
        self._settle(record_type, changed)
        row |= changed
        return dict(row)

    def delete(self, record_type: str, row_id: str) -> None:
        """Remove a row, and with a project what was entered on it."""
        row = self._row(record_type, row_id)
        if record_type not in (*_TRACKED, "projects"):
            raise InvalidRowError(f"{record_type} are archived, not deleted")
        if record_type == "projects":
            for name in (*_TRACKED, "task_assignments", "user_assignments"):
                table = self._tables[name]
                for other in [each for each in table.values() if each["project_id"] == row["id"]]:
                    del table[other["id"]]
        del self._tables[record_type][row["id"]]

    def _settle(self, record_type: str, row: Row) -> None:
        """Check a row and give it what follows from it."""
        kind = RECORD_TYPES[record_type]
        for field in kind.required:
            if row[field] in (None, ""):
                raise InvalidRowError(f"{field} can't be blank")
        for field, target in kind.references.items():
            self._row(target, row[field])
        for field in _DATES:
            if row.get(field) is not None:
                row[field] = datetime.fromisoformat(str(row[field])).date().isoformat()
        if record_type == "time_entries":
            row |= self._of_entry(row)

    def _of_entry(self, row: Row) -> Row:
        """What an entry has of its project, task and person, and of its timer."""
        project, user = self._row("projects", row["project_id"]), self._row("users", row["user_id"])
        assignment = self.assignment("task", row["project_id"], row["task_id"])
        if self.assignment("user", row["project_id"], row["user_id"]) is None:
            raise InvalidRowError("the person does not work on the project")
        if assignment is None:
            raise InvalidRowError("the task is not one of the project's")
        started_at = row.get("timer_started_at") or self._stamp()
        is_billable = project["is_billable"] and assignment["billable"]
        return {
            "hours": _rounded(row["hours"]),
            "timer_started_at": started_at if row["is_running"] else None,
            "task_assignment_id": assignment["id"],
            "billable": is_billable,
            "billable_rate": user["default_hourly_rate"] if is_billable else None,
            "cost_rate": user["cost_rate"],
        }

    def _decide(self, values: Mapping[str, Any]) -> Row:
        """Submit, approve or unsubmit what a person entered from a day to a day."""
        user = self._row("users", values["user_id"])
        first, last, status = str(values["from"]), str(values["to"]), values["status"]
        if status not in (UNSUBMITTED, SUBMITTED, APPROVED):
            raise InvalidRowError(f"no status {status}")
        chosen = [
            row
            for name in _TRACKED
            for row in self._tables[name].values()
            if row["user_id"] == user["id"] and first <= row["spent_date"] <= last
        ]
        if status != UNSUBMITTED and any(row.get("is_running") for row in chosen):
            raise InvalidRowError("a timer is running")
        for row in chosen:
            is_decided = status == SUBMITTED and row["approval_status"] == APPROVED
            if row["approval_status"] != status and not is_decided:
                row |= {"approval_status": status, "updated_at": self._stamp()}
        return {"id": user["id"], "rows": len(chosen)}

    def _known(self, record_type: str, values: Mapping[str, Any]) -> Row:
        unknown = sorted(values.keys() - RECORD_TYPES[record_type].defaults.keys())
        if unknown:
            raise InvalidRowError(f"{record_type} have no {', '.join(unknown)}")
        return dict(values)

    def _table(self, record_type: str) -> dict[int, Row]:
        if record_type not in self._tables:
            raise UnknownRowError(f"no list {record_type}")
        return self._tables[record_type]

    def _row(self, record_type: str, row_id: object) -> Row:
        table, text = self._table(record_type), str(row_id)
        row = table.get(int(text)) if text.isdigit() else None
        if row is None:
            raise UnknownRowError(f"no {record_type} {text}")
        return row

    def _stamp(self) -> str:
        return self._clock.stamp().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def newest_first(record_type: str, rows: list[Row]) -> Iterator[tuple[str, Row]]:
    """Yield rows in the order of their list, each with the text that a cursor names it by."""
    is_dated = record_type in _TRACKED
    for row in sorted(
        rows, key=lambda row: (row["spent_date"] if is_dated else "", row["id"]), reverse=True
    ):
        yield f"{row['spent_date'] if is_dated else ''}/{row['id']:012}", row


def _rounded(hours: object) -> Decimal:
    """Hours at two digits, as they are kept."""
    number = Decimal(str(hours))
    if number < 0:
        raise InvalidRowError("hours must not be negative")
    return number.quantize(_CENT, ROUND_HALF_UP)
