"""The embedded stack with real parts: killed, restarted, refused, replaced, and captured from."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from psycopg.conninfo import conninfo_to_dict

from sandbox.stack.data_directory import MARKER
from sandbox.stack.errors import DataDirectoryInUseError, StackError
from sandbox.stack.process import is_alive
from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from tests.support.eventually import eventually
from tests.support.stack import RunningStack, running_stack, stack_directory

pytestmark = pytest.mark.stack


def settings_of(
    data_dir: Path, *parts: Part, bootstrap_servers: str | None = None
) -> StackSettings:
    return StackSettings(
        data_dir=data_dir,
        cache_dir=cache_dir_from(os.environ),
        parts=frozenset(parts),
        bootstrap_servers=bootstrap_servers,
    )


def publish(bootstrap_servers: str, topic: str, value: bytes) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    if topic not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(20) == 0


def read(bootstrap_servers: str, topic: str, count: int) -> list[tuple[bytes, bytes]]:
    """The first `count` (key, value) pairs of the topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "topic.metadata.refresh.interval.ms": 500,
        }
    )
    consumer.subscribe([topic])
    records: list[tuple[bytes, bytes]] = []

    def enough() -> bool:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            records.append((message.key(), message.value()))
        return len(records) >= count

    try:
        eventually(enough, deadline_s=60)
    finally:
        consumer.close()
    return records


def test_a_killed_kafka_comes_back_on_its_address_with_its_data(own_stack: RunningStack) -> None:
    servers, topic = own_stack.addresses.bootstrap_servers, uuid.uuid4().hex
    publish(servers, topic, b"before")

    own_stack.kill("kafka")
    assert not own_stack.is_running("kafka")
    own_stack.restart("kafka")
    publish(servers, topic, b"after")

    assert [value for _, value in read(servers, topic, 2)] == [b"before", b"after"]


def test_a_killed_postgres_comes_back_with_committed_rows(own_stack: RunningStack) -> None:
    dsn = own_stack.addresses.postgres_dsn
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

    own_stack.kill("postgres")
    own_stack.restart("postgres")

    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]
        assert connection.execute("SHOW wal_level").fetchone() == ("logical",)


def test_a_part_that_dies_is_noticed_with_the_end_of_its_log(own_stack: RunningStack) -> None:
    command = [sys.executable, "-c", "import sys; print('no fuel left'); sys.exit(3)"]
    own_stack.start_process("short-lived", command)

    process_exit = own_stack.next_exit()

    assert (process_exit.name, process_exit.exit_code) == ("short-lived", 3)
    assert "no fuel left" in process_exit.log_tail
    assert not own_stack.is_running("short-lived")


def test_a_second_supervisor_on_the_same_directory_is_refused(
    own_stack: RunningStack, own_directory: Path
) -> None:
    second = running_stack(settings_of(own_directory, Part.POSTGRES))

    with pytest.raises(DataDirectoryInUseError, match=str(os.getpid())), second:
        pass

    assert own_stack.is_running("postgres")


def test_a_given_kafka_is_used_and_none_started(own_stack: RunningStack, tmp_path: Path) -> None:
    servers = own_stack.addresses.bootstrap_servers

    with running_stack(settings_of(tmp_path, Part.KAFKA, bootstrap_servers=servers)) as stack:
        assert stack.addresses.bootstrap_servers == servers
        assert not stack.is_running("kafka")


def test_a_given_kafka_that_does_not_answer_is_named(tmp_path: Path) -> None:
    nobody_listens = "127.0.0.1:1"
    stack = running_stack(settings_of(tmp_path, Part.KAFKA, bootstrap_servers=nobody_listens))

    with pytest.raises(StackError, match=nobody_listens), stack:
        pass


def test_a_dispensable_part_that_cannot_be_started_is_left_out_with_its_reason(
    tmp_path: Path,
) -> None:
    (tmp_path / "postgres" / "data").mkdir(parents=True)  # no cluster
    (tmp_path / MARKER).touch()
    wanted = settings_of(tmp_path, Part.POSTGRES)
    with pytest.raises(StackError), running_stack(wanted):
        pass

    dispensable = wanted.model_copy(update={"dispensable_parts": frozenset({Part.POSTGRES})})
    with running_stack(dispensable) as stack:
        assert not stack.is_running("postgres")
        assert stack.addresses.postgres_dsn == ""
        assert "postgres" in stack.left_out[Part.POSTGRES]


