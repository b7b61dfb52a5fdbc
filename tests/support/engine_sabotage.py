"""The engine with one of its protections switched off, so that tests can show what it protects.

Each part here stands in the place of the engine's own, through `Seams`.
"""

import threading
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.engine import EngineApp, EngineSettings
from streams.engine.batches import EncodedBatch
from streams.engine.commit import EncodedCommit, Part, TransactionalWriter
from streams.engine.connection import aiokafka_options, broker_urls
from streams.engine.errors import CommitOutcomeUnknownError
from streams.engine.faust_internals import BatchBuilder
from streams.engine.marks import Mark, Reached
from streams.engine.membership import NOBODY, Member
from streams.engine.seams import Seams
from streams.engine.state_log import StateLog
from streams.engine.state_store import StateStore
from streams.engine.transport import ChunkConsumer, ChunkConsumerThread, ChunkTransport


class Sabotage(StrEnum):
    """What is switched off."""

    NOTHING = "nothing"
    ANSWER_LOST = "nothing, but answers to commits get lost"
    NO_FENCE = "records below the fence are not skipped, and answers to commits get lost"
    OFFSETS_FIRST = "offsets are committed ahead of the transaction"
    OFFSETS_LAST = "offsets are committed after the transaction, and nothing is skipped"
    LOCAL_WRITE_FIRST = "the local state is written before the commit"
    NO_MEMBER = "positions are committed without a generation and a member"
    NO_TRANSACTION = "records are sent without a transaction"
    UNCOMMITTED_SOURCE = "sources are read uncommitted"
    UNCOMMITTED_STATE = "the state log is read uncommitted"
    NO_CATCH_UP = "the local state is not brought to the end of its log"
    NO_LEASE = "dispatchers act without a lease, and one of them however late"
    STUCK = "a restore hangs, and does not hear that it is to stop"

    @property
    def allows_gap(self) -> bool:
        """Whether the comparison of state and offsets is off too: it would stop the worker."""
        return self in (
            Sabotage.NO_FENCE,
            Sabotage.OFFSETS_FIRST,
            Sabotage.OFFSETS_LAST,
            Sabotage.NO_CATCH_UP,
        )


def sabotaged_seams(sabotage: Sabotage, reached: Reached) -> Seams:
    """The parts of a worker that is sabotaged."""
    stores: dict[str, StateStore] = {}

    def store(path: Path, settings: EngineSettings) -> StateStore:
        made = _STORES.get(sabotage, StateStore)(path, settings)
        stores["/".join(path.parts[-2:])] = made
        return made

    def writer(*args: Any) -> TransactionalWriter:
        made = _WRITERS.get(sabotage, TransactionalWriter)(*args)
        if isinstance(made, LocalWriteFirst):
            made.stores = stores
        return made

    return Seams(reached, writer, store, _LOGS.get(sabotage, StateLog))


def sabotage_transport(sabotage: Sabotage, app: EngineApp) -> None:
    if sabotage is Sabotage.UNCOMMITTED_SOURCE:
        own = app.transport
        app.transport = UncommittedTransport(
            broker_urls(app.settings),
            app,
            chunk_topics=own.chunk_topics,
            window=own.window,
            buffer_max_bytes=own.buffer_max_bytes,
            fetch_max_bytes=own.fetch_max_bytes,
            fetch_interval_s=own.fetch_interval_s,
        )


class AnswerLost(TransactionalWriter):
    """Every fourth commit succeeds without the worker hearing of it."""

    commits = 0

    async def commit(self, parts: Sequence[Part], member: Member) -> list[int]:
        offsets = await super().commit(parts, member)
        self.commits += 1
        if self.commits % 4 == 0:
            raise CommitOutcomeUnknownError("the answer is lost")
        return offsets


class OffsetsApart(TransactionalWriter):
    """Records and offsets in two transactions."""

    async def _write(self, parts: Sequence[Part]) -> list[int]:
        await self._producer.begin_transaction()
        ends = await self._send(self._shared(parts))
        await self._producer.commit_transaction()
        return [ends[part.encoded.log] for part in parts]

    async def _move(self, parts: Sequence[Part], member: Member) -> None:
        await self._producer.begin_transaction()
        await self._send_positions(parts, member)
        await self._producer.commit_transaction()


class OffsetsFirst(OffsetsApart):
    async def _transaction(self, parts: Sequence[Part], member: Member) -> list[int]:
        await self._move(parts, member)
        return await self._write(parts)


