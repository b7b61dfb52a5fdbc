"""Trying refused commands again when they are due: the clock of `refusals`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from connectors.dispatch.refusals import Refusal, Refusals

LONGEST_S: Final = 60.0
"""The wall clock may be set while we wait by another one."""


class Pacer:
    """Hands refusals over as they fall due, for as long as there are any."""

    def __init__(
        self,
        refusals: Refusals,
        try_again: Callable[[Refusal], None],
        *,
        now: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        """`now` are seconds since the epoch; a failure of what is spawned ends the process."""
        self._refusals = refusals
        self._try_again = try_again
        self._now = now
        self._spawn = spawn
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False

    def wake(self) -> None:
        """Look again at what is due: something has changed."""
        self._changed.set()
        if self._task is None and len(self._refusals) and not self._is_stopped:
            self._task = self._spawn(self._run())

    async def stop(self) -> None:
        """Hand over nothing more."""
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while (at_s := self._refusals.next_at_s(now_s := self._now())) is not None:
            self._changed.clear()
            if at_s <= now_s:
                for refusal in self._refusals.due(now_s):
                    self._try_again(refusal)
                continue
            try:
                async with asyncio.timeout(min(LONGEST_S, at_s - now_s)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        self._task = None
