"""An event loop whose clock jumps to the next timer where nothing is on its way.

Source and server run in it together, over sockets of this machine, so a back-off of minutes and an
answer that never comes cost no time, and who waits too short is seen to.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
GRACE_S: Final = 0.001
"""What was sent on this machine has arrived by then: both ends are in this loop."""
STUCK_S: Final = 60.0


class _Selector(selectors.DefaultSelector):
    """Waits for sockets shortly; then a time-out moves the clock of its loop instead."""

    def __init__(self) -> None:
        super().__init__()
        self.time_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            if not (ready := super().select(STUCK_S)):
                raise RuntimeError("nothing will ever happen: everybody waits")
            return ready
        if not (ready := super().select(GRACE_S)):
            self.time_s += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """The loop. Its time begins at 0."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since it was made, those it jumped over included."""
        return self._jumping.time_s


def run_jumping(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)
