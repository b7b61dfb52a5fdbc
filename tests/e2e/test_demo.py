"""The whole product on real parts: one story, every table against the books, and what is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from runtime.registry import Registry
from runtime.serde import Serde
from schemas.topics import BOOKMARKS, CATALOGUE, STATE_LOGS
from tests.e2e.conftest import KeptDemo

pytestmark = pytest.mark.stack

PRIVATE = {BOOKMARKS.name, *(topic.name for topic in STATE_LOGS)}
TOPICS = [topic for topic in CATALOGUE if topic.name not in PRIVATE]


def test_all_books_agree_after_the_story(kept_demo: KeptDemo) -> None:
    assert "all books agree" in kept_demo.printed


def test_a_stock_avro_consumer_reads_every_topic(kept_demo: KeptDemo) -> None:
    """With nothing of ours but the addresses."""
    registry_url = kept_demo.addresses["schema registry"]
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": registry_url}))
    serde = Serde(Registry(registry_url))
    read: set[str] = set()
    for topic, key, value in messages(kept_demo.addresses["kafka"]):
        read_key = deserialize(key, SerializationContext(topic, MessageField.KEY))
        if topic.startswith("src.inhouse."):  # Debezium's own schemas
            assert set(read_key) == {"id"}
        else:
            assert isinstance(read_key, str)
        if value is not None:
            record = deserialize(value, SerializationContext(topic, MessageField.VALUE))
            assert record == serde.read(value)
            read.add(topic)
    assert read == {topic.name for topic in TOPICS}


def test_ctrl_c_ends_a_demo_that_stayed_up(kept_demo: KeptDemo) -> None:
    """The last test of the module: it ends what the others use."""
    assert kept_demo.end() == 0


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
