"""Reading command topics: a consumer on a thread of its own, decoded deliveries out of it.

It decides nothing about commands. Partitions come and go through `IntakeListener`, which is called
on the consumer's thread and may block there: the group waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import stamina
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.dispatch.commands import Command
from connectors.dispatch.journal import DeadLetter
from runtime.rights import refused
from runtime.serde import Serde
from runtime.tracing import traceparent_of, tracing
from schemas.commands import WITHDRAW
from schemas.errors import (
    BrokerUnavailableError,
    FatalError,
    InvalidEntityError,
    RecordError,
    RegistryUnavailableError,
)
from schemas.topics import COMMAND_PREFIX

_log = structlog.get_logger()

BATCH: Final = 500
POLL_S: Final = 0.1
REGISTRY_PATIENCE_S: Final = 60.0
PROOF_S: Final = 5.0
PLACE_PATIENCE_S: Final = 60.0
"""How long a process has no place in the group before it says so, and until it says so again."""
_FENCED: Final = frozenset({KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL})
"""A consumer's only fatal error is that its place was taken by another of its instance id."""


class InstanceFencedError(FatalError):
    """Another process has joined the group under the instance id of this one."""

    code = "fatal.instance_fenced"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Nobody wants any more what the commands of a natural key below a revision ask for."""

    natural_key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record of a command topic: a command, a withdrawal, a dead letter; None: a tombstone."""

    topic: str
    partition: int
    offset: int
    content: Command | Withdrawal | DeadLetter | None

    @property
    def target(self) -> str:
        """The target the topic belongs to."""
        return self.topic.removeprefix(COMMAND_PREFIX)


class IntakeListener(Protocol):
    """Hears of the partitions this process answers for."""

    def assigned(self, partitions: Collection[tuple[str, int]]) -> None:
        """These, topic and number, are ours from now on, and no others."""
        ...

    def revoked(self) -> None:
        """They will be somebody else's once this returns: finish, and commit."""
        ...

    def lost(self) -> None:
        """They are somebody else's already: stop, and commit nothing."""
        ...


