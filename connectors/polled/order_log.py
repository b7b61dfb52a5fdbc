"""The topic of orders on Kafka: read whole, since it holds a few records an object.

Beside the orders it holds what APIs describe of their objects, and what of it was accepted.

Whoever polls asks before each poll, by clients that last as long as the process. An order that
stands in the topic when a poll begins is taken by it, or by the next one after a moment for which
the last answer holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Final

import structlog

from connectors.polled.fingerprint import ACCEPTED, DESCRIBED, Fingerprint
from connectors.polled.orders import UNREADABLE, Action, Order, Taken
from runtime.kafka import KafkaSettings, RawRecord, publish_all, read_topic
from runtime.lasting_reader import LastingReader
from runtime.offsets import present_places
from runtime.threads import in_daemon_thread
from schemas.topics import SOURCE_ORDERS

_log = structlog.get_logger()

FRESH_S: Final = 2.0
"""How long an answer holds: the objects of a process poll close to each other."""
ANSWER_S: Final = 20.0
CLOSE_S: Final = 5.0
"""How long a process that ends waits for its clients; without a group, none is missed."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the topic holds. `orders` and `answers`: the last of each object and concern.

    `fingerprints`: the last of each object, as accepted and as described, by `Fingerprint.key`;
    `unreadable`: keys of those of which the last cannot be read.
    """

    orders: Mapping[str, Order] = field(default_factory=dict)
    answers: Mapping[str, Taken] = field(default_factory=dict)
    fingerprints: Mapping[str, Fingerprint] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()

    def fingerprint(self, of: str, system: str, obj: str) -> Fingerprint | None:
        """Return an object's as `ACCEPTED` or as `DESCRIBED`."""
        return self.fingerprints.get(f"{of}|{system}|{obj}")

    def has_accepted(self, system: str, obj: str) -> bool:
        """Whether anything was accepted of an object, though it may not be readable."""
        return f"{ACCEPTED}|{system}|{obj}" in self.fingerprints.keys() | self.unreadable

    def standing(self, system: str, obj: str) -> list[Order]:
        """Return the orders of an object that are not done.

        An answer outlives a bookmark that lost what was taken. The end of a pause stands although
        it was told: it is no work, and must never be missed.
        """
        done = {
            (each.order.key, each.order.order_id)
            for each in self.answers.values()
            if each.done_at is not None and each.order.action is not Action.RESUME
        }
        return [
            order
            for order in self.orders.values()
            if (order.system, order.obj) == (system, obj)
            and (order.key, order.order_id) not in done
        ]


class OrderLog:
    """Orders for the pollers of a process. `close` ends it."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()  # all objects ask at once, and one of them reads
        self._reading = Lock()  # who is cancelled leaves a thread behind
        self._read_until_s = 0.0
        self._is_there = False
        self._reader = LastingReader(settings, SOURCE_ORDERS.name)
        self._told = Told()

    async def of(self, system: str, obj: str) -> Sequence[Order]:
        """Return the last order of each concern of an object, unless it is done.

        Raises BrokerUnavailableError where that is not known.
        """
        await self._refresh()
        return self._told.standing(system, obj)

    async def told(self) -> Told | None:
        """Return what the topic holds, None where there is none. Raises BrokerUnavailableError."""
        await self._refresh()
        return self._told if self._is_there else None

    async def keep(self, of: str, fingerprint: Fingerprint) -> None:
        """Write down what was accepted or described. Raises BrokerUnavailableError."""
        record = RawRecord(0, fingerprint.key(of).encode(), fingerprint.to_bytes())
        publish = partial(publish_all, within_s=ANSWER_S, hint="check the broker")
        await in_daemon_thread(publish, self._settings, SOURCE_ORDERS.name, [record])

    async def close(self) -> None:
        """Close the clients, unless a broker keeps them busy."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await in_daemon_thread(self._close)

    async def _refresh(self) -> None:
        async with self._lock:
            now_s = asyncio.get_running_loop().time()
            if now_s >= self._read_until_s:
                await in_daemon_thread(self._read)
                self._read_until_s = now_s + FRESH_S

    def _read(self) -> None:
        with self._reading:
            self._is_there = self._is_there or is_there(self._settings)
            if self._is_there:
                messages, is_all = self._reader.news(timeout_s=ANSWER_S)
                before = Told() if is_all else self._told
                self._told = told_by(((each.key(), each.value()) for each in messages), before)

    def _close(self) -> None:
        with self._reading:
            self._reader.close()


def is_there(settings: KafkaSettings) -> bool:
    """Whether there is a topic of orders; a firm that was upgraded has none before `apply`."""
    return SOURCE_ORDERS.name in present_places(settings, [SOURCE_ORDERS.name])


def read_told(settings: KafkaSettings) -> Told:
    """Return what was ordered, and what came of it. Raises BrokerUnavailableError."""
    messages = read_topic(settings, SOURCE_ORDERS.name, timeout_s=ANSWER_S)
    return told_by((message.key(), message.value()) for message in messages)


def told_by(
    records: Iterable[tuple[bytes | None, bytes | None]], before: Told | None = None
) -> Told:
    """Return what records of the topic say that follow others.

    One that cannot be read says nothing, and is logged.
    """
    orders: dict[str, Order] = dict(before.orders) if before else {}
    answers: dict[str, Taken] = dict(before.answers) if before else {}
    fingerprints: dict[str, Fingerprint] = dict(before.fingerprints) if before else {}
    unreadable: set[str] = set(before.unreadable) if before else set()
    for key, value in records:
        name = (key or b"").decode("utf-8", "backslashreplace")
        unreadable.discard(name)
        if value is None:
            orders.pop(name, None)
            answers.pop(name, None)
            fingerprints.pop(name, None)
            continue
        try:
            if name.startswith("answer|"):
                answers[name] = Taken.from_bytes(value)
            elif name.startswith((f"{ACCEPTED}|", f"{DESCRIBED}|")):
                fingerprints.pop(name, None)
                unreadable.add(name)
                fingerprints[name] = Fingerprint.from_bytes(value)
                unreadable.discard(name)
            else:
                orders[name] = Order.from_bytes(value)
        except UNREADABLE as error:
            _log.error(
                "poll.order_unreadable",
                key=name,
                error=f"{type(error).__name__}: {error}",
                hint="it is left out; find who writes to the topic, and give the order again",
            )
    return Told(orders, answers, fingerprints, frozenset(unreadable))
