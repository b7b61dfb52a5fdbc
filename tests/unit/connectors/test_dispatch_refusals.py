"""Refused commands are tried again: after pauses, on a change, on request; and never in a storm."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.dispatch.answers import Answer, read_answer
from connectors.dispatch.commands import Command, Intent, Outcome, Problem, Settled
from connectors.dispatch.exceptions import open_record
from connectors.dispatch.lease import LeaseLostError
from connectors.dispatch.pace import DAY_S, HOUR_S, PACES
from connectors.dispatch.references import names_of
from connectors.dispatch.refusals import (
    HOLD_AFTER,
    PATIENCE_S,
    WINDOW_MAX,
    Refusal,
    Refusals,
    RetryRequest,
)
from connectors.dispatch.repeated import UNAVAILABLE_AFTER
from connectors.dispatch.sink import Applied
from connectors.dispatch.verdicts import unclear
from connectors.toolkit.faults import (
    Fault,
    Reason,
    UnclearAnswerError,
    VendorRejectedError,
    VendorUnavailableError,
)
from schemas.codec.record import RecordCodec
from schemas.contracts import value_schema
from schemas.errors import AuthenticationError, InvalidEntityError, RateLimitedError
from tests.support.catalogue import BY_NAME
from tests.support.erp_bench import POLICY, Erp, bench, virtually
from tests.support.examples import examples
from tests.support.sinks import make_command, not_available
from tests.support.steps import calls_of
from tests.support.virtual_time import now


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("reason", Reason)
def test_a1_a_cure_that_is_no_field_of_the_command_is_found_by_trying(reason: Reason) -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("CURRENCY", reason)
        async with bench(erp) as it:
            it.submit(make_command())
            await it.idle()
            assert list(it.journal.open) == ["netsuite:netsuite:project:a"]
            erp.rules.clear()
            await asyncio.sleep(PACES[reason].longest_s)

            assert it.statuses() == ["rejected", "succeeded"]
            assert it.journal.open == {}
            assert erp.writes == 2

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
def test_a1_what_a_person_mended_by_hand_is_adopted_without_a_write() -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("PERIOD", Reason.CLOSED)
        async with bench(erp) as it:
            it.submit(make_command())
            await it.idle()
            erp.held["netsuite:project:a"] = make_command().payload
            await asyncio.sleep(HOUR_S)

            assert it.statuses() == ["rejected", "adopted"]
            assert it.journal.open == {}
            assert erp.writes == 1

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/pace.py")
@pytest.mark.parametrize("reason", Reason)
def test_a1_a_cause_that_lasts_costs_a_few_calls(reason: Reason) -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("X", reason)
        async with bench(erp) as it:
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(20)))
            await it.idle()
            first = erp.writes
            await asyncio.sleep(DAY_S)

            pace = PACES[reason]
            rounds = DAY_S / (0.75 * pace.longest_s) + 16
            assert erp.writes - first <= rounds * pace.probes
            assert len(it.journal.open) == 20

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
def test_a1_a_right_lost_and_given_back_is_no_storm() -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("PERMISSION_VIOLATION", Reason.PERMISSION)
        async with bench(erp) as it:
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(500)))
            await it.idle()
            await asyncio.sleep(DAY_S)
            assert erp.writes <= HOLD_AFTER + 5 + 40
            assert len(it.journal.open) == 500

            erp.rules.clear()
            await asyncio.sleep(2 * HOUR_S)
            assert it.journal.open == {}
            assert len(erp.held) == 500

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
def test_a1_a_right_lost_for_ten_thousand_commands_costs_some_calls_a_day() -> None:
    problem = Problem("PERMISSION_VIOLATION", "no", reason=Reason.PERMISSION)
    refusals, calls = Refusals(), 0
    for number in range(10_000):
        held = refusals.holding("upsert_project")
        calls += held is None
        known = problem if held is None else replace(held, is_held=True)
        refusals.refused(str(number), make_command(f"netsuite:project:{number}"), known, 1, 0.0)
    assert calls == HOLD_AFTER

    at_s = 0.0
    while (at_s := refusals.next_at_s(at_s) or 0.0) < DAY_S:
        for tried in refusals.due(at_s):
            calls += 1
            refusals.refused(tried.exception_id, tried.command, problem, 1, at_s)
    assert calls <= HOLD_AFTER + 40

    rounds = 0
    while len(refusals):
        at_s = refusals.next_at_s(at_s) or 0.0
        rounds += 1
        for tried in refusals.due(at_s):
            refusals.met(tried.exception_id, at_s)
    assert at_s <= DAY_S + HOUR_S, "all follow the first that is taken"
    assert rounds <= 10_000 / WINDOW_MAX + 10


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("by", ["exception", "target", "reason"])
def test_a1_a_person_may_ask_for_it_at_once(by: str) -> None:
    request = {
        "exception": RetryRequest("netsuite:netsuite:project:3"),
        "target": RetryRequest(target="netsuite"),
        "reason": RetryRequest(reason=Reason.PERMISSION),
    }[by]

    async def story() -> None:
        erp = Erp()
        erp.refuse("PERMISSION_VIOLATION", Reason.PERMISSION)
        async with bench(erp) as it:
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(100)))
            await it.idle()
            await asyncio.sleep(DAY_S)
            before = erp.writes
            it.executor.retry(request)
            await asyncio.sleep(5)
            assert erp.writes == before + 1, "one is tried, the others wait for what comes of it"
            erp.rules.clear()
            it.executor.retry(request)
            await asyncio.sleep(60)

            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/references.py")
def test_a1_a_record_that_a_refused_command_names_is_captured_again() -> None:
    """Whether changed or not: the cure may be in a field that nobody captures."""
    command = make_command(payload='{"customer_id":"cus-1","project_id":"eng-1-de"}')
    names = names_of("psa.customer", {"customer_id": "cus-1", "id": "netsuite:customer:9"})

    async def story() -> None:
        erp = Erp()
        erp.refuse("INVALID_CONTENT", Reason.SETTING)
        async with bench(erp) as it:
            it.submit(command)
            await it.idle()
            await asyncio.sleep(40)
            erp.rules.clear()
            it.executor.touched(["customer_id:cus-2"])
            await asyncio.sleep(40)
            assert it.statuses() == ["rejected"]
            it.executor.touched(names)
            await asyncio.sleep(1)
            assert it.statuses() == ["rejected", "succeeded"]
            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
def test_a1_captures_in_a_row_are_no_storm() -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("INVALID_CONTENT", Reason.SETTING)
        async with bench(erp) as it:
            payload = '{"customer_id":"cus-1"}'
            it.submit(*(make_command(f"netsuite:project:{n}", payload=payload) for n in range(20)))
            await it.idle()
            before = erp.writes
            for _ in range(6_000):
                it.executor.touched(["customer_id:cus-1"])
                await asyncio.sleep(0.1)

            assert erp.writes - before <= 21

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
def test_a1_a_target_that_asks_all_to_slow_down_without_saying_how_long_is_met_with_no_storm() -> (
    None
):
    async def story() -> None:
        erp = Erp()
        erp.rules["limit"] = (lambda _: True, RateLimitedError("slow down"))
        async with bench(erp) as it:
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(200)))
            await asyncio.sleep(HOUR_S)
            assert erp.writes <= 5 * (HOUR_S / (0.5 * POLICY.backoff_max_s) + 10)
            erp.rules.clear()
            await asyncio.sleep(120)
            assert len(erp.held) == 200

    virtually(story)


@pytest.mark.fault("A8", place="connectors/dispatch/refusals.py")
def test_a8_records_refused_alone_hold_up_none_that_is_taken() -> None:
    """Also where many rights of single records are missing: who was never sent is tried first."""
    odd = {f"netsuite:project:odd-{number}" for number in range(HOLD_AFTER + 5)}

    async def story() -> None:
        erp = Erp()
        erp.refuse("NO_RIGHT", Reason.PERMISSION, lambda command: command.natural_key in odd)
        async with bench(erp) as it:
            it.submit(*map(make_command, sorted(odd)))
            await it.idle()
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(200)))
            await asyncio.sleep(HOUR_S)

            assert len(erp.held) == 200
            assert {it.removeprefix("netsuite:") for it in it.journal.open} == odd

    virtually(story)


@pytest.mark.fault("A8", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("count", [1, 9])
def test_a8_an_account_error_met_by_some_while_others_succeed_is_their_own(count: int) -> None:
    """A firewall's page, where a vendor speaks of the account: for a word of one payload."""
    odd = {f"netsuite:odd:{number}" for number in range(count)}

    async def story() -> None:
        erp = Erp()
        page = AuthenticationError("erp denies access: 403", context={"status": 403})
        erp.rules["page"] = (lambda command: command.natural_key in odd, page)
        async with bench(erp) as it:
            it.submit(*map(make_command, sorted(odd)))
            for number in range(720):
                it.submit(make_command(f"netsuite:project:{number}"))
                await asyncio.sleep(10)

            assert len(erp.held) >= 719, "a gate was closed"
            assert {it.removeprefix("netsuite:") for it in it.journal.open} == odd
            assert erp.writes - len(erp.held) <= 20 * count
            erp.rules.clear()
            await asyncio.sleep(7 * HOUR_S)
            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("is_unknown", [True, False])
