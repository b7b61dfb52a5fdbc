"""Records that no handler can digest: they are put aside alone, and a sick worker stops.

The state is a sum, so a record that is applied twice, or not at all, shows in it.
"""

import asyncio
import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import (
    BrokerUnavailableError,
    ConfigError,
    DeadLetterLimitError,
    DecodeError,
    FatalError,
    RecordTooLargeError,
)
from streams.engine import Accounting, Chunk, Effects, Failure, Output, State
from streams.engine.errors import AccountingError
from streams.engine.poison import failure_of, is_of_records, short_trace
from tests.support.engine_fakes import FakePartition
from tests.support.engine_processor import Running, add_up, held, numbers, once, running
from tests.support.examples import examples

PROCESSOR = "streams/engine/processor.py"
POISON = "streams/engine/poison.py"


def letters(chunk: Chunk, failure: Failure) -> list[Output]:
    """One for each record: its offset, why, and its value."""
    return [
        Output("dlq", 0, b"%d" % offset, f"{failure.code}|{value!r}".encode())
        for offset, value in zip(chunk.offsets, chunk.values, strict=True)
    ]


@dataclass(frozen=True)
class Picky:
    """Adds up, and fails on chunks that hold a value it does not like."""

    disliked: frozenset[int]
    error: Callable[[], BaseException]

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        if any(int(value or 0) in self.disliked for value in chunk.values):
            raise self.error()
        return add_up(chunk, state)


def picky(disliked: Iterable[int], error: Callable[[], BaseException] = ValueError) -> Picky:
    return Picky(frozenset(disliked), error)


def panic() -> BaseException:
    return pl.exceptions.PanicException("out of range")


def offsets_of_letters(partition: FakePartition) -> list[int]:
    return [int(output.key) for output in partition.outputs if output.topic == "dlq"]


def tally(partition: FakePartition) -> list[int]:
    """Start, end, applied, stale, parked, dead-lettered."""
    return [int(number) for number in (held(partition)[b"!a:numbers"] or b"").split()][:6]


async def consume(it: Running, partition: FakePartition, *chunks: Chunk) -> None:
    """Feed chunks and wait until the last is done."""
    it.submit(*chunks)
    while partition.committed.get("numbers", 0) < chunks[-1].end_offset:
        await it.done()


@pytest.mark.fault("B1", place=PROCESSOR)
@pytest.mark.parametrize(
    "error",
    [
        ValueError,
        AssertionError,
        RecursionError,
        StopIteration,
        panic,
        lambda: DecodeError("broken"),
        lambda: ExceptionGroup("several", [ValueError()]),
    ],
)
@pytest.mark.asyncio
async def test_b1_a_record_that_no_handler_digests_is_dead_lettered_alone(
    error: Callable[[], BaseException],
) -> None:
    partition = FakePartition()
    async with running(partition, handler=picky([7], error), dead_letters=letters) as it:
        await consume(it, partition, numbers(0, 1, 2, 7, 4), numbers(4, 5))
        assert not it.processor.has_ended
    assert held(partition)[b"sum"] == b"12"
    assert offsets_of_letters(partition) == [2]
    assert tally(partition) == [0, 5, 4, 0, 0, 1]


@pytest.mark.fault("B1", place=PROCESSOR)
@given(
    values=st.lists(st.integers(1, 4), min_size=1, max_size=24),
    cuts=st.sets(st.integers(1, 23)),
    gaps=st.lists(st.integers(0, 2), min_size=24, max_size=24),
)
@settings(max_examples=examples(20), deadline=None)
def test_i5_however_poison_lies_in_the_chunks_each_record_has_one_outcome(
    values: list[int], cuts: set[int], gaps: list[int]
) -> None:
    """Value 1 is poison; offsets leave out what compaction removed."""
    offsets, at = [], 0
    for gap, _ in zip(gaps, values, strict=False):
        at += gap
        offsets.append(at)
        at += 1
    whole = replace(numbers(0, *values), offsets=offsets, end_offset=at)
    chunks, rest = [], whole
    for cut in sorted(cuts):
        if cut < len(values):
            border = offsets[cut]
            chunks.append(replace(_until(rest, border)))
            rest = rest.after(border - 1)
    chunks.append(rest)

    async def scenario() -> None:
        partition = FakePartition()
        async with running(partition, handler=picky([1]), dead_letters=letters) as it:
            await consume(it, partition, *chunks)
        poison = [offset for offset, value in zip(offsets, values, strict=True) if value == 1]
        assert offsets_of_letters(partition) == poison
        assert int(held(partition).get(b"sum") or 0) == sum(v for v in values if v != 1)
        assert tally(partition) == [0, at, len(values) - len(poison), 0, 0, len(poison)]

    asyncio.run(scenario())


