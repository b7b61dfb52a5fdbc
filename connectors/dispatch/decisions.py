"""What people have decided about commands: which are not sent, and which may be.

A decision is a record of its own, and none is ever replaced: all of them together say who stopped
and started what, when and why. Every dispatcher reads them whole before its first session, to their
end before each later one, and listens from there on, on a thread that nothing else keeps busy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Lock
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.dispatch.signals import GROUP
from runtime.kafka import KafkaSettings, Place, Span, make_consumer, read_spans, spans_of
from runtime.rights import refused
from runtime.serde import Serde
from schemas.errors import BrokerUnavailableError, RecordError

_log = structlog.get_logger()

DECISIONS: Final = "psa.command_decision"
ALL: Final = "all"
"""In place of a kind: every kind of a target."""
_FOR_GOOD: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._FATAL,
    }
)
LISTEN_S: Final = 0.2
BATCH: Final = 500


class Verb(StrEnum):
    """What a person has decided."""

    STOPPED = "stopped"
    STARTED = "started"
    APPROVED = "approved"
    REFUSED = "refused"


_OF_ONE: Final = frozenset({Verb.APPROVED, Verb.REFUSED})


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about the commands of a target, or of one kind of it, and who made it.

    `natural_key` and `content` are of the one command that is approved or refused.
    """

    verb: Verb
    target: str
    kind: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    note: str | None = None
    natural_key: str | None = None
    content: str | None = None


def read_decision(record: Mapping[str, Any]) -> Decision:
    """Read a `psa.command.CommandDecision`. Raises ValueError where it is none that we know."""
    verb, target = Verb(str(record.get("decision"))), record.get("target")
    if not target:
        raise ValueError("it names no target")
    natural_key, content = record.get("natural_key"), record.get("content")
    if verb in _OF_ONE and not (natural_key and content):
        raise ValueError("it names no command")
    return Decision(
        verb,
        target,
        record.get("kind"),
        record.get("decided_by"),
        record.get("decided_at"),
        record.get("note"),
        natural_key,
        content,
    )


def decisions_in(messages: Iterable[Message], serde: Serde) -> Iterator[Decision]:
    """Yield what messages decide; one that cannot be read decides nothing, and is told."""
    for message in messages:
        if message.error() is not None:
            _log.warning("dispatch.decisions_unread", error=str(message.error()))
        elif message.value() is not None:
            try:
                yield read_decision(serde.read(message.value()))
            except (RecordError, ValueError) as error:
                _log.error("dispatch.decision_unreadable", **_place(message), error=str(error))


def require_heard(messages: Iterable[Message]) -> None:
    """Raise BrokerUnavailableError where an error does not go away by itself: a right, a topic."""
    for message in messages:
        error = message.error()
        if error is None:
            continue
        detail = f"no decisions can be read: {error.str()}"
        if told := refused(detail, error):
            raise told
        if error.code() in _FOR_GOOD:
            raise BrokerUnavailableError(detail, hint=f"psastream topics apply makes {DECISIONS}")


class Approvals:
    """Which commands may be sent that nobody may send without a word, and which may not."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        """Take in decisions in their order."""
        self._words: dict[tuple[str, str], Decision] = {}
        for decision in decisions:
            self.take(decision)

    def take(self, decision: Decision) -> None:
        """Take in one more: the last word about a content counts."""
        if decision.verb in _OF_ONE and decision.content is not None:
            self._words[decision.target, decision.content] = decision

    def of(self, target: str, content: str) -> Decision | None:
        """Return the last word about a content, None where there is none."""
        return self._words.get((target, content))


class Stops:
    """Which commands are stopped: of whole targets, and of kinds. Each is started by itself."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        """Take in decisions in their order."""
        self._by_scope: dict[tuple[str, str | None], Decision] = {}
        for decision in decisions:
            self.take(decision)

    def take(self, decision: Decision) -> None:
        """Take in one more. One that is stopped twice is stopped by whom it was first."""
        scope = decision.target, decision.kind
        match decision.verb:
            case Verb.STOPPED:
                self._by_scope.setdefault(scope, decision)
            case Verb.STARTED:
                self._by_scope.pop(scope, None)

    def of(self, target: str) -> frozenset[str | None]:
        """Return the kinds of a target that are stopped; None: all are."""
        return frozenset(kind for name, kind in self._by_scope if name == target)

    def by(self, target: str, kind: str | None) -> Decision | None:
        """Return who stopped this very kind of a target, or with None the target as a whole."""
        return self._by_scope.get((target, kind))

    def holds(self, target: str, kind: str) -> bool:
        """Whether commands of a kind are not sent."""
        return not self.of(target).isdisjoint((kind, None))

    def all(self) -> list[Decision]:
        """Return what is stopped, by target and kind."""
        return sorted(self._by_scope.values(), key=lambda it: (it.target, it.kind or ""))


class Places:
    """How far the topic was read, so that none of it counts twice, and none as news that is old."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}

    def since(self, spans: Mapping[Place, Span]) -> dict[Place, Span]:
        """Return what of spans of its partitions was not read."""
        return {
            place: (max(first, self._next.get(place[1], 0)), end)
            for place, (first, end) in spans.items()
        }

    def news(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Yield what was not read, and errors."""
        for message in messages:
            number, offset = message.partition() or 0, message.offset() or 0
            if message.error() is not None:
                yield message
            elif offset >= self._next.get(number, 0):
                self._next[number] = offset + 1
                yield message


class Decisions:
    """Reads the topic whole, then from there on. Its methods may be called on two threads."""

    def __init__(self, kafka: KafkaSettings, serde: Serde) -> None:
        self._kafka = kafka
        self._serde = serde
        self._consumer: Consumer | None = None
        self._places = Places()
        self._lock = Lock()

    def begin(self) -> list[Decision]:
        """Return what was decided since the last time, and listen to what comes next.

        So whoever takes over knows all that was decided until then, however late it listens.
        Raises BrokerUnavailableError, RegistryUnavailableError: what cannot be known may be a stop.
        """
        with self._lock:
            spans = spans_of(self._kafka, [DECISIONS])
            unread = read_spans(self._kafka, self._places.since(spans))
            found = list(decisions_in(self._places.news(unread), self._serde))
        if self._consumer is None:
            consumer = make_consumer(self._kafka, GROUP, auto_offset_reset="earliest")
            consumer.assign(
                [TopicPartition(topic, number, end) for (topic, number), (_, end) in spans.items()]
            )
            self._consumer = consumer
        return found

    def listen(self) -> list[Decision]:
        """Return what is decided next; waits for a moment.

        Raises BrokerUnavailableError where nothing can be heard for good: nothing may be sent then.
        """
        if self._consumer is None:
            return []
        try:
            messages = self._consumer.consume(BATCH, timeout=LISTEN_S)
        except KafkaException as error:
            raise BrokerUnavailableError(f"no decisions can be read: {error}") from error
        require_heard(messages)
        with self._lock:
            return list(decisions_in(self._places.news(messages), self._serde))

    def close(self) -> None:
        """Listen no more."""
        if self._consumer is not None:
            self._consumer.close()


def _place(message: Message) -> dict[str, str | int]:
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
    }
