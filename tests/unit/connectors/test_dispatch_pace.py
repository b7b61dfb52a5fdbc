"""When refused commands are tried again: pauses, probes, windows, by numbers."""

from typing import Final

import pytest

from connectors.dispatch.commands import Problem
from connectors.dispatch.pace import PACES
from connectors.dispatch.refusals import PATIENCE_S, Refusal, Refusals, RetryRequest
from connectors.toolkit.faults import Reason
from tests.support.sinks import make_command

HOUR: Final = 3_600


@pytest.mark.parametrize(
    ("reason", "first_s", "longest_s", "probes", "is_shared"),
    [
        (Reason.PERMISSION, 60, HOUR, 1, True),
        (Reason.CLOSED, 300, 6 * HOUR, 3, False),
        (Reason.SETTING, 300, 6 * HOUR, 1, False),
        (Reason.REFERENCE, 60, 6 * HOUR, 3, False),
        (Reason.CONFLICT, 900, 24 * HOUR, 3, False),
        (Reason.VALIDATION, 900, 24 * HOUR, 3, False),
        (Reason.UNCLEAR, 300, 6 * HOUR, 3, False),
        (Reason.LEFTOVER, HOUR, 24 * HOUR, 3, False),
        (Reason.APPROVAL, HOUR, 24 * HOUR, 3, False),
        (Reason.INTERNAL, HOUR, 24 * HOUR, 3, False),
    ],
)
def test_each_reason_has_its_pauses(
    reason: Reason, first_s: float, longest_s: float, probes: int, is_shared: bool
) -> None:
    pace = PACES[reason]
    assert (pace.probes, pace.is_shared) == (probes, is_shared)
    for refusals in (0, 1, 2, 3, 5, 40, 5_000):
        bound_s = min(longest_s, first_s * 2 ** min(max(refusals - 1, 0), 60))
        pauses_s = [pace.pause_s(refusals, str(cause)) for cause in range(300)]
        assert 0.75 * bound_s <= min(pauses_s) < 0.76 * bound_s
        assert 0.99 * bound_s < max(pauses_s) <= bound_s


def test_every_reason_has_a_pace() -> None:
    assert set(PACES) == set(Reason)


def problem_of(reason: Reason) -> Problem:
    return Problem("E", "no", None, reason)


def refused(count: int, reason: Reason, payload: str | None = None) -> Refusals:
    """So many commands, refused at 0 s for one cause."""
    found = Refusals()
    for number in range(count):
        command = make_command(f"netsuite:project:{number}", payload=payload)
        found.refused(str(number), command, problem_of(reason), 1, 0.0)
    return found


def test_a_cause_that_is_gone_lets_twice_as_many_follow_up_to_64() -> None:
    found = refused(300, Reason.SETTING)
    sizes = []
    now_s = 1_000.0
    while due := found.due(now_s):
        sizes.append(len(due))
        for refusal in due:
            found.met(refusal.exception_id, now_s)
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 64, 64, 45]
    assert len(found) == 0
    assert found.next_at_s(now_s) is None


def test_a_cause_of_some_lets_half_as_many_follow() -> None:
    found = refused(100, Reason.VALIDATION)
    now_s = 1_000.0
    sizes = []
    for _ in range(4):
        due = found.due(now_s)
        sizes.append(len(due))
        for refusal in due[1:]:
            found.met(refusal.exception_id, now_s)
        command, problem = due[0].command, due[0].problem
        if len(due) > 1:
            found.refused(due[0].exception_id, command, problem, 2, now_s)
        else:
            found.met(due[0].exception_id, now_s)
    assert sizes == [3, 1, 2, 1]


def test_twenty_refusals_in_a_row_hold_a_kind_whose_cause_is_shared() -> None:
    assert refused(19, Reason.PERMISSION).holding("upsert_project") is None
    held = refused(20, Reason.PERMISSION)
    assert held.holding("upsert_project") == problem_of(Reason.PERMISSION)
    assert held.holding("delete_project") is None
    assert refused(20, Reason.VALIDATION).holding("upsert_project") is None
    held.flows("delete_project")
    assert held.holding("upsert_project") is not None
    held.flows("upsert_project")
    assert held.holding("upsert_project") is None


