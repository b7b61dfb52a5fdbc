"""The written memory of dispatch: intents, results and exceptions, acknowledged by the broker.

It is read back whole at the start of a session; nothing else survives a crash, and nothing else
needs to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Protocol

from connectors.dispatch.commands import (
    DETAIL_MAX,
    ENDED,
    Command,
    Intent,
    OpenException,
    Outcome,
    Payload,
    Settled,
    Status,
    intent_record,
    result_record,
)
from connectors.dispatch.exceptions import (
    OPEN,
    ended_by,
    ended_record,
    is_ended,
    is_overtaken,
    open_record,
    read_refusal,
    resolved_record,
)
from connectors.dispatch.guard import Hold, is_hold, read_hold
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.publisher import Publisher
from connectors.dispatch.refusals import Refusal
from connectors.dispatch.remedies import Remedies
from connectors.dispatch.shadow import PLANS
from connectors.toolkit.faults import Reason
from runtime.kafka import MAX_MESSAGE_BYTES, KafkaSettings, read_topic
from runtime.secrets import mask
from runtime.serde import Serde
from schemas.errors import PsaStreamError

INTENTS = "psa.command_intent"
RESULTS = "psa.command_result"
EXCEPTIONS = "psa.exception"
DEAD_LETTERS = "psa.dlq"
LETTER_ROOM_BYTES = 65_536
"""Of a dead letter, for all but the record that it is about."""

_STATUSES: Final = frozenset(status.value for status in Status)

Row = Mapping[str, Any]
Told = tuple[bytes, Row | None]
"""Key and record of an exception, None for a tombstone."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of a command topic that cannot be read as a command, byte for byte."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    error: PsaStreamError


class Journal(Protocol):
    """Where the executor records what it is about to do and what came of it."""

    async def intend(self, command: Command, attempt: int) -> None:
        """Record that an attempt is about to begin; returns once it is durable."""
        ...

    async def settle(
        self, command: Command, outcome: Outcome, refusals: Sequence[Refusal] = ()
    ) -> None:
        """Record what became of a command, and what of it waits; returns once it is durable."""
        ...

    async def tell(self, refusal: Refusal) -> None:
        """Record that a command needs a person although it goes on being tried."""
        ...

    async def resolve(self, leftover: Refusal) -> None:
        """Record that what a carried-out command left over is tidied up."""
        ...

    async def tell_hold(self, record: Payload) -> None:
        """Record that no command of a target is sent, or that they are again (`guard`)."""
        ...

    async def bury(self, letter: DeadLetter) -> None:
        """Record that a record of a command topic is no command; returns once it is durable."""
        ...


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier sessions left behind, by natural key or exception id."""

    settled: dict[str, Settled] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    exceptions: dict[str, OpenException] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    overtaken: tuple[Mapping[str, Any], ...] = ()  # last words that are not the last records
    holds: dict[str, Hold] = field(default_factory=dict)  # by target


def read_memory(kafka: KafkaSettings, serde: Serde, targets: Collection[str]) -> Memory:
    """Read the memory of these targets from the compacted topics. Blocks.

    Raises BrokerUnavailableError, RegistryUnavailableError, DecodeError: without its memory
    dispatch must not start.
    """

    serde.require_keys(kafka)

    def every(topic: str, target_field: str) -> Iterator[dict[str, Any]]:
        for message in read_topic(kafka, topic):
            row = serde.read(message.value()) if message.value() is not None else {}
            if row.get(target_field) in targets:
                yield row

    told = (
        (key, row)
        for key, row in read_told(kafka, serde)
        if row is None or row["system"] in targets
    )
    return memory_of(every(RESULTS, "target"), every(INTENTS, "target"), told)


def read_told(kafka: KafkaSettings, serde: Serde) -> Iterator[Told]:
    """Yield every record of an exception with its key, in order. Blocks.

    Raises BrokerUnavailableError, RegistryUnavailableError, DecodeError.
    """
    for message in read_topic(kafka, EXCEPTIONS):
        value = message.value()
        yield message.key(), None if value is None else serde.read(value)


def memory_of(
    results: Iterable[Mapping[str, Any]],
    intents: Iterable[Mapping[str, Any]],
    told: Iterable[Told],
) -> Memory:
    """Return the memory that records hold, every one ever written of each topic."""
    exceptions, overtaken = last_exceptions(told)
    settled = last_results(results)
    ended, waiting = [], {}
    for row in waiting_commands(exceptions):
        refusal = read_refusal(row)
        if refusal and is_ended(refusal, settled.get(row["natural_key"])):
            ended.append(ended_record(refusal))
        else:
            waiting[row["exception_id"]] = (_open_exception(row), refusal)
    return Memory(
        settled=settled,
        intents=last_intents(intents),
        overtaken=(*overtaken, *ended),
        exceptions={identity: each for identity, (each, _) in waiting.items()},
        refusals=tuple(refusal for _, refusal in waiting.values() if refusal is not None),
        holds={row["system"]: read_hold(row) for row in exceptions if is_hold(row)},
    )


def waiting_commands(exceptions: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the open exceptions of commands; tables open and resolve their own findings."""
    return [row for row in exceptions if row["status"] == OPEN and row["command_id"] is not None]