SUPERVISOR = """
import asyncio, signal, sys
from pathlib import Path
from typing import Any
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.process import is_alive
from sandbox.stack.settings import Part, StackSettings
from sandbox.stack.supervisor import Stack

async def main() -> None:
    directory = Path(sys.argv[1])
    settings = StackSettings(data_dir=directory, cache_dir=directory, parts={Part.POSTGRES})
    async with Stack(settings, PlainReporter(sys.stderr)) as stack:
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
        await stack.start_process("sleeper", sleeper, env={}, health=None)
        print("started", flush=True)
        await asyncio.Event().wait()

# Background jobs of a shell, which tests may run in, are started deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main())
"""


@contextmanager
def supervisor_of(
    directory: Path,
) -> Iterator[tuple["subprocess.Popen[str]", list[psutil.Process]]]:
    """A supervisor in a process of its own, and the processes below it."""
    command = [sys.executable, "-c", SUPERVISOR, str(directory)]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert supervisor.stdout is not None
        assert "started\n" in iter(supervisor.stdout.readline, "")  # reads no further than that
        children = psutil.Process(supervisor.pid).children(recursive=True)
        assert {"postgres"} < {child.name() for child in children}  # and the sleeper
        yield supervisor, children
    finally:
        supervisor.kill()
        supervisor.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next supervisor cleans up")
@pytest.mark.crash
def test_nothing_outlives_a_killed_supervisor() -> None:
    with stack_directory() as directory:
        with supervisor_of(directory) as (supervisor, children):
            supervisor.kill()
            supervisor.wait()

            eventually(lambda: not any(map(is_alive, children)), deadline_s=10)
        # What it left on disk does not hinder the next one.
        with running_stack(settings_of(directory, Part.POSTGRES)) as stack:
            assert stack.is_running("postgres")


def test_ctrl_c_stops_the_parts_in_order() -> None:
    with stack_directory() as directory, supervisor_of(directory) as (supervisor, children):
        supervisor.send_signal(signal.SIGINT)
        supervisor.wait(60)

        assert not any(map(is_alive, children))
        log = (directory / "logs" / "postgres.log").read_text()
        assert log.rstrip().endswith("database system is shut down")


def test_debezium_publishes_the_changes_of_a_table_as_avro(stack: RunningStack) -> None:
    addresses, name = stack.addresses, f"t{uuid.uuid4().hex}"
    with psycopg.connect(addresses.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, fee numeric(12, 2))")
        connection.execute(f"INSERT INTO {name} VALUES (1, 10.50)")
        register_connector(addresses.connect_url, name, connector_config(stack, name))
        connection.execute(f"INSERT INTO {name} VALUES (2, 99.99)")
        connection.execute(f"UPDATE {name} SET fee = 11.00 WHERE id = 1")

    records = read(addresses.bootstrap_servers, f"{name}.public.{name}", 3)

    decode = AvroDeserializer(SchemaRegistryClient({"url": addresses.registry_url}))
    changes = [decode(value, None) for _, value in records]
    after = {(change["after"]["id"], str(change["after"]["fee"])) for change in changes}
    assert after == {(1, "10.50"), (2, "99.99"), (1, "11.00")}
    assert changes[0]["op"] == "r"
    assert changes[2]["op"] == "u"
    call(f"{addresses.connect_url}/connectors/{name}", "DELETE")


def connector_config(stack: RunningStack, name: str) -> dict[str, str]:
    database = conninfo_to_dict(stack.addresses.postgres_dsn)
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": str(database["host"]),
        "database.port": str(database["port"]),
        "database.user": str(database["user"]),
        "database.password": str(database.get("password", "")),
        "database.dbname": str(database["dbname"]),
        "plugin.name": "pgoutput",
        "slot.name": name,
        "slot.drop.on.stop": "true",
        "publication.name": name,
        "publication.autocreate.mode": "filtered",
        "table.include.list": f"public.{name}",
        "topic.prefix": name,
        "topic.creation.default.replication.factor": "1",
        "topic.creation.default.partitions": "1",
    }


def register_connector(connect_url: str, name: str, config: dict[str, str]) -> None:
    call(f"{connect_url}/connectors", "POST", {"name": name, "config": config})

    def is_streaming() -> bool:
        statuses = call(f"{connect_url}/connectors?expand=status", "GET")
        tasks = statuses[name]["status"]["tasks"] if name in statuses else []
        assert all(task["state"] != "FAILED" for task in tasks), tasks
        return bool(tasks) and all(task["state"] == "RUNNING" for task in tasks)

    eventually(is_streaming, deadline_s=60)


def call(url: str, method: str, body: object = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.loads(response.read() or b"{}")
    return answer
