"""Starts parts again that end by themselves, as whatever runs them in production would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final, NoReturn

from sandbox.stack.errors import PartFailedError, StackError
from sandbox.stack.process import ProcessExit
from sandbox.stack.supervisor import Stack

PAUSE_FIRST_S: Final = 1.0
PAUSE_MAX_S: Final = 60.0
STEADY_S: Final = 120.0
"""A part that has run for so long begins with the first pause again."""


class Revival:
    """Starts each part again after a pause that doubles with its ends in a row.

    Only for the event loop of the stack, and once: it takes the ends that the stack tells of.
    """

    def __init__(
        self,
        stack: Stack,
        tell: Callable[[str], None],
        *,
        final_codes: Collection[int] = (),
        ends_max: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`tell` hears of each end in a line. `final_codes`: exit codes that another start does not
        mend. `ends_max`: ends of all parts together that are made good; None: any number.
        """
        self._stack = stack
        self._tell = tell
        self._final_codes = final_codes
        self._ends_left = ends_max
        self._clock = clock
        self._pause = pause
        self._pause_s: dict[str, float] = {}
        self._started_at_s: dict[str, float] = {}

    async def run(self) -> NoReturn:
        """Work until cancelled. Raises PartFailedError where a part cannot be started again."""
        try:
            async with asyncio.TaskGroup() as starts:
                while True:
                    starts.create_task(self._revive(await self._stack.next_exit()))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _revive(self, gone: ProcessExit) -> None:
        name, said = gone.name, f"ended with code {gone.exit_code}"
        while not self._stack.is_running(name):  # it may have been started meanwhile
            if gone.exit_code in self._final_codes or self._ends_left == 0:
                raise PartFailedError(
                    f"{name} {said}:\n{gone.log_tail}", hint=f"its log: {self._log(name)}"
                )
            if self._ends_left is not None:
                self._ends_left -= 1
            pause_s = self._next_pause_s(name)
            self._tell(
                f"{name} {said}, is started again in {pause_s:g} s; its log: {self._log(name)}"
            )
            await self._pause(pause_s)
            if self._stack.is_running(name):
                return
            self._started_at_s[name] = self._clock()
            try:
                await self._stack.restart(name)
            except StackError as error:
                said = f"did not start: {error.detail}"

    def _next_pause_s(self, name: str) -> float:
        started_at_s = self._started_at_s.get(name)
        if started_at_s is None or self._clock() - started_at_s >= STEADY_S:
            self._pause_s.pop(name, None)
        last_s = self._pause_s.get(name, PAUSE_FIRST_S / 2)
        self._pause_s[name] = min(2 * last_s, PAUSE_MAX_S)
        return self._pause_s[name]

    def _log(self, name: str) -> str:
        return str(self._stack.log_path(name))
