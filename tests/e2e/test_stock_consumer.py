"""Every topic is read by a stock confluent-kafka consumer, with nothing of ours but the address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from schemas.topics import BOOKMARKS, CATALOGUE, STATE_LOGS
from tests.support.running_system import RunningSystem, running_system

pytestmark = pytest.mark.stack

ACTS = ("firm", "deal", "tax", "early", "projects", "staffing", "hours", "invoices")
PRIVATE = {BOOKMARKS.name, *(topic.name for topic in STATE_LOGS)}
TOPICS = [topic for topic in CATALOGUE if topic.name not in PRIVATE]


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system after acts of the story that leave something in every topic."""
    with running_system(entries=60) as system:
        system.tell(*ACTS)
        yield system


def test_a_stock_avro_consumer_reads_every_topic(system: RunningSystem) -> None:
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": system.parts.registry_url}))
    read: set[str] = set()
    for topic, key, value in messages(system.parts.kafka.bootstrap_servers):
        read_key = deserialize(key, SerializationContext(topic, MessageField.KEY))
        if topic.startswith("src.inhouse."):  # Debezium's own schemas
            assert set(read_key) == {"id"}
        else:
            assert isinstance(read_key, str)
        if value is not None:
            record = deserialize(value, SerializationContext(topic, MessageField.VALUE))
            assert record == system.serde.read(value)
            read.add(topic)
    assert read == {topic.name for topic in TOPICS}


def messages(servers: str) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Topic, key and value of every message, up to the end of each partition."""
    unread = {(topic.name, number) for topic in TOPICS for number in range(topic.partitions)}
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "stock-consumer",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in unread])
    try:
        while unread:
            message = consumer.poll(30)
            assert message is not None, f"no end of {unread}"
            if message.error() is None:
                yield message.topic(), message.key(), message.value()
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                unread.discard((message.topic(), message.partition()))
    finally:
        consumer.close()
