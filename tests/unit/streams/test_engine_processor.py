"""The order of things in one partition: fold, commit, local write; and what failure leaves behind.

The state is a sum, so a record that is applied twice, or not at all, shows in it.
"""

import asyncio
import errno
import threading
import time
from pathlib import Path
from random import Random

import pytest

from schemas.errors import BrokerUnavailableError, DecodeError
from streams.engine import Accounting, Chunk, Effects, EngineSettings, State
from streams.engine.errors import CommitOutcomeUnknownError, FencedError, StateGapError
from streams.engine.state_store import StateStore
from tests.support.engine_fakes import Changes, FakePartition, MemoryStore
from tests.support.engine_processor import (
    DEADLINE_S,
    add_up,
    facts,
    held,
    numbers,
    once,
    running,
)

pytestmark = pytest.mark.asyncio


async def test_few_records_gather_until_the_commit_interval_is_over() -> None:
    async with running(FakePartition(), commit_interval_s=0.3) as it:
        it.submit(numbers(0, 1))
        assert await it.applied() == 1
        it.submit(numbers(1, 2))
        for _ in range(100):  # what was not held back would be in work by now
            await asyncio.sleep(0)
        it.submit(numbers(2, 3))
        assert await it.applied() == 2


async def test_many_records_are_not_held_back() -> None:
    async with running(FakePartition(), commit_interval_s=3600) as it:
        for start in (0, 5_000, 10_000):
            it.submit(numbers(start, *range(5_000)))
            assert await it.applied() == 5_000


async def test_a_chunk_that_follows_restores_nothing() -> None:
    restores: list[threading.Event] = []
    partition = FakePartition(during_catch_up=restores.append)
    async with running(partition) as it:
        for start in range(3):
            it.submit(numbers(start, 1))
            assert await it.applied() == 1
    assert len(restores) == 1
    assert partition.epoch == 1


async def test_chunks_are_folded_in_their_order() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        it.submit(numbers(0, 1, 2), numbers(2, 3), numbers(3, 4))
        while sum(int(o.value) for o in partition.outputs[-1:]) != 10:
            await it.applied()
    assert facts(held(partition)) == {
        b"sum": b"10",
        b"!f:numbers": b"3",
        b"!a:numbers": b"0 4 4 0 0 0",
    }
    assert partition.committed == {"numbers": 4}


async def test_stop_during_a_retried_commit_commits_nothing() -> None:
    """The catch-up before the retry ends early then: what others committed may be missing.

    The worker was frozen, its partition went to an heir, and it gives it up as it wakes.
    """
    partition = FakePartition()

    def freeze(chunk: Chunk) -> None:
        partition.before_commit = lambda chunk: None
        heir = dict(held(partition))
        heir[b"sum"], heir[b"!f:numbers"] = b"100", b"%d" % (chunk.last_offset + 10)
        partition.log.append(heir)
        partition.committed["numbers"] = chunk.end_offset + 10
        partition.during_catch_up = wait_for_stop
        raise CommitOutcomeUnknownError("no answer in time")

    def wait_for_stop(stop: threading.Event) -> None:
        loop.call_soon_threadsafe(restoring.set)
        stop.wait(DEADLINE_S)

    loop = asyncio.get_running_loop()
    restoring = asyncio.Event()
    partition.before_commit = freeze
    async with running(partition) as it:
        it.submit(numbers(0, 1))
        await asyncio.wait_for(restoring.wait(), DEADLINE_S)
    assert len(partition.log) == 1
    assert partition.outputs == []
    assert partition.committed == {"numbers": 11}


async def test_a_chunk_that_leaves_records_out_stops_the_process() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        it.submit(numbers(0, 1))
        await it.applied()
        it.submit(numbers(3, 4))
        assert isinstance(await it.failed(), StateGapError)
        assert it.watched.gaps == [("numbers", 2)]
    assert partition.committed == {"numbers": 1}


async def test_an_operator_may_allow_a_gap_and_is_told_how_large_it_is() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        it.submit(numbers(0, 1))
        await it.applied()
    partition.committed = {"numbers": 3, "others": 2}
    async with running(partition, allow_state_gap=True) as it:
        it.submit(numbers(3, 4))
        assert await it.applied() == 1
        assert it.watched.gaps == [("numbers", 2), ("others", 2)]
        it.submit(numbers(2, 5, topic="others"))
        assert await it.applied() == 1
        it.submit(numbers(6, 8))
        assert await it.applied() == 1
        assert it.watched.gaps[-1] == ("numbers", 2)
    assert held(partition)[b"sum"] == b"18"
    assert partition.committed == {"numbers": 7, "others": 3}


async def test_a_first_chunk_that_leaves_records_out_stops_the_process() -> None:
    """Nothing is committed or in the state yet: only the start of the topic tells."""
    partition = FakePartition(start=5)
    async with running(partition) as it:
        it.submit(numbers(7, 1))
        assert isinstance(await it.failed(), StateGapError)
    assert partition.committed == {}


