"""What a poll publishes: operations, deletes and their refusal, sweeps, snapshots, dead letters."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from connectors.polled import instruments
from connectors.polled.config import PolledConfig
from connectors.polled.model import DeleteFeed, Deletion, ReaderTraits
from connectors.polled.poller import ObjectPoller
from schemas.errors import TransientError
from tests.support.polled import (
    Clock,
    MemoryLog,
    MemoryReader,
    MemoryTable,
    make_config,
    make_poller,
)

SWEEPS = {"sweep.interval.ms": 1000}


class World:
    """A source with rows a, b, c and a poller that has taken its snapshot."""

    def __init__(self, traits: ReaderTraits | None = None, **keys: object) -> None:
        self.config: PolledConfig = make_config(**keys)
        self.clock = Clock()
        self.table = MemoryTable(self.clock)
        self.reader = MemoryReader(self.table, traits=traits or ReaderTraits())
        self.log = MemoryLog()
        for row_id in "abc":
            self.table.write(row_id, "first")
        self.poller = make_poller(self.reader, self.log, self.config)

    def poll(self, poller: ObjectPoller | None = None) -> list[tuple[str, str]]:
        """Poll a while later; the operations published."""
        before = len(self.log.changes)
        self.clock.tick(2)
        asyncio.run((poller or self.poller).poll())
        return self.log.operations()[before:]

    def restart(self, **keys: object) -> ObjectPoller:
        return make_poller(self.reader, self.log, make_config(**keys) if keys else self.config)


def test_a_snapshot_reads_and_later_polls_tell_new_from_changed() -> None:
    world = World()
    assert world.poll() == [("r", "a"), ("r", "b"), ("r", "c")]
    world.table.write("a", "second")
    world.table.write("d", "first")
    assert world.poll() == [("u", "a"), ("c", "d")]
    assert world.poll() == []


def test_an_untouched_content_is_neither_published_nor_kept_again() -> None:
    world = World()
    world.poll()
    kept = len(world.log.batches)
    assert world.poll(world.restart()) == []
    assert [batch.entries for batch in world.log.batches[kept:] if batch.entries] == []


def test_a_row_deleted_by_flag_is_told_once_with_what_was_left_of_it() -> None:
    world = World()
    world.poll()
    world.table.write("a", "gone", is_deleted=True)
    assert world.poll() == [("d", "a")]
    assert world.poll(world.restart()) == []
    (change,) = [change for change in world.log.changes if change.op == "d"]
    assert change.before is not None
    assert (change.before["text"], change.after) == ("gone", None)


def test_an_undeleted_row_is_new() -> None:
    world = World()
    world.poll()
    world.table.write("a", "gone", is_deleted=True)
    world.poll()
    world.table.write("a", "back")
    assert world.poll() == [("c", "a")]


def test_a_delete_feed_deletes_living_rows_once() -> None:
    world = World(ReaderTraits(delete_feed=DeleteFeed.EVERY_POLL))
    world.poll()
    world.table.purge("b")
    world.table.feed = [
        Deletion("b", world.clock.now),
        Deletion("never seen", world.clock.now),
    ]
    assert world.poll() == [("d", "b")]
    assert world.log.changes[-1].before == {"Id": "b"}
    assert world.poll() == []


def test_when_a_row_was_shown_is_kept_where_a_delete_log_may_name_it() -> None:
    for feed in (DeleteFeed.NONE, DeleteFeed.EVERY_POLL):
        world = World(ReaderTraits(delete_feed=feed))
        world.poll()
        world.table.write("a", "later")
        world.poll()
        _, ledger = world.log.stored()
        entry = ledger.get("a")
        assert entry is not None
        assert (entry.shown_at is None) is (feed is DeleteFeed.NONE)


def test_a_row_changed_after_its_deletion_was_undeleted() -> None:
    world = World(ReaderTraits(delete_feed=DeleteFeed.EVERY_POLL))
    world.poll()
    world.table.feed = [Deletion("b", world.clock.now)]
    world.clock.tick(5)
    world.table.write("b", "undeleted")
    assert world.poll() == [("u", "b")]


def test_deleting_a_parent_deletes_its_children() -> None:
    world = World(ReaderTraits(delete_feed=DeleteFeed.EVERY_POLL, has_parent=True))
    for row_id in ("7-1", "7-2", "70-1"):
        world.table.write(row_id, "line")
    world.poll()
    for row_id in ("7-1", "7-2"):
        world.table.purge(row_id)
    world.table.feed = [Deletion("7", world.clock.now)]
    assert world.poll() == [("d", "7-1"), ("d", "7-2")]


def test_a_sweep_finds_rows_that_vanished_without_a_trace() -> None:
    world = World(**SWEEPS)
    world.poll()
    world.table.purge("b")
    assert world.poll() == [("d", "b")]
    assert world.poll(world.restart(**SWEEPS)) == []


def test_a_sweep_repairs_what_polls_missed_and_counts_it() -> None:
    world = World(**SWEEPS, **{"overlap.ms": 0})
    world.poll()
    world.clock.tick(60)
    world.table.write("new", "first")
    world.poll()
    missed = replace(world.table.versions[0], row_id="missed")
    world.table.versions.append(missed)
    counter = instruments.SWEEP_REPAIRED.labels("salesforce", "account")
    before = counter._value.get()
    assert world.poll() == [("c", "missed")]
    assert counter._value.get() == before + 1


def test_a_row_missing_from_one_scan_only_is_not_deleted() -> None:
    world = World(**SWEEPS)
    world.reader.page_size = 1
    world.poll()
    calls = 0

    def flicker() -> None:  # the row is hidden from the first scans and back in the last
        nonlocal calls
        calls += 1
        world.reader.hidden = {"b"} if calls < 5 else set()

    world.reader.hidden = {"b"}
    world.reader.between_pages = flicker
    assert world.poll() == []


def test_an_implausible_share_of_vanished_rows_is_refused() -> None:
    world = World(**SWEEPS)
    world.poll()
    world.reader.hidden = {"a", "b"}
    gauge = instruments.REFUSED_DELETES.labels("salesforce", "account")
    assert world.poll() == []
    assert gauge._value.get() == 2
    world.reader.hidden = set()
    world.poll()
    assert gauge._value.get() == 0


def test_an_object_without_a_cursor_is_compared_whole() -> None:
    world = World(ReaderTraits(has_cursor=False))
    world.poll()
    world.table.purge("a")
    world.table.write("b", "second")
    world.table.write("d", "first")
    assert sorted(world.poll()) == [("c", "d"), ("d", "a"), ("u", "b")]


def test_without_a_snapshot_only_later_changes_go_out() -> None:
    world = World(**{"snapshot.mode": "no_data"})
    world.clock.tick(100)
    assert world.poll() == []
    world.table.write("a", "second")
    assert world.poll() == [("u", "a")]


def test_a_forced_snapshot_reads_everything_at_each_start_and_only_then() -> None:
    world = World()
    world.poll()
    poller = world.restart(**{"snapshot.mode": "always"})
    assert world.poll(poller) == [("r", "a"), ("r", "b"), ("r", "c")]
    assert world.poll(poller) == []


def test_an_unreadable_row_is_dead_lettered_once_and_blocks_nothing() -> None:
    world = World()
    world.reader.broken = {"b"}
    assert world.poll() == [("r", "a"), ("r", "c")]
    world.poll(world.restart())
    assert [(row.row_id, row.detail) for row in world.log.rejected] == [("b", "broken")]
    world.reader.broken = set()
    assert world.poll() == [("c", "b")]


@pytest.mark.fault("C16", place="connectors/polled/ledger.py")
@pytest.mark.parametrize("traits", [ReaderTraits(), ReaderTraits(has_cursor=False)])
def test_c16_a_row_that_becomes_unreadable_keeps_its_last_sound_value(
    traits: ReaderTraits,
) -> None:
    world = World(traits, **SWEEPS)
    world.poll()
    world.reader.broken = {"b"}
    for _ in range(3):
        assert world.poll(world.restart(**SWEEPS)) == []
    assert [row.row_id for row in world.log.rejected] == ["b"]
    world.reader.broken = set()
    assert world.poll(world.restart(**SWEEPS)) == []  # as it was
    world.reader.broken = {"b"}
    world.poll(world.restart(**SWEEPS))
    assert [row.row_id for row in world.log.rejected] == ["b", "b"]  # broken anew


@pytest.mark.fault("C16", place="connectors/polled/poller.py")
def test_c16_a_child_that_becomes_unreadable_is_no_missing_child() -> None:
    world = World(ReaderTraits(has_parent=True), **SWEEPS)
    for row_id in ("7-1", "7-2", "7-3"):
        world.table.write(row_id, "line")
    world.reader.parents = frozenset({"7"})
    world.reader.page_size = 20
    world.poll()
    world.reader.broken = {"7-2"}
    assert world.poll() == []
    assert [row.row_id for row in world.log.rejected] == ["7-2"]
    world.table.purge("7-2")
    assert world.poll() == [("d", "7-2")]


@pytest.mark.fault("C16", place="connectors/polled/poller.py")
def test_c16_with_a_row_that_cannot_be_named_absence_proves_nothing() -> None:
    world = World(ReaderTraits(has_parent=True), **SWEEPS)
    world.poll()
    world.table.purge("b")
    world.reader.nameless = [{"Id": None, "text": "which?"}]
    assert world.poll() == []
    assert world.poll(world.restart(**SWEEPS)) == []
    assert [row.detail for row in world.log.rejected] == ["Id: null is not a key"]
    world.reader.nameless = []
    assert world.poll() == [("d", "b")]
    assert len(world.log.stored()[1]) == 2  # the nameless row is forgotten


def test_i2_a_failed_commit_moves_nothing() -> None:
    world = World()
    world.poll()
    bookmark = world.poller.bookmark
    world.table.write("a", "second")
    world.log.failures = iter([True])
    with pytest.raises(TransientError):
        world.poll()
    assert world.poller.bookmark == bookmark
    assert world.poll() == [("u", "a")]


def test_positions_grow_even_if_the_clock_goes_back() -> None:
    world = World()
    world.poll()
    world.clock.tick(-3)
    world.table.write("a", "second")
    world.poll()
    positions = [change.position for change in world.log.changes]
    assert positions == sorted(set(positions))


def test_deletes_that_the_log_tells_at_a_sweep_need_no_second_scan() -> None:
    world = World(ReaderTraits(delete_feed=DeleteFeed.AT_SWEEP), **SWEEPS)
    world.poll()
    world.table.purge("b")
    world.table.feed = [Deletion("b", world.clock.now)]
    scans = world.reader.scans.count(None)
    assert world.poll() == [("d", "b")]
    assert world.reader.scans.count(None) == scans + 1


def test_a_row_deleted_by_flag_is_remembered_while_it_is_shown_and_then_forgotten() -> None:
    world = World(**SWEEPS)
    world.poll()
    world.table.write("a", "gone", is_deleted=True)
    assert world.poll() == [("d", "a")]
    world.clock.tick(60)
    world.table.write("b", "later")  # the window leaves the deleted row behind
    assert [world.poll() for _ in range(3)] == [[("u", "b")], [], []]
    world.table.purge("a")
    assert world.poll() == []
    assert world.log.stored()[1].get("a") is None


def test_a_reader_that_cannot_say_how_far_it_got_moves_the_bookmark_to_the_newest_stamp() -> None:
    world = World()
    world.reader.tells_reached = False
    world.reader.unstamped = {"d"}
    world.table.write("d", "without a stamp")
    newest = world.clock.now
    world.poll()
    assert world.poller.bookmark.cursor == newest


def test_a_snapshot_that_goes_on_behind_its_start_is_followed_by_a_sweep() -> None:
    world = World(**{"sweep.interval.ms": 10**9})
    world.reader.page_size = 1
    world.reader.lineless = {"a", "b", "c"}
    world.reader.unstamped = {"d"}
    world.table.write("d", "only a complete scan shows it")
    world.log.failures = iter([False, True])
    with pytest.raises(TransientError):
        world.poll()
    assert world.poll(world.restart(**{"sweep.interval.ms": 10**9})) == []
    assert world.poll(world.restart(**{"sweep.interval.ms": 10**9})) == [("c", "d")]


def test_the_delete_log_is_asked_from_the_first_scan_on_and_then_from_where_it_was() -> None:
    world = World(ReaderTraits(delete_feed=DeleteFeed.EVERY_POLL))
    world.poll()
    first = world.clock.now
    world.table.purge("a")
    world.table.feed = [Deletion("a", world.clock.now)]
    world.clock.tick(60)  # longer than the overlap
    assert world.poll() == [("d", "a")]
    assert world.reader.logs == [first - timedelta(seconds=10)] * 2


def test_an_empty_object_is_read_whole_until_it_has_a_row() -> None:
    world = World()
    world.table.versions.clear()
    world.poll()
    world.reader.unstamped = {"a"}
    world.table.write("a", "without a stamp")
    assert world.poll() == [("c", "a")]
    assert world.poller.bookmark.cursor is None


def counted(counter: Any, act: Callable[[], object]) -> float:
    """By how much a counter of the object grows meanwhile."""
    labelled = counter.labels("salesforce", "account")
    before = labelled._value.get()
    act()
    return float(labelled._value.get() - before)


def test_rows_that_are_read_again_are_counted() -> None:
    world = World()
    world.poll()
    assert counted(instruments.DUPLICATES, world.poll) == 3


def test_a_sweep_counts_as_repaired_what_polls_can_have_missed_alone() -> None:
    world = World(**SWEEPS, **{"overlap.ms": 0})
    world.reader.page_size = 1
    world.poll()
    world.reader.unstamped = {"d"}
    world.table.write("d", "without a stamp")
    assert counted(instruments.SWEEP_REPAIRED, world.poll) == 1

    def write_during_the_sweep() -> None:
        if world.reader.scans[-1] is None and len(world.table.versions) == 4:
            world.clock.tick(1)
            world.table.write("e", "newer than the bookmark")

    world.reader.between_pages = write_during_the_sweep
    assert counted(instruments.SWEEP_REPAIRED, world.poll) == 0
    assert "e" in world.log.state()


def test_an_object_without_a_cursor_has_nothing_to_repair() -> None:
    world = World(ReaderTraits(has_cursor=False))
    world.poll()
    world.poll()
    world.table.write("a", "second")
    assert counted(instruments.SWEEP_REPAIRED, world.poll) == 0
    assert world.poller.bookmark.cursor is None


def test_a_row_that_no_message_holds_is_put_aside_alone_and_told_once() -> None:
    world = World()
    world.poll()
    world.log.large = frozenset({"large", "larger"})
    oversize = instruments.OVERSIZE.labels("salesforce", "account")
    before = oversize._value.get()
    for row_id, text in (("a", "large"), ("b", "second"), ("c", "larger")):
        world.table.write(row_id, text)
    assert world.poll() == [("u", "b")]
    assert world.poll(world.restart()) == []
    told = [(row.row_id, row.error_code, row.is_whole) for row in world.log.rejected]
    assert told == [("a", "record.too_large", False), ("c", "record.too_large", False)]
    assert "5000000 bytes" in world.log.rejected[0].detail
    assert oversize._value.get() == before + 2
    assert {row["text"] for row in world.log.state().values()} == {"first", "second"}

    world.table.write("a", "third")
    assert world.poll() == [("u", "a")]
    world.log.large = frozenset()
    assert world.poll(world.restart()) == []  # nothing tells that the broker takes it now
    assert ("r", "c") in world.poll(world.restart(**{"snapshot.mode": "always"}))
    assert {row["text"] for row in world.log.state().values()} == {"third", "second", "larger"}


def test_a_row_that_no_message_holds_is_deleted_by_its_key() -> None:
    world = World()
    world.poll()
    world.log.large = frozenset({"large"})
    world.table.write("a", "large", is_deleted=True)
    assert world.poll() == [("d", "a")]
    assert world.log.changes[-1].before == world.reader.key("a")
    assert world.log.rejected == []


def test_an_unreadable_row_that_was_told_hides_no_other() -> None:
    world = World()
    world.reader.broken = {"a"}
    world.poll()
    world.reader.broken = {"a", "b", "c"}
    world.table.write("b", "second")
    world.table.write("c", "second")
    world.poll()
    assert [row.row_id for row in world.log.rejected] == ["a", "b", "c"]


def test_a_change_is_as_late_as_its_stamp_is_old_and_never_early() -> None:
    world = World()
    world.poll()
    lag = instruments.LAG.labels("salesforce", "account")
    world.table.write("a", "second")
    world.clock.tick(5)
    world.poll()
    assert lag._value.get() == 7
    world.table.write("a", "third")
    ahead = replace(world.table.versions[-1], stamp=world.clock.now + timedelta(seconds=30))
    world.table.versions[-1] = ahead
    world.poll()
    assert lag._value.get() == 0


def test_positions_are_microseconds_since_1970() -> None:
    world = World()
    world.poll()
    assert world.log.changes[0].position == int(world.clock.now.timestamp()) * 1_000_000


def test_what_goes_out_is_counted_by_its_operation_and_what_is_put_aside_too() -> None:
    world = World()
    world.reader.broken = {"b"}
    counters = {op: instruments.RECORDS.labels("salesforce", "account", op) for op in "rcud"}

    def grown() -> dict[str, float]:
        before = {op: counter._value.get() for op, counter in counters.items()}
        world.poll()
        return {op: counter._value.get() - before[op] for op, counter in counters.items()}

    assert counted(instruments.UNREADABLE, world.poll) == 1
    world = World()
    assert grown() == {"r": 3, "c": 0, "u": 0, "d": 0}
    world.table.write("a", "second")
    world.table.write("b", "gone", is_deleted=True)
    for row_id in "de":
        world.table.write(row_id, "first")
    assert grown() == {"r": 0, "c": 2, "u": 1, "d": 1}
    assert grown() == dict.fromkeys("rcud", 0)


def test_fields_that_no_contract_knows_are_counted_and_named() -> None:
    world = World()
    world.reader.page_size = 10  # one page
    world.poll()
    world.reader.new_fields = ("Region__c", "Tier__c")
    with structlog.testing.capture_logs() as lines:
        assert counted(instruments.NEW_FIELDS, world.poll) == 2
    told = [line["fields"] for line in lines if line["event"] == "poll.new_fields_ignored"]
    assert told == [("Region__c", "Tier__c")]


NO_DATA = {"snapshot.mode": "no_data", "sweep.interval.ms": 10**9}


def empty_world(traits: ReaderTraits | None = None) -> World:
    """Rows a to c, long there before a `no_data` connector starts, and room for what it misses."""
    world = World(traits, **NO_DATA)
    world.reader.page_size = 1
    world.clock.tick(100)
    return world


def test_without_a_snapshot_what_changes_during_the_first_scan_goes_out() -> None:
    world = empty_world()

    def change_once() -> None:
        world.reader.between_pages = lambda: None
        world.clock.tick(5)
        world.table.write("c", "second")
        world.table.write("d", "first")

    world.reader.between_pages = change_once
    assert world.poll() == [("c", "c"), ("c", "d")]
    assert world.poll(world.restart()) == []


@pytest.mark.parametrize(("before_s", "told"), [(10, ["d"]), (11, [])])
def test_without_a_snapshot_what_became_visible_late_goes_out(
    before_s: float, told: list[str]
) -> None:
    world = empty_world()
    world.clock.tick(2 - before_s)
    world.table.write("d", "stamped before the first scan by as much as the overlap")
    world.clock.tick(before_s - 2)
    assert [row_id for _, row_id in world.poll()] == told


@pytest.mark.parametrize("traits", [ReaderTraits(), ReaderTraits(has_cursor=False)])
def test_without_a_snapshot_what_changes_before_a_first_scan_is_gone_on_with_goes_out(
    traits: ReaderTraits,
) -> None:
    world = empty_world(traits)
    world.reader.unstamped = set() if traits.has_cursor else {"a", "b", "c"}
    world.reader.page_size = 1 if traits.has_cursor else 3
    world.log.failures = iter([False, True])
    with pytest.raises(TransientError):
        world.poll()
    world.clock.tick(60)
    world.table.write("a", "second")
    world.table.write("d", "made meanwhile")
    world.clock.tick(60)
    assert world.poll(world.restart()) == [("u", "a"), ("c", "d")]


def test_without_a_snapshot_a_row_without_a_stamp_goes_out_if_a_later_scan_finds_it() -> None:
    world = World(**NO_DATA | SWEEPS)
    world.clock.tick(100)
    world.reader.unstamped = {"d", "e"}
    world.table.write("d", "there before")
    assert world.poll() == []
    world.table.write("e", "made later")
    assert world.poll() == [("c", "e")]


def test_without_a_snapshot_a_row_deleted_before_is_not_told() -> None:
    world = empty_world()
    world.clock.tick(-50)
    world.table.write("a", "gone", is_deleted=True)
    world.clock.tick(50)
    assert world.poll() == []
    world.table.write("b", "gone", is_deleted=True)
    assert world.poll() == [("d", "b")]
