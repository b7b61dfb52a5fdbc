"""People in time, from their canonical rows to the tables: one person, one past."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas import identity
from streams.groups import make_groups
from tables.foundation.facts import Employment, Resource
from tables.project.people import Person, learnt, on, since
from tests.support.catalogue import LANDSCAPE
from tests.support.histories import Change, Feeder
from tests.support.topology import FixedRegistry, Topology

PERSON = "float:person:7"
ADA = identity.resource_id(PERSON)
PROJECT = "inhouse:project:4"
OLD, NEW = (identity.resource_id(f"{name}@firm.example") for name in ("ada.adler", "ada.berg"))
EIGHT, FOUR = ([Decimal(f"{hours}.00")] * 5 + [Decimal("0.00")] * 2 for hours in (8, 4))


def at(month: int, day: int = 1, year: int = 2026) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


class Firm:
    """The tables, fed with canonical rows; nothing is published before `show`."""

    def __init__(self) -> None:
        registry = FixedRegistry()
        self._feeder = Feeder(Topology(make_groups([], registry, LANDSCAPE), registry))
        self._put("project", PROJECT, source_system="inhouse", project_id=None, status="active")
        self._entries = 0

    def _put(self, entity: str, key: str, **row: Any) -> None:
        self._feeder.upsert(f"psa.{entity}", key, row)

    def person(self, row_id: str = PERSON, **changes: Any) -> None:
        row = {
            "resource_id": identity.resource_id(row_id),
            "address_id": OLD,
            "kind": "employee",
            "work_hours": EIGHT,
            "starts_on": date(2026, 1, 1),
            "is_active": True,
            "source_at": at(1),
        }
        self._put("resource", row_id, **{**row, **changes})

    def leave(self, row_id: str, **changes: Any) -> None:
        row = {"kind": "leave", "resource_refs": [PERSON], "status": "approved"}
        self._put("absence", row_id, **{**row, **changes})

    def hours(self, address: str, work_on: date, hours: str = "8.00") -> None:
        self._entries += 1
        self._put(
            "time_entry",
            f"inhouse:time_entry:{self._entries}",
            project_ref=PROJECT,
            resource_id=address,
            work_on=work_on,
            hours=Decimal(hours),
            currency="EUR",
            status="approved",
            is_billable=True,
        )

    def again(self, entity: str, key: str) -> None:
        self._feeder.feed(Change(entity, key, repeat=0))

    def gone(self, entity: str, key: str) -> None:
        self._feeder.delete(f"psa.{entity}", key)

    def show(self, topic: str = "psa.metric.utilization") -> dict[str, dict[str, Any]]:
        """Work everything off; return the rows of a table, of utilization by person and week."""
        self._feeder.topology.run()
        assert self._feeder.topology.outcomes["dead_lettered"] == 0
        rows = self._feeder.topology.table(topic)
        return {key: rows[key] for key in sorted(rows)}


# -- working patterns -----------------------------------------------------------------------


@pytest.mark.fault("C3", place="tables/project/people.py")
def test_c3_other_hours_from_september_leave_march_as_it_was() -> None:
    firm = Firm()
    firm.person()
    firm.show()
    firm.person(work_hours=FOUR, source_at=at(9))
    rows = firm.show()
    assert rows[f"{ADA}|2026-W11"]["available_hours"] == 40
    assert rows[f"{ADA}|2026-W36"]["available_hours"] == 24  # from Tuesday, 1 September
    assert rows[f"{ADA}|2026-W37"]["available_hours"] == 20


@pytest.mark.fault("C3", place="tables/project/people.py")
def test_the_history_of_the_source_stands_above_what_was_learnt() -> None:
    firm = Firm()
    firm.person(work_hours=FOUR)
    firm.show()
    patterns = [
        {"starts_on": date(2026, 6, 1), "seconds": [7 * 3_600] * 5 + [0, 0]},
        {"starts_on": date(1970, 1, 1), "seconds": [6 * 3_600] * 5 + [0, 0]},
    ]
    firm.person(work_patterns=patterns, source_at=at(9))  # the plain field may be stale
    rows = firm.show()
    assert rows[f"{ADA}|2026-W11"]["available_hours"] == 30
    assert rows[f"{ADA}|2026-W40"]["available_hours"] == 35


def test_several_changes_of_a_day_are_the_last_one() -> None:
    history = since((), date(2026, 9, 1), "a")
    history = since(since(history, date(2026, 9, 5), "b"), date(2026, 9, 5), "c")
    assert history == ((date(2026, 9, 1), "a"), (date(2026, 9, 5), "c"))
    assert [on(history, date(2026, month, 6)) for month in (1, 9)] == ["a", "c"]
    assert since((), None, "a") == ((date.min, "a"),)


@pytest.mark.fault("B10", place="tables/measures/utilization.py")
def test_b10_a_person_of_unknown_hours_has_hours_and_no_ratio() -> None:
    firm = Firm()
    firm.person(work_hours=None)
    firm.hours(OLD, date(2026, 3, 9))
    row = firm.show()[f"{ADA}|2026-W11"]
    assert (row["billable_hours"], row["available_hours"]) == (8, None)
    assert (row["utilization_ratio"], row["ratio_reason"]) == (None, "unknown_hours")


# -- employment -----------------------------------------------------------------------------


def employed(*changes: dict[str, Any]) -> tuple[tuple[date | None, date | None], ...]:
    person: Person | None = None
    for position, change in enumerate(changes):
        fact = Resource(id=PERSON, resource_id=ADA, source_position=position, **change)
        person = learnt(person, fact)
    assert person is not None
    return tuple((each.starts_on, each.ends_on) for each in person.employments)


HIRED, LEFT, BACK = date(2024, 1, 1), date(2025, 6, 30), date(2026, 2, 1)


@pytest.mark.fault("C3", place="tables/project/people.py")
@pytest.mark.parametrize(
    ("changes", "spells"),
    [
        pytest.param([{"starts_on": HIRED}], [(HIRED, None)], id="hired"),
        pytest.param(
            [{"starts_on": HIRED}, {"starts_on": date(2023, 1, 1)}],
            [(date(2023, 1, 1), None)],
            id="first day corrected",
        ),
        pytest.param(
            [{"starts_on": HIRED, "ends_on": LEFT}, {"starts_on": BACK}],
            [(HIRED, LEFT), (BACK, None)],
            id="hired again, with a new first day",
        ),
        pytest.param(
            [
                {"starts_on": HIRED, "ends_on": LEFT, "source_at": at(6, 1, 2025)},
                {"starts_on": HIRED, "source_at": at(2)},
                {"starts_on": HIRED, "source_at": at(3)},
                {"starts_on": HIRED, "ends_on": date(2026, 12, 31), "source_at": at(4)},
            ],
            [(HIRED, LEFT), (BACK, date(2026, 12, 31))],
            id="hired again under the old first day",
        ),
        pytest.param(
            [
                {"starts_on": HIRED, "ends_on": LEFT},
                {"starts_on": BACK},
                {"starts_on": date(2026, 3, 1)},
            ],
            [(HIRED, LEFT), (date(2026, 3, 1), None)],
            id="hired again, and that first day corrected",
        ),
        pytest.param(
            [{"starts_on": HIRED, "ends_on": LEFT}, {"starts_on": BACK}, {"starts_on": LEFT}],
            [(HIRED, LEFT), (BACK, None)],
            id="hired again, on a first day within the first spell",
        ),
        pytest.param(
            [{"starts_on": HIRED, "ends_on": LEFT}, {"starts_on": BACK}, {"starts_on": None}],
            [(HIRED, LEFT), (BACK, None)],
            id="hired again, and that first day taken away",
        ),
        pytest.param(
            [
                {"starts_on": HIRED, "ends_on": LEFT, "source_at": at(1, 1, 2025)},
                {"starts_on": HIRED, "source_at": at(2, 1, 2025)},
            ],
            [(HIRED, None)],
            id="stays after all",
        ),
        pytest.param(
            [
                {"starts_on": HIRED, "source_at": at(1)},
                {"starts_on": HIRED, "is_active": False, "source_at": at(2)},
                {"starts_on": HIRED, "is_active": False, "source_at": at(5)},
            ],
            [(HIRED, BACK)],
            id="archived without a last day",
        ),
        pytest.param(
            [{"starts_on": HIRED, "ends_on": LEFT}, {"starts_on": HIRED, "ends_on": BACK}],
            [(HIRED, BACK)],
            id="last day corrected",
        ),
    ],
)
def test_spells_of_employment(
    changes: list[dict[str, Any]], spells: list[tuple[date | None, date | None]]
) -> None:
    assert list(employed(*changes)) == spells


def test_i3_a_row_delivered_again_begins_no_spell() -> None:
    firm = Firm()
    firm.person(starts_on=date(2027, 1, 7), ends_on=date(2026, 12, 28))  # typed the wrong way round
    firm.again("resource", PERSON)
    firm.person(starts_on=None, source_at=at(1, 1, 2027))
    assert list(firm.show()) == [f"{ADA}|2026-W53"]


def test_an_open_spell_covers_every_day_after_its_first() -> None:
    assert Employment(starts_on=HIRED).ends_on is None


# -- the bench ------------------------------------------------------------------------------


@pytest.mark.fault("C9", place="tables/measures/utilization.py")
def test_c9_weeks_without_hours_have_rows_from_the_first_week_of_employment() -> None:
    firm = Firm()
    firm.person(starts_on=date(2026, 12, 16))
    rows = firm.show()
    assert [row["iso_week"] for row in rows.values()] == ["2026-W51", "2026-W52", "2026-W53"]
    bench = rows[f"{ADA}|2026-W52"]
    assert (bench["available_hours"], bench["total_hours"]) == (40, 0)
    assert (bench["utilization_ratio"], bench["ratio_reason"]) == (0, None)
    assert rows[f"{ADA}|2026-W51"]["available_hours"] == 24


@pytest.mark.fault("C9", place="tables/measures/utilization.py")
def test_the_rows_of_the_bench_end_with_employment_and_go_with_the_person() -> None:
    firm = Firm()
    firm.person(starts_on=date(2026, 11, 30), ends_on=date(2026, 12, 9))
    assert [row["iso_week"] for row in firm.show().values()] == ["2026-W49", "2026-W50"]
    firm.gone("resource", PERSON)
    assert firm.show() == {}


@pytest.mark.fault("C9", place="tables/measures/utilization.py")
def test_leave_lowers_what_is_available_and_comes_back_with_its_deletion() -> None:
    firm = Firm()
    firm.person(starts_on=date(2026, 12, 21), region_ref="float:region:1")
    firm.leave("float:timeoff:1", starts_on=date(2026, 12, 23), ends_on=date(2027, 1, 31))
    firm.leave("float:timeoff:2", status="tentative", starts_on=HIRED, ends_on=date(2027, 1, 31))
    here = {"kind": "holiday", "resource_refs": None, "dates": [date(2026, 12, 21)]}
    firm.leave("float:public_holiday:1", region_ref="float:region:1", **here)
    firm.leave("float:public_holiday:2", region_ref="float:region:2", **here)
    rows = firm.show()
    assert rows[f"{ADA}|2026-W52"]["available_hours"] == 8
    assert rows[f"{ADA}|2026-W53"]["ratio_reason"] == "no_availability"
    firm.gone("absence", "float:timeoff:1")
    rows = firm.show()
    assert [row["available_hours"] for row in rows.values()] == [32, 40]


# -- identity -------------------------------------------------------------------------------


@pytest.mark.fault("C13", place="tables/project/addresses.py")
@pytest.mark.parametrize("is_late", [False, True])
def test_c13_a_person_whose_address_changes_is_one_person(is_late: bool) -> None:
    firm = Firm()
    firm.person(starts_on=date(2026, 12, 21))
    if not is_late:
        firm.hours(OLD, date(2026, 12, 21))
        firm.hours(NEW, date(2026, 12, 22))
        firm.show()
    firm.person(starts_on=date(2026, 12, 21), address_id=NEW, source_at=at(12, 22))
    if is_late:
        firm.show()
        firm.hours(OLD, date(2026, 12, 21))
        firm.hours(NEW, date(2026, 12, 22))
    rows = firm.show()
    assert {row["resource_id"] for row in rows.values()} == {ADA}
    assert rows[f"{ADA}|2026-W52"]["total_hours"] == 16


@pytest.mark.fault("C13", place="tables/project/addresses.py")
def test_hours_that_come_before_their_person_move_to_it() -> None:
    firm = Firm()
    firm.hours(OLD, date(2026, 3, 9))
    (row,) = firm.show().values()
    assert (row["resource_id"], row["ratio_reason"]) == (OLD, "unknown_person")
    firm.person(starts_on=date(2026, 3, 9), ends_on=date(2026, 3, 10))
    (row,) = firm.show().values()
    assert (row["resource_id"], row["utilization_ratio"]) == (ADA, Decimal("0.5"))


@pytest.mark.fault("C13", place="tables/project/addresses.py")
@pytest.mark.parametrize(
    "order", [("float:person:7", "float:person:8"), ("float:person:8", "float:person:7")]
)
def test_an_address_that_is_given_to_another_person_keeps_its_past(order: tuple[str, str]) -> None:
    spells = {
        "float:person:7": {"starts_on": date(2026, 1, 1), "ends_on": date(2026, 3, 31)},
        "float:person:8": {"starts_on": date(2026, 5, 4)},
    }
    firm = Firm()
    for row_id in order:
        firm.person(row_id, **spells[row_id])
        firm.show()
    firm.hours(OLD, date(2026, 3, 9))
    firm.hours(OLD, date(2026, 5, 5))
    rows = firm.show()
    other = identity.resource_id("float:person:8")
    assert rows[f"{ADA}|2026-W11"]["total_hours"] == 8
    assert rows[f"{other}|2026-W19"]["total_hours"] == 8


@pytest.mark.fault("C13", place="connectors/vendors/float/mapping.yaml")
def test_a_person_without_an_address_is_a_person() -> None:
    firm = Firm()
    firm.person(address_id=None, starts_on=date(2026, 12, 28))
    assert [row["resource_id"] for row in firm.show().values()] == [ADA]


def shared(firm: Firm) -> dict[str, tuple[Any, Any]]:
    return {key: (row["status"], row["detail"]) for key, row in firm.show("psa.exception").items()}


@pytest.mark.fault("C13", place="tables/project/shared_address.py")
def test_c13_two_rows_with_one_address_are_told_with_both_names_until_one_is_put_right() -> None:
    firm, other = Firm(), "float:person:8"
    firm.person()
    firm.person(other)
    identity_of = f"person:{OLD}"
    owner = identity.resource_id(other)
    told = f"float:person:7 and float:person:8 have one address; its hours count for {owner}"
    assert shared(firm) == {identity_of: ("open", told)}
    firm.person(other, address_id=NEW)
    assert shared(firm) == {identity_of: ("resolved", None)}


@pytest.mark.fault("C13", place="tables/project/shared_address.py")
def test_c13_whose_the_hours_are_is_told_anew_when_a_third_row_takes_the_address() -> None:
    """A placeholder is nobody with an address, and may claim one all the same."""
    firm = Firm()
    firm.person()
    firm.person("float:person:8")
    firm.show()
    for row, kind in (("float:person:9", "placeholder"), ("float:person:9", "employee")):
        firm.person(row, kind=kind, starts_on=date(2026, 12, 1))
        [(_, detail)] = shared(firm).values()
        assert detail.endswith(f"its hours count for {identity.resource_id(row)}")


@pytest.mark.fault("C13", place="tables/project/shared_address.py")
@pytest.mark.parametrize(
    "changes",
    [
        {"starts_on": date(2026, 6, 1)},  # after the former has left
        {"starts_on": date(2026, 4, 2), "ends_on": date(2026, 4, 1)},  # no day of employment
        {"kind": "placeholder"},
        {"is_active": False, "source_at": None},  # archived, nobody knows when
        {"address_id": None},
    ],
)
def test_rows_that_are_not_two_people_at_one_time_are_no_exception(changes: dict[str, Any]) -> None:
    firm = Firm()
    firm.person(ends_on=date(2026, 5, 31))
    firm.person("float:person:8", **changes)
    assert shared(firm) == {}
