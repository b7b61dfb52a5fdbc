"""Float's planners: what they enter in the vendor's screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from sandbox.story.resource import Allocation, Hire, Leave, PlannedProject, Week
from sandbox.vendors.client import VendorAdmin

EVER_SINCE: Final = "1970-01-01"
PLACEHOLDER: Final = 3
TENTATIVE, CONFIRMED = 1, 2
"""Statuses of allocations; of leave they say asked for and approved."""


class Float:
    """An account that keeps the history of rates and of working weeks."""

    system = "float"

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin
        self._roles: dict[str, int] = {}

    def prepare(self) -> None:
        """There is nothing to set up."""

    def add_role(self, name: str) -> None:
        self._roles[name] = self._create("roles", {"name": name})["id"]

    def hire(self, hire: Hire) -> int:
        row = {
            "name": f"{hire.first_name} {hire.last_name}",
            "email": hire.email,
            "role_id": None if hire.role is None else self._roles[hire.role],
            "cost_rate": hire.cost_rate,
            "default_hourly_rate": hire.bill_rate,
            "work_days_hours": None if hire.week is None else _from_sunday(hire.week),
            "start_date": hire.starts_on,
            "end_date": hire.ends_on,
            "region_id": hire.region,
        }
        return int(self._create("people", row)["people_id"])

    def add_seat(self, name: str, starts_on: str) -> None:
        row = {"name": name, "people_type_id": PLACEHOLDER, "start_date": starts_on}
        self._create("people", row)

    def keep_holiday(self, name: str, day: str, region: int | None = None) -> None:
        if region is None:
            self._create("holidays", {"name": name, "date": day})
        else:
            self._create("public-holidays", {"name": name, "dates": [day], "region": region})

    def projects(self) -> list[PlannedProject]:
        rows = self._admin.books()["float"]["projects"]
        return [PlannedProject(row["project_id"], row["name"]) for row in rows]

    def plan(self, allocation: Allocation) -> int:
        row = {
            "people_id": allocation.person_id,
            "project_id": allocation.project_id,
            "start_date": allocation.starts_on,
            "end_date": allocation.ends_on,
            "hours": allocation.hours,
            "status": TENTATIVE if allocation.is_tentative else CONFIRMED,
        }
        return int(self._create("tasks", row)["task_id"])

    def confirm(self, allocation_id: int) -> None:
        self._admin.update("float", "tasks", allocation_id, {"status": CONFIRMED})

    def withdraw(self, allocation_id: int) -> None:
        self._admin.delete("float", "tasks", allocation_id)

    def change_cost(self, person_id: int, rates: Mapping[str, Decimal]) -> None:
        contracts = [{"effective_date": day, "cost_rate": rate} for day, rate in rates.items()]
        changes = {"cost_rate": contracts[-1]["cost_rate"], "contracts": contracts}
        self._admin.update("float", "people", person_id, changes)

    def change_week(
        self, person_id: int, weeks: Mapping[str, Week], *, is_shown_late: bool = False
    ) -> None:
        first, *others = weeks
        changes: dict[str, Any] = {
            "work_days_hours_history": {
                EVER_SINCE: _from_sunday(weeks[first]),
                **{day: _from_sunday(weeks[day]) for day in others},
            }
        }
        if not is_shown_late:
            changes["work_days_hours"] = _from_sunday(weeks[others[-1]])
        self._admin.update("float", "people", person_id, changes)

    def take_leave(self, leave: Leave) -> Sequence[int]:
        row: dict[str, Any] = {
            "people_ids": list(leave.people),
            "start_date": leave.starts_on,
            "end_date": leave.ends_on,
            "status": CONFIRMED if leave.is_approved else TENTATIVE,
        }
        if leave.hours is not None:
            row |= {"full_day": 0, "hours": leave.hours}
        return [self._create("timeoffs", row)["timeoff_id"]]

    def end_leave(self, leave_ids: Sequence[int], ends_on: str) -> None:
        for leave_id in leave_ids:
            self._admin.update("float", "timeoffs", leave_id, {"end_date": ends_on})

    def _create(self, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
        return self._admin.create("float", name, row)


def _from_sunday(week: Week) -> list[int | Decimal]:
    """Return a week as Float writes it: from Sunday on."""
    return [week[6], *week[:6]]
