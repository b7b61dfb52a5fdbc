"""Folders of systems that the firm of the story has set up in its own way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from psastream.system import check_system, read_system, tried_row
from sandbox.books.work import READ, Work
from sandbox.demo.parts import OWN_SYSTEMS
from sandbox.story.certinia import Certinia
from sandbox.story.crm import Deal
from sandbox.story.psa import Expense, Hours, Person, PsaProject, Time
from sandbox.vendors.app import create_app
from sandbox.vendors.client import VendorAdmin
from sandbox.vendors.credentials import make_credentials
from schemas.identity import resource_id

DEALS = "salesforce:opportunity"


@pytest.mark.parametrize("folder", sorted(OWN_SYSTEMS.iterdir()), ids=lambda folder: folder.name)
def test_each_folder_is_sound(folder: Any) -> None:
    assert check_system(folder, as_json=False)


@pytest.fixture(scope="module")
def org() -> Mapping[str, Any]:
    """What people have entered: two projects, one of a deal, and time and money in each status."""
    app = create_app(base_url="http://testserver", seed=1, credentials=make_credentials())
    admin = VendorAdmin("http://testserver")
    admin._http = cast(Any, TestClient(app, base_url="http://testserver/admin"))
    psa = Certinia(admin)
    person = Person(1, "Ada", "Adler", "Ada@firm.example", Decimal("100.50"), Decimal("60.1250"))
    psa.hire(person)
    deal = Deal("D1", f"{DEALS}:D1", "A1", "Rollout", "GBP")
    projects = [PsaProject("GBP", deal, "DE"), PsaProject("EUR")]
    for project in projects:
        assert Counter(psa.open_project(project, "Rollout", date(2026, 9, 7))) == {None: 2}
        for day, status in enumerate(("draft", "submitted", "approved", "rejected", "draft"), 6):
            time = Time(Decimal("0.17") * day)
            hours = Hours(project, person, date(2026, 9, day), time, status, project is projects[0])
            entry = psa.book(hours)
    psa.move(entry, projects[0])
    spent = Expense(projects[0], person, date(2026, 9, 8), Decimal("12.34"), True, "Travel")
    psa.approve_expense(psa.spend(spent))
    psa.delete_expense(psa.spend(spent))
    return admin.books()["certinia"]


def made(org: Mapping[str, Any], obj: str, table: str, entity: str) -> list[dict[str, Any]]:
    """What the folder makes of the rows of an object that are not deleted, with their ids."""
    system, _ = read_system(OWN_SYSTEMS / "certinia_custom")
    [mapping] = [each for each in system.mappings if each.topic.endswith(f".{obj}")]
    emails = {row["Id"]: row["Email"] for row in org["Contact"]}
    found = []
    for row in org[table]:
        worker = {"worker": {"Email": emails.get(row.get("pse__Resource__c"))}}
        said = tried_row(mapping, system.topics[obj].contract, {**row, **worker})
        assert (said.refused, said.waits, said.is_delete) == (None, None, row["IsDeleted"])
        for name, record in said.records.items():
            part = name.removeprefix(entity).replace(".", ",")
            found.append({"ref": f"{said.id}{part}", **record})
    return found


def held(org: Mapping[str, Any]) -> Work:
    return READ["certinia_custom"].read(org, DEALS)


def test_time_of_certinia_is_that_of_the_books_and_of_a_person_by_address(
    org: Mapping[str, Any],
) -> None:
    found = made(org, "timecard", "pse__Timecard_Header__c", "time_entry")
    same = ("ref", "project_ref", "work_on", "is_billable", "status", "currency")
    prices = ("bill_rate", "cost_rate")
    assert sorted(
        [
            *(record[name] for name in same),
            Fraction(record["seconds"], 3600),
            *(record[name] for name in prices),
            record["resource_id"],
        ]
        for record in found
    ) == sorted(
        [
            *(row[name] for name in same),
            row["hours"],
            *(row[name] for name in prices),
            resource_id(row["worker"]),
        ]
        for row in held(org).time_entries
    )
    assert len(found) == 10
    assert {record["status"] for record in found} == {"draft", "submitted", "approved", "rejected"}


def test_projects_and_expenses_of_certinia_are_those_of_the_books(org: Mapping[str, Any]) -> None:
    projects = made(org, "project", "pse__Proj__c", "project")
    assert [{name: record[name] for name in ("ref", "project_id")} for record in projects] == [
        dict(row) for row in held(org).projects
    ]
    assert {record["status"] for record in projects} == {"active"}
    [expense] = made(org, "expense", "pse__Expense__c", "expense")
    [row] = held(org).expenses
    assert {name: expense[name] for name in row} == dict(row)
    assert expense["resource_id"] == resource_id("ada@firm.example")
