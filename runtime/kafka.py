"""Kafka clients of the edges, on confluent-kafka: configuration, topics, whole-topic reads.

The stream worker has its own transport (`streams.engine`); this is for everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import BrokerUnavailableError, ConfigError
from schemas.topics import Topic

MAX_MESSAGE_BYTES: Final = 16_000_000
METADATA_TIMEOUT_S: Final = 15.0


class KafkaSettings(BaseModel):
    """Where the broker is. `extra` holds librdkafka keys, such as those for TLS and SASL."""

    model_config = ConfigDict(frozen=True)

    bootstrap_servers: str = Field(min_length=1)
    extra: Mapping[str, str] = Field(default_factory=dict, repr=False)

    def client(self) -> dict[str, str | int | bool]:
        """Return the librdkafka configuration common to all clients."""
        return {"bootstrap.servers": self.bootstrap_servers, **self.extra}


def make_producer(settings: KafkaSettings, **overrides: str | int | bool) -> Producer:
    """Return an idempotent producer that waits for all replicas."""
    config: dict[str, str | int | bool] = {
        **settings.client(),
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "zstd",
        "linger.ms": 5,
        "message.max.bytes": MAX_MESSAGE_BYTES,
    }
    return Producer({**config, **_dotted(overrides)})


def make_consumer(
    settings: KafkaSettings, group_id: str, **overrides: str | int | bool
) -> Consumer:
    """Return a consumer that reads committed records only and commits nothing by itself."""
    config: dict[str, str | int | bool] = {
        **settings.client(),
        "group.id": group_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    return Consumer({**config, **_dotted(overrides)})


def _dotted(overrides: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    """Keyword `auto_offset_reset` stands for librdkafka's key `auto.offset.reset`."""
    return {key.replace("_", "."): value for key, value in overrides.items()}


def create_topics(
    settings: KafkaSettings, topics: Iterable[Topic], *, replication_factor: int
) -> list[str]:
    """Create the topics that do not exist yet and return their names.

    Raises ConfigError where an existing topic has another partition count (upholds I4), and
    BrokerUnavailableError where the broker does not answer.
    """
    wanted = {topic.name: topic for topic in topics}
    admin = AdminClient(settings.client())
    try:
        present = admin.list_topics(timeout=METADATA_TIMEOUT_S).topics
    except KafkaException as error:
        raise BrokerUnavailableError(
            f"the broker does not answer: {settings.bootstrap_servers}: {error}",
            hint="check that Kafka runs and that PSASTREAM_BOOTSTRAP_SERVERS names it",
        ) from error
    wrong = [
        f"{name} has {len(present[name].partitions)} partitions, not {topic.partitions}"
        for name, topic in wanted.items()
        if name in present and len(present[name].partitions) != topic.partitions
    ]
    if wrong:
        raise ConfigError(
            f"topics exist with another partition count: {'; '.join(wrong)}",
            hint="move the data to topics of the right size; the count decides where rows live",
        )
    missing = [topic for name, topic in wanted.items() if name not in present]
    futures = (
        admin.create_topics([_new_topic(topic, replication_factor) for topic in missing])
        if missing
        else {}
    )
    created = []
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerUnavailableError(
                    f"a topic could not be created: {name}: {error}"
                ) from error
        else:
            created.append(name)
    return created


def _new_topic(topic: Topic, replication_factor: int) -> NewTopic:
    config = {
        "cleanup.policy": topic.cleanup.value,
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "message.timestamp.type": "CreateTime",
    }
    if topic.retention_ms is not None:
        config["retention.ms"] = str(topic.retention_ms)
    return NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=replication_factor,
        config=config,
    )


def read_topic(settings: KafkaSettings, topic: str) -> Iterator[Message]:
    """Yield every committed message of a topic, tombstones included, up to its end as of now.

    Messages of one partition come in offset order. Raises BrokerUnavailableError.
    """
    consumer = make_consumer(settings, "psastream-read-topic", enable_partition_eof=True)
    try:
        metadata = consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
        partitions = [TopicPartition(topic, number, 0) for number in metadata.partitions]
        consumer.assign(partitions)
        unfinished = {partition.partition for partition in partitions}
        while unfinished:
            for message in consumer.consume(10_000, timeout=1.0):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.partition())
                else:
                    raise KafkaException(error)
    except KafkaException as error:
        raise BrokerUnavailableError(
            f"a topic could not be read: {topic}: {error}", hint="check the broker"
        ) from error
    finally:
        consumer.close()


def read_compacted(settings: KafkaSettings, topic: str) -> dict[bytes, bytes]:
    """Return the last value of every key of a topic, deleted keys left out."""
    rows: dict[bytes, bytes] = {}
    for message in read_topic(settings, topic):
        value = message.value()
        if value is None:
            rows.pop(message.key(), None)
        else:
            rows[message.key()] = value
    return rows
