"""`psastream readmodel` as a process on a real broker: killed, rebuilt, torn, and whole again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from psastream.cli import app
from psastream.exits import Exit
from psastream.read_model.landing import landing_tables
from psastream.read_model.process import migrate, rebuild
from psastream.read_model.status import read_status
from psastream.read_model.store import Generation, Store
from runtime.kafka import KafkaSettings, create_topics, make_producer
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.contracts import record_of
from schemas.routing import partition_of
from tests.support.catalogue import BY_NAME, CATALOGUE
from tests.support.eventually import eventually
from tests.support.read_model import differences, own_database
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

NAME = "readmodel"
TABLES = landing_tables(CATALOGUE)
DEADLINE_S = 60.0
CONNECTED = "application_name = 'psastream' AND datname = current_database()"


@dataclass
class Running:
    """The process, its topics and its database."""

    stack: RunningStack
    environment: Mapping[str, str]
    url: str
    serde: Serde
    kafka: KafkaSettings
    registry: Registry

    def write(self, numbers: range, random: Random) -> None:
        """Write entries of which some move and some are deleted, and a few other rows."""
        producer = make_producer(self.kafka)

        def put(topic: str, key: str, row: Mapping[str, Any] | None) -> None:
            value = None if row is None else self.serde.value(topic, row)
            partition = partition_of(key.partition("|")[0], BY_NAME[topic].partitions)
            producer.produce(topic, value, self.serde.key(topic, key), partition)

        for number in numbers:
            project, former = (f"psa:project:{random.randrange(9)}" for _ in range(2))
            row = {
                "id": f"te-{number % 500}",
                "project_ref": project,
                "work_on": date(2026, 3, 1 + number % 28),
                "hours": Decimal(number).scaleb(-2),
                "notes": random.choice([None, "", "x\n\\.\ny", "ä"]),
            }
            put("psa.time_entry", f"{former}|{row['id']}", None)
            put("psa.time_entry", f"{project}|{row['id']}", row)
            card = {"id": f"rate-{number % 50}", "cost_rates": [
                {"starts_on": date(2026, 1, 1), "rate": Decimal(number).scaleb(-4)}]}  # fmt: skip
            put("psa.rate_card", f"rate-{number % 50}", card)
        assert producer.flush(30) == 0

    def command(self, *words: str) -> Result:
        """Run a command to its end."""
        return CliRunner().invoke(app, [NAME, *words], env=dict(self.environment))

    def start(self) -> None:
        if self.stack.is_running(NAME):
            return
        command = [sys.executable, "-m", "psastream", NAME, "run"]
        self.stack.start_process(NAME, command, env=self.environment)

    def live(self) -> Generation | None:
        with closing(Store(self.url)) as store:
            return None if store.lacks() else store.live()

    def count(self, query: str) -> int:
        with psycopg.connect(self.url) as connection:
            [found] = connection.execute(query).fetchone() or (0,)
        return int(found)

    def is_connected(self) -> bool:
        return self.count(f"SELECT count(*) FROM pg_stat_activity WHERE {CONNECTED}") > 0

    def require_equal(self) -> None:
        """Wait until nothing is missing, then compare every row of every table."""
        eventually(self.is_whole, deadline_s=DEADLINE_S)
        live = self.live()
        assert live is not None
        with psycopg.connect(self.url) as connection:
            found = differences(connection, live.schema, TABLES, self.kafka, self.registry)
        assert found == {}

    def is_whole(self) -> bool:
        return read_status(self.settings).exit is Exit.OK

    def rebuild(self) -> None:
        rebuild(self.settings, lambda rows: None)

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.environment)


@pytest.fixture(scope="module")
def running(stack: RunningStack) -> Iterator[Running]:
    addresses = stack.addresses
    kafka = KafkaSettings(bootstrap_servers=addresses.bootstrap_servers)
    topics = [topic for topic in CATALOGUE if record_of(topic) is not None]
    create_topics(kafka, topics, replication_factor=1)
    registry = Registry(addresses.registry_url)
    registry.register_catalogue(topics)
    with own_database(addresses.postgres_dsn) as url:
        environment = {
            "PSASTREAM_BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": addresses.registry_url,
            "PSASTREAM_READ_MODEL_URL": url,
        }
        yield Running(stack, environment, url, Serde(registry), kafka, registry)
        if stack.is_running(NAME):
            stack.kill(NAME)


def test_killed_at_any_place_it_holds_every_row_once(running: Running) -> None:
    random = Random(3)
    running.write(range(2_000), random)
    running.start()
    for number in (2, 3):
        eventually(running.is_connected, deadline_s=DEADLINE_S)
        running.write(range(number * 1_000, (number + 1) * 1_000), random)
        running.stack.kill(NAME)
        if number == 2:
            running.stack.restart(NAME)
    running.stack.restart(NAME)
    running.require_equal()
    assert running.count("SELECT count(*) FROM psa.fact_time_entry") > 400


def test_a_place_that_its_topic_does_not_have_makes_it_be_filled_anew(running: Running) -> None:
    running.start()
    before = running.live()
    running.stack.kill(NAME)
    with psycopg.connect(running.url) as connection:
        connection.execute(
            "UPDATE read_model.place SET next_offset = 1000000"
            " WHERE topic = 'psa.role' AND partition = 0"
        )
    running.stack.restart(NAME)
    assert before is not None
    eventually(
        lambda: (live := running.live()) and live.number > before.number, deadline_s=DEADLINE_S
    )
    running.require_equal()


def test_a_rebuild_goes_on_beside_it_and_it_follows_the_new_one(running: Running) -> None:
    running.start()
    before = running.live()
    running.rebuild()
    after = running.live()
    assert before is not None
    assert after is not None
    assert after.number > before.number
    running.write(range(9_000, 9_100), Random(4))
    running.require_equal()
    query = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'psa_landing_%'"
    assert running.count(query) == 1


def test_a_table_that_was_dropped_is_told_and_a_rebuild_cures_it(running: Running) -> None:
    running.start()
    live = running.live()
    assert live is not None
    with psycopg.connect(running.url) as connection:
        connection.execute(f"DROP TABLE {live.schema}.rate_card CASCADE")
    running.write(range(10_000, 10_010), Random(5))
    told = 'rate_card" does not exist'
    eventually(lambda: told in running.stack.log(NAME), deadline_s=DEADLINE_S)
    assert "psastream readmodel rebuild" in running.stack.log(NAME)
    assert running.stack.is_running(NAME)
    told = running.command("rebuild")
    assert told.exit_code == 0, told.stderr
    assert told.stdout.startswith("generation ")
    running.require_equal()
    assert running.count("SELECT count(*) FROM psa.pay_rate") == 50


def test_status_says_what_there_is_and_what_is_missing(running: Running) -> None:
    running.start()
    running.require_equal()
    found = json.loads(running.command("status", "--json").stdout)
    assert found["topics"]["psa.rate_card"] == {"rows": 50, "behind": 0}
    assert found["unreadable"] == []
    running.stack.kill(NAME)
    running.write(range(11_000, 11_001), Random(6))
    told = running.command("status")
    assert told.exit_code == 1
    assert "messages are not in yet" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 80
    assert migrate(running.settings) == []


def test_without_a_database_a_command_says_in_a_line_what_to_set(running: Running) -> None:
    environment = {**running.environment, "PSASTREAM_READ_MODEL_URL": "postgresql://127.0.0.1:9/x"}
    away = Running(**{**vars(running), "environment": environment}).command("status")
    assert away.exit_code == 1
    assert away.stderr.startswith("psastream: the read model does not answer: ")
    assert "try: check that its PostgreSQL runs" in away.stderr
