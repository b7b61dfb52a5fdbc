"""The embedded registry over real HTTP and a real Kafka, through Confluent's own client."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext
from typer.testing import CliRunner

from psastream.cli import app
from runtime.kafka import KafkaSettings, create_topics, make_producer
from runtime.registry import Registry
from runtime.serde import Serde
from sandbox.registry.log_records import ConfigRecord
from sandbox.registry.schema_log import KafkaSchemaLog
from schemas.errors import ConfigError, FatalError
from tests.support.catalogue import BY_NAME
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

TOPIC = "src.in-house.time_entry"
SUBJECT = f"{TOPIC}-value"


def record(*fields: dict[str, Any]) -> str:
    return json.dumps(
        {"type": "record", "name": "TimeEntry", "namespace": "psa.src", "fields": list(fields)}
    )


HOURS = {"name": "hours", "type": ["null", "int"], "default": None}
NOTE = {"name": "note", "type": ["null", "string"], "default": None}
REQUIRED = {"name": "approver", "type": "string"}


class RegistryProcess:
    """The registry as the sandbox runs it: a process of its own, on a log of its own."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.log_topic = f"_schemas-{uuid4().hex}"
        self.bootstrap_servers = bootstrap_servers
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        where = f"--bootstrap-servers={self.bootstrap_servers}"
        options = [where, f"--port={self.port}", f"--topic={self.log_topic}"]
        command = [sys.executable, "-m", "sandbox.registry", *options]
        self._process = process = subprocess.Popen(command)

        def is_up() -> bool:
            assert process.poll() is None, "the registry ended while starting"
            try:
                return httpx2.get(f"{self.url}/subjects").status_code == 200
            except httpx2.TransportError:
                return False

        eventually(is_up, deadline_s=30)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def client(self) -> SchemaRegistryClient:
        """A client that has cached nothing yet."""
        return SchemaRegistryClient({"url": self.url})

    def count_log_records(self) -> int:
        keys: list[bytes] = []
        with KafkaSchemaLog(self.bootstrap_servers, topic=self.log_topic) as schema_log:
            schema_log.read_new(lambda key, value: keys.append(key))
        return len(keys)


@pytest.fixture
def registry(stack: RunningStack) -> Iterator[RegistryProcess]:
    process = RegistryProcess(stack.addresses.bootstrap_servers)
    try:
        process.start()
        yield process
    finally:
        process.kill()


@pytest.fixture
def log_topic() -> str:
    return f"_schemas-{uuid4().hex}"


def http_status(action: Callable[[], object]) -> tuple[int, int]:
    with pytest.raises(SchemaRegistryError) as refusal:
        action()
    return refusal.value.http_status_code, refusal.value.error_code


def test_records_travel_through_the_clients_serializers(registry: RegistryProcess) -> None:
    context = SerializationContext(TOPIC, MessageField.VALUE)
    write = AvroSerializer(registry.client(), record(HOURS))
    framed = write({"hours": 7}, context)
    read_with_next_version = AvroDeserializer(registry.client(), record(HOURS, NOTE))
    assert read_with_next_version(framed, context) == {"hours": 7, "note": None}
    assert registry.client().get_subjects() == [SUBJECT]


def test_the_client_registers_looks_up_and_lists(registry: RegistryProcess) -> None:
    client = registry.client()
    first = client.register_schema(SUBJECT, Schema(record(HOURS), "AVRO"))
    second = client.register_schema(SUBJECT, Schema(record(HOURS, NOTE), "AVRO"))
    assert client.get_versions(SUBJECT) == [1, 2]
    latest = registry.client().get_latest_version(SUBJECT)
    assert (latest.schema_id, latest.version, latest.subject) == (second, 2, SUBJECT)
    found = registry.client().lookup_schema(SUBJECT, Schema(record(HOURS), "AVRO"))
    assert (found.schema_id, found.version) == (first, 1)
    assert json.loads(registry.client().get_schema(first).schema_str) == json.loads(record(HOURS))
    assert registry.client().get_subjects_by_schema_id(first) == [SUBJECT]
    assert client.get_schema_types() == ["AVRO"]
    assert client.get_global_mode() == "READWRITE"


def test_i9_an_incompatible_schema_is_refused_by_check_and_registration(
    registry: RegistryProcess,
) -> None:
    client = registry.client()
    client.register_schema(SUBJECT, Schema(record(HOURS), "AVRO"))
    breaking = Schema(record(HOURS, REQUIRED), "AVRO")
    assert client.test_compatibility(SUBJECT, Schema(record(HOURS, NOTE), "AVRO"))
    assert not client.test_compatibility(SUBJECT, breaking)
    assert not client.test_compatibility_all_versions(SUBJECT, breaking)
    assert http_status(lambda: client.register_schema(SUBJECT, breaking)) == (409, 409)
    assert client.get_versions(SUBJECT) == [1]


