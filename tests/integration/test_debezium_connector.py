"""The shipped connector file, POSTed unchanged: PostgreSQL → Debezium → Kafka."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import TopicPartition
from typer.testing import CliRunner

from connectors.debezium.client import ConnectClient, RestartBudget, heal, read_connector_file
from connectors.toolkit.faults import VendorRejectedError
from psastream.cli import app
from runtime.kafka import KafkaSettings, create_topics, make_consumer
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.codec.framing import unframe
from schemas.codec.record import AvroSchema
from tests.support.catalogue import BY_NAME, SOURCES
from tests.support.eventually import eventually
from tests.support.source_events import debezium_schema
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
FILE = ROOT / "connectors" / "vendors" / "inhouse" / "connector.json"
TOPIC = "src.inhouse.time_entries"


def columns(envelope: AvroSchema) -> dict[str, Any]:
    """The columns of the table and their Avro types, as an envelope's schema has them."""
    before = next(it for it in json.loads(envelope.text)["fields"] if it["name"] == "before")
    return {field["name"]: avro_type(field["type"]) for field in before["type"][1]["fields"]}


def avro_type(annotated: Any) -> Any:
    """A type without what Connect notes beside it."""
    match annotated:
        case list():
            return [avro_type(branch) for branch in annotated]
        case {"type": plain, **_notes}:
            return avro_type(plain)
        case _:
            return annotated


class Changes:
    """Change events of the time entries, as they come."""

    def __init__(self, stack: RunningStack) -> None:
        addresses = stack.addresses
        kafka = KafkaSettings(bootstrap_servers=addresses.bootstrap_servers)
        create_topics(kafka, SOURCES, replication_factor=1)
        self._serde = Serde(Registry(addresses.registry_url))
        self._consumer = make_consumer(kafka, "test-debezium")
        self._consumer.assign(
            [TopicPartition(TOPIC, number, 0) for number in range(BY_NAME[TOPIC].partitions)]
        )
        self.tombstones = 0
        self.schema_ids: set[int] = set()
        self.operations: list[str] = []
        self._seen: list[tuple[int, dict[str, Any]]] = []

    def read(self) -> list[str]:
        """The operations of all changes so far."""
        while messages := self._consumer.consume(100, timeout=0.3):
            for message in messages:
                assert message.error() is None
                if message.value() is None:
                    self.tombstones += 1
                    continue
                value = self._serde.read(message.value())
                self.schema_ids.add(unframe(message.value())[0])
                self.operations.append(value["op"])
                if message.key() is not None:  # a truncation is of no row
                    key = self._serde.read(message.key())
                    self._seen.append((key["id"], value))
        return self.operations

    def of(self, row_id: int) -> list[dict[str, Any]]:
        self.read()
        return [change for seen_id, change in self._seen if seen_id == row_id]

    def close(self) -> None:
        self._consumer.close()


async def register(connect_url: str) -> None:
    """Register twice, which must be the same as once."""
    connector = read_connector_file(FILE)
    client = ConnectClient(connect_url)
    try:
        await client.register(connector)
        assert await client.register(connector) is False
    finally:
        await client.close()


async def restarted(connect_url: str) -> None:
    """Restart what has failed, of which there is nothing."""
    client = ConnectClient(connect_url)
    try:
        await client.restart_failed(read_connector_file(FILE).name)
    finally:
        await client.close()


async def is_running(connect_url: str) -> bool:
    client = ConnectClient(connect_url)
    try:
        budget = RestartBudget(0, 60, clock_s=time.monotonic)
        return (await heal(client, read_connector_file(FILE).name, budget)).is_running
    except VendorRejectedError:
        return False  # the worker does not know its status yet
    finally:
        await client.close()