def let_heir_commit(partition: FakePartition, end: int) -> None:
    """Another worker opens the partition and moves it to `end`."""
    partition.epoch += 1
    says = {b"!v": b"1.1", b"!t:numbers": partition.topic_id.encode()}
    state = {**held(partition), **says, b"!f:numbers": b"%d" % (end - 1)}
    partition.log.append(state)
    partition.committed["numbers"] = end


async def test_an_heir_that_goes_on_while_this_worker_restores_is_no_gap() -> None:
    """A worker that was frozen restores what is another's by now. It is fenced, no more."""
    partition = FakePartition()
    partition.after_catch_up = lambda: let_heir_commit(partition, 5)
    async with running(partition) as it:
        it.submit(numbers(5, 1))
        assert isinstance(await it.failed(), FencedError)


async def test_an_heir_that_has_gone_on_since_is_no_gap() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        it.submit(numbers(0, 1))
        await it.applied()
        let_heir_commit(partition, 5)
        it.submit(numbers(5, 1))
        assert isinstance(await it.failed(), FencedError)
    assert partition.committed == {"numbers": 5}


async def test_a_new_group_begins_at_the_start_of_its_source() -> None:
    partition = FakePartition(start=5)
    async with running(partition) as it:
        it.submit(numbers(5, 1))
        assert await it.applied() == 1
    assert partition.committed == {"numbers": 6}


@pytest.mark.parametrize(
    "error", [ValueError("boom"), DecodeError("cannot read"), BrokerUnavailableError("away")]
)
async def test_i1_a_handler_that_fails_keeps_the_record(error: Exception) -> None:
    """A transient error is tried again, any other stops the process; neither commits."""
    partition = FakePartition()
    errors = [error]

    def fail_once(chunk: Chunk, state: State) -> Effects:
        if errors:
            raise errors.pop()
        return add_up(chunk, state)

    async with running(partition, handler=fail_once) as it:
        it.submit(numbers(0, 1, 2))
        if isinstance(error, BrokerUnavailableError):
            await it.applied()
        else:
            assert await it.failed() is error
            assert (partition.log, partition.committed) == ([], {})
    async with running(partition) as it:
        it.submit(numbers(0, 1, 2), numbers(2, 4))
        while partition.committed != {"numbers": 3}:
            await it.applied()
    assert held(partition)[b"sum"] == b"7"


async def test_a_failed_commit_is_tried_again() -> None:
    partition = FakePartition(before_commit=once(CommitOutcomeUnknownError("no answer")))
    async with running(partition) as it:
        it.submit(numbers(0, 1, 2))
        assert await it.applied() == 2
    assert facts(held(partition)) == {
        b"sum": b"3",
        b"!f:numbers": b"1",
        b"!a:numbers": b"0 2 2 0 0 0",
    }


async def test_i3_a_commit_whose_answer_is_lost_is_not_made_twice() -> None:
    partition = FakePartition(after_commit=once(CommitOutcomeUnknownError("no answer")))
    async with running(partition) as it:
        it.submit(numbers(0, 1, 2))
        assert await it.applied() == 0
        it.submit(numbers(2, 4))
        assert await it.applied() == 1
    assert held(partition)[b"sum"] == b"7"
    assert [output.value for output in partition.outputs] == [b"3", b"7"]


async def test_a_chunk_that_overlaps_the_state_is_applied_from_there_on() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        for at in (0, 1):
            it.submit(numbers(at, at + 1))
            await it.applied()
        assert it.watched.skipped == []
        it.submit(numbers(1, 2, 4))
        assert await it.applied() == 1
        it.submit(numbers(0, 1))
        assert await it.applied() == 0
        assert it.watched.skipped == [("numbers", 1), ("numbers", 1)]
    assert facts(held(partition)) == {
        b"sum": b"7",
        b"!f:numbers": b"2",
        b"!a:numbers": b"0 3 3 0 0 0",
    }
    assert partition.committed == {"numbers": 3}


class FullDisk(MemoryStore):
    """Has no room from the second chunk on."""

    def apply(self, changes: Changes, log_offset: int) -> None:
        if self.log_offset is not None:
            raise OSError(errno.ENOSPC, "no space left on device")
        super().apply(changes, log_offset)


async def test_i6_a_local_write_that_fails_stops_the_process_and_loses_nothing() -> None:
    """The chunk is committed by then: whoever restores the state has it."""
    partition = FakePartition()
    async with running(partition, store=FullDisk) as it:
        it.submit(numbers(0, 1))
        await it.applied()
        it.submit(numbers(1, 2))
        assert isinstance(await it.failed(), OSError)
    async with running(partition) as it:
        it.submit(numbers(1, 2, 4))
        assert await it.applied() == 1
    assert held(partition)[b"sum"] == b"7"


