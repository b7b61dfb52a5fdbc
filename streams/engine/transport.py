"""Chunk transport: a Faust consumer that delivers one message per fetch of a source partition.

Faust keeps assignment, rebalance and flow control; it does not commit, because offsets travel in
the engine's transactions. Other topics are delivered record by record as Faust does.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Iterator
from typing import Any

import uvloop
from aiokafka import errors
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from faust.types import TP
from yarl import URL

from runtime.tracing import traceparent_of
from schemas.errors import BrokerUnavailableError
from streams.engine.connection import CLOSED, renew_password
from streams.engine.contract import Chunk
from streams.engine.faust_internals import (
    AIOKafkaConsumerThread,
    Consumer,
    ConsumerMessage,
    FetchResult,
    Transport,
)
from streams.engine.flow import OBJECTS_BYTES, Delivery, FlowWindow
from streams.engine.membership import Member

_NAMED = re.compile(r"(\w+)\(")
_GATHERED_BYTES = 1 << 16  # more than few records come to
_MANY_RECORDS = 100  # of all partitions in one fetch
_IDLE_WAIT_MS = 500
_FULL_POLL_S = 0.05  # how soon a partition whose window was full is looked at again


class ChunkConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer, its heartbeats and its fetches."""

    _gathering_s = 0.0
    """How long the next fetch lets the broker gather few records; 0: it waits for any."""

    async def stop(self) -> None:
        """Stop, and close the event loop: mode leaves one open that it has not made itself."""
        await super().stop()
        if not self.thread_loop.is_running():
            self.thread_loop.close()

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        renew_password(consumer._client, transport.app.settings)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_bytes = min(consumer._fetch_max_bytes, transport.buffer_max_bytes)
        return consumer

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust watches commits of its own. `health` watches the processors."""

    def highwater(self, tp: TP) -> int | None:
        """The end of what may be read: the last stable offset. None if not known or not ours."""
        try:
            end: int | None = self._ensure_consumer().last_stable_offset(tp)
        except (AssertionError, IllegalStateError):  # aiokafka's answers to a lost partition
            return None
        return end

    def failure(self) -> BaseException | None:
        """What has ended the fetches, or the membership in the group, for good.

        aiokafka tells it to callers of its own `getmany` only, and goes on without either.
        """
        consumer = self._consumer
        fetcher, coordinator = (
            getattr(consumer, name, None) for name in ("_fetcher", "_coordinator")
        )
        pending: BaseException | None = getattr(coordinator, "_pending_exception", None)
        if pending is not None:
            return as_told(pending)
        tasks = (
            getattr(fetcher, "_fetch_task", None),
            getattr(coordinator, "_coordination_task", None),
        )
        for task in tasks:
            if task is not None and task.done() and not task.cancelled() and task.exception():
                return as_told(task.exception())
        return None

    def member(self, generation: int) -> Member:
        """Who this consumer is to the group's coordinator in a generation."""
        coordinator = self._ensure_consumer()._coordinator
        return Member(generation, coordinator.member_id, coordinator._group_instance_id)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Collection[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[TP, Any]:
        """Whatever is fetched, by partition: a Chunk of a source topic, else a list of records.

        Nothing is taken in another generation than the one that asks. What is taken moves the
        position, and of the later generation the asker delivers nothing: it would be skipped.
        """
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        subscription = fetcher._subscriptions.subscription
        if subscription is not None and subscription.assignment is not None:
            # It buffers one answer of each assigned partition, whether they are taken or not.
            fetcher._max_partition_fetch_bytes = self.consumer.fetch_bytes(
                len(subscription.assignment.tps)
            )
        deadline = time.monotonic() + (timeout or 0.0)
        with fetcher._subscriptions.fetch_context():
            while True:
                if fetcher._subscriptions.reassignment_in_progress:
                    await _as_told(fetcher._subscriptions.wait_for_assignment())
                if not self.consumer.may_fetch():
                    return {}
                fetched = self._drain(fetcher, active_partitions, max_records)
                remaining = deadline - time.monotonic()
                if fetched or remaining <= 0:
                    self._gather(fetcher, sum(map(len, fetched.values())))
                    return fetched
                waiter = fetcher._create_fetch_waiter()
                patience_s = self._patience_s()
                done, _ = await asyncio.wait([waiter], timeout=min(remaining, patience_s))
                if not done:
                    waiter.cancel()
                    self._gather(fetcher, 0)
                if fetcher._closed or (not done and remaining <= patience_s):
                    waiter.cancel()
                    return {}
                if done:
                    await _as_told(waiter)  # raises authorization errors, too

    def _gather(self, fetcher: Any, records: int) -> None:
        """Have the next fetch gather for a while after one that brought records, else wait for any.

        Each costs the event loops and the broker alike, however small. Where there are many, twice
        as long: what they wait they gain in work that is done by columns.
        """
        interval_s = self.consumer.fetch_interval_s * (2 if records > _MANY_RECORDS else 1)
        self._gathering_s = interval_s if records else 0.0
        is_gathering = self._gathering_s > 0
        fetcher._fetch_min_bytes = _GATHERED_BYTES if is_gathering else 1
        fetcher._fetch_max_wait_ms = int(interval_s * 1000) if is_gathering else _IDLE_WAIT_MS

    def _patience_s(self) -> float:
        """How long to wait until the next fetch is to wait for any: the one that gathers is sent
        by then, and no other has to, for it brings something unless there is a silence."""
        return self._gathering_s / 2 or float("inf")

    def _drain(
        self, fetcher: Any, partitions: Collection[TP], max_records: int | None
    ) -> dict[TP, Any]:
        fetched: dict[TP, Any] = {}
        taken_bytes = 0
        now_ms = int(time.time() * 1000)
        for tp in list(fetcher._records):
            if tp not in partitions:
                if not fetcher._subscriptions.is_assigned(tp):
                    del fetcher._records[tp]
                continue
            result = fetcher._records[tp]
            if type(result) is not FetchResult:
                if fetched:  # deliver what is there; the next call raises the error
                    return fetched
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
                result.check_raise()
                continue
            if tp.topic in self.consumer.chunk_topics:
                room_bytes = self.consumer.rooms[tp.topic, tp.partition] - taken_bytes
                if room_bytes <= 0:
                    continue
                taken, size_bytes = take_chunk(
                    tp,
                    result,
                    max_records,
                    room_bytes // 2,
                    now_ms,
                    reads_contexts=self.consumer.reads_contexts,
                )
                taken_bytes += size_bytes
            else:
                taken = result.getall(max_records) or None
            if not result.has_more():
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
            if taken is not None:
                fetched[TP(tp.topic, tp.partition)] = taken
        return fetched


class _NothingRead(dict[TP, int | None]):
    """Read offsets that are not kept: what is delivered twice the fences find.

    Faust would leave out what lies below the last one delivered. That one may have been of an
    earlier generation, and cut off on its way: then its records would come to nobody.
    """

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Keep nothing."""

    def update(self, *_: Any, **__: Any) -> None:
        """Keep nothing."""


class ChunkConsumer(Consumer):  # type: ignore[misc]
    """Delivers chunks, bounded by the flow window, and never commits."""

    reads_contexts = False

    def __init__(self, transport: "ChunkTransport", *args: Any, **kwargs: Any) -> None:
        self.chunk_topics = transport.chunk_topics
        self._window = transport.window
        self._fetch_generation = -1
        self.fetch_interval_s = transport.fetch_interval_s
        self.reads_contexts = transport.reads_contexts
        self._fetch_max_bytes = transport.fetch_max_bytes
        self._buffer_max_bytes = transport.buffer_max_bytes
        self.rooms: dict[tuple[str, int], int] = {}
        """Room of each partition the fetch at hand may take from; see `FlowWindow.room_bytes`."""
        super().__init__(transport, *args, **kwargs)
        self._read_offset = _NothingRead()

    def _new_consumer_thread(self) -> ChunkConsumerThread:
        return ChunkConsumerThread(
            self, loop=self.loop, beacon=self.beacon, thread_loop=uvloop.new_event_loop()
        )

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Yield what has been fetched. Stops at a rebalance, as Faust's own does."""
        fetched, active = await self._wait_next_records(timeout)
        generation = self._fetch_generation
        if fetched is None or self.should_stop:
            return
        for tp, item in fetched.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if tp not in (active or ()) and tp not in self._buffered_partitions:
                continue
            if isinstance(item, Chunk):
                yield tp, self._chunk_message(tp, item, generation)
            else:
                for record in item:
                    yield tp, self._to_message(tp, record)

    def fetch_bytes(self, partitions: int) -> int:
        """How much of each partition one answer may hold, when there are so many of them."""
        return min(self._fetch_max_bytes, max(1, self._buffer_max_bytes // max(1, partitions)))

    def failure(self) -> BaseException | None:
        """What has ended the fetches, or the membership in the group, for good."""
        failure: BaseException | None = self._thread.failure()
        return failure

    def member(self, generation: int) -> Member:
        """Who this worker is to the group's coordinator in a generation."""
        member: Member = self._thread.member(generation)
        return member

    async def seek_to_committed(self) -> Any:
        """Seek to what is committed; where nothing is, to the beginning, which aiokafka leaves out.

        Faust asks for it at the end of a rebalance. What was taken before, while the groups did not
        own their partitions yet, has been delivered to nobody.
        """
        committed = await super().seek_to_committed()
        none = [tp for tp, at in committed.items() if not at and tp.topic in self.chunk_topics]
        if none:
            await self._thread.seek_to_beginning(*none)
        return committed

    def may_fetch(self) -> bool:
        """Whether the fetch at hand may still take records. Called in the consumer's thread.

        A new generation is announced there too, so it cannot begin between this and the taking.
        """
        is_current: bool = self.app.consumer_generation_id == self._fetch_generation
        return is_current and bool(self.flow_active)

    async def _getmany(
        self,
        active_partitions: Collection[TP],
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> Any:
        self._fetch_generation = self.app.consumer_generation_id
        rooms = {
            (tp.topic, tp.partition): self._window.room_bytes(tp.topic, tp.partition)
            for tp in active_partitions
        }
        self.rooms = rooms
        open_partitions = {tp for tp in active_partitions if rooms[tp.topic, tp.partition] > 0}
        if len(open_partitions) < len(active_partitions):
            timeout = _FULL_POLL_S
        # Called even if all are full: a consumer that does not poll leaves its group.
        return await super()._getmany(open_partitions, timeout)

    def _chunk_message(self, tp: TP, chunk: Chunk, generation: int) -> ConsumerMessage:
        delivery = Delivery(chunk, generation)
        self._window.enter(delivery)
        timestamp_s = chunk.timestamps_ms[-1] / 1000.0 if len(chunk) else None
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            chunk.last_offset,
            timestamp_s,
            0,
            (),
            None,
            delivery,
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )

    def ack(self, message: ConsumerMessage) -> bool:
        """Forget a delivered message; offsets are committed by the engine's transactions only."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def highwaters(self, *partitions: TP) -> dict[TP, int | None]:
        """Not known: only Faust's recovery asks, of state logs, and it has nothing to read there.

        With an end it would read what an heir writes to the log of a worker that was frozen while
        it opened its partitions, and would wait for a marker that never comes as a record.
        """
        return dict.fromkeys(partitions)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: gaps matter to Faust's own commit only."""

    async def _commit_offsets(self, offsets: Any, start_new_transaction: bool = True) -> bool:
        """Nothing. Upholds I1."""
        return False


class ChunkTransport(Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the chunk consumer."""

    Consumer = ChunkConsumer

    def __init__(
        self,
        urls: list[URL],
        app: Any,
        *,
        chunk_topics: Iterable[str],
        window: FlowWindow,
        buffer_max_bytes: int,
        fetch_max_bytes: int,
        fetch_interval_s: float,
        reads_contexts: bool = False,
    ) -> None:
        """`reads_contexts`: chunks say which of their records bear the context of a trace."""
        self.reads_contexts = reads_contexts
        self.chunk_topics = frozenset(chunk_topics)
        self.window = window
        self.buffer_max_bytes = buffer_max_bytes
        self.fetch_max_bytes = fetch_max_bytes
        self.fetch_interval_s = fetch_interval_s
        super().__init__(urls, app)


async def _as_told(found: Awaitable[object]) -> None:
    """Wait for something that raises what ended the coordinator."""
    try:
        await found
    except KafkaError as error:
        raise as_told(error) from error


def as_told(error: BaseException) -> BaseException:
    """Return what ended aiokafka's work, a broker that is not at work as what it is.

    aiokafka's coordinator takes any error that it does not expect for its end, and makes a text of
    it: what uvloop raises to who writes to a connection that was closed meanwhile, and an answer
    to SyncGroup that asks for patience, as a broker gives it that has just started.
    """
    if isinstance(error, KafkaError) and (CLOSED in str(error) or _asks_for_patience(error)):
        return BrokerUnavailableError(
            f"the coordinator of the group was lost: {error}",
            hint="the worker restarts and goes on where it was committed",
        )
    return error


def _asks_for_patience(error: KafkaError) -> bool:
    """Whether an error holds the representation of one that Kafka takes for passing."""
    named = _NAMED.match(str(error.args[0])) if error.args else None
    found = getattr(errors, named[1], None) if named else None
    return getattr(found, "retriable", False) is True


def take_chunk(
    tp: Any,
    result: Any,
    max_records: int | None,
    max_bytes: int,
    now_ms: int,
    *,
    reads_contexts: bool = False,
) -> tuple[Chunk | None, int]:
    """The next chunk of a fetch result and its weight; None if it holds nothing new.

    Ends with the record that reaches `max_bytes`, so it has one record however large that is.
    Aborted records are left out; what they and control batches take up is covered all the same.
    No record was made after `now_ms`: a stamp of the future, which a clock that ran ahead leaves
    behind, reads as now. Tables read no clock: the latest stamp is their present, for good. Nor
    was one made before 1970: a producer may set any number, and not each is an instant.
    """
    fetched = result._partition_records
    # aiokafka drops the result here if the partition is not assigned, paused, or seeked.
    if fetched is None or not result.check_assignment(tp):
        return None, 0
    # aiokafka's compiled records are handed on as they are: no Python object per record.
    fetched._consumer_record = _as_is
    start = fetched.next_fetch_offset
    offsets: list[int] = []
    timestamps_ms: list[int] = []
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    left_bytes = max_bytes - OBJECTS_BYTES
    contexts: dict[int, str] = {}
    for record in _noted(fetched, contexts) if reads_contexts else fetched:
        key, value = record.key, record.value
        offsets.append(record.offset)
        timestamps_ms.append(max(0, min(record.timestamp, now_ms)))
        keys.append(key)
        values.append(value)
        left_bytes -= OBJECTS_BYTES + len(key or b"") + len(value or b"")
        if left_bytes <= 0 or len(offsets) == max_records:
            result._update_position()
            break
    else:
        result._update_position()
        result._partition_records = None
    end = fetched.next_fetch_offset
    if end == start:
        return None, 0
    chunk = Chunk(
        tp.topic, tp.partition, start, end, offsets, timestamps_ms, keys, values,
        contexts or None,
    )  # fmt: skip
    return chunk, max_bytes - left_bytes


def _noted(records: Iterable[Any], contexts: dict[int, str]) -> Iterator[Any]:
    """Hand records on, and note the contexts that some of them bear, by offset."""
    for record in records:
        if record.headers and (context := traceparent_of(record.headers)) is not None:
            contexts[record.offset] = context
        yield record


def _as_is(_tp: Any, record: Any) -> Any:
    return record
