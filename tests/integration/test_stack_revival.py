"""Parts that end by themselves, with small programs in their place, are started again."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sandbox.stack.errors import PartFailedError
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.revival import STEADY_S, Revival
from sandbox.stack.settings import StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from tests.support.eventually import eventually

pytestmark = pytest.mark.asyncio

ENDS = """
import pathlib, sys, time
starts = pathlib.Path({path!r})
starts.write_text(starts.read_text() + "." if starts.exists() else ".")
if len(starts.read_text()) <= {ends}:
    print("no fuel left")
    sys.exit({code})
pathlib.Path({path!r} + ".runs").touch()
time.sleep(600)
"""


@asynccontextmanager
async def stack_in(directory: Path) -> AsyncIterator[Stack]:
    settings = StackSettings(
        data_dir=directory / "data", cache_dir=cache_dir_from(os.environ), parts=frozenset()
    )
    async with Stack(settings, PlainReporter(sys.stderr)) as stack:
        yield stack


class Pauses:
    """Remembers how long was waited; the clock goes on by how long a part is said to run."""

    def __init__(self, ran_s: float = 1.0) -> None:
        self.seconds: list[float] = []
        self._ran_s, self._now_s = ran_s, 0.0

    def clock(self) -> float:
        self._now_s += self._ran_s
        return self._now_s

    async def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def start(stack: Stack, path: Path, *, ends: int, code: int = 1) -> None:
    """A part that ends so often before it goes on."""
    program = ENDS.format(path=str(path), ends=ends, code=code)
    await stack.start_process("part", [sys.executable, "-c", program], env={}, health=None)


async def runs(path: Path) -> None:
    await asyncio.to_thread(eventually, path.with_name(f"{path.name}.runs").exists, deadline_s=60)


async def test_a_part_is_started_again_after_pauses_that_grow_to_a_minute(tmp_path: Path) -> None:
    path, pauses, told = tmp_path / "starts", Pauses(), list[str]()
    async with stack_in(tmp_path) as stack, asyncio.timeout(60):
        revival = Revival(stack, told.append, clock=pauses.clock, pause=pauses.pause)
        reviving = asyncio.create_task(revival.run())
        await start(stack, path, ends=7)
        await runs(path)
        assert stack.is_running("part")
        reviving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reviving
        log = stack.log_path("part")
    assert pauses.seconds == [1, 2, 4, 8, 16, 32, 60]
    assert told[1] == f"part ended with code 1, is started again in 2 s; its log: {log}"


async def test_a_part_that_ran_for_long_begins_with_the_first_pause(tmp_path: Path) -> None:
    path, pauses = tmp_path / "starts", Pauses(ran_s=STEADY_S)
    async with stack_in(tmp_path) as stack, asyncio.timeout(60):
        revival = Revival(stack, lambda _: None, clock=pauses.clock, pause=pauses.pause)
        reviving = asyncio.create_task(revival.run())
        await start(stack, path, ends=2)
        await runs(path)
        reviving.cancel()
    assert pauses.seconds == [1, 1]


@pytest.mark.parametrize("limits", [{"final_codes": {2}}, {"ends_max": 0}])
async def test_what_another_start_does_not_mend_is_raised_with_the_log(
    tmp_path: Path, limits: dict[str, object]
) -> None:
    async with stack_in(tmp_path) as stack, asyncio.timeout(60):
        revival = Revival(stack, lambda _: None, **limits)  # type: ignore[arg-type]
        await start(stack, tmp_path / "starts", ends=1, code=2)
        with pytest.raises(PartFailedError, match="part ended with code 2:\nno fuel left"):
            await revival.run()
