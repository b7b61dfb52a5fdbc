"""Clocks that run ahead, fall behind and come back: ours, the vendor's, both."""

import asyncio
from datetime import timedelta

import pytest
import structlog

from connectors.polled.clocks import Clocks
from connectors.polled.model import DeleteFeed, Deletion, ReaderTraits
from connectors.polled.poller import ObjectPoller
from runtime.clocks import SKEW
from tests.support.polled import (
    Clock,
    MemoryLog,
    MemoryReader,
    MemoryTable,
    make_config,
    make_poller,
)

YEAR = timedelta(days=365)
HOUR = timedelta(hours=1)
SWEEP_S = 1_000
FEED = ReaderTraits(delete_feed=DeleteFeed.EVERY_POLL)


class World:
    """Rows a, b, c; two clocks that are told apart; a sweep every 1,000 seconds."""

    def __init__(self, traits: ReaderTraits | None = None) -> None:
        self.ours = Clock()
        self.vendors = Clock()
        self.config = make_config(**{"sweep.interval.ms": SWEEP_S * 1000})
        self.true_time = Clock()
        self.table = MemoryTable(self.vendors, true_time=self.true_time)
        self.reader = MemoryReader(self.table, traits=traits or ReaderTraits())
        self.log = MemoryLog()
        for row_id in "abc":
            self.table.write(row_id, "first")
        self.poller = self.restart()

    def restart(self) -> ObjectPoller:
        self.poller = make_poller(self.reader, self.log, self.config, clock=self.ours)
        return self.poller

    def tick(self, seconds: float) -> None:
        self.true_time.tick(seconds)
        self.ours.tick(seconds)
        self.vendors.tick(seconds)

    def poll(self) -> list[tuple[str, str]]:
        before = len(self.log.changes)
        self.tick(2)
        asyncio.run(self.poller.poll())
        return self.log.operations()[before:]

    def full_scans(self) -> int:
        return self.reader.scans.count(None)


def jumped(world: World, *, ours: timedelta, vendors: timedelta) -> None:
    """Both clocks off during one poll that finds a change, then right again; a new process."""
    world.ours.now += ours
    world.vendors.now += vendors
    world.table.write("a", "while the clock is off")
    world.poll()
    world.ours.now -= ours
    world.vendors.now -= vendors
    world.restart()


JUMPS = [
    pytest.param(ours, vendors, id=f"ours {ours}, the vendor's {vendors}")
    for ours in (timedelta(0), HOUR, YEAR, -HOUR, -YEAR)
    for vendors in (timedelta(0), HOUR, YEAR, -HOUR, -YEAR)
]


@pytest.mark.fault("C11", place="runtime/clocks.py")
def test_c11_a_sweep_of_the_future_is_not_believed() -> None:
    world = World()
    world.poll()
    jumped(world, ours=YEAR, vendors=timedelta(0))
    world.table.purge("b")
    assert world.poll() == [("d", "b")]


@pytest.mark.fault("C11", place="connectors/polled/poller.py")
@pytest.mark.parametrize(("ours", "vendors"), JUMPS)
def test_c11_after_any_jump_changes_are_seen_at_the_next_poll(
    ours: timedelta, vendors: timedelta
) -> None:
    world = World()
    world.poll()
    jumped(world, ours=ours, vendors=vendors)
    world.table.write("b", "after")
    world.poll()
    state = world.log.state()
    assert state["b"]["text"] == "after"
    assert state["a"]["text"] == "while the clock is off"


@pytest.mark.fault("C11", place="connectors/polled/poller.py")
@pytest.mark.parametrize(("ours", "vendors"), JUMPS)
def test_c11_after_any_jump_told_deletes_are_published(ours: timedelta, vendors: timedelta) -> None:
    world = World(FEED)
    world.poll()
    world.ours.now += ours
    world.vendors.now += vendors
    world.table.feed.append(Deletion("unknown", world.vendors.now))
    world.vendors.now -= vendors
    world.ours.now -= ours
    jumped(world, ours=ours, vendors=vendors)
    world.tick(1)
    for row_id in "ab":
        world.table.purge(row_id)
        world.table.feed.append(Deletion(row_id, world.vendors.now))
    assert set(world.poll()) >= {("d", "a"), ("d", "b")}
    assert world.log.state().keys() == {"c"}


