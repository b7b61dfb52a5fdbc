"""An executor on a target in memory that takes a command unless a rule stands against it.

In virtual time: a story of days takes milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import Command, Intent, Settled
from connectors.dispatch.executor import TargetExecutor
from connectors.dispatch.lease import Check
from connectors.dispatch.ledger import Ledger
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import Refusal
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.sink import Applied
from connectors.toolkit.faults import Fault, Reason, VendorRejectedError
from tests.support.sinks import MemoryJournal
from tests.support.virtual_time import now, run_virtually

POLICY = RetryPolicy(settle_s=1, backoff_s=1, backoff_max_s=60, auth_retry_s=60)


class Erp:
    """Takes a command unless a rule stands against it; rules come and go."""

    def __init__(self) -> None:
        self.rules: dict[str, tuple[Callable[[Command], bool], Exception]] = {}
        self.held: dict[str, str] = {}
        self.writes = 0
        self.looks = 0

    def refuse(
        self, name: str, reason: Reason, applies: Callable[[Command], bool] = lambda _: True
    ) -> None:
        refusal = VendorRejectedError(400, [Fault(name, "no")], context={}, reason=reason)
        self.rules[name] = (applies, refusal)

    async def execute(self, command: Command, _known_id: str | None) -> Applied:
        await asyncio.sleep(0.1)
        self.writes += 1
        for applies, refusal in self.rules.values():
            if applies(command):
                raise refusal
        self.held[command.natural_key] = command.payload
        return Applied("1")

    async def look(self, command: Command, _known_id: str | None) -> Applied | None:
        await asyncio.sleep(0.1)
        self.looks += 1
        return Applied("1") if self.held.get(command.natural_key) == command.payload else None

    async def newest(self) -> dict[str, list[str]]:
        return {}

    async def close(self) -> None:
        """Nothing to release."""


class Bench:
    def __init__(
        self,
        group: asyncio.TaskGroup,
        erp: Erp,
        settled: dict[str, Settled],
        refused: list[Refusal],
        *,
        policy: RetryPolicy,
        check: Check,
        intents: dict[str, Intent],
    ) -> None:
        self.erp = erp
        self.journal = MemoryJournal()
        self.registry = CollectorRegistry()
        self.journal.open = {refusal.exception_id: refusal for refusal in refused}
        self.settled = dict(settled)
        self.executor = TargetExecutor(
            "netsuite",
            erp,
            self.journal,
            Ledger(settled, intents),
            policy=policy,
            check=check,
            max_in_flight=5,
            metrics=DispatchMetrics(self.registry),
            spawn=group.create_task,
            now=now,
            refused=refused,
        )

    def submit(self, *commands: Command) -> None:
        for command in commands:
            self.executor.submit(command, lambda: None)

    async def idle(self) -> None:
        while self.executor.waiting:  # noqa: ASYNC110 - the executor knows no event
            await asyncio.sleep(0.1)

    def statuses(self) -> list[str]:
        return [outcome.status.value for _, outcome in self.journal.outcomes]


@asynccontextmanager
async def bench(
    erp: Erp,
    *,
    settled: dict[str, Settled] | None = None,
    refused: list[Refusal] | None = None,
    policy: RetryPolicy = POLICY,
    check: Check = lambda: None,
    intents: dict[str, Intent] | None = None,
) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as group:
        it = Bench(
            group,
            erp,
            settled or {},
            refused or [],
            policy=policy,
            check=check,
            intents=intents or {},
        )
        yield it
        await it.executor.drain(10)


def virtually(test: Callable[[], Awaitable[None]]) -> None:
    run_virtually(test())  # type: ignore[arg-type]  # every coroutine function