class OffsetsLast(OffsetsApart):
    async def _transaction(self, parts: Sequence[Part], member: Member) -> list[int]:
        offsets = await self._write(parts)
        self._reached(Mark.BEFORE_COMMIT)
        await self._move(parts, member)
        return offsets


class LocalWriteFirst(TransactionalWriter):
    stores: dict[str, StateStore]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._changes: dict[tuple[str, int], Any] = {}

    def encode(self, log: tuple[str, int], state: Any, *args: Any) -> EncodedCommit:
        self._changes[log] = dict(state)  # of the only chunk in work there
        return super().encode(log, state, *args)

    async def commit(self, parts: Sequence[Part], member: Member) -> list[int]:
        for part in parts:
            topic, partition = part.encoded.log
            group = topic.removesuffix("-state").rpartition("-")[2]
            store = self.stores[f"{group}/{partition}"]
            store.apply(self._changes[part.encoded.log], store.log_offset or 0)
        return await super().commit(parts, member)


class NoMember(TransactionalWriter):
    async def commit(self, parts: Sequence[Part], member: Member) -> list[int]:
        return await super().commit(parts, NOBODY)


class NoTransaction(TransactionalWriter):
    """Waits for every answer, first those of the state logs, then moves the group."""

    _mover: Any = None

    def _new_builder(self) -> BatchBuilder:
        return BatchBuilder(self._settings.batch_max_bytes, 0, is_transactional=False)

    async def open(self) -> None:
        await super().open()
        self._mover = self._producer
        self._producer = AIOKafkaProducer(
            **aiokafka_options(self._settings), enable_idempotence=True
        )
        await self._producer.start()

    async def close(self) -> None:
        mover, self._mover = self._mover, None
        if mover is not None:
            await mover.stop()
        await super().close()

    async def _transaction(self, parts: Sequence[Part], member: Member) -> list[int]:
        logs = {part.encoded.log for part in parts}
        batches = self._shared(parts)
        ends = {}
        for batch in batches:
            if (at := (batch.topic, batch.partition)) in logs:
                ends[at] = await self._send_one(batch)
        self._reached(Mark.IN_TRANSACTION)
        for batch in batches:
            if (batch.topic, batch.partition) not in logs:
                await self._send_one(batch)
        plain, self._producer = self._producer, self._mover
        try:
            await self._producer.begin_transaction()
            await self._send_positions(parts, member)
            await self._producer.commit_transaction()
        finally:
            self._producer = plain
        return [ends[part.encoded.log] for part in parts]

    async def _send_one(self, batch: EncodedBatch) -> int:
        sent = await self._producer.send_batch(
            batch.builder, batch.topic, partition=batch.partition
        )
        return int((await sent).offset) + batch.records - 1


class NoFence(StateStore):
    def fence(self, topic: str) -> int | None:
        return None


class UncommittedState(StateLog):
    def _consumer_options(self, group: str) -> dict[str, str | int | bool]:
        return {**super()._consumer_options(group), "isolation.level": "read_uncommitted"}


class NoCatchUp(StateLog):
    def catch_up(self, *_: Any, **__: Any) -> int:
        return 0


class Stuck(StateLog):
    def catch_up(self, *_: Any, **__: Any) -> int:
        threading.Event().wait()
        raise AssertionError("unreachable: nothing sets the event")


class UncommittedConsumerThread(ChunkConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_uncommitted"
        return consumer


class UncommittedConsumer(ChunkConsumer):
    def _new_consumer_thread(self) -> ChunkConsumerThread:
        return UncommittedConsumerThread(self, loop=self.loop, beacon=self.beacon)


class UncommittedTransport(ChunkTransport):
    Consumer = UncommittedConsumer


_WRITERS: dict[Sabotage, type[TransactionalWriter]] = {
    Sabotage.ANSWER_LOST: AnswerLost,
    Sabotage.NO_FENCE: AnswerLost,
    Sabotage.OFFSETS_FIRST: OffsetsFirst,
    Sabotage.OFFSETS_LAST: OffsetsLast,
    Sabotage.LOCAL_WRITE_FIRST: LocalWriteFirst,
    Sabotage.NO_MEMBER: NoMember,
    Sabotage.NO_TRANSACTION: NoTransaction,
}
_STORES: dict[Sabotage, type[StateStore]] = {
    Sabotage.NO_FENCE: NoFence,
    Sabotage.OFFSETS_LAST: NoFence,
}
_LOGS: dict[Sabotage, type[StateLog]] = {
    Sabotage.UNCOMMITTED_STATE: UncommittedState,
    Sabotage.NO_CATCH_UP: NoCatchUp,
    Sabotage.STUCK: Stuck,
}
