"""What one partition's failure does to the others, and what a closed committer still does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import pytest

from schemas.errors import RecordTooLargeError
from streams.engine import Chunk, Effects, EngineSettings
from streams.engine.commit import Part, TransactionalWriter
from streams.engine.committer import Committer
from streams.engine.errors import CommitOutcomeUnknownError
from streams.engine.membership import Member
from tests.support.engine_fakes import FakePartition, FakeWriter
from tests.support.engine_processor import numbers, running
from tests.unit.streams.test_engine_committer import Writer, commit_all
from tests.unit.streams.test_engine_poison import letters

pytestmark = pytest.mark.asyncio
TOO_LARGE = 13


class TellingPartition(FakePartition):
    """Refuses transactions that hold a value that is too large; counts those that hold others."""

    shared_failures = 0

    def writer(self, *_: Any) -> FakeWriter:
        partition = self

        class Refusing(FakeWriter):
            async def commit(self, parts: Sequence[Any], member: Member) -> list[int]:
                is_refused = any(
                    b"%d" % TOO_LARGE in [value or b"" for value in each.chunk.values]
                    for each in parts
                    if each.chunk.topic == "numbers" and each.encoded[1].accounting.applied
                )
                if is_refused:
                    self._is_usable = False
                    partition.shared_failures += len(parts) > 1
                    raise RecordTooLargeError("too large")
                return await super().commit(parts, member)

        return Refusing(partition)


async def neighbour(it: Any, told: list[Any]) -> None:
    """Another partition of the worker that always has something to commit, and goes alone once it
    has failed."""
    has_failed, at = False, 0
    while True:
        chunk = Chunk("neighbour", 1, at, at + 1, [at], [0], [b"k"], [b"v"])
        encoded: Any = ({}, Effects())
        try:
            if has_failed:
                await it.committer.ready()
            await it.committer.commit(Part(chunk, encoded), Member(1, "m"), is_alone=has_failed)
            has_failed, at = False, at + 1
            await asyncio.sleep(0)
        except CommitOutcomeUnknownError as error:
            told.append(error)
            has_failed = True


@pytest.mark.parametrize("records", [8, 64])
async def test_a_record_too_large_disturbs_others_once(records: int) -> None:
    """The record is the last of its chunk, which is split until the record is alone."""
    partition = TellingPartition()
    told: list[Any] = []
    async with running(partition, dead_letters=letters, handler_threads=1) as it:
        other = asyncio.create_task(neighbour(it, told))
        it.submit(numbers(0, *[1] * (records - 1), TOO_LARGE))
        while partition.committed.get("numbers", 0) < records:
            await it.done()
        other.cancel()
        await asyncio.wait({other})
    assert [each.topic for each in partition.outputs].count("dlq") == 1
    assert len(told) <= 1, f"{len(told)} transactions of the neighbour failed"


async def test_a_closed_committer_makes_no_writer_again() -> None:
    """A rebalance that ends while the worker stops asks for it; the name would be held again, and
    the writer be one that was never opened."""
    made: list[Any] = []

    def make() -> Any:
        made.append(Writer())
        return nullcontext(made[-1])

    settings = EngineSettings(app_id="a", bootstrap_servers="unused:1", state_dir=Path("unused"))
    committer = Committer(settings, make)
    await committer.ready()
    await committer.close()
    await asyncio.gather(committer.ready(), return_exceptions=True)
    assert [(each.opened, each.is_closed) for each in made] == [(1, True)]


async def test_a_committer_that_is_closed_while_it_opens_closes_what_it_opened() -> None:
    class Slow(Writer):
        opening = asyncio.Event()
        go_on = asyncio.Event()
        events: ClassVar[list[str]] = []

        async def open(self) -> None:
            if self.opened:
                self.opening.set()
                await self.go_on.wait()
            await super().open()
            self.events.append("opened")

        async def close(self) -> None:
            self.events.append("closed")

    writer: Any = Slow()
    settings = EngineSettings(app_id="a", bootstrap_servers="unused:1", state_dir=Path("unused"))
    committer = Committer(settings, lambda: nullcontext(writer))
    await committer.ready()
    writer.errors.append(CommitOutcomeUnknownError("no answer"))
    await commit_all(committer, "a")
    ready = asyncio.create_task(committer.ready())
    await writer.opening.wait()
    closing = asyncio.create_task(committer.close())
    for _ in range(5):
        await asyncio.sleep(0)
    writer.go_on.set()
    await asyncio.gather(ready, closing, return_exceptions=True)
    assert writer.events[-1] == "closed", writer.events


async def test_a_writer_whose_closing_is_cancelled_leaves_no_client_open() -> None:
    """Giving up a partition while the writer is opened anew must not leave the old one at work."""
    settings = EngineSettings(app_id="a", bootstrap_servers="127.0.0.1:1", state_dir=Path("unused"))
    writer = TransactionalWriter("t", settings)
    is_closed = asyncio.Event()
    stopping = asyncio.Event()

    class Client:
        _sync_task = None

        async def close(self) -> None:
            is_closed.set()

    class Producer:
        client = Client()

        async def stop(self) -> None:
            stopping.set()
            await asyncio.Event().wait()  # a broker that does not answer

    writer._producer = Producer()
    opening = asyncio.create_task(writer.open())
    await stopping.wait()
    opening.cancel()
    await asyncio.wait({opening})
    await writer.close()
    assert is_closed.is_set()
