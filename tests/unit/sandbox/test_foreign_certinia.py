"""Certinia's org of the twin, driven by simple-salesforce, which nobody here wrote."""

from __future__ import annotations

from typing import Any, Final

import pytest
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)
from starlette.testclient import TestClient

from connectors.systems import Systems
from connectors.vendors.salesforce.objects import read_objects
from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials
from tests.support.foreign_clients import session_on

pytestmark = pytest.mark.fault("C2", place="sandbox/vendors/certinia/books.py")
FIELD: Final = "Psastream_Project_Id__c"
KEY: Final = f"{FIELD}/eng-abcdefghijkl-de"
WEEK: Final = {
    "pse__Start_Date__c": "2026-03-02", "pse__Monday_Hours__c": 4.5, "pse__Sunday_Hours__c": 2,
    "pse__Status__c": "Saved", "CurrencyIsoCode": "EUR",
}  # fmt: skip


class Org:
    """The org with the foreign client signed in to it."""

    def __init__(self, credentials: Credentials) -> None:
        self.twin = TestClient(
            create_app(base_url="http://testserver", seed=1, credentials=credentials)
        )
        session, _ = session_on(self.twin, "certinia")
        self.client = Salesforce(
            username=credentials.username,
            consumer_key=credentials.client_id,
            privatekey=credentials.key("SALESFORCE_PRIVATE_KEY_FILE").as_pem(private=True).decode(),
            domain="login",
            session=session,
            version="62.0",
        )
        self.projects = self.client.pse__Proj__c

    def configure(self, **settings: object) -> None:
        assert self.twin.patch("/admin/certinia/settings", json=settings).is_success

    @property
    def effects(self) -> list[str]:
        return [each["operation"] for each in self.twin.get("/admin/effects").json()]

    def show(self, row_id: str) -> dict[str, Any]:
        return dict(self.projects.get(row_id))


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def org(credentials: Credentials) -> Org:
    return Org(credentials)


def test_an_upsert_makes_a_project_once_and_changes_it_then(org: Org) -> None:
    assert org.projects.upsert(KEY, {"Name": "Quay"}) == 201
    assert org.projects.upsert(KEY, {"Name": "Pier", "pse__Start_Date__c": "2026-03-02"}) == 200
    found = org.projects.get_by_custom_id(FIELD, "ENG-abcdefghijkl-de")
    assert (found["Name"], found["pse__Start_Date__c"]) == ("Pier", "2026-03-02")
    assert (found["pse__Is_Active__c"], found["CurrencyIsoCode"]) == (False, "USD")
    assert found["attributes"]["url"].endswith(found["Id"])
    assert org.effects == ["create", "update"]


def test_records_are_made_shown_changed_and_deleted_by_id(org: Org) -> None:
    made = org.projects.create({"Name": "Quay"})
    assert (made["success"], made["errors"]) == (True, [])
    assert org.projects.update(made["id"], {"Name": "Pier"}) == 204
    assert org.show(made["id"][:15])["Name"] == "Pier"
    assert org.projects.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound) as gone:
        org.projects.update(made["id"], {"Name": "Quay"})
    assert gone.value.content[0]["errorCode"] == "ENTITY_IS_DELETED"
    with pytest.raises(SalesforceResourceNotFound) as never:
        org.projects.get("a0BTW0000009999")
    assert never.value.content[0]["errorCode"] == "NOT_FOUND"
    assert org.effects == ["create", "update", "delete"]


def test_several_records_of_an_external_id_are_told_and_none_is_written(org: Org) -> None:
    org.configure(unique_external_ids=False)
    ids = [org.projects.create({"Name": name, FIELD: "one"})["id"] for name in ("Quay", "Pier")]
    with pytest.raises(SalesforceMoreThanOneRecord) as several:
        org.projects.upsert(f"{FIELD}/one", {"Name": "Mole"})
    assert [url.rpartition("/")[2] for url in several.value.content] == ids
    assert [org.show(each)["Name"] for each in ids] == ["Quay", "Pier"]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (KEY, {}, "REQUIRED_FIELD_MISSING"),
        (KEY, {"Name": ""}, "REQUIRED_FIELD_MISSING"),
        (KEY, {"Name": "Q" * 81}, "STRING_TOO_LONG"),
        (KEY, {"Name": "Quay", FIELD: "other"}, "INVALID_FIELD"),
        (KEY, {"Name": "Quay", "Colour__c": "blue"}, "INVALID_FIELD"),
        (KEY, {"Name": "Quay", "IsDeleted": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        (KEY, {"Name": "Quay", "pse__Start_Date__c": "soon"}, "JSON_PARSER_ERROR"),
        (KEY, {"Name": "Quay", "pse__Is_Active__c": "yes"}, "JSON_PARSER_ERROR"),
    ],
)
def test_what_an_org_does_not_take_is_refused(
    org: Org, path: str, body: dict[str, object], code: str
) -> None:
    with pytest.raises(SalesforceMalformedRequest) as refused:
        org.projects.upsert(path, body)
    assert refused.value.content[0]["errorCode"] == code
    assert org.effects == []


