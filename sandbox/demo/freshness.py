"""How old a change is when a reader has the first margin that holds it, over a whole story.

A margin names the position of the newest change that went in, and the canonical record of that
change says where it stands and when its source committed it. When a margin can be read, no record
says: message times are those of the changes. So a reader follows the topic while the story runs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confluent_kafka import TopicPartition

from runtime.kafka import KafkaSettings, make_consumer, topic_spans
from runtime.registry import Registry
from runtime.serde import Serde
from sandbox.demo.result import Latency

METRIC: Final = "psa.metric.project_margin"
CHANGES: Final = ("psa.time_entry", "psa.expense")
"""What a margin is made of, and the position it names is of."""
READ_S: Final = 0.2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MarginReader:
    """Follows the margins as any reader of committed records would."""

    def __init__(self, kafka: KafkaSettings, registry_url: str) -> None:
        self._kafka = kafka
        self._serde = Serde(Registry(registry_url))
        self.seen_at: dict[int, datetime] = {}
        """When the first margin with a position was there."""

    def follow(self, stop: threading.Event) -> None:
        """Read until stopped; blocks. Raises RegistryUnavailableError."""
        consumer = make_consumer(self._kafka, "demo-margins")
        try:
            parts = topic_spans(self._kafka, METRIC)
            consumer.assign([TopicPartition(METRIC, number, 0) for number in parts])
            while not stop.is_set():
                message = consumer.poll(READ_S)
                at = datetime.now(UTC)
                # An error is a broker that is away: the client goes on by itself.
                if message is None or message.error() is not None or message.value() is None:
                    continue
                position = self._serde.read(message.value())["source_position"]
                self.seen_at.setdefault(position, at)
        finally:
            consumer.close()


def began_at(changes: Iterable[Mapping[str, Any]], *, is_database: bool) -> dict[int, datetime]:
    """Return when each change began, by its position.

    `changes` are canonical records. Of a database it is the commit, to the millisecond. A polled
    system stamps whole seconds of a clock of its own; there it is when the change was captured,
    which is what its position says, in microseconds.
    """
    if is_database:
        return {row["source_position"]: row["source_at"] for row in changes}
    positions = {row["source_position"] for row in changes}
    return {each: _EPOCH + timedelta(microseconds=each) for each in positions}


def latency_of(
    began: Mapping[int, datetime], seen: Mapping[int, datetime], begins: str
) -> Latency | None:
    """Return how long changes took that are both begun and seen; None without any.

    Of changes that came together the newest counts, for a margin names no other.
    """
    took = sorted((seen[each] - began[each]).total_seconds() for each in began.keys() & seen)
    if not took:
        return None
    return Latency(begins, _rank(took, 0.50), _rank(took, 0.95), len(took))


def _rank(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share does not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1]
