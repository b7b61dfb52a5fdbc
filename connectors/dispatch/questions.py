"""Questions to a target, which change nothing there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from connectors.dispatch.commands import Command
from connectors.dispatch.sink import Applied, Sink
from connectors.dispatch.verdicts import is_refusal, too_late, transient
from schemas.errors import RecordError

T = TypeVar("T")


class Questions:
    """Those of one target, each answered in time or to be asked again."""

    def __init__(self, sink: Sink, longest_s: float) -> None:
        """`longest_s` is how long an answer may take, all its requests together."""
        self._sink = sink
        self._longest_s = longest_s

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Ask for the records of ours that were made last.

        Raises TransientError and AuthenticationError where that is to be repeated, RecordError
        where it is refused.
        """
        return await self._in_time(self._sink.newest())

    async def look(self, command: Command, known_id: str | None) -> Applied | None:
        """Look the content of a command up.

        Raises TransientError and AuthenticationError where that is to be repeated, RecordError
        where it is refused.
        """
        try:
            return await self._in_time(self._sink.look(command, known_id))
        except RecordError as error:
            if is_refusal(error):
                raise
            raise transient(error) from error

    async def _in_time(self, question: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self._longest_s):
                return await question
        except TimeoutError as error:
            raise too_late() from error