def test_a2_a_failure_of_the_target_that_one_command_meets_reaches_a_person(
    is_unknown: bool,
) -> None:
    """A script of the account that breaks at one record answers like a target that is sick."""

    async def story() -> None:
        erp = Erp()
        sick = VendorUnavailableError("erp answered 500", outcome_unknown=is_unknown, context={})
        erp.rules["odd"] = (lambda command: command.natural_key == "netsuite:odd", sick)
        async with bench(erp) as it:
            it.submit(make_command("netsuite:odd"))
            for number in range(24 * 6):
                it.submit(make_command(f"netsuite:project:{number}"))
                await asyncio.sleep(600)

            assert list(it.journal.open) == ["netsuite:netsuite:odd"]
            assert erp.writes - len(erp.held) <= UNAVAILABLE_AFTER + 50
            erp.rules.clear()
            await asyncio.sleep(HOUR_S + 60)
            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
@pytest.mark.parametrize(
    "failure",
    [
        VendorUnavailableError("erp answered 500", outcome_unknown=True, context={}),
        AuthenticationError("erp denies access: 403", context={"status": 403}),
    ],
    ids=["sick", "denied"],
)
@pytest.mark.parametrize("others", ["refused", "adopted", "refused by our own check"])
def test_a2_a_target_that_answers_others_is_well_whatever_it_answers(
    others: str, failure: Exception
) -> None:
    """A failure that one command alone meets reaches a person; our own check asks nobody."""

    async def story() -> None:
        erp = Erp()
        if others == "refused":
            erp.refuse("X", Reason.VALIDATION)
        elif others == "adopted":
            lost = VendorUnavailableError("no answer", outcome_unknown=True, context={})
            erp.rules["lost"] = (lambda command: carried_out(erp, command), lost)
        else:
            erp.rules["check"] = (lambda _: True, InvalidEntityError("no content"))
        is_odd = "netsuite:odd".__eq__
        erp.rules = {"odd": (lambda command: is_odd(command.natural_key), failure), **erp.rules}
        async with bench(erp) as it:
            it.submit(make_command("netsuite:odd"))
            for number in range(24 * 6):
                it.submit(make_command(f"netsuite:project:{number}"))
                await asyncio.sleep(600)

            is_told = "netsuite:netsuite:odd" in it.journal.open
            assert is_told is (others != "refused by our own check")

    virtually(story)