def _until(chunk: Chunk, border: int) -> Chunk:
    count = sum(offset < border for offset in chunk.offsets)
    return replace(
        chunk,
        end_offset=border,
        offsets=chunk.offsets[:count],
        timestamps_ms=chunk.timestamps_ms[:count],
        keys=chunk.keys[:count],
        values=chunk.values[:count],
    )


@pytest.mark.parametrize(
    "error",
    [
        lambda: AccountingError("one missing"),
        lambda: ConfigError("wrong"),
        lambda: OSError(errno.ENOSPC, "no space left"),
        MemoryError,
    ],
)
@pytest.mark.asyncio
async def test_what_is_no_records_fault_stops_the_process(
    error: Callable[[], BaseException],
) -> None:
    partition = FakePartition()
    async with running(partition, handler=picky([7], error), dead_letters=letters) as it:
        it.submit(numbers(0, 7))
        assert isinstance(await it.failed(), type(error()))
    assert partition.committed == {}
    assert partition.outputs == []


@pytest.mark.asyncio
async def test_a_transient_error_is_tried_again_and_splits_nothing() -> None:
    partition = FakePartition()
    errors = [BrokerUnavailableError("away")]

    def fail_once(chunk: Chunk, state: State) -> Effects:
        if errors:
            raise errors.pop()
        return add_up(chunk, state)

    async with running(partition, handler=fail_once, dead_letters=letters) as it:
        it.submit(numbers(0, 1, 2, 3))
        assert await it.applied() == 3


def test_memory_is_tried_with_fewer_records() -> None:
    assert is_of_records(MemoryError(), 2)
    assert not is_of_records(MemoryError(), 1)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_what_ends_the_process_is_no_records_fault(error: type[BaseException]) -> None:
    assert not is_of_records(error(), 9)


@pytest.mark.asyncio
async def test_a_group_without_dead_letters_stops_at_what_it_cannot_digest() -> None:
    partition = FakePartition()
    async with running(partition, handler=picky([7], panic)) as it:
        it.submit(numbers(0, 7))
        assert isinstance(await it.failed(), pl.exceptions.PanicException)
        assert it.processor.has_ended
    assert partition.committed == {}


@pytest.mark.fault("B1", place=POISON)
def test_b1_a_dead_letter_says_where_and_quotes_nothing() -> None:
    def inner() -> None:
        int("ada@example.com")

    try:
        try:
            inner()
        except ValueError as error:
            raise KeyError("ada@example.com") from error
    except KeyError as error:
        text = short_trace(error)
        failure = failure_of(error)
    assert "KeyError" in text
    assert "ValueError < streams/test_engine_poison.py" in text
    assert " inner" in text
    assert "ada@" not in text + failure.detail + failure.hint
    assert failure.code == "record.poison"


def caught(raiser: Callable[[], object]) -> BaseException:
    try:
        raiser()
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def test_a_dead_letter_names_what_an_error_came_from_without_being_said_so() -> None:
    def fail() -> None:
        try:
            int("x")
        except ValueError:
            {}["y"]

    assert "KeyError" in short_trace(caught(fail))
    assert "; caused by ValueError" in short_trace(caught(fail))


def test_a_dead_letter_stays_short_however_deep_the_fault_lies() -> None:
    def descend(depth: int) -> None:
        if depth == 0:
            innermost()
        try:
            descend(depth - 1)
        except ValueError as error:
            raise ValueError from error

    def innermost() -> None:
        raise ValueError

    def sink(depth: int) -> None:
        if depth == 0:
            innermost()
        sink(depth - 1)

    assert len(short_trace(caught(lambda: descend(50)))) < 3_000
    trace = short_trace(caught(lambda: sink(50)))
    assert len(trace) < 1_000
    _, first, second, *_ = trace.split(" < ")
    assert first.endswith(" innermost")
    assert second.endswith(" sink")


