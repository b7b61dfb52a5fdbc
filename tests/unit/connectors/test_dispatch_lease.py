"""A process that stood still does nothing more: the lease, before every call and record."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import Command, Settled, Status
from connectors.dispatch.executor import TargetExecutor
from connectors.dispatch.journal import last_results
from connectors.dispatch.lease import Lease, LeasedLimiter, LeaseLostError
from connectors.dispatch.ledger import Ledger
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.sink import Applied
from tests.support.sinks import FakeTarget, MemoryJournal, make_command
from tests.support.virtual_time import now, run_virtually

SESSION_S = 15.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def held_lease(clock: Clock) -> Lease:
    lease = Lease(SESSION_S, clock=clock)
    lease.proven(clock.now_s)
    return lease


@pytest.mark.fault("A6", place="connectors/dispatch/lease.py")
def test_a6_a_lease_ends_by_itself_before_the_session_does() -> None:
    clock = Clock()
    lease = Lease(SESSION_S, clock=clock)
    assert not lease.is_held, "nothing is proven at first"
    lease.proven(clock.now_s)
    clock.now_s += SESSION_S - 1.5
    lease.check()

    clock.now_s += 1.0

    with pytest.raises(LeaseLostError):
        lease.check()


@pytest.mark.fault("A6", place="connectors/dispatch/lease.py")
def test_a6_a_proof_counts_from_when_it_was_asked_for() -> None:
    clock = Clock()
    lease = Lease(SESSION_S, clock=clock)
    asked_at_s = clock.now_s
    clock.now_s += SESSION_S  # the process stood still before it had its answer
    lease.proven(asked_at_s)

    assert not lease.is_held


@pytest.mark.asyncio
@pytest.mark.fault("A6", place="connectors/dispatch/lease.py")
async def test_a6_no_request_passes_the_limiter_without_a_lease_and_no_slot_leaks() -> None:
    clock = Clock()
    lease = held_lease(clock)
    limiter = LeasedLimiter(1, None, check=lease.check)
    async with limiter:
        clock.now_s += SESSION_S
    with pytest.raises(LeaseLostError):
        async with limiter:
            raise AssertionError("passed")
    lease.proven(clock.now_s)
    async with asyncio.timeout(5), limiter:
        pass


class FreezingJournal(MemoryJournal):
    """Stands still for a time after an intent, or before a result."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds

    async def intend(self, *arguments: object) -> None:
        await super().intend(*arguments)  # type: ignore[arg-type]
        self._clock.now_s += self._seconds


@pytest.mark.asyncio
@pytest.mark.fault("A6", place="connectors/dispatch/executor.py")
async def test_a6_a_process_that_stood_still_after_its_intent_neither_calls_nor_records() -> None:
    clock, target = Clock(), FakeTarget()
    lease = held_lease(clock)
    journal = FreezingJournal(clock, SESSION_S)
    metrics = DispatchMetrics(CollectorRegistry())
    slow = RetryPolicy(settle_s=60, backoff_s=60, backoff_max_s=60, auth_retry_s=60)
    lost = metrics.retries.labels("netsuite", LeaseLostError.code)
    async with asyncio.TaskGroup() as group:
        executor = TargetExecutor(
            "netsuite",
            target,
            journal,
            Ledger({}, {}),
            policy=slow,
            max_in_flight=1,
            metrics=metrics,
            spawn=group.create_task,
            check=lease.check,
        )
        executor.submit(make_command(), lambda: None)
        async with asyncio.timeout(5):
            while not lost._value.get():  # noqa: ASYNC110 - a metric knows no event
                await asyncio.sleep(0)
        await executor.drain(1)

    assert journal.intents == [("netsuite:project:a#1", 1)]
    assert target.calls == 0
    assert journal.outcomes == []


@pytest.mark.asyncio
@pytest.mark.fault("A6", place="connectors/dispatch/executor.py")
async def test_a6_the_result_of_a_call_is_not_recorded_without_a_lease_but_looked_up_with_it() -> (
    None
):
    clock, journal = Clock(), MemoryJournal()
    lease = held_lease(clock)

    class FreezingTarget(FakeTarget):
        async def look(self, *arguments: object) -> object:  # type: ignore[override]
            lease.proven(clock.now_s)
            return await super().look(*arguments)  # type: ignore[arg-type]

        async def _execute(self, *arguments: object) -> object:  # type: ignore[override]
            applied = await super()._execute(*arguments)  # type: ignore[arg-type]
            clock.now_s += SESSION_S
            return applied

    target = FreezingTarget()
    quick = RetryPolicy(settle_s=0.001, backoff_s=0.001, backoff_max_s=0.001, auth_retry_s=1)
    async with asyncio.TaskGroup() as group:
        executor = TargetExecutor(
            "netsuite",
            target,
            journal,
            Ledger({}, {}),
            policy=quick,
            max_in_flight=1,
            metrics=DispatchMetrics(CollectorRegistry()),
            spawn=group.create_task,
            check=lease.check,
        )
        done = asyncio.Event()
        executor.submit(make_command(), done.set)
        async with asyncio.timeout(5):
            await done.wait()
        await executor.drain(1)

    assert len(target.effects) == 1
    assert set(journal.statuses().values()) == {"adopted"}


@pytest.mark.fault("A4", place="connectors/dispatch/lease.py")
def test_a4_a_call_that_outlived_its_lease_is_looked_up_only_once_it_has_settled() -> None:
    """The lease comes back before the list shows what was made under the old one."""
    is_held, made = True, list[float]()

    def check() -> None:
        if not is_held:
            raise LeaseLostError("not proven")

    class LaggingTarget(FakeTarget):
        async def _execute(self, command: Command) -> Applied:
            nonlocal is_held
            made.append(asyncio.get_running_loop().time())
            is_held = False
            return await super()._execute(command)

        async def look(self, command: Command, known_id: str | None) -> Applied | None:
            is_shown = asyncio.get_running_loop().time() - made[-1] >= 8.0
            return await super().look(command, known_id) if is_shown else None

    async def story() -> None:
        nonlocal is_held
        target, journal = LaggingTarget(), MemoryJournal()
        async with asyncio.TaskGroup() as group:
            executor = TargetExecutor(
                "netsuite",
                target,
                journal,
                Ledger({}, {}),
                policy=RetryPolicy(settle_s=10, backoff_s=1, backoff_max_s=60, auth_retry_s=60),
                max_in_flight=1,
                metrics=DispatchMetrics(CollectorRegistry()),
                spawn=group.create_task,
                check=check,
                now=now,
            )
            executor.submit(make_command(), lambda: None)
            await asyncio.sleep(0.1)
            is_held = True
            await asyncio.sleep(60)
            await executor.drain(1)
        assert len(target.effects) == 1
        assert set(journal.statuses().values()) == {"adopted"}

    run_virtually(story())


@pytest.mark.fault("A6", place="connectors/dispatch/journal.py")
def test_a6_an_old_result_written_late_does_not_count() -> None:
    def row(revision: int, attempts: int, target_id: str) -> dict[str, object]:
        return {
            "natural_key": "k",
            "revision": revision,
            "attempts": attempts,
            "target_id": target_id,
            "status": "rejected",
        }

    for older, attempts in (row(1, 5, "7"), 1), (row(2, 1, "7"), 2):
        rows = [row(2, attempts, "8"), older]
        for each in (rows, rows[::-1]):
            assert last_results(each) == {"k": Settled(2, attempts, "8", Status.REJECTED)}
