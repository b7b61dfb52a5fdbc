"""Harvest's users: what people enter, and what delivery leads approve, in the vendor's screens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Final

from sandbox.story.psa import Ability, Expense, Hours, Person, PsaProject, Time
from sandbox.vendors.client import VendorAdmin
from schemas.identity import engagement_id, project_id

_CENT: Final = Decimal("0.01")
_STATUSES: Final = {"submitted": "submitted", "approved": "approved"}
"""What it has of the canonical ones; what is sent back is unsubmitted."""


class Harvest:
    """An account with a billable task and one that is not on each project.

    Projects bear the canonical id as their code: their leads copy it from the ERP or the resource
    tool. People submit and leads approve a day of a person, with all that was entered on it.
    """

    system = "harvest"
    entries_are = "harvest:time_entry"
    abilities = frozenset({Ability.TIMERS})

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin
        self._rows: dict[tuple[str, str], str] = {}  # of a list, by name
        self._assigned: set[tuple[str, str]] = set()  # (project, user)
        self._days: dict[tuple[str, str], tuple[str, date]] = {}  # row → whose day it is on
        self._approved: set[str] = set()

    def hire(self, person: Person) -> None:
        row = {
            "first_name": person.first_name,
            "last_name": person.last_name,
            "email": person.email,
            "default_hourly_rate": person.bill_rate,
            "cost_rate": person.cost_rate.quantize(_CENT),
        }
        self._rows["users", person.email] = self._create("users", row)

    def reserve(self, project: PsaProject) -> None:
        raise NotImplementedError(Ability.EARLY_HOURS.value)

    def open_project(self, project: PsaProject, name: str, starts_on: date) -> Iterator[None]:
        account, code = "the firm", ""
        if project.deal is not None and project.country_code is not None:
            account = project.deal.account_id
            code = project_id(engagement_id(project.deal.ref), project.country_code)
        client = self._named("clients", account, currency=project.currency)
        yield
        row = {
            "client_id": int(client),
            "name": name,
            "code": code,
            "is_billable": project.deal is not None,
            "starts_on": starts_on.isoformat(),
        }
        project.id = self._create("projects", row)
        yield
        for task, is_billable in (("Delivery", True), ("Preparation", False)):
            task_id = self._named("tasks", task, billable_by_default=is_billable)
            values = {"project_id": int(project.id), "task_id": int(task_id)}
            project.task_id = project.task_id or task_id
            self._create("task_assignments", values | {"billable": is_billable})
            yield

    def book(self, hours: Hours) -> str:
        entry = self._create("time_entries", self._entered(hours) | {"hours": hours.time.hours})
        self._note("time_entries", entry, hours.worker, hours.work_on)
        self.decide(entry, hours.status)
        return entry

    def start_timer(self, hours: Hours) -> str:
        entry = self._create("time_entries", self._entered(hours))
        self._note("time_entries", entry, hours.worker, hours.work_on)
        return entry

    def stop_timer(self, entry: str) -> None:
        self._admin.update("harvest", "time_entries", entry, {"is_running": False})

    def decide(self, entry: str, status: str) -> None:
        if status == "submitted" and entry in self._approved:
            self._decide_day("time_entries", entry, "unsubmitted")  # the approval is withdrawn
        self._approved -= {entry}
        self._approved |= {entry} if status == "approved" else set()
        self._decide_day("time_entries", entry, _STATUSES.get(status, "unsubmitted"))

    def correct(self, entry: str, time: Time) -> None:
        self._admin.update("harvest", "time_entries", entry, {"hours": time.hours})

    def move(self, entry: str, project: PsaProject) -> None:
        user, _ = self._days["time_entries", entry]
        self._assign(project, user)
        self._admin.update("harvest", "time_entries", entry, {"project_id": int(project.id)})

    def delete(self, entry: str) -> None:
        self._admin.delete("harvest", "time_entries", entry)

    def spend(self, expense: Expense) -> str:
        user = self._rows["users", expense.worker.email]
        self._assign(expense.project, user)
        row = {
            "user_id": int(user),
            "project_id": int(expense.project.id),
            "expense_category_id": int(self._named("expense_categories", expense.category)),
            "spent_date": expense.spent_on.isoformat(),
            "total_cost": expense.amount,
            "billable": expense.is_billable,
        }
        row_id = self._create("expenses", row)
        self._note("expenses", row_id, expense.worker, expense.spent_on)
        return row_id

    def approve_expense(self, expense: str) -> None:
        self._decide_day("expenses", expense, "approved")

    def delete_expense(self, expense: str) -> None:
        self._admin.delete("harvest", "expenses", expense)

    def _entered(self, hours: Hours) -> dict[str, Any]:
        user = self._rows["users", hours.worker.email]
        self._assign(hours.project, user)
        return {
            "user_id": int(user),
            "project_id": int(hours.project.id),
            "task_id": int(self._rows["tasks", "Delivery" if hours.is_billable else "Preparation"]),
            "spent_date": hours.work_on.isoformat(),
            "notes": hours.notes,
        }

    def _decide_day(self, name: str, row_id: str, status: str) -> None:
        user, day = self._days[name, row_id]
        values = {"user_id": int(user), "from": day.isoformat(), "to": day.isoformat()}
        self._admin.create("harvest", "timesheets", values | {"status": status})

    def _assign(self, project: PsaProject, user: str) -> None:
        """Let a person work on a project, once."""
        if (project.id, user) not in self._assigned:
            self._assigned.add((project.id, user))
            named = {"project_id": int(project.id), "user_id": int(user)}
            self._create("user_assignments", named)

    def _named(self, name: str, text: str, **values: object) -> str:
        """The row of a list with a name, made where there is none yet."""
        if (name, text) not in self._rows:
            self._rows[name, text] = self._create(name, {"name": text, **values})
        return self._rows[name, text]

    def _note(self, name: str, row_id: str, worker: Person, day: date) -> None:
        self._days[name, row_id] = self._rows["users", worker.email], day

    def _create(self, name: str, row: dict[str, Any]) -> str:
        return str(self._admin.create("harvest", name, row)["id"])
