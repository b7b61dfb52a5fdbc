"""The ERP of companies: sign-in, pages, filters, ETags, rules, and what finance does."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.business_central.books import FIRST_COMPANY
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials

STANDARD = f"/business_central/api/v2.0/companies({FIRST_COMPANY})"
PAGES = f"/business_central/api/psastream/psa/v1.0/companies({FIRST_COMPANY})"
TOKEN = "/business_central/login/oauth2/v2.0/token"
SCOPE = "https://api.businesscentral.dynamics.com/.default"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


def sign_in(client: TestClient, credentials: Credentials, **changes: str) -> Any:
    form = {
        "grant_type": "client_credentials", "client_id": credentials.client_id,
        "client_secret": credentials["BUSINESS_CENTRAL_CLIENT_SECRET"], "scope": SCOPE,
    }  # fmt: skip
    return client.post(TOKEN, data=form | changes)


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    token = sign_in(client, credentials).json()["access_token"]
    client.headers["authorization"] = f"Bearer {token}"
    row = {"name": "DE", "displayName": "DE GmbH", "country": "DE", "currencyCode": "EUR"}
    assert add(client, "companies", **row)["id"] == FIRST_COMPANY
    return client


def add(http: TestClient, entity_set: str, **values: object) -> dict[str, Any]:
    answer = http.post(f"/admin/business_central/rows/{entity_set}", json=values)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def books(http: TestClient, entity_set: str) -> list[dict[str, Any]]:
    found = json.loads(http.get("/admin/books").content, parse_float=Decimal)
    return list(found["business_central"][entity_set])


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "x"}, "invalid_client"),
        ({"scope": "x"}, "invalid_scope"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_who_signs_in_otherwise_gets_no_token(
    http: TestClient, credentials: Credentials, changes: dict[str, str], error: str
) -> None:
    refused = sign_in(http, credentials, **changes)
    assert refused.status_code in (400, 401)
    assert refused.json() == {"error": error}


def test_the_token_and_the_rate_are_checked(http: TestClient) -> None:
    other = {"authorization": "Bearer x"}
    told = code_of(http.get(f"{STANDARD}/customers", headers=other))
    assert told == (401, "Authentication_InvalidCredentials")
    http.patch("/admin/business_central/settings", json={"requests_per_five_minutes": 1})
    assert http.get(f"{STANDARD}/customers").status_code == 200
    assert http.get(f"{STANDARD}/customers").status_code == 429


def test_a_closed_number_series_takes_no_project_of_others(http: TestClient) -> None:
    company = f"/admin/business_central/rows/companies/{FIRST_COMPANY}"
    http.patch(company, json={"_project_series_is_closed": True})
    project = {"number": "ENG-1", "description": "Rollout"}
    refused = http.post(f"{PAGES}/jobs", json=project)
    assert code_of(refused) == (400, "Application_DialogException")
    assert "activate Manual Nos. in No. Series JOB." in refused.json()["error"]["message"]
    assert http.post(f"{STANDARD}/customers", json={"displayName": "a"}).status_code == 201
    http.patch(company, json={"_project_series_is_closed": False})
    assert http.post(f"{PAGES}/jobs", json=project).status_code == 201


def test_pages_follow_a_link_that_the_last_one_lacks(http: TestClient) -> None:
    for number in range(5):
        add(http, "customers", displayName=f"c{number}")
    headers = {"Prefer": "odata.maxpagesize=2"}
    names, url = [], f"{STANDARD}/customers?$filter=displayName ne 'c1'"
    while url:
        body = http.get(url, headers=headers).json()
        names.append([row["displayName"] for row in body["value"]])
        url = body.get("@odata.nextLink")
        assert url is None or url.startswith("http://testserver/business_central/api/v2.0/")
    assert names == [["c0", "c2"], ["c3", "c4"]]


@pytest.mark.parametrize(
    ("filter_", "names"),
    [
        ("number eq 'A''1'", ["a"]),
        ("lastModifiedDateTime ge 2026-03-02T08:00:00.500Z", ["b"]),
        ("lastModifiedDateTime gt 2026-03-02T08:00:00.500Z", []),
        ("displayName eq 'a' or displayName eq 'b'", ["a", "b"]),
        ("displayName eq 'a' and number eq 'B'", []),
    ],
)
def test_a_filter_is_a_list_of_comparisons(
    http: TestClient, filter_: str, names: list[str]
) -> None:
    earlier, later = "2026-03-02T08:00:00Z", "2026-03-02T08:00:00.5Z"
    add(http, "customers", number="a'1", displayName="a", lastModifiedDateTime=earlier)
    add(http, "customers", number="b", displayName="b", lastModifiedDateTime=later)
    rows = http.get(f"{STANDARD}/customers", params={"$filter": filter_}).json()["value"]
    assert [row["displayName"] for row in rows] == names


@pytest.mark.parametrize(
    "filter_", ["number", "number like 'a'", "a eq '1' and b eq '2' or c eq 1"]
)
def test_another_filter_is_refused(http: TestClient, filter_: str) -> None:
    add(http, "customers", displayName="a")
    answer = http.get(f"{STANDARD}/customers", params={"$filter": filter_})
    assert answer.status_code == 400


def test_companies_and_their_information_are_two_lists(http: TestClient) -> None:
    [company] = http.get("/business_central/api/v2.0/companies").json()["value"]
    assert (company["id"], "currencyCode" in company) == (FIRST_COMPANY, False)
    [row] = http.get(f"{STANDARD}/companyInformation").json()["value"]
    assert (row["country"], row["currencyCode"]) == ("DE", "EUR")
    assert row["id"] != FIRST_COMPANY


def test_pages_of_the_extension_are_elsewhere_and_companies_apart(http: TestClient) -> None:
    assert http.get(f"{PAGES}/jobs").json()["value"] == []
    assert code_of(http.get(f"{STANDARD}/jobs")) == (404, "BadRequest_ResourceNotFound")
    assert code_of(http.get(f"{PAGES}/customers")) == (404, "BadRequest_ResourceNotFound")
    row = {"name": "GB", "displayName": "GB Ltd", "country": "GB", "currencyCode": "GBP"}
    other = add(http, "companies", **row)["id"]
    add(http, "customers", company=other, displayName="there")
    assert http.get(f"{STANDARD}/customers").json()["value"] == []
    nowhere = STANDARD.replace(FIRST_COMPANY, "00000000-0000-0000-0000-000000000000")
    assert code_of(http.get(f"{nowhere}/customers")) == (404, "Internal_CompanyNotFound")


def test_a_record_is_written_by_its_etag(http: TestClient) -> None:
    body = {"number": "c1", "displayName": "Tern", "currencyCode": "EUR"}
    made = http.post(f"{STANDARD}/customers", json=body)
    row = made.json()
    assert (made.status_code, row["number"], row["currencyCode"]) == (201, "C1", "EUR")
    url, changes = f"{STANDARD}/customers({row['id']})", {"displayName": "Tern Group"}
    assert code_of(http.patch(url, json=changes)) == (400, "BadRequest_InvalidToken")
    matched = {"If-Match": row["@odata.etag"]}
    changed = http.patch(url, json=changes, headers=matched)
    assert (changed.status_code, changed.json()["displayName"]) == (200, "Tern Group")
    assert code_of(http.delete(url, headers=matched)) == (409, "Request_EntityChanged")
    assert http.get(url).json() == changed.json()
    assert http.delete(url, headers={"If-Match": "*"}).status_code == 204
    assert code_of(http.get(url)) == (404, "Internal_RecordNotFound")
    effects = [
        (each["operation"], each["external_id"]) for each in http.get("/admin/effects").json()
    ]
    assert effects == [("create", "c1"), ("update", "c1"), ("delete", "c1")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"displayName": "Tern", "number": "TAKEN"}, "Internal_EntityWithSameKeyExists"),
        ({"number": "c1"}, "Application_DialogException"),
        ({"displayName": "x" * 101}, "Application_StringExceededLength"),
        ({"displayName": "x", "number": "1" * 21}, "Application_StringExceededLength"),
        ({"displayName": "x", "currencyCode": "XXX"}, "Application_DialogException"),
        ({"displayName": "x", "id": "7"}, "BadRequest_InvalidOperation"),
        ({"displayName": "x", "company": "7"}, "BadRequest"),
        ({"displayName": "x", "colour": "red"}, "BadRequest"),
        ({"displayName": 7}, "BadRequest"),
        ([], "BadRequest"),
    ],
)
def test_what_cannot_be_is_refused_whole(http: TestClient, body: Any, code: str) -> None:
    add(http, "customers", number="taken", displayName="Other")
    assert code_of(http.post(f"{STANDARD}/customers", json=body)) == (400, code)
    assert len(books(http, "customers")) == 1


def test_rights_and_demands_are_settings(http: TestClient) -> None:
    settings = {"denied_lists": ["jobs"], "required_fields": [["customers", "country"]]}
    http.patch("/admin/business_central/settings", json=settings)
    denied = http.post(f"{PAGES}/jobs", json={"number": "j"})
    assert denied.status_code == 403 and "permissions" in denied.json()["error"]["message"]
    lacking = http.post(f"{STANDARD}/customers", json={"displayName": "x"})
    assert code_of(lacking) == (400, "Application_FieldValidationException")
    assert code_of(http.post(f"{STANDARD}/salesInvoices", json={})) == (
        405, "BadRequest_MethodNotAllowed",
    )  # fmt: skip


@pytest.fixture
def planned(http: TestClient) -> TestClient:
    """A project with two lines of time."""
    add(http, "customers", number="c1", displayName="Tern")
    add(http, "jobs", number="j1", billToCustomerNumber="c1", description="Rollout")
    for number, quantity in (("t1", 2), ("t2", 1)):
        body = {
            "jobNumber": "J1", "jobTaskNumber": "TIME", "documentNumber": number,
            "quantity": quantity, "unitPrice": 100, "currencyCode": "USD",
            "psaTimeEntryId": f"e:{number}", "psaProjectRef": "p:1",
        }  # fmt: skip
        assert http.post(f"{PAGES}/jobPlanningLines", json=body).status_code == 201
    return http


def test_lines_are_numbered_and_hold_a_project_that_is_there(planned: TestClient) -> None:
    assert [line["lineNumber"] for line in books(planned, "jobPlanningLines")] == [10_000, 20_000]
    body = {"jobNumber": "NONE", "quantity": 1}
    refused = planned.post(f"{PAGES}/jobPlanningLines", json=body)
    assert code_of(refused) == (400, "Internal_InvalidTableRelation")
    [job] = planned.get(f"{PAGES}/jobs").json()["value"]
    url = f"{PAGES}/jobs({job['id']})"
    held = planned.delete(url, headers={"If-Match": job["@odata.etag"]})
    assert code_of(held) == (400, "Application_DialogException")


def invoice(http: TestClient, **order: object) -> dict[str, Any]:
    answer = http.post("/admin/business_central/invoices", json={"number": "j1", **order})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_finance_invoices_what_is_left_and_an_invoiced_line_stays(planned: TestClient) -> None:
    invoice(planned, hours={"t1": "0.5"})
    invoice(planned)
    lines = books(planned, "postedSalesInvoiceLines")
    assert [(line["quantity"], line["amount"]) for line in lines] == [
        (Decimal("0.5"), 50), (Decimal("1.5"), 150), (1, 100),
    ]  # fmt: skip
    first, second = books(planned, "salesInvoices")
    assert (first["status"], first["currencyCode"], first["totalAmountIncludingTax"]) == (
        "Open", "USD", 60,
    )  # fmt: skip
    assert second["number"] != first["number"]
    answer = planned.post("/admin/business_central/invoices", json={"number": "j1"})
    assert answer.json() is None
    [line, _] = planned.get(f"{PAGES}/jobPlanningLines").json()["value"]
    url, matched = f"{PAGES}/jobPlanningLines({line['id']})", {"If-Match": line["@odata.etag"]}
    for refused in (
        planned.patch(url, json={"quantity": 3}, headers=matched),
        planned.delete(url, headers=matched),
    ):
        assert code_of(refused) == (400, "Application_DialogException")
    posted = planned.get(f"{PAGES}/postedSalesInvoiceLines").json()["value"][0]
    assert posted["documentId"] == first["id"] and "_planning_line" not in posted


def test_more_than_is_left_or_of_nothing_is_not_invoiced(planned: TestClient) -> None:
    for order in ({"number": "j1", "hours": {"t1": "2.1"}}, {"number": "nothing"}):
        answer = planned.post("/admin/business_central/invoices", json=order)
        assert answer.status_code in (404, 422)
    assert books(planned, "salesInvoices") == []


def test_a_credit_leaves_time_invoiced_and_a_cancellation_frees_it(planned: TestClient) -> None:
    made = invoice(planned)
    lines = [line["id"] for line in books(planned, "postedSalesInvoiceLines")]
    url = f"/admin/business_central/invoices/{made['id']}"
    memo = planned.post(f"{url}/credits", json={"lines": lines[:1]}).json()
    assert (memo["status"], memo["totalAmountExcludingTax"]) == ("Open", 200)
    assert [row["quantityInvoiced"] for row in books(planned, "jobPlanningLines")] == [2, 1]
    assert planned.post(f"{url}/credits", json={"lines": ["x"]}).status_code == 404
    memo = planned.post(f"{url}/cancel").json()
    assert (memo["status"], memo["totalAmountExcludingTax"]) == ("Corrective", 300)
    [row] = books(planned, "salesInvoices")
    assert (row["status"], row["remainingAmount"]) == ("Canceled", 0)
    assert [row["quantityInvoiced"] for row in books(planned, "jobPlanningLines")] == [0, 0]
