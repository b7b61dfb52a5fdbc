"""Reasons to try refused commands again: what people ask for, and what is captured anew.

Every dispatcher hears all of them and acts on the commands of its own partitions. Requests of the
last days are read again when a session begins, for what was refused before they were made; a
change that came while nobody listened is made up for by the paces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from connectors.dispatch.references import RECORD_NAMES, names_of
from connectors.dispatch.refusals import RetryRequest
from connectors.toolkit.faults import Reason
from runtime.kafka import KafkaSettings, make_consumer, read_topic, topic_spans
from runtime.serde import Serde
from schemas.errors import BrokerUnavailableError, RecordError
from schemas.topics import BY_NAME

_log = structlog.get_logger()

REQUESTS: Final = "psa.command_retry"
GROUP: Final = "psastream-dispatch-signals"
"""Of consumers that read from the ends on; nobody joins it."""
BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Change:
    """Records of these names were captured."""

    names: tuple[str, ...]


Signal = RetryRequest | Change


class Signals:
    """Reads the topics from their ends on. Every method is to be called on one thread."""

    def __init__(self, kafka: KafkaSettings, serde: Serde) -> None:
        self._kafka = kafka
        self._serde = serde
        self._consumer: Consumer | None = None

    def begin(self) -> list[RetryRequest]:
        """Listen from now on; return what was asked for in the last days.

        Raises BrokerUnavailableError where the topics cannot be read.
        """
        if self._consumer is None:
            ends = topic_spans(self._kafka, REQUESTS)
            self._consumer = make_consumer(self._kafka, GROUP, auto_offset_reset="latest")
            self._consumer.assign(
                [
                    *(TopicPartition(REQUESTS, number, end) for number, (_, end) in ends.items()),
                    *(
                        TopicPartition(topic, number, OFFSET_END)
                        for topic in RECORD_NAMES
                        for number in range(BY_NAME[topic].partitions)
                    ),
                ]
            )
        return [
            request
            for message in read_topic(self._kafka, REQUESTS)
            for request in _requests(message, self._serde)
        ]

    def read(self) -> list[Signal]:
        """Return what has come in; never waits."""
        if self._consumer is None:
            return []
        try:
            messages = self._consumer.consume(BATCH, timeout=0)
        except KafkaException as error:
            raise BrokerUnavailableError(f"no signals can be read: {error}") from error
        return signals_in(messages, self._serde)

    def close(self) -> None:
        """Listen no more."""
        if self._consumer is not None:
            self._consumer.close()


def signals_in(messages: Iterable[Message], serde: Serde) -> list[Signal]:
    """Return the requests that messages of the topics hold, and one change for all records."""
    found: list[Signal] = []
    names: dict[str, None] = {}
    for message in messages:
        if message.error() is not None:
            _log.warning("dispatch.signals_unread", error=str(message.error()))
        elif message.topic() == REQUESTS:
            found += (replace(it, tried_before_s=inf) for it in _requests(message, serde))
        else:
            names.update(dict.fromkeys(_names(message, serde)))
    return [*found, Change(tuple(names))] if names else found


def read_request(record: Mapping[str, Any]) -> RetryRequest:
    """Read a `psa.command.CommandRetry`, about what was tried before it was asked for.

    Raises ValueError where its reason is none of ours, or it does not say when it was asked for.
    """
    reason, requested_at = record.get("reason"), record.get("requested_at")
    if not isinstance(requested_at, datetime):
        raise ValueError("it does not say when it was asked for")
    return RetryRequest(
        record.get("exception_id"),
        record.get("target"),
        None if reason is None else Reason(reason),
        tried_before_s=requested_at.timestamp(),
    )


def _requests(message: Message, serde: Serde) -> Iterator[RetryRequest]:
    record = _record(message, serde)
    if record is None:
        return
    try:
        yield read_request(record)
    except ValueError as error:
        _log.warning("dispatch.signal_unreadable", **_place(message), error=str(error))


def _names(message: Message, serde: Serde) -> list[str]:
    record = _record(message, serde)
    return [] if record is None else names_of(message.topic(), record)


def _record(message: Message, serde: Serde) -> dict[str, Any] | None:
    """Read a record; an unreadable one is no signal, and its reader dead-letters it."""
    if message.value() is None:
        return None
    try:
        return serde.read(message.value())
    except RecordError as error:
        _log.warning("dispatch.signal_unreadable", **_place(message), error=str(error))
        return None


def _place(message: Message) -> dict[str, str | int]:
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
    }
