"""The engine with one of its protections switched off, so that tests can show what it protects.

Each part here stands in the place of the engine's own, through `Seams`.
"""

import asyncio
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.engine import Chunk, Effects, EngineApp, EngineSettings
from streams.engine.batches import EncodedBatch
from streams.engine.commit import EncodedCommit, TransactionalWriter
from streams.engine.connection import aiokafka_options, broker_urls
from streams.engine.errors import CommitOutcomeUnknownError
from streams.engine.marks import Mark, Reached
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
    NO_FENCING = "every writer has a transactional id of its own"
    NO_TRANSACTION = "records are sent without a transaction"
    UNCOMMITTED_SOURCE = "sources are read uncommitted"
    UNCOMMITTED_STATE = "the state log is read uncommitted"
    NO_CATCH_UP = "the local state is not brought to the end of its log"
    NO_LEASE = "dispatchers act without a lease"
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

    def writer(transactional_id: str, *args: Any) -> TransactionalWriter:
        made = _WRITERS.get(sabotage, TransactionalWriter)(transactional_id, *args)
        if isinstance(made, LocalWriteFirst):
            made.store_of = lambda: stores["/".join(transactional_id.rsplit("-", 2)[1:])]
        return made

    return Seams(reached, writer, store, _LOGS.get(sabotage, StateLog))


def sabotage_transport(sabotage: Sabotage, app: EngineApp) -> None:
    if sabotage is Sabotage.UNCOMMITTED_SOURCE:
        own = app.transport
        app.transport = UncommittedTransport(
            broker_urls(app.settings), app, chunk_topics=own.chunk_topics, window=own.window
        )


class AnswerLost(TransactionalWriter):
    """Every fourth commit succeeds without the worker hearing of it."""

    commits = 0

    async def commit(self, chunk: Chunk, encoded: EncodedCommit) -> int:
        offset = await super().commit(chunk, encoded)
        self.commits += 1
        if self.commits % 4 == 0:
            raise CommitOutcomeUnknownError("the answer is lost")
        return offset


class OffsetsApart(TransactionalWriter):
    """Records and offset in two transactions."""

    async def _send(self, encoded: EncodedCommit) -> int:
        producer = self._producer
        await producer.begin_transaction()
        sent = [
            await producer.send_batch(batch.builder, batch.topic, partition=batch.partition)
            for batch in (*encoded.state, *encoded.outputs)
        ]
        results = await asyncio.gather(*sent)
        self._reached(Mark.IN_TRANSACTION)
        await producer.commit_transaction()
        last = len(encoded.state) - 1
        return int(results[last].offset) + encoded.state[last].records - 1

    async def _move(self, chunk: Chunk) -> None:
        await self._producer.begin_transaction()
        await move_group(self._producer, chunk, self._settings)
        await self._producer.commit_transaction()


class OffsetsFirst(OffsetsApart):
    async def _transaction(self, chunk: Chunk, encoded: EncodedCommit) -> int:
        await self._move(chunk)
        return await self._send(encoded)


class OffsetsLast(OffsetsApart):
    async def _transaction(self, chunk: Chunk, encoded: EncodedCommit) -> int:
        offset = await self._send(encoded)
        self._reached(Mark.BEFORE_COMMIT)
        await self._move(chunk)
        return offset


class LocalWriteFirst(TransactionalWriter):
    store_of: Callable[[], StateStore]

    def encode(self, state: Any, effects: Effects, timestamp_ms: int | None) -> EncodedCommit:
        self._changes = dict(state)  # of the only chunk in work
        return super().encode(state, effects, timestamp_ms)

    async def commit(self, chunk: Chunk, encoded: EncodedCommit) -> int:
        store = self.store_of()
        store.apply(self._changes, store.log_offset or 0)
        return await super().commit(chunk, encoded)


class NoFencing(TransactionalWriter):
    def __init__(self, transactional_id: str, *args: Any) -> None:
        super().__init__(f"{transactional_id}-{uuid4().hex}", *args)


class NoTransaction(TransactionalWriter):
    """Waits for every answer, first that of the state log, then moves the group."""

    _mover: Any = None

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

    async def _transaction(self, chunk: Chunk, encoded: EncodedCommit) -> int:
        offset = -1
        for batch in encoded.state:
            offset = await self._send(batch) + batch.records - 1
        self._reached(Mark.IN_TRANSACTION)
        for batch in encoded.outputs:
            await self._send(batch)
        await self._mover.begin_transaction()
        await move_group(self._mover, chunk, self._settings)
        await self._mover.commit_transaction()
        return offset

    async def _send(self, batch: EncodedBatch) -> int:
        sent = await self._producer.send_batch(
            batch.builder, batch.topic, partition=batch.partition
        )
        return int((await sent).offset)


async def move_group(producer: Any, chunk: Chunk, settings: EngineSettings) -> None:
    position = {
        TopicPartition(chunk.topic, chunk.partition): OffsetAndMetadata(chunk.end_offset, "")
    }
    await producer.send_offsets_to_transaction(position, settings.app_id)


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
    Sabotage.NO_FENCING: NoFencing,
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
