"""Chunks, their fences, and the accounting the engine insists on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import Accounting, AgentSpec, Chunk, Effects, GroupSpec
from streams.engine.contract import joined
from streams.engine.errors import AccountingError
from streams.engine.processor import checked_effects


def chunk_of(offsets: list[int], start: int, end: int) -> Chunk:
    names = [b"%d" % offset for offset in offsets]
    return Chunk("topic", 0, start, end, offsets, offsets, names, names)


@st.composite
def chunks(draw: st.DrawFn) -> Chunk:
    """Chunks with compaction gaps and control batches before, between and behind records."""
    start = draw(st.integers(0, 50))
    offsets = sorted(draw(st.sets(st.integers(start, start + 30), max_size=20)))
    end = max([start, *(offset + 1 for offset in offsets)]) + draw(st.integers(0, 3))
    return chunk_of(offsets, start, end)


@given(chunks(), st.integers(-1, 100))
def test_i3_after_keeps_exactly_the_records_above_the_fence(chunk: Chunk, fence: int) -> None:
    fresh = chunk.after(fence)
    assert list(fresh.offsets) == [offset for offset in chunk.offsets if offset > fence]
    assert [b"%d" % offset for offset in fresh.offsets] == list(fresh.keys) == list(fresh.values)
    assert fresh.end_offset == chunk.end_offset


@given(chunks(), st.integers(0, 100), st.integers(0, 100))
def test_after_twice_is_after_the_higher_fence(chunk: Chunk, low: int, high: int) -> None:
    low, high = sorted((low, high))
    assert list(chunk.after(low).after(high).offsets) == list(chunk.after(high).offsets)


def test_chunk_at_or_below_the_fence_is_empty_and_covers_nothing() -> None:
    chunk = chunk_of([3, 4], start=3, end=6)
    fresh = chunk.after(chunk.last_offset)
    assert len(fresh) == 0
    assert fresh.start_offset == fresh.end_offset == 6


@pytest.mark.parametrize("accounted", [0, 1, 3])
def test_i5_every_record_must_be_accounted_for(accounted: int) -> None:
    chunk = chunk_of([1, 2], start=1, end=3)
    with pytest.raises(AccountingError, match=f"{accounted} of 2"):
        checked_effects(
            lambda _chunk, _state: Effects(accounting=Accounting(parked=accounted)), chunk, Empty()
        )


def test_i5_outcomes_may_be_mixed() -> None:
    chunk = chunk_of([1, 2, 3, 4], start=1, end=5)
    accounting = Accounting(applied=1, stale=1, parked=1, dead_lettered=1)
    effects = Effects(accounting=accounting)
    assert checked_effects(lambda _chunk, _state: effects, chunk, Empty()) is effects


def test_reserved_state_keys_are_refused() -> None:
    effects = Effects(state={b"!f:topic": b"9"})
    with pytest.raises(AccountingError, match="'!'"):
        checked_effects(lambda _chunk, _state: effects, chunk_of([], 0, 1), Empty())


def test_group_maps_each_topic_to_its_handler() -> None:
    def first(chunk: Chunk, state: object) -> Effects:
        return Effects()

    def second(chunk: Chunk, state: object) -> Effects:
        return Effects()

    group = GroupSpec("g", 1, [AgentSpec("a", first), AgentSpec("b", second)], "s")
    assert group.handlers() == {"a": first, "b": second}


class Empty:
    """A state without keys."""

    def get(self, key: bytes) -> None:
        return None

    def get_many(self, keys: object) -> list[bytes | None]:
        return []

    def scan(self, prefix: bytes) -> "object":
        return iter(())


@given(chunks(), st.integers(1, 4))
def test_joining_the_pieces_of_a_chunk_gives_the_chunk(chunk: Chunk, pieces: int) -> None:
    covered = chunk.end_offset - chunk.start_offset
    cuts = [chunk.start_offset + covered * piece // pieces for piece in range(1, pieces)]
    parts, rest = [], chunk
    for cut in cuts:
        parts.append(_until(rest, cut))
        rest = rest.after(cut - 1)
    whole = joined([*parts, rest])
    assert (whole.start_offset, whole.end_offset) == (chunk.start_offset, chunk.end_offset)
    assert list(whole.offsets) == list(chunk.offsets)
    assert list(whole.keys) == list(chunk.keys)
    assert list(whole.values) == list(chunk.values)
    assert list(whole.timestamps_ms) == list(chunk.timestamps_ms)


def _until(chunk: Chunk, offset: int) -> Chunk:
    """The part of a chunk below an offset."""
    size = sum(each < offset for each in chunk.offsets)
    return Chunk(
        chunk.topic,
        chunk.partition,
        chunk.start_offset,
        offset,
        chunk.offsets[:size],
        chunk.timestamps_ms[:size],
        chunk.keys[:size],
        chunk.values[:size],
    )
