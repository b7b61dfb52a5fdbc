"""Sending messages in a transaction: what is repeated, and what came of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.polled.spans import Headers
from runtime.rights import refused
from schemas.errors import BrokerUnavailableError, FatalError

CALL_TIMEOUT_S: Final = 8.0
CALL_ATTEMPTS: Final = 15
TOO_LARGE: Final = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)

LOOK_S: Final = 0.005
TOGETHER: Final = 500
"""Messages that are given to the client at once."""
_ERROR: Final = "_error"
"""What the client adds to a message of several that it does not take."""

T = TypeVar("T")
Message = tuple[str, int, bytes, bytes | None]
"""Topic, partition, key and value."""


def send(
    producer: Producer, messages: Sequence[Message], headers: Sequence[Headers], large: set[int]
) -> int | None:
    """Give messages to the client, in order, until it is known that the broker refuses one.

    Where it does, `large` has its place, by and by. `headers` are of the first of them. Returns the
    place of one that the client itself takes no message as large as.
    """
    place = 0
    while place < len(messages) and not large:
        count = 0 if headers else _alike(messages, place)
        if count > 1:
            refused = _send_together(producer, messages[place : place + count], place, large)
            if refused is not None:
                return refused
            place += count
        else:
            bears = headers[place] if place < len(headers) else ()
            if not produce(producer, messages[place], bears, large, place):
                return place
            place += 1
        if count > 1 or place % TOGETHER == 0:
            producer.poll(0)
    return None


def _alike(messages: Sequence[Message], place: int) -> int:
    """Return how many messages from a place on go together: of one topic, with a value."""
    topic = messages[place][0]
    for count, (other, _, _, value) in enumerate(messages[place : place + TOGETHER]):
        if other != topic or value is None:
            return count
    return min(TOGETHER, len(messages) - place)


def _send_together(
    producer: Producer, messages: Sequence[Message], first: int, large: set[int]
) -> int | None:
    topic = messages[0][0]
    left = list(range(len(messages)))
    while left:
        batch: list[dict[str, Any]] = [
            {
                "key": messages[at][2],
                "value": messages[at][3],
                "partition": messages[at][1],
                "callback": partial(_delivered, large, first + at),
            }
            for at in left
        ]
        producer.produce_batch(topic, batch)
        failed = {at: each[_ERROR] for at, each in zip(left, batch, strict=True) if _ERROR in each}
        if any(error.code() != KafkaError._QUEUE_FULL for error in failed.values()):
            for at in failed:  # what is wrong is judged by each alone
                if not produce(producer, messages[at], (), large, first + at):
                    return first + at
            return None
        if failed:
            producer.poll(0.1)  # the local queue is full: let it drain
        left = list(failed)
    return None


def produce(
    producer: Producer, message: Message, headers: Headers, large: set[int], place: int
) -> bool:
    """Give a message to the client; return whether it takes one as large.

    Where the broker does not, `large` has its place, by and by.
    """
    topic, partition, key, value = message
    more: dict[str, Any] = {"headers": [*headers]} if headers else {}
    give = partial(
        producer.produce, topic, key=key, value=value, partition=partition,
        on_delivery=partial(_delivered, large, place), **more,
    )  # fmt: skip
    while True:
        try:
            give()
        except BufferError:
            producer.poll(0.1)  # the local queue is full: let it drain
        except KafkaException as error:
            code = error.args[0].code()
            if code in TOO_LARGE:
                return False
            if code == KafkaError._STATE:  # the transaction has failed for an earlier message
                raise BrokerUnavailableError("a transaction failed") from error
            call(give)
            return True
        else:
            return True


def _delivered(large: set[int], place: int, error: KafkaError | None, _: object) -> None:
    if error is not None and error.code() in TOO_LARGE:
        large.add(place)


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