@pytest.mark.fault("C11", place="connectors/polled/poller.py")
@pytest.mark.parametrize(("ours", "vendors"), JUMPS)
def test_c11_no_clock_makes_every_poll_a_sweep(ours: timedelta, vendors: timedelta) -> None:
    world = World(FEED)
    world.poll()
    jumped(world, ours=ours, vendors=vendors)
    for _ in range(2):
        world.poll()
    settled = world.full_scans()
    for _ in range(20):
        world.poll()
    assert world.full_scans() == settled


@pytest.mark.fault("C11", place="connectors/polled/poller.py")
@pytest.mark.parametrize("off", [HOUR, YEAR, -HOUR, -YEAR])
def test_c11_clocks_that_always_differ_cost_no_sweeps_and_hide_nothing(off: timedelta) -> None:
    world = World(FEED)
    world.ours.now += off
    for number in range(10):
        world.table.write("a", f"text {number}", late_s=3)
        world.poll()
        world.poll()
    assert world.log.state()["a"]["text"] == "text 9"
    world.table.purge("b")
    world.table.feed.append(Deletion("b", world.vendors.now))
    assert world.poll() == [("d", "b")]
    assert world.full_scans() == 1, "the snapshot alone"


@pytest.mark.fault("C11", place="connectors/polled/poller.py")
@pytest.mark.parametrize("off", [HOUR, YEAR, -HOUR, -YEAR])
def test_c11_an_undelete_is_known_whatever_our_clock_says(off: timedelta) -> None:
    world = World(FEED)
    world.ours.now += off
    world.poll()
    world.table.feed.append(Deletion("a", world.vendors.now))
    world.tick(1)
    world.table.write("a", "taken back")
    for _ in range(4):
        world.poll()
    assert world.log.operations().count(("d", "a")) == 0
    assert world.log.state()["a"]["text"] == "taken back"


@pytest.mark.fault("C11", place="connectors/polled/poller.py")
def test_c11_a_snapshot_cut_short_in_the_future_is_completed() -> None:
    world = World()
    world.reader.page_size = 1
    world.ours.now += YEAR
    world.vendors.now += YEAR
    world.table.write("ahead", "first")

    def fails_behind_the_row_of_the_future() -> None:
        if "ahead" in world.log.state():
            raise TimeoutError

    world.reader.between_pages = fails_behind_the_row_of_the_future
    with pytest.raises(TimeoutError):
        world.poll()
    world.reader.between_pages = lambda: None
    world.ours.now -= YEAR
    world.vendors.now -= YEAR
    world.table.write("d", "first")
    world.restart()
    world.poll()
    world.poll()
    assert world.log.state().keys() == {"a", "b", "c", "d", "ahead"}


@pytest.mark.fault("C11", place="runtime/clocks.py")
def test_a_step_within_the_skew_of_two_hosts_is_no_jump() -> None:
    world = World()
    world.poll()
    jumped(world, ours=SKEW, vendors=timedelta(0))
    scans = world.full_scans()
    world.poll()
    assert world.full_scans() == scans


@pytest.mark.fault("C11", place="connectors/polled/clocks.py")
@pytest.mark.parametrize("sign", [1, -1])
def test_c11_clocks_that_differ_by_more_than_the_skew_are_told_once_each_time(sign: int) -> None:
    now = Clock().now
    clocks = Clocks("salesforce", "account", lambda: now)
    more = SKEW + timedelta(seconds=1)
    with structlog.testing.capture_logs() as lines:
        for differ in (more, SKEW, more, more, SKEW, SKEW / 2, more):
            vendor_at = now - sign * differ
            assert clocks.started(now, vendor_at) == min(now, vendor_at)
    told = [(line["event"], line["ahead_s"]) for line in lines]
    assert told == [("poll.clocks_differ", sign * 61)] * 3


@pytest.mark.fault("C11", place="connectors/polled/poller.py")
def test_c11_a_bookmark_does_not_pass_the_vendors_clock_of_the_scans_first_page() -> None:
    world = World()
    world.poll()
    world.reader.page_size = 1
    world.ours.now += SKEW / 2
    world.tick(60)
    began_at = world.vendors.now + timedelta(seconds=2)

    def a_row_changes_while_the_scan_goes_on() -> None:
        world.tick(20)
        world.table.write("a", "meanwhile")

    world.reader.between_pages = a_row_changes_while_the_scan_goes_on
    world.table.write("b", "before")
    pages = iter(range(3))
    world.reader.between_pages = lambda: (
        next(pages, None) is None or (a_row_changes_while_the_scan_goes_on())
    )
    world.poll()
    assert world.poller.bookmark.cursor == began_at
