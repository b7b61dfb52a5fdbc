"""Certinia's users: weeks of time as people enter them, and as project managers decide on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from sandbox.story.psa import Ability, Expense, Hours, Person, PsaProject, Time
from sandbox.vendors.certinia.books import DAYS, EXTERNAL_ID, PROJECT, TIMECARD
from sandbox.vendors.client import VendorAdmin
from schemas.identity import engagement_id, project_id

_STATUSES: Final = {
    "draft": ("Saved", False, False),
    "submitted": ("Submitted", True, False),
    "approved": ("Approved", True, True),
    "rejected": ("Rejected", False, False),
}
"""Its word for a canonical status, and whether what has it is submitted, and approved."""


@dataclass(slots=True)
class _Card:
    """A timecard: whose week on which project, and the days with time on it."""

    project: str
    resource: str
    starts_on: date
    is_billable: bool
    days: set[str] = field(default_factory=set)
    is_draft: bool = True


class Certinia:
    """An org whose weeks begin on Monday, with a milestone for each project.

    Projects bear the canonical id in the firm's field: their managers copy it from the ERP or the
    resource tool. Time is entered on a draft of the week with nothing on the day yet, or on a new
    timecard; a timecard is decided on, and moved, with all its days.
    """

    system = "certinia_custom"
    entries_are = "certinia_custom:timecard"
    abilities: frozenset[Ability] = frozenset()

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin
        self._resources: dict[str, str] = {}  # e-mail address → contact
        self._cards: dict[str, _Card] = {}

    def hire(self, person: Person) -> None:
        row = {
            "Name": f"{person.first_name} {person.last_name}",
            "Email": person.email,
            "pse__Is_Resource__c": True,
            "pse__Is_Resource_Active__c": True,
        }
        self._resources[person.email] = self._create("Contact", row)

    def reserve(self, project: PsaProject) -> None:
        raise NotImplementedError(Ability.EARLY_HOURS.value)

    def open_project(self, project: PsaProject, name: str, starts_on: date) -> Iterator[None]:
        canonical = None
        if project.deal is not None and project.country_code is not None:
            canonical = project_id(engagement_id(project.deal.ref), project.country_code)
        row = {
            "Name": name,
            "CurrencyIsoCode": project.currency,
            "pse__Is_Active__c": True,
            "pse__Is_Billable__c": project.deal is not None,
            "pse__Stage__c": "In Progress",
            "pse__Start_Date__c": starts_on.isoformat(),
            EXTERNAL_ID: canonical,
        }
        project.id = self._create(PROJECT, row)
        yield
        milestone = {"Name": "Delivery", "pse__Project__c": project.id}
        priced = {"CurrencyIsoCode": project.currency}
        project.task_id = self._create("pse__Milestone__c", milestone | priced)
        yield

    def book(self, hours: Hours) -> str:
        number = hours.work_on.weekday()
        day, monday = DAYS[number], hours.work_on - timedelta(days=number)
        resource = self._resources[hours.worker.email]
        entered = {f"pse__{day}_Hours__c": hours.time.hours, f"pse__{day}_Notes__c": hours.notes}
        week = _Card(hours.project.id, resource, monday, hours.is_billable)
        card = self._draft(week, day)
        if card is None:
            row = {
                **_on(hours.project),
                "pse__Resource__c": resource,
                "pse__Start_Date__c": monday.isoformat(),
                "pse__Status__c": "Saved",
                "pse__Billable__c": hours.is_billable,
                "pse__Bill_Rate__c": hours.worker.bill_rate,
                "pse__Cost_Rate_Amount__c": hours.worker.cost_rate,
            }
            card = self._create(TIMECARD, row | entered)
            self._cards[card] = week
        else:
            self._admin.update("certinia", TIMECARD, card, entered)
        self._cards[card].days.add(day)
        entry = f"{card},{day.lower()}"
        if hours.status != "draft":
            self.decide(entry, hours.status)
        return entry

    def start_timer(self, hours: Hours) -> str:
        raise NotImplementedError(Ability.TIMERS.value)

    def stop_timer(self, entry: str) -> None:
        raise NotImplementedError(Ability.TIMERS.value)

    def decide(self, entry: str, status: str) -> None:
        card, _ = _parts(entry)
        self._admin.update("certinia", TIMECARD, card, _status(status))
        self._cards[card].is_draft = status == "draft"

    def correct(self, entry: str, time: Time) -> None:
        card, day = _parts(entry)
        self._admin.update("certinia", TIMECARD, card, {f"pse__{day}_Hours__c": time.hours})

    def move(self, entry: str, project: PsaProject) -> None:
        card, _ = _parts(entry)
        self._admin.update("certinia", TIMECARD, card, _on(project))
        self._cards[card].project = project.id

    def delete(self, entry: str) -> None:
        card, day = _parts(entry)
        days = self._cards[card].days
        days.remove(day)
        if days:
            emptied = {f"pse__{day}_Hours__c": 0, f"pse__{day}_Notes__c": None}
            self._admin.update("certinia", TIMECARD, card, emptied)
        else:
            self._admin.delete("certinia", TIMECARD, card)
            del self._cards[card]

    def spend(self, expense: Expense) -> str:
        row = {
            "pse__Resource__c": self._resources[expense.worker.email],
            "pse__Project__c": expense.project.id,
            "CurrencyIsoCode": expense.project.currency,
            "pse__Expense_Date__c": expense.spent_on.isoformat(),
            "pse__Amount__c": expense.amount,
            "pse__Type__c": expense.category,
            "pse__Billable__c": expense.is_billable,
        }
        return self._create("pse__Expense__c", row | _status("submitted"))

    def approve_expense(self, expense: str) -> None:
        self._admin.update("certinia", "pse__Expense__c", expense, _status("approved"))

    def delete_expense(self, expense: str) -> None:
        self._admin.delete("certinia", "pse__Expense__c", expense)

    def _draft(self, week: _Card, day: str) -> str | None:
        """A timecard that somebody would enter more time of that week on."""
        wanted = (week.project, week.resource, week.starts_on, week.is_billable)
        for name, card in self._cards.items():
            found = (card.project, card.resource, card.starts_on, card.is_billable)
            if card.is_draft and found == wanted and day not in card.days:
                return name
        return None

    def _create(self, name: str, row: dict[str, Any]) -> str:
        return str(self._admin.create("certinia", name, row)["Id"])


def _on(project: PsaProject) -> dict[str, Any]:
    """What a timecard has of its project."""
    return {
        "pse__Project__c": project.id,
        "pse__Milestone__c": project.task_id,
        "CurrencyIsoCode": project.currency,
        "pse__Cost_Rate_Currency_Code__c": project.currency,
    }


def _status(status: str) -> dict[str, Any]:
    word, is_submitted, is_approved = _STATUSES[status]
    return {
        "pse__Status__c": word,
        "pse__Submitted__c": is_submitted,
        "pse__Approved__c": is_approved,
    }


def _parts(entry: str) -> tuple[str, str]:
    """The timecard of an entry, and its day."""
    card, _, day = entry.partition(",")
    return card, day.capitalize()
