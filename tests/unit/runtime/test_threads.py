"""Blocking calls that keep no process alive."""

import asyncio
import threading

import pytest

from runtime.threads import in_daemon_thread


def test_what_the_call_returns_or_raises_is_handed_on() -> None:
    assert asyncio.run(in_daemon_thread(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_daemon_thread(divmod, 7, 0))


@pytest.mark.fault("D11", place="runtime/threads.py")
def test_d11_a_call_that_hangs_is_left_behind_by_whoever_is_cancelled() -> None:
    begun, released, ended = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        released.wait()
        ended.set()

    async def run() -> None:
        call = asyncio.create_task(in_daemon_thread(hang))
        await in_daemon_thread(begun.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(run())  # returns although the call has not
    assert not ended.is_set()
    released.set()
    assert ended.wait(10), "it ends later, and tells nobody"
