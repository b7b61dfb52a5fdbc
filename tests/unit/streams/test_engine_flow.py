"""The flow window: how much of a partition is in the worker."""

from streams.engine import Chunk
from streams.engine.flow import Delivery, FlowWindow


def delivery(topic: str = "t", generation: int = 1, value: bytes = b"") -> Delivery:
    return Delivery(Chunk(topic, 0, 0, 1, [0], [0], [None], [value]), generation)


def window_of(deliveries: int) -> FlowWindow:
    """A window that so many deliveries without a payload fill."""
    window = FlowWindow(deliveries * delivery().size_bytes)
    window.start_generation(1)
    return window


def test_window_is_full_at_its_limit_and_open_after_a_commit() -> None:
    window = window_of(2)
    window.enter(delivery())
    assert not window.is_full("t", 0)
    window.enter(delivery())
    assert window.is_full("t", 0)
    window.leave(delivery())
    assert not window.is_full("t", 0)


def test_partitions_do_not_fill_each_other() -> None:
    window = window_of(1)
    window.enter(delivery("t"))
    assert window.is_full("t", 0)
    assert not window.is_full("u", 0)
    assert not window.is_full("t", 1)


def test_chunks_of_an_earlier_generation_do_not_count() -> None:
    window = window_of(1)
    window.enter(delivery(generation=1))
    window.start_generation(2)
    assert not window.is_full("t", 0)
    window.enter(delivery(generation=2))
    window.leave(delivery(generation=1))
    assert window.is_full("t", 0)


def test_a_window_goes_by_bytes_and_not_by_fetches() -> None:
    window = window_of(100)
    for _ in range(99):
        window.enter(delivery())
    assert not window.is_full("t", 0)
    window.enter(delivery("u", value=bytes(100 * delivery().size_bytes)))
    assert window.is_full("u", 0)


def test_a_fetch_without_records_takes_room_too() -> None:
    empty = Delivery(Chunk("t", 0, 0, 1, [], [], [], []), 1)
    assert empty.size_bytes > 0
