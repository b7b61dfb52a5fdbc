"""When Python's cyclic garbage collector may hold up a worker.

A chunk is hundreds of thousands of objects without a cycle, all freed with it: the standard
thresholds walk the whole heap several times a chunk, holding the interpreter. What else is garbage
gathers under thresholds that spare chunks: ten thousand objects a second took most of a second once
a minute. So automatic collection is put off, and a task collects what is young once a second.
"""

import asyncio
import gc
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

_SPARING_THRESHOLD = 500_000  # young objects: more than the chunks in work have alive
_INTERVAL_S = 1.0
_YOUNG_OBJECTS = 1_000  # about 2 ms, if all of them are garbage
_OLDER_EVERY = 60


@contextmanager
def collector_spared() -> Iterator[None]:
    """Put automatic collection off, and leave what is loaded now out of every collection."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_SPARING_THRESHOLD, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def collect_young() -> None:
    """Collect young objects whenever there are some, for ever."""
    for count in itertools.count(1):
        await asyncio.sleep(_INTERVAL_S)
        if gc.get_count()[0] > _YOUNG_OBJECTS:
            gc.collect(1 if count % _OLDER_EVERY == 0 else 0)
