"""Rows of BambooHR: people, two tables by date, leave, and who changed last. No HTTP.

Facts and their sources: connectors/vendors/bamboohr/README.md. A change of a person's row,
job or pay is a change of the person; one who was deleted is still told as such
(BambooHR/bhr-api-python, `specs/public.yaml`, get-changed-employee-ids).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError
from sandbox.vendors.tables import Kind, Row, Tables, day

EMPLOYEES, TIME_OFF = "employees", "time_off"
TABLES: Final = ("jobInfo", "compensation")
STATUSES: Final = ("Active", "Inactive")
LEAVE: Final = ("requested", "approved", "denied", "superceded", "canceled")
PAID_PER: Final = ("Hour", "Day", "Week", "Month", "Quarter", "Year", "Piece", "Pay Period")
_OF_EMPLOYEE: Final = {"employeeId": EMPLOYEES}

KINDS: Final = {
    EMPLOYEES: Kind(
        {
            "firstName": None, "lastName": None, "workEmail": None, "employeeNumber": "",
            "status": "Active", "hireDate": None, "terminationDate": None,
        },
        required=("firstName", "lastName", "status"), first_id=11_501,
    ),
    "jobInfo": Kind(
        {
            "employeeId": None, "date": None, "location": "", "department": "", "division": "",
            "jobTitle": "", "reportsTo": "", "teams": None,
        },
        required=("employeeId", "date"), parents=_OF_EMPLOYEE, first_id=20_101,
    ),
    "compensation": Kind(
        {
            "employeeId": None, "startDate": None, "rate": None, "currency": "USD",
            "type": "Salary", "exempt": "Exempt", "reason": "", "comment": "", "paidPer": "Year",
            "paySchedule": "Monthly", "overtimeRate": "",
        },
        required=("employeeId", "startDate"), parents=_OF_EMPLOYEE, first_id=18_201,
    ),
    TIME_OFF: Kind(
        {
            "employeeId": None, "start": None, "end": None, "status": "requested", "type": "1",
            "unit": "days", "dates": None,
        },
        required=("employeeId", "start", "end"), parents=_OF_EMPLOYEE, first_id=41_201,
    ),
}  # fmt: skip
_DAYS: Final = ("hireDate", "terminationDate", "date", "startDate", "start", "end")
_WORDS: Final = {
    (EMPLOYEES, "status"): STATUSES,
    (TIME_OFF, "status"): LEAVE,
    (TIME_OFF, "unit"): ("hours", "days"),
    ("compensation", "paidPer"): PAID_PER,
}


@dataclass(frozen=True, slots=True)
class LastChange:
    """When a person changed last, and how."""

    action: str
    at: str


class BambooHrBooks(Tables):
    """All rows of an account, and the last change of each person."""

    def __init__(self, clock: VendorClock) -> None:
        super().__init__(clock, KINDS)
        self.changes: dict[str, LastChange] = {}
        """By the id of a person, who may be deleted."""

    def settle(self, record_type: str, row: Row) -> None:
        """Check days and words; leave has an amount for each of its days."""
        for field in _DAYS:
            if row.get(field) is not None:
                row[field] = day(row[field], field)
        for (kind, field), words in _WORDS.items():
            if kind == record_type and row[field] not in words:
                raise InvalidRowError(f"{field} is one of {', '.join(words)}")
        if row.get("rate") is not None:
            row["rate"] = Decimal(str(row["rate"]))
        if record_type == TIME_OFF:
            row["dates"] = _dates(row)
            row.setdefault("created", self._clock.stamp().date().isoformat())

    def changed(self, record_type: str, row: Row) -> None:
        """A person, or a row of theirs in a table, was added or changed."""
        if record_type != TIME_OFF:
            employee = row["id"] if record_type == EMPLOYEES else row["employeeId"]
            self._note(employee, "Updated" if employee in self.changes else "Inserted")

    def deleted(self, record_type: str, row: Row) -> None:
        """A person was taken away, or a row of theirs in a table."""
        if record_type == EMPLOYEES:
            self._note(row["id"], "Deleted")
        elif record_type != TIME_OFF:
            self._note(row["employeeId"], "Updated")

    def _note(self, employee: str, action: str) -> None:
        self.changes[employee] = LastChange(action, self.stamp())

    def stamp(self) -> str:
        """The time, in whole seconds with an offset."""
        return self._clock.stamp().astimezone(UTC).isoformat()


def _dates(row: Row) -> dict[str, Any]:
    """The amount of each day: as given, or one day each."""
    first, last = date.fromisoformat(row["start"]), date.fromisoformat(row["end"])
    if last < first:
        raise InvalidRowError("end is before start")
    days = [(first + timedelta(days=each)).isoformat() for each in range((last - first).days + 1)]
    given = row["dates"] or dict.fromkeys(days, 1)
    if not set(given) <= set(days):
        raise InvalidRowError("dates has a day that is not from start to end")
    return {each: str(Decimal(str(given[each]))) for each in days if each in given}
