"""A partition from its assignment to its end: what is ready, what is told, and what ends it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from schemas.errors import BrokerUnavailableError
from streams.engine import (
    Accounting,
    AgentSpec,
    Chunk,
    Effects,
    EngineSettings,
    GroupSpec,
    State,
    create_app,
)
from streams.engine.flow import Delivery
from streams.engine.membership import Member
from streams.engine.seams import Seams
from streams.engine.table import StateLogStore
from tests.support.engine_fakes import FakePartition, MemoryStore
from tests.support.engine_processor import (
    DEADLINE_S,
    Watched,
    add_up,
    held,
    numbers,
    running,
)


@pytest.mark.asyncio
async def test_a_partition_is_ready_once_it_is_restored_and_until_it_is_given_up() -> None:
    restore = threading.Event()
    partition = FakePartition(during_catch_up=lambda _: restore.wait(DEADLINE_S) and None)
    async with running(partition) as it:
        assert not it.processor.is_ready
        restore.set()
        it.submit(numbers(0, 1))
        await it.applied()
        assert it.processor.is_ready
        assert it.watched.given_up_topics == []
    assert not it.processor.is_ready
    assert it.watched.given_up_topics == ["numbers", "others"]


@pytest.mark.asyncio
async def test_what_is_restored_is_told() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        for start in range(3):
            it.submit(numbers(start, 1))
            await it.applied()
    with capture_logs() as logs:
        async with running(partition) as it:
            it.submit(numbers(3, 1))
            await it.applied()
    (ready,) = [line for line in logs if line["event"] == "worker.partition_ready"]
    assert ready["restored_records"] == 3
    assert ready["positions"]["others"] == 0
    assert 0 <= ready["seconds"] <= DEADLINE_S
    assert it.watched.restored == [0, 1, 2]


@pytest.mark.asyncio
async def test_a_partition_without_work_is_given_up_at_once() -> None:
    async with running(FakePartition()) as it:
        it.submit(numbers(0, 1))
        await it.applied()
        with capture_logs() as logs:
            async with asyncio.timeout(DEADLINE_S):
                await it.processor.halt(3_600)
        assert logs == []
        assert not it.processor.has_ended


@pytest.mark.asyncio
async def test_a_chunk_that_takes_too_long_is_abandoned_and_not_applied() -> None:
    loop, partition = asyncio.get_running_loop(), FakePartition()
    begun, go_on = asyncio.Event(), threading.Event()

    def linger(chunk: Chunk, state: State) -> Effects:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(DEADLINE_S)
        return add_up(chunk, state)

    async with running(partition, handler=linger) as it:
        it.submit(numbers(0, 1))
        await asyncio.wait_for(begun.wait(), DEADLINE_S)
        with capture_logs() as logs:
            await it.processor.halt(0.001)
        go_on.set()
        assert [line["event"] for line in logs] == ["worker.chunk_abandoned"]
        assert not it.failure.done()
    assert partition.committed == {}


@pytest.mark.asyncio
async def test_waiting_is_no_stall() -> None:
    """A handler that waits for the registry, an hour if need be, is at work."""
    progressed_at_s: list[float] = []

    def wait(chunk: Chunk, state: State) -> Effects:
        progressed_at_s.append(it.processor.progressed_at_s)
        if len(progressed_at_s) < 4:
            raise BrokerUnavailableError("away")
        return add_up(chunk, state)

    async with running(FakePartition(), handler=wait) as it:
        it.submit(numbers(0, 1))
        await it.applied()
    assert progressed_at_s == sorted(set(progressed_at_s))


@pytest.mark.asyncio
async def test_what_is_published_bears_the_time_of_the_last_record() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        it.submit(replace(numbers(0, 1, 2, 3), timestamps_ms=[5, 9, 7]))
        await it.applied()
        it.submit(numbers(0, 1))  # the state holds it: nothing is left of it
        await it.applied()
    assert partition.stamps == [7, None]


@pytest.mark.asyncio
async def test_what_a_chunk_notices_is_told_once_it_is_committed() -> None:
    partition = FakePartition()

    def notice(chunk: Chunk, state: State) -> Effects:
        return Effects(accounting=Accounting(applied=len(chunk)), notices=["moved", "emptied"])

    async with running(partition, handler=notice) as it:
        partition.before_commit = lambda _: told.append(len(it.watched.notices))
        told: list[int] = []
        it.submit(numbers(0, 1), numbers(0, 1, topic="others"))
        await it.applied()
        await it.applied()
    assert told == [0, 2]
    assert it.watched.notices == [
        ("numbers", "moved"),
        ("numbers", "emptied"),
        ("others", "moved"),
        ("others", "emptied"),
    ]


def test_what_ends_the_process_is_not_held_up_by_a_partition() -> None:
    def leave(chunk: Chunk, state: State) -> Effects:
        raise SystemExit(3)

    async def scenario() -> None:
        async with running(FakePartition(), handler=leave) as it:
            it.submit(numbers(0, 1))
            await it.failed()

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(scenario())


@asynccontextmanager
async def app_of(partition: FakePartition, tmp_path: Path) -> AsyncIterator[tuple[Any, Watched]]:
    """An app of two groups on partitions in memory."""
    seams: Any = Seams(
        writer=partition.writer, store=MemoryStore, log=lambda *_: partition.state_log()
    )
    settings = EngineSettings(app_id="a", bootstrap_servers="unused:1", state_dir=tmp_path)
    watched = Watched()
    groups = [
        GroupSpec("g", 2, [AgentSpec("numbers", add_up)], "log"),
        GroupSpec("h", 2, [AgentSpec("others", add_up)], "other-log"),
    ]
    app = create_app(settings, groups, watched, seams)
    app.consumer = SimpleNamespace(member=lambda generation: Member(generation, "m"))
    try:
        yield app, watched
    finally:
        await asyncio.gather(*(group.halt() for group in app.groups))
        await app.committer.close()
        app.threads.shutdown()


def store_of(app: Any, name: str) -> StateLogStore:
    store = app.tables[name].data
    assert isinstance(store, StateLogStore)
    return store


@pytest.mark.asyncio
async def test_a_rebalance_gives_a_group_the_partitions_of_its_own_state_log(
    tmp_path: Path,
) -> None:
    partition = FakePartition(log=[{b"a": b"1"}, {b"a": b"2"}])
    partition.log[0][b"!v"] = b"1.1"
    async with app_of(partition, tmp_path) as (app, watched):
        store = store_of(app, "g")
        assigned = {TP("log", 0), TP("numbers", 0), TP("other-log", 1)}
        await store.on_rebalance(assigned, set(), assigned, 4)
        assert list(store.group.processors) == [0]
        assert list(app.groups[1].processors) == []
        # All of the log, so that Faust reads none of it.
        assert store.persisted_offset(TP("log", 0)) == 1
        assert store.persisted_offset(TP("log", 1)) is None
        assert (len(store), list(store)) == (0, [])
        assert not await store.need_active_standby_for(TP("log", 0))

        group = app.groups[0]
        group.submit(Delivery(numbers(0, 7), 3))  # fetched before the rebalance
        group.submit(Delivery(replace(numbers(0, 7), partition=1), 4))  # given up since
        group.submit(Delivery(numbers(0, 5), 4))
        async with asyncio.timeout(DEADLINE_S):
            assert (await watched.done.get()).applied == 1
    assert held(partition)[b"sum"] == b"5"


@pytest.mark.asyncio
async def test_state_is_written_by_committed_chunks_only(tmp_path: Path) -> None:
    async with app_of(FakePartition(), tmp_path) as (app, _):
        store = store_of(app, "h")
        with pytest.raises(RuntimeError, match="committed chunks only"):
            store["a"] = b"1"
        with pytest.raises(RuntimeError, match="committed chunks only"):
            del store["a"]
        with pytest.raises(RuntimeError, match="restored by the processors only"):
            store.apply_changelog_batch([])
        with pytest.raises(KeyError):
            store["a"]
