"""The transactional writer of a worker.

One transaction holds the state log records, the outputs and the source offsets of chunks, so they
become visible together or not at all (upholds I1). It knows nothing of handlers or local state.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
)
from aiokafka.structs import OffsetAndMetadata

from runtime.rights import hint_of, refused
from schemas.errors import BrokerUnavailableError, RecordTooLargeError
from streams.engine.batches import (
    EncodedBatch,
    Record,
    encode_batches,
    group_outputs,
    plain_records,
)
from streams.engine.batches import TopicPartition as Target
from streams.engine.connection import aiokafka_options, losses_told, renew_password
from streams.engine.contract import Chunk, Effects
from streams.engine.errors import CommitOutcomeUnknownError, FencedError
from streams.engine.faust_internals import BatchBuilder, TransactionState
from streams.engine.marks import Mark, Reached, pass_by
from streams.engine.membership import Member, MemberSender, MembershipLostError
from streams.engine.settings import EngineSettings

_CLOSE_TIMEOUT_S = 5.0
_OPEN = (TransactionState.IN_TRANSACTION, TransactionState.ABORTABLE_ERROR)
_SHARED_RECORDS = 100
"""Up to so many records of a chunk go into batches together with those of other chunks."""


@dataclass(frozen=True, slots=True)
class EncodedCommit:
    """What a chunk writes: full batches, or few records to put into batches with others'."""

    log: Target
    """The state log's partition: no other chunk of the transaction writes there."""
    batches: Sequence[EncodedBatch] = ()
    records: Sequence[tuple[Target, Sequence[Record]]] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk in a transaction."""

    chunk: Chunk
    encoded: EncodedCommit


class TransactionalWriter:
    """Owns one transactional producer. `open` fences every earlier owner of the same id."""

    def __init__(
        self, transactional_id: str, settings: EngineSettings, reached: Reached = pass_by
    ) -> None:
        self._name = self._transactional_id = transactional_id
        self._settings = settings
        self._reached = reached
        self._producer: Any = None
        self._sender: Any = None

    async def open(self) -> None:
        """Start a producer; on return no transaction of an earlier owner is open any more.

        Raises BrokerUnavailableError after the request time-out. The next call has another id: a
        transaction with a partition that has no leader cannot be ended until it has one, and
        nothing else may wait for that. What it has of others ends with its time-out.
        """
        await self.close()
        producer = AIOKafkaProducer(
            **aiokafka_options(self._settings),
            transactional_id=self._transactional_id,
            transaction_timeout_ms=int(self._settings.transaction_timeout_s * 1000),
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            max_batch_size=self._settings.batch_max_bytes,
            max_request_size=max(self._settings.batch_max_bytes * 2, 1 << 20),
            compression_type=self._settings.compression,
        )
        renew_password(producer.client, self._settings)
        self._sender = MemberSender.of(producer)
        self._producer = producer
        try:
            with losses_told():
                async with asyncio.timeout(self._settings.request_timeout_s):
                    await producer.start()
        # aiokafka asserts that it knows a node: it knows none while no broker has answered.
        except (KafkaError, TimeoutError, AssertionError) as error:
            failed = self._transactional_id
            self._transactional_id = f"{self._name}-{uuid4().hex[:8]}"
            await self.close()
            detail = f"cannot start the transactional producer: {error!r}"
            context = {"transactional_id": failed}
            raise refused(detail, code_of(error), context=context) or BrokerUnavailableError(
                detail,
                hint="check the brokers, the leaders of the topics and the transaction state log",
                context=context,
            ) from error

    async def close(self) -> None:
        """Stop the producer; of an open transaction the next `open` or its time-out is the end."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            with losses_told():
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await producer.stop()
        except (KafkaError, TimeoutError):  # it waits for a broker that does not answer
            await _close_client(producer)
        except asyncio.CancelledError:
            await asyncio.shield(_close_client(producer))
            raise

    async def abort(self) -> None:
        """End an open transaction without effect, where the broker lets us: nobody waits for it."""
        producer = self._producer
        for _ in range(2):  # an answer to what was sent before may make an end of the first
            if producer is None or producer._txn_manager.state not in _OPEN:
                return
            with suppress(KafkaError, IllegalOperation, TimeoutError), losses_told():
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await producer.abort_transaction()

    def encode(
        self,
        log: Target,
        state: Mapping[bytes, bytes | None],
        effects: Effects,
        timestamp_ms: int | None,
    ) -> EncodedCommit:
        """Encode what a chunk writes. Runs in a worker thread: no network."""
        of_log = plain_records(state.keys(), state.values(), timestamp_ms)
        outputs = group_outputs(effects, timestamp_ms)
        if len(state) + sum(map(len, outputs.values())) > _SHARED_RECORDS:
            return EncodedCommit(log, [*self._batches(log, of_log), *self._all_batches(outputs)])
        few = [(log, list(of_log)), *outputs.items()]
        for target, records in few:
            deque(self._batches(target, records), maxlen=0)  # what cannot be encoded fails here
        return EncodedCommit(log, records=few)

    def _all_batches(self, records: Mapping[Target, Sequence[Record]]) -> Iterator[EncodedBatch]:
        for target, each in records.items():
            yield from self._batches(target, each)

    def _batches(self, target: Target, records: Iterable[Record]) -> Iterator[EncodedBatch]:
        return encode_batches(target, records, self._new_builder)

    def _new_builder(self) -> BatchBuilder:
        name = self._settings.compression
        codec = 0 if name is None else AIOKafkaProducer._COMPRESSORS[name][1]
        return BatchBuilder(self._settings.batch_max_bytes, codec, is_transactional=True)

    async def commit(self, parts: Sequence[Part], member: Member) -> list[int]:
        """Write and commit one transaction; return the state log offset of each part's last record.

        Raises FencedError, RecordTooLargeError or CommitOutcomeUnknownError:
        then the writer must be opened again before anything else is written.
        """
        context = {"transactional_id": self._transactional_id}
        try:
            with losses_told():
                async with asyncio.timeout(self._settings.commit_timeout_s):
                    return await self._transaction(parts, member)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError(
                "another process has this worker's name now, or the transaction timed out",
                hint="the worker restarts; see transaction_timeout_s if it repeats",
                context=context,
            ) from error
        except MembershipLostError as error:
            await self.abort()
            raise FencedError(
                f"the group has given the partitions to other workers: {error}",
                hint="the worker restarts; see session_timeout_s if it repeats",
                context={**context, "generation": member.generation},
            ) from error
        except MessageSizeTooLargeError as error:
            raise RecordTooLargeError(
                "the broker refuses what the record makes for its size",
                hint="raise max.message.bytes of the topic, then have the row published again",
                context=context,
            ) from error
        except (KafkaError, IllegalOperation, TimeoutError) as error:
            raise CommitOutcomeUnknownError(
                f"transaction failed: {error!r}", hint=hint_of(code_of(error)), context=context
            ) from error

    async def _transaction(self, parts: Sequence[Part], member: Member) -> list[int]:
        await self._producer.begin_transaction()
        ends = await self._send(self._shared(parts))
        # Afterwards: a broker verifies records and position with the coordinator, and of two
        # verifications of one transaction at once it refuses one, to be repeated 100 ms later.
        await self._send_positions(parts, member)
        self._reached(Mark.BEFORE_COMMIT)
        await self._producer.commit_transaction()
        return [ends[part.encoded.log] for part in parts]

    def _shared(self, parts: Sequence[Part]) -> list[EncodedBatch]:
        """The batches of all parts: a broker takes one of a partition at a time."""
        records: dict[Target, list[Record]] = {}
        for part in parts:
            for target, few in part.encoded.records:
                records.setdefault(target, []).extend(few)
        full = [batch for part in parts for batch in part.encoded.batches]
        return [*full, *self._all_batches(records)]

    async def _send_positions(self, parts: Sequence[Part], member: Member) -> None:
        self._sender.member = member
        positions = {
            TopicPartition(part.chunk.topic, part.chunk.partition): OffsetAndMetadata(
                part.chunk.end_offset, ""
            )
            for part in parts
        }
        await self._producer.send_offsets_to_transaction(positions, self._settings.app_id)

    async def _send(self, batches: Sequence[EncodedBatch]) -> dict[Target, int]:
        """Send, and wait for every answer; return the last offset written to each partition.

        Raises the first error there is. Batches of one partition go out one after the other;
        partitions go out side by side.
        """
        sent: list[Any] = []
        refused: IllegalOperation | None = None
        try:
            for batch in batches:
                sent.append(
                    await self._producer.send_batch(
                        batch.builder, batch.topic, partition=batch.partition
                    )
                )
        except IllegalOperation as error:
            refused = error  # the transaction has failed: the answers to earlier batches say why
        results: list[Any] = await asyncio.gather(*sent, return_exceptions=True)
        for result in (*results, refused):
            if isinstance(result, BaseException):
                raise result
        self._reached(Mark.IN_TRANSACTION)
        return {
            (batch.topic, batch.partition): int(result.offset) + batch.records - 1
            for batch, result in zip(batches, results, strict=True)
        }


def code_of(error: BaseException) -> int | None:
    """Return the code of Kafka's of an error of aiokafka's; None of any other."""
    return getattr(error, "errno", None) if isinstance(error, KafkaError) else None


async def _close_client(producer: Any) -> None:
    """Close the connections of a producer whose own end waits for a broker."""
    task = producer.client._sync_task
    if task is not None and task.done():
        producer.client._sync_task = None  # what ended it would end this, too
    await producer.client.close()
