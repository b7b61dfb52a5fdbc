"""Every sink in shadow, each kind of its commands: no write leaves, and no target changes.

The vendors are the twin's, over sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import Command, Problem
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.decisions import ALL
from connectors.dispatch.intake import Delivery
from connectors.dispatch.journal import Memory
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.session import Session, Target
from connectors.dispatch.shadow import (
    WOULD_CHANGE,
    WOULD_CREATE,
    WOULD_DELETE,
    ShadowWriteError,
    make_sink,
)
from connectors.dispatch.sink import Applied
from connectors.systems import Systems
from connectors.toolkit.config import parse_config
from psastream.conformance.bench import Network
from psastream.conformance.suite import read_sink_subject
from psastream.conformance.targets import SinkBench, SinkSubject
from psastream.system import read_system
from tests.conformance.test_vendors import JUDGED, SINKS
from tests.support.sinks import MemoryJournal
from tests.support.vendor_server import serving

DEADLINE_S: Final = 60.0


def subject_of(name: str) -> SinkSubject:
    system, vendor = read_system(JUDGED[name])
    subject = read_sink_subject(JUDGED[name], system, vendor)
    assert subject is not None
    return subject


ORDERS: Final = [(name, order.kind) for name in SINKS for order in subject_of(name).orders]


@dataclass
class Shadow:
    """A target that holds what came before a command, and its sink in shadow."""

    bench: SinkBench
    kinds: tuple[str, ...]

    def config(self) -> SinkConfig:
        subject, target = self.bench.subject, self.bench.target
        document = {**subject.document, "url": target.url, "shadow": self.kinds}
        model = subject.sink.config_model
        config = parse_config(document, model, target.environment, origin="sink")
        assert isinstance(config, SinkConfig)
        return config

    async def carry_out(self, command: Command) -> tuple[str, Problem | None]:
        """Deliver a command to a session; how it was settled, and what is told of it."""
        config, journal = self.config(), MemoryJournal()
        sink = make_sink(config, lambda: None)
        async with asyncio.TaskGroup() as group:
            it = Session(
                {config.target: Target(config, sink)}, Memory(), journal,
                metrics=DispatchMetrics(CollectorRegistry()), spawn=group.create_task,
            )  # fmt: skip
            it.accept(Delivery(f"psa.command.{config.target}", 0, 0, command))
            async with asyncio.timeout(DEADLINE_S):
                while not journal.outcomes:  # noqa: ASYNC110 - the journal knows no event
                    await asyncio.sleep(0.001)
            await it.drain(DEADLINE_S)
        await sink.close()
        assert journal.intents == []
        [(_, outcome)] = journal.outcomes
        return outcome.status.value, outcome.problem

    def writes(self) -> list[str]:
        """What was asked that may write."""
        reads = self.bench.subject.written.reads
        return [
            f"{request.method} {request.path}"
            for _, request in self.bench.network.asked
            if request.method != "GET"
            and not (request.method == "POST" and any(each in request.path for each in reads))
        ]

    async def state(self) -> tuple[int, Mapping[str, int]]:
        return await self.bench.target.effects(), await self.bench.target.records()


@asynccontextmanager
async def shadow(name: str, kind: str, folder: Path, *, whole: bool) -> AsyncIterator[Shadow]:
    subject, network = subject_of(name), Network()
    [order] = [each for each in subject.orders if each.kind == kind]
    async with AsyncExitStack() as stack:
        network.url = await stack.enter_async_context(serving(network.answer))
        bench = SinkBench(subject, order, network, folder)
        stack.push_async_callback(bench.close)
        await bench.fresh()
        yield Shadow(bench, (ALL,) if whole else (kind,))


def test_every_sink_is_here() -> None:
    systems = Systems()
    written = {name for name in systems.names() if systems.vendor(name).sink is not None}
    assert written == {name for name, _ in ORDERS} and len(written) == 9


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "kind"), ORDERS)
async def test_no_write_leaves_and_what_would_be_done_is_told(
    name: str, kind: str, tmp_path: Path
) -> None:
    async with shadow(name, kind, tmp_path, whole=False) as at:
        before = await at.state()
        status, problem = await at.carry_out(at.bench.command())

        assert at.writes() == [] and at.bench.network.asked
        assert await at.state() == before
        is_change = kind.startswith("update_")
        expected = WOULD_DELETE if kind.startswith("delete_") else WOULD_CREATE
        assert status == "rejected" and problem is not None
        assert problem.code == (WOULD_CHANGE if is_change else expected), problem

        await at.bench.require_done()
        at.bench.network.asked.clear()
        before = await at.state()
        assert (await at.carry_out(at.bench.command()))[0] == "adopted"
        if at.bench.order.changed is not None:
            status, problem = await at.carry_out(at.bench.command(2))
            assert status == "rejected" and problem is not None
            assert problem.code == WOULD_CHANGE and " → " in problem.detail, problem
        assert at.writes() == []
        assert await at.state() == before


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "kind"), ORDERS)
async def test_a_sink_in_shadow_that_is_told_to_write_sends_no_write(
    name: str, kind: str, tmp_path: Path
) -> None:
    """Whatever calls it: that nothing calls it is another matter."""
    async with shadow(name, kind, tmp_path, whole=True) as at:
        before = await at.state()
        sink = make_sink(at.config(), lambda: None)
        with pytest.raises(ShadowWriteError):
            await sink.execute(at.bench.command(), None)
        assert await sink.newest() is not None
        seen = await sink.look(at.bench.command(), None)
        assert not isinstance(seen, Applied) or seen.differs
        await sink.close()
        assert at.writes() == []
        assert await at.state() == before
