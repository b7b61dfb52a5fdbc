"""What `status` and `check` ask of real parts: offsets, brokers, contracts, databases."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from confluent_kafka import Producer, TopicPartition
from psycopg.conninfo import conninfo_to_dict

from connectors.debezium.client import ConnectorFile
from psastream.check.databases import POSTGRES, Address, ask_database
from psastream.slots import ask_slot
from runtime.brokers import broker_traits, present_topics
from runtime.kafka import (
    KafkaSettings,
    create_topics,
    make_consumer,
    make_producer,
    topic_settings,
)
from runtime.offsets import (
    committed_offsets,
    group_members,
    newest_at,
    present_places,
    spans,
    unread_since,
)
from runtime.registry import Registration, Registry
from schemas.errors import BrokerUnavailableError
from schemas.topics import Criticality, Topic
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)  # long past: a broker takes no stamp of the future


@pytest.fixture
def kafka(stack: RunningStack) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)


@pytest.fixture
def topic(kafka: KafkaSettings) -> Topic:
    name = f"asked-{uuid.uuid4().hex[:8]}"
    made = Topic(name, None, "text", "test", Criticality.MEDIUM, partitions=2)
    create_topics(kafka, [made], replication_factor=1)

    def has_leaders() -> bool:
        try:
            newest_at(kafka, [(name, 0), (name, 1)])
        except BrokerUnavailableError:
            return False
        return True

    eventually(has_leaders, deadline_s=60)
    return made


def sent(kafka: KafkaSettings, topic: Topic, count: int) -> None:
    """Send records of one transaction to partition 0, an hour apart, the first one at `AT`."""
    producer: Producer = make_producer(kafka, transactional_id=f"asked-{uuid.uuid4().hex}")
    producer.init_transactions()
    producer.begin_transaction()
    for number in range(count):
        at_ms = int((AT + timedelta(hours=number)).timestamp() * 1000)
        producer.produce(topic.name, b"v", b"%d" % number, 0, timestamp=at_ms)
    producer.commit_transaction()


def test_a_group_is_as_late_as_its_first_unread_record(kafka: KafkaSettings, topic: Topic) -> None:
    sent(kafka, topic, 3)
    places = present_places(kafka, [topic.name, "asked-nowhere"])
    assert places == {topic.name: [(topic.name, 0), (topic.name, 1)]}
    reader = make_consumer(kafka, topic.name)
    reader.commit(offsets=[TopicPartition(topic.name, 0, 1)], asynchronous=False)
    reader.close()
    assert committed_offsets(kafka, topic.name, places[topic.name]) == {(topic.name, 0): 1}
    # Three records and the mark of their transaction.
    assert spans(kafka, places[topic.name]) == {(topic.name, 0): (0, 4), (topic.name, 1): (0, 0)}
    assert unread_since(kafka, {(topic.name, 0): 1}) == {(topic.name, 0): AT + timedelta(hours=1)}
    assert group_members(kafka, topic.name) == 0


def test_a_topic_was_written_when_its_last_record_was_or_its_last_transaction_ended(
    kafka: KafkaSettings, topic: Topic
) -> None:
    assert newest_at(kafka, [(topic.name, 0)]) == {}
    producer = make_producer(kafka)
    producer.produce(topic.name, b"v", b"k", 1, timestamp=int(AT.timestamp() * 1000))
    assert producer.flush(15) == 0
    assert newest_at(kafka, [(topic.name, 0), (topic.name, 1)]) == {topic.name: AT}
    sent(kafka, topic, 1)
    (written_at,) = newest_at(kafka, [(topic.name, 0), (topic.name, 1)]).values()
    assert abs(datetime.now(UTC) - written_at) < timedelta(minutes=10)


def test_the_mark_of_a_transaction_is_nothing_unread(kafka: KafkaSettings, topic: Topic) -> None:
    """Of a broker that does not say in time what is there, it is not known."""
    sent(kafka, topic, 1)
    eventually(lambda: unread_since(kafka, {(topic.name, 0): 1}) == {}, deadline_s=60)


def test_brokers_and_topics_tell_what_they_are_like(kafka: KafkaSettings, topic: Topic) -> None:
    traits = broker_traits(kafka)
    assert (traits.nodes, traits.transaction_problem) == (1, "")
    assert int(traits.settings["transaction.max.timeout.ms"]) > 0
    (found,) = present_topics(kafka, [topic.name, "asked-nowhere"]).values()
    assert (found.partitions, found.copies) == (2, 1)
    wanted = topic_settings(topic)
    assert {key: found.settings[key] for key in wanted} == wanted


def test_a_contract_is_registered_would_be_taken_or_would_not(stack: RunningStack) -> None:
    registry, subject = Registry(stack.addresses.registry_url), f"asked-{uuid.uuid4().hex}"
    text = '{"type": "record", "name": "A", "fields": [%s]}'
    field = '{"name": "a", "type": ["null", "string"], "default": null}'
    assert registry.registration(subject, text % field) is Registration.ABSENT
    registry.register(subject, text % field)
    assert registry.registration(subject, text % field) is Registration.REGISTERED
    more = field + "," + field.replace('"a"', '"b"')
    assert registry.registration(subject, text % more) is Registration.ABSENT
    other = '{"name": "a", "type": "long"}'
    assert registry.registration(subject, text % other) is Registration.INCOMPATIBLE


def test_a_database_tells_rights_slot_and_publication(stack: RunningStack) -> None:
    dsn = stack.addresses.postgres_dsn
    given = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    address = Address(given["host"], given["port"], given["dbname"], given["user"], "")
    config = {
        "connector.class": POSTGRES,
        "table.include.list": "asked.seen,asked.hidden,asked.nowhere",
        "slot.name": "asked_slot",
        "publication.name": "asked_tables",
    }
    connector = ConnectorFile("asked", config)
    with psycopg.connect(dsn, autocommit=True) as database:
        database.execute("CREATE SCHEMA asked")
        database.execute("CREATE TABLE asked.seen (id int PRIMARY KEY)")
        database.execute("CREATE TABLE asked.hidden (id int PRIMARY KEY)")
        database.execute("REVOKE ALL ON asked.hidden FROM CURRENT_USER")
        try:
            told = ask_database(address, connector)
            assert (told.wal_level, told.may_replicate) == ("logical", True)
            assert told.tables == {"asked.seen": True, "asked.hidden": False}
            assert (told.slot, told.publication) == (None, None)
            assert told.slots_left > 0
            assert abs(told.at - datetime.now(UTC)) < timedelta(minutes=1)
            database.execute("CREATE PUBLICATION asked_tables FOR TABLE asked.seen")
            database.execute("SELECT pg_create_logical_replication_slot('asked_slot', 'pgoutput')")
            after = ask_database(address, connector)
            held, none = ask_slot(address, "asked_slot"), ask_slot(address, "no_slot")
        finally:
            database.execute("DROP PUBLICATION IF EXISTS asked_tables")
            database.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE slot_name = 'asked_slot'"
            )
            database.execute("DROP SCHEMA asked CASCADE")
    assert none is None
    assert held is not None and 0 <= held.retained < 2**30
    assert after.publication == {"asked.seen"}
    assert after.slots_left == told.slots_left - 1
    assert after.slot is not None
    assert (after.slot.plugin, after.slot.wal_status) == ("pgoutput", "reserved")
