"""Chunks are cut from aiokafka's fetched records without losing the fetch position."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import (
    ConsumerStoppedError,
    GroupAuthorizationFailedError,
    GroupLoadInProgressError,
    IllegalStateError,
    InvalidGroupIdError,
    KafkaError,
    NotLeaderForPartitionError,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from schemas.errors import BrokerUnavailableError
from streams.engine import (
    AgentSpec,
    Chunk,
    Effects,
    EngineSettings,
    GroupSpec,
    NoInstruments,
    create_app,
    faust_internals,
)
from streams.engine.faust_internals import missing_names
from streams.engine.flow import Delivery, FlowWindow
from streams.engine.transport import ChunkConsumer, ChunkConsumerThread, take_chunk
from tests.support.spans import KEPT

TP = TopicPartition("t", 0)
READ_COMMITTED = 1
NOW_MS = 2_000


class Position:
    """What aiokafka keeps of an assigned partition."""

    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


def fetched(
    base_offset: int,
    count: int,
    position: int,
    value_bytes: int = 0,
    first_ms: int = 1_000,
    *,
    headers: Sequence[tuple[str, bytes]] = (),
) -> tuple[Any, Position]:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    for index in range(count):
        value = b"v%d" % index + bytes(value_bytes)
        builder.append(index, first_ms + index, b"k%d" % index, value, list(headers))
    raw = bytearray(builder.build())
    raw[0:8] = base_offset.to_bytes(8, "big")  # as the broker does; outside the checksum
    state = Position(position)
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    records = PartitionRecords(
        TP, MemoryRecords(bytes(raw)), [], position, None, None, True, READ_COMMITTED
    )
    result = FetchResult(TP, assignment=assignment, partition_records=records, backoff=0)
    return result, state


def taken(result: Any, max_records: int, now_ms: int = NOW_MS) -> Chunk | None:
    chunk, _ = take_chunk(TP, result, max_records, 1 << 30, now_ms)
    return chunk


def test_chunk_covers_what_was_fetched() -> None:
    result, state = fetched(base_offset=10, count=3, position=10)
    chunk = taken(result, 100)
    assert chunk == Chunk(
        "t",
        0,
        10,
        13,
        [10, 11, 12],
        [1000, 1001, 1002],
        [b"k0", b"k1", b"k2"],
        [b"v0", b"v1", b"v2"],
    )
    assert state.position == 13
    assert not result.has_more()


def test_headers_are_read_where_tracing_is_on_alone() -> None:
    for reads, contexts in ((False, None), (True, {10: KEPT, 11: KEPT})):
        result, _ = fetched(10, 2, 10, headers=[("traceparent", KEPT.encode())])
        chunk, _ = take_chunk(TP, result, 100, 1 << 30, NOW_MS, reads_contexts=reads)
        assert chunk is not None and chunk.contexts == contexts
        assert list(chunk.values) == [b"v0", b"v1"]


@pytest.mark.fault("C11", place="streams/engine/transport.py")
def test_c11_a_record_of_the_future_was_made_now() -> None:
    """One stamp far ahead would move the weeks of every person for good."""
    result, _ = fetched(base_offset=10, count=3, position=10)
    chunk = taken(result, 100, 1_001)
    assert chunk
    assert chunk.timestamps_ms == [1_000, 1_001, 1_001]


@pytest.mark.fault("C11", place="streams/engine/transport.py")
def test_c11_a_stamp_that_is_no_instant_is_the_first_one() -> None:
    """Any producer may set any number; tables that cannot name it would refuse sound records."""
    result, _ = fetched(base_offset=10, count=3, position=10, first_ms=-(10**15))
    chunk = taken(result, 100)
    assert chunk
    assert chunk.timestamps_ms == [0, 0, 0]


def test_chunks_of_one_fetch_join_without_gap_or_overlap() -> None:
    result, _ = fetched(base_offset=10, count=5, position=10)
    first = taken(result, 2)
    second = taken(result, 2)
    third = taken(result, 2)
    assert first and second and third
    assert [*first.offsets, *second.offsets, *third.offsets] == [10, 11, 12, 13, 14]
    assert (first.end_offset, second.end_offset) == (second.start_offset, third.start_offset)
    assert third.end_offset == 15


def test_records_below_the_position_are_left_out() -> None:
    """A fetch returns whole batches: it may begin before the position asked for."""
    result, _ = fetched(base_offset=10, count=4, position=12)
    chunk = taken(result, 100)
    assert chunk is not None
    assert (chunk.start_offset, list(chunk.offsets)) == (12, [12, 13])


def test_fetch_of_a_partition_that_was_seeked_is_dropped() -> None:
    result, state = fetched(base_offset=10, count=4, position=10)
    state.position = 3
    assert taken(result, 100) is None
    assert state.position == 3


@pytest.mark.fault("D7", place="streams/engine/transport.py")
@pytest.mark.parametrize("max_bytes", [1, 500, 10_000])
def test_d7_a_chunk_ends_with_the_record_that_fills_its_room(max_bytes: int) -> None:
    result, state = fetched(base_offset=0, count=30, position=0, value_bytes=100)
    largest = Delivery(Chunk("t", 0, 0, 1, [0], [0], [b"k10"], [bytes(103)]), 0).size_bytes
    offsets: list[int] = []
    while result.has_more():
        chunk, size_bytes = take_chunk(TP, result, 100, max_bytes, NOW_MS)
        if chunk is not None:
            assert size_bytes == Delivery(chunk, 0).size_bytes < max_bytes + largest
            assert len(chunk) >= 1
            offsets += chunk.offsets
    assert offsets == [*range(30)]
    assert state.position == 30


def test_relied_upon_internals_are_there() -> None:
    assert missing_names() == []


def test_a_removed_internal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FetchResult, "getall")
    monkeypatch.setitem(faust_internals._ATTRIBUTES, FetchResult, ("_records_of_old",))
    assert missing_names() == ["FetchResult.getall", "FetchResult._records_of_old"]


class WaitingFetch:
    """A consumer thread in the middle of a fetch for which nothing has come yet."""

    def __init__(self) -> None:
        self.app = SimpleNamespace(consumer_generation_id=1)
        self.consumer: Any = ChunkConsumer.__new__(ChunkConsumer)
        self.consumer.app = self.app
        self.consumer.flow_active = True
        self.consumer.chunk_topics = {TP.topic}
        self.consumer._fetch_generation = 1
        self.consumer._fetch_max_bytes = self.consumer._buffer_max_bytes = 1 << 20
        self.consumer.rooms = {(TP.topic, TP.partition): 1 << 20}
        self.consumer.fetch_interval_s = 0.025
        self.thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
        self.thread.consumer = self.consumer
        self.waits = asyncio.Event()
        self.fetcher = SimpleNamespace(
            _closed=False,
            _records={},
            _subscriptions=SimpleNamespace(
                fetch_context=nullcontext,
                reassignment_in_progress=False,
                is_assigned=lambda _: True,
                subscription=SimpleNamespace(assignment=SimpleNamespace(tps={TP})),
            ),
            _create_fetch_waiter=self._wait,
            _wait_consume_future=None,
            _notify=lambda _: None,
        )
        self.result, self.position = fetched(base_offset=0, count=3, position=0)

    async def outcome(self, meanwhile: Callable[[], None]) -> dict[Any, Any]:
        """What the fetch delivers if, after `meanwhile`, records arrive."""
        fetch = asyncio.create_task(self.fetch(60.0))
        await self.waits.wait()
        meanwhile()
        self.fetcher._records[TP] = self.result
        self.waiter.set_result(None)
        return await fetch

    async def fetch(self, timeout_s: float | None, *, is_closed: bool = False) -> dict[Any, Any]:
        consumer = SimpleNamespace(_fetcher=self.fetcher, _closed=is_closed)
        found: dict[Any, Any] = await self.thread._fetch_records(consumer, {TP}, timeout_s, 100)
        return found

    def _wait(self) -> asyncio.Future[None]:
        self.waiter = asyncio.get_running_loop().create_future()
        self.waits.set()
        return self.waiter


@pytest.mark.asyncio
async def test_a_fetch_delivers_what_comes_while_it_waits() -> None:
    waiting = WaitingFetch()
    assert list(await waiting.outcome(lambda: None)) == [TP]
    assert waiting.position.position == 3


def next_fetch(waiting: WaitingFetch) -> tuple[int, int]:
    """The least bytes the next fetch wants, and the milliseconds it lets the broker wait."""
    return waiting.fetcher._fetch_min_bytes, waiting.fetcher._fetch_max_wait_ms


@pytest.mark.asyncio
async def test_after_records_the_broker_gathers_and_after_a_silence_it_waits_for_any() -> None:
    waiting = WaitingFetch()
    await waiting.outcome(lambda: None)
    assert next_fetch(waiting) == (65_536, 25)
    waiting.fetcher._records.clear()
    assert await waiting.fetch(0.2) == {}
    assert next_fetch(waiting) == (1, 500)


@pytest.mark.asyncio
async def test_without_an_interval_the_broker_gathers_nothing() -> None:
    waiting = WaitingFetch()
    waiting.consumer.fetch_interval_s = 0.0
    await waiting.outcome(lambda: None)
    assert next_fetch(waiting) == (1, 500)


@pytest.mark.asyncio
async def test_a_fetch_goes_on_waiting_when_nothing_was_gathered() -> None:
    waiting = WaitingFetch()
    await waiting.outcome(lambda: None)
    waiting.fetcher._records.clear()
    waiting.result, _ = fetched(base_offset=3, count=1, position=3)
    waiting.waits.clear()
    fetch = asyncio.create_task(waiting.fetch(60.0))
    await waiting.waits.wait()
    first = waiting.waiter
    waiting.waits.clear()
    await waiting.waits.wait()
    assert first.cancelled()
    waiting.fetcher._records[TP] = waiting.result
    waiting.waiter.set_result(None)
    assert list(await fetch) == [TP]


@pytest.mark.asyncio
async def test_a_fetch_that_may_not_wait_does_not() -> None:
    waiting = WaitingFetch()
    assert await waiting.fetch(None) == {}
    assert not waiting.waits.is_set()


@pytest.mark.asyncio
async def test_a_fetch_for_which_nothing_comes_leaves_no_waiter_behind() -> None:
    waiting = WaitingFetch()
    assert await waiting.fetch(0.001) == {}
    assert waiting.waiter.cancelled()


@pytest.mark.asyncio
async def test_a_fetch_that_is_closed_while_it_waits_takes_nothing() -> None:
    waiting = WaitingFetch()

    def close() -> None:
        waiting.fetcher._closed = True

    assert await waiting.outcome(close) == {}
    assert waiting.position.position == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("closed", ["consumer", "fetcher"])
async def test_a_consumer_that_has_stopped_fetches_nothing(closed: str) -> None:
    waiting = WaitingFetch()
    waiting.fetcher._closed = closed == "fetcher"
    with pytest.raises(ConsumerStoppedError):
        await waiting.fetch(60.0, is_closed=closed == "consumer")


@pytest.mark.asyncio
@pytest.mark.parametrize("subscription", [None, SimpleNamespace(assignment=None)])
async def test_a_fetch_before_the_first_assignment_finds_nothing(subscription: Any) -> None:
    waiting = WaitingFetch()
    waiting.fetcher._subscriptions.subscription = subscription
    assert await waiting.fetch(None) == {}


@pytest.mark.asyncio
async def test_a_fetch_waits_for_a_new_assignment() -> None:
    waiting, subscriptions = WaitingFetch(), WaitingFetch().fetcher._subscriptions
    waiting.fetcher._subscriptions = subscriptions
    waiting.fetcher._records[TP] = waiting.result
    assigned = asyncio.Event()
    subscriptions.reassignment_in_progress = True
    subscriptions.wait_for_assignment = assigned.wait
    fetch = asyncio.create_task(waiting.fetch(60.0))
    await asyncio.sleep(0)
    assert waiting.position.position == 0
    assigned.set()
    assert list(await fetch) == [TP]


@pytest.mark.asyncio
async def test_what_ended_the_coordinator_is_told_to_who_waits_for_an_assignment() -> None:
    waiting = WaitingFetch()
    subscriptions = waiting.fetcher._subscriptions
    subscriptions.reassignment_in_progress = True

    async def fail() -> None:
        raise KafkaError(repr(GroupLoadInProgressError()))

    subscriptions.wait_for_assignment = fail
    with pytest.raises(BrokerUnavailableError):
        await waiting.fetch(60.0)


@pytest.mark.asyncio
async def test_two_generations_in_one_fetch_take_nothing_from_the_second() -> None:
    """What is taken moves the position: nobody would fetch it again."""
    waiting = WaitingFetch()

    def rebalance() -> None:
        waiting.app.consumer_generation_id = 2

    assert await waiting.outcome(rebalance) == {}
    assert waiting.position.position == 0


@pytest.mark.asyncio
async def test_a_fetch_takes_nothing_once_a_rebalance_has_begun() -> None:
    waiting = WaitingFetch()

    def revoke() -> None:
        waiting.consumer.flow_active = False

    assert await waiting.outcome(revoke) == {}
    assert waiting.position.position == 0


@pytest.mark.asyncio
async def test_state_logs_have_no_end_for_faust_to_read_to() -> None:
    """An heir may write to the log of a worker that was frozen while it opened its partitions."""
    consumer: Any = ChunkConsumer.__new__(ChunkConsumer)
    consumer._thread = SimpleNamespace(highwaters=lambda *tps: dict.fromkeys(tps, 100))
    assert await consumer.highwaters(TP) == {TP: None}


@pytest.mark.parametrize("error", [AssertionError(), IllegalStateError("not assigned")])
def test_a_partition_that_is_lost_has_no_end(error: Exception) -> None:
    """Asked for in the middle of a rebalance."""

    def last_stable_offset(_: Any) -> int:
        raise error

    thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
    thread._consumer = SimpleNamespace(last_stable_offset=last_stable_offset)
    assert thread.highwater(TP) is None


class Answers:
    """A client whose broker answers what nobody can read."""

    _loop = None
    _metadata_max_age_ms = 1_000
    cluster = SimpleNamespace(leader_for_partition=lambda _: 0)

    async def send(self, node_id: int, request: Any) -> Any:
        return SimpleNamespace(API_VERSION=11, topics=[("t", [(0,)])])


@pytest.mark.asyncio
@pytest.mark.fault("D13", place="streams/engine/health.py")
async def test_d13_fetches_that_have_ended_are_told() -> None:
    subscriptions = SubscriptionState()
    subscriptions.assign_from_user({TP})
    subscriptions.subscription.assignment.state_value(TP).reset_to(0)
    thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
    thread._consumer = None
    assert thread.failure() is None
    thread._consumer = SimpleNamespace(_fetcher=Fetcher(Answers(), subscriptions))
    assert thread.failure() is None
    await asyncio.wait([thread._consumer._fetcher._fetch_task])
    assert "data retrieval" in str(thread.failure())


async def end_with(error: Exception) -> None:
    raise error


@pytest.mark.asyncio
@pytest.mark.fault("D13", place="streams/engine/health.py")
async def test_d13_a_membership_that_has_ended_is_told_and_one_that_was_ended_is_not() -> None:
    thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
    coordination = asyncio.create_task(end_with(IllegalStateError("no group")))
    coordinator = SimpleNamespace(_pending_exception=None, _coordination_task=coordination)
    thread._consumer = SimpleNamespace(_coordinator=coordinator)
    assert thread.failure() is None
    await asyncio.wait([coordination])
    assert str(thread.failure()) == "IllegalStateError: no group"
    for ended in (asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(asyncio.sleep(60))):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ended.cancel()
        await asyncio.wait([ended])
        coordinator._coordination_task = ended
        assert thread.failure() is None


LOST = KafkaError(
    "Unexpected error during coordination RuntimeError('unable to perform operation on"
    " <TCPTransport closed=True reading=False 0x7f>; the handler is closed')"
)
"""What aiokafka makes of it when a broker goes while its coordinator writes, under uvloop."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LOST, "transient.broker_unavailable"),
        # What it makes of any answer to SyncGroup that it does not expect.
        (KafkaError(repr(GroupLoadInProgressError())), "transient.broker_unavailable"),
        (KafkaError(repr(NotLeaderForPartitionError("0"))), "transient.broker_unavailable"),
        (KafkaError(repr(InvalidGroupIdError())), None),
        (KafkaError("no_such_name()"), None),
        (KafkaError("annotations()"), None),
        (KafkaError("Unexpected error: KeyError()"), None),
    ],
)
@pytest.mark.asyncio
async def test_a_lost_connection_that_ended_the_coordinator_is_told_as_what_it_is(
    error: KafkaError, code: str | None
) -> None:
    async def failed() -> None:
        raise error

    thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
    coordination = asyncio.create_task(failed())
    coordinator = SimpleNamespace(_pending_exception=None, _coordination_task=coordination)
    thread._consumer = SimpleNamespace(_coordinator=coordinator)
    await asyncio.wait([coordination])
    assert getattr(thread.failure(), "code", None) == code
    coordinator._pending_exception, coordinator._coordination_task = error, None
    assert getattr(thread.failure(), "code", None) == code
    waiting = WaitingFetch()
    fetch = asyncio.create_task(waiting.fetch(60.0))
    await waiting.waits.wait()
    waiting.waiter.set_exception(error)
    with pytest.raises((KafkaError, BrokerUnavailableError)) as caught:
        await fetch
    assert getattr(caught.value, "code", None) == code


