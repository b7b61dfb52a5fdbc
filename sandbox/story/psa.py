"""What people do in the PSA, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Protocol

from sandbox.story.crm import Deal


class Ability(Enum):
    """What not every PSA can show. The value says why acts that ask for it are left out."""

    EARLY_HOURS = "it takes hours only on projects that it has"
    ANY_HOURS = "it is not known to take more hours than a day has"
    TIMERS = "it has no timers"


@dataclass(slots=True)
class PsaProject:
    """A project in the PSA and the task hours are booked on; internal ones have no deal.

    The ids are the PSA's, empty before it has given any.
    """

    currency: str
    deal: Deal | None = None
    country_code: str | None = None
    id: str = ""
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A person of the firm by the id in the resource tool; rates are what the PSA puts on hours."""

    id: int
    first_name: str
    last_name: str
    email: str
    bill_rate: Decimal
    cost_rate: Decimal


@dataclass(frozen=True, slots=True)
class Time:
    """Hours as they are typed or a screen shows them, and what a timer counted."""

    hours: Decimal
    minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Hours:
    """A time entry as its person enters it, in a canonical status."""

    project: PsaProject
    worker: Person
    work_on: date
    time: Time
    status: str
    is_billable: bool = True
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class Expense:
    """Money that somebody spent for a project, submitted for approval."""

    project: PsaProject
    worker: Person
    spent_on: date
    amount: Decimal
    is_billable: bool
    category: str


class Psa(Protocol):
    """A PSA's screens. Ids are the PSA's own, as texts; each method makes one change at least."""

    system: str
    """How ids of its rows begin as sources tell them."""
    entries_are: str
    """How ids of time entries begin as sources tell them: `<system>:<kind>`."""
    abilities: frozenset[Ability]

    def hire(self, person: Person) -> None:
        """Let somebody book time."""

    def reserve(self, project: PsaProject) -> None:
        """Give a project its ids before it is opened: with `Ability.EARLY_HOURS` only."""

    def open_project(self, project: PsaProject, name: str, starts_on: date) -> Iterator[None]:
        """Open a project with a task, and yield after each change."""

    def book(self, hours: Hours) -> str:
        """Enter time; return the id of the entry."""

    def start_timer(self, hours: Hours) -> str:
        """Begin to work; return the id of the entry: with `Ability.TIMERS` only."""

    def stop_timer(self, entry: str) -> None:
        """End what `start_timer` began."""

    def decide(self, entry: str, status: str) -> None:
        """Bring an entry to a canonical status, or to what the PSA has instead."""

    def correct(self, entry: str, time: Time) -> None:
        """Change the time of an entry."""

    def move(self, entry: str, project: PsaProject) -> None:
        """Book an entry on another project."""

    def delete(self, entry: str) -> None:
        """Delete an entry."""

    def spend(self, expense: Expense) -> str:
        """Enter an expense; return its id."""

    def approve_expense(self, expense: str) -> None:
        """Approve an expense."""

    def delete_expense(self, expense: str) -> None:
        """Delete an expense."""
