"""An event loop whose clock jumps to the next timer whenever nothing else is to do.

Hours of back-off pass in milliseconds, and what is read is real: sockets of this process are
served before the clock moves.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_GRACE_S = 0.002
"""How long loopback traffic may take to arrive before the clock moves."""


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]
    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)  # type: ignore[no-any-return]
        events: list[tuple[selectors.SelectorKey, int]] = super().select(min(timeout, _GRACE_S))
        if not events:
            self.skipped_s += timeout
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop on a jumping clock."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return super().time() + self._jumping.skipped_s


def run_jumping(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop whose clock jumps."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)
