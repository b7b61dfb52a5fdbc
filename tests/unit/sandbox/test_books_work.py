"""The books' view of a PSA, whichever it is."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from sandbox.books.work import READ
from schemas.identity import engagement_id, project_id

DEALS = "salesforce:opportunity"
IN_GERMANY = project_id(engagement_id(f"{DEALS}:D1"), "DE")
RATES = {"bill_rate": Decimal(100), "cost_rate": Decimal(60), "currency": "EUR"}


def inhouse(**entry: Any) -> dict[str, list[dict[str, Any]]]:
    """The in-house tables with a project of a deal, an internal one, and one row of the others."""
    common = {"project_id": 7, "worker_email": "ada@firm.example", "is_billable": True}
    return {
        "projects": [
            {"id": 7, "opportunity_ref": "D1", "country_code": "DE"},
            {"id": 8, "opportunity_ref": None, "country_code": "DE"},
            {"id": 9, "opportunity_ref": "D1", "country_code": None},
        ],
        "time_entries": [
            {"id": 1, **common, **RATES, "work_on": date(2026, 9, 7), "status": "approved",
             "hours": Decimal("0.83"), "minutes": None, **entry}
        ],
        "expenses": [
            {"id": 5, **common, "spent_on": date(2026, 9, 8), "amount": Decimal(50),
             "currency": "EUR", "status": "submitted"}
        ],
    }  # fmt: skip


def test_projects_of_the_database_are_those_of_the_deal_they_name() -> None:
    work = READ["inhouse"].read(inhouse(), DEALS)
    assert {row["ref"]: row["project_id"] for row in work.projects} == {
        "inhouse:project:7": IN_GERMANY,
        "inhouse:project:8": None,
        "inhouse:project:9": None,
    }


@pytest.mark.parametrize(("minutes", "hours"), [(None, Fraction(83, 100)), (50, Fraction(50, 60))])
def test_time_is_what_the_timer_counted_or_else_what_was_typed(
    minutes: int | None, hours: Fraction
) -> None:
    [entry] = READ["inhouse"].read(inhouse(minutes=minutes), DEALS).time_entries
    assert entry == {
        "ref": "inhouse:time_entry:1",
        "project_ref": "inhouse:project:7",
        "worker": "ada@firm.example",
        "work_on": date(2026, 9, 7),
        "hours": hours,
        "is_billable": True,
        "status": "approved",
        **RATES,
    }


def test_an_expense_is_of_its_project() -> None:
    [expense] = READ["inhouse"].read(inhouse(), DEALS).expenses
    assert (expense["project_ref"], expense["amount"]) == ("inhouse:project:7", Decimal(50))


def certinia(**card: Any) -> dict[str, list[dict[str, Any]]]:
    """An org with a week that begins on a Sunday, and rows in the recycle bin beside the others."""
    common = {"IsDeleted": False, "pse__Project__c": "a0B1", "pse__Resource__c": "0031"}
    common |= {"CurrencyIsoCode": "EUR", "pse__Billable__c": True, "pse__Status__c": "Approved"}
    common |= {"pse__Submitted__c": True, "pse__Approved__c": True}
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    week = {f"pse__{day}_Hours__c": Decimal(0) for day in days}
    week |= {"pse__Monday_Hours__c": Decimal("0.83"), "pse__Sunday_Hours__c": Decimal(2)}
    row = {
        **common, **week, "Id": "a0D1", "pse__Start_Date__c": "2026-09-06",
        "pse__Bill_Rate__c": Decimal(100), "pse__Cost_Rate_Amount__c": Decimal(60),
        "pse__Cost_Rate_Currency_Code__c": "EUR", **card,
    }  # fmt: skip
    spent: dict[str, Any] = {**common, "Id": "a0E1", "pse__Expense_Date__c": "2026-09-08"}
    spent |= {"pse__Amount__c": Decimal(50)}
    projects = [
        {"Id": "a0B1", "Psastream_Project_Id__c": f" {IN_GERMANY} ", "IsDeleted": False},
        {"Id": "a0B2", "Psastream_Project_Id__c": None, "IsDeleted": False},
        {"Id": "a0B3", "Psastream_Project_Id__c": IN_GERMANY, "IsDeleted": True},
    ]
    return {
        "Contact": [{"Id": "0031", "Email": "Ada@firm.example"}],
        "pse__Proj__c": projects,
        "pse__Timecard_Header__c": [row, {**row, "Id": "a0D2", "IsDeleted": True}],
        "pse__Expense__c": [spent, {**spent, "Id": "a0E2", "IsDeleted": True}],
    }


def test_projects_of_certinia_are_those_that_their_field_names() -> None:
    work = READ["certinia_custom"].read(certinia(), DEALS)
    assert {row["ref"]: row["project_id"] for row in work.projects} == {
        "certinia_custom:project:a0B1": IN_GERMANY,
        "certinia_custom:project:a0B2": None,
    }


def test_each_day_of_a_timecard_with_hours_is_an_entry() -> None:
    sunday, monday = READ["certinia_custom"].read(certinia(), DEALS).time_entries
    assert monday == {
        "ref": "certinia_custom:timecard:a0D1,monday",
        "project_ref": "certinia_custom:project:a0B1",
        "worker": "Ada@firm.example",
        "work_on": date(2026, 9, 7),
        "hours": Fraction(83, 100),
        "is_billable": True,
        "status": "approved",
        **RATES,
    }
    assert (sunday["ref"], sunday["work_on"], sunday["hours"]) == (
        "certinia_custom:timecard:a0D1,sunday", date(2026, 9, 6), 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "is_submitted", "is_approved", "status"),
    [
        ("Saved", False, False, "draft"),
        ("Submitted", True, False, "submitted"),
        ("Rejected", False, False, "rejected"),
        ("Billed", True, True, "approved"),
    ],
)
def test_flags_of_certinia_say_what_is_decided_and_money_is_of_its_own_currency(
    word: str, is_submitted: bool, is_approved: bool, status: str
) -> None:
    flags = {"pse__Submitted__c": is_submitted, "pse__Approved__c": is_approved}
    card = {"pse__Status__c": word, **flags, "pse__Cost_Rate_Currency_Code__c": "GBP"}
    work = READ["certinia_custom"].read(certinia(**card), DEALS)
    assert {(row["status"], row["cost_rate"]) for row in work.time_entries} == {(status, None)}
    [expense] = work.expenses
    assert (expense["spent_on"], expense["amount"]) == (date(2026, 9, 8), Decimal(50))
    assert (expense["project_ref"], expense["status"]) == (
        "certinia_custom:project:a0B1", "approved",
    )  # fmt: skip


def harvest(**entry: Any) -> dict[str, list[dict[str, Any]]]:
    """The lists of Harvest: a project of a deal, and others, with one row of time and expenses."""
    common = {"project_id": 31, "user_id": 7, "spent_date": "2026-09-07", "billable": True}
    return {
        "clients": [{"id": 501, "currency": "GBP"}],
        "users": [{"id": 7, "email": "Ada@firm.example"}],
        "projects": [
            {"id": 31, "client_id": 501, "code": f" {IN_GERMANY} "},
            {"id": 32, "client_id": 501, "code": ""},
            {"id": 33, "client_id": 501, "code": None},
            {"id": 34, "client_id": 501, "code": "Q1"},
        ],
        "time_entries": [
            {"id": 9, **common, "hours": Decimal("0.17"), "approval_status": "approved",
             "billable_rate": 120, "cost_rate": None, **entry}
        ],
        "expenses": [
            {"id": 5, **common, "total_cost": Decimal(51), "approval_status": "submitted"}
        ],
    }  # fmt: skip


def test_projects_of_harvest_are_those_that_their_code_names() -> None:
    work = READ["harvest"].read(harvest(), DEALS)
    assert {row["ref"]: row["project_id"] for row in work.projects} == {
        "harvest:project:31": IN_GERMANY,
        "harvest:project:32": None,
        "harvest:project:33": None,
        "harvest:project:34": None,
    }


def test_time_in_harvest_is_in_the_money_of_the_client() -> None:
    [entry] = READ["harvest"].read(harvest(), DEALS).time_entries
    assert entry == {
        "ref": "harvest:time_entry:9",
        "project_ref": "harvest:project:31",
        "worker": "Ada@firm.example",
        "work_on": date(2026, 9, 7),
        "hours": Fraction(17, 100),
        "is_billable": True,
        "status": "approved",
        "bill_rate": Decimal(120),
        "cost_rate": None,
        "currency": "GBP",
    }


def test_what_is_not_approved_in_harvest_is_a_draft() -> None:
    work = READ["harvest"].read(harvest(approval_status="unsubmitted"), DEALS)
    assert [row["status"] for row in (*work.time_entries, *work.expenses)] == ["draft", "draft"]
    [expense] = work.expenses
    assert (expense["spent_on"], expense["amount"]) == (date(2026, 9, 7), Decimal(51))
    assert (expense["project_ref"], expense["currency"]) == ("harvest:project:31", "GBP")
