"""A topic that is read to its end again and again, by clients that last as long as its reader."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from stamina import retry_context

from runtime.kafka import (
    GATHER_S,
    READ_GROUP,
    SILENCE_S,
    KafkaSettings,
    Place,
    cannot_read,
    make_consumer,
    may_pass,
    never_ends,
    spans_by,
)

MakeConsumer = Callable[..., Consumer]
_GATHER_MS: Final = int(GATHER_S * 1000)


class LastingReader:
    """Reads what is new in a topic. One call at a time. `close` ends it.

    Two clients: one is told where the topic ends, whatever is open below it, the other reads what
    is committed. Both are made anew after an error, or where a reader falls silent before the end.
    """

    def __init__(
        self, settings: KafkaSettings, topic: str, *, make: MakeConsumer = make_consumer
    ) -> None:
        """`make` makes the clients, as `make_consumer` does."""
        self._settings = settings
        self._topic = topic
        self._make = make
        self._ends: Consumer | None = None
        self._reader: Consumer | None = None
        self._next: dict[Place, int] = {}

    def news(self, *, timeout_s: float) -> tuple[list[Message], bool]:
        """Return what was committed since the last call, tombstones included, up to the end of now.

        And whether it is all that there is: the first time, and where the topic was made anew. The
        first time every partition is asked for records, also one that has none: so who may not
        read it is told at once. Raises BrokerUnavailableError, after `timeout_s` without the end in
        sight, too; what was read by then is read again.
        """
        deadline_at = time.monotonic() + timeout_s
        try:
            ends = self._where_it_ends(timeout_s)
            is_anew = any(end < self._next.get(place, 0) for place, (_, end) in ends.items())
            known = {} if is_anew else self._next
            starts = {place: known.get(place, first) for place, (first, _) in ends.items()}
            unread = {
                place: end
                for place, (_, end) in ends.items()
                if place not in known or starts[place] < end
            }
            found, reached = self._read(starts, unread, deadline_at)
        except KafkaException as error:
            self.close()
            raise cannot_read({self._topic}, error) from error
        self._next = {**starts, **reached}
        return found, not known

    def close(self) -> None:
        """Close the clients."""
        for consumer in (self._ends, self._reader):
            if consumer is not None:
                consumer.close()
        self._ends = self._reader = None

    def _where_it_ends(self, timeout_s: float) -> Mapping[Place, tuple[int, int]]:
        if self._ends is None:
            self._ends = self._make(self._settings, READ_GROUP, isolation_level="read_uncommitted")
        spans: Mapping[Place, tuple[int, int]] = {}
        for attempt in retry_context(on=may_pass, attempts=None, timeout=timeout_s, wait_max=1.0):
            with attempt:
                spans = spans_by(self._ends, self._topic)
        return spans

    def _read(
        self, starts: Mapping[Place, int], unread: dict[Place, int], deadline_at: float
    ) -> tuple[list[Message], dict[Place, int]]:
        """Return the messages of partitions up to these ends, and where each was left."""
        found: list[Message] = []
        reached: dict[Place, int] = {}
        while unread:
            reader = self._assigned({place: reached.get(place, starts[place]) for place in unread})
            silent_at = time.monotonic() + SILENCE_S
            while unread and time.monotonic() < silent_at:
                for message in reader.consume(1_000, timeout=GATHER_S):
                    place = message.topic() or "", message.partition() or 0
                    error, offset = message.error(), message.offset() or 0
                    if error is None:
                        found.append(message)
                        silent_at = time.monotonic() + SILENCE_S
                        reached[place] = offset + 1
                    elif error.code() == KafkaError._PARTITION_EOF:
                        reached[place] = offset
                    else:
                        raise KafkaException(error)
                    if reached[place] >= unread.get(place, 0):
                        unread.pop(place, None)
            reader.unassign()
            if unread:
                self.close()  # it may have lost track of the end of a partition
                if time.monotonic() > deadline_at:
                    raise never_ends(min(unread))
        return found, reached

    def _assigned(self, starts: Mapping[Place, int]) -> Consumer:
        if self._reader is None:
            self._reader = self._make(
                self._settings,
                READ_GROUP,
                enable_partition_eof=True,
                fetch_wait_max_ms=_GATHER_MS,
            )
        self._reader.assign([TopicPartition(*place, start) for place, start in starts.items()])
        return self._reader