def test_a_change_of_what_is_named_is_tried_30_seconds_after_the_last_trial() -> None:
    found = refused(1, Reason.VALIDATION, '{"customer_id":"cus-1"}')
    found.touched(["customer_id:cus-2"], 5.0)
    assert (found.next_at_s(5.0) or 0) > 600
    found.touched(["customer_id:cus-1"], 5.0)
    assert found.next_at_s(5.0) == 30.0
    found.touched(["customer_id:cus-1"], 100.0)
    assert found.next_at_s(100.0) == 30.0


def test_what_one_command_names_is_still_named_by_another() -> None:
    found = refused(2, Reason.VALIDATION, '{"customer_id":"cus-1"}')
    found.met("0", 1.0)
    found.touched(["customer_id:cus-1"], 50.0)
    assert [refusal.exception_id for refusal in found.due(50.0)] == ["1"]


@pytest.mark.parametrize(
    ("request_", "is_meant"),
    [
        (RetryRequest(), True),
        (RetryRequest(tried_before_s=10.5), True),
        (RetryRequest(tried_before_s=10.0), False),
        (RetryRequest(exception_id="x"), True),
        (RetryRequest(exception_id="y"), False),
        (RetryRequest(exception_id="w"), False),
        (RetryRequest(target="netsuite"), True),
        (RetryRequest(target="float"), False),
        (RetryRequest(target="zuora"), False),
        (RetryRequest(reason=Reason.SETTING), True),
        (RetryRequest(reason=Reason.CLOSED), False),
        (RetryRequest(target="netsuite", reason=Reason.CLOSED), False),
        (RetryRequest(target="float", reason=Reason.SETTING), False),
    ],
)
def test_a_person_may_mean_one_or_those_of_a_target_or_reason(
    request_: RetryRequest, is_meant: bool
) -> None:
    problem = problem_of(Reason.SETTING)
    refusal = Refusal("x", make_command(), problem, 1, 1, 5.0, 10.0, 400.0)
    assert request_.is_about(refusal) is is_meant


def test_those_never_sent_come_first_then_the_longest_not_tried() -> None:
    sent, held = problem_of(Reason.SETTING), Problem("E", "no", None, Reason.SETTING, is_held=True)
    found = Refusals(
        Refusal(name, make_command(f"netsuite:{name}"), problem, 1, refusals, 0.0, at_s, 900.0)
        for name, problem, refusals, at_s in (
            ("late", sent, 1, 9.0), ("early", sent, 1, 0.5), ("held", held, 0, 5.0),
        )
    )  # fmt: skip
    found.refused("named", make_command("netsuite:project:n", target="netsuite"), sent, 1, 20.0)
    order = []
    now_s = 2_000.0
    while due := found.due(now_s):
        order += [refusal.exception_id for refusal in due]
        for refusal in due:
            found.met(refusal.exception_id, now_s)
    assert order == ["held", "early", "late", "named"]


def test_a_sweep_tries_each_once() -> None:
    found = refused(5, Reason.SETTING)
    now_s = 1_000.0
    tried = []
    while due := found.due(now_s):
        tried.append([refusal.exception_id for refusal in due])
        for refusal in due:
            if refusal.exception_id == "1":
                found.refused("1", refusal.command, refusal.problem, 2, now_s)
            else:
                found.met(refusal.exception_id, now_s)
    assert tried == [["0"], ["1", "2"], ["3"], ["4"]]
    assert len(found) == 1


def test_of_many_that_name_what_has_changed_the_rest_follows_30_seconds_later() -> None:
    found = refused(3, Reason.SETTING, '{"customer_id":"cus-1"}')
    found.touched(["customer_id:cus-1"], 50.0)
    tried = []
    for at_s in (50.0, 80.0, 110.0):
        if tried:
            assert found.due(at_s - 0.5) == []
        (refusal,) = found.due(at_s)
        tried.append(refusal.exception_id)
        found.refused(refusal.exception_id, refusal.command, refusal.problem, 2, at_s)
    assert sorted(tried) == ["0", "1", "2"]