class Intake:
    """The consumer. Every method is to be called on one and the same thread."""

    def __init__(
        self,
        consumer: Consumer,
        serde: Serde,
        targets: Iterable[str],
        listener: IntakeListener,
        *,
        describe_members: Callable[[], str] = lambda: "unknown",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`describe_members` says who is in the group, for the message of a fenced process.

        `clock` returns seconds that never go back.
        """
        self._clock = clock
        self._lose_place()
        self._describe_members = describe_members
        self._proof: TopicPartition | None = None  # a commit that may be repeated
        self._consumer = consumer
        self._serde = serde
        self._assignment: list[TopicPartition] = []
        self._held_back: frozenset[str] = frozenset()
        self._generation = 0
        self._listener = listener
        consumer.subscribe(
            [f"{COMMAND_PREFIX}{target}" for target in targets],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def read(self, held_back: Collection[str]) -> list[Delivery]:
        """Return the next records, none of the targets in `held_back`.

        Raises BrokerUnavailableError, RegistryUnavailableError.
        """
        self._hold_back(frozenset(held_back))
        generation = self._generation
        deliveries: list[Delivery] = []
        wait_s = POLL_S
        while len(deliveries) < BATCH:
            # One by one: a rebalance may come between two records, never inside a poll that
            # returns one.
            message = self._poll(wait_s)
            if generation != self._generation:
                generation = self._generation
                deliveries.clear()  # of partitions that were taken away; re-read by their owner
            if message is None:
                break
            deliveries.append(self._decode(message))
            wait_s = 0.0
        self._tell_wait()
        return deliveries

    def commit(self, offsets: Collection[tuple[tuple[str, int], int]]) -> bool:
        """Commit offsets and wait; False where a rebalance stood in the way."""
        try:
            self._require_place()
            self._consumer.commit(
                offsets=[
                    TopicPartition(topic, partition, offset)
                    for (topic, partition), offset in offsets
                ],
                asynchronous=False,
            )
        except KafkaException as error:
            # Not fatal: what is not committed is delivered again and has no second effect.
            _log.warning("dispatch.commit_failed", error=str(error))
            return False
        for (topic, partition), offset in offsets:
            proof = self._proof
            if proof and (proof.topic, proof.partition) == (topic, partition):
                self._proof = TopicPartition(topic, partition, max(offset, proof.offset))
        return True

    def prove(self) -> bool:
        """Let the coordinator confirm that we are a living member of the present generation.

        It accepts commits of no other. What is committed is committed already.
        """
        if not self._assignment:
            return False
        try:
            self._require_place()
            if self._proof is None:
                [self._proof] = self._consumer.committed(self._assignment[:1], timeout=PROOF_S)
                self._proof.offset = max(self._proof.offset, 0)
            done = self._consumer.commit(offsets=[self._proof], asynchronous=False)
        except KafkaException as error:
            _log.warning("dispatch.lease_not_proven", error=str(error))
            return False
        return all(part.error is None for part in done)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _poll(self, wait_s: float) -> Message | None:
        message = self._consumer.poll(wait_s)
        if message is None:
            return None
        error = message.error()
        if error is not None and error.code() in _FENCED:
            raise InstanceFencedError(
                f"another process has taken this one's place in the group: {error.str()}",
                hint="give each process a PSASTREAM_INSTANCE_ID of its own, or none; this one "
                f"must be started anew. In the group now: {self._describe_members()}",
            )
        if error is not None:
            detail = f"command topics cannot be read: {error}"
            raise refused(detail, error) or BrokerUnavailableError(
                detail, hint="check broker and topics"
            )
        return message

    def _require_place(self) -> None:
        """Raise KafkaException where the client is no member of the group any more.

        After a session without an answer of the coordinator it is none, which the next poll tells.
        A commit would name no member: a coordinator that still knows the instance id takes it for
        another process's, and the client ends for good.
        """
        if not self._consumer.memberid():
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))

    def _lose_place(self) -> None:
        self._placeless_since_s: float | None = self._clock()
        self._tell_at_s = self._placeless_since_s + PLACE_PATIENCE_S

    def _tell_wait(self) -> None:
        """Say that the group gives us no place: the client asks for one again without a word."""
        now_s = self._clock()
        if self._placeless_since_s is None or now_s < self._tell_at_s:
            return
        self._tell_at_s = now_s + PLACE_PATIENCE_S
        _log.warning(
            "dispatch.no_place_in_group",
            since_s=round(now_s - self._placeless_since_s),
            hint="another process of the group may finish its calls first; where none does, see"
            " the log of the broker that coordinates the group: one that could not load"
            " __consumer_offsets must be started anew",
        )

    def _hold_back(self, targets: frozenset[str]) -> None:
        if targets == self._held_back:
            return
        pause = [part for part in self._assignment if _target(part) in targets - self._held_back]
        resume = [part for part in self._assignment if _target(part) in self._held_back - targets]
        self._consumer.pause(pause)
        self._consumer.resume(resume)
        self._held_back = targets

    def _decode(self, message: Message) -> Delivery:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        value = message.value()
        content: Command | Withdrawal | DeadLetter | None = None
        if value is not None:
            try:
                content = self._command(topic, value)
                if tracing() is not None and isinstance(content, Command):
                    content = replace(content, traceparent=traceparent_of(message.headers()))
            except RecordError as error:
                content = DeadLetter(topic, partition, offset, message.key(), value, error)
        return Delivery(topic, partition, offset, content)

    @stamina.retry(on=RegistryUnavailableError, attempts=None, timeout=REGISTRY_PATIENCE_S)
    def _command(self, topic: str, value: bytes) -> Command | Withdrawal:
        command = Command.from_record(self._serde.read(value))
        if f"{COMMAND_PREFIX}{command.target}" != topic:
            raise InvalidEntityError(
                f"command {command.command_id} for {command.target} is in topic {topic}"
            )
        if command.kind == WITHDRAW:
            return Withdrawal(command.natural_key, command.revision)
        return command

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._generation += 1
        self._proof = None
        self._placeless_since_s = None  # without partitions, too: others have them all
        self._assignment = list(partitions)
        self._held_back = frozenset()  # the client forgets pauses with the old assignment
        self._listener.assigned([(part.topic, part.partition) for part in partitions])

    def _on_revoke(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._listener.revoked()
        self._generation += 1
        self._assignment = []
        self._lose_place()

    def _on_lost(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._listener.lost()
        self._generation += 1
        self._assignment = []
        self._lose_place()


def _target(partition: TopicPartition) -> str:
    return str(partition.topic).removeprefix(COMMAND_PREFIX)
