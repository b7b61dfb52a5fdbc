"""Where a partition goes on: never past a record that nobody read, never twice over one."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.errors import SourceChangedError, StateGapError
from streams.engine.positions import Fence, Place, Source, next_offset
from tests.support.engine_fakes import FakePartition
from tests.support.engine_processor import facts, held, numbers, running

PLACE = Place("g", "t", 0)


def source(start: int = 0, end: int = 200, committed: int | None = None, **more: bool) -> Source:
    return Source(start, end, committed, "new", **more)


@pytest.mark.parametrize(
    ("fence", "found", "goes_on"),
    [
        (None, source(), 0),
        (None, source(start=5), 5),
        (Fence(99, "new"), source(committed=100), 100),
        (Fence(99, "new"), source(committed=40), 100),  # set back: what the state holds is skipped
        (Fence(99, "new"), source(end=100, committed=100), 100),
        (Fence(99, "old"), source(committed=0, is_anew=True), 0),
        (Fence(99, "old"), source(start=7, committed=0, is_anew=True), 7),
        (Fence(99, "new"), source(start=120, committed=120, is_anew=True), 120),
    ],
)
def test_a_partition_goes_on_after_what_the_state_holds(
    fence: Fence | None, found: Source, goes_on: int
) -> None:
    assert next_offset(PLACE, fence, found) == goes_on


@pytest.mark.fault("C12", place="streams/engine/positions.py")
@pytest.mark.parametrize(
    ("fence", "found", "says"),
    [
        (
            Fence(99, "old"),
            source(end=110),
            "deleted and made again: it holds offsets 0 to 110, the state knows 100 of",
        ),
        (Fence(99, "old"), source(end=0), "deleted and made again"),
        (Fence(99, None), source(), "deleted and made again"),
        (Fence(99, "new"), source(end=99, committed=99), "ends at 99"),
    ],
)
def test_c12_offsets_of_another_topic_are_not_compared(
    fence: Fence, found: Source, says: str
) -> None:
    with pytest.raises(SourceChangedError, match=says) as raised:
        next_offset(PLACE, fence, found)
    assert "psastream reread t" in raised.value.hint
    assert "psastream rebuild g" in raised.value.hint


@pytest.mark.fault("C12", place="streams/engine/positions.py")
@pytest.mark.parametrize(
    ("fence", "found", "missing", "says"),
    [
        (Fence(99, "new"), source(start=130, committed=100), 30, "begins at 130"),
        (Fence(99, "new"), source(committed=105), 5, "lacks 5 offsets"),
        (Fence(99, "new"), source(committed=101), 1, "lacks 1 offsets"),
        (None, source(committed=100), 100, "lacks 100 offsets"),
    ],
)
def test_c12_offsets_nobody_read_are_named(
    fence: Fence | None, found: Source, missing: int, says: str
) -> None:
    with pytest.raises(StateGapError, match=says) as raised:
        next_offset(PLACE, fence, found)
    assert raised.value.missing == missing


@pytest.mark.fault("C12", place="streams/engine/positions.py")
def test_c12_what_the_topic_still_holds_is_not_said_to_be_deleted() -> None:
    """Whoever reads it takes a new snapshot of the source for nothing."""
    for found in (source(start=100, committed=105), source(start=7, committed=105)):
        with pytest.raises(StateGapError) as raised:
            next_offset(PLACE, Fence(99, "new"), found)
        assert "deleted unread" not in str(raised.value)
        assert raised.value.context["state_position"] == 100
        assert raised.value.context["position"] == 105


@dataclass
class World:
    """A source partition, and a group that reads it. A record is its topic and its number."""

    topic: int = 0
    written: int = 0
    start: int = 0
    log: list[tuple[int, int]] = field(default_factory=list)
    committed: int | None = None
    fence: Fence | None = None
    applied: list[tuple[int, int]] = field(default_factory=list)
    is_cut: bool = False

    def write(self, records: int) -> None:
        for _ in range(records):
            self.log.append((self.topic, self.written))
            self.written += 1

    def expire(self, records: int) -> None:
        self.start = min(self.start + records, len(self.log))

    def make_again(self, records: int) -> None:
        self.topic += 1
        self.start, self.log, self.committed, self.is_cut = 0, [], None, False
        self.write(records)

    def lose_end(self, records: int) -> None:
        """An unclean election."""
        self.log = self.log[: max(self.start, len(self.log) - records)]
        self.is_cut = self.is_cut or self._fenced() > len(self.log)

    def _fenced(self) -> int:
        """The end of what the state holds of this topic."""
        fence = self.fence
        return fence.offset + 1 if fence is not None and fence.topic_id == str(self.topic) else 0

    def has_grown_again(self) -> bool:
        """Whether the log was cut below the fence and reaches it again: offsets do not tell."""
        return self.is_cut and len(self.log) >= self._fenced()

    def set_position(self, offset: int) -> None:
        self.committed = min(offset, len(self.log))

    def read(self) -> None:
        """A worker starts, reads to the end and stops. Raises what it refuses to start with."""
        found = Source(self.start, len(self.log), self.committed, str(self.topic))
        at = next_offset(PLACE, self.fence, found)
        self.applied += self.log[at:]
        if at < len(self.log):
            self.fence = Fence(len(self.log) - 1, str(self.topic))
            self.committed = len(self.log)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(("write", "expire", "make_again", "lose_end", "set_position", "read")),
        st.integers(0, 12),
    ),
    max_size=30,
)


@pytest.mark.fault("C12", place="streams/engine/positions.py")
@given(OPERATIONS)
def test_c12_a_worker_that_starts_has_missed_nothing_and_doubles_nothing(
    operations: list[tuple[str, int]],
) -> None:
    world = World()
    for name, number in [*operations, ("read", 0)]:
        if name != "read":
            getattr(world, name)(number)
            continue
        if world.has_grown_again():
            return
        try:
            world.read()
        except (SourceChangedError, StateGapError):
            return
        assert len(world.applied) == len(set(world.applied))
        assert set(world.log[world.start :]) <= set(world.applied)


@pytest.mark.fault("C12", place="streams/engine/positions.py")
@pytest.mark.asyncio
async def test_c12_a_topic_made_again_stops_the_worker_and_is_read_anew_when_told() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        it.submit(numbers(0, *[1] * 100))
        await it.applied()
    partition.topic_id, partition.end = "topic-2", 110
    partition.committed.clear()
    async with running(partition) as it:
        it.submit(numbers(0, *[1] * 110))
        assert isinstance(await it.failed(), SourceChangedError)
    assert facts(held(partition))[b"sum"] == b"100"

    partition.committed, partition.anew = {"numbers": 0}, {"numbers"}
    async with running(partition) as it:
        it.submit(numbers(0, *[1] * 110))
        assert await it.applied() == 110
    assert facts(held(partition)) == {
        b"sum": b"210",
        b"!f:numbers": b"109",
        b"!a:numbers": b"0 110 110 0 0 0",
    }
    async with running(partition) as it:
        it.submit(numbers(110, 1))
        assert await it.applied() == 1


@pytest.mark.fault("C12", place="streams/engine/positions.py")
@pytest.mark.asyncio
async def test_c12_a_topic_made_again_under_a_worker_stops_it() -> None:
    """The fetch at the old position is out of range, so it begins again at the first record."""
    partition = FakePartition()
    async with running(partition) as it:
        it.submit(numbers(0, 1, 2, 3))
        await it.applied()
        ids = {"log": "log-1", "numbers": "topic-1", "others": "topic-1"}
        it.processor.check_topics(ids)
        partition.topic_id = "topic-2"
        with pytest.raises(SourceChangedError, match="made again"):
            it.processor.check_topics({**ids, "numbers": "topic-2"})
        it.submit(numbers(0, 4, 5))
        assert isinstance(await it.failed(), SourceChangedError)
    assert held(partition)[b"sum"] == b"6"


@pytest.mark.fault("C12", place="streams/engine/positions.py")
@pytest.mark.asyncio
async def test_c12_a_state_log_made_again_under_a_worker_is_no_state() -> None:
    """What was written to it since begins in the middle: it has fences, and no layout."""
    partition = FakePartition()
    async with running(partition) as it:
        it.submit(numbers(0, 1, 2))
        await it.applied()
        partition.log.clear()
        it.submit(numbers(2, 3))
        await it.applied()
    async with running(partition) as it:
        assert "its log was made again" in str(await it.failed())


@pytest.mark.asyncio
async def test_state_of_another_layout_is_refused_with_the_way_out() -> None:
    partition = FakePartition()
    async with running(partition) as it:
        it.submit(numbers(0, 1, 2))
        await it.applied()
    partition.log[0][b"!v"] = b"1.7"
    async with running(partition) as it:
        error = str(await it.failed())
    assert "the state has the layout 1.7, this version reads 1.1" in error
    assert "`psastream rebuild g`" in error
