"""Blocking calls of a process that must be able to end while one of them hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
T = TypeVar("T")


async def in_daemon_thread(
    work: Callable[Arguments, T], *arguments: Arguments.args, **named: Arguments.kwargs
) -> T:
    """Run a blocking call on a thread that keeps no process alive, and return what it returns.

    `asyncio.to_thread` would: at the end of a loop its threads are waited for, and a client of an
    unreachable broker blocks for minutes. A caller that is cancelled leaves the call behind, so
    what it does must be safe to cut off at any moment.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(setter: Callable[[Any], None], value: object) -> None:
        if not outcome.done():
            setter(value)

    def tell(setter: Callable[[Any], None], value: object) -> None:
        try:
            loop.call_soon_threadsafe(settle, setter, value)
        except RuntimeError:
            return  # the loop has ended: nobody waits any more

    def run() -> None:
        try:
            result = work(*arguments, **named)
        except BaseException as error:
            tell(outcome.set_exception, error)
        else:
            tell(outcome.set_result, result)

    threading.Thread(target=run, name=getattr(work, "__name__", "work"), daemon=True).start()
    return await outcome
