"""Watches connectors on Kafka Connect: states as metrics, restarts within a budget.

Connect tells a failed task only to who asks, and restarts none. A task whose replication slot is
lost is never restarted, which would hide the changes that are gone. A connector that was paused or
stopped, or that no worker takes, fails in nothing and sends nothing: that is told too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from connectors.debezium.client import (
    ConnectClient,
    ConnectorFailedError,
    ConnectorStatus,
    RestartBudget,
    heal,
)
from connectors.toolkit.faults import RecordNotFoundError
from schemas.errors import PsaStreamError, ReplicationSlotLostError

_log = structlog.get_logger()

INTERVAL_S: Final = 15.0
RESTARTS: Final = 3
RESTART_WINDOW_S: Final = 3_600.0
LATE_ROUNDS: Final = 8
IDLE_ROUNDS: Final = 4
"""So long a connector may be between two states; longer it is paused, stopped or without a task."""


class WatcherMetrics:
    """All instruments of one watcher."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.reachable = Gauge(
            "psastream_connect_reachable",
            "1 while Kafka Connect answers questions about its connectors.",
            registry=registry,
        )
        self.failed = Gauge(
            "psastream_connector_failed",
            "1 while a connector or a task of it has failed or does not run, or it does not exist.",
            ("connector",),
            registry=registry,
        )
        self.captures = Gauge(
            "psastream_connector_captures",
            "1 for each system whose tables a connector captures, by its include lists.",
            ("connector", "system"),
            registry=registry,
        )
        self.slot_lost = Gauge(
            "psastream_connector_slot_lost",
            "1 while a connector has failed because the database dropped its replication slot.",
            ("connector",),
            registry=registry,
        )
        self.restarts = Counter(
            "psastream_connector_restarts",
            "Restarts of what had failed.",
            ("connector",),
            registry=registry,
        )


class ConnectorWatcher:
    """Asks for the states of some connectors, again and again."""

    def __init__(
        self,
        client: ConnectClient,
        names: Sequence[str],
        metrics: WatcherMetrics,
        *,
        restarts: int = RESTARTS,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`restarts` an hour of each, 0 where it only looks; `clock_s` is a monotonic clock."""
        self._client = client
        self._metrics = metrics
        self._clock_s = clock_s
        self._budgets = {
            name: RestartBudget(restarts, RESTART_WINDOW_S, clock_s=clock_s) for name in names
        }
        self._told: dict[str, str] = {}
        self._idle_rounds: dict[str, int] = {}
        self._asked_at_s = clock_s()
        self._is_reachable = False

    def is_live(self) -> bool:
        """Whether questions still come to an end, answered or not."""
        return self._clock_s() - self._asked_at_s < LATE_ROUNDS * INTERVAL_S

    def is_ready(self) -> bool:
        """Whether Connect answered in the last round."""
        return self._is_reachable

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(INTERVAL_S)

    async def round(self) -> None:
        """Ask once for every connector."""
        answers = []
        for name in self._budgets:
            answers.append(await self._watch(name))
            self._asked_at_s = self._clock_s()
        self._is_reachable = all(answers)
        self._metrics.reachable.set(self._is_reachable)

    async def _watch(self, name: str) -> bool:
        """Show one connector's state and heal it; whether Connect answered."""
        problem, is_slot_lost = "", False
        budget = self._budgets[name]
        restarts = budget.taken
        try:
            status = await heal(self._client, name, budget)
            problem = self._idleness(name, status)
            has_failed = status.has_failed or bool(problem)
        except ReplicationSlotLostError as error:
            problem, has_failed, is_slot_lost = str(error), True, True
        except (ConnectorFailedError, RecordNotFoundError) as error:
            problem, has_failed = str(error), True
        except PsaStreamError as error:
            self._tell(name, str(error))
            return False
        self._metrics.failed.labels(name).set(has_failed)
        self._metrics.slot_lost.labels(name).set(is_slot_lost)
        self._metrics.restarts.labels(name).inc(max(0, budget.taken - restarts))
        self._tell(name, problem)
        return True

    def _idleness(self, name: str, status: ConnectorStatus) -> str:
        """What is wrong with a connector that has not failed but not run for some rounds."""
        idle = 0 if status.is_running or status.has_failed else self._idle_rounds.get(name, 0) + 1
        self._idle_rounds[name] = idle
        if idle <= IDLE_ROUNDS:
            return ""
        return f"it does not run: {status.state}, tasks {', '.join(status.tasks) or 'none'}"

    def _tell(self, name: str, problem: str) -> None:
        """Log a problem once, and once that it has gone."""
        if problem != self._told.get(name, ""):
            if problem:
                _log.error("connector.failed", connector=name, error=problem)
            else:
                _log.info("connector.recovered", connector=name)
        self._told[name] = problem
