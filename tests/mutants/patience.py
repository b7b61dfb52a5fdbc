"""Ends a process that waits for what never comes."""

from __future__ import annotations

import time
from multiprocessing.process import BaseProcess
from typing import Final

import psutil

PATIENCE_S: Final = 15.0  # tests without real parts never stand still for so long
LOOK_S: Final = 1.0
_BUSY: Final = 0.05  # of a processor: less is what a loop of looking and sleeping takes


def await_end(
    process: BaseProcess, *, patience_s: float = PATIENCE_S, look_s: float = LOOK_S
) -> None:
    """Return once a process has ended; kill one that has stood still for `patience_s` on end.

    Time counts only while it, and all that it has started, sleeps: one that the machine gives no
    processor is ready to run, and not to blame.
    """
    before_s, waits_since_s = 0.0, time.monotonic()
    while process.is_alive():
        looked_s = time.monotonic()
        process.join(look_s)
        now_s = time.monotonic()
        cpu_s, is_asleep = _activity(process.pid)
        if not is_asleep or cpu_s - before_s > _BUSY * (now_s - looked_s):
            waits_since_s = now_s
        before_s = cpu_s
        if now_s - waits_since_s > patience_s:
            process.kill()
            process.join()


def _activity(pid: int | None) -> tuple[float, bool]:
    """CPU seconds of a process and what it has started, and whether all of them sleep."""
    cpu_s, is_asleep = 0.0, True
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            cpu_s += times.user + times.system
            is_asleep &= each.status() == psutil.STATUS_SLEEPING
    except psutil.Error:  # one of them has just ended
        return cpu_s, False
    return cpu_s, is_asleep
