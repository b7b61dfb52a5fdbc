"""When a target as a whole takes no command: credentials refused, allowance gone, asked to wait."""

from __future__ import annotations

import asyncio


class Gate:
    """Holds back all commands of a target that takes none at present."""

    def __init__(self) -> None:
        self._opens_at_s = 0.0  # of the event loop's clock

    @property
    def is_closed(self) -> bool:
        """Whether the target takes nothing now."""
        return asyncio.get_running_loop().time() < self._opens_at_s

    def close_for(self, seconds: float) -> None:
        """Take nothing for so long from now on, at least."""
        opens_at_s = asyncio.get_running_loop().time() + seconds
        self._opens_at_s = max(self._opens_at_s, opens_at_s)

    async def wait(self) -> None:
        """Wait until the target takes commands."""
        while self.is_closed:  # noqa: ASYNC110 - the end may be put off while we wait
            await asyncio.sleep(self._opens_at_s - asyncio.get_running_loop().time())
