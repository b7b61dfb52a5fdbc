"""The collector of a worker: put off, but no garbage gathers."""

import asyncio
import gc
import weakref

import pytest

from streams.collector import collect_young, collector_spared


class Cycle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.me = self


async def until_gone(reference: "weakref.ref[Cycle]") -> None:
    while reference() is not None:
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_young_cycles_are_collected_while_automatic_collection_is_put_off() -> None:
    with collector_spared():
        reference = weakref.ref(Cycle())
        more = [Cycle() for _ in range(5_000)]
        assert reference() is not None
        del more
        task = asyncio.create_task(collect_young())
        await asyncio.wait_for(until_gone(reference), 10)
        task.cancel()


def test_the_standard_thresholds_come_back() -> None:
    before = gc.get_threshold()
    with collector_spared():
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before
