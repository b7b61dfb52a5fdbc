"""Decisions of the ledger that the property tests do not single out."""

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.dispatch.commands import Intent, Settled
from connectors.dispatch.ledger import Attempt, Ledger, Look, Revisit, Supersede, Withdraw
from tests.support.sinks import make_command
from tests.support.virtual_time import START

KEY = "netsuite:project:a"


def test_a_new_command_is_attempted() -> None:
    ledger = Ledger({}, {})
    command = make_command(KEY)

    assert ledger.deliver(command)
    assert ledger.next(KEY) == Attempt(command, 1)


def test_only_one_step_of_a_key_is_under_way() -> None:
    ledger = Ledger({}, {})
    ledger.deliver(make_command(KEY))
    ledger.next(KEY)

    with pytest.raises(AssertionError):
        ledger.next(KEY)


@pytest.mark.parametrize("revision", [1, 2])
def test_i8_a_revision_at_or_below_the_settled_one_is_refused(revision: int) -> None:
    ledger = Ledger({KEY: Settled(2, 3)}, {})

    assert not ledger.deliver(make_command(KEY, revision))
    assert not ledger.has_work(KEY)


def test_an_open_intent_whose_command_was_compacted_away_is_looked_up_all_the_same() -> None:
    ledger = Ledger({KEY: Settled(1)}, {KEY: Intent("cmd-2", 2, 3)})
    newer = make_command(KEY, 5)
    ledger.deliver(newer)

    assert ledger.next(KEY) == Look(newer, 0)
    ledger.not_applied(KEY)
    assert ledger.next(KEY) == Attempt(newer, 1)


def test_a_settled_intent_is_not_open() -> None:
    ledger = Ledger({KEY: Settled(2, 3)}, {KEY: Intent("cmd-2", 2, 3)})
    command = make_command(KEY, 3)
    ledger.deliver(command)

    assert ledger.next(KEY) == Attempt(command, 1)


def test_attempts_of_an_earlier_process_are_counted_on() -> None:
    command = make_command(KEY, 2)
    ledger = Ledger({}, {KEY: Intent(command.command_id, 2, 3)})
    ledger.deliver(command)

    assert ledger.next(KEY) == Look(command, 3)
    ledger.not_applied(KEY)
    assert ledger.next(KEY) == Attempt(command, 4)


def test_a_revision_older_than_a_waiting_one_is_refused() -> None:
    ledger = Ledger({}, {})
    ledger.deliver(make_command(KEY, 3))

    assert not ledger.deliver(make_command(KEY, 2))


@pytest.mark.parametrize("revision", [1, 2, 3])
def test_what_is_delivered_again_behind_several_that_wait_is_refused(revision: int) -> None:
    ledger = Ledger({}, {})
    first, last = make_command(KEY, 1), make_command(KEY, 3)
    ledger.deliver(first)
    ledger.deliver(last)

    assert not ledger.deliver(make_command(KEY, revision))
    assert ledger.withdraw(KEY, 3) is None, "the last that waits is not below it"
    assert ledger.next(KEY) == Supersede(first, 0)
    ledger.settled(first, 0, None)
    assert ledger.next(KEY) == Attempt(last, 1)
    ledger.settled(last, 1, "t1")
    assert not ledger.has_work(KEY)


def test_a_withdrawal_goes_by_the_newest_command_that_waits() -> None:
    ledger = Ledger({}, {})
    first, last = make_command(KEY, 1), make_command(KEY, 3)
    ledger.deliver(first)
    ledger.deliver(last)

    assert ledger.withdraw(KEY, 3) is None
    assert not ledger.is_withdrawn(KEY)
    assert ledger.withdraw(KEY, 4) is last
    assert ledger.is_withdrawn(KEY)


def test_an_attempt_that_may_have_landed_is_never_superseded() -> None:
    ledger = Ledger({}, {})
    first, second = make_command(KEY, 1), make_command(KEY, 2)
    ledger.deliver(first)
    ledger.next(KEY)
    ledger.unknown(KEY)
    ledger.deliver(second)

    assert ledger.next(KEY) == Look(first, 1)
    ledger.not_applied(KEY)
    assert ledger.next(KEY) == Supersede(first, 1)
    ledger.settled(first, 1, None)
    assert ledger.next(KEY) == Attempt(second, 1)


def test_an_unanswered_attempt_is_unknown_until_reported() -> None:
    ledger = Ledger({}, {})
    ledger.deliver(make_command(KEY))
    ledger.next(KEY)

    assert ledger.open_intent(KEY) is not None


