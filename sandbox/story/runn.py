"""Runn's planners: what they enter in the vendor's screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from sandbox.story.resource import Allocation, Hire, Leave, PlannedProject, Week
from sandbox.vendors.client import VendorAdmin

MINUTES: Final = 60
ROSTERED: Final = ("monday", "tuesday", "wednesday", "thursday", "friday")


class Runn:
    """An account in which a contract says what somebody is, costs and works.

    It knows no price of a person, and of contracts only today's. A plan is as certain as its
    project, time off is what was agreed, and a holiday is time off of each person who has it.
    """

    system = "runn"

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin
        self._roles: dict[str, int] = {}
        self._contracts: dict[int, dict[str, Any]] = {}  # the last of each person
        self._regions: dict[int, int | None] = {}  # of each person
        self._holidays: list[tuple[str, str, int | None]] = []

    def prepare(self) -> None:
        """Add the client that projects are made for until somebody moves them."""
        self._create("clients", {"name": "Customers"})

    def add_role(self, name: str) -> None:
        self._roles[name] = self._create("roles", {"name": name})

    def hire(self, hire: Hire) -> int:
        names = {"firstName": hire.first_name, "lastName": hire.last_name, "email": hire.email}
        person_id = self._create("people", names)
        self._contracts[person_id] = contract = {
            "personId": person_id,
            # Nobody is without a role here.
            "roleId": self._roles[hire.role or min(self._roles)],
            "costPerHour": hire.cost_rate or Decimal(0),
            "rosteredDays": _rostered(hire.week or ()),
            "startDate": hire.starts_on,
            # Nobody says when somebody works whose contract has run out.
            "endDate": hire.starts_on if hire.week is None else hire.ends_on,
        }
        self._create("contracts", contract)
        self._regions[person_id] = hire.region
        for holiday in self._holidays:
            self._give(person_id, *holiday)
        return person_id

    def add_seat(self, name: str, starts_on: str) -> None:
        first, _, last = name.partition(" ")
        self._create("placeholders", {"firstName": first, "lastName": last})

    def keep_holiday(self, name: str, day: str, region: int | None = None) -> None:
        self._holidays.append((name, day, region))
        for person_id in self._regions:
            self._give(person_id, name, day, region)

    def projects(self) -> list[PlannedProject]:
        rows = self._admin.books()["runn"]["projects"]
        return [PlannedProject(row["id"], row["name"]) for row in rows]

    def plan(self, allocation: Allocation) -> int:
        row = {
            "personId": allocation.person_id,
            "projectId": allocation.project_id,
            "roleId": self._contracts[allocation.person_id]["roleId"],
            "startDate": allocation.starts_on,
            "endDate": allocation.ends_on,
            "minutesPerDay": _minutes(allocation.hours),
        }
        return self._create("assignments", row)

    def confirm(self, allocation_id: int) -> None:
        """There is nothing to confirm: a plan is as certain as its project."""

    def withdraw(self, allocation_id: int) -> None:
        self._admin.delete("runn", "assignments", allocation_id)

    def change_cost(self, person_id: int, rates: Mapping[str, Decimal]) -> None:
        day = max(rates)
        self._agree(person_id, startDate=day, costPerHour=rates[day])

    def change_week(
        self, person_id: int, weeks: Mapping[str, Week], *, is_shown_late: bool = False
    ) -> None:
        day = max(weeks)
        self._agree(person_id, startDate=day, rosteredDays=_rostered(weeks[day]))

    def take_leave(self, leave: Leave) -> Sequence[int]:
        if not leave.is_approved:
            return ()
        row: dict[str, Any] = {"startDate": leave.starts_on, "endDate": leave.ends_on}
        if leave.hours is not None:
            row["minutesPerDay"] = _minutes(leave.hours)
        return [self._create("leave", {"personId": person, **row}) for person in leave.people]

    def end_leave(self, leave_ids: Sequence[int], ends_on: str) -> None:
        for leave_id in leave_ids:
            self._admin.update("runn", "leave", leave_id, {"endDate": ends_on})

    def _agree(self, person_id: int, **terms: object) -> None:
        """Give somebody a contract on other terms, which ends the one before."""
        self._contracts[person_id] |= terms
        self._create("contracts", self._contracts[person_id])

    def _give(self, person_id: int, name: str, day: str, region: int | None) -> None:
        if region in (None, self._regions[person_id]):
            row = {"personId": person_id, "startDate": day, "endDate": day, "note": name}
            self._create("holidays", row)

    def _create(self, name: str, row: Mapping[str, Any]) -> int:
        return int(self._admin.create("runn", name, row)["id"])


def _rostered(week: Week) -> dict[str, int]:
    """Return the minutes of each day that a contract has; nobody is rostered on a weekend."""
    return dict.fromkeys(ROSTERED, 0) | {
        day: _minutes(hours) for day, hours in zip(ROSTERED, week, strict=False)
    }


def _minutes(hours: int | Decimal) -> int:
    return int(hours * MINUTES)