def refuse_again(
    found: Refusals, now_s: float, code: str = "E", reason: Reason = Reason.SETTING
) -> list[Refusal]:
    """Refuse whatever is due, for this cause; return how it is remembered."""
    return [
        found.refused(it.exception_id, it.command, Problem(code, "no", None, reason), 2, now_s)
        for it in found.due(now_s)
    ]


def test_pauses_go_on_growing_where_each_refusal_is_for_another_cause() -> None:
    """The first other cause says that the one before is gone; from the second on none is."""
    found = refused(1, Reason.SETTING)
    pauses, wanted = [], []
    for number, code in enumerate("ABCD"):
        now_s = found.next_at_s(0.0) or 0.0
        [refusal] = refuse_again(found, now_s, code)
        pauses.append(refusal.retry_at_s - now_s)
        wanted.append(
            PACES[Reason.SETTING].pause_s(max(1, number + 1), f"upsert_project|{code}|None")
        )
    assert pauses == pytest.approx(wanted)


def test_a_newer_revision_that_is_refused_for_another_cause_begins_with_the_first_pause() -> None:
    found = refused(1, Reason.SETTING)
    for code in "AB":
        refuse_again(found, found.next_at_s(0.0) or 0.0, code)
    newer = make_command("netsuite:project:0", revision=2)
    refusal = found.refused("0", newer, Problem("C", "no", None, Reason.SETTING), 1, 9_000.0)
    first_s = PACES[Reason.SETTING].pause_s(1, "upsert_project|C|None")
    assert refusal.retry_at_s - 9_000.0 == pytest.approx(first_s)


def test_after_a_trial_that_a_person_asked_for_in_vain_pauses_begin_anew() -> None:
    found = refused(2, Reason.SETTING)
    for _ in range(6):
        refuse_again(found, found.next_at_s(0.0) or 0.0)
    assert found.request(RetryRequest(target="netsuite"), 90_000.0) == 2
    assert found.next_at_s(90_000.0) == 90_000.0
    [tried] = refuse_again(found, 90_000.0)
    pause_s = (found.next_at_s(90_000.0) or 0.0) - 90_000.0
    assert pause_s == pytest.approx(PACES[Reason.SETTING].pause_s(2, "upsert_project|E|None"))
    assert tried.refusals == 2


@pytest.mark.parametrize("good", ["taken", "another of its kind"])
def test_a_kind_is_held_after_twenty_refusals_since_the_last_that_was_taken(good: str) -> None:
    found = refused(19, Reason.PERMISSION)
    if good == "taken":
        [trial] = found.due(1_000.0)
        found.met(trial.exception_id, 1_000.0)
    else:
        found.flows("upsert_project")
    for number in range(20):
        assert found.holding("upsert_project") is None
        command = make_command(f"netsuite:later:{number}")
        found.refused(f"later {number}", command, problem_of(Reason.PERMISSION), 1, 1_000.0)
    assert found.holding("upsert_project") is not None


def restored(*retry_at_s: float, refusals: int = 1, reason: Reason = Reason.SETTING) -> Refusals:
    """What an earlier session left behind, refused at 0 s."""
    return Refusals(
        Refusal(
            str(number),
            make_command(f"netsuite:project:{number}"),
            problem_of(reason),
            1,
            refusals,
            0.0,
            0.0,
            at_s,
        )
        for number, at_s in enumerate(retry_at_s)
    )


def test_a_cohort_that_is_restored_is_due_when_the_last_of_it_is() -> None:
    assert restored(500.0, 900.0, 700.0).next_at_s(100.0) == 900.0
    longest_s = PACES[Reason.SETTING].longest_s
    assert restored(100.0 + longest_s).next_at_s(100.0) == 100.0 + longest_s
    assert restored(101.0 + longest_s).next_at_s(100.0) == 100.0, "no pause is so long"


