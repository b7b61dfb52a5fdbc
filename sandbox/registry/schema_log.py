"""The compacted `_schemas` topic as the registry's log.

It knows Kafka and nothing of schemas. One process may write a topic; a second writer is detected,
not supported.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from stamina import retry_context

from runtime.kafka import QUIET
from schemas.errors import BrokerUnavailableError, ConfigError, FatalError

_POLL_S = 0.5  # one answer of the cluster; longer waits are repeated


class KafkaSchemaLog:
    """Single-partition compacted topic, created if missing. Implements `service.SchemaLog`.

    Not thread-safe: the registry calls it from one change at a time. Raises BrokerUnavailableError
    when the cluster does not answer within `timeout_s`, ConfigError when the topic is not a
    compacted one with a single partition, FatalError when another process writes to it.
    """

    def __init__(
        self, bootstrap_servers: str, *, topic: str = "_schemas", timeout_s: float = 15.0
    ) -> None:
        self._topic = topic
        self._timeout_s = timeout_s
        self._next_offset = 0  # the first offset not yet read
        common = {
            "bootstrap.servers": bootstrap_servers,
            "reconnect.backoff.ms": 1000,
            **QUIET,
        }
        _ensure_topic(AdminClient(common), topic, timeout_s)
        self._producer = Producer(
            common
            | {
                "enable.idempotence": True,
                "linger.ms": 0,
                "message.timeout.ms": int(timeout_s * 1000),
            }
        )
        # No group is ever joined, but the client demands a name.
        consumer = common | {"group.id": "psastream-schema-registry", "enable.auto.commit": False}
        self._consumer = Consumer(
            consumer
            | {
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        # End offsets are asked on a connection of their own: on the reader's, each question would
        # wait behind its pending fetch, half a second every time.
        self._end_reader = Consumer(consumer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._consumer.close()
        self._end_reader.close()

    def append(self, key: bytes, value: bytes | None) -> None:
        """Write one record and wait for all replicas."""
        reports: list[tuple[KafkaError | None, Message]] = []
        self._producer.produce(
            self._topic,
            key=key,
            value=value,
            partition=0,
            on_delivery=lambda error, message: reports.append((error, message)),
        )
        self._producer.flush(self._timeout_s + _POLL_S)
        if not reports or reports[0][0] is not None:
            raise BrokerUnavailableError(
                f"the schema log did not acknowledge: {reports[0][0] if reports else 'no answer'}",
                context={"topic": self._topic},
            )
        offset = reports[0][1].offset()
        if offset != self._next_offset:
            raise FatalError(
                f"another process writes the schema log: expected offset {self._next_offset}",
                hint="run one embedded registry per cluster, then restart this one",
                context={"topic": self._topic, "offset": offset},
            )

    def read_new(self, apply: Callable[[bytes, bytes | None], None]) -> None:
        """Apply all records up to the topic's present end."""
        deadline_s = time.monotonic() + self._timeout_s
        end = self._end_offset()
        while self._next_offset < end:
            if time.monotonic() > deadline_s:
                raise BrokerUnavailableError(
                    f"the schema log stalled at offset {self._next_offset} of {end}",
                    context={"topic": self._topic},
                )
            message = self._consumer.poll(_POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise BrokerUnavailableError(f"the schema log cannot be read: {error}")
            if error is not None:
                # Compaction and transaction markers leave gaps: only this tells the end is reached.
                self._next_offset = message.offset()
                continue
            if message.key() is not None:
                apply(message.key(), message.value())
            self._next_offset = message.offset() + 1
            deadline_s = time.monotonic() + self._timeout_s

    def _end_offset(self) -> int:
        partition = TopicPartition(self._topic, 0)
        try:
            for attempt in retry_context(
                on=KafkaException, attempts=None, timeout=self._timeout_s, wait_max=1.0
            ):
                with attempt:
                    # Cached metadata outlives a broker's restart and then names no valid leader.
                    self._end_reader.list_topics(self._topic, timeout=_POLL_S)
                    _, end = self._end_reader.get_watermark_offsets(partition, timeout=_POLL_S)
        except KafkaException as error:
            raise _unavailable(error) from error
        return int(end)


def _ensure_topic(admin: Any, topic: str, timeout_s: float) -> None:
    """Create the topic, or refuse one that would forget or reorder schemas."""
    try:
        # All topics: asking for one by name could make the broker create it, uncompacted.
        metadata = admin.list_topics(timeout=timeout_s).topics.get(topic)
        if metadata is None:
            _create_topic(admin, topic, timeout_s)
            return
        resource = ConfigResource(ResourceType.TOPIC, topic)
        config = admin.describe_configs([resource], request_timeout=timeout_s)[resource].result()
    except KafkaException as error:
        raise _unavailable(error) from error
    policy = config["cleanup.policy"].value
    if len(metadata.partitions) != 1 or policy != "compact":
        raise ConfigError(
            f"the schema log has {len(metadata.partitions)} partitions and policy {policy}",
            hint="it needs one partition and cleanup.policy=compact",
            context={"topic": topic},
        )


def _create_topic(admin: Any, topic: str, timeout_s: float) -> None:
    new_topic = NewTopic(
        topic,
        num_partitions=1,
        replication_factor=-1,  # the cluster's default
        config={"cleanup.policy": "compact"},
    )
    admin.create_topics([new_topic], request_timeout=timeout_s)[topic].result()


def _unavailable(error: KafkaException) -> BrokerUnavailableError:
    return BrokerUnavailableError(
        f"the schema log's cluster does not answer: {error.args[0]}",
        hint="check that the broker runs and bootstrap servers are right",
    )
