"""Rows of topics as SQL sees them, on a real broker: deletes, compaction, what comes later."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from psastream.query.reading import LiveTopics
from psastream.topic_rows import Unreadable
from runtime.kafka import KafkaSettings, create_topics, make_producer
from schemas.codec.framing import frame
from schemas.codec.record import AvroSchema, RecordCodec
from schemas.contracts import value_schema
from schemas.errors import ConfigError, RegistryUnavailableError
from schemas.topics import BY_NAME, Criticality, Topic
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

CONTRACT = value_schema(BY_NAME["psa.role"])
CODEC = RecordCodec(CONTRACT)
SCHEMA_ID = 7


class Roles:
    """A topic of roles of its own, and what reads it."""

    def __init__(self, kafka: KafkaSettings) -> None:
        name = f"roles-{uuid.uuid4().hex[:8]}"
        self.topic = Topic(name, "canonical/role", "id", "test", Criticality.MEDIUM, partitions=2)
        self.told: list[Unreadable] = []
        self.kafka = kafka
        self.live = LiveTopics(
            kafka, {SCHEMA_ID: CONTRACT}.__getitem__, {name: self.topic}, self.told.append
        )

    def create(self) -> None:
        create_topics(self.kafka, [self.topic], replication_factor=1)

    def write(self, partition: int, *rows: tuple[bytes, str | bytes | None]) -> None:
        producer = make_producer(self.kafka)
        for key, said in rows:
            value: Any = said
            if isinstance(said, str):
                value = frame(SCHEMA_ID, CODEC.encode({"id": key.decode(), "name": said}))
            producer.produce(self.topic.name, value, key, partition)
        assert producer.flush(15) == 0

    def read(self) -> Sequence[tuple[str, str]] | None:
        """Id and name of the rows; None where nothing has changed."""
        found = dict(self.live([self.topic.name]))
        if not found:
            return None
        return sorted(found[self.topic.name].select("id", "name").rows())


@pytest.fixture
def roles(stack: RunningStack) -> Roles:
    return Roles(KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers))


def test_the_last_value_of_each_key_is_a_row_and_a_deleted_key_is_none(roles: Roles) -> None:
    roles.create()
    assert roles.read() == []
    roles.write(0, (b"a", "one"), (b"b", "one"), (b"a", "two"), (b"b", None))
    roles.write(1, (b"c", "one"))
    assert roles.read() == [("a", "two"), ("c", "one")]
    assert roles.read() is None
    [offsets] = roles.live.offsets()
    assert (offsets.topic, offsets.ends) == (roles.topic.name, {0: 4, 1: 1})


def test_what_comes_later_is_read_on_from_there(roles: Roles) -> None:
    roles.create()
    roles.write(0, (b"a", "one"), (b"b", "one"))
    assert roles.read() == [("a", "one"), ("b", "one")]
    roles.write(0, (b"a", None), (b"b", "two"))
    roles.write(1, (b"c", "one"))
    assert roles.read() == [("b", "two"), ("c", "one")]


def test_what_is_not_committed_is_no_row(roles: Roles) -> None:
    roles.create()
    producer = make_producer(roles.kafka, transactional_id=f"roles-{uuid.uuid4().hex}")
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(roles.topic.name, frame(SCHEMA_ID, CODEC.encode({"id": "a"})), b"a", 0)
    producer.flush(15)
    producer.abort_transaction()
    roles.write(0, (b"b", "one"))
    assert roles.read() == [("b", "one")]


def test_what_cannot_be_decoded_is_told_once_and_the_rest_are_rows(roles: Roles) -> None:
    roles.create()
    roles.write(0, (b"a", "one"), (b"b", b"no avro"), (b"c", frame(SCHEMA_ID, b"\xff")))
    assert roles.read() == [("a", "one")]
    assert [(each.key, each.topic) for each in roles.told] == [
        (b"b", roles.topic.name),
        (b"c", roles.topic.name),
    ]
    roles.write(0, (b"b", "two"))
    assert roles.read() == [("a", "one"), ("b", "two")]
    assert len(roles.told) == 2


def test_where_the_registry_is_away_rows_are_given_once_it_is_back(roles: Roles) -> None:
    answers: list[Exception | None] = [RegistryUnavailableError("away"), None]

    def schema(_: int) -> AvroSchema:
        if (error := answers.pop(0)) is not None:
            raise error
        return CONTRACT

    roles.create()
    roles.write(0, (b"a", "one"))
    roles.live = LiveTopics(roles.kafka, schema, {roles.topic.name: roles.topic}, roles.told.append)
    with pytest.raises(RegistryUnavailableError):
        roles.read()
    assert roles.read() == [("a", "one")]
    assert roles.told == []


def test_a_topic_that_is_not_there_says_what_makes_it(roles: Roles) -> None:
    with pytest.raises(ConfigError, match=roles.topic.name) as raised:
        roles.read()
    assert "psastream topics apply" in raised.value.hint