@pytest.mark.parametrize("refusals", [0, 1, 5])
def test_pauses_go_on_where_an_earlier_session_left_them(refusals: int) -> None:
    found = restored(900.0, refusals=refusals)
    [refusal] = refuse_again(found, 900.0)
    pace = PACES[Reason.SETTING]
    wanted = pace.pause_s(max(1, refusals) + 1, "upsert_project|E|None")
    assert (found.next_at_s(900.0) or 0.0) - 900.0 == pytest.approx(wanted)
    assert refusal.refusals == max(1, refusals) + 1


def test_an_answer_that_never_comes_holds_the_others_up_for_one_longer_pause() -> None:
    found = restored(900.0, 900.0)
    [lost] = found.due(900.0)
    pause_s = PACES[Reason.SETTING].pause_s(2, "upsert_project|E|None")
    at_s = found.next_at_s(900.0) or 0.0
    assert at_s == pytest.approx(900.0 + pause_s)
    assert found.due(at_s - 1.0) == []
    [other] = found.due(at_s)
    assert other.exception_id != lost.exception_id


@pytest.mark.parametrize(
    ("count", "reason", "longest_s"),
    [
        (1_000, Reason.VALIDATION, 518.4),  # 3 at a time, all within two days
        (20_000, Reason.VALIDATION, 60.0),  # but never more than some a minute
        (1_000, Reason.SETTING, 172.8),
        (1_000, Reason.PERMISSION, 3_600.0),  # no record is the cause: few calls are enough
    ],
)
def test_pauses_of_many_are_short_enough_that_each_is_tried_within_two_days(
    count: int, reason: Reason, longest_s: float
) -> None:
    found = restored(*[900.0] * count, refusals=30, reason=reason)
    refuse_again(found, 900.0, reason=reason)
    pause_s = (found.next_at_s(900.0) or 0.0) - 900.0
    assert 0.75 * longest_s <= pause_s <= longest_s + 0.001
    if reason is not Reason.PERMISSION:
        assert pause_s == pytest.approx(longest_s)


def test_one_that_a_person_names_is_tried_at_once_and_once() -> None:
    found = restored(900.0, 900.0)
    assert found.request(RetryRequest(exception_id="1"), 100.0) == 1
    assert found.next_at_s(100.0) is not None
    assert (found.next_at_s(100.0) or 0.0) <= 100.0
    [refusal] = found.due(100.0)
    assert refusal.exception_id == "1"
    found.refused("1", refusal.command, refusal.problem, 2, 100.0)
    assert found.request(RetryRequest(exception_id="7"), 100.0) == 0
    assert found.next_at_s(101.0) == 900.0


