"""A processor at work on a partition in memory, for tests of its order of things."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from streams.engine import (
    Accounting,
    AgentSpec,
    Chunk,
    DeadLetterWriter,
    Effects,
    EngineSettings,
    GroupSpec,
    NoInstruments,
    Output,
    State,
)
from streams.engine.committer import Committer
from streams.engine.flow import Delivery, FlowWindow
from streams.engine.membership import Member
from streams.engine.processor import EngineParts, PartitionProcessor
from streams.engine.seams import Seams
from streams.engine.tracing import ChunkTracing
from tests.support.engine_fakes import FakePartition, MemoryStore

DEADLINE_S = 10.0


def add_up(chunk: Chunk, state: State) -> Effects:
    """Key `sum`: the sum of all values; one output for each chunk, the sum after it."""
    total = int(state.get(b"sum") or 0) + sum(int(value or 0) for value in chunk.values)
    return Effects(
        state={b"sum": b"%d" % total},
        outputs=[Output("sums", chunk.partition, b"sum", b"%d" % total)],
        accounting=Accounting(applied=len(chunk)),
    )


def numbers(start: int, *values: int, topic: str = "numbers") -> Chunk:
    """Records from offset `start` on."""
    offsets = range(start, start + len(values))
    keys = [None] * len(values)
    encoded = [b"%d" % value for value in values]
    return Chunk(topic, 0, start, offsets.stop, offsets, [0] * len(values), keys, encoded)


class Watched(NoInstruments):
    """Tells when a chunk is done."""

    def __init__(self) -> None:
        self.done: asyncio.Queue[Accounting] = asyncio.Queue()
        self.rebuilds = 0
        self.counts: list[dict[bytes, int]] = []
        self.handler_s: list[float] = []
        self.commit_s: list[float] = []
        self.retries = 0
        self.skipped: list[tuple[str, int]] = []
        self.gaps: list[tuple[str, int]] = []
        self.notices: list[tuple[str, str]] = []
        self.too_large: list[tuple[str, str]] = []
        self.given_up_topics: list[str] = []
        self.restored: list[int] = []

    def oversize(self, group: str, topic: str) -> None:
        self.too_large.append((group, topic))

    def counted(self, group: str, partition: int, counts: Mapping[bytes, int]) -> None:
        self.counts.append(dict(counts))

    def handler_seconds(self, group: str, topic: str, seconds: float) -> None:
        self.handler_s.append(seconds)

    def commit_seconds(self, group: str, topic: str, seconds: float) -> None:
        self.commit_s.append(seconds)

    def fence_skipped(self, group: str, topic: str, records: int) -> None:
        self.skipped.append((topic, records))

    def state_gap(self, group: str, topic: str, partition: int, records: int) -> None:
        self.gaps.append((topic, records))

    def noticed(self, group: str, topic: str, notice: str) -> None:
        self.notices.append((topic, notice))

    def given_up(self, topic: str, partition: int) -> None:
        self.given_up_topics.append(topic)

    def recovery_progress(self, group: str, partition: int, records: int, seconds: float) -> None:
        self.restored.append(records)

    def transient_retry(self, group: str, topic: str) -> None:
        self.retries += 1

    def state_rebuilt(self, group: str, partition: int) -> None:
        self.rebuilds += 1

    def chunk_applied(self, group: str, topic: str, partition: int, accounting: Accounting) -> None:
        self.done.put_nowait(accounting)


class Running:
    """A processor at work, and the error it failed with."""

    def __init__(
        self,
        partition: FakePartition,
        threads: ThreadPoolExecutor,
        handler: Any = add_up,
        store: Callable[..., Any] = MemoryStore,
        dead_letters: DeadLetterWriter | None = None,
        *,
        counted: bytes | None = None,
        clock: Callable[[], float] = time.time,
        tracing: ChunkTracing | None = None,
        **changes: Any,
    ) -> None:
        settings = EngineSettings(
            app_id="a",
            bootstrap_servers="unused:1",
            state_dir=Path("unused"),
            **{
                "retry_backoff_s": 0.001,
                "retry_backoff_max_s": 0.001,
                "commit_interval_s": 0.0,
                **changes,
            },
        )
        self.watched = Watched()
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        seams: Any = Seams(store=store, clock=clock)
        window = FlowWindow(1 << 20)
        writer: Any = partition.writer()
        self.committer = Committer(settings, lambda: nullcontext(writer))
        parts = EngineParts(
            settings,
            self.watched,
            window,
            self.committer,
            threads,
            self.failure.set_result,
            seams,
            tracing,
        )
        group = GroupSpec(
            "g",
            1,
            [AgentSpec("numbers", handler), AgentSpec("others", handler)],
            "log",
            (),
            dead_letters,
            counted=counted,
        )
        log: Any = partition.state_log()
        self.processor = PartitionProcessor(group, 0, Member(1, "m"), log, parts)

    def submit(self, *chunks: Chunk) -> None:
        for chunk in chunks:
            self.processor.submit(Delivery(chunk, 1))

    async def done(self) -> Accounting:
        """What became of the next chunk that is done. Raises what the processor failed with."""
        done = asyncio.create_task(self.watched.done.get())
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait({done, self.failure}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            done.cancel()
            raise self.failure.result()
        return done.result()

    async def applied(self) -> int:
        """The number of records of the next chunk that is done."""
        return (await self.done()).applied

    async def failed(self) -> BaseException:
        return await asyncio.wait_for(self.failure, DEADLINE_S)


@asynccontextmanager
async def running(partition: FakePartition, **changes: Any) -> AsyncIterator[Running]:
    with ThreadPoolExecutor(1) as threads:
        it = Running(partition, threads, **changes)
        await it.committer.ready()
        await it.processor.open()
        try:
            yield it
        finally:
            await it.processor.halt(DEADLINE_S)
            await it.committer.close()


def held(partition: FakePartition) -> dict[bytes, bytes | None]:
    """The state as the log has it."""
    state: dict[bytes, bytes | None] = {}
    for changes in partition.log:
        state.update(changes)
    return state


def facts(held: dict[bytes, bytes | None]) -> dict[bytes, bytes | None]:
    """What the state holds beside what it says of its layout and its topics."""
    return {key: value for key, value in held.items() if not key.startswith((b"!v", b"!t:"))}


def once(error: BaseException) -> Callable[[Chunk], None]:
    """Raise the first time."""
    errors = [error]

    def hook(_: Chunk) -> None:
        if errors:
            raise errors.pop()

    return hook