@pytest.mark.fault("B9", place="connectors/vendors/inhouse/connector.json")
@pytest.mark.fault("C15", place="connectors/vendors/inhouse/connector.json")
def test_rows_arrive_exactly_in_order_and_the_slot_moves_while_tables_are_quiet(
    stack: RunningStack,
) -> None:
    changes = Changes(stack)
    with psycopg.connect(stack.addresses.postgres_dsn, autocommit=True) as database:
        database.execute((ROOT / "sandbox" / "psa.sql").read_text())
        insert = (
            "INSERT INTO inhouse.time_entries (project_id, worker_email, work_on, hours, bill_rate)"
            " VALUES (7, 'a@example.com', '2026-01-31', 7.25, 123.4567) RETURNING id"
        )
        before = _one(database.execute(insert))
        connect_url = stack.addresses.connect_url
        asyncio.run(register(connect_url))
        eventually(lambda: asyncio.run(is_running(connect_url)), deadline_s=60)
        eventually(lambda: changes.of(before), deadline_s=60)
        after = _one(database.execute(insert))
        database.execute("UPDATE inhouse.time_entries SET hours = 8 WHERE id = %s", [after])
        database.execute("DELETE FROM inhouse.time_entries WHERE id = %s", [after])
        eventually(lambda: len(changes.of(after)) >= 3, deadline_s=30)

        assert [change["op"] for change in changes.of(before)] == ["r"]
        assert [change["op"] for change in changes.of(after)] == ["c", "u", "d"]
        created, updated, deleted = changes.of(after)
        assert (created["after"]["hours"], updated["after"]["hours"]) == ("7.25", "8.00")
        assert created["after"]["bill_rate"] == "123.4567"
        assert deleted["after"] is None
        assert deleted["before"]["id"] == after
        assert created["source"]["lsn"] < updated["source"]["lsn"] < deleted["source"]["lsn"]
        assert changes.tombstones == 0

        # The schema is the one that all other tests take for Debezium's.
        (written,) = changes.schema_ids
        registered = Registry(stack.addresses.registry_url).schema(written)
        assert columns(registered) == columns(debezium_schema(TOPIC))

        unusual = {
            "a day of a far year": ("20206-01-05", "7.25", "n"),
            "no number": ("2026-01-31", "NaN", "n"),
            "3 MB of text": ("2026-01-31", "7.25", "x" * 3_000_000),
            "20 MB of text": ("2026-01-31", "7.25", "x" * 20_000_000),
        }
        for day, hours, notes in unusual.values():
            row_id = _one(
                database.execute(
                    "INSERT INTO inhouse.time_entries (project_id, worker_email, work_on, hours,"
                    " notes) VALUES (7, 'a@example.com', %s, %s, %s) RETURNING id",
                    [day, hours, notes],
                )
            )
            eventually(lambda row_id=row_id: changes.of(row_id), deadline_s=60)
        database.execute("ALTER TABLE inhouse.time_entries ALTER COLUMN hours TYPE numeric(12, 3)")
        wider = _one(database.execute(insert))
        eventually(lambda: changes.of(wider), deadline_s=60)
        assert changes.of(wider)[0]["after"]["hours"] == "7.250"
        database.execute("TRUNCATE inhouse.time_entries")
        eventually(lambda: changes.read().count("t") == 1, deadline_s=30)
        assert asyncio.run(is_running(connect_url))

        ask = _asking(stack)
        ask("pause", "inhouse-psa")
        eventually(lambda: "PAUSED" in ask("status", "inhouse-psa"), deadline_s=30)
        paused = _one(database.execute(insert))
        ask("resume", "inhouse-psa")
        eventually(lambda: changes.of(paused), deadline_s=60)
        asyncio.run(restarted(connect_url))

        # WAL written by others must not pile up behind a quiet connector.
        database.execute("CREATE TABLE IF NOT EXISTS noise (text text)")
        database.execute("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 500)")
        target = database.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert target is not None
        eventually(lambda: _slot_passed(database, str(target[0])), deadline_s=60)
    changes.close()


def _asking(stack: RunningStack) -> Callable[..., str]:
    """Commands about connectors; what they print."""
    environment = {
        "PSASTREAM_BOOTSTRAP_SERVERS": stack.addresses.bootstrap_servers,
        "PSASTREAM_REGISTRY_URL": stack.addresses.registry_url,
        "PSASTREAM_CONNECT_URL": stack.addresses.connect_url,
    }

    def ask(*arguments: str) -> str:
        shown = CliRunner().invoke(app, ["connectors", *arguments], env=environment)
        assert shown.exit_code == 0 or arguments[0] == "status", shown.output
        return shown.stdout

    return ask


def _one(cursor: psycopg.Cursor[Any]) -> int:
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _slot_passed(database: psycopg.Connection[Any], lsn: str) -> bool:
    row = database.execute(
        "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
        [lsn, "psastream_inhouse_psa"],
    ).fetchone()
    return row is not None and bool(row[0])