async def test_a_fenced_worker_stops_and_writes_nothing() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        partition.epoch += 1
        it.submit(numbers(0, 1))
        assert isinstance(await it.failed(), FencedError)
    assert (partition.log, partition.outputs, partition.committed) == ([], [], {})


def remember(chunk: Chunk, state: State) -> Effects:
    """Key: the number of a place, far from the next; value: added to what it holds."""
    places = [b"place %09d" % int(value or 0) for value in chunk.values]
    held = [int((value or b"0").split()[0]) for value in state.get_many(places)]
    changes = {
        place: b"%d %s" % (count + 1, Random(place).randbytes(1_000))
        for place, count in zip(places, held, strict=True)
    }
    return Effects(state=dict(changes), accounting=Accounting(applied=len(chunk)))


@pytest.mark.fault("B7", place="streams/engine/processor.py")
@pytest.mark.parametrize("at", [100, 20_000], ids=["at recovery", "under a handler"])
async def test_b7_damaged_local_state_is_rebuilt_from_the_log(tmp_path: Path, at: int) -> None:
    partition = FakePartition()

    def store(path: Path, settings: EngineSettings) -> StateStore:
        return StateStore(tmp_path / "state", settings)

    async with running(partition, handler=remember, store=store) as it:
        it.submit(numbers(0, *range(40)))
        await it.applied()
    (path,) = (tmp_path / "state").glob("*.sst")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    was_ready: list[bool] = []
    partition.during_catch_up = lambda _: was_ready.append(it.processor.is_ready)
    async with running(partition, handler=remember, store=store) as it:
        it.submit(numbers(40, *range(40)))
        assert await it.applied() == 40
        assert it.watched.rebuilds == 1
        assert it.processor.is_ready
        assert was_ready and not any(was_ready)  # nor while it was rebuilt
        it.submit(numbers(79, 39))  # the state is looked up again, and is whole
        assert await it.applied() == 0
        assert it.watched.rebuilds == 1
    counts = {
        value.split()[0]
        for key, value in held(partition).items()
        if key.startswith(b"place") and value
    }
    assert counts == {b"2"}


def mark(chunk: Chunk, state: State) -> Effects:
    """Key `x|<n>`: `odd` or `even`; a negative n deletes it."""
    found: dict[bytes, bytes | None] = {b"y|1": b"odd"}
    for value in map(int, filter(None, chunk.values)):
        name = b"x|%d" % abs(value)
        found[name] = None if value < 0 else (b"even", b"odd")[value % 2]
    return Effects(state=found, accounting=Accounting(applied=len(chunk)))


async def test_what_a_partition_holds_is_counted_by_value_until_it_is_given_up() -> None:
    """After each chunk, after a restore by the next owner, and nothing after its halt."""
    partition = FakePartition()
    async with running(partition, handler=mark, counted=b"x|") as it:
        for start, values in ((0, (1, 2, 3)), (3, (-1, 2)), (5, (5,))):
            it.submit(numbers(start, *values))
            assert await it.applied() == len(values)
        told = it.watched.counts
    assert told == [
        {},
        {b"odd": 2, b"even": 1},
        {b"odd": 1, b"even": 1},
        {b"odd": 2, b"even": 1},
        {},
    ]
    async with running(partition, handler=mark, counted=b"x|") as heir:
        heir.submit(numbers(6, -2))
        assert await heir.applied() == 1
        told = heir.watched.counts
    assert told == [{b"odd": 2, b"even": 1}, {b"odd": 2}, {}]


async def test_what_a_chunk_takes_is_told_in_two_parts_that_are_within_the_whole() -> None:
    began_s = time.monotonic()
    async with running(FakePartition()) as it:
        it.submit(numbers(0, 1))
        await it.applied()
        it.submit(numbers(0, 1))  # held already: no handler works on it
        await it.applied()
        assert len(it.watched.handler_s) == 1
        it.submit(numbers(1, 1))
        await it.applied()
        whole_s = time.monotonic() - began_s
        assert len(it.watched.handler_s) == 2
        assert len(it.watched.commit_s) == 3
        parts_s = [*it.watched.handler_s, *it.watched.commit_s]
    assert all(0 <= part_s <= whole_s for part_s in parts_s)


@pytest.mark.parametrize("attempts", [2, 3])
async def test_a_commit_is_tried_so_often_and_then_stops_the_process(attempts: int) -> None:
    tried: list[Chunk] = []
    error = CommitOutcomeUnknownError("no answer")

    def refuse(chunk: Chunk) -> None:
        tried.append(chunk)
        raise error

    partition = FakePartition(before_commit=refuse)
    async with running(partition, commit_attempts=attempts) as it:
        it.submit(numbers(0, 1))
        assert await it.failed() is error
        assert it.watched.retries == attempts - 1
    assert len(tried) == attempts
    assert partition.committed == {}
