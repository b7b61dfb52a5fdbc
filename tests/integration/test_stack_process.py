"""Child processes of the supervisor, with small programs in the place of the parts."""

import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from sandbox.stack.data_directory import DataDirectory
from sandbox.stack.errors import DataDirectoryInUseError, PartFailedError, PortTakenError
from sandbox.stack.health import HttpHealth
from sandbox.stack.ports import HOST, PortBook, is_free
from sandbox.stack.process import (
    ManagedProcess,
    ProcessExit,
    ProcessSpec,
    is_alive,
    kill_stale,
    run_to_end,
)
from tests.support.eventually import eventually

pytestmark = pytest.mark.asyncio

SLEEP = "import time; time.sleep(600)"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf');" + SLEEP
FORK = "import os; print(os.fork(), flush=True);" + SLEEP


@dataclass
class FileHealth:
    """Healthy once the file is there."""

    path: Path
    timeout_s: float = 10.0

    async def is_healthy(self) -> bool:
        return self.path.exists()


@dataclass
class LogHealth:
    """Healthy once the process wrote a line."""

    path: Path
    timeout_s: float = 10.0

    async def is_healthy(self) -> bool:
        return self.path.exists() and self.path.read_text().endswith("\n")


@asynccontextmanager
async def process_of(
    tmp_path: Path, spec: ProcessSpec, exits: list[ProcessExit]
) -> AsyncIterator[ManagedProcess]:
    process = ManagedProcess(
        spec,
        log_path=tmp_path / "part.log",
        pid_path=tmp_path / "part.json",
        on_unexpected_exit=exits.append,
    )
    try:
        yield process
    finally:
        await process.kill()


def python(code: str, health: FileHealth | LogHealth | None = None) -> ProcessSpec:
    return ProcessSpec("part", (sys.executable, "-u", "-c", code), health=health)


async def test_start_returns_when_the_process_is_healthy(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = f"import time; time.sleep(.2); open({str(ready)!r}, 'w'); time.sleep(600)"

    async with process_of(tmp_path, python(code, FileHealth(ready)), []) as process:
        await process.start()

        assert ready.exists()
        assert process.is_running


async def test_a_process_that_ends_while_starting_is_raised_with_its_log(tmp_path: Path) -> None:
    spec = python("raise SystemExit('no licence')", FileHealth(tmp_path / "never"))
    exits: list[ProcessExit] = []

    async with process_of(tmp_path, spec, exits) as process:
        with pytest.raises(PartFailedError, match="no licence"):
            await process.start()

    assert exits == []  # raised, hence not reported as well


async def test_a_process_that_stays_unhealthy_is_not_left_behind(tmp_path: Path) -> None:
    spec = python(SLEEP, FileHealth(tmp_path / "never", timeout_s=0.3))

    async with process_of(tmp_path, spec, []) as process:
        with pytest.raises(PartFailedError, match="not healthy"):
            await process.start()

        assert not process.is_running


async def test_a_taken_port_is_told_from_other_failures(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as other_program:
        port = other_program.getsockname()[1]
        code = f"import socket; socket.create_server(({HOST!r}, {port}))"

        async with process_of(
            tmp_path, python(code, FileHealth(tmp_path / "never")), []
        ) as process:
            with pytest.raises(PortTakenError):
                await process.start()


async def test_a_process_that_ignores_the_stop_signal_is_killed(tmp_path: Path) -> None:
    spec = python(IGNORE_TERM, LogHealth(tmp_path / "part.log"))
    exits: list[ProcessExit] = []

    async with process_of(tmp_path, spec, exits) as process:
        await process.start()
        await process.stop(grace_s=0.2)

        assert not process.is_running
    assert exits == []


async def test_a_kill_takes_the_children_of_the_process_along(tmp_path: Path) -> None:
    async with process_of(tmp_path, python(FORK, LogHealth(tmp_path / "part.log")), []) as process:
        await process.start()
        assert process.pid is not None
        (child,) = psutil.Process(process.pid).children()

        await process.kill()

        eventually(lambda: not is_alive(child), deadline_s=10)


async def test_a_restarted_process_appends_to_its_log(tmp_path: Path) -> None:
    spec = python("print('hello'); " + SLEEP, LogHealth(tmp_path / "part.log"))

    async with process_of(tmp_path, spec, []) as process:
        await process.start()
        first = process.pid
        await process.stop(grace_s=5)
        await process.start()

        assert process.pid not in (None, first)
        log = process.log_path
        eventually(lambda: log.read_text() == "hello\nhello\n", deadline_s=10)


async def test_a_stale_process_is_killed_and_its_record_removed(tmp_path: Path) -> None:
    async with process_of(tmp_path, python(SLEEP), []) as process:
        await process.start()
        record = (tmp_path / "part.json").read_text()
        left_behind = tmp_path / "left-behind.json"
        left_behind.write_text(record)
        stale = psutil.Process(process.pid)

        kill_stale(left_behind)

        assert not is_alive(stale)
        assert not left_behind.exists()


async def test_a_reused_process_id_is_left_alone(tmp_path: Path) -> None:
    record = tmp_path / "part.json"
    record.write_text(json.dumps({"pid": os.getpid(), "started_at": 1.0}))

    kill_stale(record)  # would end this test run

    assert not record.exists()


async def test_a_preparing_command_that_fails_is_raised_with_its_output() -> None:
    with pytest.raises(PartFailedError, match="disk is full"):
        await run_to_end("format", [sys.executable, "-c", "raise SystemExit('disk is full')"])


async def test_nothing_listening_is_unhealthy_and_not_an_error() -> None:
    assert not await HttpHealth("http://127.0.0.1:1/").is_healthy()


async def test_ports_stay_the_same_until_another_program_takes_one(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    first = book.port("kafka")
    assert is_free(first)
    assert book.port("connect") != first

    assert PortBook(tmp_path / "ports.json").port("kafka") == first
    with socket.create_server((HOST, first)):
        assert PortBook(tmp_path / "ports.json").port("kafka") != first


async def test_fresh_deletes_earlier_data_but_not_the_lock(tmp_path: Path) -> None:
    earlier = DataDirectory(tmp_path)
    earlier.open(fresh=False)
    earlier.part("kafka").mkdir()
    earlier.close()

    kept = DataDirectory(tmp_path)
    kept.open(fresh=False)
    assert kept.part("kafka").exists()
    kept.close()
    emptied = DataDirectory(tmp_path)
    emptied.open(fresh=True)

    assert not emptied.part("kafka").exists()
    with pytest.raises(DataDirectoryInUseError):
        DataDirectory(tmp_path).open(fresh=True)
    emptied.close()