ASKED = {
    "by its name": RetryRequest(exception_id="1"),
    "by its reason": RetryRequest(reason=Reason.SETTING),
}


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("request_", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("code", ["E", "another"])
def test_a1_one_that_a_person_asks_for_during_its_trial_is_tried_once_more(
    request_: RetryRequest, code: str
) -> None:
    """The target may have answered before the cure."""
    found = restored(900.0, 900.0)
    found.request(RetryRequest(exception_id="1"), 100.0)
    [refusal] = found.due(100.0)
    assert found.request(request_, 101.0) == (1 if request_.exception_id else 2)
    assert "1" not in [it.exception_id for it in found.due(101.0)], "it is under way"
    assert (found.next_at_s(102.0) or 0.0) > 102.0
    found.refused("1", refusal.command, Problem(code, "no", None, Reason.SETTING), 2, 103.0)
    assert (found.next_at_s(103.0) or 0.0) <= 103.0
    assert "1" in [it.exception_id for it in found.due(103.0)]
    found.refused("1", refusal.command, Problem(code, "no", None, Reason.SETTING), 3, 104.0)
    assert "1" not in [it.exception_id for it in found.due(104.0)], "it was tried once more"


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("news", ["met", "put back"])
def test_a1_one_that_a_person_asks_for_during_its_trial_is_over_where_that_was_good(
    news: str,
) -> None:
    found = restored(900.0)
    [refusal] = found.due(900.0)
    found.request(RetryRequest(exception_id="0"), 901.0)
    if news == "met":
        found.met("0", 902.0)
    else:
        found.put_back("0", 902.0)  # another one of its natural key tells
    found.refused("0", refusal.command, refusal.problem, 2, 903.0)
    assert (found.next_at_s(903.0) or 0.0) > 903.0


@pytest.mark.fault("C11", place="connectors/dispatch/refusals.py")
@pytest.mark.parametrize("ahead_s", [0.0, 60.0, 365 * 24 * HOUR])
def test_c11_stamps_of_a_clock_that_was_ahead_put_nobody_off(ahead_s: float) -> None:
    """Whoever was tried longest ago is next, whatever the clock said then."""
    problem = problem_of(Reason.VALIDATION)
    found = Refusals(
        Refusal(
            str(number), make_command(f"netsuite:project:{number}"), problem, 1, 1, 0.0,
            ahead_s if number < 10 else 0.0, 900.0,
        )
        for number in range(60)
    )  # fmt: skip
    now_s, tried = 1_000.0, set[str]()
    while now_s < PATIENCE_S + 1_000:
        now_s = max(now_s, found.next_at_s(now_s) or 0.0)
        for refusal in found.due(now_s):
            tried.add(refusal.exception_id)
            found.refused(refusal.exception_id, refusal.command, problem, 2, now_s)
    assert len(tried) == 60


@pytest.mark.fault("C11", place="connectors/dispatch/refusals.py")
def test_c11_a_change_is_tried_soon_though_the_clock_went_back_since_the_last_trial() -> None:
    found = refused(2, Reason.VALIDATION, '{"customer_id":"cus-1"}')
    ahead_s = 2 * HOUR
    assert len(found.due(ahead_s)) == 2
    for identity in "01":
        command = make_command(f"netsuite:project:{identity}", payload='{"customer_id":"cus-1"}')
        found.refused(identity, command, problem_of(Reason.VALIDATION), 2, ahead_s)
    found.touched(["customer_id:cus-1"], 100.0)
    assert found.next_at_s(100.0) == 130.0
    assert len(found.due(130.0)) == 2


@pytest.mark.fault("C11", place="connectors/dispatch/refusals.py")
def test_c11_a_change_is_tried_though_the_clock_goes_back_before_it_is() -> None:
    found = refused(1, Reason.VALIDATION, '{"customer_id":"cus-1"}')
    found.touched(["customer_id:cus-1"], 5.0)
    assert found.next_at_s(0.0) == 30.0
    assert found.due(0.0) == []
    assert found.next_at_s(-1.0) == -1.0, "no change waits longer than 30 s"
    assert len(found.due(-1.0)) == 1


def test_who_is_tried_because_its_record_changed_says_nothing_about_the_others() -> None:
    found = refused(3, Reason.SETTING, '{"customer_id":"cus-1"}')
    at_s = found.next_at_s(0.0)
    found.touched(["customer_id:cus-1"], 40.0)
    [beside] = found.due(40.0)
    found.refused(beside.exception_id, beside.command, beside.problem, 2, 40.0)
    for other in {"0", "1", "2"} - {beside.exception_id}:
        found.met(other, 41.0)
    assert found.due(70.0) == [], "nothing that changed is left"
    assert found.next_at_s(70.0) == at_s, "the pause of the cohort goes on"


def test_who_was_not_tried_after_all_leaves_its_turn_to_the_next() -> None:
    found = restored(900.0, 900.0)
    [first] = found.due(900.0)
    found.put_back(first.exception_id, 901.0)
    assert found.next_at_s(901.0) == 901.0
    [second] = found.due(901.0)
    assert second.exception_id != first.exception_id
    found.put_back(second.exception_id, 902.0)
    pause_s = PACES[Reason.SETTING].pause_s(1, "upsert_project|E|None")
    assert found.next_at_s(902.0) == pytest.approx(902.0 + pause_s), "all had their turn"
    found.put_back("unknown", 902.0)
    found.put_back(first.exception_id, 903.0)  # it is not under way
    assert found.next_at_s(903.0) == pytest.approx(902.0 + pause_s)


def test_what_a_person_asks_for_is_tried_before_what_was_never_sent() -> None:
    found = Refusals()
    sent, held = problem_of(Reason.SETTING), Problem("E", "no", None, Reason.SETTING, is_held=True)
    found.refused("asked for", make_command("netsuite:project:0"), sent, 1, 5.0)
    found.refused("held", make_command("netsuite:project:1"), held, 0, 20.0)
    assert found.request(RetryRequest(tried_before_s=10.0), 30.0) == 1

    [first] = found.due(30.0)
    found.refused(first.exception_id, first.command, sent, 2, 30.0)
    [second] = found.due(found.next_at_s(30.0) or 0.0)

    assert (first.exception_id, second.exception_id) == ("asked for", "held")


def test_one_that_is_taken_because_its_record_changed_lets_the_others_follow_at_once() -> None:
    found = refused(3, Reason.SETTING, '{"customer_id":"cus-1"}')
    found.touched(["customer_id:cus-1"], 40.0)
    [beside] = found.due(40.0)
    found.met(beside.exception_id, 40.0)
    assert found.next_at_s(40.0) == 40.0


def test_each_answer_that_never_comes_makes_the_next_pause_longer() -> None:
    found = restored(*[900.0] * 4)
    now_s, tried = 900.0, list[str]()
    for failures in (2, 3, 4, 5):
        [lost] = found.due(now_s)
        tried.append(lost.exception_id)
        pause_s = PACES[Reason.SETTING].pause_s(failures, "upsert_project|E|None")
        assert found.next_at_s(now_s) == pytest.approx(now_s + pause_s)
        now_s = found.next_at_s(now_s) or 0.0
    assert sorted(tried) == ["0", "1", "2", "3"]
    assert found.due(now_s) == [], "all are under way"
    pause_s = PACES[Reason.SETTING].pause_s(5, "upsert_project|E|None")
    assert found.next_at_s(now_s) == pytest.approx(now_s + pause_s)


def test_one_that_never_answers_among_some_that_are_taken_halves_how_many_follow() -> None:
    found = restored(*[900.0] * 20, reason=Reason.VALIDATION)
    first = found.due(900.0)
    for refusal in first:
        found.met(refusal.exception_id, 900.0)
    second = found.due(900.0)
    for refusal in second[1:]:
        found.met(refusal.exception_id, 901.0)
    pause_s = PACES[Reason.VALIDATION].pause_s(2, "upsert_project|E|None")
    at_s = found.next_at_s(901.0) or 0.0
    assert at_s == pytest.approx(900.0 + pause_s), "its answer is waited for"
    third = found.due(at_s)
    assert [len(each) for each in (first, second, third)] == [3, 6, 3]
    assert second[0] not in third


@pytest.mark.parametrize("answer", ["refused", "taken", "put back"])
def test_an_answer_that_comes_late_counts_only_where_it_is_good(answer: str) -> None:
    found = restored(900.0, 900.0, 900.0)
    [lost] = found.due(900.0)
    now_s = found.next_at_s(900.0) or 0.0
    [other] = found.due(now_s)
    found.refused(other.exception_id, other.command, other.problem, 2, now_s)
    at_s = found.next_at_s(now_s) or 0.0
    pause_s = PACES[Reason.SETTING].pause_s(3, "upsert_project|E|None")
    assert at_s == pytest.approx(now_s + pause_s), "it was refused for the third time in a row"
    match answer:
        case "refused":
            found.refused(lost.exception_id, lost.command, lost.problem, 2, now_s + 1)
        case "put back":
            found.put_back(lost.exception_id, now_s + 1)
        case _:
            found.met(lost.exception_id, now_s + 1)
    assert found.next_at_s(now_s + 1) == (now_s + 1 if answer == "taken" else at_s)


def test_who_answers_late_has_its_next_turn_in_the_next_sweep() -> None:
    found = restored(*[900.0] * 4)
    [lost] = found.due(900.0)
    now_s = found.next_at_s(900.0) or 0.0
    [taken] = found.due(now_s)
    found.refused(lost.exception_id, lost.command, lost.problem, 2, now_s)
    found.met(taken.exception_id, now_s)
    others = found.due(now_s)
    assert len(others) == 2
    assert lost.exception_id not in {refusal.exception_id for refusal in others}
    for refusal in others:
        found.met(refusal.exception_id, now_s)
    at_s = found.next_at_s(now_s) or 0.0
    assert at_s > now_s
    [again] = found.due(at_s)
    assert again.exception_id == lost.exception_id


def test_what_a_person_asks_for_does_not_wait_for_an_answer() -> None:
    found = restored(900.0, 900.0, refusals=5)
    [lost] = found.due(900.0)
    assert found.request(RetryRequest(target="netsuite"), 901.0) == 2
    [other] = found.due(901.0)
    assert other.exception_id != lost.exception_id
    pause_s = PACES[Reason.SETTING].pause_s(2, "upsert_project|E|None")
    assert found.next_at_s(901.0) == pytest.approx(901.0 + pause_s)
    found.refused(lost.exception_id, lost.command, lost.problem, 2, 902.0)
    assert found.due(902.0) == [lost_again(found)], "it may have been answered before the cure"
    found.refused(lost.exception_id, lost.command, lost.problem, 3, 903.0)
    assert found.next_at_s(903.0) == pytest.approx(901.0 + pause_s), "it is no part of the sweep"


def lost_again(found: Refusals) -> Refusal | None:
    return found.waiting("0")


def test_who_is_refused_again_by_a_newer_revision_goes_behind_the_others() -> None:
    found = refused(2, Reason.SETTING)
    newer = make_command("netsuite:project:0", revision=2)
    found.refused("0", newer, problem_of(Reason.SETTING), 1, 5.0)
    now_s = found.next_at_s(5.0) or 0.0
    order = []
    for _ in range(2):
        [refusal] = found.due(now_s)
        order.append((refusal.exception_id, refusal.command.revision))
        found.met(refusal.exception_id, now_s)
    assert order == [("1", 1), ("0", 2)]


def test_one_that_a_person_names_in_vain_makes_no_pause_of_the_others_longer() -> None:
    found = restored(900.0, 900.0)
    assert found.request(RetryRequest(exception_id="1"), 100.0) == 1
    [refusal] = found.due(100.0)
    found.refused("1", refusal.command, refusal.problem, 2, 100.0)
    assert found.next_at_s(100.0) == 900.0


def test_the_next_one_follows_where_one_beside_the_sweep_is_taken_and_its_probe_is_refused() -> (
    None
):
    found = refused(3, Reason.SETTING, '{"customer_id":"cus-1"}')
    now_s = found.next_at_s(0.0) or 0.0
    [probe] = found.due(now_s)
    found.touched(["customer_id:cus-1"], now_s)
    [beside] = found.due(now_s + 30)
    found.met(beside.exception_id, now_s + 31)
    assert found.due(now_s + 31) == [], "the probe is waited for"
    found.refused(probe.exception_id, probe.command, probe.problem, 2, now_s + 32)
    [last] = found.due(now_s + 32)
    assert {probe.exception_id, beside.exception_id, last.exception_id} == {"0", "1", "2"}


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
def test_a1_trials_that_are_never_answered_keep_nobody_waiting_beyond_patience() -> None:
    """However many of them there are: the others of a large cause are all tried in two days."""
    count, now_s = 300, 900.0
    found = restored(*[now_s] * count, reason=Reason.VALIDATION)
    tried: set[str] = set()
    while len(tried) < count:
        for refusal in found.due(now_s):
            tried.add(refusal.exception_id)
            if int(refusal.exception_id) % 3:
                answer = refusal.exception_id, refusal.command, refusal.problem
                found.refused(*answer, refusal.attempts + 1, now_s)
        now_s = max(found.next_at_s(now_s) or now_s, now_s)
    assert now_s - 900.0 <= 1.1 * PATIENCE_S


def test_what_waits_below_a_revision_is_older_than_it() -> None:
    found = Refusals()
    found.refused("held", make_command(revision=3), problem_of(Reason.SETTING), 1, 0.0)
    key = make_command().natural_key
    assert [found.of(key, below=revision) != [] for revision in (2, 3, 4)] == [False, False, True]
