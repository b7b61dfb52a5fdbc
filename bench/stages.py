"""Where the processor time of a worker goes: functions of the engine and its agents, wrapped.

Times are of the thread that runs a stage, without the stages inside it. What is left of the
process is RocksDB's and polars' own threads, and the rest: event loops, network, Faust.
"""

from __future__ import annotations

import functools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from aiokafka.producer.message_accumulator import BatchBuilder

from bench import agents
from schemas.codec.columnar import ChunkDecoder
from streams.engine import processor, transport
from streams.engine.commit import TransactionalWriter
from streams.engine.state_store import StateStore

STAGES: dict[str, tuple[Any, str]] = {
    "unpack fetched records": (transport, "take_chunk"),
    "join chunks": (processor, "joined"),
    "decode rows": (ChunkDecoder, "decode"),
    "fold rows, the rest": (agents.FoldRows, "__call__"),
    "margins": (agents.FoldRows, "_add_margins"),
    "partials": (agents.FoldRows, "_add_partials"),
    "fold partials": (agents.FoldPartials, "__call__"),
    "encode outputs": (agents.Published, "batch"),
    "read local state": (StateStore, "get_many"),
    "fill record batches": (TransactionalWriter, "encode"),
    "compress record batches": (BatchBuilder, "_build"),
    "write local state": (StateStore, "apply"),
}
THREADS = {"rocksdb": "RocksDB's threads", "polars": "polars' threads"}
"""Names of native threads begin with these."""
REST = "event loops, network, Faust"


class _Clock(threading.local):
    """Time of the stages inside the one that runs now."""

    inner = 0.0


class StageTimes:
    """Processor seconds by stage, from the first fetched record on."""

    def __init__(self) -> None:
        self._clock = _Clock()
        self._lock = threading.Lock()
        self._seconds: Counter[str] = Counter()
        self._began: tuple[float, Counter[str]] | None = None

    def wrap(self, stage: str, owner: Any, name: str) -> None:
        """Have `owner.name` timed as a stage."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._began is None:
                self._began = time.process_time(), native_seconds()
            outer, self._clock.inner = self._clock.inner, 0.0
            start = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.thread_time() - start
                with self._lock:
                    self._seconds[stage] += spent - self._clock.inner
                self._clock.inner = outer + spent

        setattr(owner, name, timed)

    def seconds(self) -> dict[str, float]:
        """Return the processor seconds of every stage, and of what is left."""
        if self._began is None:
            return {}
        began, native = self._began
        found = dict(self._seconds)
        found.update({name: s - native[name] for name, s in native_seconds().items()})
        found[REST] = time.process_time() - began - sum(found.values())
        return found


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
    """Time the stages of this process and write them to a file at the end; None: do nothing."""
    if out is None:
        yield
        return
    times = StageTimes()
    for stage, (owner, name) in STAGES.items():
        times.wrap(stage, owner, name)
    yield
    out.write_text(json.dumps(times.seconds()))