def carried_out(erp: Erp, command: Command) -> bool:
    """Carry a command out, though no answer tells of it."""
    erp.held[command.natural_key] = command.payload
    return True


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
def test_a2_a_target_that_is_sick_for_all_is_told_of_no_command() -> None:
    async def story() -> None:
        erp = Erp()
        sick = VendorUnavailableError("erp answered 503", outcome_unknown=True, context={})
        async with bench(erp) as it:
            it.submit(make_command("netsuite:before"))
            await it.idle()
            erp.rules["sick"] = (lambda _: True, sick)
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(50)))
            await asyncio.sleep(6 * HOUR_S)

            assert it.journal.open == {}
            erp.rules.clear()
            await asyncio.sleep(120)
            assert it.executor.waiting == 0

    virtually(story)


@pytest.mark.fault("A8", place="connectors/dispatch/executor.py")
def test_a8_an_account_that_is_blocked_again_and_again_is_left_alone() -> None:
    async def story() -> None:
        erp = Erp()
        page = AuthenticationError("erp denies access: 403", context={"status": 403})
        async with bench(erp) as it:
            for time in range(4):
                first = erp.writes
                erp.rules["page"] = (lambda _: True, page)
                it.submit(*(make_command(f"netsuite:project:{time}-{n}") for n in range(300)))
                await asyncio.sleep(HOUR_S / 2)
                assert erp.writes - first <= 32 * 5
                erp.rules.clear()
                await asyncio.sleep(HOUR_S / 2)
                assert it.executor.waiting == 0

            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/session.py")
def test_a1_refusals_survive_a_restart_with_their_pauses() -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("X", Reason.PERMISSION)
        commands = [make_command(f"netsuite:project:{number}") for number in range(30)]
        async with bench(erp) as it:
            it.submit(*commands)
            await it.idle()
            await asyncio.sleep(DAY_S)
        refused = list(it.journal.open.values())
        settled = {
            refusal.command.natural_key: Settled(refusal.command.revision, refusal.attempts)
            for refusal in refused
        }
        before = erp.writes
        async with bench(erp, settled=settled, refused=refused) as heir:
            await asyncio.sleep(10 * 60)
            assert erp.writes - before <= 1, "the pause goes on where it was"
            erp.rules.clear()
            await asyncio.sleep(2 * HOUR_S)
            assert heir.journal.open == {}
        assert len(erp.held) == 30

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
def test_a1_a_newer_revision_takes_the_place_of_a_refused_one() -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("X", Reason.VALIDATION, lambda command: command.revision == 1)
        async with bench(erp) as it:
            it.submit(make_command(revision=1))
            await it.idle()
            it.submit(make_command(revision=2))
            await it.idle()
            await asyncio.sleep(3 * DAY_S)

            assert it.statuses() == ["rejected", "succeeded"]
            assert it.journal.open == {}
            assert erp.writes == 2

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("is_unknown", [True, False])
def test_a2_an_answer_that_nobody_understands_reaches_a_person_and_is_tried_on(
    is_unknown: bool,
) -> None:
    async def story() -> None:
        erp = Erp()
        odd = UnclearAnswerError(
            "netsuite answered 418", outcome_unknown=is_unknown, context={"status": 418}
        )
        async with bench(erp) as it:
            erp.rules["odd"] = (lambda command: command.natural_key.endswith("a"), odd)
            it.submit(make_command(), make_command("netsuite:project:b"))
            await asyncio.sleep(HOUR_S)
            [refusal] = it.journal.open.values()
            assert (refusal.problem.code, refusal.problem.reason) == ("418", Reason.UNCLEAR)
            assert it.statuses() == ["succeeded"], "the other flows, this one goes on"
            before = erp.writes
            await asyncio.sleep(DAY_S)
            assert erp.writes - before <= 10

            erp.rules.clear()
            it.executor.retry(RetryRequest(reason=Reason.PERMISSION))
            it.executor.retry(RetryRequest(exception_id="netsuite:netsuite:project:b"))
            await asyncio.sleep(120)
            assert erp.writes - before <= 10, "nobody asked for this one"
            assert it.statuses() == ["succeeded"]
            it.executor.retry(RetryRequest(reason=Reason.UNCLEAR))
            await asyncio.sleep(120)
            assert it.statuses() == ["succeeded", "succeeded"]
            assert it.journal.open == {}

    virtually(story)


