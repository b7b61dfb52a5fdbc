"""A process that is asked to stop says so at once, cleans up, and has been a success."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from psastream.exits import Exit
from psastream.running import run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_another_one_changes_nothing(number: signal.Signals) -> None:
    told: list[str] = []
    again = asyncio.Event()

    def tell(text: str) -> None:
        told.append(text)
        if len(told) > 1:
            again.set()

    async def work() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), number)
            await again.wait()
            told.append("cleaned up")
        return Exit.FAILED

    assert run(work(), tell) == Exit.OK
    assert told == ["stopping", "still stopping", "cleaned up"]


def test_without_a_signal_it_ends_with_its_own_code() -> None:
    async def work() -> int:
        return Exit.FAILED

    assert run(work()) == Exit.FAILED