def last_results(rows: Iterable[Mapping[str, Any]]) -> dict[str, Settled]:
    """Return the result of the highest revision of each natural key, whatever was written last.

    A process that stood still may write an old result after its successor wrote a newer one, or
    that it was refused after a look of its successor has found it carried out.
    """
    found: dict[str, Settled] = {}
    for row in rows:
        status = Status(row["status"]) if row["status"] in _STATUSES else None
        result = Settled(row["revision"], row["attempts"] or 0, row["target_id"], status)
        known = found.get(row["natural_key"])
        if known is None or _rank(result) >= _rank(known):
            found[row["natural_key"]] = result
    return found


def _rank(result: Settled) -> tuple[int, int, bool]:
    return result.revision, result.attempts, result.status in ENDED


def last_intents(rows: Iterable[Mapping[str, Any]]) -> dict[str, Intent]:
    """Return the last attempt of each natural key, whatever was written last, as of results."""
    found: dict[str, Intent] = {}
    for row in rows:
        intent = Intent(row["command_id"], row["revision"], row["attempt"], row["started_at"])
        known = found.get(row["natural_key"])
        if known is None or (intent.revision, intent.attempt) >= (known.revision, known.attempt):
            found[row["natural_key"]] = intent
    return found


def last_exceptions(told: Iterable[Told]) -> tuple[list[Row], list[Row]]:
    """Return the last word on each exception, and which of them are not the last record.

    As of results: whatever was written last. Those are to be written again, since compaction keeps
    only the record that came last.
    """
    found: dict[bytes, Row] = {}
    overtaken: dict[bytes, Row] = {}
    for key, row in told:
        overtaken.pop(key, None)
        if row is None:
            found.pop(key, None)
        elif key in found and is_overtaken(row, found[key]):
            overtaken[key] = found[key]
        else:
            found[key] = row
    return list(found.values()), list(overtaken.values())


