"""The next page is asked for while the last is committed, where its reader lets that be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from connectors.polled.bookmark import Batch
from connectors.polled.model import Page, ReaderTraits
from connectors.vendors.salesforce.source import SalesforceReader
from schemas.errors import TransientError
from tests.support.polled import Clock, MemoryLog, MemoryReader, MemoryTable, make_poller

ROWS = ("a", "b", "c")


class SlowLog(MemoryLog):
    """Notes what was asked for when it had begun to commit."""

    def __init__(self, reader: MemoryReader) -> None:
        super().__init__()
        self.asked = 0
        self.asked_meanwhile: list[int] = []
        reader.between_pages = self._note

    def _note(self) -> None:
        self.asked += 1

    async def commit(self, batch: Batch) -> None:
        before = self.asked
        await asyncio.sleep(0)  # lets others on, as a wait for the broker does
        self.asked_meanwhile.append(self.asked - before)
        await super().commit(batch)


def world(*, reads_ahead: bool) -> tuple[MemoryReader, SlowLog]:
    table = MemoryTable(Clock())
    for row_id in ROWS:
        table.write(row_id, "first")
        table.clock.tick(1)
    table.clock.tick(60)
    reader = MemoryReader(table, page_size=1, traits=ReaderTraits(reads_ahead=reads_ahead))
    return reader, SlowLog(reader)


@pytest.mark.parametrize("reads_ahead", [True, False])
def test_a_page_is_asked_for_while_the_last_is_committed_where_it_may_be(
    *, reads_ahead: bool
) -> None:
    reader, log = world(reads_ahead=reads_ahead)
    asyncio.run(make_poller(reader, log).poll())
    assert log.asked_meanwhile[: len(ROWS)] == [int(reads_ahead)] * len(ROWS)
    assert log.asked == len(ROWS)
    assert log.operations() == [("r", row_id) for row_id in ROWS]


def test_i2_what_was_asked_for_beside_a_commit_that_fails_comes_once_later() -> None:
    reader, log = world(reads_ahead=True)
    log.failures = iter([False, True])

    with pytest.raises(TransientError):
        asyncio.run(make_poller(reader, log).poll())
    assert log.operations() == [("r", ROWS[0])]
    asyncio.run(make_poller(reader, log).poll())
    assert log.operations() == [("r", row_id) for row_id in ROWS]


class StuckReader(MemoryReader):
    """Its vendor answers to the first question alone."""

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        async for page in super().changes(since):
            yield page
            await asyncio.Event().wait()


def test_a_question_without_an_answer_yet_ends_with_its_scan() -> None:
    reader, log = world(reads_ahead=True)
    stuck = StuckReader(reader.table, page_size=1, traits=reader.traits)
    log.failures = iter([True])

    async def poll() -> set[asyncio.Task[object]]:
        with pytest.raises(TransientError, match="the broker"):
            await make_poller(stuck, log).poll()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(poll()) == set()


def test_a_page_that_fails_meanwhile_stops_nothing_that_was_read() -> None:
    reader, log = world(reads_ahead=True)

    def fail() -> None:
        raise TransientError("the vendor is gone")

    reader.between_pages = fail
    with pytest.raises(TransientError, match="the vendor"):
        asyncio.run(make_poller(reader, log).poll())
    assert log.operations() == [("r", ROWS[0])]


def test_pages_of_salesforce_are_asked_for_so() -> None:
    assert SalesforceReader.traits.reads_ahead
