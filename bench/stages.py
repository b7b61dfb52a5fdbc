"""Where the processor time of a worker goes: functions of the engine and its agents, and tasks.

Times are of the thread that runs a stage, without the stages inside it. A step of an asyncio task
is a stage too, named by its coroutine. What is left is told by thread: event loops and callbacks,
RocksDB's and polars' own threads.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import psutil
import uvloop
from aiokafka.producer.message_accumulator import BatchBuilder

from bench import agents, agents_small
from schemas.codec.columnar import ChunkDecoder
from streams.engine import processor, transport
from streams.engine.commit import TransactionalWriter
from streams.engine.state_store import StateStore

UNPACK = "unpack fetched records"
CHUNK = "encode what a chunk writes"
"""Called once a chunk and stage."""
TRANSACTION = "put together what chunks write"
"""Called once a transaction."""
STAGES: dict[str, tuple[Any, str]] = {
    UNPACK: (transport, "take_chunk"),
    "join chunks": (processor, "joined"),
    "decode rows": (ChunkDecoder, "decode"),
    "fold single records": (agents_small.RecordFold, "__call__"),
    "fold rows, the rest": (agents.FoldRows, "__call__"),
    "margins": (agents.FoldRows, "_add_margins"),
    "partials": (agents.FoldRows, "_add_partials"),
    "fold partials": (agents.FoldPartials, "__call__"),
    "encode outputs": (agents.Published, "batch"),
    "read local state": (StateStore, "get_many"),
    CHUNK: (TransactionalWriter, "encode"),
    TRANSACTION: (TransactionalWriter, "_shared"),
    "compress record batches": (BatchBuilder, "_build"),
    "write local state": (StateStore, "apply"),
}
THREADS = {
    "rocksdb": "RocksDB's threads",
    "polars": "polars' threads",
    "rdk:": "librdkafka's threads",
}
"""Names of native threads begin with these."""
OTHER_THREADS = "other native threads"
SNAPSHOT_S = 0.25


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Processor seconds of all stages and how often each ran, until an instant.

    `at` is of CLOCK_MONOTONIC, which all processes of a machine share.
    """

    at: float
    seconds: dict[str, float]
    calls: dict[str, int]


def between(
    snapshots: Iterable[Snapshot], begin: float | None = None, end: float | None = None
) -> Snapshot:
    """Return what lies between the first snapshot from `begin` on and the last until `end`.

    `at` of the result is the time between them. Raises ValueError where there are no two.
    """
    inside = [
        each
        for each in snapshots
        if (begin is None or each.at >= begin) and (end is None or each.at <= end)
    ]
    if len(inside) < 2:
        raise ValueError("fewer than two snapshots of the stages")
    first, last = inside[0], inside[-1]
    return Snapshot(
        last.at - first.at,
        {name: spent - first.seconds.get(name, 0.0) for name, spent in last.seconds.items()},
        {name: count - first.calls.get(name, 0) for name, count in last.calls.items()},
    )


class _Clock(threading.local):
    """Time of the stages inside the one that runs now, and of all that this thread has ended."""

    inner = 0.0


