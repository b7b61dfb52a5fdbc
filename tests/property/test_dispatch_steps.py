"""Whatever happens while a dispatcher waits at one of its steps, each desire ends as it should. I8.

What was read before an await may be out of date after it: an order comes or is taken back, the
lease ends, an heir settles what a process that stood still goes on with, a record lands late.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.dispatch import gate, refusals, repeated
from connectors.dispatch.exceptions import exception_id, warning_id
from tests.support.dispatch_steps import KEY, Ending, Event, Plan, play
from tests.support.examples import examples
from tests.support.sinks import make_command
from tests.support.virtual_time import run_virtually

REFUSED, LEFT = exception_id(make_command(KEY)), warning_id(make_command(KEY))
CARRIED_OUT = ("succeeded", "adopted")

PLANS = st.lists(st.tuples(st.integers(0, 8), st.sampled_from(Event)), max_size=8)


def end_of(plan: Plan, *, refuses: bool, is_asked: bool = True) -> Ending:
    """Play a plan where one failure is as good as many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refusals, "HOLD_AFTER", 1)  # a refusal is enough for the next to be held
        patch.setattr(repeated, "UNCLEAR_AFTER", 2)
        patch.setattr(gate, "DOWN_AFTER", 2)
        return run_virtually(play(plan, refuses=refuses, is_asked=is_asked))


@pytest.mark.fault("C11", place="connectors/dispatch/refusals.py")
@given(refuses=st.booleans(), plan=PLANS)
@example(True, [(0, Event.AHEAD), (15, Event.CRASH), (0, Event.BACK)])
@example(
    False,
    [(0, Event.UNCLEAR), (0, Event.AHEAD), (9, Event.CRASH), (0, Event.BACK)],
)
@example(False, [(0, Event.AHEAD), (2, Event.FREEZE_LONG), (0, Event.BACK), (4, Event.DOWN)])
@example(
    False,
    [(0, Event.UNCLEAR), (8, Event.CRASH), (0, Event.WITHDRAW), (0, Event.COMPACT)],
)
@settings(max_examples=examples(12), deadline=None)
def test_c11_whatever_clocks_say_nothing_is_put_off_for_ever_nor_begun_twice(
    refuses: bool, plan: Plan
) -> None:
    """Nobody asks: pauses, deadlines and leases have to end by themselves, after every restart."""
    ending = end_of(plan, refuses=refuses, is_asked=False)

    assert ending.made <= 1, "nothing is begun twice"
    assert ending.unwanted_writes == []
    assert ending.committed == ending.orders, "nothing is put off for ever"
    assert (REFUSED in ending.open_while_refused) is ending.is_refused
    assert ending.open_at_last == set()
    if ending.wanted is None:
        assert ending.held == ending.held_while_refused[:1]
    else:
        assert ending.held == [ending.wanted.payload]


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.fault("A6", place="connectors/dispatch/journal.py")
@given(refuses=st.booleans(), plan=PLANS)
@example(True, [(0, Event.CRASH_LATE), (2, Event.WITHDRAW)])  # held back, and told late
@example(True, [(5, Event.CURE), (0, Event.ASK), (8, Event.CRASH)])
@example(True, [(8, Event.CURE), (4, Event.CRASH_LATE)])  # between two records of a trial
@example(True, [(5, Event.CURE), (8, Event.FREEZE), (7, Event.CRASH)])
@example(True, [(8, Event.CURE), (0, Event.ASK), (2, Event.CRASH), (0, Event.WITHDRAW)])
@example(True, [(4, Event.CURE), (0, Event.ASK), (5, Event.CRASH), (0, Event.WITHDRAW)])
@example(
    False,
    [(4, Event.DOUBLE), (0, Event.ORDER), (5, Event.REFUSE), (0, Event.ORDER), (3, Event.TIDY)],
)
@example(False, [(3, Event.CRASH), (8, Event.DOUBLE), (2, Event.FREEZE)])
@example(False, [(1, Event.WITHDRAW)])  # while the intent is recorded
@example(False, [(1, Event.ORDER)])
@settings(max_examples=examples(60), deadline=None)
def test_a1_a6_whatever_happens_at_whatever_step_each_desire_ends_as_it_should(
    refuses: bool, plan: Plan
) -> None:
    ending = end_of(plan, refuses=refuses)

    done = {row["revision"] for row in ending.results if row["status"] in CARRIED_OUT}
    assert ending.made <= 1, "nothing is made twice"
    assert ending.unwanted_writes == [], "what is known to be out of date is not sent"
    assert ending.committed == ending.orders, "nothing is lost"
    assert (REFUSED in ending.open_while_refused) is ending.is_refused, "open where it is refused"
    is_doubled = len(ending.held_while_refused) > 1
    assert LEFT not in ending.open_while_refused or is_doubled, "no warning of what is tidied up"
    assert LEFT in ending.open_while_refused or not ending.is_warned, "told until it is tidied up"
    assert ending.open_at_last == set(), "nothing stays open once all is well"
    if ending.wanted is None:
        assert ending.held == ending.held_while_refused[:1], "what nobody wants is not made later"
    else:
        assert ending.held == [ending.wanted.payload], "the last revision is carried out"
        last = max(ending.results, key=lambda row: (row["revision"], row["attempts"]))
        assert (last["revision"], last["status"] in CARRIED_OUT) == (ending.wanted.revision, True)
    made = {make_command(KEY, revision=revision).payload for revision in done}
    assert set(ending.held) <= made, "what is there is known to be"
