"""Carrying out the commands of one target: one task a natural key, a pool of slots over all keys.

The ledger says what to do; this module does it, waits where waiting is due and reports back. A
natural key that must be retried occupies no slot, so the others flow on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import structlog

from connectors.dispatch.commands import Command, Outcome, Problem, Status
from connectors.dispatch.journal import Journal
from connectors.dispatch.ledger import Attempt, Ledger, Look, Step, Supersede
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.sink import Applied, Sink
from connectors.faults import QuotaExhaustedError, UnreadableBodyError, VendorRejectedError
from schemas.errors import AuthenticationError, RecordError, TransientError

_log = structlog.get_logger()

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
Finished = Callable[[], None]


class TargetExecutor:
    """Executes commands of one target until drained.

    `spawn` starts a task whose failure ends the process: what happens after an error nobody
    foresaw is decided by the journal at the next start, not here.
    """

    def __init__(
        self,
        target: str,
        sink: Sink,
        journal: Journal,
        ledger: Ledger,
        *,
        policy: RetryPolicy,
        max_in_flight: int,
        metrics: DispatchMetrics,
        spawn: Spawn,
    ) -> None:
        self._target = target
        self._sink = sink
        self._journal = journal
        self._ledger = ledger
        self._policy = policy
        self._metrics = metrics
        self._spawn = spawn
        self._slots = asyncio.Semaphore(max_in_flight)
        self._gate = _Gate()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._in_flight: set[str] = set()
        self._retrying: set[str] = set()
        self._waiting: dict[str, list[Finished]] = {}
        self._is_draining = False

    @property
    def waiting(self) -> int:
        """How many commands are not settled yet."""
        return len(self._waiting)

    def submit(self, command: Command, finished: Finished) -> None:
        """Take in a command; `finished` is called once nothing more will happen to it.

        A replayed or out-of-date command finishes at once. Upholds I8.
        """
        if self._ledger.deliver(command):
            self._waiting[command.command_id] = [finished]
            if command.natural_key not in self._tasks:
                work = self._work_off(command.natural_key)
                self._tasks[command.natural_key] = self._spawn(work)
        elif self._ledger.is_waiting(command):
            self._waiting[command.command_id].append(finished)
        else:
            self._metrics.commands.labels(self._target, command.kind, "skipped").inc()
            finished()
        self._show()

    async def drain(self, deadline_s: float) -> None:
        """Begin nothing more, and let what is in flight finish until the deadline.

        What does not finish stays open in the journal, of unknown outcome.
        """
        self._is_draining = True
        in_flight = {self._tasks[key] for key in self._in_flight}
        idle = set(self._tasks.values()) - in_flight
        for task in idle:
            task.cancel()
        late: set[asyncio.Task[None]] = set()
        if in_flight:
            _, late = await asyncio.wait(in_flight, timeout=deadline_s)
        for task in late:
            task.cancel()
        if late:
            _log.warning("dispatch.drain_incomplete", target=self._target, calls=len(late))
        if idle or late:
            await asyncio.wait(idle | late)

    async def _work_off(self, natural_key: str) -> None:
        """Settle the commands of a natural key, oldest first, until none is left."""
        is_unknown = self._ledger.is_outcome_unknown(natural_key)
        delay_s = self._policy.settle_s if is_unknown else 0.0
        failures = 0
        while self._ledger.has_work(natural_key) and not self._is_draining:
            await self._pause(natural_key, delay_s)
            await self._gate.wait()
            async with self._slots:
                # Decided only now, so that a revision which came in meanwhile counts.
                step = self._ledger.next(natural_key)
                with self._in_flight_as(natural_key):
                    error = await self._perform(step)
            if step.command.command_id not in self._waiting:
                failures = 0  # settled: the next command starts afresh
            delay_s = 0.0
            if error is not None:
                failures += 1
                delay_s = self._retry_delay_s(step.command, error, failures)
        del self._tasks[natural_key]

    async def _perform(self, step: Step) -> TransientError | AuthenticationError | None:
        """Do one step and tell the ledger; return the error where it must be repeated."""
        command = step.command
        match step:
            case Supersede():
                await self._settle(command, Outcome(Status.SUPERSEDED, step.attempts))
                return None
            case Look():
                return await self._look(step)
            case Attempt():
                return await self._attempt(step)

    async def _look(self, step: Look) -> TransientError | AuthenticationError | None:
        command = step.command
        try:
            found = await self._sink.look(command)
        except (TransientError, AuthenticationError) as error:
            self._ledger.unknown(command.natural_key)
            return error
        except UnreadableBodyError as error:
            self._ledger.unknown(command.natural_key)
            return _transient(error)
        except RecordError as error:
            await self._settle(command, _rejected(step.attempts, error))
            return None
        if found is None:
            self._ledger.not_applied(command.natural_key)
        else:
            await self._settle(command, _applied(Status.ADOPTED, step.attempts, found))
        return None

    async def _attempt(self, step: Attempt) -> TransientError | AuthenticationError | None:
        command = step.command
        await self._journal.intend(command, step.number)
        try:
            applied = await self._sink.execute(command)
        except (TransientError, AuthenticationError) as error:
            if getattr(error, "outcome_unknown", False):
                self._ledger.unknown(command.natural_key)
            else:
                self._ledger.not_applied(command.natural_key)
            return error
        except UnreadableBodyError as error:  # of a look-up before the write
            self._ledger.not_applied(command.natural_key)
            return _transient(error)
        except RecordError as error:
            outcome = _rejected(step.number, error)
            _log.warning("dispatch.rejected", command_id=command.command_id, error=str(error))
        else:
            outcome = _applied(Status.SUCCEEDED, step.number, applied)
        await self._settle(command, outcome)
        return None

    async def _settle(self, command: Command, outcome: Outcome) -> None:
        await self._journal.settle(command, outcome)
        self._ledger.settled(command)
        self._metrics.commands.labels(self._target, command.kind, outcome.status.value).inc()
        if command.issued_at is not None:
            seconds = (datetime.now(UTC) - command.issued_at).total_seconds()
            self._metrics.settle_time.labels(self._target, command.kind).observe(seconds)
        for finished in self._waiting.pop(command.command_id):
            finished()

    def _retry_delay_s(
        self, command: Command, error: TransientError | AuthenticationError, failures: int
    ) -> float:
        delay_s = self._policy.delay_s(error, failures, chance=random.random())  # noqa: S311
        self._metrics.retries.labels(self._target, error.code).inc()
        _log.warning(
            "dispatch.retry",
            command_id=command.command_id,
            natural_key=command.natural_key,
            failures=failures,
            delay_s=round(delay_s, 3),
            error=str(error),
        )
        if isinstance(error, AuthenticationError | QuotaExhaustedError):
            self._gate.close_for(delay_s)
        return delay_s

    async def _pause(self, natural_key: str, delay_s: float) -> None:
        if delay_s <= 0:
            return
        self._retrying.add(natural_key)
        self._show()
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._retrying.discard(natural_key)

    @contextmanager
    def _in_flight_as(self, natural_key: str) -> Iterator[None]:
        self._in_flight.add(natural_key)
        self._show()
        try:
            yield
        finally:
            self._in_flight.discard(natural_key)
            self._show()

    def _show(self) -> None:
        gauge, target = self._metrics.open, self._target
        in_flight, retrying = len(self._in_flight), len(self._retrying)
        gauge.labels(target, "in_flight").set(in_flight)
        gauge.labels(target, "retrying").set(retrying)
        gauge.labels(target, "queued").set(max(0, self.waiting - in_flight - retrying))
        self._metrics.paused.labels(target).set(self._gate.is_closed)


class _Gate:
    """Holds back all commands of a target that takes none at present."""

    def __init__(self) -> None:
        self._opens_at_s = 0.0  # of the event loop's clock

    @property
    def is_closed(self) -> bool:
        return asyncio.get_running_loop().time() < self._opens_at_s

    def close_for(self, seconds: float) -> None:
        opens_at_s = asyncio.get_running_loop().time() + seconds
        self._opens_at_s = max(self._opens_at_s, opens_at_s)

    async def wait(self) -> None:
        while self.is_closed:  # noqa: ASYNC110 - the end may be put off while we wait
            await asyncio.sleep(self._opens_at_s - asyncio.get_running_loop().time())


def _applied(status: Status, attempts: int, applied: Applied) -> Outcome:
    return Outcome(status, attempts, target_id=applied.target_id, warning=applied.warning)


def _rejected(attempts: int, error: RecordError) -> Outcome:
    if isinstance(error, VendorRejectedError):
        detail = "; ".join(fault.detail for fault in error.faults)
        problem = Problem(error.vendor_code or str(error.status), detail, error.field)
    else:
        problem = Problem(error.code, error.detail)
    return Outcome(Status.REJECTED, attempts, problem=problem)


def _transient(error: UnreadableBodyError) -> TransientError:
    return TransientError(error.detail, hint=error.hint, context=error.context)