@pytest.mark.fault("A1", place="connectors/dispatch/ledger.py")
@pytest.mark.parametrize(
    ("settled", "attempted", "is_reopened"),
    [
        (3, None, True),
        (2, None, True),  # an older result came late, in the place of the last one
        (4, None, False),
        (3, 3, True),
        (2, 3, True),
        (3, 4, False),  # it comes again, and is looked up before anything else
        (None, 4, False),
        (None, None, True),
    ],
)
def test_a1_a_refused_command_is_tried_again_unless_something_newer_is_known(
    settled: int | None, attempted: int | None, is_reopened: bool
) -> None:
    ledger = Ledger(
        {} if settled is None else {KEY: Settled(settled, 1)},
        {} if attempted is None else {KEY: Intent(f"{KEY}#{attempted}", attempted, 2)},
    )
    command = make_command(KEY, 3)

    assert ledger.reopen(command, attempts=2) is is_reopened
    assert ledger.has_work(KEY) is is_reopened
    if is_reopened:
        assert ledger.next(KEY) == Look(command, 2)
    elif attempted is not None:
        newer = make_command(KEY, attempted)
        assert ledger.deliver(newer)
        assert ledger.next(KEY) == Look(newer, 2)


def test_what_is_left_over_is_revisited_when_nothing_else_waits_and_settles_nothing() -> None:
    ledger = Ledger({KEY: Settled(5, 3, "t1")}, {})
    left, newer, last = make_command(KEY, 2), make_command(KEY, 6), make_command(KEY, 7)
    assert ledger.revisit(left)
    assert ledger.has_work(KEY)
    assert ledger.kind(KEY) == left.kind
    assert not ledger.deliver(make_command(KEY, 5)), "it is settled"
    assert ledger.next(KEY) == Revisit(left, 3)
    assert ledger.withdraw(KEY, 9) is None, "it was carried out"
    assert ledger.deliver(newer)
    ledger.revisited(KEY)
    assert ledger.next(KEY) == Attempt(newer, 1)
    assert not ledger.revisit(left), "the newer one will tell"
    ledger.settled(newer, 1, "t1")
    assert not ledger.has_work(KEY)

    assert ledger.revisit(left)
    assert ledger.deliver(last)
    assert ledger.next(KEY) == Attempt(last, 1), "a new order does not wait behind it"
    ledger.settled(last, 1, "t1")
    assert ledger.next(KEY) == Revisit(left, 1)
    ledger.revisited(KEY)
    assert not ledger.has_work(KEY)


def test_a_revisit_says_nothing_about_an_attempt_of_unknown_outcome() -> None:
    ledger = Ledger({KEY: Settled(2, 3)}, {KEY: Intent("cmd-2", 2, 4)})
    left = make_command(KEY, 1)
    assert ledger.revisit(left)
    assert ledger.next(KEY) == Revisit(left, 3)
    ledger.revisited(KEY)

    assert ledger.open_intent(KEY) == Intent("cmd-2", 2, 4)
    assert ledger.reopen(make_command(KEY, 2), attempts=3)
    assert ledger.next(KEY) == Look(make_command(KEY, 2), 4)


@pytest.mark.parametrize("is_left_over", [True, False])
def test_what_was_withdrawn_is_looked_up_only_where_an_attempt_may_have_landed(
    is_left_over: bool,
) -> None:
    ledger = Ledger({KEY: Settled(2, 3)}, {})
    command = make_command(KEY, 2)
    if is_left_over:
        ledger.revisit(make_command(KEY, 1))
    ledger.reopen(command, attempts=3)
    assert ledger.withdraw(KEY, 3) is command
    assert ledger.next(KEY) == Withdraw(command, 3)
    ledger.settled(command, 3, None)

    assert ledger.has_work(KEY) is is_left_over
    assert not ledger.deliver(command)
    assert ledger.reopen(command, attempts=3)
    assert ledger.next(KEY) == Look(command, 3), "it is withdrawn no more"


def test_what_is_wanted_waits_since_the_oldest_change_of_its_key() -> None:
    ledger = Ledger({}, {})
    first, last = (
        replace(make_command(KEY, revision), issued_at=START + timedelta(minutes=revision))
        for revision in (1, 2)
    )
    other = make_command("netsuite:project:b")
    for command in (first, last, other):
        ledger.deliver(command)
    assert list(ledger.wanted()) == [(first.issued_at, last), (None, other)]
    ledger.withdraw(KEY, 3)
    assert list(ledger.wanted()) == [(None, other)]
    ledger.next(other.natural_key)
    ledger.settled(other, 1, "1")
    assert list(ledger.wanted()) == []
