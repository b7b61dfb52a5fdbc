"""One child process: start until healthy, notice its end, stop it. Knows nothing of Kafka.

No child outlives its supervisor: on Linux the kernel kills it with the supervisor's event-loop
thread (`leash`), elsewhere the next supervisor on the same data directory does (`kill_stale`).
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import structlog

from sandbox.stack.errors import PartFailedError, PortTakenError
from sandbox.stack.health import Health

LEASH = Path(__file__).with_name("leash.py")
HEALTH_INTERVAL_S = 0.05
TAIL_LINES = 20
CLOCK_TOLERANCE_S = 2.0  # start times are told from a clock that may be set

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UserIds:
    """The operating-system user a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How to start one process. `env` is added to the supervisor's environment."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    health: Health | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    run_as: UserIds | None = None


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """An end nobody asked for. `exit_code` is negative for a signal."""

    name: str
    exit_code: int
    log_tail: str


class ManagedProcess:
    """A process of `spec`; output goes to `log_path`, identity to `pid_path` while it runs."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        log_path: Path,
        pid_path: Path,
        on_unexpected_exit: Callable[[ProcessExit], None],
    ) -> None:
        self.spec = spec
        self.log_path = log_path
        self._pid_path = pid_path
        self._on_unexpected_exit = on_unexpected_exit
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._end_is_expected = False
        self._output_start = 0

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self.is_running else None

    async def start(self) -> None:
        """Starts the process and returns once it is healthy (at once without a health question).

        Raises PartFailedError if it ends or stays unhealthy, PortTakenError if that is because
        of its port; no process is left behind then.
        """
        self._end_is_expected = True  # an end before it is healthy is raised, not reported
        self._process = await self._spawn()
        self._watcher = asyncio.create_task(self._watch(self._process))
        try:
            await self._until_healthy()
        except BaseException:
            await self.kill()
            raise
        self._end_is_expected = False

    async def stop(self, grace_s: float) -> None:
        """Asks the process to end and kills it after `grace_s`. Returns when it is gone."""
        self._end_is_expected = True
        self._signal(self.spec.stop_signal)
        try:
            async with asyncio.timeout(grace_s):
                await self._wait_for_end()
        except TimeoutError:
            _log.warning("stack.part_killed", part=self.name, grace_s=grace_s)
            await self.kill()

    async def kill(self) -> None:
        """Kills the process with its group (SIGKILL). Returns when it is gone."""
        self._end_is_expected = True
        self._signal(signal.SIGKILL)
        await self._wait_for_end()

    def log_tail(self) -> str:
        """The last lines the process wrote since its latest start."""
        return "\n".join(self._output().splitlines()[-TAIL_LINES:])

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.log_path.open("ab") as output:
            self._output_start = output.tell()
            process = await asyncio.create_subprocess_exec(
                *_leashed(self.spec.command, self.spec.run_as),
                env={**os.environ, **self.spec.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C in the terminal is for the supervisor, which stops parts in order.
                start_new_session=True,
            )
        with contextlib.suppress(psutil.NoSuchProcess):
            started_at = psutil.Process(process.pid).create_time()
            self._pid_path.write_text(json.dumps({"pid": process.pid, "started_at": started_at}))
        return process

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        exit_code = await process.wait()
        self._pid_path.unlink(missing_ok=True)
        if not self._end_is_expected:
            self._on_unexpected_exit(ProcessExit(self.name, exit_code, self.log_tail()))

    async def _until_healthy(self) -> None:
        health = self.spec.health
        if health is None or self._watcher is None:
            return
        asking = asyncio.create_task(_ask_until_healthy(health))
        try:
            await asyncio.wait(
                {asking, self._watcher},
                timeout=health.timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            asking.cancel()
        if not self.is_running:
            raise self._failure(f"{self.name} ended while starting")
        if not asking.done():
            raise self._failure(f"{self.name} is not healthy after {health.timeout_s:g} s")
        await asking  # raises what the question itself raised

    def _failure(self, detail: str) -> PartFailedError:
        if "address already in use" in self._output().lower():
            return PortTakenError(
                f"the port of {self.name} is taken by another program",
                hint=f"end that program or start again; see {self.log_path}",
            )
        return PartFailedError(detail, hint=f"last lines of {self.log_path}:\n{self.log_tail()}")

    def _output(self) -> str:
        """What the process wrote since its latest start."""
        with self.log_path.open("rb") as log:
            log.seek(self._output_start)
            return log.read().decode(errors="replace")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        # The leader may be gone while others of its group still run.
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(self._process.pid, number)
            elif self.is_running:
                self._process.send_signal(number)

    async def _wait_for_end(self) -> None:
        if self._watcher is not None:
            await asyncio.shield(self._watcher)


async def _ask_until_healthy(health: Health) -> None:
    # The readiness of another process sets no event one could wait for.
    while not await health.is_healthy():  # noqa: ASYNC110
        await asyncio.sleep(HEALTH_INTERVAL_S)


async def run_to_end(name: str, command: Sequence[str], *, run_as: UserIds | None = None) -> None:
    """Runs a short command that prepares a part.

    Raises PartFailedError with its output if it fails.
    """
    process = await asyncio.create_subprocess_exec(
        *_leashed(command, run_as),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise PartFailedError(
            f"{name} failed with exit code {process.returncode}",
            hint=f"it said:\n{output.decode(errors='replace')}",
        )


def _leashed(command: Sequence[str], run_as: UserIds | None) -> list[str]:
    user = run_as or UserIds(-1, -1)
    # Isolated and without site packages: milliseconds, and the same in any environment.
    leash = [sys.executable, "-I", "-S", str(LEASH)]
    return [*leash, str(os.getpid()), str(user.uid), str(user.gid), *command]


def kill_stale(pid_path: Path) -> None:
    """Kills what an earlier supervisor left behind, if `pid_path` still names that process.

    Returns once it holds no port or file any more.
    """
    if not pid_path.exists():
        return
    recorded = json.loads(pid_path.read_text())
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(recorded["pid"])
        # A process id is reused; together with its start time it names one process.
        age_difference_s = abs(process.create_time() - recorded["started_at"])
        if age_difference_s < CLOCK_TOLERANCE_S and is_alive(process):
            _log.warning("stack.leftover_killed", part=pid_path.stem)
            os.killpg(process.pid, signal.SIGKILL)
            while is_alive(process):
                time.sleep(HEALTH_INTERVAL_S)
    pid_path.unlink()


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs. In a container without an init, dead orphans stay as zombies."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
