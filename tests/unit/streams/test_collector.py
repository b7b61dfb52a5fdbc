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


@pytest.mark.asyncio
async def test_young_cycles_are_collected_while_automatic_collection_is_put_off() -> None:
    with collector_spared():
        gone = asyncio.Event()
        cycles = [Cycle() for _ in range(5_000)]
        weakref.finalize(cycles[0], gone.set)
        del cycles
        assert not gone.is_set()
        task = asyncio.create_task(collect_young())
        await asyncio.wait_for(gone.wait(), 10)
        task.cancel()


def test_the_standard_thresholds_come_back() -> None:
    before = gc.get_threshold()
    with collector_spared():
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before