def test_compatibility_levels_are_set_by_the_client(registry: RegistryProcess) -> None:
    client = registry.client()
    assert client.get_compatibility() == "BACKWARD_TRANSITIVE"
    assert http_status(lambda: client.get_compatibility(SUBJECT)) == (404, 40408)
    client.set_compatibility(SUBJECT, "NONE")
    assert client.get_compatibility(SUBJECT) == "NONE"
    client.register_schema(SUBJECT, Schema(record(HOURS), "AVRO"))
    client.register_schema(SUBJECT, Schema('"string"', "AVRO"))
    assert client.get_versions(SUBJECT) == [1, 2]


def test_the_client_deletes_softly(registry: RegistryProcess) -> None:
    client = registry.client()
    schema_id = client.register_schema(SUBJECT, Schema(record(HOURS), "AVRO"))
    assert client.delete_version(SUBJECT, 1) == 1
    assert http_status(lambda: registry.client().get_versions(SUBJECT)) == (404, 40401)
    assert registry.client().get_schema(schema_id).schema_str is not None
    client.register_schema(SUBJECT, Schema(record(NOTE), "AVRO"))
    assert client.delete_subject(SUBJECT) == [2]
    assert client.get_subjects() == []


REFUSALS: list[tuple[Callable[[SchemaRegistryClient], object], tuple[int, int]]] = [
    (lambda client: client.get_versions("none"), (404, 40401)),
    (lambda client: client.get_version("none", 1), (404, 40401)),
    (lambda client: client.get_schema(99), (404, 40403)),
    (lambda client: client.register_schema(SUBJECT, Schema("{", "AVRO")), (422, 42201)),
    (lambda client: client.register_schema(SUBJECT, Schema("x", "PROTOBUF")), (422, 42201)),
    (lambda client: client.set_compatibility(None, "MOST"), (422, 42203)),
    (lambda client: client.delete_subject("none"), (404, 40401)),
]


def test_the_client_sees_confluents_codes(registry: RegistryProcess) -> None:
    client = registry.client()
    answers = [http_status(partial(action, client)) for action, _ in REFUSALS]
    assert answers == [expected for _, expected in REFUSALS]


def test_subjects_may_hold_any_character(registry: RegistryProcess) -> None:
    client = registry.client()
    subject = "a/b c%2F.ü-value"
    client.register_schema(subject, Schema(record(HOURS), "AVRO"))
    assert client.get_subjects() == [subject]
    assert registry.client().get_latest_version(subject).subject == subject


def test_requests_of_the_java_converter_are_answered(registry: RegistryProcess) -> None:
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    registered = httpx2.post(
        f"{registry.url}/subjects/{SUBJECT}/versions?normalize=false",
        content=json.dumps({"schema": record(HOURS)}),
        headers=headers,
    )
    assert registered.json() == {"id": 1}
    assert registered.headers["content-type"] == "application/vnd.schemaregistry.v1+json"
    fetched = httpx2.get(f"{registry.url}/schemas/ids/1?fetchMaxId=false&subject={SUBJECT}")
    assert json.loads(fetched.json()["schema"]) == json.loads(record(HOURS))
    assert set(fetched.json()) == {"schema"}


def test_a_killed_registry_comes_back_with_everything(registry: RegistryProcess) -> None:
    client = registry.client()
    client.register_schema(SUBJECT, Schema(record(HOURS), "AVRO"))
    client.register_schema(SUBJECT, Schema(record(HOURS, NOTE), "AVRO"))
    client.register_schema("other-value", Schema(record(NOTE), "AVRO"))
    client.delete_version(SUBJECT, 1)
    client.set_compatibility("other-value", "FULL")
    registry.kill()
    registry.start()
    client = registry.client()
    assert client.get_subjects() == ["other-value", SUBJECT]
    assert client.get_versions(SUBJECT) == [2]
    assert client.get_compatibility("other-value") == "FULL"
    assert json.loads(client.get_schema(1).schema_str) == json.loads(record(HOURS))
    assert client.register_schema("third-value", Schema(record(HOURS), "AVRO")) == 1
    assert client.register_schema("third-value", Schema(record(HOURS, REQUIRED | {"default": ""})))


def test_concurrent_registrations_of_one_schema_give_one_id(registry: RegistryProcess) -> None:
    def register(_: int) -> int:
        return int(registry.client().register_schema(SUBJECT, Schema(record(HOURS), "AVRO")))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(register, range(24))) == {1}
    assert registry.count_log_records() == 1


