"""Which of the chunks that wait are worked next, and together."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from streams.engine import Chunk, Effects, State
from streams.engine.errors import StateGapError
from tests.support.engine_fakes import FakePartition
from tests.support.engine_processor import DEADLINE_S, add_up, held, numbers, running

pytestmark = pytest.mark.asyncio

Span = tuple[str, int, int]
"""Topic, start and end of a chunk a handler was called with."""


class Held:
    """Holds the first chunk in work until the others wait, and notes what is worked."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reached = asyncio.Event()
        self.go = threading.Event()
        self.spans: list[Span] = []

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        self.spans.append((chunk.topic, chunk.start_offset, chunk.end_offset))
        if len(self.spans) == 1:
            self._loop.call_soon_threadsafe(self.reached.set)
            self.go.wait(DEADLINE_S)
        return add_up(chunk, state)

    async def worked(self, *chunks: Chunk, **settings: int) -> list[Span]:
        """What is worked after a first record, if these wait meanwhile."""
        records = sum(map(len, chunks))
        async with running(FakePartition(), handler=self, **settings) as it:
            it.submit(numbers(0, 1))
            await asyncio.wait_for(self.reached.wait(), DEADLINE_S)
            it.submit(*chunks)
            self.go.set()
            applied = await it.applied()
            while applied < records + 1:
                applied += await it.applied()
        return self.spans[1:]


async def test_chunks_that_follow_each_other_are_worked_as_one() -> None:
    assert await Held().worked(numbers(1, 1), numbers(2, 1, 1)) == [("numbers", 1, 4)]


async def test_chunks_of_another_topic_wait_for_their_turn() -> None:
    others = [numbers(at, 1, topic="others") for at in (0, 1)]
    spans = await Held().worked(numbers(1, 1), others[0], numbers(2, 1), others[1])
    assert spans == [("numbers", 1, 3), ("others", 0, 2)]


async def test_a_topic_that_waits_longer_comes_first() -> None:
    spans = await Held().worked(numbers(0, 1, topic="others"), numbers(1, 1))
    assert spans == [("others", 0, 1), ("numbers", 1, 2)]


@pytest.mark.parametrize(
    ("sizes", "ends"),
    [
        ((2, 2), [5]),  # as many as a chunk may have
        ((2, 2, 1), [5, 6]),
        ((3, 2), [4, 6]),
        ((3, 3, 1), [4, 8]),  # what does not fit is not overtaken
        ((6, 1), [7, 8]),  # one fetch is never cut
    ],
)
async def test_a_chunk_has_no_more_records_than_it_may(
    sizes: tuple[int, ...], ends: list[int]
) -> None:
    chunks, at = [], 1
    for size in sizes:
        chunks.append(numbers(at, *[1] * size))
        at += size
    spans = await Held().worked(*chunks, max_chunk_records=4)
    assert [end for _, _, end in spans] == ends


async def test_chunks_with_a_step_back_between_them_are_not_joined() -> None:
    """A position that was set back: both are worked, and what the state holds is left out."""
    held_up = Held()
    async with running(FakePartition(), handler=held_up) as it:
        it.submit(numbers(0, 1))
        await asyncio.wait_for(held_up.reached.wait(), DEADLINE_S)
        it.submit(numbers(1, 1, 1), numbers(1, 1, 1, 1))
        held_up.go.set()
        assert [await it.applied() for _ in range(3)] == [1, 2, 1]
    assert held_up.spans[1:] == [("numbers", 1, 3), ("numbers", 3, 4)]


@pytest.mark.parametrize("waits", [lambda: numbers(1, 1), lambda: numbers(0, 1, topic="others")])
async def test_nothing_that_waits_is_begun_after_a_stop(waits: Callable[[], Chunk]) -> None:
    partition, held_up = FakePartition(), Held()
    async with running(partition, handler=held_up) as it:
        it.submit(numbers(0, 1))
        await asyncio.wait_for(held_up.reached.wait(), DEADLINE_S)
        it.submit(waits())
        stopping = asyncio.create_task(it.processor.halt(DEADLINE_S))
        await asyncio.sleep(0)
        held_up.go.set()
        await stopping
    assert held_up.spans == [("numbers", 0, 1)]
    assert held(partition)[b"sum"] == b"1"
    assert partition.committed == {"numbers": 1}


async def test_a_chunk_that_leaves_records_out_is_not_joined_with_what_waits_before_it() -> None:
    held_up = Held()
    async with running(FakePartition(), handler=held_up) as it:
        it.submit(numbers(0, 1))
        await asyncio.wait_for(held_up.reached.wait(), DEADLINE_S)
        it.submit(numbers(1, 1), numbers(4, 1))
        held_up.go.set()
        assert isinstance(await it.failed(), StateGapError)
        assert it.watched.gaps == [("numbers", 2)]
    assert held_up.spans == [("numbers", 0, 1), ("numbers", 1, 2)]
