"""How long a command waits after each failure, when a person is told, and what the gauges say."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.dispatch.commands import Command, Intent
from connectors.dispatch.lease import LeaseLostError
from connectors.dispatch.pace import DAY_S, HOUR_S, PACES
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.sink import Applied
from connectors.dispatch.verdicts import LateIntentError
from connectors.toolkit.faults import (
    QuotaExhaustedError,
    Reason,
    UnclearAnswerError,
    UnreadableBodyError,
    VendorRejectedError,
    VendorUnavailableError,
)
from schemas.errors import (
    AuthenticationError,
    RateLimitedError,
    TargetBusyError,
    TransientError,
)
from tests.support.erp_bench import Bench, Erp, bench, virtually
from tests.support.sinks import make_command, no_answer, not_available
from tests.support.virtual_time import START, now

SLOW = RetryPolicy(settle_s=100, backoff_s=8, backoff_max_s=64, auth_retry_s=60)
KEY = "netsuite:project:a"


class Failing(Erp):
    """Fails so many times, then takes commands; knows when it was asked for what."""

    def __init__(self, error: Exception, times: int) -> None:
        super().__init__()
        self.error = error
        self.times = times
        self.takes_s = 0.0
        self.writes_at_s: list[float] = []
        self.looks_at_s: list[float] = []

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        self.writes_at_s.append(now().timestamp())
        if self.times > 0:
            self.times -= 1
            raise self.error
        await asyncio.sleep(self.takes_s)
        return await super().execute(command, known_id)

    async def look(self, command: Command, known_id: str | None) -> Applied | None:
        self.looks_at_s.append(now().timestamp())
        return await super().look(command, known_id)

    def pauses_s(self) -> list[float]:
        times = self.writes_at_s
        return [later - earlier for earlier, later in itertools.pairwise(times)]


class Slowly(Failing):
    """Takes its time to fail."""

    fails_after_s = 20.0

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        if self.times > 0:
            await asyncio.sleep(self.fails_after_s)
        return await super().execute(command, known_id)


ODD = UnclearAnswerError("odd", outcome_unknown=False, context={})


@pytest.mark.parametrize("error", [not_available(), ODD], ids=lambda error: error.code)
@pytest.mark.parametrize("first_s", [0.5, 8.0])
def test_pauses_of_a_command_double_up_to_the_longest(first_s: float, error: Exception) -> None:
    async def story() -> None:
        erp = Failing(error, times=6)
        policy = replace(SLOW, backoff_s=first_s, backoff_max_s=8 * first_s)
        async with bench(erp, policy=policy) as it:
            it.submit(make_command())
            await it.idle()
        bounds = [first_s * factor for factor in (1, 2, 4, 8, 8, 8)]
        assert erp.writes_at_s[0] == START.timestamp(), "nothing is waited for before the first"
        pauses = erp.pauses_s()
        assert len(pauses) == len(bounds)
        for pause_s, bound_s in zip(pauses, bounds, strict=True):
            assert bound_s / 2 <= pause_s <= bound_s + 0.001

    virtually(story)


def test_the_next_command_of_a_natural_key_starts_afresh() -> None:
    async def story() -> None:
        erp = Failing(not_available(), times=5)
        erp.takes_s = 10.0
        async with bench(erp, policy=SLOW) as it:
            it.submit(make_command())
            while len(erp.writes_at_s) < 6:  # noqa: ASYNC110 - the target knows no event
                await asyncio.sleep(1)
            it.submit(make_command(revision=2))  # while the first is carried out
            erp.times = 1
            await it.idle()
        assert it.statuses() == ["succeeded", "succeeded"]
        assert 4 <= erp.pauses_s()[-1] <= 8.001

    virtually(story)


@pytest.mark.fault("A4", place="connectors/dispatch/retry.py")
@pytest.mark.parametrize(
    "error",
    [
        TransientError("no answer", outcome_unknown=True),
        VendorUnavailableError("no answer", outcome_unknown=True, context={}),
        VendorRejectedError(302, [], context={}),
        TimeoutError(),
        ZeroDivisionError(),  # a fault of ours, at whatever point of it
    ],
    ids=lambda error: type(error).__name__,
)
def test_a4_whatever_fails_with_its_outcome_unknown_is_looked_up_once_it_has_settled(
    error: Exception,
) -> None:
    async def story() -> None:
        erp = Failing(error, times=1)
        async with bench(erp, policy=SLOW) as it:
            it.submit(make_command())
            await it.idle()
        [look_s] = erp.looks_at_s
        assert look_s - erp.writes_at_s[0] == pytest.approx(SLOW.settle_s)
        assert erp.writes_at_s[1] - look_s == pytest.approx(0.1), "as long as the look takes"

    virtually(story)


@pytest.mark.parametrize(
    "error", [not_available(), ODD, UnreadableBodyError("half a page")], ids=lambda it: it.code
)
def test_what_is_known_to_be_undone_is_written_again_and_has_nothing_to_settle(
    error: Exception,
) -> None:
    async def story() -> None:
        erp = Failing(error, times=1)
        async with bench(erp, policy=SLOW) as it:
            it.submit(make_command())
            await it.idle()
        assert erp.looks_at_s == []
        assert 4 <= erp.pauses_s()[0] <= 8.001

    virtually(story)


@pytest.mark.fault("A5", place="connectors/dispatch/executor.py")
def test_a5_a_look_up_has_a_deadline_and_what_was_slow_settles_before_the_next() -> None:
    class Slow(Failing):
        async def look(self, command: Command, known_id: str | None) -> Applied | None:
            if not self.looks_at_s:
                self.looks_at_s.append(now().timestamp())
                await asyncio.Event().wait()
            return await super().look(command, known_id)

    async def story() -> None:
        erp = Slow(no_answer(), times=1)
        async with bench(erp, policy=SLOW) as it:
            it.submit(make_command())
            await it.idle()
            failed = it.registry.get_sample_value(
                "psastream_dispatch_retries_total",
                {"target": "netsuite", "reason": "transient.vendor_unavailable"},
            )
        first_s, second_s = erp.looks_at_s
        assert second_s - first_s == pytest.approx(SLOW.attempt_s + SLOW.settle_s)
        assert failed == 2
        assert it.statuses() == ["succeeded"]

    virtually(story)


@pytest.mark.fault("A8", place="connectors/dispatch/executor.py")
def test_a8_what_the_account_seems_to_deny_to_one_command_alone_waits_as_that_commands_own() -> (
    None
):
    class Firewalled(Failing):
        async def execute(self, command: Command, known_id: str | None) -> Applied:
            if command.natural_key == KEY:
                return await super().execute(command, known_id)
            await asyncio.sleep(10)
            return Applied("2")

    async def story() -> None:
        erp = Firewalled(AuthenticationError("no"), times=2)
        async with bench(erp, policy=SLOW) as it:
            it.submit(make_command("netsuite:project:b"), make_command())
            await it.idle()
        first_s, second_s = erp.pauses_s()
        assert first_s == pytest.approx(SLOW.auth_retry_s), "nobody knows yet that others may"
        assert 8 <= second_s <= 16.001
        assert erp.looks_at_s == []

    virtually(story)


@pytest.mark.fault("A6", place="connectors/dispatch/repeated.py")
def test_a6_a_process_without_a_lease_tells_a_person_nothing_and_goes_on_when_it_has_one() -> None:
    is_held = True

    def check() -> None:
        if not is_held:
            raise LeaseLostError("not proven")

    class Losing(Failing):
        async def execute(self, command: Command, known_id: str | None) -> Applied:
            nonlocal is_held
            is_held = len(self.writes_at_s) != 7
            return await super().execute(command, known_id)

    async def story() -> None:
        nonlocal is_held
        erp = Losing(ODD, times=1_000)
        async with bench(erp, policy=replace(SLOW, settle_s=1, backoff_s=1), check=check) as it:
            it.submit(make_command())
            await asyncio.sleep(HOUR_S)
            assert (len(erp.writes_at_s), it.journal.open) == (8, {})
            is_held = True
            await asyncio.sleep(HOUR_S)
            assert list(it.journal.open) == [f"netsuite:{KEY}"]

    virtually(story)


async def told_times(it: Bench, erp: Failing, count: int) -> list[tuple[int, float]]:
    """After how many writes a person was told, and of which pause."""
    found: list[tuple[int, float]] = []
    while len(found) < count:
        await asyncio.sleep(0.5)
        for refusal in it.journal.open.values():
            pause_s = round(refusal.retry_at_s - refusal.attempted_at_s, 3)
            if (refusal.attempts, pause_s) not in found:
                assert refusal.attempts == len(erp.writes_at_s)
                found.append((refusal.attempts, pause_s))
    return found


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
def test_a2_a_person_is_told_of_the_eighth_unclear_answer_in_a_row() -> None:
    identity = f"netsuite:{KEY}"
    pace = PACES[Reason.UNCLEAR]

    async def story() -> None:
        erp = Failing(ODD, times=1_000)
        async with bench(erp, policy=replace(SLOW, backoff_s=1)) as it:
            it.submit(make_command())
            told = await told_times(it, erp, 3)
            [refusal] = it.journal.open.values()
            assert told == [
                (8 + number, round(pace.pause_s(1 + number, identity), 3)) for number in range(3)
            ]
            assert refusal.refusals == 3
            assert refusal.raised_at_s == pytest.approx(erp.writes_at_s[7])
            assert refusal.attempted_at_s == pytest.approx(erp.writes_at_s[-1])
            assert erp.pauses_s()[7:9] == pytest.approx([it for _, it in told[:2]], abs=0.01)

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
def test_a2_a_person_is_told_of_the_thirtieth_failure_that_is_a_records_own_and_it_goes_on() -> (
    None
):
    async def story() -> None:
        erp = Erp()
        down = VendorUnavailableError("erp answered 500", outcome_unknown=False, context={})
        failed = 0

        def is_odd(command: Command) -> bool:
            nonlocal failed
            failed += command.natural_key == KEY
            return command.natural_key == KEY

        erp.rules["odd"] = (is_odd, down)
        async with bench(erp, policy=replace(SLOW, backoff_s=60, backoff_max_s=60)) as it:
            it.submit(make_command())
            number = 0
            while not it.journal.open:
                number += 1
                it.submit(make_command(f"netsuite:project:{number}"))
                await asyncio.sleep(20)
            assert failed == 30
            before, at_s = failed, now().timestamp()
            for _ in range(12):  # no other command is there to be accepted meanwhile
                await asyncio.sleep(HOUR_S)
            assert (now().timestamp() - at_s) / HOUR_S == 12
            assert 12 <= failed - before <= 20, "about once an hour"

    virtually(story)


def test_a_target_that_asks_to_slow_down_is_asked_after_pauses_that_begin_anew() -> None:
    async def story() -> None:
        erp = Failing(RateLimitedError("slow down"), times=4)
        async with bench(erp, policy=SLOW) as it:
            it.submit(make_command())
            await it.idle()
            erp.times = 1
            it.submit(make_command(revision=2))
            await it.idle()
            other = len(erp.writes_at_s)
            it.submit(make_command("netsuite:project:b"))
            await it.idle()
            assert len(erp.writes_at_s) == other + 1
        pauses = erp.pauses_s()
        for pause_s, bound_s in zip(pauses[:4], (8, 16, 32, 64), strict=True):
            assert bound_s / 2 <= pause_s <= bound_s + 0.001
        assert 4 <= pauses[5] <= 8.001

    virtually(story)


def gauge(it: Bench, state: str) -> float | None:
    labels = {"target": "netsuite", "state": state}
    return it.registry.get_sample_value("psastream_commands_open", labels)


@pytest.mark.parametrize(
    "error",
    [not_available(), AuthenticationError("no"), RateLimitedError("slow", retry_after_s=60.0)],
    ids=lambda error: error.code,
)
def test_what_is_under_way_again_is_retried_until_it_is_settled(error: Exception) -> None:
    async def story() -> None:
        erp = Slowly(error, times=5)
        async with bench(erp, policy=SLOW) as it:
            it.submit(make_command())
            states = []
            while erp.times > 0:
                await asyncio.sleep(1.0)
                states.append((gauge(it, "retrying"), gauge(it, "in_flight"), paused(it)))
            await it.idle()
            assert (gauge(it, "retrying"), paused(it)) == (0, 0)
        is_told_to_wait = not isinstance(error, VendorUnavailableError)
        first, second = (0, 1, 0), (1, 0, is_told_to_wait)
        takes = int(erp.fails_after_s)
        assert states[: takes - 1] == [first] * (takes - 1)
        assert set(states[takes:]) == {second}, "between its attempts and in them"

    virtually(story)


def test_what_has_failed_and_waits_in_line_is_queued() -> None:
    async def story() -> None:
        erp = Failing(not_available(), times=1)
        erp.takes_s = 20.0
        async with bench(erp, policy=SLOW) as it:
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(20)))
            await asyncio.sleep(9.0)  # its pause is over, and all slots are taken
            states = {state: gauge(it, state) for state in ("retrying", "in_flight", "queued")}
            assert states == {"retrying": 0, "in_flight": 5, "queued": 15}

    virtually(story)


def paused(it: Bench) -> float | None:
    return it.registry.get_sample_value("psastream_target_paused", {"target": "netsuite"})


def test_the_gauges_say_how_many_wait_work_and_are_tried_again() -> None:
    async def story() -> None:
        erp = Failing(not_available(), times=2)
        erp.takes_s = 1.0
        async with bench(erp, policy=SLOW) as it:
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(10)))
            await asyncio.sleep(0.5)
            states = {state: gauge(it, state) for state in ("retrying", "in_flight", "queued")}
            assert states == {"retrying": 2, "in_flight": 5, "queued": 3}
            await it.idle()
            states = {state: gauge(it, state) for state in ("retrying", "in_flight", "queued")}
            assert states == {"retrying": 0, "in_flight": 0, "queued": 0}
            failed = it.registry.get_sample_value(
                "psastream_dispatch_retries_total",
                {"target": "netsuite", "reason": "transient.vendor_unavailable"},
            )
            assert failed == 2

    virtually(story)


@pytest.mark.parametrize(
    ("ago", "seconds"), [(timedelta(seconds=90), 90.1), (-timedelta(hours=1), 0.0)]
)
def test_the_time_until_a_command_is_settled_counts_from_its_cause(
    ago: timedelta, seconds: float
) -> None:
    """The clock that stamped the cause may be ahead of ours."""

    async def story() -> None:
        async with bench(Erp()) as it:
            it.submit(replace(make_command(), issued_at=START - ago), make_command("netsuite:b"))
            await it.idle()
            labels = {"target": "netsuite", "kind": "upsert_project"}
            found = [
                it.registry.get_sample_value(f"psastream_command_seconds_{name}", labels)
                for name in ("count", "sum")
            ]
        assert found == [1, pytest.approx(seconds)]

    virtually(story)


@pytest.mark.parametrize("age_s", [0.0, 40.0, DAY_S])
def test_an_attempt_of_another_process_is_looked_up_once_it_can_no_longer_land(
    age_s: float,
) -> None:
    """Its stamp may be a minute older than it says."""

    async def story() -> None:
        erp = Failing(not_available(), times=0)
        command = make_command()
        started_at = now() - timedelta(seconds=age_s)
        intents = {KEY: Intent(command.command_id, 1, 1, started_at)}
        async with bench(erp, policy=SLOW, intents=intents) as it:
            it.submit(command)
            await it.idle()
            [look_s] = erp.looks_at_s
            waited_s = look_s - START.timestamp()
            longest_s = SLOW.attempt_s + SLOW.settle_s
            assert waited_s == pytest.approx(
                min(longest_s, max(0.0, longest_s + 60 - age_s)), abs=0.01
            )

    virtually(story)


def test_what_is_held_back_counts_no_attempt() -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("NO_RIGHT", Reason.PERMISSION)
        async with bench(erp) as it:
            for number in range(25):
                it.submit(make_command(f"netsuite:project:{number}"))
                await it.idle()
            attempts = [
                (outcome.attempts, refusal.problem.is_held, refusal.attempts)
                for (_, outcome), refusal in zip(
                    it.journal.outcomes, it.journal.open.values(), strict=True
                )
            ]
        assert attempts == [(1, False, 1)] * 20 + [(0, True, 0)] * 5

    virtually(story)


@pytest.mark.fault("A5", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize(
    ("acknowledged_after_s", "is_sent"), [(0, True), (59, True), (60, False), (200, False)]
)
def test_a5_the_deadline_of_an_attempt_counts_from_its_intent(
    acknowledged_after_s: int, is_sent: bool
) -> None:
    """Who takes over counts from the stamp of the intent, however late the broker took it."""
    lasted_s = list[float]()

    class Silent(Erp):
        async def execute(self, command: Command, known_id: str | None) -> Applied:
            self.writes += 1
            try:
                return await asyncio.sleep(HOUR_S, await super().execute(command, known_id))
            finally:
                lasted_s.append((now() - START).total_seconds())

    async def story() -> None:
        erp, policy = Silent(), replace(SLOW, attempt_s=60.0)
        async with bench(erp, policy=policy) as it:
            intents = list[int]()

            async def intend(_command: Command, attempt: int) -> None:
                intents.append(attempt)
                await asyncio.sleep(acknowledged_after_s if attempt == 1 else HOUR_S)

            it.journal.intend = intend  # type: ignore[method-assign]
            it.submit(make_command())
            await asyncio.sleep(max(60, acknowledged_after_s) + SLOW.backoff_s + 1)
            assert (erp.writes > 0) is is_sent
            assert lasted_s == ([60.0] if is_sent else [])
            assert intents == ([1] if is_sent else [1, 2]), "that nothing was sent is known"
            assert erp.looks == 0

    virtually(story)


def test_a_target_that_nothing_was_sent_to_yet_is_told_to_be_open() -> None:
    async def story() -> None:
        async with bench(Erp()) as it:
            labels = {"target": "netsuite"}
            assert it.registry.get_sample_value("psastream_target_paused", labels) == 0

    virtually(story)


@pytest.mark.fault("D1", place="connectors/dispatch/verdicts.py")
def test_d1_a_broker_that_is_slow_says_nothing_about_the_target() -> None:
    async def story() -> None:
        erp = Erp()
        async with bench(erp, policy=replace(SLOW, attempt_s=60.0)) as it:

            async def intend(_command: Command, attempt: int) -> None:
                await asyncio.sleep(61 if attempt == 1 else 0)

            it.journal.intend = intend  # type: ignore[method-assign]
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(5)))
            await asyncio.sleep(61.5)
            labels = {"target": "netsuite"}
            assert it.registry.get_sample_value("psastream_target_paused", labels) == 0
            await asyncio.sleep(SLOW.backoff_s + 1)
            assert len(erp.held) == 5

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
@pytest.mark.parametrize(
    ("error", "hours"),
    [
        (RateLimitedError("slow down"), 4),
        (RateLimitedError("slow down", retry_after_s=300.0), 12),
        (QuotaExhaustedError("none left", retry_after_s=900.0), 24),
        (TargetBusyError("rows shift"), 4),
    ],
    ids=["slow down", "slow down for 5 min", "quota", "busy"],
)
def test_a2_a_person_is_told_of_whatever_one_command_meets_alone(
    error: TransientError, hours: int
) -> None:
    """An answer to wait that one command alone meets is about it, whatever it says."""

    async def story() -> None:
        erp = Erp()
        erp.rules["odd"] = (lambda command: command.natural_key == KEY, error)
        async with bench(erp, policy=SLOW) as it:
            it.submit(make_command())
            for number in range(hours):
                it.submit(make_command(f"netsuite:project:{number}"))
                await asyncio.sleep(HOUR_S)
            [told] = it.journal.open.values()
            assert (told.command.natural_key, told.problem.code) == (KEY, error.code)
            assert told.attempts >= 30
            before = erp.writes
            for number in range(60):
                await asyncio.sleep(20 * 60)
                it.submit(make_command(f"netsuite:later:{number}"))
                await asyncio.sleep(1)
                assert f"netsuite:later:{number}" in erp.held, "it holds nobody up any more"
            assert erp.writes - before <= 60 + 20 * 1.34 + 1, "about once an hour"
            erp.rules.clear()
            await asyncio.sleep(HOUR_S + 1)
            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
@pytest.mark.parametrize(
    "error",
    [RateLimitedError("slow down"), TargetBusyError("rows shift"), LeaseLostError("whose?")],
    ids=lambda it: it.code,
)
def test_a2_what_all_meet_is_told_of_none(error: TransientError) -> None:
    async def story() -> None:
        erp = Erp()
        erp.rules["all"] = (lambda _: True, error)
        async with bench(erp, policy=SLOW) as it:
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(4)))
            await asyncio.sleep(2 * HOUR_S)
            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
@pytest.mark.parametrize("lost", [LeaseLostError("whose?"), LateIntentError()])
def test_a2_what_says_nothing_of_the_target_is_told_of_no_command(lost: TransientError) -> None:
    async def story() -> None:
        erp = Erp()
        erp.rules["lost"] = (lambda command: command.natural_key == KEY, lost)
        async with bench(erp, policy=SLOW) as it:
            it.submit(make_command())
            for number in range(200):
                it.submit(make_command(f"netsuite:project:{number}"))
                await asyncio.sleep(200)
            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("D1", place="connectors/dispatch/executor.py")
def test_d1_what_was_told_closes_the_gate_where_nobody_else_is_answered() -> None:
    """An account that is blocked is not asked by each of those that a person was told of."""

    async def story() -> None:
        erp = Erp()
        erp.rules["odd"] = (lambda _: True, replace_code(ODD, "SCRIPT"))
        async with bench(erp, policy=SLOW) as it:
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(19)))
            await asyncio.sleep(HOUR_S)
            assert len(it.journal.open) == 19
            erp.rules = {"denied": (lambda _: True, AuthenticationError("no"))}
            await asyncio.sleep(7 * HOUR_S)  # each has met it
            before = erp.writes
            await asyncio.sleep(HOUR_S)
            assert 0 < erp.writes - before <= 60 * 5
            erp.rules.clear()
            await asyncio.sleep(2 * SLOW.auth_retry_s + 1)
            assert len(erp.held) == 19, "what all meet makes no pause of theirs longer"

    virtually(story)


def replace_code(error: UnclearAnswerError, code: str) -> UnclearAnswerError:
    context = {**error.context, "vendor_code": code}
    return UnclearAnswerError(
        error.detail, outcome_unknown=False, context=context, is_in_words=True
    )
