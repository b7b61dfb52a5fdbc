"""Faults of the processes themselves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from tests.support.heard import Watched, fault


@fault(
    "PsastreamProcessDown",
    done="a worker hangs and answers nobody",
    mended="it goes on",
    labels={"job": "psastream-worker"},
    breaks=["worker"],
)
def worker_hangs(it: Watched) -> Iterator[None]:
    with it.frozen("worker"):
        yield


@fault(
    "PsastreamProcessRestarting",
    done="a process is killed three times, and started again each time",
    mended="it is killed no more",
    labels={"job": "psastream-connect-watcher"},
    breaks=["connect-watcher"],
    faster=15,  # or the window were as long as three starts
)
def watcher_restarts(it: Watched) -> Iterator[None]:
    start = 'process_start_time_seconds{job="psastream-connect-watcher"}'
    for _ in range(3):
        it.seen(start)
        [before] = it.ask(start)
        os.kill(it.system.stack.pid("connect-watcher"), signal.SIGKILL)
        it.seen(f"{start} > {before['value'][1]}")
    yield


@fault(
    "PsastreamReadModelDown",
    done="the process that keeps the read model is stopped",
    mended="it is started again",
    breaks=["readmodel"],
)
def read_model_stops(it: Watched) -> Iterator[None]:
    with it.stopped("readmodel"):
        yield
