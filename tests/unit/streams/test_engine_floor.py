"""State that was lost is computed anew as of the present: what it orders is newer than before.

Tables take the time of a record for the revision of what they order of it. Of records of long ago
that would be a revision below those that targets have settled, and it would have no effect.
"""

from dataclasses import replace

import pytest

from runtime.clocks import SKEW
from streams.engine import Chunk, Effects, State
from streams.engine.state_store import FLOOR_KEY
from tests.support.engine_fakes import FakePartition
from tests.support.engine_processor import add_up, held, numbers, running

pytestmark = pytest.mark.asyncio

NOW_S = 1_000.0
FLOOR_MS = 1_000_000 + int(SKEW.total_seconds() * 1_000)


def lost(topic: str = "numbers") -> FakePartition:
    """A partition that was read and has no state, as `psastream rebuild` leaves it."""
    return FakePartition(committed={topic: 0}, anew={topic})


class Seen:
    """A handler that keeps the times it was told."""

    def __init__(self) -> None:
        self.times_ms: list[int] = []

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        self.times_ms += chunk.timestamps_ms
        return add_up(chunk, state)


def at(start: int, *times_ms: int) -> Chunk:
    """Records of these times."""
    return replace(numbers(start, *times_ms), timestamps_ms=list(times_ms))


@pytest.mark.parametrize("other", ["numbers", "others"])
async def test_records_that_are_read_again_after_a_loss_are_of_the_present(other: str) -> None:
    """A clock that is behind another host's, as far as that is believed, is allowed for."""
    seen, partition = Seen(), lost(other)
    async with running(partition, handler=seen, clock=lambda: NOW_S) as it:
        it.submit(at(0, 5, FLOOR_MS + 1, FLOOR_MS - 1))
        assert await it.applied() == 3
    assert seen.times_ms == [FLOOR_MS, FLOOR_MS + 1, FLOOR_MS]
    assert partition.stamps == [FLOOR_MS], "what is published of them is, too"
    assert held(partition)[FLOOR_KEY] == b"%d" % FLOOR_MS


async def test_the_present_of_a_loss_holds_for_all_that_come_later() -> None:
    seen, partition = Seen(), lost()
    async with running(partition, handler=seen, clock=lambda: NOW_S) as it:
        it.submit(at(0, 5))
        await it.applied()
        it.submit(at(1, 6))
        await it.applied()
    async with running(partition, handler=seen, clock=lambda: 2 * NOW_S) as it:
        it.submit(at(2, 7))
        await it.applied()
    assert seen.times_ms == [FLOOR_MS] * 3
    assert [FLOOR_KEY in changes for changes in partition.log] == [True, False, False]


@pytest.mark.parametrize("start", [0, 3])
async def test_records_that_are_read_for_the_first_time_keep_their_times(start: int) -> None:
    seen, partition = Seen(), FakePartition(start=start)
    async with running(partition, handler=seen, clock=lambda: NOW_S) as it:
        it.submit(at(start, 5, 6))
        await it.applied()
    assert seen.times_ms == [5, 6]
    assert FLOOR_KEY not in held(partition)


async def test_a_topic_that_is_read_again_into_the_state_there_is_keeps_its_times() -> None:
    """The state knows the revisions it has given."""
    seen, partition = Seen(), FakePartition()
    async with running(partition, handler=seen, clock=lambda: NOW_S) as it:
        it.submit(at(0, 5))
        await it.applied()
        partition.committed["numbers"] = 0
        partition.anew.add("numbers")
    async with running(partition, handler=seen, clock=lambda: NOW_S) as it:
        it.submit(at(0, 5))
        await it.applied()
    assert seen.times_ms == [5, 5]


async def test_state_that_was_lost_without_a_word_is_lost_all_the_same() -> None:
    """An operator allowed the gap."""
    seen = Seen()
    partition = FakePartition(committed={"numbers": 1})
    async with running(partition, handler=seen, clock=lambda: NOW_S, allow_state_gap=True) as it:
        it.submit(at(1, 5))
        await it.applied()
    assert seen.times_ms == [FLOOR_MS]
