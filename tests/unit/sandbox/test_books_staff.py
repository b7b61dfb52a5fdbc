"""The books' view of a resource tool, whichever it is."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from sandbox.books import people
from sandbox.books.rows import SourceRows
from sandbox.books.staff import READ, Staff
from sandbox.vendors.clock import VendorClock
from sandbox.vendors.float.tables import FloatBooks
from schemas.identity import engagement_id, project_id

IN_GERMANY = project_id(engagement_id("salesforce:opportunity:D1"), "DE")
TODAY = date(2026, 9, 7)
FULL_TIME = [0, 8, 8, 8, 8, 8, 0]
FRIDAY_OFF = [0, 8, 8, 8, 8, 0, 0]


def of_float(**person: Any) -> Staff:
    """Somebody in region 1 on a project of ours, with days off and holidays."""
    books = FloatBooks(VendorClock())
    books.create("people", {"name": "Ada", "email": "a@b.example", "region_id": 1, **person})
    books.create("people", {"name": "Open", "people_type_id": 3})
    books.create("projects", {"name": "Rollout", "project_code": IN_GERMANY})
    books.create("projects", {"name": "Other", "project_code": "our own"})
    plan = {"people_id": 1, "project_id": 1, "start_date": "2026-09-07", "end_date": "2026-09-11"}
    for status in (1, 2, 3):
        books.create("tasks", {**plan, "hours": Decimal(4), "status": status, "billable": 0})
    off = {"people_ids": [1], "start_date": "2026-09-08", "end_date": "2026-09-08"}
    books.create("timeoffs", off)
    books.create("timeoffs", {**off, "full_day": 0, "hours": Decimal("1.5")})
    books.create("timeoffs", {**off, "status": 1})
    books.create("public-holidays", {"name": "There", "dates": ["2026-09-09"], "region": 1})
    books.create("public-holidays", {"name": "Elsewhere", "dates": ["2026-09-10"], "region": 2})
    books.create("holidays", {"name": "Outing", "date": "2026-09-11"})
    return READ["float"](books.rows(), TODAY)


def held(staff: Staff) -> SourceRows:
    return SourceRows(people=staff.people, days_off=staff.days_off, holidays=staff.holidays)


def test_projects_bear_the_canonical_id_or_none() -> None:
    assert [(row["ref"], row["project_id"]) for row in of_float().projects] == [
        ("float:project:1", IN_GERMANY), ("float:project:2", None),
    ]  # fmt: skip


def test_an_allocation_says_in_canonical_words_what_it_is() -> None:
    assert [
        (row["ref"], row["person_ref"], row["project_ref"], row["status"], row["is_billable"])
        for row in of_float().allocations
    ] == [
        (f"float:allocation:{number}", "float:person:1", "float:project:1", status, False)
        for number, status in ((1, "tentative"), (2, "approved"), (3, "completed"))
    ]


def test_a_seat_is_no_person() -> None:
    assert [row["is_placeholder"] for row in of_float().people] == [False, True]


def test_only_approved_leave_counts() -> None:
    assert [(row["people"], row["hours"]) for row in of_float().days_off] == [
        (["float:person:1"], None), (["float:person:1"], Decimal("1.5")),
    ]  # fmt: skip


def test_holidays_are_of_a_region_or_of_everybody() -> None:
    rows = held(of_float())
    days = [
        day for day in range(7, 12) if people.is_holiday(rows, rows.people[0], date(2026, 9, day))
    ]
    assert days == [9, 11]
    assert people.available_hours(rows, rows.people[0], "2026-W37") == Decimal(16)


@pytest.mark.parametrize(
    ("person", "hours"),
    [
        ({"work_days_hours": FULL_TIME}, 8),
        ({"work_days_hours": None}, None),
        ({"work_days_hours": FULL_TIME, "work_days_hours_history": {"2026-09-01": FRIDAY_OFF}}, 0),
        ({"work_days_hours_history": {"2026-09-01": FULL_TIME, "2026-09-12": FRIDAY_OFF}}, 8),
    ],
)
def test_the_dated_history_of_working_weeks_goes_before_the_plain_field(
    person: dict[str, Any], hours: int | None
) -> None:
    assert people.pattern_hours(of_float(**person).people[0], date(2026, 9, 11)) == hours


@pytest.mark.parametrize(
    ("contracts", "cost"),
    [
        ([], 50),
        ([{"effective_date": None, "cost_rate": Decimal(70)}], 50),
        ([{"effective_date": "2026-09-12", "cost_rate": Decimal(60)}], 60),
        (
            [
                {"effective_date": "2026-09-12", "cost_rate": Decimal(70)},
                {"effective_date": "2026-09-01", "cost_rate": Decimal(60)},
            ],
            60,
        ),
    ],
)
def test_the_dated_cost_goes_before_the_plain_field(
    contracts: list[dict[str, Any]], cost: int
) -> None:
    staff = of_float(cost_rate=Decimal(50), contracts=contracts)
    assert people.cost_rate(staff.people[0], date(2026, 9, 11)) == cost
