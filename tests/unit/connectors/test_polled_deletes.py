"""Every path that publishes deletes asks one guard, and what it does not believe stays."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from connectors.polled import instruments
from connectors.polled.bookmark import Bookmark
from connectors.polled.deletes import Awaited, DeleteGuard
from connectors.polled.model import DeleteFeed, Deletion, ReaderTraits
from connectors.toolkit.faults import DeleteLogIncompleteError, VendorRejectedError
from schemas.errors import TransientError
from tests.support.polled import (
    START,
    Clock,
    MemoryLog,
    MemoryReader,
    MemoryTable,
    make_config,
    make_poller,
)

REFUSED = instruments.REFUSED_DELETES.labels("salesforce", "account")
DELETE_LOG = instruments.STOPPED.labels("salesforce", "account", "delete_log")
FEED = ReaderTraits(delete_feed=DeleteFeed.EVERY_POLL)
LINES = ReaderTraits(has_parent=True, delete_feed=DeleteFeed.EVERY_POLL)


DAY = timedelta(days=1)


def make_guard(max_ratio: float = 0.2, max_rows: int = 10, **awaited: Awaited) -> DeleteGuard:
    return DeleteGuard(
        "salesforce",
        "account",
        max_ratio=max_ratio,
        max_rows=max_rows,
        sweep_interval=DAY,
        **awaited,
    )


class World:
    """So many rows, published; each poll is a sweep too unless told otherwise."""

    def __init__(self, ids: list[str], traits: ReaderTraits | None = None, **keys: object) -> None:
        self.config = make_config(**({"sweep.interval.ms": 1000} | keys))
        self.clock = Clock()
        self.table = MemoryTable(self.clock)
        self.reader = MemoryReader(self.table, page_size=1000, traits=traits or ReaderTraits())
        self.log = MemoryLog()
        for row_id in ids:
            self.table.write(row_id, "first")
        self.start()
        self.poll()

    def start(self, **keys: object) -> None:
        config = make_config(**({"sweep.interval.ms": 1000} | keys)) if keys else self.config
        self.poller = make_poller(self.reader, self.log, config)

    def poll(self) -> set[str]:
        """Poll a while later; the rows published as deleted."""
        before = len(self.log.changes)
        self.clock.tick(2)
        asyncio.run(self.poller.poll())
        return {row_id for op, row_id in self.log.operations()[before:] if op == "d"}


def ids_of(count: int) -> list[str]:
    return [f"r{number:03d}" for number in range(count)]


def lines_of(headers: int, lines: int) -> list[str]:
    return [f"{header}-{line}" for header in range(headers) for line in range(lines)]


def flag(world: World, ids: list[str]) -> None:
    for row_id in ids:
        world.table.write(row_id, "gone", is_deleted=True)


def feed(world: World, ids: list[str]) -> None:
    world.table.feed = [Deletion(row_id, world.clock.now) for row_id in ids]
    for row_id in ids:
        world.table.purge(row_id)


def hide(world: World, ids: list[str]) -> None:
    world.reader.hidden = set(ids)


WAYS: list[tuple[Callable[[World, list[str]], None], ReaderTraits]] = [
    (flag, ReaderTraits()),
    (feed, FEED),
    (hide, ReaderTraits()),
    (hide, ReaderTraits(has_cursor=False)),
    (hide, FEED),
]


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(("way", "traits"), WAYS)
def test_c1_a_mass_delete_is_refused_whatever_tells_it(
    way: Callable[[World, list[str]], None], traits: ReaderTraits
) -> None:
    world = World(ids_of(60), traits)
    way(world, ids_of(60)[:40])
    for _ in range(3):
        assert world.poll() == set()
    assert REFUSED._value.get() == 40
    assert len(world.log.state()) == 60
    world.start(**{"max.delete.ratio": 1})  # a person believes it
    assert world.poll() == set(ids_of(60)[:40])
    assert REFUSED._value.get() == 0


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_parent_that_is_there_has_children() -> None:
    world = World(lines_of(100, 6), LINES)
    world.reader.parents = frozenset(str(header) for header in range(100))
    hide(world, lines_of(100, 6))  # the query of the lines answers nothing
    for _ in range(3):
        assert world.poll() == set()
    assert REFUSED._value.get() == 600
    hide(world, [])
    assert world.poll() == set()
    assert REFUSED._value.get() == 0


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_few_childless_parents_are_refused_in_a_sweep_too() -> None:
    world = World(lines_of(50, 2), LINES)
    world.reader.parents = frozenset(str(header) for header in range(50))
    hide(world, ["7-0", "7-1"])
    assert world.poll() == set()
    assert REFUSED._value.get() == 2
    feed(world, [])
    world.table.purge("7-0")
    world.table.purge("7-1")
    world.reader.parents -= {"7"}
    world.table.feed = [Deletion("7", world.clock.now)]
    assert world.poll() == {"7-0", "7-1"}  # the whole invoice is gone, and the vendor says so
    assert REFUSED._value.get() == 0


def test_a_line_taken_out_of_an_invoice_is_deleted_at_once() -> None:
    world = World(lines_of(2, 3), LINES)
    world.reader.parents = frozenset({"0", "1"})
    world.table.purge("0-1")
    assert world.poll() == {"0-1"}
    world.table.purge("1-0")
    world.table.purge("1-1")
    world.table.purge("1-2")
    world.table.write("1-9", "the only line now")
    assert world.poll() == {"1-0", "1-1", "1-2"}


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize("count", range(1, 11))
@pytest.mark.parametrize("traits", [ReaderTraits(), ReaderTraits(has_cursor=False)])
def test_c1_a_small_table_never_loses_most_of_its_rows(count: int, traits: ReaderTraits) -> None:
    world = World(ids_of(count), traits)
    for gone in range(count, 0, -1):
        if gone * 2 > count and not (gone == 1 and count > 1):
            hide(world, ids_of(count)[:gone])
            assert [world.poll() for _ in range(3)] == [set()] * 3
            assert REFUSED._value.get() == gone


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
def test_c1_a_few_rows_of_a_small_table_are_believed_when_two_sweeps_miss_them() -> None:
    world = World(ids_of(8), ReaderTraits(has_cursor=False))
    hide(world, ids_of(8)[:3])
    assert world.poll() == set()
    hide(world, [])
    assert world.poll() == set()
    hide(world, ids_of(8)[:3])
    assert world.poll() == set()  # not in a row
    assert world.poll() == set(ids_of(8)[:3])
    hide(world, ids_of(8)[:4])
    assert world.poll() == {"r003"}  # one row is believed at once


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@given(
    st.floats(0, 0.99),
    st.integers(0, 20),
    st.integers(1, 300),
    st.lists(st.tuples(st.sampled_from(["told", "missed"]), st.integers(1, 60)), max_size=20),
)
def test_c1_no_poll_deletes_more_than_the_guard_allows(
    ratio: float, rows: int, living: int, steps: list[tuple[str, int]]
) -> None:
    guard = make_guard(ratio, rows)
    guard.start(living)
    left = ids_of(living)
    believed: set[str] = set()
    for kind, count in steps:
        ids = set(left[:count])
        if kind == "told":
            told = guard.told(ids)
            believed |= ids if told else set()
            assert not told or len(believed) <= max(rows, ratio * living)
        else:
            assert not guard.missed(ids, len(left), START) or len(ids) < len(left)
        left = left[count:] or left


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(
    ("count", "living", "is_believed"),
    [
        (20, 100, True),  # the ratio
        (21, 100, False),
        (10, 20, True),  # so many rows, whatever their share
        (11, 20, False),
    ],
)
def test_c1_what_the_vendor_tells_is_believed_up_to_the_ratio_or_the_rows(
    count: int, living: int, is_believed: bool
) -> None:
    guard = make_guard()
    guard.start(living)
    assert guard.told(set(ids_of(count))) is is_believed


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(
    ("count", "living", "sweeps"),
    [
        (0, 0, [True, True]),
        (1, 1, [False, False]),  # nothing would be left
        (1, 2, [True, True]),
        (2, 4, [False, True]),
        (20, 100, [True, True]),  # the ratio
        (21, 100, [False, False]),
        (10, 20, [False, True]),  # so many rows, and half of the rows stay
        (10, 19, [False, False]),
        (11, 40, [False, False]),
    ],
)
def test_c1_what_a_scan_missed_is_believed_at_once_by_a_second_sweep_or_never(
    count: int, living: int, sweeps: list[bool]
) -> None:
    guard = make_guard()
    rows = set(ids_of(count))
    assert [guard.missed(rows, living, START + sweep * DAY) for sweep in (0, 1)] == sweeps


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(("ratio", "is_believed"), [(0.99, False), (1, True)])
def test_c1_only_a_ratio_of_1_believes_that_nothing_is_left(
    ratio: float, is_believed: bool
) -> None:
    guard = make_guard(ratio)
    guard.start(20)
    everything = set(ids_of(20))
    assert guard.told(everything) is is_believed
    assert guard.left_without(everything) is is_believed
    assert guard.missed(everything, 20, START) is is_believed


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(("again", "is_believed"), [((0, 1), True), ((1, 3), False)])
def test_c1_a_second_sweep_believes_only_what_the_first_missed_too(
    again: tuple[int, ...], is_believed: bool
) -> None:
    guard = make_guard()
    rows = ids_of(8)
    assert not guard.missed(set(rows[:3]), 8, START)
    assert guard.missed({rows[number] for number in again}, 8, START + DAY) is is_believed


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(("way", "traits"), [(flag, ReaderTraits()), (feed, FEED)])
@pytest.mark.parametrize("count", [1, 5, 10])
def test_c1_told_deletes_never_empty_a_table(
    way: Callable[[World, list[str]], None], traits: ReaderTraits, count: int
) -> None:
    world = World(ids_of(count), traits)
    way(world, ids_of(count))
    assert [world.poll() for _ in range(3)] == [set()] * 3
    assert REFUSED._value.get() == count


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(
    ("pages", "living", "told"),
    [
        ([4], 5, [True]),  # one row is left
        ([5], 5, [False]),
        ([4, 1], 5, [True, False]),  # pages of a poll count together
        ([5], 0, [True]),  # a first snapshot: nobody knows yet how many there are
        ([0], 0, [True]),
    ],
)
def test_c1_a_few_told_deletes_are_believed_if_a_row_is_left(
    pages: list[int], living: int, told: list[bool]
) -> None:
    guard = make_guard()
    guard.start(living)
    rows = iter(ids_of(10))
    assert [guard.told({next(rows) for _ in range(count)}) for count in pages] == told


@pytest.mark.fault("C17", place="connectors/polled/poller.py")
@pytest.mark.parametrize("kind", [DeleteFeed.EVERY_POLL, DeleteFeed.AT_SWEEP])
@pytest.mark.parametrize("error", [DeleteLogIncompleteError, VendorRejectedError])
def test_c17_without_a_delete_log_one_sweep_tells_the_delete(
    kind: DeleteFeed, error: type[VendorRejectedError]
) -> None:
    world = World(ids_of(20), ReaderTraits(delete_feed=kind), **{"sweep.interval.ms": 10_000})
    world.table.purge("r003")
    world.reader.log_error = error(400, (), context={})
    deleted = [world.poll() for _ in range(10)]
    assert {"r003"} in deleted
    assert sum(since is None for since in world.reader.scans) == 2 + 2  # snapshot, sweep, recheck
    assert DELETE_LOG._value.get() == (error is VendorRejectedError)
    world.reader.log_error = None
    world.table.feed = [Deletion("r004", world.clock.now)]
    world.table.purge("r004")
    assert {"r004"} in [world.poll() for _ in range(6)]
    assert DELETE_LOG._value.get() == 0


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize("evidence", ["missed", "childless", "undecided"])
def test_c1_doubts_of_a_scan_hold_up_no_told_delete(evidence: str) -> None:
    guard = make_guard()
    guard.start(100)
    hidden = set(ids_of(60))
    match evidence:
        case "missed":
            assert not guard.missed(hidden, 100, START)
        case "childless":
            assert not guard.left_without(hidden)
        case _:
            guard.undecided(hidden, 1)
    guard.start(100)
    assert guard.told({"r098", "r099"})


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
def test_c1_a_told_mass_delete_does_not_pass_a_few_rows_a_poll() -> None:
    guard = make_guard()
    rows = ids_of(60)
    believed: set[str] = set()
    for _ in range(10):
        guard.start(100 - len(believed))
        pages = [set(rows[start : start + 5]) - believed for start in range(0, 60, 5)]
        believed |= {row for page in pages if guard.told(page) for row in page}
    assert len(believed) <= 20


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("sweep_ms", [1000, 10**12])
@pytest.mark.parametrize(("traits", "row", "logged"), [(FEED, "r003", "r003"), (LINES, "7-1", "7")])
def test_c1_a_row_that_is_shown_after_its_deletion_is_there(
    traits: ReaderTraits, row: str, logged: str, sweep_ms: int
) -> None:
    world = World([*ids_of(20), row], traits, **{"sweep.interval.ms": sweep_ms})
    shown = world.table.versions[-1]
    world.table.purge(row)
    world.table.feed = [Deletion(logged, world.clock.now)]
    assert world.poll() == {row}
    world.table.versions.append(shown)  # back as it was, with its old stamp
    world.poll()
    assert world.log.operations()[-1] == ("c", row)
    told = len(world.log.changes)
    for _ in range(10):
        world.poll()
    assert len(world.log.changes) == told
    world.table.write(row, "second")
    world.poll()
    assert world.log.operations()[told:] == [("u", row)]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_delete_during_the_scan_is_told() -> None:
    world = World(ids_of(20), FEED)
    world.reader.page_size = 4

    def purge() -> None:
        world.clock.tick(1)
        if not world.table.feed:
            feed(world, ["r003"])  # its page has been read

    world.reader.between_pages = purge
    assert world.poll() == {"r003"}
    assert world.poll() == set()


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_the_delete_log_tells_of_a_row_that_is_shown_unreadable() -> None:
    world = World(ids_of(60), FEED)
    world.reader.broken = {"r050"}
    world.table.feed = [Deletion("r050", world.clock.now)]
    assert world.poll() == {"r050"}
    assert [world.poll() for _ in range(3)] == [set()] * 3


@pytest.mark.fault("C17", place="connectors/polled/poller.py")
def test_c17_the_sweep_without_a_delete_log_outlives_a_broker_that_is_gone() -> None:
    world = World(ids_of(20), FEED, **{"sweep.interval.ms": 10**9})
    world.table.purge("r003")
    world.reader.log_error = VendorRejectedError(400, (), context={})
    world.log.failures = iter([True])
    with pytest.raises(TransientError):
        world.poll()
    assert {"r003"} in [world.poll() for _ in range(3)]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("mode", ["initial", "always"])
def test_c1_what_was_deleted_between_two_snapshots_is_found_by_a_sweep_after(mode: str) -> None:
    world = World([], **{"sweep.interval.ms": 10**9, "snapshot.mode": mode})
    world.reader.page_size = 4
    world.start()
    world.log = MemoryLog()
    for row_id in ids_of(20):
        world.table.write(row_id, "first")
        world.clock.tick(20)
    world.start()
    world.log.failures = iter([False, False, True])
    with pytest.raises(TransientError):
        world.poll()
    world.table.purge("r001")  # published, and gone before the snapshot is gone on with
    world.start()
    assert {"r001"} in [world.poll() for _ in range(3)]
    scans = len(world.reader.scans)
    world.poll()
    assert None not in world.reader.scans[scans:]


@pytest.mark.fault("C16", place="connectors/polled/poller.py")
def test_c16_a_second_scan_with_a_row_that_cannot_be_named_proves_no_absence() -> None:
    world = World(ids_of(20))
    world.reader.page_size = 5
    world.table.purge("r003")
    before = len(world.reader.scans)

    def meet_a_row_without_an_id() -> None:
        is_recheck = len(world.reader.scans) - before == 3  # a poll, its sweep, once more
        world.reader.nameless = [{"Id": None, "text": "first"}] if is_recheck else []

    world.reader.between_pages = meet_a_row_without_an_id
    assert world.poll() == set()
    assert REFUSED._value.get() == 1
    world.reader.between_pages = lambda: None
    world.reader.nameless = []
    assert world.poll() == {"r003"}


@pytest.mark.fault("C1", place="connectors/polled/ledger.py")
@pytest.mark.parametrize(("traits", "row", "logged"), [(FEED, "r020", "r020"), (LINES, "7-1", "7")])
@pytest.mark.parametrize("is_deleted_first", [False, True])
def test_c1_a_row_that_only_sweeps_show_after_its_deletion_stays(
    traits: ReaderTraits, row: str, logged: str, is_deleted_first: bool
) -> None:
    world = World([*ids_of(20), row], traits, **{"sweep.interval.ms": 100_000})
    world.table.feed = [Deletion(logged, world.clock.now)]  # and no later delete moves its cursor
    if is_deleted_first:
        shown = world.table.versions.pop()
        assert world.poll() == {row}
        world.table.versions.append(shown)
    world.poll()
    for minute in range(30):
        world.clock.tick(60)
        world.table.write("r000", f"{minute}")  # the polls' window leaves the row behind
        world.poll()
        world.start()
    told = [op for op, row_id in world.log.operations() if row_id == row]
    assert told == (["r", "d", "c"] if is_deleted_first else ["r"])
    world.table.purge(row)
    world.table.feed.append(Deletion(logged, world.clock.now))
    assert world.poll() == {row}


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_delete_in_the_second_in_which_the_row_was_read_is_told_by_the_next_poll() -> None:
    world = World(ids_of(20), FEED)
    world.table.feed = [Deletion("r003", world.clock.now)]
    assert world.poll() == set()  # read, then deleted: the log cuts the time of it
    world.table.purge("r003")
    world.config = make_config()  # and no sweep helps
    world.start()
    assert world.poll() == {"r003"}


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_rows_deleted_before_do_not_count_as_deleted_again() -> None:
    world = World(ids_of(60))
    for first in (0, 8, 16):
        flag(world, ids_of(60)[first : first + 8])
        assert world.poll() == set(ids_of(60)[first : first + 8])


@pytest.mark.fault("C1", place="connectors/polled/config.py")
def test_c1_ten_told_deletes_a_poll_need_no_further_evidence_and_eleven_do() -> None:
    world = World(ids_of(30))
    flag(world, ids_of(30)[:10])
    assert world.poll() == set(ids_of(30)[:10])
    flag(world, ids_of(30)[10:21])
    assert world.poll() == set()


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_row_that_a_scan_shows_in_the_instant_of_its_deletion_is_there() -> None:
    world = World(ids_of(20), FEED)
    world.table.feed = [Deletion("r003", world.clock.now + timedelta(seconds=2))]
    assert world.poll() == set()
    assert world.reader.logs[-1] < world.clock.now == world.table.feed[0].deleted_at


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
def test_c1_refused_deletes_are_told_once_and_again_when_there_are_more() -> None:
    world = World(ids_of(60))
    with structlog.testing.capture_logs() as lines:
        for hidden in (40, 40, 50, 50, 45):
            hide(world, ids_of(60)[:hidden])
            world.poll()
    told = [
        (line["rows"], line["living"]) for line in lines if line["event"] == "poll.deletes_refused"
    ]
    assert told == [(40, 60), (50, 60)]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_a_refused_page_of_the_delete_log_is_not_left_behind_by_the_pages_after_it() -> None:
    world = World(ids_of(60), FEED, **{"sweep.interval.ms": 10**9})
    world.reader.log_page_size = 40
    feed(world, ids_of(60)[:40])
    world.clock.tick(60)  # longer than the overlap
    world.table.feed.append(Deletion("never seen", world.clock.now))
    assert [world.poll() for _ in range(3)] == [set()] * 3
    world.start(**{"sweep.interval.ms": 10**9, "max.delete.ratio": 1})  # a person believes it
    assert world.poll() == set(ids_of(60)[:40])


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_all_pages_of_the_delete_log_are_told() -> None:
    world = World(ids_of(60), FEED, **{"sweep.interval.ms": 10**9})
    world.reader.log_page_size = 2
    feed(world, ids_of(60)[:9])
    assert world.poll() == set(ids_of(60)[:9])


DAILY = {"sweep.interval.ms": 86_400_000}


def leave_behind(world: World) -> None:
    """Poll until the window of the polls has left what was there behind."""
    for _ in range(3):
        world.clock.tick(60)
        world.table.write("r059", f"{world.clock.now}")
        world.poll()


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize(("way", "traits"), WAYS)
def test_c1_refused_deletes_are_told_again_by_the_next_start(
    way: Callable[[World, list[str]], None], traits: ReaderTraits
) -> None:
    world = World(ids_of(60), traits, **DAILY)
    way(world, ids_of(60)[:30])
    world.clock.tick(86_400)
    assert world.poll() == set()
    leave_behind(world)
    world.start()
    REFUSED.set(0)  # as of a new process
    assert world.poll() == set()
    assert REFUSED._value.get() == 30
    world.start(**DAILY, **{"max.delete.ratio": 1})  # a person believes it
    assert world.poll() == set(ids_of(60)[:30])
    assert REFUSED._value.get() == 0


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_refused_deletes_make_no_sweep_of_every_poll() -> None:
    world = World(ids_of(60), **DAILY)
    flag(world, ids_of(60)[:30])
    world.poll()
    scans = len(world.reader.scans)
    leave_behind(world)
    assert None not in world.reader.scans[scans:]
    kept = len(world.log.batches)
    world.poll()
    world.clock.tick(86_400)
    for is_due in (True, False):
        world.poll()
        assert (world.reader.scans[-1] is None) is is_due
    assert len(world.log.batches) == kept  # nothing new, and nothing kept


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_refused_deletes_that_are_settled_make_no_sweep_of_a_start() -> None:
    world = World(ids_of(60), **DAILY)
    flag(world, ids_of(60)[:30])
    world.poll()
    for row_id in ids_of(60)[:30]:
        world.table.write(row_id, "back")
    world.poll()
    assert REFUSED._value.get() == 0
    world.start()
    scans = len(world.reader.scans)
    world.poll()
    assert None not in world.reader.scans[scans:]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_refused_deletes_of_the_log_are_kept_though_nothing_else_is() -> None:
    world = World(ids_of(60), FEED, **DAILY)
    world.table.feed = [Deletion(row_id, world.clock.now) for row_id in ids_of(60)[:30]]
    for row_id in ids_of(60)[:30]:
        world.table.purge(row_id)
    assert world.poll() == set()
    world.table.feed = []  # the vendor keeps its log no longer
    world.start()
    REFUSED.set(0)
    assert world.poll() == set()
    assert REFUSED._value.get() == 30


def is_there_again(world: World, row_id: str, logged: str) -> None:
    """The delete log names a row that was put back with its old stamp; only full scans show it."""
    world.clock.tick(1000)  # longer than any overlap here
    world.table.feed = [Deletion(logged, world.clock.now)]
    world.clock.tick(120)
    world.table.write("r000", "the window of the polls leaves the row behind")


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("mode", ["initial", "always", "no_data"])
@pytest.mark.parametrize(("traits", "row", "logged"), [(FEED, "r020", "r020"), (LINES, "7-1", "7")])
def test_c1_a_row_that_a_snapshot_shows_after_its_deletion_stays(
    traits: ReaderTraits, row: str, logged: str, mode: str
) -> None:
    world = World([*ids_of(20), row], traits, **{"sweep.interval.ms": 10**9})
    world.poll()
    is_there_again(world, row, logged)
    keys = {"sweep.interval.ms": 10**9, "overlap.ms": 600_000, "snapshot.mode": mode}
    if mode != "always":
        world.log = MemoryLog()  # a first snapshot, and the overlap reaches back to the delete
    world.start(**keys)
    for _ in range(3):
        assert world.poll() == set()
    assert world.reader.scans[-1] is not None
    world.start(**keys | {"snapshot.mode": "initial"})
    assert world.poll() == set()


@pytest.mark.fault("C1", place="connectors/polled/ledger.py")
@pytest.mark.parametrize("becomes", ["broken and sound", "changed without a stamp", "forced"])
def test_c1_a_row_known_to_be_there_after_its_deletion_stays_whatever_it_becomes(
    becomes: str,
) -> None:
    world = World([*ids_of(20), "r020"], FEED)
    is_there_again(world, "r020", "r020")
    world.poll()
    world.clock.tick(120)
    match becomes:
        case "broken and sound":
            world.reader.broken = {"r020"}
            world.poll()
            world.reader.broken = set()
        case "forced":
            world.start(**{"snapshot.mode": "always"})
        case _:
            at = next(i for i, one in enumerate(world.table.versions) if one.row_id == "r020")
            world.table.versions[at] = replace(world.table.versions[at], text="second")
    world.reader.log_error = VendorRejectedError(400, (), context={})
    world.poll()  # shown, and the log tells nothing for once
    world.poll()
    world.reader.log_error = None
    world.start(**{"sweep.interval.ms": 10**9})
    for _ in range(3):
        assert world.poll() == set()


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
def test_c1_deletes_during_a_first_snapshot_are_a_share_of_the_rows_it_read() -> None:
    world = World([], FEED, **DAILY)
    for row_id in ids_of(60):
        world.table.write(row_id, "first")
        world.clock.tick(20)  # a scan in order of change does not come back to a row
    world.log = MemoryLog()
    world.reader.page_size = 59

    def purge() -> None:
        world.clock.tick(1)
        feed(world, ids_of(60)[:12])

    world.reader.between_pages = purge
    world.start()
    with structlog.testing.capture_logs() as lines:
        assert world.poll() == set(ids_of(60)[:12])
    assert "poll.deletes_refused" not in [line["event"] for line in lines]


@pytest.mark.fault("C17", place="connectors/polled/poller.py")
@pytest.mark.parametrize("error", [DeleteLogIncompleteError, VendorRejectedError])
def test_c17_a_first_snapshot_without_a_delete_log_is_followed_by_one_sweep(
    error: type[VendorRejectedError],
) -> None:
    world = World([], FEED, **DAILY)
    for row_id in ids_of(20):
        world.table.write(row_id, "first")
        world.clock.tick(20)
    world.log = MemoryLog()
    world.reader.page_size = 19
    world.reader.between_pages = lambda: world.table.purge("r003")  # its page has been read
    world.reader.log_error = error(400, (), context={})
    world.start()
    assert [world.poll() for _ in range(3)] == [set(), {"r003"}, set()]
    assert world.reader.scans[-1] is not None


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(
    ("hours", "believed"),
    [
        ([0, 23], [False, False]),
        ([0, 24], [False, True]),
        ([0, 1, 2, 23, 24], [False] * 4 + [True]),  # the wait begins with the first
        ([0, -0.01, 24], [False, False, True]),  # within what clocks differ by
        ([0, -1, 22, 23], [False, False, False, True]),  # a clock set back: the wait begins anew
    ],
)
def test_c1_the_second_sweep_is_one_that_comes_an_interval_later(
    hours: list[float], believed: list[bool]
) -> None:
    guard = make_guard()
    rows = set(ids_of(3))
    told = [guard.missed(rows, 8, START + timedelta(hours=hour)) for hour in hours]
    assert told == believed
    assert (guard.awaited == Awaited()) is believed[-1]


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(
    ("between", "since"), [(3, 0), (2, 0), (4, 1), (0, None)], ids=["same", "fewer", "more", "none"]
)
def test_c1_a_sweep_too_early_ends_the_wait_of_what_it_shows(
    between: int, since: int | None
) -> None:
    guard = make_guard()
    assert not guard.missed(set(ids_of(3)), 8, START)
    guard.missed(set(ids_of(between)), 8, START + timedelta(hours=1))
    assert guard.awaited.since == (None if since is None else START + timedelta(hours=since))
    assert guard.awaited.rows == set(ids_of(between))


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize(
    ("since", "is_believed"), [(None, False), (START - DAY, True), (START, False)]
)
def test_c1_rows_kept_without_the_time_of_their_sweep_begin_to_wait(
    since: datetime | None, is_believed: bool
) -> None:
    guard = make_guard(awaited=Awaited(frozenset(ids_of(3)), since))
    assert guard.missed(set(ids_of(3)), 8, START) is is_believed


def refuse_the_log(world: World) -> None:
    world.reader.log_error = VendorRejectedError(400, (), context={})


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("feeds", [True, False])
@pytest.mark.parametrize(
    "happens",
    [
        refuse_the_log,
        lambda world: world.start(),
        lambda world: world.start(**DAILY, **{"snapshot.mode": "always"}),
        lambda world: world.clock.tick(-3_600),
        lambda world: world.clock.tick(3_600),
    ],
    ids=["log refused", "restart", "snapshot", "clock back", "an hour"],
)
def test_c1_rows_wait_an_interval_whatever_makes_a_sweep_come_early(
    happens: Callable[[World], None], feeds: bool
) -> None:
    for traits in (FEED,) if feeds else (ReaderTraits(), ReaderTraits(has_cursor=False)):
        world = World(ids_of(10), traits, **DAILY)
        world.clock.tick(86_400)
        hide(world, ids_of(3))
        assert world.poll() == set()
        happens(world)
        assert [world.poll() for _ in range(4)] == [set()] * 4
        world.clock.tick(2 * 86_400)  # of a clock set back, the wait began anew
        assert [world.poll() for _ in range(2)].count(set(ids_of(3))) == 1
        hide(world, [])


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
@pytest.mark.parametrize("is_doubted", [False, True])
def test_c1_the_second_of_two_sweeps_in_a_row_may_be_of_another_process(is_doubted: bool) -> None:
    world = World([*ids_of(8), *lines_of(1, 1)], LINES, **DAILY)
    world.clock.tick(86_400)
    world.reader.parents = frozenset({"0"} if is_doubted else {})
    hide(world, [*ids_of(8)[:3], *(lines_of(1, 1) if is_doubted else [])])
    assert world.poll() == set()
    world.start()
    assert world.poll() == set()  # at once, where another delete was refused
    world.clock.tick(86_400)
    world.start()
    assert world.poll() == set(ids_of(8)[:3])


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
def test_c1_a_sweep_that_shows_the_rows_ends_the_wait_for_another_process_too() -> None:
    world = World(ids_of(8))
    for hidden in (ids_of(8)[:3], []):
        hide(world, hidden)
        assert world.poll() == set()
    world.start()
    hide(world, ids_of(8)[:3])
    assert world.poll() == set()


@pytest.mark.fault("C1", place="connectors/polled/deletes.py")
def test_c1_a_sweep_of_another_process_that_shows_the_rows_ends_the_wait() -> None:
    world = World(ids_of(8))
    for hidden in (ids_of(8)[:3], [], ids_of(8)[:3]):
        hide(world, hidden)
        world.start()
        assert world.poll() == set()
    world.start()
    assert world.poll() == set(ids_of(8)[:3])
    assert world.log.stored()[0] == world.poller.bookmark
    assert world.poller.bookmark.missed == ()


def test_a_bookmark_of_an_earlier_version_is_read() -> None:
    kept = json.loads(Bookmark(position=7).to_bytes())
    del kept["missed"], kept["missed_at"]
    assert Bookmark.from_bytes(json.dumps(kept).encode()) == Bookmark(position=7)


def test_a_bookmark_keeps_what_awaits_a_sweep_and_since_when() -> None:
    kept = Bookmark(missed=("r001",), missed_at=START)
    assert Bookmark.from_bytes(kept.to_bytes()) == kept


UNDELETED = [
    pytest.param({"unstamped"}, id="without a stamp"),
    pytest.param(set(), id="with its old stamp"),
]


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize("without", UNDELETED)
@pytest.mark.parametrize("is_known", [True, False])
def test_c1_a_row_shown_while_the_delete_log_was_refused_was_there_all_the_same(
    without: set[str], is_known: bool
) -> None:
    world = World(ids_of(10), FEED, **DAILY)
    if without:
        world.reader.unstamped = {"r003"}
    at = next(i for i, one in enumerate(world.table.versions) if one.row_id == "r003")
    shown = world.table.versions[at]
    if is_known:  # gone and back, changed, between two polls
        world.table.feed = [Deletion("r003", world.clock.now)]
    else:
        feed(world, ["r003"])
        assert world.poll() == {"r003"}
        world.table.versions.append(shown)
    world.table.versions = [
        replace(one, text="restored") if one.row_id == "r003" else one
        for one in world.table.versions
    ]
    world.clock.tick(86_400)
    refuse_the_log(world)
    world.poll()
    assert world.log.operations()[-1] == ("u" if is_known else "c", "r003")
    world.reader.log_error = None
    for _ in range(3):
        assert world.poll() == set()
    world.table.purge("r003")
    world.table.feed.append(Deletion("r003", world.clock.now))
    assert world.poll() == {"r003"}


@pytest.mark.fault("C1", place="connectors/polled/poller.py")
@pytest.mark.parametrize(("more_s", "is_deleted"), [(-1, True), (0, False), (1, False)])
@pytest.mark.parametrize(("overlap_s", "late_s"), [(600, 600), (61, 61), (60, 60), (59, 60)])
def test_c1_a_delete_that_may_be_younger_than_the_row_that_was_shown_is_told(
    overlap_s: int, late_s: int, more_s: int, is_deleted: bool
) -> None:
    world = World(ids_of(10), FEED, **DAILY | {"overlap.ms": overlap_s * 1000})
    world.clock.tick(600)
    world.table.write("r010", "new")
    world.reader.unstamped = {"r010"}
    world.clock.tick(86_400)
    refuse_the_log(world)
    world.poll()
    world.reader.log_error = None
    world.table.purge("r010")
    world.table.feed = [Deletion("r010", world.clock.now - timedelta(seconds=late_s + more_s))]
    assert (world.poll() == {"r010"}) is is_deleted