@pytest.mark.fault("D13", place="streams/engine/health.py")
def test_d13_a_right_on_the_group_that_is_lost_is_told() -> None:
    """Until somebody asks, aiokafka neither beats nor joins again."""
    thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
    coordinator = SimpleNamespace(_pending_exception=GroupAuthorizationFailedError("psastream"))
    thread._consumer = SimpleNamespace(_coordinator=coordinator)
    assert isinstance(thread.failure(), GroupAuthorizationFailedError)


@pytest.mark.fault("D7", place="streams/engine/transport.py")
@pytest.mark.parametrize(
    ("partitions", "bytes_each"), [(1, 1 << 20), (8, 1 << 20), (136, (8 << 20) // 136)]
)
def test_d7_answers_of_all_partitions_fit_into_the_buffers(
    partitions: int, bytes_each: int
) -> None:
    consumer: Any = ChunkConsumer.__new__(ChunkConsumer)
    consumer._fetch_max_bytes, consumer._buffer_max_bytes = 1 << 20, 8 << 20
    assert consumer.fetch_bytes(partitions) == bytes_each
    assert partitions * bytes_each <= 8 << 20


@pytest.mark.fault("D7", place="streams/engine/transport.py")
@pytest.mark.parametrize(("partitions", "bytes_each"), [(0, 50), (1, 50), (2, 25), (80, 1)])
def test_d7_an_answer_holds_something_however_many_partitions_there_are(
    partitions: int, bytes_each: int
) -> None:
    """None at all too, as between two assignments."""
    consumer: Any = ChunkConsumer.__new__(ChunkConsumer)
    consumer._fetch_max_bytes, consumer._buffer_max_bytes = 1 << 20, 50
    assert consumer.fetch_bytes(partitions) == bytes_each


@pytest.mark.asyncio
async def test_a_fetch_asks_for_the_share_of_each_partition() -> None:
    waiting = WaitingFetch()
    await waiting.outcome(lambda: None)
    assert waiting.fetcher._max_partition_fetch_bytes == 1 << 20


@pytest.mark.fault("D7", place="streams/engine/flow.py")
def test_d7_partitions_that_come_in_one_fetch_share_what_is_free() -> None:
    """Each had room for half of what is free when the fetch began."""
    tps = [TopicPartition("t", number) for number in range(50)]
    window = FlowWindow(20_000)
    window.start_generation(1)
    thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
    rooms = {(tp.topic, tp.partition): window.room_bytes("t", tp.partition) for tp in tps}
    thread.consumer = SimpleNamespace(reads_contexts=False, chunk_topics={"t"}, rooms=rooms)
    records = {tp: fetched(0, 40, 0, value_bytes=100)[0] for tp in tps}
    fetcher = SimpleNamespace(
        _records=dict(records), _wait_consume_future=None, _notify=lambda _: None
    )
    for chunk in thread._drain(fetcher, set(tps), 1_000).values():
        window.enter(Delivery(chunk, 1))
    assert 0 < window.total_bytes < 20_000 + 400


def drained(
    records: dict[Any, Any],
    active: set[Any],
    *,
    assigned: set[Any] | None = None,
    max_records: int = 100,
) -> tuple[dict[Any, Any], list[Any], list[None]]:
    """What a fetch takes of two topics, what it leaves, and how often it asks for more."""
    notified: list[None] = []
    thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
    rooms = {("t", 0): 1 << 20, ("t", 1): 0}
    thread.consumer = SimpleNamespace(reads_contexts=False, chunk_topics={"t"}, rooms=rooms)
    fetcher = SimpleNamespace(
        _records=records,
        _subscriptions=SimpleNamespace(is_assigned=(assigned or active).__contains__),
        _wait_consume_future=None,
        _notify=notified.append,
    )
    return thread._drain(fetcher, active, max_records), list(records), notified


def test_topics_of_no_group_come_record_by_record() -> None:
    other = TopicPartition("other", 0)
    chunked, plain = fetched(0, 3, 0)[0], fetched(0, 3, 0)[0]
    records = {TP: chunked, other: plain}
    found, left, notified = drained(records, {TP, other}, max_records=2)
    assert isinstance(found[TP], Chunk)
    assert [record.value for record in found[other]] == [b"v0", b"v1"]
    assert (left, notified) == ([TP, other], [])  # each has one more
    found, left, notified = drained(records, {TP, other}, max_records=2)
    assert list(found[TP].offsets) == [2]
    assert [record.value for record in found[other]] == [b"v2"]
    assert (left, notified) == ([], [None, None])


def test_a_partition_without_room_and_one_that_is_not_asked_for_wait() -> None:
    full, resting, lost = TopicPartition("t", 1), TopicPartition("t", 2), TopicPartition("t", 3)
    records = {tp: fetched(0, 3, 0)[0] for tp in (lost, resting, full, TP)}
    found, left, _ = drained(records, {TP, full}, assigned={TP, full, resting})
    assert list(found) == [TP]
    assert left == [resting, full]


def test_a_partition_takes_half_of_what_is_free() -> None:
    """The other half is for what comes while this is in work."""
    thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
    thread.consumer = SimpleNamespace(
        reads_contexts=False, chunk_topics={"t"}, rooms={("t", 0): 8_000}
    )
    fetcher = SimpleNamespace(
        _records={TP: fetched(0, 100, 0, value_bytes=100)[0]},
        _wait_consume_future=None,
        _notify=lambda _: None,
    )
    (chunk,) = thread._drain(fetcher, {TP}, 1_000).values()
    assert 4_000 <= Delivery(chunk, 1).size_bytes < 4_400


@pytest.mark.fault("D7", place="streams/engine/transport.py")
@pytest.mark.parametrize(("left_bytes", "partitions"), [(0, 1), (1, 2)])
def test_d7_what_one_partition_took_is_gone_from_the_room_of_the_next_to_the_byte(
    left_bytes: int, partitions: int
) -> None:
    """With a byte of room a record is let in, whatever it weighs; with none it waits."""
    other = TopicPartition("t", 1)
    taken_bytes = Delivery(Chunk("t", 0, 0, 1, [0], [0], [b"k0"], [b"v0"]), 1).size_bytes
    thread: Any = ChunkConsumerThread.__new__(ChunkConsumerThread)
    rooms = {("t", 0): 1, ("t", 1): taken_bytes + left_bytes}
    thread.consumer = SimpleNamespace(reads_contexts=False, chunk_topics={"t"}, rooms=rooms)
    fetcher = SimpleNamespace(
        _records={tp: fetched(0, 3, 0)[0] for tp in (TP, other)},
        _wait_consume_future=None,
        _notify=lambda _: None,
    )
    found = thread._drain(fetcher, {TP, other}, 100)
    assert [len(chunk) for chunk in found.values()] == [1] * partitions


@pytest.mark.fault("C11", place="streams/engine/transport.py")
def test_c11_the_present_of_a_fetch_is_that_of_its_machine() -> None:
    before_ms = time.time() * 1_000 - 1
    found, _, _ = drained({TP: fetched(0, 1, 0, first_ms=10**14)[0]}, {TP})
    assert before_ms <= found[TP].timestamps_ms[0] <= time.time() * 1_000


class Refused:
    """An answer of the broker that is an error."""

    def check_raise(self) -> None:
        raise GroupAuthorizationFailedError("t")


def test_what_came_before_an_error_is_delivered_before_it_is_raised() -> None:
    other = TopicPartition("other", 0)
    records: dict[Any, Any] = {TP: fetched(0, 3, 0)[0], other: Refused()}
    found, left, _ = drained(records, {TP, other})
    assert (list(found), left) == ([TP], [other])
    with pytest.raises(GroupAuthorizationFailedError):
        drained(records, {TP, other})
    assert records == {}


class Seeks:
    """The consumer's thread: positions, and what is committed."""

    def __init__(self, committed: dict[TopicPartition, int | None]) -> None:
        self.committed = committed
        self.position = dict.fromkeys(committed, 17)

    async def seek_to_committed(self) -> dict[TopicPartition, int | None]:
        """As aiokafka does: it leaves where it is what has no offset."""
        self.position |= {tp: offset for tp, offset in self.committed.items() if offset}
        return self.committed

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        assert partitions, "all of them, to aiokafka"
        self.position |= dict.fromkeys(partitions, 0)


@pytest.mark.parametrize("offset", [None, 0, 12])
@pytest.mark.asyncio
async def test_after_a_rebalance_what_has_no_committed_offset_is_read_from_its_beginning(
    offset: int | None,
) -> None:
    """What was taken while the rebalance went on has been delivered to nobody."""
    log = TopicPartition("t.log", 0)
    seeks = Seeks({TP: offset, TopicPartition("t", 1): 5, log: None})
    consumer: Any = object.__new__(ChunkConsumer)
    consumer.chunk_topics = frozenset({"t"})
    consumer._thread = seeks
    assert await consumer.seek_to_committed() == seeks.committed
    assert seeks.position == {TP: offset or 0, TopicPartition("t", 1): 5, log: 17}


@pytest.mark.asyncio
async def test_a_chunk_is_delivered_though_one_behind_it_was_cut_off_on_its_way() -> None:
    """A rebalance cuts a delivery off, and Faust notes it as read all the same."""
    consumer: Any = create_app(
        EngineSettings(app_id="w", bootstrap_servers="k:9092", state_dir=Path("state")),
        [GroupSpec("g", 1, [AgentSpec("t", lambda chunk, state: Effects())], "g.log")],
        NoInstruments(),
    ).consumer
    delivered: list[int] = []

    async def deliver(message: Any) -> None:
        delivered.append(message.offset)
        if len(delivered) == 1:
            consumer.suspend_flow.set()  # as a revocation does
            await asyncio.Event().wait()
        consumer.suspend_flow.clear()

    async def fetched_once(timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        for offset in (99, 79):
            yield TP, SimpleNamespace(offset=offset, topic="t", tp=TP)
        fetcher._stopped.set()

    fetcher: Any = SimpleNamespace(_stopped=asyncio.Event())
    consumer.callback, consumer.getmany = deliver, fetched_once
    await consumer._drain_messages(fetcher)
    assert delivered == [99, 79]
