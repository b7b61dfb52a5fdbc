"""The in-house application's tables on a real PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from tests.support.stack import running_stack, stack_directory

pytestmark = pytest.mark.stack

DDL = Path(__file__).parents[2] / "sandbox" / "psa.sql"


@pytest.fixture(scope="module")
def database() -> Iterator[psycopg.Connection]:
    """A database of its own, with the tables applied twice as a restart would."""
    with stack_directory() as directory:
        settings = StackSettings(
            data_dir=directory,
            cache_dir=cache_dir_from(os.environ),
            parts=frozenset({Part.POSTGRES}),
        )
        with (
            running_stack(settings) as stack,
            psycopg.connect(stack.addresses.postgres_dsn, autocommit=True) as connection,
        ):
            for _ in range(2):
                connection.execute(DDL.read_bytes())
            yield connection


def test_a_timesheet_may_arrive_before_its_project(database: psycopg.Connection) -> None:
    database.execute(
        "INSERT INTO inhouse.time_entries (project_id, worker_email, work_on, hours)"
        " VALUES (404, 'ann@example.com', '2026-02-03', 7.25)"
    )
    row = database.execute("SELECT hours::text, status FROM inhouse.time_entries").fetchone()
    assert row == ("7.25", "draft")


def test_an_update_moves_updated_at(database: psycopg.Connection) -> None:
    for table, columns, values in (
        ("projects", "name, currency", "'p', 'EUR'"),
        ("tasks", "project_id, name", "1, 't'"),
    ):
        row = database.execute(
            f"INSERT INTO inhouse.{table} ({columns}) VALUES ({values}) RETURNING id, updated_at"
        ).fetchone()
        assert row
        changed = database.execute(
            f"UPDATE inhouse.{table} SET name = 'new' WHERE id = %s RETURNING updated_at", [row[0]]
        ).fetchone()
        assert changed and changed[0] > row[1]


def test_an_unknown_status_is_refused(database: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute(
            "INSERT INTO inhouse.projects (name, currency, status) VALUES ('p', 'EUR', 'burnt')"
        )


def test_the_role_may_publish_the_tables(database: psycopg.Connection) -> None:
    database.execute("CREATE PUBLICATION test_psa FOR TABLE inhouse.projects, inhouse.expenses")
    found = database.execute("SELECT count(*) FROM pg_publication WHERE pubname = 'test_psa'")
    assert found.fetchone() == (1,)
    database.execute("DROP PUBLICATION test_psa")
