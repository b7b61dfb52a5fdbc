"""Whole-topic reads on a real broker: ends of topics, transactions, compaction."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer

from runtime.kafka import (
    KafkaSettings,
    create_topics,
    make_producer,
    read_compacted,
    read_topic,
    starts_at,
)
from schemas.errors import BrokerUnavailableError, ConfigError
from schemas.topics import Criticality, Topic
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack


@pytest.fixture
def kafka(stack: RunningStack) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)


@pytest.fixture
def topic(kafka: KafkaSettings) -> str:
    name = f"read-{uuid.uuid4().hex[:8]}"
    create_topics(kafka, [make_topic(name, partitions=2)], replication_factor=1)
    return name


def make_topic(name: str, *, partitions: int) -> Topic:
    return Topic(name, None, "text", "test", Criticality.MEDIUM, partitions=partitions)


def transaction(kafka: KafkaSettings) -> Producer:
    producer = make_producer(kafka, transactional_id=f"read-{uuid.uuid4().hex}")
    producer.init_transactions()
    producer.begin_transaction()
    return producer


def send(producer: Producer, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
    producer.produce(topic, value, key, partition)
    assert producer.flush(15) == 0


def test_an_empty_topic_has_no_messages(kafka: KafkaSettings, topic: str) -> None:
    assert list(read_topic(kafka, topic)) == []


def test_a_topic_is_read_while_its_partitions_still_elect_their_leaders(
    kafka: KafkaSettings,
) -> None:
    for _ in range(5):
        name = f"read-{uuid.uuid4().hex[:8]}"
        create_topics(kafka, [make_topic(name, partitions=100)], replication_factor=1)
        assert list(read_topic(kafka, name)) == []


def test_a_time_is_found_while_partitions_still_elect_their_leaders(kafka: KafkaSettings) -> None:
    for _ in range(5):
        name = f"read-{uuid.uuid4().hex[:8]}"
        create_topics(kafka, [make_topic(name, partitions=100)], replication_factor=1)
        spans = {(name, number): (0, 0) for number in range(100)}
        assert starts_at(kafka, spans, 1) == dict.fromkeys(spans, 0)


def test_a_time_in_a_topic_that_does_not_exist_is_an_error(kafka: KafkaSettings) -> None:
    with pytest.raises(BrokerUnavailableError, match="read-nowhere"):
        starts_at(kafka, {("read-nowhere", 0): (0, 0)}, 1, timeout_s=1)


def test_a_topic_that_does_not_exist_is_an_error(kafka: KafkaSettings) -> None:
    with pytest.raises(BrokerUnavailableError, match="read-nowhere"):
        list(read_topic(kafka, "read-nowhere", timeout_s=1))


def test_all_partitions_are_read_to_their_end(kafka: KafkaSettings, topic: str) -> None:
    producer = make_producer(kafka)
    for number in range(500):
        producer.produce(topic, b"%d" % number, b"k", number % 2)
    producer.flush()
    values = [message.value() for message in read_topic(kafka, topic)]
    assert sorted(values, key=int) == [b"%d" % number for number in range(500)]


def test_the_end_is_found_behind_transaction_markers(kafka: KafkaSettings, topic: str) -> None:
    committed, aborted = transaction(kafka), transaction(kafka)
    send(committed, topic, 0, b"a", b"1")
    send(aborted, topic, 0, b"b", b"2")
    committed.commit_transaction()
    aborted.abort_transaction()
    assert [message.key() for message in read_topic(kafka, topic)] == [b"a"]


def test_a_record_behind_an_open_transaction_is_waited_for(
    kafka: KafkaSettings, topic: str
) -> None:
    open_transaction = transaction(kafka)
    send(open_transaction, topic, 0, b"open", b"1")
    send(make_producer(kafka), topic, 0, b"hidden", b"2")
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(lambda: [m.key() for m in read_topic(kafka, topic)])
        open_transaction.commit_transaction()
        assert reading.result(timeout=60) == [b"open", b"hidden"]


def test_a_transaction_that_stays_open_is_an_error(kafka: KafkaSettings, topic: str) -> None:
    open_transaction = transaction(kafka)
    send(open_transaction, topic, 0, b"open", b"1")
    with pytest.raises(BrokerUnavailableError, match="end of"):
        list(read_topic(kafka, topic, timeout_s=1))
    open_transaction.abort_transaction()


def test_a_compacted_read_keeps_last_values_and_drops_tombstones(
    kafka: KafkaSettings, topic: str
) -> None:
    producer = make_producer(kafka)
    for key, value in ((b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None)):
        send(producer, topic, 0, key, value)
    assert read_compacted(kafka, topic) == {b"a": b"2"}


def test_a_topic_of_another_size_is_refused(kafka: KafkaSettings, topic: str) -> None:
    assert create_topics(kafka, [make_topic(topic, partitions=2)], replication_factor=1) == []
    with pytest.raises(ConfigError, match="2 partitions, not 4"):
        create_topics(kafka, [make_topic(topic, partitions=4)], replication_factor=1)
