"""The transactional writer of one group on one partition.

One transaction holds the state log records, the outputs and the source offset of a chunk, so they
become visible together or not at all (upholds I1). It knows nothing of handlers or local state.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
)
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import BrokerUnavailableError
from streams.engine.batches import (
    EncodedBatch,
    encode_batches,
    group_outputs,
    plain_records,
)
from streams.engine.connection import aiokafka_options, losses_told
from streams.engine.contract import Chunk, Effects
from streams.engine.errors import CommitOutcomeUnknownError, FencedError, RecordTooLargeError
from streams.engine.marks import Mark, Reached, pass_by
from streams.engine.settings import EngineSettings

_CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class EncodedCommit:
    """The record batches of one transaction; those of the state log first."""

    state: list[EncodedBatch]
    outputs: list[EncodedBatch]


class TransactionalWriter:
    """Owns one transactional producer. `open` fences every earlier owner of the same id."""

    def __init__(
        self,
        transactional_id: str,
        state_topic: str,
        partition: int,
        settings: EngineSettings,
        reached: Reached = pass_by,
    ) -> None:
        self._transactional_id = transactional_id
        self._state_topic = state_topic
        self._partition = partition
        self._settings = settings
        self._reached = reached
        self._producer: Any = None

    async def open(self) -> None:
        """Start a producer; on return no transaction of an earlier owner is open any more.

        Raises BrokerUnavailableError after the request time-out.
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
        self._producer = producer
        try:
            with losses_told():
                async with asyncio.timeout(self._settings.request_timeout_s):
                    await producer.start()
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise BrokerUnavailableError(
                f"cannot start the transactional producer: {error!r}",
                hint="check the brokers and the transaction state log",
                context={"transactional_id": self._transactional_id},
            ) from error

    async def close(self) -> None:
        """Stop the producer; an open transaction is left for the next owner to abort."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            with losses_told():
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await producer.stop()
        except (KafkaError, TimeoutError):  # it waits for a broker that does not answer
            task = producer.client._sync_task
            if task is not None and task.done():
                producer.client._sync_task = None  # what ended it would end this, too
            await producer.client.close()

    def encode(
        self, state: Mapping[bytes, bytes | None], effects: Effects, timestamp_ms: int | None
    ) -> EncodedCommit:
        """Build all batches of a commit. Runs in a worker thread: no network."""
        new_builder = self._producer.create_batch
        log = plain_records(state.keys(), state.values(), timestamp_ms)
        state_batches = list(encode_batches((self._state_topic, self._partition), log, new_builder))
        outputs: list[EncodedBatch] = []
        for target, records in group_outputs(effects, timestamp_ms).items():
            outputs += encode_batches(target, records, new_builder)
        return EncodedCommit(state_batches, outputs)

    async def commit(self, chunk: Chunk, encoded: EncodedCommit) -> int:
        """Write and commit one transaction; return the state log offset of its last record.

        Raises FencedError, RecordTooLargeError or CommitOutcomeUnknownError:
        then the writer must be opened again before anything else is written.
        """
        try:
            with losses_told():
                async with asyncio.timeout(self._settings.commit_timeout_s):
                    return await self._transaction(chunk, encoded)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError(
                "another worker owns this partition now, or the transaction timed out",
                hint="the worker restarts; see transaction_timeout_s if it repeats",
                context={"transactional_id": self._transactional_id},
            ) from error
        except MessageSizeTooLargeError as error:
            raise RecordTooLargeError(
                "the broker refuses what the record makes for its size",
                hint="raise max.message.bytes of the topic, then have the row published again",
                context={"transactional_id": self._transactional_id},
            ) from error
        except (KafkaError, IllegalOperation, TimeoutError) as error:
            raise CommitOutcomeUnknownError(
                f"transaction failed: {error!r}",
                context={"transactional_id": self._transactional_id},
            ) from error

    async def _transaction(self, chunk: Chunk, encoded: EncodedCommit) -> int:
        producer = self._producer
        await producer.begin_transaction()
        results = await self._send((*encoded.state, *encoded.outputs))
        # Afterwards: a broker verifies records and position with the coordinator, and of two
        # verifications of one transaction at once it refuses one, to be repeated 100 ms later.
        await self._send_position(chunk)
        self._reached(Mark.BEFORE_COMMIT)
        await producer.commit_transaction()
        last = len(encoded.state) - 1
        return int(results[last].offset) + encoded.state[last].records - 1

    async def _send_position(self, chunk: Chunk) -> None:
        place = TopicPartition(chunk.topic, chunk.partition)
        position = {place: OffsetAndMetadata(chunk.end_offset, "")}
        await self._producer.send_offsets_to_transaction(position, self._settings.app_id)

    async def _send(self, batches: Sequence[EncodedBatch]) -> list[Any]:
        """Send, and wait for every answer. Raises the first error there is.

        Batches of one partition go out one after the other; partitions go out side by side.
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
        return results
