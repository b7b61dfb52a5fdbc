"""A database nobody here designed, by a folder outside the product, on real parts.

People change the workshop's rows in SQL. Whatever they do, and whatever happens to the product
meanwhile, margin, utilization and orders are those that PostgreSQL computes from the rows there are
(`workshop_truth.sql`). The tests share one firm and go on with each other's rows.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql

from tests.support.eventually import eventually
from tests.support.outside import DEADLINE_S, OutsideFirm, outside_database, running_firm
from tests.support.workshop import (
    FOLDER,
    HELD,
    KEYS,
    Change,
    Truth,
    Workshop,
    canonical_project,
    person_of,
    project_ref,
    truth_of,
)

pytestmark = pytest.mark.stack

SEED: Final = 13
SCALE: Final = 4
MOST_AT_ONCE: Final = 12
"""Changes in a transaction."""
SCHEMA: Final = [FOLDER.parent / "workshop.sql", FOLDER.parent / "workshop_truth.sql"]
CLOSED: Final = "SELECT true FROM workshop.debezium_signal WHERE type = 'snapshot-window-close'"
UNFINISHED: Final = "incremental_snapshot_collections"
"""What Debezium keeps, as long as such a snapshot goes on, beside how far it is."""


@dataclass
class People:
    """Those who work in the database."""

    firm: OutsideFirm

    def __post_init__(self) -> None:
        self._workshop = Workshop(SEED, SCALE)
        self._chance = random.Random(SEED)

    def change(self, count: int) -> None:
        """Change rows, as often, several at a time."""
        changes = [*self._workshop.changes(count)]
        while changes:
            at_once = self._chance.randint(1, MOST_AT_ONCE)
            with self.firm.database.transaction():
                for each in changes[:at_once]:
                    write(self.firm.database, each)
            del changes[:at_once]

    def change_until_rich(self) -> None:
        """Change rows until there is something of everything that is compared."""
        while not is_rich(truth_of(self._workshop)):
            self.change(10)


def is_rich(truth: Truth) -> bool:
    currencies = {key.rpartition("|")[2] for key in truth.margin}
    return (
        currencies == {"EUR", "CHF", "XXX"}
        and len(truth.utilization) >= 10
        and len(truth.orders) >= 15
    )


def write(database: psycopg.Connection[Any], change: Change) -> None:
    """Make a change in SQL."""
    table, names = sql.Identifier("workshop", change.table), KEYS[change.table]
    found = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in names
    )
    if change.row is None:
        query = sql.SQL("DELETE FROM {} WHERE {}").format(table, found)
        database.execute(query, change.key)
        return
    columns = sql.SQL(", ").join(map(sql.Identifier, change.row))
    marks = sql.SQL(", ").join([sql.Placeholder()] * len(change.row))
    if change.before is None:
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(table, columns, marks)
        database.execute(query, [*change.row.values()])
        return
    query = sql.SQL("UPDATE {} SET ({}) = ROW ({}) WHERE {}").format(table, columns, marks, found)
    database.execute(query, [*change.row.values(), *change.key])


def truth_in(database: psycopg.Connection[Any]) -> Truth:
    """What must follow, by PostgreSQL; ids are put into the product's words."""

    def rows(view: str) -> list[tuple[Any, ...]]:
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier("truth", view))
        return database.execute(query).fetchall()

    return Truth(
        margin={
            f"{project_ref(project)}|{month}|{currency}": tuple(figures)
            for project, month, currency, *figures in rows("margin")
        },
        utilization={
            f"{person_of(person)}|{week}": tuple(figures)
            for person, week, *figures in rows("utilization")
        },
        orders={
            f"workshop:session:{session}|{project_ref(project)}": (
                canonical_project(deal, country),
                day.isoformat(),
                *content,
            )
            for session, project, deal, country, day, *content in rows("orders")
        },
    )


@pytest.fixture(scope="module")
def firm() -> Iterator[OutsideFirm]:
    """The firm whose PSA is the workshop, and whose ERP holds two of its projects."""
    with outside_database("workshop") as dsn, running_firm(FOLDER, dsn) as firm:
        for file in SCHEMA:
            firm.database.execute(file.read_bytes())
        for deal, country in HELD:
            firm.hold(canonical_project(deal, country))
            firm.database.execute("INSERT INTO truth.held VALUES (%s, %s)", (deal, country))
        yield firm


@pytest.fixture(scope="module")
def people(firm: OutsideFirm) -> People:
    """Those who had worked for a while when capture began, and go on."""
    people = People(firm)
    people.change(300)
    firm.register()
    return people


def compare(firm: OutsideFirm) -> None:
    """All that was committed counts, once, and is ordered; the ERP holds what is ordered."""
    firm.settle()
    expected, found = truth_in(firm.database), firm.published()
    assert found.margin == expected.margin
    assert found.utilization == expected.utilization
    assert found.orders == expected.orders
    assert firm.dead_letters() == set()
    assert is_rich(expected), "the comparison says little"
    eventually(lambda: not firm.unbilled(expected.orders), deadline_s=DEADLINE_S)


def test_what_is_published_live_is_what_the_database_says(
    firm: OutsideFirm, people: People
) -> None:
    people.change(400)
    people.change_until_rich()
    compare(firm)


def test_nothing_is_lost_or_counted_twice_by_a_worker_that_is_killed(
    firm: OutsideFirm, people: People
) -> None:
    before = firm.progress.consumed()
    people.change(150)
    eventually(lambda: firm.progress.consumed() > before, deadline_s=DEADLINE_S)
    people.change(50)
    firm.stack.kill("worker")
    people.change(150)
    firm.stack.restart("worker")
    people.change(150)
    people.change_until_rich()
    compare(firm)


@contextmanager
def late(firm: OutsideFirm) -> Iterator[None]:
    """A transaction that writes before the block and is committed after it."""
    insert = (
        "INSERT INTO workshop.cost SELECT id, id %% 12, '2026-01-02', id * 1.01, 'EUR', true,"
        " 'approved' FROM generate_series(%s::int, %s::int) AS id"
    )
    eventually(firm.is_streaming, deadline_s=DEADLINE_S)  # no slot begins beside a transaction
    firm.database.execute("DELETE FROM workshop.cost WHERE id >= 100")
    firm.database.execute(insert, (100, 105))  # of these nobody else knows
    with psycopg.connect(firm.database.info.dsn) as transaction:
        transaction.execute("UPDATE workshop.cost SET paid = 3 * paid WHERE id > 102")
        transaction.execute("DELETE FROM workshop.cost WHERE id BETWEEN 100 AND 101")
        transaction.execute(insert, (106, 108))
        yield


def ask_for_snapshot(firm: OutsideFirm) -> None:
    """Have Debezium read all tables once more, costs first."""
    tables = [f"workshop.{name}" for name in sorted(KEYS)]
    asked = json.dumps({"data-collections": tables, "type": "incremental"})
    firm.database.execute(
        "INSERT INTO workshop.debezium_signal VALUES ('again', 'execute-snapshot', %s)", (asked,)
    )


def test_a_snapshot_beside_the_stream_changes_nothing(firm: OutsideFirm, people: People) -> None:
    with late(firm):
        ask_for_snapshot(firm)
        eventually(lambda: firm.one(CLOSED), deadline_s=DEADLINE_S)
    begun = firm.one("SELECT pg_current_wal_lsn() - '0/0'")

    def is_over() -> bool:
        people.change(5)
        captured = firm.captured()
        return captured.get("lsn", 0) >= begun and UNFINISHED not in captured

    eventually(is_over, deadline_s=DEADLINE_S)
    people.change_until_rich()
    compare(firm)
