"""Faults of Kafka Connect and of the database that it captures."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import httpx2
import psycopg
from psycopg import sql

from runtime.kafka import make_producer, read_topic
from sandbox.demo.parts import CONNECTORS, PSA_SCHEMA
from sandbox.stack.postgres import (
    SUPERUSER,
    create_database,
    dsn,
    postgres_spec,
    prepare_postgres,
)
from tests.support.eventually import eventually
from tests.support.heard import DEADLINE_S, Watched, fault
from tests.support.stack import stack_directory
from tests.unit.streams.test_metrics_port import free_port

CONNECTOR: Final = "inhouse-psa"
ENTRIES: Final = "src.inhouse.time_entries"
TABLES: Final = ("projects", "tasks", "time_entries", "expenses")


@fault(
    "PsastreamConnectUnreachable",
    done="Kafka Connect hangs and answers nobody",
    mended="it goes on",
    breaks=["connect"],
    needs=["connect-watcher"],
)
def connect_hangs(it: Watched) -> Iterator[None]:
    with it.frozen("connect"):
        yield


@fault(
    "PsastreamDatabaseSilent",
    "PsastreamConnectorFailed",
    "PsastreamSlotRetainsLog",
    done="somebody pauses the connector, while the database and its log go on",
    mended="it is resumed",
    breaks=["connect", "wal"],
    needs=["connect-watcher", "worker"],
    faster=720,
)
def connector_is_paused(it: Watched) -> Iterator[None]:
    connector = f"{it.system.parts.connect_url}/connectors/{CONNECTOR}"
    httpx2.put(f"{connector}/pause", timeout=60).raise_for_status()
    write_log(it, segments=16)
    yield
    httpx2.put(f"{connector}/resume", timeout=60).raise_for_status()


@fault(
    "PsastreamSlotAboutToBeLost",
    done="somebody has the database keep half a GiB of its log for the connector",
    mended="it keeps as much as before",
    breaks=["wal"],
    needs=["connect-watcher"],
)
def little_log_is_kept(it: Watched) -> Iterator[None]:
    set_up(it, "max_slot_wal_keep_size", "512MB")
    yield
    set_up(it, "max_slot_wal_keep_size", None)


@fault(
    "PsastreamTableTruncated",
    done="somebody truncates a table",
    mended="an hour has passed",
    labels={"topic": "src.inhouse.expenses"},
    needs=["connect", "worker"],
    faster=120,
)
def table_is_truncated(it: Watched) -> Iterator[None]:
    with psycopg.connect(it.system.parts.postgres_dsn) as database:
        database.execute("TRUNCATE inhouse.expenses")
    yield


@fault(
    "PsastreamStaleRecords",
    done="what a connector has sent comes again and again, as of one that repeats its log",
    mended="it does no more",
    labels={"topic": ENTRIES},
    needs=["worker", "connect"],
    faster=60,
)
def log_is_repeated(it: Watched) -> Iterator[None]:
    sent = list(read_topic(it.system.parts.kafka, ENTRIES))
    producer = make_producer(it.system.parts.kafka)

    def repeat() -> None:
        for message in sent:
            producer.produce(
                ENTRIES,
                key=message.key(),
                value=message.value(),
                partition=message.partition(),
                headers=message.headers(),
            )
        assert producer.flush(30) == 0

    with it.again_and_again(repeat, every_s=2):
        yield


@fault(
    "PsastreamTimelineChanged",
    done="the database is moved to another server, and a new snapshot is taken",
    mended="an hour has passed",
    labels={"topic": ENTRIES},
    breaks=["connect", "wal"],
    needs=["worker", "registry"],
    faster=120,
)
def database_is_moved(it: Watched) -> Iterator[None]:
    write_log(it, segments=4)  # of years of work, where the new server has written little
    it.system.await_entry(it.system.insert_entry())
    with another_server(it.system.parts.postgres_dsn) as port:
        capture(it, {"database.port": str(port), "snapshot.mode": "when_needed"})
        yield
        capture(it, {"snapshot.mode": "when_needed"})


@contextmanager
def administered(it: Watched) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The database, as who administers it sees it."""
    own = it.system.parts.postgres_dsn.replace("psastream@", f"{SUPERUSER}@")
    with psycopg.connect(own, autocommit=True) as database:
        yield database


def set_up(it: Watched, name: str, value: str | None) -> None:
    """Set a parameter of the database's server; None: as its file has it."""
    to = sql.SQL("RESET {}" if value is None else "SET {} = {}").format(
        sql.Identifier(name), sql.Literal(value)
    )
    with administered(it) as database:
        database.execute(sql.SQL("ALTER SYSTEM ") + to)
        database.execute("SELECT pg_reload_conf()")


def write_log(it: Watched, *, segments: int) -> None:
    """Have the database write segments of its log, 16 MiB each, of which nothing is captured."""
    with administered(it) as database:
        for _ in range(segments):
            database.execute("SELECT pg_logical_emit_message(false, 'psastream-heartbeat', '')")
            database.execute("SELECT pg_switch_wal()")


@contextmanager
def another_server(old: str) -> Iterator[int]:
    """Run a PostgreSQL that holds the rows of another; its port."""
    with stack_directory() as directory:
        asyncio.run(prepare_postgres(directory))
        port = free_port()
        spec = postgres_spec(directory, port)
        user = {"user": spec.run_as.uid, "group": spec.run_as.gid} if spec.run_as else {}
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(spec.command, stdout=log, stderr=log, **user)
        try:
            assert spec.health is not None
            eventually(lambda: asyncio.run(spec.health.is_healthy()), deadline_s=DEADLINE_S)
            asyncio.run(create_database(port))
            with psycopg.connect(old) as source, psycopg.connect(dsn(port)) as target:
                target.execute(PSA_SCHEMA.read_bytes())
                for table in TABLES:
                    with (
                        source.cursor().copy(f"COPY inhouse.{table} TO STDOUT") as rows,
                        target.cursor().copy(f"COPY inhouse.{table} FROM STDIN") as copy,
                    ):
                        for block in rows:
                            copy.write(block)
            yield port
        finally:
            process.send_signal(spec.stop_signal)
            process.wait(60)


def capture(it: Watched, changes: Mapping[str, str]) -> None:
    """Apply the connector's file with some keys changed."""
    file = CONNECTORS / "vendors" / "inhouse" / "connector.json"
    config = json.loads(file.read_text())["config"] | changes
    url = f"{it.system.parts.connect_url}/connectors/{CONNECTOR}/config"

    def applied() -> bool:
        answer = httpx2.put(url, json=config, timeout=30)
        assert answer.is_success or answer.status_code == 409, answer.text  # Connect rebalances
        return answer.is_success

    eventually(applied, deadline_s=DEADLINE_S)
