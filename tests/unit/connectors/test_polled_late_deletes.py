"""What a scan shows after a delete may be late, within the overlap, or restored: which it is."""

import asyncio
from datetime import datetime, timedelta

import pytest

from connectors.polled.bookmark import Bookmark
from connectors.polled.model import DeleteFeed, Deletion, ReaderTraits
from connectors.toolkit.faults import VendorRejectedError
from schemas.errors import TransientError
from tests.support.polled import START, Clock, MemoryLog, MemoryReader, MemoryTable, make_config
from tests.support.polled import make_poller as started

OVERLAP_S = 600
STEP_S = 50


class World:
    """Rows a to f, published, whose deletes a log tells; polls only, no sweep unless told."""

    def __init__(self, **keys: object) -> None:
        self.config = make_config(
            **{"overlap.ms": OVERLAP_S * 1000, "sweep.interval.ms": 10**9} | keys
        )
        self.clock = Clock()
        self.table = MemoryTable(self.clock)
        self.reader = MemoryReader(self.table, page_size=1000)
        self.reader.traits = ReaderTraits(delete_feed=DeleteFeed.EVERY_POLL)
        self.log = MemoryLog()
        for row_id in "abcdef":
            self.table.write(row_id, "first")
        self.restart()
        self.poll()

    def restart(self) -> None:
        self.poller = started(self.reader, self.log, self.config)

    def poll(self, *, after_s: float = STEP_S, edits: bool = True) -> list[tuple[str, str]]:
        """Poll a while later; what was published of all rows but f, whose edits move the window."""
        before = len(self.log.changes)
        self.clock.tick(after_s)
        if edits:
            self.table.write("f", f"{self.clock.now}")
        asyncio.run(self.poller.poll())
        return [told for told in self.log.operations()[before:] if told[1] != "f"]

    def polls(self, count: int, *, restarts: bool = False) -> list[tuple[str, str]]:
        told = []
        for _ in range(count):
            if restarts:
                self.restart()
            told += self.poll()
        return told

    def since(self) -> datetime:
        since = self.reader.scans[-1]
        assert since is not None
        return since


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("late_s", [STEP_S + 1, 61, 90, 150, 300, OVERLAP_S - STEP_S])
@pytest.mark.parametrize("is_changed", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
def test_c1_a_delete_that_scans_show_late_is_told_by_the_first_that_does_not_show_the_row(
    late_s: float, is_changed: bool, restarts: bool
) -> None:
    world = World()
    world.clock.tick(OVERLAP_S - 120)  # the row leaves the window of the polls meanwhile
    if is_changed:
        world.table.write("b", "shown for the first time after its delete")
        world.clock.tick(1)
    world.table.remove("b", late_s=late_s)
    told = world.polls(int(OVERLAP_S * 1.5 / STEP_S), restarts=restarts)
    assert told == ([("u", "b")] if is_changed else []) + [("d", "b")]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("edited_s", [1, 200, 400, 590])
@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
def test_c1_a_row_restored_with_its_old_stamp_stays(
    edited_s: float, is_told: bool, restarts: bool
) -> None:
    world = World()
    world.clock.tick(1000)
    world.table.write("b", "second")
    world.poll(after_s=edited_s)
    world.table.remove("b")
    if is_told:
        assert world.poll(after_s=5) == [("d", "b")]
    world.table.restore("b")
    told = world.polls(2 * OVERLAP_S // STEP_S, restarts=restarts)
    assert told == ([("c", "b")] if is_told else [])
    assert world.since() == world.clock.now - timedelta(seconds=OVERLAP_S + STEP_S)
    world.table.remove("b", late_s=150)
    assert world.polls(5) == [("d", "b")]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_row_restored_and_deleted_again_is_deleted() -> None:
    world = World()
    world.table.remove("b")
    world.table.restore("b")
    world.clock.tick(OVERLAP_S)
    world.table.remove("b", late_s=150)  # the log names both deletes; it was there after the first
    assert world.polls(5) == [("d", "b")]


@pytest.mark.fault("C17", place="connectors/polled/poller.py")
@pytest.mark.parametrize("refused", [3, 8, 40])
def test_c17_polls_without_the_delete_log_forget_no_row_that_may_be_restored(refused: int) -> None:
    world = World()
    world.clock.tick(OVERLAP_S - 120)
    world.table.remove("b")
    world.table.restore("b")
    assert world.poll() == []
    world.reader.log_error = VendorRejectedError(400, (), context={})
    assert world.polls(refused) == []
    assert world.clock.now - world.since() <= timedelta(seconds=2 * OVERLAP_S + STEP_S)
    world.reader.log_error = None
    assert world.polls(1)[:1] == ([] if refused < 9 else [("d", "b")])


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("is_restored", [False, True])
def test_c1_what_only_a_sweep_shows_within_the_overlap_of_its_delete_is_not_believed(
    is_restored: bool,
) -> None:
    world = World(**{"sweep.interval.ms": 20_000_000})
    world.clock.tick(20_000 - 100)
    world.table.remove("b", late_s=150)
    if is_restored:
        world.table.restore("b")
    assert world.poll(after_s=100) == []
    assert None in world.reader.scans[1:]
    assert world.polls(5) == [("d", "b")]
    assert world.reader.scans.count(None) == 2
    world.clock.tick(20_000)  # another sweep is due, and knows
    assert world.polls(50) == ([("c", "b")] if is_restored else [])


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("edited_s", [10, 1150, 1250, 5000])
def test_c1_no_poll_reads_more_than_two_overlaps_again(edited_s: float) -> None:
    world = World()
    world.table.write("b", "second")
    world.clock.tick(edited_s)
    world.table.remove("b")
    world.table.restore("b")
    world.poll(after_s=0)
    for _ in range(20):
        world.poll()
        behind_s = (world.clock.now - world.since()).total_seconds()
        assert behind_s <= OVERLAP_S + STEP_S + (edited_s <= 1150) * OVERLAP_S


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_row_that_may_be_restored_is_not_forgotten_by_a_process_that_ends() -> None:
    world = World()
    world.reader.log_page_size = 1
    world.clock.tick(OVERLAP_S - 110)
    world.table.remove("c", late_s=90)
    world.table.remove("b")
    world.table.restore("b")
    assert world.poll() == []
    world.table.remove("d")
    world.log.failures = iter([False, False, True])  # the rows, the delete of c, that of d
    with pytest.raises(TransientError):
        world.poll()
    assert world.log.operations()[-1] == ("d", "c")
    assert world.polls(20, restarts=True) == [("d", "d")]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("polls", [6, 20])
def test_c1_a_row_that_may_be_restored_is_not_forgotten_while_deletes_are_in_doubt(
    polls: int,
) -> None:
    world = World(**{"max.delete.rows": 1, "max.delete.ratio": 0.2})
    world.clock.tick(OVERLAP_S - 120)
    world.table.remove("b")
    world.table.restore("b")
    world.table.remove("c")
    world.table.remove("d")
    assert world.polls(polls) == []
    world.config = make_config(
        **{"overlap.ms": OVERLAP_S * 1000, "sweep.interval.ms": 10**9, "max.delete.ratio": 1}
    )
    world.restart()
    assert world.polls(3) == [("d", "c"), ("d", "d")]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_row_that_may_be_restored_is_not_forgotten_behind_a_delete_in_doubt() -> None:
    world = World(**{"max.delete.rows": 0, "max.delete.ratio": 0})
    world.reader.log_page_size = 1
    world.clock.tick(OVERLAP_S - 120)
    world.table.remove("c", late_s=90)
    world.table.remove("b")
    world.table.restore("b")
    assert world.polls(6) == []
    world.config = make_config(
        **{"overlap.ms": OVERLAP_S * 1000, "sweep.interval.ms": 10**9, "max.delete.ratio": 1}
    )
    world.restart()
    assert world.polls(3) == [("d", "c")]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_row_deleted_by_flag_is_remembered_while_polls_may_read_it_again() -> None:
    world = World(**{"sweep.interval.ms": 800_000})
    world.table.write("a", "gone", is_deleted=True)
    world.table.write("b", "second")
    assert world.poll() == [("d", "a"), ("u", "b")]
    world.clock.tick(OVERLAP_S + 50)
    world.table.remove("b")
    world.table.restore("b")
    world.reader.hidden = {"a"}  # sweeps show living rows alone
    world.poll(after_s=100)
    assert world.reader.scans[-1] is None
    world.reader.hidden = set()
    assert world.polls(5) == []


def test_a_bookmark_keeps_from_where_polls_read_again() -> None:
    kept = Bookmark(reread_from=START)
    assert Bookmark.from_bytes(kept.to_bytes()) == kept


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_row_that_came_and_went_between_polls_is_not_told_deleted_twice() -> None:
    world = World()
    world.reader.traits = ReaderTraits(delete_feed=DeleteFeed.AT_SWEEP)
    world.table.write("a", "gone", is_deleted=True)
    assert world.poll() == [("d", "a")]
    world.clock.tick(OVERLAP_S)
    world.table.write("a", "back")
    world.clock.tick(1)
    world.table.write("a", "gone again", is_deleted=True)

    assert world.polls(3) + world.polls(20, restarts=True) == []

    world.table.write("a", "back for good")
    assert world.poll() == [("c", "a")]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("restarts", [False, True])
def test_c1_a_row_whose_delete_a_sweep_was_told_is_not_told_again_by_its_flag(
    restarts: bool,
) -> None:
    world = World(**{"sweep.interval.ms": 800_000})
    world.reader.traits = ReaderTraits(delete_feed=DeleteFeed.AT_SWEEP)
    world.reader.hidden = {"a"}  # by a replica that is behind
    world.clock.tick(750)
    world.table.feed.append(Deletion("a", world.clock.now))
    world.table.write("a", "gone", is_deleted=True)

    assert world.poll() == [("d", "a")]
    assert world.reader.scans[-1] is None
    world.reader.hidden = set()

    assert world.polls(30, restarts=restarts) == []
    assert world.reader.scans.count(None) > 2
    world.table.write("a", "back")
    assert world.poll() == [("c", "a")]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_row_that_was_purged_is_forgotten_once_no_poll_can_show_it() -> None:
    world = World(**{"sweep.interval.ms": 800_000})
    world.reader.traits = ReaderTraits(delete_feed=DeleteFeed.AT_SWEEP)
    world.clock.tick(750)
    world.table.feed.append(Deletion("a", world.clock.now))
    world.table.purge("a")

    assert world.poll() == [("d", "a")]
    assert world.log.stored()[1].get("a") is not None
    assert world.polls(40) == []
    assert world.log.stored()[1].get("a") is None
