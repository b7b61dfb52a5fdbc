"""The shipped connector file, POSTed unchanged: PostgreSQL → Debezium → Kafka."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import TopicPartition

from connectors.debezium.client import ConnectClient, RestartBudget, heal, read_connector_file
from connectors.faults import VendorRejectedError
from runtime.kafka import KafkaSettings, create_topics, make_consumer
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.topics import BY_NAME, SOURCES
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
FILE = ROOT / "connectors" / "debezium" / "inhouse-psa.json"
TOPIC = "src.inhouse.time_entries"


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
        self._seen: list[tuple[int, dict[str, Any]]] = []

    def of(self, row_id: int) -> list[dict[str, Any]]:
        while messages := self._consumer.consume(100, timeout=0.3):
            for message in messages:
                assert message.error() is None
                if message.value() is None:
                    self.tombstones += 1
                    continue
                key = self._serde.read(message.key())
                self._seen.append((key["id"], self._serde.read(message.value())))
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


async def is_running(connect_url: str) -> bool:
    client = ConnectClient(connect_url)
    try:
        budget = RestartBudget(0, 60, clock_s=time.monotonic)
        return (await heal(client, read_connector_file(FILE).name, budget)).is_running
    except VendorRejectedError:
        return False  # the worker does not know its status yet
    finally:
        await client.close()


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
        assert (created["after"]["hours"], updated["after"]["hours"]) == (
            Decimal("7.25"),
            Decimal("8.00"),
        )
        assert created["after"]["bill_rate"] == Decimal("123.4567")
        assert deleted["after"] is None
        assert deleted["before"]["id"] == after
        assert created["source"]["lsn"] < updated["source"]["lsn"] < deleted["source"]["lsn"]
        assert changes.tombstones == 0

        # WAL written by others must not pile up behind a quiet connector.
        database.execute("CREATE TABLE IF NOT EXISTS noise (text text)")
        database.execute("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 500)")
        target = database.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert target is not None
        eventually(lambda: _slot_passed(database, str(target[0])), deadline_s=60)
    changes.close()


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
