"""What befalls a worker on a real Kafka short of its end: slow commits, full buffers and disks."""

import asyncio
import errno
import gc
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from streams.engine import Chunk, ChunkHandler, Effects, GroupSpec, NoInstruments, Output, State
from streams.engine.commit import Part, TransactionalWriter
from streams.engine.contract import AgentSpec
from streams.engine.errors import FencedError
from streams.engine.marks import Mark
from streams.engine.membership import NOBODY, Member
from streams.engine.seams import Seams
from streams.engine.state_log import StateLog
from streams.engine.state_store import StateStore
from streams.engine.worker_name import WorkerName
from tests.support.engine_agents import row, totals_group
from tests.support.engine_testbed import EngineTestbed, ThreadWorker

pytestmark = pytest.mark.stack

_ROWS = 400


@pytest.fixture
def testbed(kafka: str, tmp_path: Path) -> EngineTestbed:
    testbed = EngineTestbed(kafka, tmp_path)
    testbed.create_topics()
    for partition in range(testbed.partitions):
        rows = [
            (b"R%d-%d" % (partition, i % 150), row(f"P{partition}-{i % 7}", i))
            for i in range(_ROWS)
        ]
        testbed.produce(testbed.topics.rows, partition, rows)
        adjustments = [(f"P{partition}-{i % 7}".encode(), b"1") for i in range(50)]
        testbed.produce(testbed.topics.adjustments, partition, adjustments)
    return testbed


def worker_of(
    testbed: EngineTestbed,
    name: str = "w",
    *,
    seams: Seams | None = None,
    group: GroupSpec | None = None,
    **settings: Any,
) -> ThreadWorker:
    group = group or totals_group(testbed.topics, testbed.partitions)
    return ThreadWorker(testbed.settings(name, **settings), [group], NoInstruments(), seams)


def assert_goes_on_exactly(testbed: EngineTestbed, **settings: Any) -> None:
    """A new worker in the same place brings everything to the truth."""
    with worker_of(testbed, **settings):
        testbed.wait_until_drained()
    assert testbed.totals() == testbed.expected()


