"""A column that not every account has: absent is not null where all rows had it before."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from connectors.polled.conversion import Layout, RowReader
from connectors.polled.model import Page
from connectors.polled.orders import Action
from schemas.codec.record import load_schema
from schemas.errors import SchemaMismatchError
from tests.support.polled import (
    Clock,
    MemoryLog,
    MemoryOrders,
    MemoryReader,
    MemoryTable,
    make_config,
    make_poller,
)

DAY = {"sweep.interval.ms": 86_400_000}


@dataclass
class Account(MemoryReader):
    """Rows with a rate, but for those named in `without`."""

    without: set[str] = field(default_factory=set)

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        async for page in super().changes(since):
            has = {row.id not in self.without for row in page.rows}
            yield replace(
                page,
                shows=frozenset({"rate"} if True in has else ()),
                lacks=frozenset({"rate"} if False in has else ()),
            )


class World:
    def __init__(self, *ids: str, without: tuple[str, ...] = (), page_size: int = 2) -> None:
        self.clock = Clock()
        self.table = MemoryTable(self.clock)
        self.reader = Account(self.table, page_size=page_size, without=set(without))
        self.log, self.orders = MemoryLog(), MemoryOrders()
        for row_id in ids:
            self.table.write(row_id, "first")
            self.clock.tick(1)
        self.clock.tick(60)

    async def poll(self, **keys: object) -> None:
        """Poll as a process that was started just now."""
        self.clock.tick(60)
        config = make_config(**(DAY | keys))
        await make_poller(self.reader, self.log, config, orders=self.orders).poll()

    def change(self, *ids: str) -> None:
        for row_id in ids:
            self.table.write(row_id, "second")


@pytest.mark.asyncio
async def test_a_column_that_all_rows_had_and_a_page_lacks_stops_the_object() -> None:
    world = World("a", "b", "c")
    await world.poll()
    told = world.log.operations()
    world.reader.without = {"a", "b", "c"}
    world.change("b")
    with pytest.raises(SchemaMismatchError, match="account came without rate"):
        await world.poll()
    assert world.log.operations() == told, "nothing is overwritten"


@pytest.mark.asyncio
async def test_a_sweep_is_stopped_before_it_overwrites_anything() -> None:
    world = World("a", "b", "c")
    await world.poll()
    world.reader.without = {"a", "b", "c"}
    world.clock.tick(timedelta(days=2).total_seconds())
    told = world.log.operations()
    with pytest.raises(SchemaMismatchError):
        await world.poll()
    assert world.log.operations() == told


@pytest.mark.asyncio
@pytest.mark.parametrize("without", [("a", "b", "c"), ("a",)], ids=["no row", "some"])
async def test_a_column_that_rows_have_not_had_may_be_absent(without: tuple[str, ...]) -> None:
    world = World("a", "b", "c", without=without)
    await world.poll()
    world.reader.without = {"a", "b", "c"}
    world.change("c")
    await world.poll()
    assert ("u", "c") in world.log.operations()


@pytest.mark.asyncio
async def test_what_changed_rows_alone_are_without_is_theirs() -> None:
    world = World("a", "b", "c")
    await world.poll()
    world.reader.without = {"c"}
    for text in ("second", "third"):
        world.table.write("c", text)
        await world.poll()
        assert world.log.state()["c"]["text"] == text
    assert world.reader.scans.count(None) == 2, "the first time all rows are read"


@pytest.mark.asyncio
async def test_a_person_can_say_that_the_account_has_it_no_more() -> None:
    world = World("a", "b", "c")
    await world.poll()
    world.reader.without = {"a", "b", "c"}
    await world.poll(**{"snapshot.mode": "always"})
    world.change("b")
    await world.poll()
    assert world.log.operations()[-1] == ("u", "b")


@pytest.mark.asyncio
async def test_rows_of_a_resync_without_a_column_that_others_have_stop_nothing() -> None:
    world = World("a", "b", page_size=1)
    ordered_since = world.clock.now
    world.change("c")
    world.clock.tick(60)
    world.change("d")
    await world.poll()
    told = world.log.operations()
    world.reader.without = {"c"}
    world.orders.give(Action.RESYNC, since=ordered_since)

    await world.poll()
    assert world.log.operations() == told
    await world.poll()
    assert world.log.operations() == [*told, ("r", "c"), ("r", "d")]


def test_a_page_says_which_optional_columns_its_rows_have() -> None:
    fields = [{"name": name, "type": ["null", "string"]} for name in ("id", "rate", "region")]
    contract = load_schema({"type": "record", "name": "Person", "fields": fields})
    reader = RowReader(contract, Layout("id", optional=frozenset({"rate", "region"})))
    page = reader.page(
        [{"id": "1", "rate": None}, {"id": "2", "rate": "7", "region": "x"}, 3], None
    )
    assert (page.shows, page.lacks) == ({"rate", "region"}, {"region"})
