"""What pollers do with orders: a sweep before it is due, rows that are published again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from connectors.polled import instruments
from connectors.polled.bookmark import Bookmark
from connectors.polled.model import ReaderTraits
from connectors.polled.order_log import told_by
from connectors.polled.orders import Action, Order, Taken, with_new
from connectors.polled.poller import ObjectPoller
from schemas.errors import BrokerUnavailableError, TransientError
from tests.support.polled import (
    START,
    Clock,
    MemoryLog,
    MemoryOrders,
    MemoryReader,
    MemoryTable,
    make_config,
    make_poller,
)

NO_CURSOR = ReaderTraits(has_cursor=False)


class World:
    """A source of five rows, changed 20 s apart, all of which a poller has published."""

    def __init__(self, traits: ReaderTraits | None = None) -> None:
        self.clock = Clock()
        self.table = MemoryTable(self.clock)
        self.reader = MemoryReader(self.table, page_size=2, traits=traits or ReaderTraits())
        self.log = MemoryLog()
        self.orders = MemoryOrders()
        self.stamps: list[datetime] = []
        for row_id in "abcde":
            self.table.write(row_id, "first")
            self.stamps.append(self.clock.now)
            self.clock.tick(20)
        self.poller = self.restart()
        self.poll()

    def restart(self, **keys: object) -> ObjectPoller:
        return make_poller(self.reader, self.log, make_config(**keys), orders=self.orders)

    def poll(self, poller: ObjectPoller | None = None) -> list[tuple[str, str]]:
        """Poll a while later; the operations published."""
        before = len(self.log.changes)
        self.clock.tick(2)
        asyncio.run((poller or self.poller).poll())
        return self.log.operations()[before:]

    def answers(self) -> list[tuple[str, bool]]:
        """(order, whether it is done) of every answer, in order."""
        told = [each for batch in self.log.batches for each in batch.answers]
        return [(each.order.order_id, each.done_at is not None) for each in told]


def test_a_sweep_that_is_ordered_is_done_at_the_next_poll_and_once() -> None:
    world = World()
    world.table.purge("b")
    assert world.poll() == []

    world.orders.give(Action.SWEEP)

    assert world.poll() == [("d", "b")]
    world.table.purge("c")
    assert world.poll() == []
    assert world.poll(world.restart()) == []
    assert world.answers() == [("1", False), ("1", True)]


def test_another_sweep_is_another_order() -> None:
    world = World()
    world.orders.give(Action.SWEEP)
    world.poll()
    world.table.purge("c")

    world.orders.give(Action.SWEEP, "2")

    assert world.poll() == [("d", "c")]


def test_a_sweep_that_failed_is_done_by_the_next_process() -> None:
    world = World()
    world.table.purge("b")
    world.orders.give(Action.SWEEP)
    world.log.failures = iter([False, True])  # the order is taken, and the broker goes
    with pytest.raises(TransientError):
        world.poll()
    world.orders.given.clear()

    assert world.poll(world.restart()) == [("d", "b")]


def test_a_paused_object_asks_nothing_and_keeps_its_bookmark_until_it_goes_on() -> None:
    world = World()
    before = world.log.stored()[0]
    assert before is not None
    world.table.write("a", "second")
    world.orders.give(Action.PAUSE)
    world.reader.scans.clear()

    assert world.poll() + world.poll() + world.poll(world.restart()) == []
    assert world.reader.scans == []
    kept = world.log.stored()[0]
    assert kept is not None
    assert replace(kept, orders=()) == before
    assert instruments.PAUSED.labels("salesforce", "account")._value.get() == 1

    world.orders.give(Action.RESUME, "2")
    assert world.poll(world.restart()) == [("u", "a")]
    assert instruments.PAUSED.labels("salesforce", "account")._value.get() == 0
    assert world.answers() == [("1", False), ("2", True)]


@pytest.mark.parametrize("action", [Action.PAUSE, Action.SWEEP])
def test_an_order_keeps_the_place_of_a_poller_that_is_to_read_all_again(action: Action) -> None:
    world = World()
    before = world.log.stored()[0]
    assert before is not None
    world.orders.give(action)
    world.log.failures = iter([False, True])  # the order is taken; no page goes out
    poller = world.restart(**{"snapshot.mode": "always"})
    if action is Action.PAUSE:
        assert world.poll(poller) == []
        world.log.failures = iter(())
    else:
        with pytest.raises(TransientError):
            world.poll(poller)

    kept = world.log.stored()[0]
    assert kept is not None
    assert replace(kept, orders=()) == before
    world.orders.give(Action.RESUME, "2")
    assert world.poll(poller)[:5] == [("r", row_id) for row_id in "abcde"]


def test_a_pause_tells_no_complete_poll() -> None:
    world = World()
    assert asyncio.run(world.poller.poll())
    last = instruments.LAST_SUCCESS.labels("salesforce", "account")
    polled_at = last._value.get()
    world.orders.give(Action.PAUSE)
    world.clock.tick(2)
    assert not asyncio.run(world.poller.poll())
    assert last._value.get() == polled_at


def test_what_is_ordered_of_a_paused_object_is_done_once_it_goes_on() -> None:
    world = World()
    world.orders.give(Action.PAUSE)
    world.orders.give(Action.SWEEP, "2")
    world.table.purge("b")
    assert world.poll() == []
    world.orders.give(Action.RESUME, "3")
    assert world.poll() == [("d", "b")]


@pytest.mark.parametrize("traits", [ReaderTraits(), NO_CURSOR])
def test_a_resync_publishes_each_row_again_once(traits: ReaderTraits) -> None:
    world = World(traits)
    before = world.log.state()
    world.orders.give(Action.RESYNC)

    assert world.poll() == [("r", row_id) for row_id in "abcde"]
    assert world.poll() == []
    assert world.poll(world.restart()) == []
    assert world.log.state() == before
    assert world.answers() == [("1", False), ("1", True)]


@pytest.mark.parametrize("traits", [ReaderTraits(), NO_CURSOR])
def test_a_resync_in_part_publishes_what_changed_since(traits: ReaderTraits) -> None:
    world = World(traits)

    world.orders.give(Action.RESYNC, since=world.stamps[2])

    assert world.poll() == [("r", row_id) for row_id in "cde"]


def test_a_resync_in_part_asks_the_vendor_for_that_part() -> None:
    world = World()
    world.orders.give(Action.RESYNC, since=world.stamps[2])
    world.reader.scans.clear()

    world.poll()

    assert world.reader.scans[-1] == world.stamps[2]


def test_a_resync_in_part_passes_no_row_that_became_visible_late() -> None:
    world = World()
    world.table.write("late", "first", late_s=9)
    world.clock.tick(1)
    world.orders.give(Action.RESYNC, since=world.clock.now)
    for row_id in "xy":
        world.table.write(row_id, "first")

    def passes() -> None:
        if "z" not in world.table.visible():
            world.clock.tick(20)
            world.table.write("z", "first")

    world.reader.between_pages = passes

    published = world.poll()

    # What is read for the changes passes it while it is hidden.
    assert published[:3] == [("c", "x"), ("c", "y"), ("c", "z")]
    assert published[3:] == [("c", "late"), ("r", "x"), ("r", "y"), ("r", "z")]


def test_changes_and_deletes_during_a_resync_are_told() -> None:
    world = World()
    edits: list[Callable[[], None]] = [
        lambda: world.table.purge("e"),
        lambda: world.table.write("a", "second"),
    ]
    world.orders.give(Action.RESYNC)
    world.reader.between_pages = lambda: edits.pop()() if edits else None

    published = world.poll()
    published += world.poll()
    world.orders.give(Action.SWEEP)
    published += world.poll()

    assert published == [
        ("r", "a"), ("r", "b"), ("r", "c"), ("r", "d"), ("u", "a"), ("d", "e"),
    ]  # fmt: skip
    assert world.log.state().keys() == set("abcd")
    assert world.log.state()["a"]["text"] == "second"


def test_a_resync_that_was_cut_short_goes_on_where_it_was() -> None:
    world = World()
    world.orders.give(Action.RESYNC)
    # Taken, nothing changed, one page of two rows; then the broker goes.
    world.log.failures = iter([False, False, True])
    with pytest.raises(TransientError):
        world.poll()
    assert world.log.operations()[-2:] == [("r", "a"), ("r", "b")]

    assert world.poll(world.restart()) == [("r", row_id) for row_id in "bcde"]
    assert world.poll(world.restart()) == []
    assert world.answers() == [("1", False), ("1", True)]


def test_a_resync_that_was_cut_short_publishes_rows_without_a_stamp_and_no_other_twice() -> None:
    world = World()
    world.reader.unstamped = {"b"}  # they come last of all rows
    world.orders.give(Action.RESYNC)
    # Taken, two pages of two rows; then the broker goes, and then the vendor after a page.
    world.log.failures = iter([False, False, False, True])
    with pytest.raises(TransientError):
        world.poll()
    assert world.log.operations()[-4:] == [("r", row_id) for row_id in "acde"]

    def fails() -> None:
        world.reader.between_pages = lambda: None
        raise TransientError("the vendor is gone")

    world.reader.between_pages = fails
    with pytest.raises(TransientError):
        world.poll(world.restart())

    assert world.poll(world.restart()) == [("r", "e"), ("r", "b")]
    assert world.answers() == [("1", False), ("1", True)]


def test_a_pause_stops_a_resync_that_goes_on_after_it_where_it_was() -> None:
    world = World()
    world.orders.give(Action.RESYNC)

    def pauses() -> None:
        world.orders.give(Action.PAUSE, "2")

    world.reader.between_pages = pauses

    assert world.poll() == [("r", row_id) for row_id in "abcd"]
    world.reader.between_pages = lambda: None
    assert world.poll() == []
    world.orders.give(Action.RESUME, "3")
    assert world.poll() == [("r", "d"), ("r", "e")]


def test_another_resync_stops_the_one_under_way() -> None:
    world = World()
    world.orders.give(Action.RESYNC)

    def another() -> None:
        world.orders.give(Action.RESYNC, "2", since=world.stamps[4])

    world.reader.between_pages = another

    assert world.poll() == [("r", row_id) for row_id in "abcd"]
    assert world.poll() == [("r", "e")]
    assert world.answers() == [("1", False), ("2", False), ("2", True)]


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_resync_repeats_no_delete_of_a_row_that_is_flagged(is_forgotten: bool) -> None:
    world = World()
    world.table.write("b", "first", is_deleted=True)
    assert world.poll() == [("d", "b")]
    world.clock.tick(60)
    world.table.write("f", "first")
    assert world.poll() == [("c", "f")]
    if is_forgotten:
        world.orders.give(Action.SWEEP)
        world.reader.hidden = {"b"}
        assert world.poll() == []
        world.reader.hidden = set()

    world.orders.give(Action.RESYNC, "2", since=world.stamps[0])

    assert world.poll() == [("r", row_id) for row_id in "acdef"]


def test_a_resync_that_cannot_end_holds_up_no_change() -> None:
    world = World()
    world.orders.give(Action.RESYNC)

    def fails() -> None:
        raise TransientError("the vendor is gone")

    world.table.write("a", "second")
    world.reader.between_pages = fails
    with pytest.raises(TransientError):
        world.poll()

    assert ("u", "a") in world.log.operations()
    assert world.log.state()["a"]["text"] == "second"


def test_a_resync_that_is_ordered_before_the_first_snapshot_follows_it() -> None:
    world = World.__new__(World)
    world.clock = Clock()
    world.table = MemoryTable(world.clock)
    world.table.write("a", "first")
    world.reader, world.log = MemoryReader(world.table), MemoryLog()
    world.orders = MemoryOrders()
    world.orders.give(Action.RESYNC)
    world.poller = world.restart()

    assert world.poll() == [("r", "a"), ("r", "a")]
    assert world.poll() == []


def test_a_later_resync_takes_the_place_of_one_under_way() -> None:
    world = World()
    world.orders.give(Action.RESYNC)
    world.log.failures = iter([False, False, True])
    with pytest.raises(TransientError):
        world.poll()

    world.orders.give(Action.RESYNC, "2")

    assert world.poll(world.restart()) == [("r", row_id) for row_id in "abcde"]


def test_a_resync_tells_nothing_of_how_late_changes_are() -> None:
    world = World()
    instruments.LAG.labels("salesforce", "account").set(1.5)
    world.orders.give(Action.RESYNC)
    world.poll()
    assert instruments.LAG.labels("salesforce", "account")._value.get() == 1.5


def test_who_ordered_what_is_logged_as_it_is_taken_and_done() -> None:
    world = World()
    world.orders.give(Action.RESYNC)
    with structlog.testing.capture_logs() as lines:
        world.poll()
        world.poll()
    told = [(each["event"], each["order_id"], each.get("by")) for each in lines]
    assert told == [("poll.order_taken", "1", "ada@desk"), ("poll.resync_completed", "1", None)]


def test_without_an_answer_about_orders_nothing_is_polled() -> None:
    class Silent(MemoryOrders):
        async def of(self, system: str, obj: str) -> Sequence[Order]:
            raise BrokerUnavailableError("no broker")

    world = World()
    world.table.write("a", "second")
    world.orders = Silent()
    with pytest.raises(BrokerUnavailableError):
        world.poll(world.restart())
    assert world.log.operations()[-1] == ("r", "e")


def test_a_bookmark_keeps_orders() -> None:
    order = Order("7", "float", "role", Action.RESYNC, START, "ada@desk", "why", START)
    taken = Taken(order, START + timedelta(1), None, START + timedelta(2))
    kept = Bookmark(orders=(taken,))
    assert Bookmark.from_bytes(kept.to_bytes()) == kept
    assert with_new(kept.orders, [order], START) == kept.orders


def test_a_bookmark_keeps_its_place_though_an_order_in_it_cannot_be_read() -> None:
    orders = [
        Taken(Order(order_id, "float", "role", action, START, "ada@desk"), START)
        for order_id, action in [("1", Action.PAUSE), ("2", Action.SWEEP)]
    ]
    kept = Bookmark(cursor=START, token="next", orders=tuple(orders))
    with structlog.testing.capture_logs() as lines:
        found = Bookmark.from_bytes(kept.to_bytes().replace(b'"sweep"', b'"burn"'))
    assert found == replace(kept, orders=(orders[0],))
    assert [(each["event"], "burn" in each["error"]) for each in lines] == [
        ("poll.order_unreadable", True)
    ]


def test_what_was_done_is_ordered_no_more_though_the_bookmark_knows_nothing_of_it() -> None:
    def given(order_id: str, action: Action, obj: str = "role") -> Order:
        return Order(order_id, "float", obj, action, START, "ada@desk")

    swept, resync, other = (
        given("1", Action.SWEEP),
        given("2", Action.RESYNC),
        given("1", Action.SWEEP, "person"),
    )
    records = [(each.key.encode(), each.to_bytes()) for each in (swept, resync, other)]
    for answer in (Taken(swept, START, START), Taken(resync, START)):
        records.append((answer.key.encode(), answer.to_bytes()))

    told = told_by(records)

    assert told.standing("float", "role") == [resync]
    assert told.standing("float", "person") == [other]
    again = given("3", Action.SWEEP)
    told = told_by([*records, (again.key.encode(), again.to_bytes())])
    assert told.standing("float", "role") == [again, resync]


def test_what_is_read_bit_by_bit_says_what_the_whole_topic_does() -> None:
    first = Order("1", "float", "role", Action.SWEEP, START, "ada@desk")
    last = Order("2", "float", "role", Action.SWEEP, START, "ada@desk")
    other = Order("3", "float", "role", Action.RESYNC, START, "ada@desk")
    answer = Taken(other, START, START)
    records: list[tuple[bytes | None, bytes | None]] = [
        (each.key.encode(), each.to_bytes()) for each in (first, other, answer, last)
    ]
    records.append((other.key.encode(), None))
    whole = told_by(records)
    assert whole.standing("float", "role") == [last]
    for cut in range(len(records) + 1):
        assert told_by(records[cut:], told_by(records[:cut])) == whole


def test_the_end_of_a_pause_stands_although_it_was_told() -> None:
    resume = Order("2", "float", "role", Action.RESUME, START, "ada@desk")
    answer = Taken(resume, START, START)
    records = [(resume.key.encode(), resume.to_bytes()), (answer.key.encode(), answer.to_bytes())]
    told = told_by(records)
    assert told.standing("float", "role") == [resume]


def test_records_of_orders_and_of_what_came_of_them_are_told_apart() -> None:
    first = Order("1", "float", "role", Action.SWEEP, START, "ada@desk")
    last = Order("2", "float", "role", Action.SWEEP, START, "ada@desk")
    answer = Taken(first, START, START)
    records = [(each.key.encode(), each.to_bytes()) for each in (first, last, answer)]
    told = told_by(records)
    assert list(told.orders.values()) == [last]
    assert list(told.answers.values()) == [answer]
    gone = told_by([*records, (last.key.encode(), None), (answer.key.encode(), None)])
    assert (gone.orders, gone.answers) == ({}, {})


@pytest.mark.parametrize(
    "value",
    [b"{", b"[]", b"{}", b'{"order_id":"1","system":"s","object":"o","action":"burn"}'],
)
def test_an_order_that_cannot_be_read_is_left_out_and_told(value: bytes) -> None:
    sound = Order("1", "float", "role", Action.SWEEP, datetime(2026, 1, 1, tzinfo=UTC), "ada@desk")
    with structlog.testing.capture_logs() as lines:
        told = told_by([(b"order|x|y|sweep", value), (sound.key.encode(), sound.to_bytes())])
    assert list(told.orders.values()) == [sound]
    assert [each["event"] for each in lines] == ["poll.order_unreadable"]
