"""What people do in the resource tool, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

Week = tuple[int | Decimal, ...]
"""Hours of Monday to Sunday."""


@dataclass(frozen=True, slots=True)
class Hire:
    """Somebody as they are taken on; `week` None: nobody says when they work.

    `region` is where the holidays of the person are kept.
    """

    first_name: str
    last_name: str
    starts_on: str
    week: Week | None
    email: str | None = None
    role: str | None = None
    cost_rate: Decimal | None = None
    bill_rate: Decimal | None = None
    ends_on: str | None = None
    region: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedProject:
    """A project of the resource tool, by its id there."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Allocation:
    """Hours a day that a person is planned with on a project, from a day to a day."""

    person_id: int
    project_id: int
    starts_on: str
    ends_on: str
    hours: Decimal
    is_tentative: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """Days off of some people; `hours` of each of them, None for whole days."""

    people: Sequence[int]
    starts_on: str
    ends_on: str
    hours: Decimal | None = None
    is_approved: bool = True


class ResourceTool(Protocol):
    """A resource tool's screens. Every method raises VendorAdminError; ids are the tool's own."""

    system: str
    """How ids of its rows begin as sources tell them."""

    def prepare(self) -> None:
        """Set up what must be there before psastream brings projects."""

    def add_role(self, name: str) -> None:
        """Add a role that people may have."""

    def hire(self, hire: Hire) -> int:
        """Take somebody on; return the id."""

    def add_seat(self, name: str, starts_on: str) -> None:
        """Add a seat that nobody has yet."""

    def keep_holiday(self, name: str, day: str, region: int | None = None) -> None:
        """Let a region have a holiday, or without one everybody."""

    def projects(self) -> list[PlannedProject]:
        """Return the projects."""

    def plan(self, allocation: Allocation) -> int:
        """Plan somebody; return the id of the allocation."""

    def confirm(self, allocation_id: int) -> None:
        """Say that what was tentative is agreed."""

    def withdraw(self, allocation_id: int) -> None:
        """Take somebody out of the plan."""

    def change_cost(self, person_id: int, rates: Mapping[str, Decimal]) -> None:
        """Change what an hour of somebody costs; `rates` by first day, the last one is today's."""

    def change_week(
        self, person_id: int, weeks: Mapping[str, Week], *, is_shown_late: bool = False
    ) -> None:
        """Change when somebody works; `weeks` by first day, the last one is today's.

        `is_shown_late`: a tool that shows today's week beside its history still shows the former.
        """

    def take_leave(self, leave: Leave) -> Sequence[int]:
        """Give people days off; return the ids of what was entered."""

    def end_leave(self, leave_ids: Sequence[int], ends_on: str) -> None:
        """Let days off end on another day."""