class StageTimes:
    """Processor seconds by stage. `on_begin` is called at the first call of the stage UNPACK."""

    def __init__(self, on_begin: Callable[[], None] = lambda: None) -> None:
        self._on_begin: Callable[[], None] | None = on_begin
        self._clock = _Clock()
        self._lock = threading.Lock()
        self._seconds: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._of_threads: Counter[int] = Counter()

    def wrap(self, stage: str, owner: Any, name: str) -> None:
        """Have `owner.name` timed as a stage."""
        setattr(owner, name, self.timed(stage, getattr(owner, name)))

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, timed as a stage."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._on_begin is not None and stage == UNPACK:
                begin, self._on_begin = self._on_begin, None
                begin()
            clock = self._clock
            outer, clock.inner = clock.inner, 0.0
            start = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.thread_time() - start
                with self._lock:
                    self._seconds[stage] += spent - clock.inner
                    self._calls[stage] += 1
                    self._of_threads[threading.get_ident()] += spent - clock.inner
                clock.inner = outer + spent

        return timed

    def task_factory(self) -> Callable[..., asyncio.Task[Any]]:
        """Return a factory of tasks whose steps are timed."""

        def make(loop: Any, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
            return asyncio.Task(_TimedCoroutine(coroutine, self), loop=loop, **kwargs)

        return make

    def snapshot(self) -> Snapshot:
        """Return the processor seconds of every stage until now, and of what is left."""
        with self._lock:
            seconds, calls = dict(self._seconds), dict(self._calls)
            of_threads = dict(self._of_threads)
        seconds.update(native_seconds())
        for thread in threading.enumerate():
            if thread.ident is None:
                continue
            clock = time.pthread_getcpuclockid(thread.ident)
            left = time.clock_gettime(clock) - of_threads.get(thread.ident, 0.0)
            name = f"{label_of(thread)}, the rest"
            seconds[name] = seconds.get(name, 0.0) + left
        seconds[OTHER_THREADS] = time.process_time() - sum(seconds.values())
        return Snapshot(time.monotonic(), seconds, calls)


class _TimedCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine whose every step is timed as a stage."""

    def __init__(self, inner: Coroutine[Any, Any, Any], times: StageTimes) -> None:
        self._inner = inner
        self._send = times.timed(stage_of(inner), inner.send)

    def send(self, value: Any) -> Any:
        return self._send(value)

    def throw(
        self,
        kind: Any,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
    ) -> Any:
        return self._inner.throw(kind if value is None else value)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Any:
        return self._inner.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def stage_of(coroutine: Any) -> str:
    """Return the thread and the name of a coroutine, or of the one it was given to await."""
    frame = getattr(coroutine, "cr_frame", None)
    held = frame.f_locals if frame is not None else {}
    inner = next(
        (held[name] for name in ("coro", "task") if asyncio.iscoroutine(held.get(name))), coroutine
    )
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    return f"{label_of(threading.current_thread())}: {name.rpartition('<locals>.')[2]}"


def label_of(thread: threading.Thread) -> str:
    """Return what a thread does."""
    if thread is threading.main_thread():
        return "loop"
    service = getattr(thread, "service", None)
    if service is not None:
        return "fetches" if isinstance(service, transport.ChunkConsumerThread) else "services"
    return "handlers" if thread.name.startswith("chunk") else "threads"


def native_seconds() -> Counter[str]:
    """Return the processor seconds of the threads that native libraries have started."""
    process = psutil.Process()
    found: Counter[str] = Counter()
    for thread in process.threads():
        try:
            name = Path(f"/proc/self/task/{thread.id}/comm").read_text()
        except FileNotFoundError:  # it has ended meanwhile, or this is not Linux
            continue
        for prefix, label in THREADS.items():
            if name.startswith(prefix):
                found[label] += thread.user_time + thread.system_time
    return found


@contextmanager
def stages_timed(out: Path | None) -> Iterator[None]:
    """Time the stages of this process; write a snapshot a line to a file. None: do nothing.

    The first is of the first fetched record, the last of the end.
    """
    if out is None:
        yield
        return
    began, is_over = threading.Event(), threading.Event()
    times = StageTimes(began.set)
    for stage, (owner, name) in STAGES.items():
        times.wrap(stage, owner, name)
    make_loop = uvloop.new_event_loop

    def new_loop() -> Any:
        loop = make_loop()
        loop.set_task_factory(times.task_factory())
        return loop

    uvloop.new_event_loop = new_loop
    with out.open("w") as file:
        writer = threading.Thread(target=_write, args=(file, times, began, is_over), daemon=True)
        writer.start()
        yield
        is_over.set()
        began.set()
        writer.join()


def _write(
    file: TextIO, times: StageTimes, began: threading.Event, is_over: threading.Event
) -> None:
    began.wait()
    is_last = False
    while not is_last:
        is_last = is_over.wait(SNAPSHOT_S) if file.tell() else is_over.is_set()
        file.write(json.dumps(asdict(times.snapshot())) + "\n")


def read_snapshots(file: Path) -> list[Snapshot]:
    """Return what `stages_timed` has written."""
    return [Snapshot(**json.loads(line)) for line in file.read_text().splitlines()]