def test_a_field_that_is_no_external_id_is_not_found(org: Org) -> None:
    with pytest.raises(SalesforceResourceNotFound) as refused:
        org.projects.upsert("Name/Quay", {})
    assert "Provided external ID field does not exist" in refused.value.content[0]["message"]


def test_an_external_id_is_unique_whoever_writes(org: Org) -> None:
    org.projects.upsert(KEY, {"Name": "Quay"})
    other = org.projects.create({"Name": "Pier"})["id"]
    with pytest.raises(SalesforceMalformedRequest) as refused:
        org.projects.update(other, {FIELD: "eng-abcdefghijkl-de"})
    assert refused.value.content[0]["errorCode"] == "DUPLICATE_VALUE"


def test_locks_rights_and_the_allowance_are_told_apart(org: Org) -> None:
    project = org.projects.create({"Name": "Quay"})["id"]
    org.configure(locked_rows=[project])
    with pytest.raises(SalesforceMalformedRequest) as locked:
        org.projects.update(project, {"Name": "Pier"})
    assert locked.value.content[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"
    org.configure(locked_rows=[], closed_objects=["pse__Proj__c"])
    with pytest.raises(SalesforceRefusedRequest) as closed:
        org.projects.update(project, {"Name": "Pier"})
    assert closed.value.content[0]["errorCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"
    org.configure(daily_requests=1)
    with pytest.raises(SalesforceRefusedRequest) as spent:
        org.show(project)
    assert spent.value.content[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"


def test_a_roll_up_rewrites_a_project_after_time_was_booked_on_it(org: Org) -> None:
    project = org.projects.create({"Name": "Quay"})["id"]
    worker = org.client.Contact.create({"Name": "Ada", "pse__Is_Resource__c": True})["id"]
    before = org.show(project)
    org.configure(rollup_s=30)
    week = {**WEEK, "pse__Project__c": project, "pse__Resource__c": worker}
    card = org.client.pse__Timecard_Header__c.create(week)["id"]
    assert org.show(project) == before
    org.configure(clock_offset_s=60)
    after = org.show(project)
    assert after["SystemModstamp"] > before["SystemModstamp"]
    assert after["pse__Actuals_Last_Update_Date__c"] is not None
    ours = ("Name", "pse__Start_Date__c", FIELD)
    assert [after[name] for name in ours] == [before[name] for name in ours]
    told = org.client.pse__Timecard_Header__c.get(card)
    assert (told["pse__End_Date__c"], told["pse__Total_Hours__c"]) == ("2026-03-08", 6.5)
    assert told["pse__Tuesday_Hours__c"] == 0
    org.configure(clock_offset_s=600)
    assert org.show(project) == after, "once"


def test_time_is_booked_on_projects_and_by_people_that_are_there(org: Org) -> None:
    with pytest.raises(SalesforceMalformedRequest) as refused:
        org.client.pse__Timecard_Header__c.create({**WEEK, "pse__Project__c": "a0BTW"})
    assert refused.value.content[0]["errorCode"] == "INVALID_CROSS_REFERENCE_KEY"


def test_every_field_that_is_read_can_be_queried(org: Org) -> None:
    """The twin's fields are written by hand, as are the contracts."""
    system = Systems().read("certinia")
    for name, obj in read_objects(system).items():
        contract: Any = system.contract(name).parsed["fields"]
        fields = ", ".join(field["name"] for field in contract)
        where = f" WHERE {obj.condition}" if obj.only else ""
        soql = f"SELECT {fields} FROM {obj.sobject}{where} ORDER BY SystemModstamp ASC, Id ASC"
        assert org.client.query_all(soql, include_deleted=True)["totalSize"] == 0


def test_texts_are_compared_whatever_their_case_and_by_patterns(org: Org) -> None:
    for number in range(3):
        org.projects.create({"Name": f"Quay_{number}", FIELD: f"eng-{number}"})
    org.projects.create({"Name": "Other"})

    def names(where: str) -> list[str]:
        soql = f"SELECT Name FROM pse__Proj__c WHERE {where} ORDER BY Name"
        return [row["Name"] for row in org.client.query(soql)["records"]]

    assert names("Name = 'OTHER'") == ["Other"]
    assert names(f"{FIELD} LIKE 'ENG-%'") == ["Quay_0", "Quay_1", "Quay_2"]
    assert names("Name LIKE 'quay__'") == ["Quay_0", "Quay_1", "Quay_2"]
    assert names(f"NOT ({FIELD} LIKE 'eng-_')") == ["Other"]
    assert names(f"{FIELD} = null") == ["Other"]
