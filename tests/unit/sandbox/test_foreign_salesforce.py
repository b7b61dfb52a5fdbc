"""The CRM of the twin, driven by simple-salesforce, which nobody here wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials
from tests.support.foreign_clients import session_on

pytestmark = pytest.mark.fault("C2", place="sandbox/vendors/salesforce/api.py")


class Org:
    """A twin with rows, and the foreign client signed in to it."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.twin = TestClient(
            create_app(base_url="http://testserver", seed=1, credentials=credentials)
        )
        self.session, self.adapter = session_on(self.twin, "salesforce")
        self.client = self.sign_in()

    def sign_in(self, username: str | None = None) -> Salesforce:
        return Salesforce(
            username=username or self.credentials.username,
            consumer_key=self.credentials.client_id,
            privatekey=private_key_pem(self.credentials),
            domain="login",
            session=self.session,
            version="62.0",
        )

    def add(self, record_type: str, **values: object) -> str:
        answer = self.twin.post(f"/admin/salesforce/rows/{record_type}", json=values)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["Id"])

    def change(self, method: str, path: str, **body: object) -> None:
        answer = self.twin.request(method, f"/admin/salesforce/{path}", json=body or None)
        assert answer.is_success, answer.text


def private_key_pem(credentials: Credentials) -> str:
    return str(credentials.key("SALESFORCE_PRIVATE_KEY_FILE").as_pem(private=True).decode())


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def org(credentials: Credentials) -> Org:
    return Org(credentials)


def test_it_signs_in_with_a_signed_assertion_and_calls_the_host_it_is_told(org: Org) -> None:
    assert org.client.session_id
    assert org.client.sf_instance.startswith("testserver")
    assert org.client.query("SELECT Id FROM Account")["totalSize"] == 0


def test_a_user_who_is_not_approved_is_refused_in_the_words_it_knows(org: Org) -> None:
    with (
        pytest.warns(UserWarning, match="self-authorize"),
        pytest.raises(SalesforceAuthenticationFailed, match="invalid_grant"),
    ):
        org.sign_in("somebody@else.example")


def test_a_query_of_several_pages_is_read_to_its_end(org: Org) -> None:
    org.change("PATCH", "settings", page_size=2)
    ids = [org.add("Account", Name=f"Birch {number}") for number in range(5)]
    found = org.client.query_all("SELECT Id, Name FROM Account ORDER BY Id")
    assert [row["Id"] for row in found["records"]] == ids
    assert found["totalSize"] == 5
    first = org.client.query("SELECT Id FROM Account")
    assert (first["done"], first["totalSize"], len(first["records"])) == (False, 5, 2)
    locator = first["nextRecordsUrl"].rpartition("/")[2]
    assert len(org.client.query_more(locator)["records"]) == 2


def test_deleted_rows_are_shown_only_where_they_are_asked_for(org: Org) -> None:
    kept, gone = org.add("Account", Name="Birch"), org.add("Account", Name="Elm")
    org.change("DELETE", f"rows/Account/{gone}")
    text = "SELECT Id, IsDeleted FROM Account"
    assert [row["Id"] for row in org.client.query_all(text)["records"]] == [kept]
    found = org.client.query_all(text, include_deleted=True)["records"]
    assert {row["Id"]: row["IsDeleted"] for row in found} == {kept: False, gone: True}


def test_the_delete_log_and_the_log_of_updates(org: Org) -> None:
    kept, gone = org.add("Account", Name="Birch"), org.add("Account", Name="Elm")
    org.change("DELETE", f"rows/Account/{gone}")
    now = datetime.now(UTC)
    start, end = now - timedelta(hours=1), now + timedelta(hours=1)
    told = org.client.Account.deleted(start, end)
    assert [entry["id"] for entry in told["deletedRecords"]] == [gone]
    assert told.keys() >= {"earliestDateAvailable", "latestDateCovered"}
    assert org.client.Account.updated(start, end)["ids"] == [kept]


def test_objects_describe_themselves(org: Org) -> None:
    fields = {field["name"]: field for field in org.client.Account.describe()["fields"]}
    assert fields["Id"]["type"] == "id"
    assert fields["ParentId"]["type"] == "reference"
    assert fields["SystemModstamp"]["type"] == "datetime"
    assert fields["ParentId"]["nillable"] is True
    assert fields["Name"]["nillable"] is False


def test_limits_are_told_and_the_header_of_each_answer_is_read(org: Org) -> None:
    limits = org.client.limits()
    assert limits["DailyApiRequests"]["Max"] == 100_000
    usage = org.client.api_usage["api-usage"]
    assert (usage.used, usage.total) == (1, 100_000)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT Id, Colour FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Colour", "INVALID_TYPE"),
        ("SELECT Id FRM Account", "MALFORMED_QUERY"),
    ],
)
def test_refused_queries_are_read_as_refused(org: Org, text: str, code: str) -> None:
    with pytest.raises(SalesforceMalformedRequest) as refused:
        org.client.query(text)
    [content] = refused.value.content
    assert content["errorCode"] == code
    assert content["message"]


def test_an_unknown_object_is_not_found(org: Org) -> None:
    with pytest.raises(SalesforceResourceNotFound):
        org.client.Colour.describe()


def test_a_session_that_has_ended_is_recognised_and_renewed(org: Org) -> None:
    row_id = org.add("Account", Name="Birch")
    org.client.session_id = "expired"
    org.client._generate_headers()
    before = len(org.adapter.sent)
    assert org.client.query("SELECT Id FROM Account")["records"][0]["Id"] == row_id
    paths = [urlsplit(request.url or "").path for request in org.adapter.sent[before:]]
    assert [path.rpartition("/services/")[2] for path in paths] == [
        "data/v62.0/query/",
        "oauth2/token",
        "data/v62.0/query/",
    ]


def test_a_locator_nobody_knows_is_refused(org: Org) -> None:
    with pytest.raises(SalesforceMalformedRequest) as refused:
        org.client.query_more("0r8TW0000000099-2000")
    assert refused.value.content[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_rows_have_the_shape_the_client_passes_on(org: Org) -> None:
    row_id = org.add("Account", Name="Birch")
    [row] = org.client.query("SELECT Id, Name, ParentId, SystemModstamp FROM Account")["records"]
    assert row["attributes"] == {
        "type": "Account",
        "url": f"/services/data/v62.0/sobjects/Account/{row_id}",
    }
    assert row["ParentId"] is None
