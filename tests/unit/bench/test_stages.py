"""The stages of the profile: each still has the function it times, and what counts to which."""

import asyncio
import time
from pathlib import Path

import pytest
import uvloop

from bench.stages import (
    STAGES,
    UNPACK,
    Snapshot,
    StageTimes,
    between,
    read_snapshots,
    stages_timed,
)

BUSY_S = 0.02


def burn(seconds: float = BUSY_S) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_its_function(stage: str) -> None:
    owner, name = STAGES[stage]
    assert callable(getattr(owner, name, None))


def test_a_stage_inside_another_counts_once() -> None:
    times = StageTimes()
    inner = times.timed("inner", burn)

    def both() -> None:
        burn()
        inner()
        inner()

    times.timed("outer", both)()
    found = times.snapshot()
    assert found.calls == {"outer": 1, "inner": 2}
    assert BUSY_S <= found.seconds["outer"] < 2 * BUSY_S
    assert found.seconds["inner"] >= 2 * BUSY_S


async def work(times: StageTimes) -> str:
    burn()
    await asyncio.sleep(0)
    times.timed("inside", burn)()
    return "done"


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("as it was")


async def wait() -> None:
    try:
        for _ in range(100):
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        burn()
        raise


def test_the_steps_of_a_task_are_a_stage_by_its_name() -> None:
    times = StageTimes()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(times.task_factory())
        assert await asyncio.create_task(work(times)) == "done"
        with pytest.raises(ValueError, match="as it was"):
            await asyncio.create_task(fail())
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    found = times.snapshot()
    assert found.calls["loop: work"] == 2
    assert BUSY_S <= found.seconds["loop: work"] < 2 * BUSY_S
    assert found.seconds["inside"] >= BUSY_S
    assert {"loop: fail", "loop: wait"} <= set(found.seconds)


def test_what_lies_between_two_instants() -> None:
    snapshots = [
        Snapshot(float(at), {"a": at / 2, **({"b": 1.0} if at > 1 else {})}, {"a": at})
        for at in range(5)
    ]
    assert between(snapshots, 0.5, 3.5) == Snapshot(2.0, {"a": 1.0, "b": 1.0}, {"a": 2})
    assert between(snapshots).calls == {"a": 4}
    with pytest.raises(ValueError, match="two snapshots"):
        between(snapshots, 4.0)


def test_a_process_writes_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in STAGES.values():
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back at the end
    monkeypatch.setattr(uvloop, "new_event_loop", uvloop.new_event_loop)
    owner, name = STAGES[UNPACK]
    monkeypatch.setattr(owner, name, burn)
    out = tmp_path / "0.json"

    async def fetch() -> None:
        getattr(owner, name)()

    with stages_timed(out), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(fetch())
    written = read_snapshots(out)
    assert written[-1].seconds[UNPACK] >= BUSY_S
    assert written[-1].calls["loop: fetch"] == 1
    assert len(written) >= 2
