"""The CRM of the twin: sign-in, SOQL, cursors, soft deletion, limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.salesforce import soql
from sandbox.vendors.salesforce.objects import OBJECTS
from sandbox.vendors.salesforce.org import Row
from sandbox.vendors.secret import Credentials
from tests.support.vendors import salesforce_assertion, salesforce_token_form

URL = "http://testserver"
DATA = "/salesforce/services/data/v62.0"
TOKEN = "/salesforce/services/oauth2/token"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    """Signed in."""
    client = TestClient(create_app(base_url=URL, seed=1, credentials=credentials))
    form = salesforce_token_form(
        salesforce_assertion(credentials.key("SALESFORCE_PRIVATE_KEY_FILE"))
    )
    answer = client.post(TOKEN, data=form)
    client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


@pytest.fixture
def add(http: TestClient) -> Callable[..., dict[str, Any]]:
    def add(record_type: str, **values: object) -> dict[str, Any]:
        answer = http.post(f"/admin/salesforce/rows/{record_type}", json=values)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    return add


def query(http: TestClient, text: str, resource: str = "query") -> Any:
    return http.get(f"{DATA}/{resource}", params={"q": text})


@pytest.mark.parametrize(
    ("claims", "algorithm"),
    [
        ({"iss": "somebody"}, "RS256"),
        ({"sub": "somebody"}, "RS256"),
        ({"aud": "https://example.com"}, "RS256"),
        ({"exp": 1}, "RS256"),
        ({"exp": 9_999_999_999}, "RS256"),
        ({}, "PS256"),
    ],
)
def test_a_wrong_assertion_is_refused(
    http: TestClient, credentials: Credentials, claims: dict[str, object], algorithm: str
) -> None:
    assertion = salesforce_assertion(
        credentials.key("SALESFORCE_PRIVATE_KEY_FILE"), algorithm=algorithm, **claims
    )
    answer = http.post(TOKEN, data=salesforce_token_form(assertion))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_foreign_signature_is_refused(http: TestClient) -> None:
    assertion = salesforce_assertion(make_credentials().key("SALESFORCE_PRIVATE_KEY_FILE"))
    answer = http.post(TOKEN, data=salesforce_token_form(assertion))
    assert answer.json()["error"] == "invalid_grant"


def test_an_expired_session_is_an_array_with_a_code(http: TestClient) -> None:
    http.delete("/admin/salesforce/tokens")
    answer = query(http, "SELECT Id FROM Account")
    assert answer.status_code == 401
    assert answer.json()[0]["errorCode"] == "INVALID_SESSION_ID"


def test_keyset_pages_find_every_row_of_one_second(
    http: TestClient, add: Callable[..., dict[str, Any]]
) -> None:
    stamp = "2026-01-01T00:00:00Z"
    made = {add("Account", Name=f"a{n}", SystemModstamp=stamp)["Id"] for n in range(7)}
    found: list[str] = []
    last = ""
    while True:
        answer = query(
            http,
            "SELECT Id, SystemModstamp FROM Account WHERE (SystemModstamp > "
            f"{stamp} OR (SystemModstamp = {stamp} AND Id > '{last}'))"
            " ORDER BY SystemModstamp ASC, Id ASC LIMIT 3",
        ).json()
        found += [record["Id"] for record in answer["records"]]
        if len(answer["records"]) < 3:
            break
        last = found[-1]
    assert (len(found), set(found)) == (7, made)
    assert answer["records"][0]["SystemModstamp"] == "2026-01-01T00:00:00.000+0000"


def test_a_cursor_pages_and_lapses(http: TestClient, add: Callable[..., dict[str, Any]]) -> None:
    for number in range(5):
        add("Account", Name=f"a{number}")
    http.patch("/admin/salesforce/settings", json={"page_size": 2})
    first = query(http, "SELECT Id FROM Account").json()
    assert (first["totalSize"], first["done"], len(first["records"])) == (5, False, 2)
    second = http.get("/salesforce" + first["nextRecordsUrl"]).json()
    last = http.get("/salesforce" + second["nextRecordsUrl"]).json()
    assert (last["done"], len(last["records"]), "nextRecordsUrl" in last) == (True, 1, False)
    http.patch("/admin/salesforce/settings", json={"cursor_lifetime_s": 0})
    lapsed = http.get("/salesforce" + first["nextRecordsUrl"])
    assert (lapsed.status_code, lapsed.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_deletion_is_a_flag_until_the_purge(
    http: TestClient, add: Callable[..., dict[str, Any]]
) -> None:
    account = add("Account", Name="gone", SystemModstamp="2026-01-01T00:00:00Z")
    http.delete(f"/admin/salesforce/rows/Account/{account['Id']}")
    text = "SELECT Id, IsDeleted, SystemModstamp FROM Account"
    assert query(http, text).json()["records"] == []
    [flagged] = query(http, text, "queryAll").json()["records"]
    assert flagged["IsDeleted"] is True
    assert flagged["SystemModstamp"] > account["SystemModstamp"]
    http.delete("/admin/salesforce/recycle-bin")
    assert query(http, text, "queryAll").json()["records"] == []
    instant = flagged["SystemModstamp"][:19]
    deleted = http.get(
        f"{DATA}/sobjects/Account/deleted/",
        params={"start": f"{instant}Z", "end": "2099-01-01T00:00:00Z"},
    ).json()
    assert [entry["id"] for entry in deleted["deletedRecords"]] == [account["Id"]]


def test_a_pruned_deletion_log_says_so(
    http: TestClient, add: Callable[..., dict[str, Any]]
) -> None:
    account = add("Account", Name="gone")
    path = f"{DATA}/sobjects/Account/deleted"
    span = {"start": account["SystemModstamp"], "end": "2099-01-01T00:00:00Z"}
    http.delete(f"/admin/salesforce/rows/Account/{account['Id']}")
    before = http.get(path, params=span).json()["earliestDateAvailable"]
    http.delete("/admin/salesforce/deletion-log")
    after = http.get(path, params=span).json()
    assert after["deletedRecords"] == []
    assert after["earliestDateAvailable"] > before


def test_updated_lists_ids(http: TestClient, add: Callable[..., dict[str, Any]]) -> None:
    account = add("Account", Name="a")
    span = {"start": account["SystemModstamp"], "end": "2099-01-01T00:00:00Z"}
    answer = http.get(f"{DATA}/sobjects/Account/updated", params=span).json()
    assert answer["ids"] == [account["Id"]]
    assert answer["latestDateCovered"] >= account["SystemModstamp"]


def test_the_amount_follows_the_lines_exactly(
    http: TestClient, add: Callable[..., dict[str, Any]]
) -> None:
    account = add("Account", Name="a")
    deal = add("Opportunity", Name="d", AccountId=account["Id"], Amount="5", StageName="Closed Won")
    for price in ("0.1", "0.2"):
        add("OpportunityLineItem", OpportunityId=deal["Id"], Quantity=1, UnitPrice=price)
    http.patch(f"/admin/salesforce/rows/Opportunity/{deal['Id']}", json={"Amount": "99"})
    answer = query(http, "SELECT Amount, IsWon, HasOpportunityLineItem FROM Opportunity")
    assert '"Amount":0.3,' in answer.text
    [record] = answer.json()["records"]
    assert (record["IsWon"], record["HasOpportunityLineItem"]) == (True, True)


def test_count_and_limit_header(http: TestClient, add: Callable[..., dict[str, Any]]) -> None:
    add("Account", Name="a")
    answer = query(http, "SELECT COUNT() FROM Account")
    assert answer.json() == {"totalSize": 1, "done": True, "records": []}
    assert answer.headers["sforce-limit-info"] == "api-usage=1/100000"


def test_the_daily_limit_is_a_403(http: TestClient) -> None:
    http.patch("/admin/salesforce/settings", json={"daily_requests": 1})
    assert query(http, "SELECT Id FROM Account").status_code == 200
    answer = query(http, "SELECT Id FROM Account")
    assert answer.status_code == 403
    assert answer.json()[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account extra", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE SystemModstamp > '2026-01-01T00:00:00Z'", "INVALID_FIELD"),
        (
            "SELECT Id FROM Account WHERE Id = '1' OR Id = '2' AND IsDeleted = FALSE",
            "MALFORMED_QUERY",
        ),
    ],
)
def test_a_bad_query_is_refused(http: TestClient, text: str, code: str) -> None:
    answer = query(http, text)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_a_removed_field_is_unknown_and_an_added_one_shows(
    http: TestClient, add: Callable[..., dict[str, Any]]
) -> None:
    add("Account", Name="a")
    fields = "/admin/salesforce/fields"
    http.post(fields, json={"change": "remove", "object": "Account", "field": "Name"})
    http.post(fields, json={"change": "add", "object": "Account", "field": "New", "value": 1})
    assert query(http, "SELECT Name FROM Account").json()[0]["errorCode"] == "INVALID_FIELD"
    assert query(http, "SELECT Id FROM Account").json()["records"][0]["New"] == 1
    http.delete(fields)
    assert query(http, "SELECT Name FROM Account").json()["records"][0]["Name"] == "a"


@given(
    numbers=st.lists(st.integers(0, 5), max_size=12),
    low=st.integers(0, 5),
    limit=st.integers(0, 12),
)
def test_soql_filters_sorts_and_cuts_as_python_does(
    numbers: list[int], low: int, limit: int
) -> None:
    rows: list[Row] = [
        {"Id": f"{position:02}", "Quantity": number} for position, number in enumerate(numbers)
    ]
    text = (
        f"SELECT Id FROM OpportunityLineItem WHERE Quantity >= {low} AND NOT (Quantity = 3)"
        f" ORDER BY Quantity DESC, Id LIMIT {limit}"
    )
    expected = sorted(
        (
            (-number, f"{at:02}")
            for at, number in enumerate(numbers)
            if number >= low and number != 3
        )
    )
    found = soql.parse(text, OBJECTS).run(rows)
    assert [row["Id"] for row in found] == [row_id for _, row_id in expected[:limit]]


def test_a_deleted_opportunity_takes_its_lines_along(
    http: TestClient, add: Callable[..., dict[str, Any]]
) -> None:
    account = add("Account", Name="a")
    deal, other = (
        add("Opportunity", Name=name, AccountId=account["Id"])["Id"] for name in ("d", "o")
    )
    line = add("OpportunityLineItem", OpportunityId=deal, Quantity=2, UnitPrice="1.5")["Id"]
    path = f"/admin/salesforce/rows/OpportunityLineItem/{line}"
    assert http.patch(path, json={"OpportunityId": other}).status_code == 422
    http.delete(f"/admin/salesforce/rows/Opportunity/{deal}")
    text = "SELECT Id FROM OpportunityLineItem WHERE IsDeleted = TRUE"
    assert [row["Id"] for row in query(http, text, "queryAll").json()["records"]] == [line]
    assert query(http, "SELECT COUNT() FROM OpportunityLineItem").json()["totalSize"] == 0


def test_ids_have_the_form_of_the_vendors(add: Callable[..., dict[str, Any]]) -> None:
    """15 case-sensitive characters, then 3 that say which of each five are capital letters."""
    ids = [add("Account", Name=name)["Id"] for name in ("a", "b")]
    assert [len(each) for each in ids] == [18, 18]
    assert len(set(ids)) == 2


def test_a_row_is_changed_by_its_id_and_its_stamp_moves(
    http: TestClient, add: Callable[..., dict[str, Any]]
) -> None:
    account = add("Account", Name="Tern Ltd")
    old = "2026-03-04T05:06:07.000+0000"
    deal = add("Opportunity", AccountId=account["Id"], StageName="Closed Won", SystemModstamp=old)
    path = f"{DATA}/sobjects/Opportunity/{deal['Id']}"
    answer = http.patch(path, json={"PSA_Delivery_Status__c": "active"})
    assert (answer.status_code, answer.content) == (204, b"")
    fields = {"fields": "PSA_Delivery_Status__c,SystemModstamp"}
    read = http.get(path, params=fields).json()
    assert (read["Id"], read["PSA_Delivery_Status__c"]) == (deal["Id"], "active")
    assert read["SystemModstamp"] > old
    (effect,) = http.get("/admin/effects").json()
    assert (effect["operation"], effect["external_id"]) == ("update", deal["Id"])


def test_a_write_that_cannot_be_is_refused_in_the_words_of_the_vendor(
    http: TestClient, add: Callable[..., dict[str, Any]]
) -> None:
    account = add("Account", Name="Tern Ltd")
    path = f"{DATA}/sobjects/Account/{account['Id']}"
    for body, code in (
        ({"No_Such__c": "x"}, "INVALID_FIELD"),
        ({"SystemModstamp": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Name": "x" * 256}, "STRING_TOO_LONG"),
    ):
        answer = http.patch(path, json=body)
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)
    assert http.patch(path, content=b"{").json()[0]["errorCode"] == "JSON_PARSER_ERROR"
    http.delete(f"/admin/salesforce/rows/Account/{account['Id']}")
    for answer in (http.get(path), http.patch(path, json={"Name": "x"})):
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")
    http.delete("/admin/salesforce/recycle-bin")
    assert http.patch(path, json={"Name": "x"}).json()[0]["errorCode"] == "NOT_FOUND"
    assert http.get("/admin/effects").json() == []
    assert http.patch(path, headers={"authorization": "Bearer x"}).status_code == 401