class Gate:
    """Holds whoever passes until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def hold(self) -> None:
        self.reached.set()
        assert self._open.wait(60), "nobody opened the gate"

    def open(self) -> None:
        self._open.set()


class SlowCommit(TransactionalWriter):
    """The first transaction hangs, before or after the broker has committed it."""

    is_slow = True

    async def _transaction(self, parts: Sequence[Part], member: Member) -> list[int]:
        if not self.is_slow:
            return await super()._transaction(parts, member)
        self.is_slow = False
        await self.hang(parts, member)
        raise AssertionError("unreachable: it hangs")

    async def hang(self, parts: Sequence[Part], member: Member) -> None:
        await asyncio.Event().wait()


class SlowAnswer(SlowCommit):
    async def hang(self, parts: Sequence[Part], member: Member) -> None:
        await super()._transaction(parts, member)
        await super().hang(parts, member)


@pytest.mark.parametrize("writer", [SlowCommit, SlowAnswer])
def test_a_commit_that_takes_too_long_is_tried_again(
    testbed: EngineTestbed, writer: type[TransactionalWriter]
) -> None:
    with worker_of(testbed, seams=Seams(writer=writer), commit_timeout_s=1.0) as worker:
        testbed.wait_until_drained()
    assert worker.exit_code == 0
    assert testbed.totals() == testbed.expected()


class FullDisk(StateStore):
    """Has room for three chunks."""

    chunks = 0

    def apply(self, changes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        self.chunks += 1
        if self.chunks > 3:
            raise OSError(errno.ENOSPC, "no space left on device")
        super().apply(changes, log_offset)


def test_a_full_disk_stops_the_worker_and_loses_nothing(testbed: EngineTestbed) -> None:
    with worker_of(testbed, seams=Seams(store=FullDisk), max_chunk_records=50) as worker:
        assert worker.join() == 1
    assert testbed.committed(testbed.topics.rows, testbed.topics.adjustments) > 0
    assert_goes_on_exactly(testbed)


def test_a_restore_that_takes_too_long_stops_the_worker(testbed: EngineTestbed) -> None:
    assert_goes_on_exactly(testbed)
    testbed.produce(testbed.topics.rows, 0, [(b"R0-1", row("P0-1", 5))])
    committed = testbed.committed(testbed.topics.rows)
    with worker_of(testbed, "empty", recovery_timeout_s=0.001) as worker:
        assert worker.join() == 1
    assert testbed.committed(testbed.topics.rows) == committed
    assert_goes_on_exactly(testbed)


def test_a_rebalance_during_a_restore(testbed: EngineTestbed) -> None:
    """The restore is given up and begun again, here or by the other worker."""
    assert_goes_on_exactly(testbed)
    gate = Gate()

    def reached(mark: Mark) -> None:
        if mark is Mark.RESTORING:
            gate.hold()

    with worker_of(testbed, "first", seams=Seams(reached), halt_timeout_s=0.5) as first:
        first.wait(gate.reached.is_set)
        with worker_of(testbed, "second") as second:
            second.wait(lambda: second.owns() and second.worker.health.is_ready())
            gate.open()
            for partition in range(testbed.partitions):
                new = (b"R%d-1" % partition, row(f"P{partition}-1", 5))
                testbed.produce(testbed.topics.rows, partition, [new])
            testbed.wait_until_drained()
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert testbed.totals() == testbed.expected()


def holding(group: GroupSpec, gate: Gate, partition: int) -> GroupSpec:
    """The group, its handlers held on one partition."""

    def held(handler: ChunkHandler) -> ChunkHandler:
        def handle(chunk: Chunk, state: State) -> Effects:
            if chunk.partition == partition:
                gate.hold()
            return handler(chunk, state)

        return handle

    agents = [AgentSpec(agent.topic, held(agent.handler)) for agent in group.agents]
    return GroupSpec(group.name, group.partitions, agents, group.state_topic, group.output_topics)


def test_a_partition_whose_buffer_is_full_holds_up_no_other(testbed: EngineTestbed) -> None:
    gate = Gate()
    rows = testbed.topics.rows
    group = holding(totals_group(testbed.topics, testbed.partitions), gate, partition=0)
    with worker_of(
        testbed, group=group, max_chunk_records=20, in_flight_max_bytes=50_000
    ) as worker:
        worker.wait(gate.reached.is_set)
        worker.wait(lambda: worker.worker.app.window.is_full(rows, 0))
        worker.wait(lambda: testbed.positions(rows).get((rows, 1)) == _ROWS)
        assert testbed.positions(rows)[rows, 0] == 0
        gate.open()
        testbed.wait_until_drained()
    assert testbed.totals() == testbed.expected()


def test_i1_fausts_own_commit_commits_nothing(testbed: EngineTestbed) -> None:
    """Faust acknowledges a chunk as soon as it is handed on; only transactions carry offsets.

    So neither the order of acknowledgements nor gaps between them matter.
    """
    gate = Gate()
    group = totals_group(testbed.topics, testbed.partitions)
    for partition in range(testbed.partitions):
        group = holding(group, gate, partition)
    with worker_of(
        testbed, group=group, max_chunk_records=20, in_flight_max_bytes=150_000
    ) as worker:
        worker.wait(lambda: worker.worker.app.window.is_full(testbed.topics.rows, 0))
        app = worker.worker.app
        assert not asyncio.run_coroutine_threadsafe(app.consumer.commit(), app.loop).result(20)
        assert testbed.committed(testbed.topics.rows, testbed.topics.adjustments) == 0
        gate.open()
        testbed.wait_until_drained()
    assert testbed.totals() == testbed.expected()


def test_a_new_group_begins_where_its_source_begins(testbed: EngineTestbed) -> None:
    """Retention has taken the head of a source nobody has read yet."""
    testbed.delete_head(testbed.topics.rows, 0, 150)
    assert_goes_on_exactly(testbed)


def test_a_lost_head_of_a_source_stops_the_worker(testbed: EngineTestbed) -> None:
    """Retention has overtaken the group: what it has not read is gone, and somebody must know."""
    assert_goes_on_exactly(testbed)
    testbed.produce(testbed.topics.rows, 0, [(b"R0-1", row("P0-1", 5))] * 20)
    testbed.delete_head(testbed.topics.rows, 0, _ROWS + 10)
    with worker_of(testbed) as worker:
        assert worker.join() == 1
    assert testbed.positions(testbed.topics.rows)[testbed.topics.rows, 0] == _ROWS


def test_a_writer_that_is_fenced_while_it_sends_says_so(kafka: str, tmp_path: Path) -> None:
    """It hears of it between two batches: each topic is new to it, so that takes a while."""
    testbed = EngineTestbed(kafka, tmp_path)
    topics = [testbed.topics.state, *(f"{testbed.app_id}-{number}" for number in range(6))]
    testbed.create_topics(*topics)

    async def commit_after_an_heir() -> None:
        writer, heir = (TransactionalWriter("fenced", testbed.settings()) for _ in range(2))
        await writer.open()
        await heir.open()
        outputs = [Output(topic, 0, b"k", b"v") for topic in topics[1:]]
        log = (testbed.topics.state, 0)
        encoded = writer.encode(log, {b"k": b"v"}, Effects(outputs=[*outputs]), None)
        chunk = Chunk(topics[1], 0, 0, 1, [0], [0], [b"k"], [b"v"])
        try:
            await writer.commit([Part(chunk, encoded)], NOBODY)
        finally:
            await writer.close()
            await heir.close()

    with pytest.raises(FencedError):
        asyncio.run(commit_after_an_heir())
    gc.collect()  # aiokafka leaves futures behind; asyncio reports them here and not in mid-parse


@pytest.mark.parametrize("stale", ["generation", "member_id"])
def test_i1_a_worker_that_has_lost_its_partitions_commits_nothing(
    testbed: EngineTestbed, stale: str
) -> None:
    """The group's coordinator refuses its position, and what it wrote before is aborted."""
    topics = testbed.topics

    async def commit_as_before() -> list[int]:
        consumer = AIOKafkaConsumer(
            topics.rows,
            bootstrap_servers=testbed.bootstrap_servers,
            group_id=testbed.app_id,
            enable_auto_commit=False,
        )
        await consumer.start()
        writer = TransactionalWriter("w", testbed.settings())
        try:
            coordinator = consumer._coordinator
            member = Member(coordinator.generation, coordinator.member_id)
            await writer.open()
            committed = await writer.commit([_written(writer, topics.state, b"1")], member)
            lost = {
                "generation": replace(member, generation=member.generation - 1),
                "member_id": replace(member, member_id="of-before"),
            }[stale]
            with pytest.raises(FencedError, match="given the partitions to other workers"):
                await writer.commit([_written(writer, topics.state, b"2")], lost)
            return committed
        finally:
            await writer.close()
            await consumer.stop()

    def _written(writer: TransactionalWriter, state: str, value: bytes) -> Part:
        encoded = writer.encode((state, 0), {b"k": value}, Effects(), None)
        end = int(value)
        return Part(Chunk(topics.rows, 0, end - 1, end, [end - 1], [0], [b"k"], [b"v"]), encoded)

    assert asyncio.run(commit_as_before()) == [0]
    # Nobody has to wait for its time-out.
    end = StateLog(topics.state, testbed.settings()).bounds(0).end
    assert end == 4  # a record and a marker of each transaction
    gc.collect()
    assert testbed.read(topics.state) == [(b"k", b"1")]
    assert testbed.positions(topics.rows)[topics.rows, 0] == 1


def test_a_worker_ends_what_its_earlier_life_left_open(testbed: EngineTestbed) -> None:
    """At its start: its heirs, and all who read what it has written to, wait for the end of it."""
    settings = testbed.settings("w", transaction_timeout_s=600.0)
    name = WorkerName(settings.state_dir)

    async def leave_open() -> None:
        writer = TransactionalWriter(settings.transactional_id(name.text), settings)
        await writer.open()
        encoded = writer.encode((testbed.topics.state, 0), {b"R0-1": b"lost"}, Effects(), None)
        await writer._producer.begin_transaction()
        await writer._send(writer._shared([Part(Chunk("", 0, 0, 0, [], [], [], []), encoded)]))
        await writer.close()

    asyncio.run(leave_open())
    gc.collect()
    name.release()
    assert_goes_on_exactly(testbed, transaction_timeout_s=600.0)
