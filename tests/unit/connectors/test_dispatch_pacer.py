"""When refused commands are handed over again, by a clock that may be set."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from connectors.dispatch.commands import Problem
from connectors.dispatch.pacer import Pacer
from connectors.dispatch.refusals import Refusal, Refusals
from connectors.toolkit.faults import Reason
from tests.support.sinks import make_command
from tests.support.virtual_time import now, run_virtually


class World:
    """A pacer, what it hands over and when, by the clock of the loop."""

    def __init__(self, *due_in_s: float) -> None:
        self.ahead = timedelta()
        self.spawned = 0
        self.handed_over: list[tuple[str, float]] = []
        self.refusals = Refusals(self._refusal(number, s) for number, s in enumerate(due_in_s))
        self.pacer = Pacer(
            self.refusals,
            self._try_again,
            now=self._now_s,
            spawn=self._spawn,
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.spawned += 1
        return asyncio.get_running_loop().create_task(work)

    def _now_s(self) -> float:
        return (now() + self.ahead).timestamp()

    def _refusal(self, number: int, due_in_s: float) -> Refusal:
        at_s = self._now_s()
        command = make_command(f"netsuite:project:{number}")
        problem = Problem(f"E{number}", "no", None, Reason.VALIDATION)
        return Refusal(str(number), command, problem, 1, 1, at_s, at_s, at_s + due_in_s)

    def _try_again(self, refusal: Refusal) -> None:
        self.handed_over.append((refusal.exception_id, asyncio.get_running_loop().time()))
        self.refusals.met(refusal.exception_id, self._now_s())


def test_each_is_handed_over_when_it_is_due() -> None:
    async def story() -> None:
        world = World(500, 10, 70)
        world.pacer.wake()
        await asyncio.sleep(1_000)
        assert [identity for identity, _ in world.handed_over] == ["1", "2", "0"]
        assert [at_s for _, at_s in world.handed_over] == pytest.approx([10, 70, 500])

    run_virtually(story())


def test_a_clock_that_is_set_is_noticed_within_a_minute() -> None:
    async def story() -> None:
        world = World(10_000)
        world.pacer.wake()
        await asyncio.sleep(1)
        world.ahead = timedelta(hours=5)
        await asyncio.sleep(200)
        ((_, at_s),) = world.handed_over
        assert at_s == pytest.approx(60)

    run_virtually(story())


def test_nothing_is_handed_over_after_the_stop() -> None:
    async def story() -> None:
        world = World(10)
        world.pacer.wake()
        await asyncio.sleep(1)
        await world.pacer.stop()
        world.pacer.wake()
        await asyncio.sleep(100)
        assert world.handed_over == []

    run_virtually(story())


def test_a_pacer_with_nothing_to_do_begins_again_when_there_is() -> None:
    async def story() -> None:
        world = World(10)
        world.pacer.wake()
        await asyncio.sleep(100)
        late = world._refusal(7, 20)
        world.refusals._restore(late)
        world.pacer.wake()
        await asyncio.sleep(100)
        assert [identity for identity, _ in world.handed_over] == ["0", "7"]
        assert [at_s for _, at_s in world.handed_over] == pytest.approx([10, 120])

    run_virtually(story())


def test_waking_begins_one_task_and_none_where_there_is_nothing_to_do() -> None:
    async def story() -> None:
        idle, busy, stopped = World(), World(10), World(10)
        idle.pacer.wake()
        await stopped.pacer.stop()
        stopped.pacer.wake()
        for _ in range(3):
            busy.pacer.wake()
            await asyncio.sleep(1)
        assert (idle.spawned, busy.spawned, stopped.spawned) == (0, 1, 0)
        await asyncio.sleep(100)

    run_virtually(story())
