"""Effects become record batches: bounded in size, complete, and in order."""

from collections import defaultdict
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import Effects, Output, OutputBatch
from streams.engine.batches import EncodedBatch, encode_batches, group_outputs

BATCH_BYTES = 1024


def new_builder() -> Any:
    return BatchBuilder(BATCH_BYTES, 0, is_transactional=1)


def content(batch: EncodedBatch) -> tuple[int, list[tuple[bytes | None, bytes | None]]]:
    """Size and records of a batch, read back as a consumer would."""
    raw = bytes(batch.builder._build())
    records = MemoryRecords(raw)
    read = []
    while records.has_next():
        read += [(record.key, record.value) for record in records.next_batch()]
    return len(raw), read


@given(st.lists(st.tuples(st.binary(max_size=300), st.none() | st.binary(max_size=300))))
def test_batches_hold_all_records_in_order_within_the_limit(
    records: list[tuple[bytes, bytes | None]],
) -> None:
    stamped = [(key, value, 1, []) for key, value in records]
    batches = list(encode_batches(("t", 3), stamped, new_builder))
    read = []
    for batch in batches:
        size, found = content(batch)
        assert size <= BATCH_BYTES
        assert batch.records == len(found) > 0
        assert (batch.topic, batch.partition) == ("t", 3)
        read += found
    assert read == records


def test_record_above_the_limit_gets_a_batch_of_its_own() -> None:
    big = b"x" * (2 * BATCH_BYTES)
    values = [b"a", big, b"b"]
    batches = list(encode_batches(("t", 0), [(b"k", v, 1, []) for v in values], new_builder))
    assert [content(batch)[1] for batch in batches] == [[(b"k", v)] for v in values]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.binary(max_size=4))))
def test_outputs_keep_their_order_within_a_partition(rows: list[tuple[str, int, bytes]]) -> None:
    expected = defaultdict(list)
    for topic, partition, value in rows:
        expected[topic, partition].append((None, value, 7, []))
    single = Effects(outputs=[Output(t, p, None, v) for t, p, v in rows])
    columns = Effects(outputs=[OutputBatch(t, [p], [None], [v]) for t, p, v in rows])
    assert group_outputs(single, 7) == group_outputs(columns, 7) == expected


def test_output_may_carry_its_own_time_and_headers() -> None:
    output = Output("t", 0, b"k", None, headers=[("h", b"v")], timestamp_ms=5)
    grouped = group_outputs(Effects(outputs=[output]), timestamp_ms=9)
    assert grouped == {("t", 0): [(b"k", None, 5, [("h", b"v")])]}


def test_columns_for_several_partitions_are_told_apart() -> None:
    batch = OutputBatch("t", [1, 0, 1], [b"a", b"b", b"c"], [b"1", None, b"3"])
    assert group_outputs(Effects(outputs=[batch, OutputBatch("t", [0], [b"d"], [b"4"])]), 7) == {
        ("t", 0): [(b"b", None, 7, []), (b"d", b"4", 7, [])],
        ("t", 1): [(b"a", b"1", 7, []), (b"c", b"3", 7, [])],
    }


@pytest.mark.parametrize(
    "lengths", [(1, 2, 2), (2, 1, 2), (2, 2, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]
)
def test_columns_of_unequal_length_lose_nothing_in_silence(lengths: tuple[int, int, int]) -> None:
    partitions, keys, values = lengths
    batch = OutputBatch("t", [0] * partitions, [b"k"] * keys, [b"v"] * values)
    with pytest.raises(ValueError, match="columns of unequal length for t"):
        group_outputs(Effects(outputs=[batch]), 7)
