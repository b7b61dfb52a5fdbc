"""What the profile makes of the stages of its workers."""

from collections import Counter

import pytest

from bench.profile import REST, coarse, table, together, without_small
from bench.stages import TRANSACTION, UNPACK, Snapshot


def test_workers_are_added_up() -> None:
    workers = [Snapshot(1.0, {"a": 1.0}, {"a": 2}), Snapshot(1.0, {"a": 2.0, "b": 1.0}, {"b": 1})]
    assert together(workers) == ({"a": 3.0, "b": 1.0}, {"a": 2, "b": 1})


def test_large_chunks_are_told_without_tasks_and_threads() -> None:
    seconds = Counter(
        {UNPACK: 2.0, "polars' threads": 1.0, "loop: Sender": 0.5, "loop, rest": 0.25}
    )
    assert coarse(seconds) == {UNPACK: 2.0, "polars' threads": 1.0, REST: 0.75}


def test_nothing_is_lost_with_the_small_stages() -> None:
    seconds = Counter({"large": 1.0, "small": 0.004, "smaller": 0.001})
    found = without_small(seconds)
    assert sum(found.values()) == pytest.approx(1.005)
    assert set(found) == {"large", "stages of less than a half per cent"}


def test_the_table_tells_microseconds_of_a_change_and_of_a_transaction() -> None:
    told = table(Counter({TRANSACTION: 0.75, UNPACK: 0.25}), changes=1_000, transactions=100)
    assert [" ".join(line.split()) for line in told.splitlines()] == [
        "stage us a change a transaction share",
        f"{TRANSACTION} 750.00 7500 75.0%",
        f"{UNPACK} 250.00 2500 25.0%",
        "all 1000.00 10000 100.0%",
    ]
