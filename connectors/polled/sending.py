"""Sending messages in a transaction: what is repeated, and what came of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.polled.spans import Headers
from runtime.rights import refused
from schemas.errors import BrokerUnavailableError, FatalError

CALL_TIMEOUT_S: Final = 8.0
CALL_ATTEMPTS: Final = 15
TOO_LARGE: Final = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)

LOOK_S: Final = 0.005
LOOK_EACH: Final = 100
"""Messages from one look at what came of them to the next."""

T = TypeVar("T")
Message = tuple[str, int, bytes, bytes | None]
"""Topic, partition, key and value."""


class Reported(Protocol):
    """A message that the client tells of."""

    def topic(self) -> str | None:
        """Return its topic."""
        ...

    def key(self) -> bytes | None:
        """Return its key."""
        ...


class Reports:
    """What came of messages, as far as the broker refuses one for its size: `large` has its place.

    The client tells it of each that was refused. One callback for all: a message that is taken
    costs nothing here. Messages of one key are of one row, and are refused together.
    """

    def __init__(self, messages: Sequence[Message], large: set[int]) -> None:
        self._messages = messages
        self._large = large
        self._places: dict[tuple[str | None, bytes | None], set[int]] = {}

    def __call__(self, error: KafkaError | None, message: Reported) -> None:
        """Note what came of a message."""
        if error is None or error.code() not in TOO_LARGE:
            return
        if not self._places:
            for place, (topic, _, key, _) in enumerate(self._messages):
                self._places.setdefault((topic, key), set()).add(place)
        self._large |= self._places[message.topic(), message.key()]


def send(
    producer: Producer, messages: Sequence[Message], headers: Sequence[Headers], large: set[int]
) -> int | None:
    """Give messages to the client, in order, until it is known that the broker refuses one.

    Where it does, `large` has its place, by and by. `headers` are of the first of them. Returns the
    place of one that the client itself takes no message as large as.
    """
    reports = Reports(messages, large)
    for place, message in enumerate(messages):
        bears = headers[place] if place < len(headers) else ()
        if not produce(producer, message, bears, reports):
            return place
        if place % LOOK_EACH == 0:
            producer.poll(0)
        if large:
            break
    return None


def produce(producer: Producer, message: Message, headers: Headers, reports: Reports) -> bool:
    """Give a message to the client; return whether it takes one as large."""
    topic, partition, key, value = message
    more: dict[str, Any] = {"headers": [*headers]} if headers else {}
    while True:
        try:
            producer.produce(
                topic, key=key, value=value, partition=partition, on_delivery=reports, **more
            )
        except BufferError:
            producer.poll(0.1)  # the local queue is full: let it drain
        except KafkaException as error:
            code = error.args[0].code()
            if code in TOO_LARGE:
                return False
            if code == KafkaError._STATE:  # the transaction has failed for an earlier message
                raise BrokerUnavailableError("a transaction failed") from error
            give = partial(
                producer.produce, topic, key=key, value=value, partition=partition,
                on_delivery=reports, **more,
            )  # fmt: skip
            call(give)
            return True
        else:
            return True


def await_reports(producer: Producer, large: Collection[int]) -> None:
    """Wait until it is known what came of each message, or of one that it is too large.

    Nothing tells of those that are taken but that fewer are left.
    """
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    while len(producer) and not large and time.monotonic() < deadline_s:
        producer.poll(LOOK_S)


def serve_reports(producer: Producer) -> None:
    """Learn what came of messages, as far as it is known."""
    producer.poll(0.1)  # they come a moment after the transaction is told to have failed
    while producer.poll(0):
        pass


def call(action: Callable[[], T]) -> T:
    """Run a producer call; repeat it while librdkafka says that is safe, a bounded time.

    Raises BrokerUnavailableError when the transaction must be aborted, FatalError when only a new
    process can tell what happened: at its start it completes or aborts what was left open.
    """
    for is_last in (*(False,) * (CALL_ATTEMPTS - 1), True):
        try:
            return action()
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.txn_requires_abort():
                detail = f"a transaction failed: {cause.str()}"
                raise refused(detail, cause) or BrokerUnavailableError(detail) from error
            if is_last or cause.fatal() or not cause.retriable():
                raise FatalError(
                    f"the source log cannot go on: {cause.str()}",
                    hint="if it was fenced, another poller runs the same connector",
                ) from error
    raise AssertionError("the last attempt returns or raises")