@pytest.mark.crash
def test_a_broker_restart_delays_writes_and_nothing_else(
    stack: RunningStack, registry: RegistryProcess
) -> None:
    if not stack.is_running("kafka"):
        pytest.skip("the broker of PSASTREAM_TEST_BOOTSTRAP is not ours to kill")
    registry.client().register_schema(SUBJECT, Schema(record(HOURS), "AVRO"))
    added = Schema(record(HOURS, NOTE), "AVRO")
    stack.kill("kafka")
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(registry.client().register_schema, SUBJECT, added)
        try:
            assert registry.client().get_versions(SUBJECT) == [1]
        finally:
            stack.restart("kafka")
        pending.exception()  # done or timed out: the repetition below must not tell the difference
    assert registry.client().register_schema(SUBJECT, added) == 2
    assert registry.count_log_records() == 2


def test_a_log_that_is_not_compacted_is_refused(stack: RunningStack, log_topic: str) -> None:
    servers = stack.addresses.bootstrap_servers
    topic = NewTopic(log_topic, 1, 1, config={"cleanup.policy": "delete"})
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([topic])[log_topic].result()
    with pytest.raises(ConfigError):
        KafkaSchemaLog(servers, topic=log_topic)


def test_a_second_writer_is_detected(stack: RunningStack, log_topic: str) -> None:
    servers = stack.addresses.bootstrap_servers
    record_bytes = ConfigRecord(None, "FULL").encode()
    with (
        KafkaSchemaLog(servers, topic=log_topic) as first,
        KafkaSchemaLog(servers, topic=log_topic) as second,
    ):
        first.append(*record_bytes)
        with pytest.raises(FatalError):
            second.append(*record_bytes)


def end_offset(servers: str, topic: str) -> int:
    admin = AdminClient({"bootstrap.servers": servers})
    partition = TopicPartition(topic, 0)
    return int(admin.list_offsets({partition: OffsetSpec.latest()})[partition].result().offset)


def test_gaps_at_the_end_of_the_log_are_no_stall(stack: RunningStack, log_topic: str) -> None:
    servers = stack.addresses.bootstrap_servers
    key, value = ConfigRecord(None, "FULL").encode()
    with KafkaSchemaLog(servers, topic=log_topic) as schema_log:
        producer = Producer({"bootstrap.servers": servers, "transactional.id": log_topic})
        producer.init_transactions()
        producer.begin_transaction()
        producer.produce(log_topic, key=key, value=value)
        producer.commit_transaction()  # its marker takes an offset that no record has
        eventually(lambda: end_offset(servers, log_topic) == 2, deadline_s=10)
        read: list[bytes] = []
        schema_log.read_new(lambda found, _: read.append(found))
        schema_log.append(key, value)
        schema_log.read_new(lambda found, _: read.append(found))
    assert read == [key, key]


def test_the_rows_of_a_topic_are_printed_as_json(stack: RunningStack) -> None:
    servers, url = stack.addresses.bootstrap_servers, stack.addresses.registry_url
    kafka, name = KafkaSettings(bootstrap_servers=servers), "psa.metric.project_margin"
    create_topics(kafka, [BY_NAME[name]], replication_factor=1)
    registry = Registry(url)
    registry.register_catalogue([BY_NAME[name]])
    serde, producer = Serde(registry), make_producer(kafka)
    row = {
        "project_ref": "worklog:project:1",
        "period": "2026-11",
        "variant": "actual_approved",
        "currency": "EUR",
        "hours": Decimal("1.50"),
        "margin": Decimal("12.500000"),
        "version": 3,
        "as_of": datetime(2026, 11, 28, 5, tzinfo=UTC),
    }
    for key, value in (("a", {**row, "version": 2}), ("a", row), ("gone", row)):
        producer.produce(name, serde.value(name, value), serde.key(name, key))
    producer.produce(name, None, serde.key(name, "gone"))
    producer.flush()
    environment = {"PSASTREAM_BOOTSTRAP_SERVERS": servers, "PSASTREAM_REGISTRY_URL": url}
    result = CliRunner().invoke(app, ["topics", "read", name], env=environment)
    assert result.exit_code == 0, result.output
    (line,) = result.output.splitlines()
    printed = json.loads(line)
    assert (printed["project_ref"], printed["margin"]) == ("worklog:project:1", "12.500000")
    assert printed["version"] == 3
    wrong = CliRunner().invoke(app, ["topics", "read", name[:-1]], env=environment)
    assert wrong.exit_code == 2
    assert f"did you mean {name}?" in wrong.output
