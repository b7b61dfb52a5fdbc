"""The CRM with a lagging search: pages, the archive, properties, and its folder against it."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials

COMPANIES = "/hubspot/crm/v3/objects/companies"
LINES = "/hubspot/crm/v3/objects/line_items"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    client.headers["authorization"] = f"Bearer {credentials['HUBSPOT_TOKEN']}"
    return client


def add(http: TestClient, record_type: str, **values: object) -> dict[str, Any]:
    answer = http.post(f"/admin/hubspot/rows/{record_type}", json=values)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def search(http: TestClient, since_ms: int, **more: object) -> Any:
    condition = {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": str(since_ms)}
    body = {"filterGroups": [{"filters": [condition]}], "properties": ["name"], **more}
    return http.post(f"{COMPANIES}/search", json=body)


def test_the_token_is_checked(http: TestClient) -> None:
    refused = http.get(COMPANIES, headers={"authorization": "Bearer x"})
    assert (refused.status_code, refused.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert http.get(COMPANIES).json() == {"results": []}


def test_more_requests_than_the_account_may_make_are_refused(http: TestClient) -> None:
    http.patch("/admin/hubspot/settings", json={"requests_per_ten_seconds": 1})
    assert http.get(COMPANIES).status_code == 200
    refused = http.get(COMPANIES)
    assert refused.status_code == 429
    told = refused.json()
    assert (told["errorType"], told["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")


def test_a_list_goes_on_after_the_last_id_until_nothing_follows(http: TestClient) -> None:
    ids = [add(http, "companies", name=f"c{number}")["id"] for number in range(5)]
    first = http.get(COMPANIES, params={"limit": 3, "properties": "name"}).json()
    assert [row["id"] for row in first["results"]] == ids[:3]
    assert first["results"][0]["properties"]["name"] == "c0"
    after = first["paging"]["next"]["after"]
    last = http.get(COMPANIES, params={"limit": 3, "after": after}).json()
    assert [row["id"] for row in last["results"]] == ids[3:]
    assert "paging" not in last
    assert "name" not in last["results"][0]["properties"]
    assert http.get(COMPANIES, params={"limit": 101}).json()["category"] == "VALIDATION_ERROR"


def test_what_is_archived_is_in_the_list_of_archived_rows_only(http: TestClient) -> None:
    gone, stays = (add(http, "companies", name=name)["id"] for name in ("gone", "stays"))
    http.delete(f"/admin/hubspot/rows/companies/{gone}")
    assert [row["id"] for row in http.get(COMPANIES).json()["results"]] == [stays]
    [archived] = http.get(COMPANIES, params={"archived": "true"}).json()["results"]
    assert (archived["id"], archived["archived"]) == (gone, True)
    assert archived["archivedAt"] >= archived["updatedAt"]
    http.patch("/admin/hubspot/settings", json={"index_lag_s": 0})
    assert [row["id"] for row in search(http, 0).json()["results"]] == [stays]


def test_the_search_shows_a_row_once_its_index_has_it(http: TestClient) -> None:
    add(http, "companies", name="new")
    http.patch("/admin/hubspot/settings", json={"index_lag_s": 3_600})
    assert search(http, 0).json()["total"] == 0
    http.patch("/admin/hubspot/settings", json={"index_lag_s": 0})
    found = search(http, 0).json()
    assert [row["properties"]["name"] for row in found["results"]] == ["new"]
    assert "associations" not in found["results"][0]


def test_the_search_goes_by_pages_up_to_ten_thousand_rows(http: TestClient) -> None:
    http.patch("/admin/hubspot/settings", json={"index_lag_s": 0})
    for number in range(3):
        add(http, "companies", name=f"c{number}")
    first = search(http, 0, limit=2).json()
    assert [row["properties"]["name"] for row in first["results"]] == ["c0", "c1"]
    rest = search(http, 0, limit=2, after=first["paging"]["next"]["after"]).json()
    assert [row["properties"]["name"] for row in rest["results"]] == ["c2"]
    assert "paging" not in rest
    assert search(http, 0, limit=1, after="9999").status_code == 200
    assert search(http, 0, limit=1, after="10000").status_code == 400


def test_a_deal_has_the_amount_of_its_lines_and_what_its_stage_says(http: TestClient) -> None:
    deal = add(http, "deals", dealname="Quay", dealstage="contractsent", amount=7)
    told = ("hs_deal_stage_probability", "hs_is_closed", "hs_is_closed_won", "amount")
    assert [deal[name] for name in told] == ["0.9", "false", "false", "7"]
    lines = [
        add(http, "line_items", deal_id=deal["id"], quantity=number, price="10.50")
        for number in (1, 2)
    ]
    http.delete(f"/admin/hubspot/rows/line_items/{lines[0]['id']}")
    http.patch(f"/admin/hubspot/rows/deals/{deal['id']}", json={"dealstage": "closedwon"})
    [shown] = http.get(
        "/hubspot/crm/v3/objects/deals", params={"properties": ",".join(told)}
    ).json()["results"]
    assert [shown["properties"][name] for name in told] == ["1.0", "true", "true", "21.00"]


def test_the_list_of_lines_tells_their_deal_where_it_is_asked_for(http: TestClient) -> None:
    deal = add(http, "deals", dealname="Quay", dealstage="closedlost")
    add(http, "line_items", deal_id=deal["id"], quantity=1, price=1)
    [plain] = http.get(LINES).json()["results"]
    assert "associations" not in plain
    [line] = http.get(LINES, params={"associations": "deals"}).json()["results"]
    found = [{"id": deal["id"], "type": "line_item_to_deal"}]
    assert line["associations"] == {"deals": {"results": found}}


@pytest.mark.parametrize(
    ("record_type", "values"),
    [
        ("companies", {"colour": "red"}),
        ("companies", {"name": "x", "deal_id": "1"}),
        ("line_items", {"quantity": 1}),
        ("deals", {"dealstage": "unknown"}),
    ],
)
def test_rows_that_the_account_cannot_hold_are_refused(
    http: TestClient, record_type: str, values: dict[str, object]
) -> None:
    assert http.post(f"/admin/hubspot/rows/{record_type}", json=values).status_code == 422


DEALS = "/hubspot/crm/v3/objects/deals"


def test_a_deal_is_changed_by_its_id_and_its_stamp_moves(http: TestClient) -> None:
    deal = add(http, "deals", dealname="Tern", dealstage="closedwon")
    body = {"properties": {"psa_project_ids": "eng-1-de", "psa_delivery_status": "active"}}
    answer = http.patch(f"{DEALS}/{deal['id']}", json=body)
    assert answer.status_code == 200
    assert answer.json()["properties"]["psa_project_ids"] == "eng-1-de"
    asked = {"properties": "psa_project_ids,psa_delivery_status,no_such"}
    read = http.get(f"{DEALS}/{deal['id']}", params=asked).json()
    assert read["properties"]["psa_delivery_status"] == "active"
    assert "no_such" not in read["properties"]
    assert read["updatedAt"] > deal["hs_lastmodifieddate"]
    (effect,) = http.get("/admin/effects").json()
    assert (effect["operation"], effect["external_id"]) == ("update", deal["id"])
    http.patch(f"{DEALS}/{deal['id']}", json={"properties": {"psa_project_ids": ""}})
    read = http.get(f"{DEALS}/{deal['id']}", params=asked).json()
    assert read["properties"]["psa_project_ids"] is None


def test_a_write_that_names_what_is_not_there_is_refused(http: TestClient) -> None:
    deal = add(http, "deals", dealname="Tern", dealstage="closedwon")
    path = f"{DEALS}/{deal['id']}"
    refused = http.patch(path, json={"properties": {"no_such": "x"}})
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["code"]) == (400, "PROPERTY_DOESNT_EXIST")
    assert error["context"] == {"propertyName": ["no_such"]}
    for body in ({}, {"properties": {"dealstage": "no_such"}}):
        assert http.patch(path, json=body).json()["category"] == "VALIDATION_ERROR"
    http.delete(f"/admin/hubspot/rows/deals/{deal['id']}")
    for answer in (http.get(path), http.patch(path, json={"properties": {}})):
        assert (answer.status_code, answer.json()["category"]) == (404, "OBJECT_NOT_FOUND")
    assert http.get("/admin/effects").json() == []


def test_the_properties_of_an_object_are_told_with_the_values_of_lists(http: TestClient) -> None:
    drift = {"object": "deals", "field": "amount", "change": "remove"}
    assert http.post("/admin/hubspot/fields", json=drift).is_success
    told = http.get("/hubspot/crm/v3/properties/deals").json()["results"]
    known = {each["name"]: each for each in told}
    assert known["dealstage"]["type"] == "enumeration"
    assert "closedwon" in [each["value"] for each in known["dealstage"]["options"]]
    assert (known["dealname"]["type"], known["dealname"]["options"]) == ("string", [])
    assert "amount" not in known
    assert http.get("/hubspot/crm/v3/properties/tickets").status_code == 404
