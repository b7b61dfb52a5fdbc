"""The processes of one run of a system: their memory, their processor time, their end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.peers.peer import Launch

STOP_S = 20.0


class CpuMeter:
    """Processor time of processes and all that they have started, what has ended included.

    What starts and ends between two readings is missing.
    """

    def __init__(self, processes: Sequence[psutil.Process] = ()) -> None:
        self._processes = processes
        self._seconds: dict[int, float] = {}

    def note(self, process: psutil.Process) -> None:
        """Read the processor time of one process. Raises psutil.NoSuchProcess if it has ended."""
        times = process.cpu_times()
        self._seconds[process.pid] = times.user + times.system

    def seconds(self) -> float:
        """Return the processor seconds of all until now."""
        for process in self._processes:
            for each in _tree(process):
                try:
                    self.note(each)
                except psutil.NoSuchProcess:
                    continue
        return sum(self._seconds.values())


class Processes:
    """The processes of a run, their memory, and their end."""

    def __init__(self, launch: Launch, folder: Path) -> None:
        self._launch = launch
        self._log = folder / "system.log"
        self._running: list[psutil.Popen] = []
        self._cpu = CpuMeter()
        self.resident_mb = 0
        """Memory when it was last looked at."""
        self.peak_rss_mb = 0

    def __enter__(self) -> Processes:
        environment = {**os.environ, **self._launch.environment}
        with self._log.open("wb") as log:
            for command in self._launch.commands:
                self._running.append(
                    psutil.Popen(list(command), env=environment, stdout=log, stderr=log)
                )
        return self

    def __exit__(self, *_: object) -> None:
        mine = [each for running in self._running for each in _tree(running)]
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        _, late = psutil.wait_procs(mine, timeout=STOP_S)
        for process in late:
            process.kill()

    def cpu_seconds(self) -> float:
        """Processor time of all processes until now."""
        self.check(may_end=True)
        return self._cpu.seconds()

    def said(self) -> str:
        """Return what they have written so far."""
        return self._log.read_text(errors="replace")

    def are_done(self) -> bool:
        """Whether all processes have ended; raises if one has failed."""
        return all(process.poll() is not None for process in self._running)

    def check(self, *, may_end: bool) -> None:
        """Note memory and processor time; raise if a process has failed, or ended too soon."""
        resident = 0
        for running in self._running:
            code = running.poll()
            if code or (code is not None and not may_end):
                tail = self._log.read_text(errors="replace")[-3_000:]
                raise RuntimeError(f"ended with exit code {code}\n{tail}")
            for each in _tree(running):
                try:
                    resident += each.memory_info().rss
                    self._cpu.note(each)
                except psutil.NoSuchProcess:
                    continue
        self.resident_mb = resident >> 20
        self.peak_rss_mb = max(self.peak_rss_mb, self.resident_mb)


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
