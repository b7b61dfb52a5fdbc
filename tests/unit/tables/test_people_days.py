"""What holds of a person on a day, at the edges of what is known."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tables.foundation.documents import Documents
from tables.foundation.facts import Absence, Employment, RateCard, Resource
from tables.project.addresses import Address
from tables.project.people import (
    People,
    Person,
    calendar_of,
    capacity,
    days_off_on,
    is_employed,
    learnt,
    on,
    priced,
    since,
    spans,
)
from tests.support.topology import MemoryState

PERSON = "float:person:7"
MONDAY = date(2026, 3, 2)
DAY = timedelta(days=1)
EIGHT = 8 * 3_600
WEEK = (EIGHT,) * 5 + (0, 0)


def person(**changes: Any) -> Person:
    fields: dict[str, Any] = {
        "resource": Resource(id=PERSON, resource_id="res-7", kind="employee"),
        "employments": (Employment(),),
        "patterns": ((date.min, WEEK),),
        "regions": ((date.min, "here"),),
    }
    return Person(**{**fields, **changes})


def absence(**changes: Any) -> Absence:
    fields: dict[str, Any] = {"id": "o", "kind": "leave", "resource_refs": (PERSON,)}
    return Absence(**{**fields, "starts_on": MONDAY, "ends_on": MONDAY, **changes})


HOLIDAY: dict[str, Any] = {"kind": "holiday", "resource_refs": None}


def worked(someone: Person, *absences: Absence, day: date = MONDAY) -> int | None:
    return capacity(calendar_of(someone, absences), day)


# -- days off -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "days"),
    [
        ({}, [0]),
        ({"ends_on": None}, [0]),
        ({"ends_on": MONDAY + DAY}, [0, 1]),
        ({"ends_on": MONDAY - DAY}, []),
        ({"starts_on": None}, []),
        ({"starts_on": None, "dates": (MONDAY, MONDAY + 2 * DAY)}, [0, 2]),
        ({"dates": (MONDAY + 2 * DAY,)}, [0, 2]),
    ],
)
def test_the_days_of_an_absence(changes: dict[str, Any], days: list[int]) -> None:
    off = absence(**changes)
    covered = {
        first + DAY * number
        for first, last in spans(off)
        for number in range((last - first).days + 1)
    }
    assert covered == {MONDAY + DAY * number for number in days}
    calendar = calendar_of(person(), [off])
    around = [MONDAY + DAY * number for number in range(-2, 5)]
    assert {day for day in around if days_off_on(calendar, day)} == covered


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 0),
        ({"is_whole_day": True, "seconds_per_day": 3_600}, 0),
        ({"is_whole_day": False, "seconds_per_day": 3_600}, 7 * 3_600),
        ({"seconds_per_day": 3_600}, 7 * 3_600),
        ({"seconds_per_day": 9 * 3_600}, 0),
    ],
)
def test_a_day_off_without_hours_is_off_as_a_whole(changes: dict[str, Any], seconds: int) -> None:
    assert worked(person(), absence(**changes)) == seconds


def test_several_hours_off_add_up_and_a_weekend_has_none_to_lose() -> None:
    hour = absence(seconds_per_day=3_600)
    two = absence(id="p", seconds_per_day=7_200, ends_on=MONDAY + 6 * DAY)
    assert worked(person(), hour, two) == 5 * 3_600
    assert worked(person(), hour, two, day=MONDAY + 5 * DAY) == 0


@pytest.mark.parametrize(("region", "is_off"), [("here", True), ("there", False), (None, True)])
def test_a_holiday_is_of_its_place_or_of_everybody(region: str | None, *, is_off: bool) -> None:
    seconds = worked(person(), absence(region_ref=region, **HOLIDAY))
    assert seconds == (0 if is_off else EIGHT)
    nowhere = person(regions=((date.min, None),))
    assert worked(nowhere, absence(region_ref=region, **HOLIDAY)) == (
        0 if region is None else EIGHT
    )


def test_leave_is_ones_own_wherever_one_is() -> None:
    assert worked(person(), absence(region_ref="there")) == 0


def test_a_holiday_counts_while_one_is_at_its_place() -> None:
    """From here to there on Wednesday; a week of holidays at each place."""
    moves = person(regions=((date(2026, 1, 1), "here"), (MONDAY + 2 * DAY, "there")))
    for region, days in (("here", {0, 1}), ("there", {2, 3, 4})):
        week = absence(region_ref=region, ends_on=MONDAY + 4 * DAY, **HOLIDAY)
        calendar = calendar_of(moves, [week])
        found = {n for n in range(5) if capacity(calendar, MONDAY + n * DAY) == 0}
        assert found == days
        assert all(each.is_holiday for each in calendar.days_off)
    [off] = calendar_of(moves, [absence()]).days_off
    assert not off.is_holiday
    before = absence(region_ref="here", starts_on=date(2025, 1, 1), ends_on=None, **HOLIDAY)
    assert worked(moves, before, day=date(2025, 1, 1)) == 0, "the first place holds before, too"


def test_a_day_between_the_first_and_the_last_day_of_employment_has_work() -> None:
    spell = person(employments=(Employment(starts_on=MONDAY, ends_on=MONDAY + 2 * DAY),))
    calendar = calendar_of(spell, ())
    assert [is_employed(calendar, MONDAY + n * DAY) for n in range(-1, 4)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert [capacity(calendar, MONDAY + n * DAY) for n in (-1, 0, 3)] == [0, EIGHT, 0]
    assert worked(person(patterns=((date.min, None),)), absence()) is None


# -- histories ------------------------------------------------------------------------------


def test_a_value_that_was_learnt_before_the_last_one_corrects_it() -> None:
    history = ((MONDAY, "a"), (MONDAY + 7 * DAY, "b"))
    assert since(history, MONDAY + DAY, "c") == ((MONDAY, "a"), (MONDAY + 7 * DAY, "c"))
    assert since(history, None, "c") == ((MONDAY, "a"), (MONDAY + 7 * DAY, "c"))
    assert since(history, MONDAY + 8 * DAY, "b") == history
    assert since(history, MONDAY + 8 * DAY, "c") == (*history, (MONDAY + 8 * DAY, "c"))
    assert on((), MONDAY) is None


def spells(*changes: dict[str, Any]) -> list[tuple[date | None, date | None]]:
    found: Person | None = None
    for change in changes:
        found = learnt(found, Resource(id=PERSON, resource_id="res-7", **change))
    assert found is not None
    return [(each.starts_on, each.ends_on) for each in found.employments]


FIRST, LAST = date(2025, 1, 1), date(2025, 6, 30)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param({"starts_on": LAST}, [(LAST, None)], id="begins on the last day"),
        pytest.param(
            {"starts_on": LAST + DAY}, [(FIRST, LAST), (LAST + DAY, None)], id="a day later"
        ),
        pytest.param(
            {"starts_on": FIRST, "source_at": LAST}, [(FIRST, None)], id="told on the last day"
        ),
        pytest.param(
            {"starts_on": FIRST, "source_at": LAST + DAY},
            [(FIRST, LAST), (LAST + DAY, None)],
            id="told a day later",
        ),
        pytest.param(
            {"starts_on": FIRST, "ends_on": LAST + DAY, "source_at": LAST + DAY},
            [(FIRST, LAST), (LAST + DAY, LAST + DAY)],
            id="back for a day",
        ),
        pytest.param(
            {"starts_on": FIRST, "ends_on": LAST + DAY, "source_at": LAST + 2 * DAY},
            [(FIRST, LAST + DAY)],
            id="the last day corrected after it",
        ),
    ],
)
def test_who_comes_back_when(
    after: dict[str, Any], expected: list[tuple[date | None, date | None]]
) -> None:
    assert spells({"starts_on": FIRST, "ends_on": LAST}, after) == expected


def test_a_second_spell_begins_after_the_first() -> None:
    back = LAST + 30 * DAY
    former = [{"starts_on": FIRST, "ends_on": LAST}, {"starts_on": back}]
    assert spells(*former, {"starts_on": LAST})[1] == (back, None)
    assert spells(*former, {"starts_on": LAST + DAY})[1] == (LAST + DAY, None)
    ended = [{"starts_on": back, "ends_on": back + DAY * number} for number in (1, 2)]
    assert spells(*former, *ended) == [(FIRST, LAST), (back, back + 2 * DAY)]


def test_an_archived_person_keeps_the_last_day_that_is_known() -> None:
    known = {"starts_on": FIRST, "ends_on": LAST}
    archived = {"starts_on": FIRST, "is_active": False, "source_at": LAST + 30 * DAY}
    assert spells(known, archived) == [(FIRST, LAST)]
    assert spells(archived) == [(FIRST, LAST + 30 * DAY)]
    assert spells({"starts_on": FIRST, "is_active": True, "source_at": LAST}) == [(FIRST, None)]


def test_of_several_rates_of_a_day_the_highest_known_counts() -> None:
    def card(*rates: Decimal | None) -> RateCard:
        dated = [{"starts_on": MONDAY, "rate": rate} for rate in rates]
        return RateCard.model_validate({"id": PERSON, "cost_rates": dated})

    for rates in ((None, Decimal(0), Decimal(5)), (Decimal(5), None, Decimal(4))):
        assert on(priced(None, card(*rates)).costs, MONDAY) == 5
    assert on(priced(None, card(Decimal(0), None)).costs, MONDAY) == 0
    half = Decimal("0.5")
    assert on(priced(None, card(half, Decimal(0))).costs, MONDAY) == half


# -- what is delivered again ----------------------------------------------------------------


@pytest.mark.parametrize(("position", "is_new"), [(1, False), (2, False), (3, True), (None, True)])
def test_i3_only_a_later_change_counts(position: int | None, *, is_new: bool) -> None:
    people = People(Documents(MemoryState()))
    old = Resource(id=PERSON, resource_id="res-7", region_ref="here", source_position=2)
    people.apply_resource(PERSON, old)
    newer = old.model_copy(update={"region_ref": "there", "source_position": position})
    people.apply_resource(PERSON, newer)
    known = people.person(PERSON)
    assert known is not None
    assert known.resource.region_ref == ("there" if is_new else "here")

    people.apply_rate_card(PERSON, RateCard(id=PERSON, currency="EUR", source_position=2))
    people.apply_rate_card(PERSON, RateCard(id=PERSON, currency="USD", source_position=position))
    rates = people.rates(PERSON)
    assert rates is not None
    assert rates.card.currency == ("USD" if is_new else "EUR")

    people.apply_absence("o", absence(source_position=2))
    touched = people.apply_absence("o", absence(ends_on=MONDAY + DAY, source_position=position))
    assert touched == ({PERSON} if is_new else set())
    calendar = people.calendar(PERSON)
    assert calendar is not None
    assert bool(days_off_on(calendar, MONDAY + DAY)) is is_new


def test_people_hear_of_what_changes_their_days() -> None:
    people = People(Documents(MemoryState()))
    for row, region in (("a", "here"), ("b", "there"), ("c", None)):
        people.apply_resource(row, Resource(id=row, resource_id=row, region_ref=region))
    assert people.apply_absence("h", absence(region_ref="here", **HOLIDAY)) == {"a"}
    assert people.apply_absence("h", absence(region_ref="there", **HOLIDAY)) == {"a", "b"}
    assert people.apply_absence("e", absence(region_ref=None, **HOLIDAY)) == {"a", "b", "c"}
    assert people.apply_absence("h", None) == {"b"}
    assert people.apply_absence("l", absence(resource_refs=("a",))) == {"a"}
    assert people.apply_absence("l", absence(resource_refs=("b", "c"))) == {"a", "b", "c"}
    people.apply_resource("b", None)
    assert people.apply_absence("h", absence(region_ref="there", **HOLIDAY)) == set()
    assert people.calendar("b") is None


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [
        ({"resource_refs": ("a",)}, {"resource_refs": ("b",)}),
        ({"region_ref": "here", **HOLIDAY}, {"region_ref": "there", **HOLIDAY}),
        ({"resource_refs": ("a",)}, {"region_ref": "there", **HOLIDAY}),
    ],
    ids=["leave", "a holiday", "leave that is a holiday"],
)
def test_a_day_off_that_turns_out_to_be_somebody_elses_is_ones_own_no_longer(
    of_a: dict[str, Any], of_b: dict[str, Any]
) -> None:
    documents = Documents(MemoryState())
    people = People(documents)
    for row, region in (("a", "here"), ("b", "there")):
        people.apply_resource(row, Resource(id=row, resource_id=row, region_ref=region))

    def are_off() -> list[str]:
        calendars = {row: people.calendar(row) for row in "ab"}
        return [row for row, calendar in calendars.items() if calendar and calendar.days_off]

    people.apply_absence("o", absence(**of_a))
    assert are_off() == ["a"]
    people.apply_absence("o", absence(**of_b))
    assert are_off() == ["b"]
    people.apply_absence("o", None)
    assert are_off() == []
    assert documents.keys("off") == [], "nothing of it is kept"


def test_everybody_has_a_holiday_that_names_no_place_and_of_others_the_people_there() -> None:
    documents = Documents(MemoryState())
    people = People(documents)
    for row, region in (("a", "here"), ("b", "there"), ("c", None)):
        people.apply_resource(row, Resource(id=row, resource_id=row, region_ref=region))
    for region, off in (("here", ["a"]), (None, ["a", "b", "c"]), ("there", ["b"])):
        people.apply_absence("h", absence(region_ref=region, **HOLIDAY))
        calendars = {row: people.calendar(row) for row in "abc"}
        assert [row for row, days in calendars.items() if days and days.days_off] == off
        assert len(documents.keys("offr:")) == 1, "the former place has it no longer"


@pytest.mark.parametrize(
    ("status", "is_off"), [(None, True), ("approved", True), ("tentative", False)]
)
def test_only_what_is_approved_is_a_day_off(status: str | None, *, is_off: bool) -> None:
    people = People(Documents(MemoryState()))
    people.apply_resource(PERSON, Resource(id=PERSON, resource_id="res-7"))
    people.apply_absence("o", absence(status=status))
    calendar = people.calendar(PERSON)
    assert calendar is not None
    assert bool(calendar.days_off) is is_off


# -- addresses ------------------------------------------------------------------------------


def test_the_first_address_is_ones_own_from_the_first_day_of_all_employment() -> None:
    hired = (Employment(starts_on=FIRST, ends_on=LAST), Employment(starts_on=MONDAY))
    addresses = ((date(2025, 2, 1), "adr-1"), (date(2025, 3, 1), None), (MONDAY, "adr-2"))
    assert list(person(employments=hired, addresses=addresses).claims()) == [
        ("adr-1", FIRST),
        ("adr-2", MONDAY),
    ]
    unknown = person(employments=(), addresses=addresses[:1])
    assert list(unknown.claims()) == [("adr-1", date.min)]


def test_an_address_is_the_latest_claims_from_its_day_on() -> None:
    claims = {"a": [(MONDAY, "res-a")], "b": [(MONDAY + 7 * DAY, "res-b")]}
    address = Address(claims=claims)
    days = [MONDAY - DAY, MONDAY, MONDAY + 6 * DAY, MONDAY + 7 * DAY, date.max]
    found = [address.owner(day) for day in days]
    assert found == ["res-a", "res-a", "res-a", "res-b", "res-b"]
    same_day = Address(claims={"b": [(MONDAY, "res-b")], "a": [(MONDAY, "res-a")]})
    assert same_day.owner(MONDAY) == "res-b"
    assert same_day.owner(MONDAY - DAY) == "res-a"
    assert Address().owner(MONDAY) is None
