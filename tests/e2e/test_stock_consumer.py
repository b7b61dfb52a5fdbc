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

PRIVATE = {BOOKMARKS.name, *(topic.name for topic in STATE_LOGS)}
TOPICS = [topic for topic in CATALOGUE if topic.name not in PRIVATE]


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system after the whole story, which leaves something in every topic."""
    with running_system(entries=20) as system:
        system.tell()
        yield system


def test_a_stock_avro_consumer_reads_every_topic(system: RunningSystem) -> None:
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": system.parts.registry_url}))
    servers = system.parts.kafka.bootstrap_servers
    for topic in TOPICS:
        records = 0
        for key, value in messages(servers, topic.name, topic.partitions):
            read_key = deserialize(key, SerializationContext(topic.name, MessageField.KEY))
            if topic.name.startswith("src.inhouse."):
                assert set(read_key) == {"id"}
            else:
                assert isinstance(read_key, str)
            if value is not None:
                context = SerializationContext(topic.name, MessageField.VALUE)
                assert deserialize(value, context) == system.serde.read(value)
                records += 1
        assert records, f"{topic.name} is empty"


def messages(servers: str, topic: str, partitions: int) -> Iterator[tuple[bytes, bytes | None]]:
    """Keys and values of a topic, up to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "stock-consumer",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    try:
        unread = set(range(partitions))
        while unread:
            message = consumer.poll(30)
            assert message is not None, f"{topic}: no end of partitions {unread}"
            if message.error() is None:
                yield message.key(), message.value()
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                unread.discard(message.partition())
    finally:
        consumer.close()
