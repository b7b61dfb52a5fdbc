"""The flow window: how much is in the worker, and which partition may have more."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine import Chunk
from streams.engine.flow import Delivery, FlowWindow
from tests.support.examples import examples

_SMALL = 400  # of a delivery without a payload


def delivery(
    topic: str = "t", generation: int = 1, value: bytes = b"", partition: int = 0
) -> Delivery:
    return Delivery(Chunk(topic, partition, 0, 1, [0], [0], [None], [value]), generation)


def window_of(deliveries: int) -> FlowWindow:
    """A window of so many deliveries without a payload."""
    window = FlowWindow(deliveries * delivery().size_bytes)
    window.start_generation(1)
    return window


def test_a_partition_is_full_at_what_is_free_and_open_after_a_commit() -> None:
    window = window_of(4)
    window.enter(delivery())
    assert not window.is_full("t", 0)
    window.enter(delivery())
    assert window.is_full("t", 0)
    window.leave(delivery())
    assert not window.is_full("t", 0)


@pytest.mark.fault("D7", place="streams/engine/flow.py")
def test_d7_a_partition_that_stands_still_leaves_room_for_the_others() -> None:
    window = window_of(8)
    while not window.is_full("t", 0):
        window.enter(delivery("t"))
    assert not window.is_full("u", 0)
    assert not window.is_full("t", 1)


@pytest.mark.fault("D7", place="streams/engine/flow.py")
def test_d7_nothing_more_is_fetched_while_one_record_fills_the_worker() -> None:
    window = window_of(8)
    huge = delivery("t", value=bytes(10 * _SMALL))
    window.enter(huge)
    assert window.is_full("t", 0)
    assert window.is_full("u", 0)
    window.leave(huge)
    assert window.total_bytes == 0
    assert not window.is_full("u", 0)


def test_chunks_of_an_earlier_generation_do_not_count() -> None:
    window = window_of(2)
    window.enter(delivery(generation=1))
    window.start_generation(2)
    assert not window.is_full("t", 0)
    window.enter(delivery(generation=2))
    window.leave(delivery(generation=1))
    assert window.is_full("t", 0)
    assert window.total_bytes == _SMALL


@pytest.mark.parametrize("generation", [-1, 0, 1])
def test_before_the_first_generation_nothing_counts(generation: int) -> None:
    window = FlowWindow(8 * _SMALL)
    window.enter(delivery(generation=generation))
    assert window.total_bytes == 0


def test_a_window_goes_by_bytes_and_not_by_fetches() -> None:
    window = window_of(200)
    for _ in range(99):
        window.enter(delivery())
    assert not window.is_full("t", 0)
    window.enter(delivery("u", value=bytes(2 * _SMALL)))
    assert window.is_full("t", 0)


def test_a_fetch_without_records_takes_room_too() -> None:
    empty = Delivery(Chunk("t", 0, 0, 1, [], [], [], []), 1)
    assert empty.size_bytes > 0


_BOUND = 20_000


@pytest.mark.fault("D7", place="streams/engine/flow.py")
@settings(max_examples=examples(60))
@given(
    st.integers(1, 40),
    st.lists(st.sampled_from((0, 10, 500, 5_000, 50_000)), min_size=1, max_size=30),
    st.integers(0, 2**32),
)
def test_d7_a_worker_holds_its_bound_and_every_partition_gets_on(
    partitions: int, sizes: list[int], seed: int
) -> None:
    """Partitions with the same backlog are fetched from and committed in any order."""
    rng = random.Random(seed)
    window = FlowWindow(_BOUND)
    window.start_generation(1)
    waiting = {number: list(sizes) for number in range(partitions)}
    in_work: list[Delivery] = []
    largest = delivery(value=bytes(max(sizes))).size_bytes
    while in_work or any(waiting.values()):
        fetchable = [p for p, left in waiting.items() if left and not window.is_full("t", p)]
        if in_work and (not fetchable or rng.random() < 0.5):
            window.leave(in_work.pop(rng.randrange(len(in_work))))
            continue
        number = rng.choice(fetchable)  # fails where nobody may go on and nothing is in work
        taken = delivery(value=bytes(waiting[number].pop()), partition=number)
        window.enter(taken)
        in_work.append(taken)
        assert window.total_bytes < _BOUND + largest
    assert window.total_bytes == 0