class KafkaJournal:
    """The journal on Kafka topics. `exceptions` are those of the partitions we own.

    Each is in the gauge of one process, so that sums over all processes are true. `doubtful` are
    the natural keys of attempts whose outcome nobody has recorded: a refusal of one may be on its
    way, and is to find that it is over. `remedies` by target.
    """

    def __init__(
        self,
        publisher: Publisher,
        exceptions: dict[str, OpenException],
        metrics: DispatchMetrics,
        *,
        doubtful: Collection[str] = (),
        remedies: Mapping[str, Remedies] = MappingProxyType({}),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._doubtful = set(doubtful)
        self._remedies = remedies
        self._publisher = publisher
        self._exceptions = dict(exceptions)
        self._now = now
        self._totals = metrics.show_exceptions(self._exceptions.values())

    async def intend(self, command: Command, attempt: int) -> None:
        """Write the intent of an attempt."""
        record = intent_record(command, attempt, started_at=self._now())
        await self._publisher.publish(INTENTS, command.natural_key, record)

    async def settle(
        self, command: Command, outcome: Outcome, refusals: Sequence[Refusal] = ()
    ) -> None:
        """Write the exceptions an outcome opens, then the result, then what it resolves.

        So a crash in between leaves an exception open, never a desire that nobody knows of: one
        that is not settled is settled again, and one that is ended ends what is open for it. A
        superseded command resolves nothing: its successor will tell.
        """
        at = self._now()
        for refusal in refusals:
            await self.tell(refusal)
        result = result_record(command, outcome, finished_at=at)
        await self._publisher.publish(RESULTS, command.natural_key, result)
        still_open = {refusal.exception_id for refusal in refusals}
        resolved = ended_by(outcome.status, command)
        for identity in resolved:
            is_known = identity in self._exceptions or command.natural_key in self._doubtful
            if is_known and identity not in still_open:
                record = resolved_record(identity, command, outcome.attempts, at=at)
                await self._publish_exception(record)
        if resolved:
            self._doubtful.discard(command.natural_key)

    async def tell_again(self, records: Iterable[Row]) -> None:
        """Write the last words again that older ones came after."""
        for record in records:
            await self._publish_exception(dict(record))

    async def tell(self, refusal: Refusal) -> None:
        """Write an open exception; one that is told again is as old as it was."""
        remedies = self._remedies.get(refusal.command.target, {})
        record = open_record(refusal, remedies)
        known = self._exceptions.get(refusal.exception_id)
        if known is not None:
            record["raised_at"] = min(record["raised_at"], known.raised_at)
        await self._publish_exception(record)

    async def tell_hold(self, record: Payload) -> None:
        """Write the exception of a target whose ledger was lost."""
        await self._publisher.publish(EXCEPTIONS, record["exception_id"], record)

    async def resolve(self, leftover: Refusal) -> None:
        """Write that an exception is resolved."""
        identity, command, attempts = leftover.exception_id, leftover.command, leftover.attempts
        await self._publish_exception(resolved_record(identity, command, attempts, at=self._now()))

    async def _publish_exception(self, record: Payload) -> None:
        await self._publisher.publish(EXCEPTIONS, record["exception_id"], record)
        before = self._exceptions.pop(record["exception_id"], None)
        after = _open_exception(record) if record["status"] == OPEN else None
        if after is not None:
            self._exceptions[record["exception_id"]] = after
        self._totals.change(before, after)

    async def bury(self, letter: DeadLetter) -> None:
        """Write a record that is no command to the dead letters.

        What leaves no room for the rest of the letter is left out: it is still at its offset.
        """
        size_bytes = len(letter.value) + len(letter.key or b"")
        is_large = size_bytes > MAX_MESSAGE_BYTES - LETTER_ROOM_BYTES
        key = f"{letter.topic}|{letter.partition}|{letter.offset}"
        record = {
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "key": None if is_large else letter.key,
            "value": None if is_large else letter.value,
            "agent": "dispatch",
            "error_code": letter.error.code,
            "detail": mask(letter.error.detail)[:DETAIL_MAX],
            "hint": mask(letter.error.hint),
            "correlation_id": None,
            "raised_at": self._now(),
        }
        await self._publisher.publish(DEAD_LETTERS, key, record)


def _open_exception(record: Mapping[str, Any]) -> OpenException:
    return OpenException(
        record["system"],
        record["natural_key"],
        record["amount"],
        record["currency"],
        record["raised_at"],
        record["kind"],
        PLANS.get(record["error_code"]) if record["reason"] == Reason.SHADOW.value else None,
    )
