"""The simulated Finance & Operations: sign-in, questions, keys, refusals and what finance does."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.books.ledgers import NO_GROUPS
from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.finance_operations.errors import ODATA, WRITE
from sandbox.vendors.secret import Credentials

DATA = "/finance_operations/data"
ALL = {"cross-company": "true"}


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


def sign_in(client: TestClient, credentials: Credentials, **changes: str) -> Any:
    form = {
        "grant_type": "client_credentials",
        "client_id": credentials.client_id,
        "client_secret": credentials["FINANCE_OPERATIONS_CLIENT_SECRET"],
        "scope": "http://testserver/finance_operations/.default",
    }
    return client.post("/finance_operations/login/oauth2/v2.0/token", data=form | changes)


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    token = sign_in(client, credentials).json()["access_token"]
    client.headers["authorization"] = f"Bearer {token}"
    for company, currency in (("demf", "EUR"), ("usmf", "USD")):
        entity = {"LegalEntityId": company, "Name": company.upper()}
        add(client, "LegalEntities", **entity, AddressCountryRegionISOCode=company[:2].upper())
        add(client, "Ledgers", LegalEntityId=company, AccountingCurrency=currency)
        add(client, "JournalTables", dataAreaId=company, JournalName="H", JournalBatchNumber="J1")
    return client


def add(http: TestClient, entity_set: str, **values: object) -> dict[str, Any]:
    answer = http.post(f"/admin/finance_operations/rows/{entity_set}", json=values)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def configure(http: TestClient, **settings: object) -> None:
    answer = http.patch("/admin/finance_operations/settings", json=settings)
    assert answer.status_code == 200, answer.text


def books(http: TestClient, entity_set: str) -> list[dict[str, Any]]:
    found = json.loads(http.get("/admin/books").content, parse_float=Decimal)
    return list(found["finance_operations"][entity_set])


def told(answer: Any) -> tuple[int, str, str]:
    """Status, type and words of a refusal."""
    error = answer.json()["error"]
    assert error["code"] == ""
    inner = error.get("innererror", {"type": "", "message": error["message"]})
    return answer.status_code, inner["type"], inner["message"]


def values(http: TestClient, entity_set: str, **query: str) -> list[dict[str, Any]]:
    asked = {name.replace("_", "$", 1): text for name, text in query.items()}
    answer = http.get(f"{DATA}/{entity_set}", params=ALL | asked)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["value"])


def customer(http: TestClient, **changes: object) -> Any:
    body = {
        "dataAreaId": "demf", "CustomerAccount": "C1", "OrganizationName": "Tern",
        "CustomerGroupId": "10",
    }  # fmt: skip
    return http.post(f"{DATA}/CustomersV3", json=body | changes)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "x"}, "invalid_client"),
        ({"scope": "https://other/.default"}, "invalid_scope"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_who_signs_in_otherwise_gets_no_token(
    http: TestClient, credentials: Credentials, changes: dict[str, str], error: str
) -> None:
    refused = sign_in(http, credentials, **changes)
    assert refused.status_code in (400, 401)
    assert refused.json() == {"error": error}


def test_the_token_is_checked_and_a_load_is_told_with_a_wait(http: TestClient) -> None:
    other = {"authorization": "Bearer x"}
    assert http.get(f"{DATA}/CustomersV3", headers=other).status_code == 401
    configure(http, requests_per_five_minutes=1)
    assert http.get(f"{DATA}/CustomersV3").status_code == 200
    throttled = http.get(f"{DATA}/CustomersV3")
    assert throttled.status_code == 429
    assert 0 < int(throttled.headers["retry-after"]) <= 300


def test_only_the_company_of_the_user_is_seen_without_being_asked_for_all(
    http: TestClient,
) -> None:
    for company in ("demf", "usmf"):
        add(http, "CustomersV3", dataAreaId=company, OrganizationName=company)
    configure(http, default_company="usmf")
    own = http.get(f"{DATA}/CustomersV3").json()["value"]
    assert [row["dataAreaId"] for row in own] == ["usmf"]
    assert [row["dataAreaId"] for row in values(http, "CustomersV3")] == ["demf", "usmf"]
    filter_ = "dataAreaId eq 'DEMF'"
    assert len(values(http, "CustomersV3", _filter=filter_)) == 1


def test_pages_follow_a_link_that_the_last_one_lacks(http: TestClient) -> None:
    for number in range(5):
        add(http, "CustomersV3", dataAreaId="demf", OrganizationName=f"c{number}")
    headers = {"Prefer": "odata.maxpagesize=2"}
    names, url = [], f"{DATA}/CustomersV3?cross-company=true&$filter=OrganizationName ne 'c1'"
    while url:
        body = http.get(url, headers=headers).json()
        names.append([row["OrganizationName"] for row in body["value"]])
        url = body.get("@odata.nextLink")
        assert url is None or url.startswith("http://testserver/finance_operations/data/")
    assert names == [["c0", "c2"], ["c3", "c4"]]
    configure(http, page_size=3)
    assert len(values(http, "CustomersV3")) == 3


@pytest.mark.parametrize(
    ("filter_", "names"),
    [
        ("CustomerAccount eq 'a''1'", ["a"]),
        ("CustomerAccount eq 'A*'", ["a", "ab"]),
        ("CustomerAccount eq '*B*'", ["ab", "b"]),
        ("CustomerAccount ne 'a*'", ["b"]),
        ("OrganizationName ge 'ab' and OrganizationName lt 'b'", ["ab"]),
        ("OrganizationName eq 'a' or OrganizationName eq 'b'", ["a", "b"]),
        ("OnHoldStatus eq Microsoft.Dynamics.DataEntities.CustVendorBlocked'All'", ["b"]),
        ("OnHoldStatus ne Microsoft.Dynamics.DataEntities.CustVendorBlocked'All'", ["a", "ab"]),
    ],
)
def test_a_filter_is_a_list_of_comparisons(
    http: TestClient, filter_: str, names: list[str]
) -> None:
    for account, name, status in (("A'1", "a", "No"), ("AB", "ab", "No"), ("B", "b", "All")):
        row = {"dataAreaId": "demf", "CustomerAccount": account, "OrganizationName": name}
        add(http, "CustomersV3", **row, OnHoldStatus=status)
    rows = values(http, "CustomersV3", _filter=filter_, _orderby="OrganizationName")
    assert [row["OrganizationName"] for row in rows] == names


@pytest.mark.parametrize(
    "query",
    [
        {"$filter": "OrganizationName"},
        {"$filter": "OrganizationName in ('a')"},
        {"$filter": "organizationname eq 'a'"},
        {"$filter": "OrganizationName eq a"},
        {"$filter": "OnHoldStatus eq 'All'"},
        {"$filter": "OnHoldStatus gt Microsoft.Dynamics.DataEntities.X'All'"},
        {"$filter": "OrganizationName eq 'a' and NameAlias eq 'b' or NameAlias eq 'c'"},
        {"$select": "OrganizationName,Nothing"},
        {"$orderby": "Nothing"},
        {"$orderby": "OrganizationName upwards"},
        {"$top": "many"},
    ],
)
def test_a_question_that_names_what_is_not_there_is_refused(
    http: TestClient, query: dict[str, str]
) -> None:
    add(http, "CustomersV3", dataAreaId="demf", OrganizationName="a")
    status, kind, _ = told(http.get(f"{DATA}/CustomersV3", params=ALL | query))
    assert (status, kind) == (400, ODATA)


def test_a_list_is_ordered_cut_counted_and_shows_what_is_selected(http: TestClient) -> None:
    for number in (2, 10, 1):
        add(
            http, "JournalTrans", dataAreaId="demf", JournalId="J1", LineNumber=number, Hours=number
        )
    asked = {"_orderby": "JournalId,LineNumber desc", "_skip": "1", "_top": "1"}
    [row] = values(http, "JournalTrans", **asked, _select="dataAreaId,LineNumber")
    assert {name: row[name] for name in row if name[0] != "@"} == {
        "dataAreaId": "DEMF", "LineNumber": 2,
    }  # fmt: skip
    asked = ALL | {"$count": "true", "$top": "1"}
    assert http.get(f"{DATA}/JournalTrans", params=asked).json()["@odata.count"] == 3


def test_what_is_no_public_entity_is_not_there(http: TestClient) -> None:
    for name in ("customersv3", "CustTable"):
        assert told(http.get(f"{DATA}/{name}"))[0] == 404
    assert told(http.post(f"{DATA}/LegalEntities", json={}))[0] == 405


def test_a_record_is_written_by_its_whole_key(http: TestClient) -> None:
    made = customer(http, SalesCurrencyCode="USD")
    row = made.json()
    assert (made.status_code, row["SalesCurrencyCode"], row["NameAlias"]) == (201, "USD", "Tern")
    assert not [name for name in row if name.startswith("_") or name == "id"]
    url = f"{DATA}/CustomersV3(dataAreaId='DEMF',CustomerAccount='c1')"
    body, stale = {"OrganizationName": "Tern Group"}, {"If-Match": row["@odata.etag"]}
    assert http.patch(url, json=body).status_code == 404  # of another company than the user's
    changed = http.patch(url, params=ALL, json=body, headers=stale)
    assert (changed.status_code, changed.content) == (204, b"")
    assert http.patch(url, params=ALL, json=body, headers=stale).status_code == 412
    shown = http.get(url, params=ALL).json()
    assert shown["OrganizationName"] == "Tern Group"
    assert told(http.get(f"{DATA}/CustomersV3(CustomerAccount='c1')", params=ALL))[:2] == (
        400, ODATA,
    )  # fmt: skip
    fixed = http.patch(url, params=ALL, json={"CustomerAccount": "C2"})
    assert told(fixed)[:2] == (400, WRITE)
    assert http.delete(url, params=ALL, headers=stale).status_code == 412
    matched = {"If-Match": shown["@odata.etag"]}
    assert http.delete(url, params=ALL, headers=matched).status_code == 204
    assert http.get(url, params=ALL).status_code == 404
    effects = [
        (each["operation"], each["external_id"]) for each in http.get("/admin/effects").json()
    ]
    assert effects == [("create", "c1"), ("update", "c1"), ("delete", "c1")]


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"CustomerAccount": "taken"}, WRITE, "already exists"),
        ({"OrganizationName": ""}, WRITE, "must be filled in"),
        ({"CustomerGroupId": "80"}, WRITE, "related table 'Customer groups'"),
        ({"SalesCurrencyCode": "XXX"}, WRITE, "related table 'Currencies'"),
        ({"OrganizationName": "x" * 101}, WRITE, "length"),
        ({"CustomerAccount": "1" * 21}, WRITE, "length"),
        ({"dataAreaId": "none"}, WRITE, "no company"),
        ({"OrganizationName": 7}, ODATA, "OrganizationName"),
        ({"Colour": "red"}, ODATA, "Colour"),
        ({"_version": 7}, ODATA, "_version"),
    ],
)
def test_what_cannot_be_is_refused_whole(
    http: TestClient, changes: dict[str, Any], kind: str, words: str
) -> None:
    add(http, "CustomersV3", dataAreaId="demf", CustomerAccount="TAKEN", OrganizationName="Other")
    status, found, message = told(customer(http, **changes))
    assert (status, found) == (400, kind)
    assert words in message
    assert len(books(http, "CustomersV3")) == 1


def test_rights_and_faults_are_settings(http: TestClient) -> None:
    configure(http, denied_lists=["CustomersV3"])
    assert told(customer(http))[0] == 403
    configure(http, denied_lists=[])
    rule = {"kind": "rate_limited", "count": 1, "scope": "write"}
    http.post("/admin/finance_operations/faults", json=rule)
    throttled = customer(http)
    assert (throttled.status_code, throttled.headers["retry-after"]) == (429, "1")
    assert customer(http).status_code == 201


def test_a_company_without_project_groups_takes_no_projects(http: TestClient) -> None:
    [row] = [row for row in books(http, "LegalEntities") if row["LegalEntityId"] == "usmf"]

    def lacks(value: str) -> None:
        path = f"/admin/finance_operations/rows/LegalEntities/{row['id']}"
        assert http.patch(path, json={"_lacks_project_groups": value}).status_code == 200

    def opened(company: str) -> Any:
        values = {"dataAreaId": company, "ProjectName": "Rollout", "ProjectType": "TimeMaterial"}
        return http.post(f"{DATA}/Projects", params=ALL, json=values | {"ProjectGroup": "TM"})

    lacks("Yes")
    status, kind, words = told(opened("usmf"))
    assert (status, kind) == (400, WRITE)
    assert words.endswith(f"Infolog: {NO_GROUPS[0]}")
    assert opened("demf").status_code == 201
    lacks("No")
    assert opened("usmf").status_code == 201


def test_a_number_and_a_currency_that_are_not_told_are_the_companys(http: TestClient) -> None:
    row = customer(http, CustomerAccount="", dataAreaId="usmf").json()
    assert row["CustomerAccount"].startswith("USMF-C")
    assert row["SalesCurrencyCode"] == "USD"


@pytest.fixture
def booked(http: TestClient) -> TestClient:
    """A project with two lines of hours."""
    assert customer(http).status_code == 201
    body: dict[str, Any] = {
        "dataAreaId": "demf", "ProjectID": "P1", "ProjectName": "Rollout", "CustomerAccount": "C1",
        "ProjectType": "TimeMaterial", "ProjectGroup": "TM",
        "ProjectedStartDate": "2026-03-02T12:00:00Z",
    }  # fmt: skip
    assert http.post(f"{DATA}/Projects", json=body).status_code == 201
    for number, hours in (("T1", 2), ("T2", 1)):
        body = {
            "dataAreaId": "demf", "JournalId": "J1", "ProjectID": "P1", "Category": "Hours",
            "Hours": hours, "SalesPrice": 100, "CurrencyId": "EUR", "PsaStreamTimeBillId": number,
            "PsaStreamTimeEntryId": f"e:{number}", "PsaStreamProjectRef": "p:1",
        }  # fmt: skip
        assert http.post(f"{DATA}/JournalTrans", json=body).status_code == 201
    return http


def test_lines_are_numbered_and_keep_what_they_refer_to(booked: TestClient) -> None:
    assert [line["LineNumber"] for line in books(booked, "JournalTrans")] == [1, 2]
    [project] = values(booked, "Projects")
    assert project["ActualStartDate"] == "1900-01-01T12:00:00Z"
    assert (project["ProjectedStartDate"], project["PsaStreamHasBudget"]) == (
        "2026-03-02T12:00:00Z", "No",
    )  # fmt: skip
    for url, words in (
        ("Projects(dataAreaId='demf',ProjectID='P1')", "dependent Journal lines"),
        ("CustomersV3(dataAreaId='demf',CustomerAccount='C1')", "dependent Projects"),
    ):
        assert words in told(booked.delete(f"{DATA}/{url}", params=ALL))[2]
    body = {"dataAreaId": "usmf", "JournalId": "J1", "ProjectID": "P1", "Category": "Hours"}
    status, kind, message = told(booked.post(f"{DATA}/JournalTrans", json=body))
    assert (status, kind) == (400, WRITE)
    assert "related table 'Projects'" in message


def invoice(http: TestClient, **order: object) -> Any:
    return http.post("/admin/finance_operations/invoices", json={"project": "p1", **order})


def test_finance_invoices_what_is_left_of_lines_that_are_posted_then(booked: TestClient) -> None:
    first = invoice(booked, hours={"t1": "0.5"}).json()
    second = invoice(booked).json()
    assert first != second
    lines = books(booked, "PsaProjectInvoiceLines")
    assert [(line["ProjInvoiceId"], line["Qty"], line["LineAmount"]) for line in lines] == [
        (first, Decimal("0.5"), 50), (second, Decimal("1.5"), 150), (second, 1, 100),
    ]  # fmt: skip
    assert invoice(booked).json() is None
    assert [row["Posted"] for row in books(booked, "JournalTables")] == ["Yes", "No", "No"]
    url = f"{DATA}/JournalTrans(dataAreaId='demf',JournalId='J1',LineNumber=1)"
    line = {"dataAreaId": "demf", "JournalId": "J1", "ProjectID": "P1", "Category": "Hours"}
    journal = f"{DATA}/JournalTables(dataAreaId='demf',JournalBatchNumber='J1')"
    for refused in (
        booked.patch(url, params=ALL, json={"Hours": 3}),
        booked.delete(url, params=ALL),
        booked.post(f"{DATA}/JournalTrans", json=line),
        booked.delete(journal, params=ALL),
    ):
        assert "is posted" in told(refused)[2]
    posted = booked.patch(journal, params=ALL, json={"Posted": "No"})
    assert told(posted)[:2] == (400, WRITE)
    assert "_line" not in values(booked, "PsaProjectInvoiceLines")[0]


def test_more_than_is_left_or_of_nothing_is_not_invoiced(booked: TestClient) -> None:
    assert invoice(booked, hours={"t1": "2.1"}).status_code == 422
    assert invoice(booked, project="nothing").status_code == 404
    assert books(booked, "PsaProjectInvoiceLines") == []


def test_a_credit_note_is_negative_and_frees_the_hours(booked: TestClient) -> None:
    made = invoice(booked).json()
    lines = [line["id"] for line in books(booked, "PsaProjectInvoiceLines")]
    url = f"/admin/finance_operations/invoices/{made}/credits"
    note = booked.post(url, json={"lines": lines[:1]}).json()
    assert note != made
    *_, credited = books(booked, "PsaProjectInvoiceLines")
    assert (credited["ProjInvoiceId"], credited["Qty"], credited["LineAmount"]) == (note, -2, -200)
    assert credited["PsaStreamTimeEntryId"] == "e:T1"
    assert booked.post(url, json={"lines": ["x"]}).status_code == 404
    again = invoice(booked).json()
    *_, last = books(booked, "PsaProjectInvoiceLines")
    assert (last["ProjInvoiceId"], last["Qty"]) == (again, 2)
