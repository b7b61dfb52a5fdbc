"""What is ordered, and what is not, for one natural key."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from schemas.canonical_json import Payload, canonical_json
from tables.foundation.ledger import GONE, LedgerEntry, decide, lose, observe, withdraw

NEW = LedgerEntry()
IN_FLIGHT = LedgerEntry(revision=1, ordered="a", echoes=("", "a"))
CONFIRMED = LedgerEntry(revision=1, ordered="a", observed="a", is_confirmed=True, echoes=("", "a"))
REORDERED = LedgerEntry(revision=2, ordered="b", observed="", echoes=("", "a", "a", "b"))
DELETING = LedgerEntry(revision=2, ordered=GONE, observed="a", echoes=("", "a", "a", GONE))


@pytest.mark.parametrize(
    ("entry", "desired", "observed", "is_due"),
    [
        pytest.param(NEW, "a", "", True, id="nothing there"),
        pytest.param(NEW, "a", "a", False, id="there already"),
        pytest.param(NEW, "a", "x", True, id="there with other content"),
        pytest.param(NEW, None, "x", False, id="no wish"),
        pytest.param(NEW, GONE, "", False, id="not there and not wanted"),
        pytest.param(NEW, GONE, "x", True, id="there and not wanted"),
        pytest.param(IN_FLIGHT, "a", "", False, id="on its way"),
        pytest.param(IN_FLIGHT, "b", "", True, id="another wish while one is on its way"),
        pytest.param(IN_FLIGHT, GONE, "", True, id="a deletion while a creation is on its way"),
        pytest.param(IN_FLIGHT, "a", "x", True, id="somebody else was first"),
        pytest.param(CONFIRMED, "a", "a", False, id="in sync"),
        pytest.param(CONFIRMED, "a", "x", True, id="edited by somebody else"),
        pytest.param(CONFIRMED, "a", "", True, id="deleted by somebody else"),
        pytest.param(CONFIRMED, GONE, "", False, id="deleted by somebody else and not wanted"),
        pytest.param(CONFIRMED, "b", "a", True, id="a new wish"),
        pytest.param(CONFIRMED, "b", "b", False, id="somebody else made the new wish true"),
        pytest.param(REORDERED, "b", "a", False, id="the former order shows first"),
        pytest.param(REORDERED, "a", "a", True, id="back to a former wish with one on its way"),
        pytest.param(DELETING, GONE, "a", False, id="a deletion on its way"),
        pytest.param(DELETING, GONE, "", False, id="deleted"),
        pytest.param(DELETING, "a", "a", True, id="wanted again with a deletion on its way"),
    ],
)
def test_what_is_due(entry: LedgerEntry, desired: str | None, observed: str, is_due: bool) -> None:
    assert decide(entry, desired, observed, 10)[1] is is_due


def test_deciding_again_orders_nothing() -> None:
    entry, is_due = decide(NEW, "a", "", 10)
    assert is_due
    assert decide(entry, "a", "", 20) == (entry, False)


def test_what_shows_in_the_end_confirms_the_order_and_is_no_edit_of_others() -> None:
    entry, is_foreign = observe(IN_FLIGHT, "a")
    assert (entry.observed, entry.is_confirmed, is_foreign) == ("a", True, False)
    assert observe(entry, "a") == (entry, False)


def test_a_deletion_is_confirmed_by_nothing_and_undone_by_other_content() -> None:
    gone, is_foreign = observe(DELETING, "")
    assert (gone.is_confirmed, is_foreign) == (True, False)
    other, is_foreign = observe(DELETING, "x")
    assert (other.is_confirmed, is_foreign) == (False, True)


@pytest.mark.parametrize(("former", "wish"), [("a", "b"), ("b", "a")])
def test_a_former_wish_is_ordered_again_after_somebody_else_made_the_new_one_true(
    former: str, wish: str
) -> None:
    entry = LedgerEntry(revision=1, ordered=former, observed=former, is_confirmed=True)
    entry, is_due = decide(entry, wish, wish, 10)
    assert not is_due
    assert decide(entry, former, wish, 20)[1]


def test_an_order_is_unconfirmed_until_it_shows() -> None:
    """What was ordered before it may show meanwhile, and is nobody's edit."""
    first, _ = decide(NEW, "a", "", 10)
    second, is_due = decide(first, "b", "", 20)
    assert is_due
    assert not second.is_confirmed
    assert not decide(second, "b", "a", 30)[1]


def test_a_wish_that_somebody_else_made_true_counts_as_ordered() -> None:
    entry, is_due = decide(CONFIRMED, "b", "b", 10)
    assert not is_due
    assert decide(entry, "a", "b", 20)[1]


def test_revisions_grow_even_if_the_clock_goes_back() -> None:
    first, _ = decide(NEW, "a", "", 100)
    second, _ = decide(first, "b", "", 50)
    assert (first.revision, second.revision) == (100, 101)


