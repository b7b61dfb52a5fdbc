"""The in-house PSA's users: rows written to its database, one transaction a change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from sandbox.story.psa import Ability, Expense, Hours, Person, PsaProject, Time


class PsaDatabase:
    """Inserts, updates and deletes rows of the schema `inhouse`."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row; its id is part of it."""
        columns = sql.SQL(", ").join(map(sql.Identifier, row))
        marks = sql.SQL(", ").join(sql.Placeholder() * len(row))
        statement = sql.SQL("INSERT INTO inhouse.{} ({}) VALUES ({})")
        self._connection.execute(
            statement.format(sql.Identifier(table), columns, marks), list(row.values())
        )

    def update(self, table: str, row_id: int, **changes: object) -> None:
        """Change columns of a row."""
        assignments = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in changes
        )
        statement = sql.SQL("UPDATE inhouse.{} SET {} WHERE id = {}")
        self._connection.execute(
            statement.format(sql.Identifier(table), assignments, sql.Placeholder()),
            [*changes.values(), row_id],
        )

    def delete_row(self, table: str, row_id: int) -> None:
        """Remove a row."""
        statement = sql.SQL("DELETE FROM inhouse.{} WHERE id = {}")
        self._connection.execute(
            statement.format(sql.Identifier(table), sql.Placeholder()), [row_id]
        )


class Inhouse(PsaDatabase):
    """The screens of the in-house PSA. `next_id` gives ids that no row has yet."""

    system = "inhouse"
    entries_are = "inhouse:time_entry"
    abilities = frozenset({Ability.EARLY_HOURS, Ability.ANY_HOURS})

    def __init__(self, dsn: str, next_id: Callable[[], int]) -> None:
        super().__init__(dsn)
        self._next_id = next_id

    def hire(self, person: Person) -> None:
        """An address is all that it knows of people."""

    def reserve(self, project: PsaProject) -> None:
        project.id, project.task_id = str(self._next_id()), str(self._next_id())

    def open_project(self, project: PsaProject, name: str, starts_on: date) -> Iterator[None]:
        if not project.id:
            self.reserve(project)
        self.insert(
            "projects",
            {
                "id": int(project.id),
                "name": name,
                "opportunity_ref": project.deal.id if project.deal else None,
                "country_code": project.country_code,
                "currency": project.currency,
                "status": "active",
                "starts_on": starts_on,
            },
        )
        yield
        task = {"id": int(project.task_id), "project_id": int(project.id), "name": "Delivery"}
        self.insert("tasks", task)
        yield

    def book(self, hours: Hours) -> str:
        entry = self._next_id()
        self.insert(
            "time_entries",
            {
                "id": entry,
                "project_id": int(hours.project.id),
                "task_id": int(hours.project.task_id),
                "worker_email": hours.worker.email,
                "work_on": hours.work_on,
                "hours": hours.time.hours,
                "minutes": hours.time.minutes,
                "is_billable": hours.is_billable,
                "status": hours.status,
                "bill_rate": hours.worker.bill_rate,
                "cost_rate": hours.worker.cost_rate,
                "currency": hours.project.currency,
                "notes": hours.notes,
            },
        )
        return str(entry)

    def start_timer(self, hours: Hours) -> str:
        raise NotImplementedError(Ability.TIMERS.value)

    def stop_timer(self, entry: str) -> None:
        raise NotImplementedError(Ability.TIMERS.value)

    def decide(self, entry: str, status: str) -> None:
        self.update("time_entries", int(entry), status=status)

    def correct(self, entry: str, time: Time) -> None:
        self.update("time_entries", int(entry), hours=time.hours, minutes=time.minutes)

    def move(self, entry: str, project: PsaProject) -> None:
        changes = {"project_id": int(project.id), "task_id": int(project.task_id)}
        self.update("time_entries", int(entry), **changes, currency=project.currency)

    def delete(self, entry: str) -> None:
        self.delete_row("time_entries", int(entry))

    def spend(self, expense: Expense) -> str:
        row_id = self._next_id()
        self.insert(
            "expenses",
            {
                "id": row_id,
                "project_id": int(expense.project.id),
                "worker_email": expense.worker.email,
                "spent_on": expense.spent_on,
                "amount": expense.amount,
                "currency": expense.project.currency,
                "is_billable": expense.is_billable,
                "status": "submitted",
                "category": expense.category,
            },
        )
        return str(row_id)

    def approve_expense(self, expense: str) -> None:
        self.update("expenses", int(expense), status="approved")

    def delete_expense(self, expense: str) -> None:
        self.delete_row("expenses", int(expense))