class Unclear(Erp):
    """Answers unclearly, with an effect that shows late if at all; says when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.written_at_s: list[float] = []
        self.looked_at_s: list[float] = []

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        self.written_at_s.append(now().timestamp())
        return await super().execute(command, known_id)

    async def look(self, command: Command, known_id: str | None) -> Applied | None:
        self.looked_at_s.append(now().timestamp())
        return await super().look(command, known_id)


ODD = UnclearAnswerError("netsuite answered 202", outcome_unknown=True, context={"status": 202})


@pytest.mark.fault("A4", place="connectors/dispatch/executor.py")
def test_a4_what_a_person_asks_for_is_not_looked_up_before_it_has_settled() -> None:
    async def story() -> None:
        erp = Unclear()
        erp.rules["odd"] = (lambda _: True, ODD)
        async with bench(erp, policy=replace(POLICY, settle_s=300)) as it:
            it.submit(make_command())
            while not it.journal.open:  # noqa: ASYNC110 - the executor knows no event
                await asyncio.sleep(0.1)
            looks = len(erp.looked_at_s)
            it.executor.retry(RetryRequest())
            await asyncio.sleep(HOUR_S)

            assert erp.looked_at_s[looks] - erp.written_at_s[looks] >= 300

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("news", ["a newer revision", "a withdrawal"])
def test_a2_news_of_what_is_repeated_in_vain_does_not_wait_for_its_pause(news: str) -> None:
    async def story() -> None:
        erp = Unclear()
        erp.rules["odd"] = (lambda command: command.revision == 1, ODD)
        async with bench(erp) as it:
            command = make_command()
            it.submit(command)
            await asyncio.sleep(DAY_S)  # the pauses have grown to hours
            if news == "a withdrawal":
                it.executor.withdraw(command.natural_key, 2, lambda: None)
            else:
                it.submit(make_command(revision=2))
            await asyncio.sleep(2 * 60)

            assert it.executor.waiting == 0
            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("news", ["a newer revision", "a withdrawal", "a person asks"])
@pytest.mark.parametrize("step", ["the call", "its record"])
def test_a2_news_that_come_during_a_step_are_not_forgotten_in_its_pause(
    news: str, step: str
) -> None:
    async def story() -> None:
        erp = Unclear()
        erp.rules["odd"] = (lambda command: command.revision == 1, ODD)
        async with bench(erp) as it:
            is_told = False

            def tell_news() -> None:
                nonlocal is_told
                if is_told or len(erp.written_at_s) < 12:  # the pauses have grown
                    return
                is_told = True
                if news == "a withdrawal":
                    it.executor.withdraw("netsuite:project:a", 2, lambda: None)
                elif news == "a newer revision":
                    it.submit(make_command(revision=2))
                else:
                    erp.rules.clear()
                    it.executor.retry(RetryRequest())

            tell, execute = it.journal.tell, erp.execute

            async def tell_with_news(refusal: Refusal) -> None:
                tell_news()
                await tell(refusal)

            async def execute_with_news(command: Command, known_id: str | None) -> Applied:
                try:
                    return await execute(command, known_id)
                finally:
                    tell_news()

            if step == "the call":
                erp.execute = execute_with_news  # type: ignore[method-assign]
            else:
                it.journal.tell = tell_with_news  # type: ignore[method-assign]
            it.submit(make_command())
            while not is_told:  # noqa: ASYNC110 - the executor knows no event
                await asyncio.sleep(1)
            await asyncio.sleep(2 * 60)

            assert (it.executor.waiting, it.journal.open) == (0, {})

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("news", ["a newer revision", "a withdrawal", "none"])
def test_a1_what_is_out_of_date_when_its_intent_is_recorded_is_not_sent(news: str) -> None:
    async def story() -> None:
        erp = Erp()
        async with bench(erp) as it:
            intend = it.journal.intend

            async def intend_with_news(command: Command, attempt: int) -> None:
                await intend(command, attempt)
                if command.revision == 1 and news == "a withdrawal":
                    it.executor.withdraw(command.natural_key, 2, lambda: None)
                elif command.revision == 1 and news == "a newer revision":
                    it.submit(make_command(revision=2))

            it.journal.intend = intend_with_news  # type: ignore[method-assign]
            it.submit(make_command())
            await it.idle()

            outcomes = [(each.status.value, each.attempts) for _, each in it.journal.outcomes]
            assert (outcomes, erp.writes, erp.looks) == {
                "a newer revision": ([("superseded", 1), ("succeeded", 1)], 1, 0),
                "a withdrawal": ([("withdrawn", 1)], 0, 0),
                "none": ([("succeeded", 1)], 1, 0),
            }[news]

    virtually(story)


def refused_at_once(refusals: Refusals, count: int, reason: Reason) -> list[str]:
    """Let commands of one cohort be refused, a second apart; return their exceptions."""
    problem = Problem("X", "no", reason=reason)
    names = [f"e{number}" for number in range(count)]
    for number, name in enumerate(names):
        payload = json.dumps({"project_id": f"p{number}"})
        command = make_command(f"netsuite:project:{number}", payload=payload)
        refusals.refused(name, command, problem, 1, float(number))
    return names


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("reason", Reason)
def test_a1_one_that_cannot_be_tried_now_takes_nobodys_turn(reason: Reason) -> None:
    """Its newer revision is repeated for hours, since the vendor cannot answer for it."""
    refusals, now_s, tried = Refusals(), 1_000.0, set[str]()
    names = refused_at_once(refusals, 5, reason)
    while now_s < 2 * DAY_S and len(tried) < len(names):
        now_s = max(now_s, refusals.next_at_s(now_s) or 0.0)
        for refusal in refusals.due(now_s):
            tried.add(refusal.exception_id)
            if refusal.exception_id in ("e0", "e1", "e2"):
                refusals.put_back(refusal.exception_id, now_s)
            else:
                refusals.met(refusal.exception_id, now_s)

    assert tried == set(names)
    assert now_s < 1_000.0 + PACES[reason].longest_s


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("reason", Reason)
def test_a1_one_that_is_never_answered_keeps_no_other_from_being_tried_again(
    reason: Reason,
) -> None:
    refusals, now_s, tried = Refusals(), 1_000.0, Counter[str]()
    names = refused_at_once(refusals, 5, reason)
    while now_s < 8 * DAY_S:
        now_s = max(now_s, refusals.next_at_s(now_s) or 0.0)
        for refusal in refusals.due(now_s):
            tried[refusal.exception_id] += 1
            if refusal.exception_id != "e0":
                refusals.refused(refusal.exception_id, refusal.command, refusal.problem, 1, now_s)

    assert tried["e0"] == 1
    assert min(tried[name] for name in names[1:]) > 1
    rounds = 8 * DAY_S / (0.75 * PACES[reason].longest_s) + 16
    assert max(tried.values()) <= rounds


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("answer", [UnclearAnswerError, VendorUnavailableError])
def test_a1_others_go_on_being_tried_while_the_target_cannot_answer_for_one(
    answer: type[VendorUnavailableError],
) -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("X", Reason.VALIDATION)
        async with bench(erp) as it:
            it.submit(*(make_command(f"netsuite:project:{number}") for number in range(6)))
            await it.idle()
            sick = answer("odd", outcome_unknown=True, context={})
            is_odd = "netsuite:project:0".__eq__
            erp.rules = {"odd": (lambda command: is_odd(command.natural_key), sick), **erp.rules}
            await asyncio.sleep(10 * DAY_S)  # each has had its turn
            del erp.rules["X"]
            await asyncio.sleep(2 * DAY_S)

            assert {it.removeprefix("netsuite:") for it in it.journal.open} == {
                "netsuite:project:0"
            }

    virtually(story)


def calls_until_all_had_their_turn(count: int) -> int:
    """How many functions are called where none of so many can be tried at present."""
    refusals, tried = Refusals(), set[str]()
    refused_at_once(refusals, count, Reason.PERMISSION)

    def try_all() -> None:
        while (refusals.next_at_s(DAY_S) or 0.0) <= DAY_S:
            for refusal in refusals.due(DAY_S):
                tried.add(refusal.exception_id)
                refusals.put_back(refusal.exception_id, DAY_S)

    calls = calls_of(try_all)
    assert len(tried) == count
    return calls


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
def test_a1_ten_times_as_many_cost_about_ten_times_as_much() -> None:
    assert calls_until_all_had_their_turn(2_000) <= 15 * calls_until_all_had_their_turn(200)


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("reason", Reason)
def test_a1_records_that_change_all_the_time_take_nobodys_turn(reason: Reason) -> None:
    refusals, now_s, tried = Refusals(), 400.0, Counter[str]()
    names = refused_at_once(refusals, 6, reason)
    for minute in range(24 * 60):
        refusals.touched(["project_id:p0", "project_id:p1", "project_id:p2"], now_s)
        while (at_s := refusals.next_at_s(now_s)) is not None and at_s < 400.0 + 60 * (minute + 1):
            now_s = max(now_s, at_s)
            for refusal in refusals.due(now_s):
                tried[refusal.exception_id] += 1
                refusals.refused(refusal.exception_id, refusal.command, refusal.problem, 1, now_s)
        now_s = 400.0 + 60 * (minute + 1)

    assert set(tried) == set(names)


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("commands", [1, 6])
@pytest.mark.parametrize("codes", [2, 3, 1_000_000])
def test_a1_a_refusal_that_is_never_the_same_as_before_is_no_storm(
    codes: int, commands: int, reason: Reason
) -> None:
    """Some rules are checked in any order, and some codes name the request."""
    refusals, now_s, tried = Refusals(), 1_000.0, Counter[str]()
    refused_at_once(refusals, commands, reason)
    while now_s < 10 * DAY_S:
        now_s = max(now_s, refusals.next_at_s(now_s) or 0.0)
        for refusal in refusals.due(now_s):
            identity = refusal.exception_id
            tried[identity] += 1
            code = (tried[identity] + int(identity.removeprefix("e"))) % codes
            problem = replace(refusal.problem, code=f"E{code}")
            refusals.refused(identity, refusal.command, problem, 1, now_s)

    rounds = 10 * DAY_S / (0.75 * PACES[reason].longest_s) + 16
    assert max(tried.values()) <= 2 * rounds


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("reason", [it for it in Reason if not PACES[it].is_shared])
def test_a1_a_cure_of_one_of_a_thousand_is_found_though_the_others_stay_refused(
    reason: Reason,
) -> None:
    """What a target says stands for many causes: `USER_ERROR` is any rule of an account."""
    refusals, now_s, calls = Refusals(), 2_000.0, 0
    names = set(refused_at_once(refusals, 1_000, reason))
    while names and now_s < 30 * DAY_S:
        now_s = max(now_s, refusals.next_at_s(now_s) or 0.0)
        for refusal in refusals.due(now_s):
            calls += 1
            names.discard(refusal.exception_id)
            refusals.refused(refusal.exception_id, refusal.command, refusal.problem, 1, now_s)

    assert now_s <= 2_000.0 + 1.1 * PATIENCE_S
    assert calls <= 1_000 + 20


@pytest.mark.fault("B2", place="connectors/dispatch/commands.py")
def test_b2_what_is_told_of_an_answer_of_any_text_can_be_written() -> None:
    """A journal that refuses a record ends the process, and its heir at the same answer."""
    body = json.loads('{"\\ud83d": 1}')
    with pytest.raises(UnclearAnswerError) as caught:
        read_answer(Answered, body, system="float", is_read=True)
    refusal = Refusal("e", make_command(), unclear(caught.value), 1, 1, 0.0, 0.0, 0.0)

    codec = RecordCodec(value_schema(BY_NAME["psa.exception"]))

    assert codec.decode(codec.encode(open_record(refusal, {})))["detail"].count("?") == 1


class Answered(Answer):
    id: str


class Doubled(Erp):
    """Carries out what it is told and shows two records, until somebody tidies up."""

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        await super().execute(command, known_id)
        return Applied("1", Problem("DOUBLED", "records 1, 2", reason=Reason.LEFTOVER))


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("is_withdrawn", [True, False])
def test_a1_what_was_carried_out_and_then_taken_away_is_not_made_again_by_trying(
    is_withdrawn: bool,
) -> None:
    async def story() -> None:
        erp = Doubled()
        async with bench(erp) as it:
            command = make_command()
            it.submit(command)
            await it.idle()
            if is_withdrawn:
                it.executor.withdraw(command.natural_key, 2, lambda: None)
                await asyncio.sleep(1)
                assert it.statuses() == ["succeeded"], "it was carried out"
                assert len(it.journal.open) == 1, "two records are left to tidy up"
            erp.held.clear()  # a person has taken both away
            await asyncio.sleep(3 * DAY_S)

            assert erp.writes == 1
            assert it.journal.open == {}

    virtually(story)


class Left(Erp):
    """Shows two records as long as there are two, whatever they hold."""

    records = 2

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        await super().execute(command, known_id)
        return Applied("1", self._left())

    async def look(self, command: Command, known_id: str | None) -> Applied | None:
        found = await super().look(command, known_id)
        left = self._left()
        if found is None and left is None:
            return None
        return Applied("1", left, differs=found is None)

    def _left(self) -> Problem | None:
        is_told = self.records > 1
        return Problem("DOUBLED", "records 1, 2", reason=Reason.LEFTOVER) if is_told else None


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("news", ["edited", "withdrawn while refused", "withdrawn while waiting"])
def test_a1_what_is_left_over_is_told_until_it_is_tidied_up(news: str) -> None:
    async def story() -> None:
        erp = Left()
        async with bench(erp) as it:
            command = make_command()
            it.submit(command)
            await it.idle()
            match news:
                case "edited":
                    erp.held[command.natural_key] = "by hand"
                case "withdrawn while refused":
                    erp.refuse("X", Reason.VALIDATION)
                    it.submit(make_command(revision=2))
                    await it.idle()
                    it.executor.withdraw(command.natural_key, 3, lambda: None)
                case _:
                    erp.rules["busy"] = (lambda _: True, not_available())
                    it.submit(make_command(revision=2))
                    await asyncio.sleep(1)
                    it.executor.withdraw(command.natural_key, 3, lambda: None)
            await asyncio.sleep(3 * DAY_S)

            assert list(it.journal.open) == ["netsuite:netsuite:project:a:warning"]
            erp.records = 1
            await asyncio.sleep(2 * DAY_S)
            assert it.journal.open == {}
            assert erp.held[command.natural_key] in ("by hand", command.payload)

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize(
    "answer",
    [
        VendorRejectedError(403, [Fault("NO_RIGHT", "no")], context={}, reason=Reason.PERMISSION),
        UnclearAnswerError("odd", outcome_unknown=False, context={}),
    ],
    ids=["refused", "unclear"],
)
def test_a1_what_was_carried_out_stays_so_though_nobody_may_look_at_it(answer: Exception) -> None:
    class Hidden(Doubled):
        async def look(self, _command: Command, _known_id: str | None) -> Applied | None:
            raise answer

    async def story() -> None:
        async with bench(Hidden()) as it:
            it.submit(make_command())
            await it.idle()
            await asyncio.sleep(DAY_S)

            assert set(it.statuses()) <= {"succeeded", "adopted"}
            assert list(it.journal.open) == ["netsuite:netsuite:project:a:warning"]

    virtually(story)


@pytest.mark.fault("A6", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("is_refused", [True, False])
@pytest.mark.parametrize("pause_s", [0.5, 1.0, 1.5, 4.0])
def test_a6_a_withdrawal_told_late_does_not_speak_for_what_came_after_it(
    pause_s: float, is_refused: bool
) -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("X", Reason.VALIDATION, lambda it: is_refused or it.revision == 1)
        is_proven = True

        def check() -> None:
            if not is_proven:
                raise LeaseLostError("not proven")

        async with bench(erp, check=check) as it:
            it.submit(make_command(revision=1))
            await it.idle()
            is_proven = False
            finished: list[str] = []
            it.executor.withdraw("netsuite:project:a", 2, lambda: finished.append("withdrawn"))
            await asyncio.sleep(0.1)
            it.submit(make_command(revision=3))
            await asyncio.sleep(pause_s)
            is_proven = True
            await asyncio.sleep(60)

            assert finished == ["withdrawn"]
            assert it.statuses()[-1] == ("rejected" if is_refused else "succeeded")
            assert [each.command.revision for each in it.journal.open.values()] == [3] * is_refused

    virtually(story)


@pytest.mark.fault("C11", place="connectors/dispatch/refusals.py")
def test_c11_a_pause_that_a_clock_a_year_ahead_has_set_is_not_believed() -> None:
    async def story() -> None:
        command, at_s = make_command(), now().timestamp() + 365 * DAY_S
        problem = Problem("X", "no", reason=Reason.SETTING)
        refusal = Refusal("netsuite:netsuite:project:a", command, problem, 1, 1, at_s, at_s, at_s)
        erp = Erp()
        async with bench(
            erp, settled={command.natural_key: Settled(1, 1)}, refused=[refusal]
        ) as it:
            await asyncio.sleep(DAY_S)

            assert it.statuses() == ["succeeded"]
            assert it.journal.open == {}

    virtually(story)


WITHDRAWN_AT = ["waiting", "in flight", "refused", "tried again", "carried out"]


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("when", WITHDRAWN_AT)
def test_a1_what_nobody_wants_any_more_is_not_tried_again(when: str) -> None:
    async def story() -> None:
        erp = Erp()
        if when in ("refused", "tried again", "in flight"):
            erp.refuse("X", Reason.VALIDATION)
        async with bench(erp) as it:
            others = [make_command(f"netsuite:project:{number}") for number in range(5)]
            command = make_command()
            if when == "waiting":
                it.submit(*others)  # all slots are taken
            it.submit(command)
            if when == "in flight":
                await asyncio.sleep(0.05)
            elif when != "waiting":
                await it.idle()
            if when == "tried again":
                it.executor.retry(RetryRequest("netsuite:netsuite:project:a"))
                await asyncio.sleep(0.05)
            finished: list[str] = []
            it.executor.withdraw(command.natural_key, 2, lambda: finished.append("withdrawn"))
            await asyncio.sleep(5)
            erp.rules.clear()
            await asyncio.sleep(3 * DAY_S)

            assert finished == ["withdrawn"]
            assert it.journal.open == {}
            is_carried_out = when == "carried out"
            assert (command.natural_key in erp.held) is is_carried_out
            assert it.statuses()[-1] == ("succeeded" if is_carried_out else "withdrawn")

            newer = make_command(revision=3)
            it.submit(newer)
            await it.idle()
            assert erp.held[command.natural_key] == newer.payload

    virtually(story)


def test_pauses_grow_to_their_cap_and_are_the_same_in_every_process() -> None:
    for pace in PACES.values():
        pauses = [pace.pause_s(number, "upsert_project|X") for number in range(1, 40)]
        assert pauses == [pace.pause_s(number, "upsert_project|X") for number in range(1, 40)]
        assert 0.75 * pace.first_s <= pauses[0] <= pace.first_s
        assert 0.75 * pace.longest_s <= pauses[-1] <= pace.longest_s
        assert pauses[1] >= 1.5 * pauses[0]


CAUSES = st.sampled_from(["A", "B"])


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@given(
    causes=st.dictionaries(st.integers(0, 30), CAUSES, min_size=1),
    cures=st.lists(st.tuples(st.integers(1, 50_000), CAUSES), max_size=6),
    reason=st.sampled_from(list(Reason)),
)
@settings(max_examples=examples(25), deadline=None)
def test_a1_whatever_is_refused_and_cured_in_whatever_order_ends_met(
    causes: dict[int, str], cures: list[tuple[int, str]], reason: Reason
) -> None:
    async def story() -> None:
        erp = Erp()

        def switch(cause: str) -> None:
            if erp.rules.pop(cause, None) is None:
                erp.refuse(cause, reason, lambda command: f'"{cause}"' in command.payload)

        switch("A"), switch("B")
        async with bench(erp) as it:
            for number, cause in causes.items():
                it.submit(make_command(f"netsuite:project:{number}", payload=f'{{"c":"{cause}"}}'))
            for pause_s, cause in cures:
                await asyncio.sleep(pause_s)
                switch(cause)
                for identity in it.journal.open:
                    assert identity.removeprefix("netsuite:") not in erp.held
            erp.rules.clear()
            await asyncio.sleep(12 * DAY_S)

            assert it.journal.open == {}
            assert len(erp.held) == len(causes)
            assert it.statuses().count("succeeded") == len(causes), "one effect each"

    virtually(story)


@pytest.mark.fault("A6", place="connectors/dispatch/executor.py")
def test_a6_a_withdrawal_ends_also_the_attempt_that_was_under_way_elsewhere() -> None:
    """Its refusal may come late; what is settled after as many attempts is over."""

    async def story() -> None:
        command, at_s = make_command(), now().timestamp()
        problem = Problem("X", "no", reason=Reason.VALIDATION)
        refusal = Refusal("netsuite:netsuite:project:a", command, problem, 3, 1, at_s, at_s, at_s)
        settled = {command.natural_key: Settled(1, 3)}
        intents = {command.natural_key: Intent(command.command_id, 1, 4)}
        for known, attempts, is_made in ((intents, 4, True), (intents, 4, False), ({}, 3, False)):
            erp = Erp()
            finished: list[str] = []
            if is_made:
                erp.held[command.natural_key] = command.payload
            async with bench(erp, settled=settled, refused=[refusal], intents=known) as it:
                it.executor.withdraw(command.natural_key, 2, partial(finished.append, "withdrawn"))
                await asyncio.sleep(60)
                assert bool(finished) is (not known), "it may still land: too early to look"
                await asyncio.sleep(2)

                [(_, outcome)] = it.journal.outcomes
                status = "adopted" if is_made else "withdrawn"
                assert (outcome.status.value, outcome.attempts) == (status, attempts)
                assert (erp.looks, erp.writes) == (1 if known else 0, 0)
                assert (finished, it.journal.open) == (["withdrawn"], {})

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
def test_a1_a_refusal_that_was_withdrawn_is_tried_again_once_it_is_ordered_anew_and_refused() -> (
    None
):
    async def story() -> None:
        erp = Left()
        erp.rules["first"] = (lambda it: it.revision in (3, 5), REFUSED_ALONE)
        async with bench(erp) as it:
            it.submit(make_command(revision=1))
            await it.idle()
            for revision in (3, 5):  # beside the look at what the first has left over
                it.executor.retry(RetryRequest())
                it.submit(make_command(revision=revision))
                await it.idle()
                if revision == 3:
                    it.executor.withdraw("netsuite:project:a", 4, lambda: None)
                    await it.idle()
            assert sorted(it.journal.open) == [
                "netsuite:netsuite:project:a",
                "netsuite:netsuite:project:a:warning",
            ]
            erp.rules.clear()
            await asyncio.sleep(3 * DAY_S)
            assert erp.held["netsuite:project:a"] == make_command(revision=5).payload
            assert list(it.journal.open) == ["netsuite:netsuite:project:a:warning"]

    virtually(story)


REFUSED_ALONE = VendorRejectedError(400, [Fault("X", "no")], context={}, reason=Reason.VALIDATION)


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("is_tidied", [True, False])
@pytest.mark.parametrize("news", ["refused", "waiting", "withdrawn", "none"])
def test_a1_what_is_left_over_is_looked_at_whatever_became_of_newer_ones(
    news: str, is_tidied: bool
) -> None:
    async def story() -> None:
        erp = Left()
        async with bench(erp) as it:
            it.submit(make_command())
            await it.idle()
            erp.rules["X"] = (
                lambda _: True,
                not_available() if news == "waiting" else REFUSED_ALONE,
            )
            if news != "none":
                it.submit(make_command(revision=2))
                await asyncio.sleep(10)
            if news == "withdrawn":
                it.executor.withdraw("netsuite:project:a", 3, lambda: None)
            erp.records = 1 if is_tidied else 2
            await asyncio.sleep(2 * DAY_S)

            is_open = "netsuite:netsuite:project:a:warning" in it.journal.open
            assert is_open is (not is_tidied or news == "waiting")
            assert it.journal.outcomes[0][1].status.value == "succeeded"
            later = {outcome.status.value for _, outcome in it.journal.outcomes[1:]}
            assert later == {"refused": {"rejected"}, "withdrawn": {"rejected", "withdrawn"}}.get(
                news, set()
            ), "a look at what is left over settles nothing"

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
def test_a1_what_is_left_over_is_not_looked_at_once_a_newer_command_has_ended_it() -> None:
    async def story() -> None:
        erp = Left()
        async with bench(erp) as it:
            it.submit(make_command())
            await it.idle()
            erp.records = 1
            it.submit(*[make_command(f"netsuite:project:{number}") for number in range(5)])
            await asyncio.sleep(0.01)  # all slots are taken
            it.executor.retry(RetryRequest())
            await asyncio.sleep(0.01)
            it.submit(make_command(revision=2))
            await asyncio.sleep(20)
            assert (it.journal.open, erp.looks) == ({}, 0)
            it.submit(make_command(revision=3))
            await asyncio.sleep(0.5)
            assert it.statuses() == ["succeeded"] * 8, "nothing of it is repeated meanwhile"

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
def test_a1_a_look_at_what_is_left_over_that_gets_no_answer_is_repeated_ever_more_seldom() -> None:
    class Silent(Left):
        async def look(self, _command: Command, _known_id: str | None) -> Applied | None:
            self.looks += 1
            raise not_available()

    async def story() -> None:
        erp = Silent()
        async with bench(erp) as it:
            it.submit(make_command())
            await it.idle()
            await asyncio.sleep(DAY_S)
            assert 700 < erp.looks < 3_200, "the pauses grow to a minute, and stay"
            it.submit(make_command(revision=2))
            await asyncio.sleep(61)
            assert it.statuses() == ["succeeded", "succeeded"]

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
def test_a1_a_withdrawal_that_comes_while_a_refusal_is_recorded_counts() -> None:
    async def story() -> None:
        erp = Erp()
        erp.refuse("X", Reason.VALIDATION)
        async with bench(erp) as it:
            settle = it.journal.settle

            async def slowly(
                command: Command, outcome: Outcome, refusals: Sequence[Refusal] = ()
            ) -> None:
                await asyncio.sleep(1)  # until the broker acknowledges
                await settle(command, outcome, refusals)

            it.journal.settle = slowly  # type: ignore[method-assign]
            command = make_command()
            it.submit(command)
            await asyncio.sleep(0.5)
            finished: list[str] = []
            it.executor.withdraw(command.natural_key, 2, lambda: finished.append("withdrawn"))
            await it.idle()
            erp.rules.clear()
            await asyncio.sleep(3 * DAY_S)
            assert finished == ["withdrawn"]
            assert it.journal.open == erp.held == {}
            assert it.statuses()[-1] == "withdrawn"

    virtually(story)


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("reason", [reason for reason in Reason if not PACES[reason].is_shared])
@pytest.mark.parametrize("touched_after_s", [None, 31.0])
def test_a1_when_one_is_tried_again_by_itself_is_told_as_it_will_be(
    reason: Reason, touched_after_s: float | None
) -> None:
    """Also of one that was tried between, since a record that it names had changed."""
    command = make_command(payload=json.dumps({"customer_id": "cus-1"}))
    problem = Problem("E1", "no", reason=reason)
    refusals = Refusals()
    now_s = 1_000.0
    told = refusals.refused("netsuite:project:a", command, problem, 1, now_s)
    if touched_after_s is not None:
        now_s += touched_after_s
        refusals.touched(["customer_id:cus-1"], now_s)
        assert [it.exception_id for it in refusals.due(now_s)] == [told.exception_id]
        told = refusals.refused("netsuite:project:a", command, problem, 2, now_s)
    for _ in range(4):
        while not (released := refusals.due(now_s)):
            next_at_s = refusals.next_at_s(now_s)
            assert next_at_s is not None
            now_s = max(now_s, next_at_s)
        assert released == [told]
        assert now_s == pytest.approx(told.retry_at_s)
        told = refusals.refused("netsuite:project:a", command, problem, 3, now_s)
