"""Keeps the parts of a demo alive: kills on purpose, restarts, heals the connector."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

from connectors.debezium.client import ConnectClient, ConnectorFile, RestartBudget, heal
from connectors.toolkit.faults import VendorRejectedError
from sandbox.demo.audience import DemoAudience
from sandbox.demo.options import Disruption
from sandbox.demo.parts import Parts
from sandbox.stack.errors import PartFailedError
from sandbox.stack.settings import Part
from sandbox.stack.supervisor import Stack
from sandbox.story.act import Act
from schemas.errors import TransientError

DOWN_TIME_S: Final = 1.0
HEAL_INTERVAL_S: Final = 2.0
RESTARTS_MAX: Final = 5


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
        self._is_disrupted = bool(disruptions)
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
        """Heal the connector and notice parts that end by themselves; ends only by an error.

        In a story without disruptions no part may end. In one with them, a part that gives up
        because another was killed is started again, as whatever runs it in production would.
        """
        await asyncio.gather(self._revive(), self._heal(parts))

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

    async def _revive(self) -> None:
        restarts = 0
        while True:
            gone = await self._stack.next_exit()
            restarts += 1
            if not self._is_disrupted or restarts > RESTARTS_MAX:
                raise PartFailedError(
                    f"{gone.name} ended by itself with code {gone.exit_code}:\n{gone.log_tail}",
                    hint=f"its log: {self._stack.log_path(gone.name)}",
                )
            self._audience.note(f"{gone.name} gave up with code {gone.exit_code}; started again")
            await asyncio.sleep(DOWN_TIME_S)
            await self._stack.restart(gone.name)

    async def _heal(self, parts: Parts) -> None:
        if self._connector is None:
            return
        client = ConnectClient(parts.connect_url)
        budget = RestartBudget(RESTARTS_MAX, 600.0, time.monotonic)
        try:
            while True:
                with suppress(TransientError, VendorRejectedError):  # Connect is down, or starts
                    await heal(client, self._connector.name, budget)
                await asyncio.sleep(HEAL_INTERVAL_S)
        finally:
            await client.close()
