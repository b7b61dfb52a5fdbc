"""Keeps the parts of a demo alive: kills on purpose, restarts, heals the connector."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

from connectors.debezium.client import ConnectClient, ConnectorFile, RestartBudget, heal
from connectors.toolkit.faults import VendorRejectedError
from psastream.exits import Exit
from sandbox.demo.audience import DemoAudience
from sandbox.demo.options import Disruption
from sandbox.demo.parts import Parts
from sandbox.stack.revival import Revival
from sandbox.stack.settings import Part
from sandbox.stack.supervisor import Stack
from sandbox.story.act import Act
from schemas.errors import TransientError

DOWN_TIME_S: Final = 1.0
HEAL_INTERVAL_S: Final = 2.0
RESTARTS_MAX: Final = 5
ENDS_MAX: Final = 5
"""Of parts that nobody killed, in a story: more are a defect, which no restart mends."""


class Keeper:
    """Carries disruptions out on the stack's event loop; told of progress by the story's thread."""

    def __init__(
        self,
        stack: Stack,
        disruptions: tuple[Disruption, ...],
        audience: DemoAudience,
        connector: ConnectorFile | None,
    ) -> None:
        """`connector` is that of the database, if the landscape has one."""
        self._stack = stack
        self._connector = connector
        self._pending = list(disruptions)
        self._audience = audience
        self._loop = asyncio.get_running_loop()
        self._under_way: list[Future[None]] = []

    def changed(self, act: Act, changes: int) -> None:
        """Begin the disruptions that are due. Called from any thread."""
        due = [
            each for each in self._pending if each.act == act.name and changes >= each.after_changes
        ]
        for disruption in due:
            self._pending.remove(disruption)
            self._under_way.append(
                asyncio.run_coroutine_threadsafe(self._disrupt(disruption.part), self._loop)
            )

    async def finish(self) -> None:
        """Wait until everything that was killed runs again. Raises what went wrong with it."""
        await asyncio.gather(*(asyncio.wrap_future(future) for future in self._under_way))

    async def watch(self, parts: Parts) -> None:
        """Keep the parts alive while the story is told; ends only by an error."""
        await keep_alive(self._stack, parts, self._audience.note, ends_max=ENDS_MAX)

    async def _disrupt(self, part: str) -> None:
        self._audience.note(f"{part} is killed")
        await self._stack.kill(part)
        await asyncio.sleep(DOWN_TIME_S)
        await self._stack.restart(part)
        self._audience.note(f"{part} is back")
        if part == Part.KAFKA and self._connector is not None:
            # Debezium's task of before the outage keeps the replication slot for three minutes
            # or so, in which the new one cannot stream; with its process it lets go at once.
            await self._stack.restart(Part.CONNECT)
            self._audience.note("connect was restarted, so that its old task lets the slot go")


async def keep_alive(
    stack: Stack, parts: Parts, tell: Callable[[str], None], *, ends_max: int | None = None
) -> None:
    """Heal the connector and start parts again that end by themselves, until cancelled.

    Raises PartFailedError after more than `ends_max` ends, and where a configuration is wrong.
    """
    revival = Revival(stack, tell, final_codes={Exit.CONFIG}, ends_max=ends_max)
    await asyncio.gather(revival.run(), _heal(parts))


async def _heal(parts: Parts) -> None:
    if parts.connector is None:
        return
    client = ConnectClient(parts.connect_url)
    budget = RestartBudget(RESTARTS_MAX, 600.0, time.monotonic)
    try:
        while True:
            with suppress(TransientError, VendorRejectedError):  # Connect is down, or starts
                await heal(client, parts.connector.name, budget)
            await asyncio.sleep(HEAL_INTERVAL_S)
    finally:
        await client.close()
