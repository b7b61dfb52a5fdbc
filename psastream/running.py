"""Runs a coroutine as a process: SIGTERM and SIGINT cancel it, so that it cleans up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine

from psastream.exits import Exit


def run(work: Coroutine[None, None, int], tell: Callable[[str], None] | None = None) -> int:
    """Run to the end and return the exit code; a stop by signal is a success.

    `tell` is told at once that it stops. Another signal meanwhile changes nothing: what is being
    cleaned up would be left behind.
    """
    return asyncio.run(_run(work, tell or (lambda _: None)))


async def _run(work: Coroutine[None, None, int], tell: Callable[[str], None]) -> int:
    task = asyncio.ensure_future(work)

    def stop() -> None:
        if task.cancelling():
            tell("still stopping")
            return
        tell("stopping")
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        return Exit.OK
