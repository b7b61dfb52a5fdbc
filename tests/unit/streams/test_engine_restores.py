"""Restores take minutes, and all there are at once: what is quick does not wait for them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import BrokerUnavailableError
from streams.engine import AgentSpec, EngineSettings, GroupSpec, NoInstruments
from streams.engine.committer import Committer
from streams.engine.flow import FlowWindow
from streams.engine.group import GroupRuntime
from streams.engine.membership import Member
from streams.engine.processor import EngineParts
from streams.engine.seams import Seams
from streams.worker import EXIT_STOPPED, Worker
from tests.support.engine_fakes import FakePartition, MemoryStore
from tests.support.engine_processor import add_up

pytestmark = pytest.mark.asyncio

_DEADLINE_S = 60.0
_PARTITIONS = 4


@asynccontextmanager
async def restoring(
    groups: int, tmp_path: Path, before_end: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[Any, list[GroupRuntime]]]:
    """An app whose groups restore until they are stopped, on the few threads of a small machine."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_PARTITIONS))
    stops: list[threading.Event] = []

    def restore(stop: threading.Event) -> None:
        stops.append(stop)
        stop.wait()

    partition = FakePartition(before_end=before_end, during_catch_up=restore)
    settings = EngineSettings(
        app_id="a",
        bootstrap_servers="127.0.0.1:1",
        state_dir=tmp_path,
        request_timeout_s=0.2,
        retry_backoff_s=0.001,
        retry_backoff_max_s=0.01,
    )
    seams: Any = Seams(store=MemoryStore, log=lambda *_: partition.state_log())
    writer: Any = partition.writer()
    committer = Committer(settings, lambda: nullcontext(writer))
    with ThreadPoolExecutor(1) as threads:
        parts = EngineParts(
            settings,
            NoInstruments(),
            FlowWindow(1 << 20),
            committer,
            threads,
            lambda _: None,
            seams,
        )
        runtimes = [
            GroupRuntime(
                GroupSpec(f"g{number}", _PARTITIONS, [AgentSpec(f"t{number}", add_up)], "log"),
                parts,
            )
            for number in range(groups)
        ]
        app = SimpleNamespace(
            settings=settings,
            groups=runtimes,
            committer=committer,
            threads=threads,
            stop=lambda: asyncio.sleep(0),
        )
        try:
            yield app, runtimes
        finally:
            for stop in stops:
                stop.set()
            await asyncio.gather(*(group.halt() for group in runtimes))


async def test_a_rebalance_opens_all_groups_while_the_first_restore(tmp_path: Path) -> None:
    """Until it is over the consumer does not beat: the worker would lose what it restores."""
    async with restoring(5, tmp_path) as (_, groups), asyncio.timeout(_DEADLINE_S):
        for group in groups:
            await group.assign(range(_PARTITIONS), Member(1, "m"))
        assert [len(group.processors) for group in groups] == [_PARTITIONS] * 5


async def test_a_rebalance_waits_for_the_leader_of_a_log_that_lost_its_own(tmp_path: Path) -> None:
    """The loss of a broker begins a rebalance, before its partitions have other leaders."""
    silence = iter([BrokerUnavailableError("no leader yet")] * 2)

    def answer() -> None:
        if (error := next(silence, None)) is not None:
            raise error

    async with restoring(1, tmp_path, answer) as (_, [group]), asyncio.timeout(_DEADLINE_S):
        await group.assign([0], Member(1, "m"))
        assert list(group.processors) == [0]
        assert not group.processors[0].has_ended


async def test_a_rebalance_ends_where_no_broker_answers(tmp_path: Path) -> None:
    def answer() -> None:
        raise BrokerUnavailableError("no broker")

    async with restoring(1, tmp_path, answer) as (_, [group]), asyncio.timeout(_DEADLINE_S):
        with pytest.raises(BrokerUnavailableError, match="no broker"):
            await group.assign([0], Member(1, "m"))


@pytest.mark.fault("D11", place="streams/worker.py")
async def test_d11_a_worker_that_restores_stops_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.worker._CUT_OFF_STOP_S", 3600.0)  # it would end this process
    async with restoring(1, tmp_path) as (app, groups), asyncio.timeout(_DEADLINE_S):
        await groups[0].assign(range(_PARTITIONS), Member(1, "m"))
        worker = Worker(app)
        await worker._shut_down(EXIT_STOPPED)
        assert worker._last_resort is not None
        worker._last_resort.cancel()
        assert not groups[0].processors
