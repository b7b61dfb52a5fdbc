"""A worker that cannot start says why, with the exit code that is documented."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from schemas.errors import BrokerUnavailableError, ConfigError
from streams.engine import (
    AgentSpec,
    Chunk,
    Effects,
    EngineSettings,
    GroupSpec,
    NoInstruments,
    State,
    create_app,
)
from streams.worker import EXIT_FAILED, EXIT_STOPPED, Worker, make_writable
from tests.support.eventually import eventually


def ignore(chunk: Chunk, state: State) -> Effects:
    return Effects()


def worker_without_a_broker(tmp_path: Path, reach_timeout_s: float) -> Worker:
    settings = EngineSettings(
        app_id="a",
        bootstrap_servers="127.0.0.1:1",
        state_dir=tmp_path / "state",
        reach_timeout_s=reach_timeout_s,
    )
    group = GroupSpec("g", 1, [AgentSpec("source", ignore)], "log")
    return Worker(create_app(settings, [group], NoInstruments()))


@pytest.mark.fault("D11", place="streams/worker.py")
def test_d11_a_worker_without_a_broker_ends_with_the_reason(tmp_path: Path) -> None:
    worker = worker_without_a_broker(tmp_path, reach_timeout_s=0.0)
    assert worker.reasons() == ["it has not joined its group"]
    assert worker.run() == EXIT_FAILED
    assert isinstance(worker.failure, BrokerUnavailableError)


@pytest.mark.fault("D11", place="streams/worker.py")
def test_d11_a_worker_that_waits_for_a_broker_stops_when_told(tmp_path: Path) -> None:
    worker = worker_without_a_broker(tmp_path, reach_timeout_s=3600.0)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(worker.run()), daemon=True)
    thread.start()
    eventually(lambda: worker.stop() or not thread.is_alive(), deadline_s=30)
    assert codes == [EXIT_STOPPED]
    assert worker.failure is None


def test_a_worker_whose_loop_has_just_closed_is_told_to_stop_in_vain(tmp_path: Path) -> None:
    worker = worker_without_a_broker(tmp_path, reach_timeout_s=0.0)
    worker._loop, worker._stop_requested = uvloop.new_event_loop(), asyncio.Event()
    worker._loop.close()
    worker.stop()
    assert not worker._stop_requested.is_set()


@pytest.mark.fault("D12", place="streams/worker.py")
@pytest.mark.parametrize("name", ["file", "file/below"])
def test_d12_a_state_directory_that_cannot_be_used_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="state directory") as raised:
        make_writable(tmp_path / name)
    assert "PSASTREAM_DATA_DIR" in raised.value.hint


@pytest.mark.asyncio
@pytest.mark.parametrize("failures", [0, 1, 2])
async def test_a_worker_waits_for_who_coordinates_its_transactions(
    tmp_path: Path, failures: int
) -> None:
    """Brokers that have just started may not have elected anybody yet."""
    asked: list[None] = []

    async def ready() -> None:
        asked.append(None)
        if len(asked) <= failures:
            raise BrokerUnavailableError("nobody coordinates it")

    settings = EngineSettings(
        app_id="a", bootstrap_servers="unused:1", state_dir=tmp_path, commit_attempts=2
    )
    app: Any = SimpleNamespace(settings=settings, committer=SimpleNamespace(ready=ready))
    worker = Worker(app)
    if failures < settings.commit_attempts:
        await worker._end_what_was_left_open()
    else:
        with pytest.raises(BrokerUnavailableError):
            await worker._end_what_was_left_open()
    assert len(asked) == min(failures + 1, settings.commit_attempts)
