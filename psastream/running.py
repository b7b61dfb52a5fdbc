"""Runs a coroutine as a process: SIGTERM and SIGINT cancel it, so that it cleans up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine

from psastream.exits import Exit


def run(work: Coroutine[None, None, int]) -> int:
    """Run to the end and return the exit code; a stop by signal is a success."""
    return asyncio.run(_run(work))


async def _run(work: Coroutine[None, None, int]) -> int:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return Exit.OK
