"""Carrying out commands against a target that fails in every way a target can."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from connectors.dispatch.commands import Command, Intent, Settled
from connectors.dispatch.executor import TargetExecutor
from connectors.dispatch.ledger import Ledger
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.sink import Applied
from connectors.toolkit.faults import Fault as VendorFault
from connectors.toolkit.faults import (
    QuotaExhaustedError,
    UnclearAnswerError,
    UnreadableBodyError,
    VendorRejectedError,
)
from schemas.errors import AuthenticationError, BrokerUnavailableError, RateLimitedError
from tests.support.sinks import (
    FakeTarget,
    Fault,
    MemoryJournal,
    make_command,
    not_available,
)

pytestmark = pytest.mark.asyncio

AT_ONCE = RetryPolicy(settle_s=0.001, backoff_s=0.001, backoff_max_s=0.002, auth_retry_s=0.001)
DEADLINE_S = 10.0
LONG_AGO = datetime(2026, 3, 2, tzinfo=UTC)


class Bench:
    """An executor with what it works on."""

    def __init__(self, group: asyncio.TaskGroup, ledger: Ledger, policy: RetryPolicy) -> None:
        self.target = FakeTarget()
        self.journal = MemoryJournal()
        self.registry = CollectorRegistry()
        self.finished: list[str] = []
        self.executor = TargetExecutor(
            "netsuite",
            self.target,
            self.journal,
            ledger,
            policy=policy,
            max_in_flight=2,
            metrics=DispatchMetrics(self.registry),
            spawn=group.create_task,
        )

    def submit(self, *commands: Command) -> None:
        for command in commands:
            self.executor.submit(
                command, lambda done=command.command_id: self.finished.append(done)
            )

    async def settled(self) -> None:
        await reached(lambda: self.executor.waiting == 0)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, {"target": "netsuite", **labels}) or 0.0


async def reached(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - conditions span objects that know no events
            await asyncio.sleep(0.001)


@asynccontextmanager
async def bench(
    settled: dict[str, Settled] | None = None,
    intents: dict[str, Intent] | None = None,
    policy: RetryPolicy = AT_ONCE,
) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as group:
        it = Bench(group, Ledger(settled or {}, intents or {}), policy)
        yield it
        await it.executor.drain(DEADLINE_S)


async def test_intent_is_recorded_before_the_call_and_the_result_after() -> None:
    async with bench() as it:
        command = make_command()
        it.submit(command)
        await it.settled()

    assert it.journal.intents == [(command.command_id, 1)]
    assert it.journal.statuses() == {command.command_id: "succeeded"}
    assert it.finished == [command.command_id]


async def test_i8_a_call_carried_out_without_an_answer_is_adopted_not_repeated() -> None:
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, Fault.COMMIT_THEN_TIMEOUT)
        it.submit(command)
        await it.settled()

    assert it.target.effects == [(command.natural_key, 1)]
    assert it.journal.statuses() == {command.command_id: "adopted"}


async def test_whoever_logs_while_a_command_is_carried_out_names_it() -> None:
    class Telling(FakeTarget):
        async def execute(self, command: Command, known_id: str | None) -> Applied:
            told.append(get_contextvars())  # what every line has, whoever writes it
            return await super().execute(command, known_id)

    told: list[dict[str, object]] = []
    command = make_command(correlation_id="cor-1")
    async with bench() as it:
        it.executor._sink = Telling()
        it.submit(command)
        await it.settled()

    assert told == [command.named]
    assert told[0]["correlation_id"] == "cor-1"
    assert get_contextvars() == {}


async def test_a_lost_call_is_looked_up_and_then_repeated() -> None:
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, Fault.LOST, Fault.LOST)
        it.submit(command)
        await it.settled()

    assert it.target.effects == [(command.natural_key, 1)]
    assert it.target.looks == [command.command_id] * 2
    assert it.journal.intents == [(command.command_id, number) for number in (1, 2, 3)]


async def test_look_ups_are_repeated_until_they_answer() -> None:
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, Fault.COMMIT_THEN_TIMEOUT)
        it.target.look_errors.extend(
            [not_available(), UnreadableBodyError("half a page"), AuthenticationError("no")]
        )
        it.submit(command)
        await it.settled()

    assert it.target.effects == [(command.natural_key, 1)]
    assert it.journal.statuses() == {command.command_id: "adopted"}


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("slow down", retry_after_s=0.001),
        not_available(),
        UnreadableBodyError("half a page"),
        AuthenticationError("no"),
    ],
    ids=lambda error: error.code,
)
async def test_known_failures_are_retried_without_a_look_up(error: Exception) -> None:
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, error, error)
        it.submit(command)
        await it.settled()

    assert it.target.effects == [(command.natural_key, 1)]
    assert it.target.looks == []
    assert it.metric("psastream_commands_open", state="retrying") == 0


async def test_a_rejection_settles_the_command_with_the_vendors_reason() -> None:
    reason = VendorFault("USER_ERROR", "Please enter value(s) for: Tax Code", "tax")
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, VendorRejectedError(400, [reason], context={}))
        it.submit(command)
        await it.settled()

    [(_, outcome)] = it.journal.outcomes
    assert outcome.status.value == "rejected"
    assert outcome.problem is not None
    assert (outcome.problem.code, outcome.problem.field) == ("USER_ERROR", "tax")


async def test_a_command_that_retries_holds_up_no_other_key() -> None:
    patient = RetryPolicy(settle_s=0.001, backoff_s=60, backoff_max_s=60, auth_retry_s=60)
    async with bench(policy=patient) as it:
        stuck = [make_command(f"netsuite:project:stuck-{number}") for number in range(5)]
        code = {"vendor_code": "RCRD_HAS_BEEN_CHANGED"}
        busy = UnclearAnswerError(
            "netsuite answered 409", outcome_unknown=False, context=code, is_in_words=True
        )
        for command in stuck:
            it.target.will(command.natural_key, busy)
        other = make_command("netsuite:project:other")
        it.submit(*stuck, other)
        await reached(lambda: it.finished == [other.command_id])
        await reached(lambda: it.metric("psastream_commands_open", state="retrying") == 5)

    assert it.target.effects == [(other.natural_key, 1)]


async def test_waiting_revisions_are_superseded_by_the_newest() -> None:
    async with bench() as it:
        first, second, third = (make_command(revision=number) for number in (1, 2, 3))
        answer = asyncio.Event()
        it.target.will(first.natural_key, answer)
        it.submit(first)
        await reached(lambda: it.target.in_flight == 1)
        it.submit(second, third)
        answer.set()
        await it.settled()

    assert it.target.effects == [(first.natural_key, 1), (first.natural_key, 3)]
    assert list(it.journal.statuses().values()) == ["succeeded", "superseded", "succeeded"]
    assert len(it.finished) == 3


async def test_a_newer_revision_takes_the_place_of_one_that_was_never_carried_out() -> None:
    async with bench() as it:
        old, new = make_command(revision=1), make_command(revision=2)
        it.target.will(old.natural_key, *[not_available()] * 3)
        it.submit(old)
        await reached(lambda: it.target.calls >= 1)
        it.submit(new)
        await it.settled()

    assert it.target.effects == [(new.natural_key, 2)]
    assert it.journal.statuses() == {old.command_id: "superseded", new.command_id: "succeeded"}


async def test_i8_replayed_and_outdated_commands_have_no_effect() -> None:
    command = make_command(revision=3)
    async with bench(settled={command.natural_key: Settled(3)}) as it:
        it.submit(make_command(revision=1), command)

    assert it.target.calls == 0
    assert it.finished == ["netsuite:project:a#1", command.command_id]
    assert it.journal.outcomes == []
    skipped = it.metric("psastream_commands_total", kind="upsert_project", status="skipped")
    assert skipped == 2


async def test_a_second_delivery_of_a_waiting_command_finishes_with_it() -> None:
    async with bench() as it:
        command = make_command()
        answer = asyncio.Event()
        it.target.will(command.natural_key, answer)
        it.submit(command, command)
        await reached(lambda: it.target.in_flight == 1)
        assert it.finished == []
        answer.set()
        await it.settled()

    assert it.finished == [command.command_id] * 2
    assert it.target.effects == [(command.natural_key, 1)]


async def test_i8_an_open_intent_of_an_earlier_process_is_looked_up_first() -> None:
    command = make_command()
    intents = {command.natural_key: Intent(command.command_id, 1, 4, LONG_AGO)}
    async with bench(intents=intents) as it:
        it.target.held[command.natural_key] = command.payload
        it.submit(command)
        await it.settled()

    assert it.target.calls == 0
    [(_, outcome)] = it.journal.outcomes
    assert (outcome.status.value, outcome.attempts) == ("adopted", 4)


async def test_no_more_calls_at_once_than_configured() -> None:
    async with bench() as it:
        commands = [make_command(f"netsuite:project:{number}") for number in range(20)]
        answer = asyncio.Event()
        for command in commands:
            it.target.will(command.natural_key, answer)
        it.submit(*commands)
        await reached(lambda: it.target.in_flight == 2)
        answer.set()
        await it.settled()

    assert len(it.target.effects) == 20
    assert it.target.most_in_flight == 2


async def test_refused_credentials_stop_the_whole_target_for_a_while() -> None:
    patient = RetryPolicy(settle_s=0.001, backoff_s=0.001, backoff_max_s=0.001, auth_retry_s=60)
    async with bench(policy=patient) as it:
        first = make_command("netsuite:project:first")
        it.target.will(first.natural_key, AuthenticationError("no"))
        it.submit(first)
        await reached(lambda: it.metric("psastream_commands_open", state="retrying") == 1)
        it.submit(make_command("netsuite:project:second"))

        assert it.metric("psastream_target_paused") == 1

    assert it.target.calls == 1


@pytest.mark.fault("D1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("no"),
        QuotaExhaustedError("none left", retry_after_s=900.0),
        RateLimitedError("slow down", retry_after_s=60.0),
    ],
    ids=lambda error: error.code,
)
async def test_d1_what_an_account_is_told_holds_for_the_commands_in_its_queue(
    error: AuthenticationError | RateLimitedError,
) -> None:
    patient = RetryPolicy(settle_s=0.001, backoff_s=0.001, backoff_max_s=0.001, auth_retry_s=60)
    async with bench(policy=patient) as it:
        commands = [make_command(f"netsuite:project:{number}") for number in range(50)]
        answer = asyncio.Event()
        for command in commands:
            it.target.will(command.natural_key, error)
        it.target.script[commands[0].natural_key].appendleft(answer)  # all others wait in line
        it.target.script[commands[1].natural_key].appendleft(answer)
        it.submit(*commands)
        await reached(lambda: it.target.in_flight == 2)
        answer.set()
        await reached(lambda: it.metric("psastream_target_paused") == 1)
        await asyncio.sleep(0)

        assert it.target.calls <= 4, "two that were carried out, and two that were told"


async def test_draining_finishes_the_call_in_flight_and_begins_no_other() -> None:
    async with bench() as it:
        first, second = make_command(revision=1), make_command(revision=2)
        answer = asyncio.Event()
        it.target.will(first.natural_key, answer)
        it.submit(first)
        await reached(lambda: it.target.in_flight == 1)
        it.submit(second)
        draining = asyncio.ensure_future(it.executor.drain(DEADLINE_S))
        answer.set()
        await draining

    assert it.journal.statuses() == {first.command_id: "succeeded"}
    assert it.target.effects == [(first.natural_key, 1)]


async def test_a_call_that_outlasts_the_drain_stays_open_in_the_journal() -> None:
    """And nothing of it runs on: whoever takes over has to find the target at rest."""
    before = asyncio.all_tasks()
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, asyncio.Event())
        it.submit(command)
        await reached(lambda: it.target.in_flight == 1)
        await it.executor.drain(0.001)
        assert asyncio.all_tasks() == before

    assert it.journal.intents == [(command.command_id, 1)]
    assert it.journal.outcomes == []
    assert it.finished == []


@pytest.mark.fault("B2", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), KeyError("project_id"), RecursionError(), AssertionError()]
)
async def test_b2_an_error_nobody_foresaw_concerns_its_command_alone(error: Exception) -> None:
    with capture_logs() as logs:
        async with bench() as it:
            command, other = make_command("netsuite:project:a"), make_command("netsuite:project:b")
            it.target.will(command.natural_key, error, error)
            it.submit(command, other)
            await it.settled()

    told = [log["command_id"] for log in logs if log["event"] == "dispatch.unforeseen"]
    assert told == [command.command_id] * 2
    assert it.journal.statuses() == {command.command_id: "succeeded", other.command_id: "succeeded"}
    assert it.target.looks == [command.command_id] * 2, "its outcome is unknown"
    assert it.metric("psastream_dispatch_retries_total", reason="transient.unforeseen") == 2


async def test_without_its_journal_the_dispatcher_ends_without_acknowledging() -> None:
    benches: list[Bench] = []

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(DEADLINE_S), bench() as it:
            benches.append(it)
            it.journal.failure = BrokerUnavailableError("no acknowledgement")
            it.submit(make_command())
            await asyncio.Event().wait()

    assert caught.group_contains(BrokerUnavailableError)
    assert benches[0].finished == []


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("status", [202, 204, 301, 302, 307, 399, 500])
async def test_a2_an_answer_that_is_no_refusal_is_looked_up_and_repeated(status: int) -> None:
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, VendorRejectedError(status, [], context={}))
        it.submit(command)
        await it.settled()

    assert it.target.looks == [command.command_id]
    assert it.journal.statuses() == {command.command_id: "succeeded"}


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
async def test_a2_a_passing_conflict_is_written_again() -> None:
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, not_available())  # RCRD_HAS_BEEN_CHANGED: a busy record
        it.submit(command)
        await it.settled()

    assert it.target.calls == 2
    assert it.journal.statuses() == {command.command_id: "succeeded"}


@pytest.mark.fault("A8", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 499])
async def test_a8_a_refused_record_holds_up_no_other(status: int) -> None:
    patient = RetryPolicy(settle_s=0.001, backoff_s=60, backoff_max_s=60, auth_retry_s=60)
    async with bench(policy=patient) as it:
        commands = [make_command(f"netsuite:project:{number}") for number in range(5)]
        refusal = VendorRejectedError(status, [VendorFault("NO_RIGHT", "no")], context={})
        it.target.will(commands[0].natural_key, refusal)
        it.submit(*commands)
        await it.settled()

    assert sorted(it.journal.statuses().values()) == ["rejected"] + ["succeeded"] * 4
    assert it.metric("psastream_target_paused") == 0


@pytest.mark.fault("A4", place="connectors/dispatch/ledger.py")
async def test_a4_the_id_of_a_result_is_used_for_the_next_revision_and_kept_by_a_refusal() -> None:
    async with bench() as it:
        refusal = VendorRejectedError(400, [VendorFault("X", "no")], context={})
        for revision in (1, 2, 3):
            if revision == 2:
                it.target.will("netsuite:project:a", refusal)
            it.submit(make_command(revision=revision))
            await it.settled()

    assert it.target.known_ids == [None, "1", "1"]
    assert [outcome.target_id for _, outcome in it.journal.outcomes] == ["1", "1", "1"]


@pytest.mark.fault("A5", place="connectors/dispatch/retry.py")
@pytest.mark.parametrize(
    ("age_s", "wait_s"),
    [
        (None, 70.0),
        (0.2, 70.0),
        (-3600.0, 70.0),  # a stamp of the future
        (59.0, 70.0),  # or up to a minute older than it says
        (100.0, 30.0),
        (131.0, 0.0),
    ],
)
async def test_a5_an_heir_waits_until_the_attempt_can_no_longer_land(
    age_s: float | None, wait_s: float
) -> None:
    policy = RetryPolicy(settle_s=10, backoff_s=1, backoff_max_s=1, auth_retry_s=1, attempt_s=60)

    assert policy.heir_wait_s(age_s) == wait_s


@pytest.mark.fault("A5", place="connectors/dispatch/executor.py")
async def test_a5_what_lands_late_is_adopted_by_the_heir() -> None:
    command = make_command()
    policy = RetryPolicy(
        settle_s=0.05, backoff_s=0.001, backoff_max_s=0.001, auth_retry_s=1, attempt_s=0.2
    )
    intents = {command.natural_key: Intent(command.command_id, 1, 1, datetime.now(UTC))}
    async with bench(intents=intents, policy=policy) as it:
        # The call of the dead process lands after settle, before its deadline and settle are over.
        asyncio.get_running_loop().call_later(
            0.1, it.target.held.__setitem__, command.natural_key, command.payload
        )
        it.submit(command)
        await it.settled()

    assert it.target.effects == []
    assert it.journal.statuses() == {command.command_id: "adopted"}


@pytest.mark.fault("A5", place="connectors/dispatch/executor.py")
async def test_a5_an_attempt_as_a_whole_has_a_deadline() -> None:
    policy = RetryPolicy(
        settle_s=0.001, backoff_s=0.001, backoff_max_s=0.001, auth_retry_s=1, attempt_s=0.02
    )
    async with bench(policy=policy) as it:
        command = make_command()
        it.target.will(command.natural_key, asyncio.Event())
        it.submit(command)
        await it.settled()

    reason = "transient.vendor_unavailable"
    assert it.metric("psastream_dispatch_retries_total", reason=reason) == 1
    assert it.target.looks == [command.command_id]
    assert it.journal.statuses() == {command.command_id: "succeeded"}


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("status", [400, 403, 499])
async def test_a2_a_look_up_that_is_refused_is_told_to_a_person_and_not_repeated(
    status: int,
) -> None:
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, Fault.COMMIT_THEN_TIMEOUT)
        refusal = VendorRejectedError(status, [VendorFault("NO_RIGHT", "no")], context={})
        it.target.look_errors.append(refusal)
        it.submit(command)
        await it.settled()

    [(_, outcome)] = it.journal.outcomes
    assert (outcome.status.value, outcome.attempts) == ("rejected", 1)
    assert outcome.problem is not None
    assert outcome.problem.code == "NO_RIGHT"
    assert list(it.journal.open) == [f"netsuite:{command.natural_key}"]
    assert it.target.looks == [command.command_id]


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("status", [204, 302, 399, 500])
async def test_a2_an_answer_to_a_look_up_that_is_no_refusal_makes_it_be_repeated(
    status: int,
) -> None:
    async with bench() as it:
        command = make_command()
        it.target.will(command.natural_key, Fault.COMMIT_THEN_TIMEOUT)
        it.target.look_errors.append(VendorRejectedError(status, [], context={}))
        it.submit(command)
        await it.settled()

    assert it.journal.statuses() == {command.command_id: "adopted"}
    assert it.target.looks == [command.command_id] * 2
    reason = "transient.vendor_unavailable"
    assert it.metric("psastream_dispatch_retries_total", reason=reason) == 2
