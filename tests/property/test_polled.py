"""Any interleaving of writes, late commits, deletes, polls and crashes ends in the true state."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.polled.bookmark import Batch
from connectors.polled.model import DeleteFeed, ReaderTraits
from schemas.errors import TransientError
from tests.support.examples import examples
from tests.support.polled import (
    Clock,
    MemoryLog,
    MemoryReader,
    MemoryTable,
    make_config,
    make_poller,
)

OVERLAP_S = 10
SWEEP_S = 1_000
ROW_IDS = st.sampled_from(["a", "b", "c", "d", "e", "f"])
FEW_IDS = st.sampled_from(["a", "b"])


@dataclass(frozen=True)
class Write:
    row_id: str
    late_s: float
    is_deleted: bool


@dataclass(frozen=True)
class Remove:
    """Told at once by the delete log, where there is one; queries show the row until later."""

    row_id: str
    late_s: float


@dataclass(frozen=True)
class Restore:
    """A removed row is there again, with its old stamp."""

    row_id: str


@dataclass(frozen=True)
class Lag:
    """From now on queries are answered by a replica that is so far behind."""

    seconds: float


@dataclass(frozen=True)
class Tick:
    seconds: float


@dataclass(frozen=True)
class Poll:
    fails: tuple[bool, ...] = ()
    restarts: bool = False
    meanwhile: tuple["Step", ...] = ()


@dataclass(frozen=True)
class Clocks:
    """From now on this host's clock and the vendor's are so many seconds off."""

    ours_s: float
    vendors_s: float


Step = Write | Remove | Restore | Lag | Tick | Poll | Clocks

writes = st.builds(
    Write,
    ROW_IDS,
    st.sampled_from([0.0, 0.0, 0.5, 3.0, 9.0]),
    st.sampled_from([False, False, True]),
)
ticks = st.builds(Tick, st.sampled_from([0.0, 0.2, 1.0, 5.0, 30.0]))
polls = st.builds(
    Poll,
    st.lists(st.booleans(), max_size=4).map(tuple),
    st.booleans(),
    st.lists(writes | ticks, max_size=4).map(tuple),
)
late_deletes = (
    st.builds(Write, FEW_IDS, st.sampled_from([0.0, 9.0, 70.0, 120.0]), st.just(False))
    | st.builds(Remove, FEW_IDS, st.sampled_from([0.0, 9.0, 70.0, 120.0]))
    | st.builds(Restore, FEW_IDS)
    | st.builds(Lag, st.sampled_from([0.0, 30.0, 80.0]))
    | st.builds(Tick, st.sampled_from([1.0, 20.0, 61.0, 100.0, 300.0]))
)
late_polls = st.builds(
    Poll,
    st.lists(st.booleans(), max_size=4).map(tuple),
    st.booleans(),
    st.lists(late_deletes, max_size=2).map(tuple),
)
off_s = st.sampled_from([0.0, 45.0, -45.0, 7_200.0, -7_200.0, 3e7, -3e7])
jumps = st.builds(Clocks, off_s, off_s)


class SlowLog(MemoryLog):
    """Lets others on while it commits, as one that waits for a broker does."""

    async def commit(self, batch: Batch) -> None:
        await asyncio.sleep(0)
        await super().commit(batch)


class World:
    """A source, its log and the poller between them."""

    def __init__(self, page_size: int, **keys: object) -> None:
        self.clock = Clock()
        self.ours = Clock()
        self.true_time = Clock()
        self.table = MemoryTable(self.clock, true_time=self.true_time)
        self.reader = MemoryReader(self.table, page_size=page_size)
        self.log = SlowLog()
        self.config = make_config(**({"overlap.ms": OVERLAP_S * 1000} | keys))
        self._start()
        self._number = 0
        self._there: set[str] = set()

    def _start(self) -> None:
        self.poller = make_poller(self.reader, self.log, self.config, clock=self.ours)

    def run(self, step: Step) -> None:
        match step:
            case Remove(row_id, late_s) if row_id in self._there:
                self._there.discard(row_id)
                self.table.remove(row_id, late_s=late_s)
            case Restore(row_id) if self._is_seen_again(row_id):
                self._there.add(row_id)
                self.table.restore(row_id)
            case Lag(seconds):
                self.table.lag_s = seconds
            case Tick(seconds):
                for clock in (self.clock, self.ours, self.true_time):
                    clock.tick(seconds)
            case Clocks(ours_s, vendors_s):
                self.ours.now = self.true_time.now + timedelta(seconds=ours_s)
                self.clock.now = self.true_time.now + timedelta(seconds=vendors_s)
            case Write(row_id, late_s, is_deleted):
                self._number += 1
                self._there.add(row_id)
                self.table.write(
                    row_id, f"text {self._number}", late_s=late_s, is_deleted=is_deleted
                )
            case Poll():
                self._poll(step)

    def _is_seen_again(self, row_id: str) -> bool:
        """Whether a removed row would be read by polls again: others only sweeps can show."""
        versions = [one for one in self.table.versions if one.row_id == row_id]
        is_gone = bool(versions) and row_id not in self._there
        return is_gone and self.clock.now - versions[-1].stamp <= self.config.overlap

    def _poll(self, step: Poll) -> None:
        if step.restarts:
            self._start()
        meanwhile = list(step.meanwhile)
        self.log.failures = iter(step.fails)
        self.reader.between_pages = lambda: self.run(meanwhile.pop()) if meanwhile else None
        try:
            asyncio.run(self.poller.poll())
        except TransientError:
            self._start()

    def truth(self) -> dict[str, str]:
        return {
            row_id: version.text
            for row_id, version in self.table.visible().items()
            if not version.is_deleted
        }

    def settle(self) -> None:
        self.run(Lag(0))
        self.run(Tick(self.config.overlap.total_seconds()))
        for _ in range(2):
            self.run(Poll())


@settings(max_examples=examples(80), deadline=None)
@given(
    page_size=st.integers(1, 4),
    steps=st.lists(writes | ticks | polls, max_size=25),
    believes_all=st.booleans(),
    reads_ahead=st.booleans(),
)
def test_i2_any_interleaving_captures_the_final_state_of_every_row(
    page_size: int, steps: list[Write | Tick | Poll], *, believes_all: bool, reads_ahead: bool
) -> None:
    world = World(page_size, **({"max.delete.ratio": 1} if believes_all else {}))
    world.reader.traits = ReaderTraits(reads_ahead=reads_ahead)
    # Unless told to believe it, a poller takes no delete that leaves no row.
    for step in steps if believes_all else [Write("stays", 0.0, is_deleted=False), *steps]:
        world.run(step)
    world.settle()
    assert {row_id: row["text"] for row_id, row in world.log.state().items()} == world.truth()
    positions = [change.position for change in world.log.changes]
    assert positions == sorted(set(positions))
    published = len(world.log.changes)
    world.settle()
    assert len(world.log.changes) == published, "a re-read published something again"


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@settings(max_examples=examples(150), deadline=None)
@given(
    page_size=st.integers(1, 4),
    steps=st.lists(late_deletes | late_polls | late_polls, min_size=4, max_size=25),
)
def test_c1_whatever_is_deleted_late_or_restored_polls_alone_make_it_true(
    page_size: int, steps: list[Step]
) -> None:
    world = World(page_size, **{"overlap.ms": 600_000, "max.delete.ratio": 1})
    world.reader.traits = ReaderTraits(delete_feed=DeleteFeed.EVERY_POLL)
    for step in [Write("stays", 0.0, is_deleted=False), Poll(), *steps]:
        world.run(step)
        world.table.write("stays", f"moves the window {world.clock.now}")
    world.settle()
    assert {row_id: row["text"] for row_id, row in world.log.state().items()} == world.truth()
    assert world.reader.scans.count(None) == 1, "a sweep helped"
    published = len(world.log.changes)
    world.settle()
    assert len(world.log.changes) == published, "a re-read published something again"


@pytest.mark.fault("C11", place="connectors/polled/clocks.py")
@settings(max_examples=examples(100), deadline=None)
@given(
    page_size=st.integers(1, 4),
    steps=st.lists(writes | ticks | polls | jumps | jumps, max_size=25),
)
def test_c11_whatever_clocks_did_the_next_sweep_makes_it_true(
    page_size: int, steps: list[Write | Tick | Poll | Clocks]
) -> None:
    world = World(page_size, **{"sweep.interval.ms": SWEEP_S * 1000, "max.delete.ratio": 1})
    for step in steps:
        world.run(step)
    world.run(Clocks(0, 0))
    world.run(Tick(SWEEP_S + 60))
    world.settle()
    assert {row_id: row["text"] for row_id, row in world.log.state().items()} == world.truth()
    positions = [change.position for change in world.log.changes]
    assert positions == sorted(set(positions))
    published, scans = len(world.log.changes), world.reader.scans.count(None)
    world.settle()
    assert len(world.log.changes) == published, "a re-read published something again"
    if world.poller.bookmark.cursor is not None:
        assert world.reader.scans.count(None) == scans, "a sweep came early"


def test_a_scan_longer_than_the_overlap_does_not_move_the_bookmark_past_its_start() -> None:
    world = World(page_size=1)
    for row_id in "abc":
        world.table.write(row_id, "first")
        world.run(Tick(1))
    world.run(Poll())
    world.run(Tick(60))
    world.table.write("late", "first", late_s=OVERLAP_S - 1)  # invisible at first
    world.run(Tick(2))
    world.table.write("d", "first")
    newest_seen = world.clock.now
    gaps = 0

    def slow_scan() -> None:
        # Past the late row's stamp the scan takes a minute, and then sees a newer row.
        nonlocal gaps
        gaps += 1
        if gaps == 4:
            world.run(Tick(60))
            world.table.write("e", "first")

    world.reader.between_pages = slow_scan
    asyncio.run(world.poller.poll())
    assert {"d", "e"} <= world.log.state().keys()
    assert "late" not in world.log.state()
    assert world.poller.bookmark.cursor == newest_seen
    world.run(Poll())
    assert "late" in world.log.state()