def test_an_edit_seen_while_there_was_no_wish_is_undone_by_the_next_wish() -> None:
    entry, is_due = decide(CONFIRMED, None, "x", 10)
    assert not is_due
    assert decide(entry, "a", "x", 20)[1]


def test_payloads_are_canonical() -> None:
    payload: Payload = {
        "b": Decimal("1.500"),
        "a": date(2026, 11, 1),
        "c": None,
        "d": Decimal("0.00"),
    }
    text = canonical_json(payload)
    assert text == '{"a":"2026-11-01","b":"1.5","c":null,"d":"0"}'
    assert json.loads(text)["b"] == "1.5"


def test_equal_amounts_read_the_same_whatever_their_scale() -> None:
    assert canonical_json({"x": "Müller"}) == '{"x":"Müller"}'
    assert canonical_json({"x": Decimal("100.0000")}) == canonical_json({"x": Decimal(100)})


@pytest.mark.parametrize(
    "digits", ["99999999999999999999999999999999.999999", "-12345678901234567890123456789012.5"]
)
def test_i7_an_amount_reads_as_all_of_its_digits(digits: str) -> None:
    """A contract holds 38; arithmetic rounds to 28 by default."""
    assert canonical_json({"x": Decimal(digits)}) == f'{{"x":"{digits}"}}'


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_an_open_order_is_taken_back_once_by_a_higher_revision_and_made_anew() -> None:
    ordered, is_due = decide(LedgerEntry(), "x", "", 10)
    assert is_due

    entry, is_open = withdraw(ordered, 20)
    assert is_open
    assert entry.revision > ordered.revision
    assert withdraw(entry, 30) == (entry, False)
    assert withdraw(ordered, 5)[0].revision == ordered.revision + 1, "a clock that goes back"

    again, is_due = decide(entry, "x", "", 20)
    assert is_due
    assert again.revision > entry.revision


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_what_the_target_has_shown_needs_no_taking_back() -> None:
    ordered, _ = decide(LedgerEntry(), "x", "", 10)
    shown, _ = decide(ordered, "x", "x", 20)

    assert withdraw(shown, 30) == (shown, False)


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
@pytest.mark.parametrize("observed", ["", "before"])
def test_a1_what_was_lost_is_ordered_anew_by_a_higher_revision(observed: str) -> None:
    entry = LedgerEntry(revision=7, ordered="a", observed=observed, echoes=("before", "a"))
    again, is_due = decide(lose(entry, 7), "a", observed, 5)
    assert (is_due, again.revision) == (True, 8)
    assert decide(again, "a", observed, 9) == (again, False), "once"
    shown, is_due = decide(again, "a", "a", 9)
    assert (is_due, shown.is_confirmed) == (False, True), "the first one shows after all"


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_losses_in_a_row_are_counted_until_it_shows() -> None:
    entry, _ = decide(LedgerEntry(), "a", "", 1)
    for losses in (1, 2):
        entry, _ = decide(lose(entry, entry.revision), "a", "", 9)
        assert entry.losses == losses
    entry, _ = decide(entry, "a", "a", 20)
    entry, is_due = decide(entry, "a", "", 30)  # somebody deleted what had shown
    assert (is_due, entry.losses) == (True, 0)


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_a_target_that_shows_something_has_not_lost_the_order() -> None:
    entry, _ = decide(LedgerEntry(), "a", "own version", 1)
    assert lose(entry, entry.revision).losses == 0


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_what_has_shown_or_was_followed_by_another_order_is_not_lost() -> None:
    assert lose(CONFIRMED, CONFIRMED.revision) == CONFIRMED
    assert lose(REORDERED, 1) == REORDERED
    assert lose(REORDERED, 3) == REORDERED


def test_a_deletion_on_its_way_goes_on_unless_it_is_withdrawn_too() -> None:
    assert withdraw(DELETING, 9) == (DELETING, False)
    entry, is_open = withdraw(DELETING, 9, is_deletion_too=True)
    assert (entry.ordered, entry.revision, is_open) == ("", 9, True)
    done = DELETING.model_copy(update={"is_confirmed": True})
    assert withdraw(done, 9, is_deletion_too=True) == (done, False), "it is carried out"
    assert withdraw(LedgerEntry(), 9, is_deletion_too=True) == (LedgerEntry(), False)


def test_after_many_orders_the_last_ones_are_still_known_as_ours() -> None:
    entry = LedgerEntry()
    for number in range(20):
        entry, _ = decide(entry, f"wish {number}", "", 10)
    for late in ("wish 17", "wish 18"):
        assert not decide(entry, "wish 19", late, 20)[1], "on its way, nobody's edit"
    assert decide(entry, "wish 19", "of somebody else", 20)[1]
