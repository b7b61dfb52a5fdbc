"""How long dead letters that nobody has decided about are still kept: told by every worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from psastream.letters import (
    BATCH,
    DECISIONS,
    GROUP,
    TOPIC,
    Identity,
    identity,
    key_of,
    letter_of,
)
from runtime.brokers import PresentTopic, present_topics
from runtime.kafka import METADATA_TIMEOUT_S, KafkaSettings, Place, make_consumer
from runtime.offsets import present_places
from runtime.retries import tell_retry
from runtime.serde import Serde
from runtime.settings import Settings
from runtime.tls import Stamp, stamp_of
from schemas.errors import PsaStreamError, RecordError
from schemas.topics import BY_NAME

ROUND_S: Final = 60.0
QUIET_S: Final = 5.0
FOREVER: Final = float("inf")


class LetterMetrics:
    """What a worker tells of dead letters."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.undecided = Gauge(
            "psastream_dead_letters_undecided",
            "Dead letters that nobody has released or discarded, as each worker reads them.",
            registry=registry,
        )
        self.remaining = Gauge(
            "psastream_dead_letter_remaining_seconds",
            "Until the retention of psa.dlq may delete the oldest of them; +Inf without any.",
            registry=registry,
        )


@dataclass(slots=True)
class Undecided:
    """Dead letters that wait for a decision: where each lies, and since when. Pure."""

    letters: dict[Identity, tuple[int, int, int]] = field(default_factory=dict)
    """Partition, offset and milliseconds of Unix time."""
    decided: set[Identity] = field(default_factory=set)

    def letter(self, which: Identity, partition: int, offset: int, at_ms: int) -> None:
        """One was written; of one that is written twice the later counts."""
        if which not in self.decided:
            self.letters[which] = (partition, offset, at_ms)

    def decision(self, which: Identity) -> None:
        """Somebody released or discarded one."""
        self.decided.add(which)
        self.letters.pop(which, None)

    def begins(self, partition: int, offset: int) -> None:
        """A partition holds nothing before an offset any more."""
        gone = [
            which for which, (of, at, _) in self.letters.items() if of == partition and at < offset
        ]
        for which in gone:
            del self.letters[which]

    def remaining_s(self, retention_ms: int, now_ms: int) -> float:
        """Until the first of them may be deleted; below zero once it may be."""
        if retention_ms < 0 or not self.letters:
            return FOREVER
        oldest_ms = min(at_ms for _, _, at_ms in self.letters.values())
        return (oldest_ms + retention_ms - now_ms) / 1000


class LetterAges:
    """Follows dead letters and decisions, and keeps the metrics. Its methods block, on a thread."""

    def __init__(
        self,
        kafka: KafkaSettings,
        serde: Serde,
        metrics: LetterMetrics,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._kafka, self._serde, self._metrics, self._now_s = kafka, serde, metrics, now_s
        self._undecided = Undecided()
        self._consumer: Consumer | None = None
        self._unread: set[Place] = set()
        self._made_of: tuple[Mapping[str, int], Stamp] | None = None

    def close(self) -> None:
        """Read no more."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def look(self) -> None:
        """Do a round; tell what keeps it from reading, and begin anew with the next."""
        try:
            self.round()
        except (PsaStreamError, KafkaException) as error:
            tell_retry(error)
            self.close()

    def round(self) -> None:
        """Read what is new, and tell how long the oldest is kept once all was read.

        Raises BrokerUnavailableError, RegistryUnavailableError, KafkaException.
        """
        there = {
            topic: len(places)
            for topic, places in present_places(self._kafka, [TOPIC, DECISIONS]).items()
        }
        consumer = self._following(there)
        was_behind = bool(self._unread)
        while messages := consumer.consume(BATCH, timeout=QUIET_S):
            for message in messages:
                self._take(message)
            if was_behind and not self._unread:
                break
        if self._unread:
            return  # half of them would tell a wrong age
        retention_ms = retention_ms_of(present_topics(self._kafka, [TOPIC]))
        if TOPIC in there and self._undecided.remaining_s(retention_ms, self._now_ms()) < 0:
            for number in range(there[TOPIC]):
                first, _ = consumer.get_watermark_offsets(
                    TopicPartition(TOPIC, number), timeout=METADATA_TIMEOUT_S
                )
                self._undecided.begins(number, first)
        self._metrics.undecided.set(len(self._undecided.letters))
        self._metrics.remaining.set(self._undecided.remaining_s(retention_ms, self._now_ms()))

    def _following(self, there: Mapping[str, int]) -> Consumer:
        """The consumer of what there is of both topics; anew, from their beginnings, for another.

        It knows the credentials of when it was made alone.
        """
        made_of = there, stamp_of(self._kafka.paths)
        if self._consumer is None or self._made_of != made_of:
            self.close()
            self._undecided, self._made_of = Undecided(), made_of
            self._consumer = make_consumer(self._kafka, GROUP, enable_partition_eof=True)
            self._unread = {(name, it) for name, count in there.items() for it in range(count)}
            self._consumer.assign([TopicPartition(*it, OFFSET_BEGINNING) for it in self._unread])
        return self._consumer

    def _take(self, message: Message) -> None:
        if (error := message.error()) is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            self._unread.discard((message.topic(), message.partition()))
        elif message.value() is None:
            return
        elif message.topic() == DECISIONS:
            try:
                made: Mapping[str, Any] = self._serde.read(message.value())
            except RecordError:
                return
            self._undecided.decision((made["letter"], made["content"]))
        else:
            which = identity(
                key_of(message.key(), self._serde), letter_of(message.value(), self._serde)
            )
            self._undecided.letter(
                which, message.partition(), message.offset(), message.timestamp()[1]
            )

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)


def retention_ms_of(there: Mapping[str, PresentTopic]) -> int:
    """Return how long `psa.dlq` keeps a record, -1 for ever: as the broker says, or as declared."""
    told = there[TOPIC].settings.get("retention.ms") if TOPIC in there else None
    return BY_NAME[TOPIC].retention_ms or -1 if told is None else int(told)


def watch_letters(settings: Settings, serde: Serde) -> None:
    """Keep the metrics for the life of the process, on a daemon thread.

    Whatever keeps it from reading is told, and tried again.
    """
    metrics = LetterMetrics()
    metrics.remaining.set(FOREVER)

    def look_for_ever() -> None:
        ages = LetterAges(settings.kafka, serde, metrics)
        while True:
            ages.look()
            time.sleep(ROUND_S)

    threading.Thread(target=look_for_ever, name="letters", daemon=True).start()
