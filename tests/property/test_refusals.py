"""Whatever comes of trials, and though nothing comes: refused commands go on being tried, calmly.

Times are in virtual seconds; nothing runs.
"""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.dispatch.commands import Problem
from connectors.dispatch.pace import PACES
from connectors.dispatch.refusals import Refusal, Refusals, RetryRequest
from connectors.toolkit.faults import Reason
from tests.support.examples import examples
from tests.support.sinks import make_command

SHORTEST_PAUSE_S = 45.0
ANSWERS = st.sampled_from(["refused", "for another cause", "taken", "put back", "none"])
EVENTS = st.one_of(
    st.tuples(st.just("refused"), st.integers(0, 7)),
    st.tuples(st.just("due"), st.lists(ANSWERS, min_size=1, max_size=8)),
    st.tuples(st.just("answered late"), ANSWERS),
    st.tuples(st.just("touched"), st.integers(0, 7)),
    st.tuples(st.just("asked for"), st.sampled_from(["one", "all"])),
    st.tuples(st.just("time"), st.integers(1, 100_000)),
)


class World:
    """Refusals of one reason, and what was tried of them when."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        self.refusals = Refusals()
        self.now_s = 0.0
        self.open: dict[str, Refusal] = {}  # trials without an answer
        self.tried: Counter[str] = Counter()
        self.extra = 0  # trials of each that somebody or something asked for

    def refuse(self, number: int, code: str = "X") -> None:
        command = make_command(
            f"netsuite:project:{number}", payload=f'{{"project_id":"p{number}"}}'
        )
        problem = Problem(code, "no", reason=self.reason)
        self.open.pop(str(number), None)
        self.refusals.refused(str(number), command, problem, 1, self.now_s)

    def answer(self, identity: str, answer: str) -> None:
        match answer:
            case "refused":
                self.refuse(int(identity), self.open[identity].problem.code)
            case "for another cause":
                self.refuse(int(identity), "Y")
            case "taken":
                self.refusals.met(identity, self.now_s)
                self.extra += 1  # its like may follow at once
            case "put back":
                self.refusals.put_back(identity, self.now_s)
            case _:
                return
        self.open.pop(identity, None)

    def due(self, answers: list[str]) -> None:
        """Try whatever is due by now, until there is a pause."""
        for _ in range(100):
            found = self.refusals.due(self.now_s)
            at_s = self.refusals.next_at_s(self.now_s)
            assert found or at_s is None or at_s > self.now_s, "neither work nor a pause"
            if not found:
                return
            for number, refusal in enumerate(found):
                assert refusal.exception_id not in self.open, "it is tried already"
                self.open[refusal.exception_id] = refusal
                self.tried[refusal.exception_id] += 1
                self.answer(refusal.exception_id, answers[number % len(answers)])
        raise AssertionError("there is always something to do")

    def apply(self, event: str, value: object) -> None:
        match event, value:
            case "refused", int(number):
                self.refuse(number)
            case "due", list(answers):
                self.now_s = max(self.now_s, self.refusals.next_at_s(self.now_s) or 0.0)
                self.due(answers)
            case "answered late", str(answer):
                if self.open:
                    self.answer(next(iter(self.open)), answer)
            case "touched", int(number):
                self.refusals.touched([f"project_id:p{number}"], self.now_s)
                self.extra += 1
            case "asked for", "one":
                self.extra += self.refusals.request(RetryRequest("0"), self.now_s)
            case "asked for", _:
                self.extra += self.refusals.request(RetryRequest(), self.now_s)
            case "time", int(seconds):
                self.now_s += seconds


@pytest.mark.fault("A1", place="connectors/dispatch/refusals.py")
@given(reason=st.sampled_from(list(Reason)), events=st.lists(EVENTS, max_size=40), data=st.data())
@settings(max_examples=examples(150), deadline=None)
def test_a1_whatever_is_answered_or_not_all_are_tried_within_a_bound_and_without_a_storm(
    reason: Reason, events: list[tuple[str, object]], data: st.DataObject
) -> None:
    world = World(reason)
    for number in range(3):
        world.refuse(number)
    for event, value in events:
        world.apply(event, value)
        assert (world.refusals.next_at_s(world.now_s) is None) is (len(world.refusals) == 0)
    most = world.now_s / SHORTEST_PAUSE_S + world.extra + len(events) + 2
    assert max(world.tried.values(), default=0) <= most

    waiting = [str(it) for it in range(8) if world.refusals.waiting(str(it)) is not None]
    lost = set(world.open) | set(data.draw(st.lists(st.sampled_from(waiting or ["0"]))))
    world.tried.clear()
    until_s = world.now_s + (len(waiting) + 2) * PACES[reason].longest_s
    while (at_s := world.refusals.next_at_s(world.now_s)) is not None and at_s <= until_s:
        world.now_s = max(world.now_s, at_s)
        for refusal in world.refusals.due(world.now_s):
            world.tried[refusal.exception_id] += 1
            world.open[refusal.exception_id] = refusal
            if refusal.exception_id not in lost:
                world.answer(refusal.exception_id, "refused")
    for identity in waiting:
        assert identity in lost or world.tried[identity], "it is not tried again"