@pytest.mark.asyncio
async def test_a_record_whose_effects_are_too_large_is_dead_lettered_alone() -> None:
    partition = FakePartition()

    refused: list[int] = []

    def refuse(chunk: Chunk) -> None:
        if b"7" in chunk.values:
            refused.append(len(chunk))
            raise RecordTooLargeError("too large")

    partition.before_commit = refuse
    async with running(partition, dead_letters=letters) as it:
        await consume(it, partition, numbers(0, 1, 7, 3), numbers(3, 4))
    assert held(partition)[b"sum"] == b"8"
    (letter,) = [output for output in partition.outputs if output.topic == "dlq"]
    assert letter.value == b"record.too_large|None"  # its own value does not fit there either
    assert tally(partition) == [0, 4, 3, 0, 0, 1]
    assert refused[-1] == 1
    assert [topic for _, topic in it.watched.too_large] == ["numbers"]
    assert partition.epoch == 1 + len(refused)  # opened anew after each refusal, and no oftener


@pytest.mark.asyncio
async def test_too_large_effects_stop_a_group_without_dead_letters() -> None:
    partition = FakePartition(before_commit=once(RecordTooLargeError("too large")))
    async with running(partition) as it:
        it.submit(numbers(0, 1, 7))
        assert isinstance(await it.failed(), RecordTooLargeError)
    assert partition.committed == {}


@pytest.mark.asyncio
async def test_a_commit_that_fails_between_the_parts_repeats_none() -> None:
    partition = FakePartition(after_commit=once(BrokerUnavailableError("no answer")))
    async with running(partition, handler=picky([7]), dead_letters=letters) as it:
        await consume(it, partition, numbers(0, 1, 2, 7, 4))
    assert held(partition)[b"sum"] == b"7"
    assert offsets_of_letters(partition) == [2]
    assert tally(partition) == [0, 4, 3, 0, 0, 1]


def sick(chunk: Chunk, state: State) -> Effects:
    raise NameError("a defect")


@pytest.mark.asyncio
async def test_a_worker_that_digests_nothing_stops_in_this_life_and_the_next() -> None:
    partition = FakePartition()
    for _ in range(2):
        async with running(
            partition, handler=sick, dead_letters=letters, dead_letter_run_max=3
        ) as it:
            it.submit(numbers(0, *range(8)).after(partition.committed.get("numbers", 0) - 1))
            error = await it.failed()
            assert isinstance(error, DeadLetterLimitError)
            assert "runbook" in error.hint
            assert error.context["offset"] == 3
        assert offsets_of_letters(partition) == [0, 1, 2]
    async with running(partition, dead_letters=letters, dead_letter_run_max=3) as it:
        await consume(it, partition, numbers(3, 3, 4, 5, 6, 7))
    assert held(partition)[b"sum"] == b"25"
    assert tally(partition) == [0, 8, 5, 0, 0, 3]


@pytest.mark.asyncio
async def test_a_share_of_dead_letters_stops_the_worker() -> None:
    partition = FakePartition()
    async with running(
        partition,
        handler=picky([7]),
        dead_letters=letters,
        dead_letter_run_max=3,
        dead_letter_ratio_max=0.5,
    ) as it:
        it.submit(*(numbers(at, 7, 7, 1) for at in range(0, 30, 3)))
        assert isinstance(await it.failed(), DeadLetterLimitError)
    assert len(offsets_of_letters(partition)) == 3


@pytest.mark.asyncio
async def test_refusals_of_a_handler_count_against_the_limit() -> None:
    def refuse_all(chunk: Chunk, state: State) -> Effects:
        return Effects(accounting=Accounting(dead_lettered=len(chunk)))

    partition = FakePartition()
    async with running(partition, handler=refuse_all, dead_letter_run_max=3) as it:
        it.submit(numbers(0, 1, 2, 3, 4))
        assert isinstance(await it.failed(), DeadLetterLimitError)
    assert partition.committed == {}


@pytest.mark.asyncio
async def test_a_dead_letter_that_cannot_be_written_stops_the_process() -> None:
    def broken(chunk: Chunk, failure: Failure) -> list[Output]:
        raise TypeError("a defect")

    partition = FakePartition()
    async with running(partition, handler=picky([7]), dead_letters=broken) as it:
        it.submit(numbers(0, 7))
        assert isinstance(await it.failed(), TypeError)
    assert partition.committed == {}


def test_an_accounting_error_stays_fatal() -> None:
    assert issubclass(AccountingError, FatalError)
    assert not is_of_records(AccountingError("x"), 5)
