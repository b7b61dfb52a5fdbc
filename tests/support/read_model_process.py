"""`psastream readmodel run` for tests, on parts that they may kill."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any, Final

import httpx2
import psycopg
from typer.testing import CliRunner, Result

from psastream.cli import app
from psastream.exits import Exit
from psastream.read_model.landing import landing_tables
from psastream.read_model.process import rebuild
from psastream.read_model.status import read_status
from psastream.read_model.store import Generation, Store
from runtime.kafka import KafkaSettings, create_topics, make_producer
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from sandbox.stack.ports import HIGHEST_PORT, HOST, LOWEST_PORT, is_free
from schemas.contracts import record_of
from schemas.routing import partition_of
from tests.support.catalogue import BY_NAME, CATALOGUE
from tests.support.eventually import eventually
from tests.support.read_model import differences, own_database
from tests.support.stack import RunningStack

NAME: Final = "readmodel"
TABLES: Final = landing_tables(CATALOGUE)
DEADLINE_S: Final = 60.0
CONNECTED: Final = "application_name = 'psastream' AND datname = current_database()"


@dataclass
class Running:
    """The process, its topics and its database."""

    stack: RunningStack
    environment: Mapping[str, str]
    url: str
    served: str
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
        assert producer.flush(60) == 0

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

    def probe(self, name: str) -> httpx2.Response:
        """What the process answers at its port."""
        return httpx2.get(f"{self.served}/{name}", timeout=10)

    def why_not_ready(self) -> str:
        """What `/readyz` says; nothing where it is ready."""
        answer = self.probe("readyz")
        return "" if answer.status_code == 200 else answer.text

    def has_compared(self) -> bool:
        """Whether its database has answered whether the numbers add up."""
        metric = "\npsastream_conservation_checked_timestamp_seconds 0.0\n"
        return metric not in self.probe("metrics").text

    def is_caught_up(self) -> bool:
        """What the metric of that name says."""
        return "\npsastream_read_model_caught_up 1.0\n" in self.probe("metrics").text


@contextmanager
def running_read_model(stack: RunningStack, registry_url: str) -> Iterator[Running]:
    """The topics of the catalogue and a database of its own, for a process that is not started."""
    addresses = stack.addresses
    kafka = KafkaSettings(bootstrap_servers=addresses.bootstrap_servers)
    topics = [topic for topic in CATALOGUE if record_of(topic) is not None]
    create_topics(kafka, topics, replication_factor=1)
    registry = Registry(registry_url)
    registry.register_catalogue(topics)
    port = next(port for port in range(LOWEST_PORT, HIGHEST_PORT) if is_free(port))
    with own_database(addresses.postgres_dsn) as url:
        environment = {
            "PSASTREAM_BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": registry_url,
            "PSASTREAM_READ_MODEL_URL": url,
            "PSASTREAM_METRICS_PORT": str(port),
        }
        served = f"http://{HOST}:{port}"
        try:
            yield Running(stack, environment, url, served, Serde(registry), kafka, registry)
        finally:
            if stack.is_running(NAME):
                stack.kill(NAME)
