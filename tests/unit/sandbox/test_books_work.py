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
