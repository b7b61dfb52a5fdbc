"""The one transaction of a worker: what goes into it together, and what an error of it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import RecordTooLargeError, TransientError
from streams.engine import Chunk, Effects, EngineSettings, State
from streams.engine.commit import EncodedCommit, Part
from streams.engine.committer import Committer
from streams.engine.errors import CommitOutcomeUnknownError, FencedError
from streams.engine.membership import Member
from tests.support.engine_fakes import FakePartition
from tests.support.engine_processor import numbers, running

pytestmark = pytest.mark.asyncio

DEADLINE_S = 30.0
MEMBER = Member(3, "m")
LARGE = "large"


def part(topic: str) -> Part:
    return Part(Chunk(topic, 0, 0, 1, [0], [0], [b"k"], [b"v"]), EncodedCommit((topic, 0)))


class Writer:
    """In the place of `TransactionalWriter`: tells what it was given, and does as it is told."""

    def __init__(self) -> None:
        self.done: list[tuple[list[str], Member]] = []
        self.opened = 0
        self.is_aborted = False
        self.is_closed = False
        self.errors: list[BaseException] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()
        self._is_usable = False

    async def open(self) -> None:
        self.opened += 1
        self._is_usable = True

    async def abort(self) -> None:
        self.is_aborted = True

    async def close(self) -> None:
        self.is_closed = True

    async def commit(self, parts: Sequence[Part], member: Member) -> list[int]:
        assert self._is_usable, "a transaction has failed: open it first"
        self._is_usable = False
        self.reached.set()
        await self.gate.wait()
        topics = [each.chunk.topic for each in parts]
        if self.errors:
            raise self.errors.pop(0)
        if LARGE in topics:
            raise RecordTooLargeError("too large")
        self.done.append((topics, member))
        self._is_usable = True
        return [100 * len(self.done) + at for at in range(len(parts))]


@asynccontextmanager
async def committing(**changes: Any) -> AsyncIterator[tuple[Committer, Writer]]:
    settings = EngineSettings(
        app_id="a",
        bootstrap_servers="unused:1",
        state_dir=Path("unused"),
        **{"commit_interval_s": 0.0, **changes},
    )
    writer: Any = Writer()
    committer = Committer(settings, lambda: nullcontext(writer))
    async with asyncio.timeout(DEADLINE_S):
        await committer.ready()
        yield committer, writer
        await committer.close()


async def commit_all(
    committer: Committer, *topics: str, member: Member = MEMBER, is_alone: bool = False
) -> list[Any]:
    found: list[Any] = await asyncio.gather(
        *(committer.commit(part(topic), member, is_alone=is_alone) for topic in topics),
        return_exceptions=True,
    )
    return found


async def test_what_is_ready_together_is_committed_together() -> None:
    async with committing() as (committer, writer):
        assert await commit_all(committer, "a", "b", "c") == [100, 101, 102]
        assert writer.done == [(["a", "b", "c"], MEMBER)]
        assert await commit_all(committer, "a") == [200]
        assert writer.opened == 1


async def test_what_has_failed_goes_alone() -> None:
    async with committing() as (committer, writer):
        await asyncio.gather(
            commit_all(committer, "a", "b"),
            commit_all(committer, "c", "d", is_alone=True),
            commit_all(committer, "e"),
        )
        assert [topics for topics, _ in writer.done] == [["a", "b", "e"], ["c"], ["d"]]


async def test_what_was_fetched_by_another_member_is_not_committed_as_this_one() -> None:
    later = Member(4, "m")
    async with committing() as (committer, writer):
        await asyncio.gather(
            commit_all(committer, "a", "b"),
            commit_all(committer, "c", member=later),
            commit_all(committer, "d"),
        )
        assert writer.done == [(["a", "b", "d"], MEMBER), (["c"], later)]


async def test_a_transaction_waits_for_what_is_being_folded() -> None:
    async with committing(commit_interval_s=DEADLINE_S) as (committer, writer):
        with committer.folding():
            first = asyncio.create_task(committer.commit(part("a"), MEMBER))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not writer.reached.is_set()
        assert await committer.commit(part("b"), MEMBER) == 101
        assert await first == 100


async def test_a_fold_that_takes_long_is_not_waited_for() -> None:
    async with committing(commit_interval_s=0.001) as (committer, writer):
        with committer.folding():
            assert await committer.commit(part("a"), MEMBER) == 100
        assert writer.done == [(["a"], MEMBER)]


async def test_few_records_wait_for_the_interval_and_none_after_a_silence() -> None:
    async with committing(commit_interval_s=DEADLINE_S) as (committer, _):
        await committer.due()
        await committer.commit(part("a"), MEMBER)
        waits = asyncio.create_task(committer.due())
        _, pending = await asyncio.wait({waits}, timeout=0.001)
        assert pending == {waits}
        waits.cancel()


async def test_a_record_too_large_of_several_parts_has_each_tried_alone() -> None:
    async with committing() as (committer, writer):
        told = await commit_all(committer, "a", LARGE)
        assert [type(each) for each in told] == [CommitOutcomeUnknownError] * 2
        told = await commit_all(committer, "a", LARGE, is_alone=True)
        assert told[0] == 100
        assert isinstance(told[1], RecordTooLargeError)
        assert writer.done == [(["a"], MEMBER)]


@pytest.mark.parametrize(
    "error", [FencedError("another"), CommitOutcomeUnknownError("no answer"), MemoryError()]
)
async def test_an_error_is_told_to_all_parts_and_the_writer_is_opened_anew(
    error: BaseException,
) -> None:
    async with committing() as (committer, writer):
        writer.errors.append(error)
        assert await commit_all(committer, "a", "b") == [error, error]
        await committer.ready()
        assert writer.opened == 2
        await committer.ready()
        assert await commit_all(committer, "a", "b") == [100, 101]
        assert writer.opened == 2


async def test_what_is_given_up_is_committed_no_more() -> None:
    async with committing() as (committer, writer):
        writer.gate.clear()
        first = asyncio.create_task(committer.commit(part("a"), MEMBER))
        await writer.reached.wait()
        second = asyncio.create_task(committer.commit(part("b"), MEMBER))
        await asyncio.sleep(0)
        await committer.abandon()
        with pytest.raises(CommitOutcomeUnknownError):
            await first
        second.cancel()
        writer.gate.set()
        await committer.ready()
        assert (writer.opened, writer.done) == (2, [])
        assert await committer.commit(part("c"), MEMBER) == 100


async def test_a_part_nobody_waits_for_is_left_out() -> None:
    async with committing() as (committer, writer):
        writer.gate.clear()
        running = asyncio.create_task(committer.commit(part("a"), MEMBER))
        await writer.reached.wait()
        given_up = asyncio.create_task(committer.commit(part("b"), MEMBER))
        waits = asyncio.create_task(committer.commit(part("c"), MEMBER))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait({given_up})
        writer.gate.set()
        assert [await running, await waits] == [100, 200]
        assert [topics for topics, _ in writer.done] == [["a"], ["c"]]


async def test_a_committer_that_is_closed_leaves_no_transaction_open() -> None:
    async with committing() as (committer, writer):
        await committer.close()
        assert writer.is_aborted and writer.is_closed


async def test_a_handler_that_is_to_be_called_again_holds_no_transaction_up() -> None:
    called = asyncio.Event()
    loop = asyncio.get_running_loop()

    def unavailable(_: Chunk, __: State) -> Effects:
        loop.call_soon_threadsafe(called.set)
        raise TransientError("the registry does not answer")

    partition = FakePartition()
    pauses = {"retry_backoff_s": DEADLINE_S, "retry_backoff_max_s": DEADLINE_S}
    async with (
        running(partition, handler=unavailable, commit_interval_s=DEADLINE_S, **pauses) as it,
        asyncio.timeout(DEADLINE_S / 2),
    ):
        it.submit(numbers(0, 1))
        await called.wait()
        encoded: Any = ({b"x": b"1"}, Effects())
        assert await it.committer.commit(Part(numbers(7, 1), encoded), MEMBER) == 0
