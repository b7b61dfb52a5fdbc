"""The procurement of the twin: scopes, filters, offsets, fields, JSON and XML."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials

ORDERS = "/coupa/api/purchase_orders"
LINES = "/coupa/api/purchase_order_lines"
INVOICES = "/coupa/api/invoices"
SCOPES = "core.purchase_order.read core.invoice.read core.inventory.receiving.read"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


def sign_in(http: TestClient, credentials: Credentials, **more: str) -> Any:
    form = {
        "grant_type": "client_credentials", "client_id": credentials.client_id,
        "client_secret": credentials["COUPA_CLIENT_SECRET"], "scope": SCOPES, **more,
    }  # fmt: skip
    return http.post("/coupa/oauth2/token", data=form)


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    token = sign_in(client, credentials).json()["access_token"]
    client.headers |= {"authorization": f"Bearer {token}", "accept": "application/json"}
    client.patch("/admin/coupa/settings", json={"requests_per_second": 1_000})
    return client


def add(http: TestClient, record_type: str, **values: object) -> int:
    answer = http.post(f"/admin/coupa/rows/{record_type}", json=values)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def test_a_client_gets_the_scopes_that_it_asks_for(
    http: TestClient, credentials: Credentials
) -> None:
    told = sign_in(http, credentials, scope="core.invoice.read").json()
    assert told["expires_in"] == 86_399
    few = {"authorization": f"Bearer {told['access_token']}"}
    assert http.get(INVOICES, headers=few).json() == []
    refused = http.get(ORDERS, headers=few)
    assert (refused.status_code, refused.json()) == (403, {"errors": ["insufficient scope"]})
    assert http.get(ORDERS, headers={"authorization": "Bearer x"}).status_code == 401
    for wrong, status in (({"client_secret": "x"}, 401), ({"scope": "core.all"}, 400)):
        assert sign_in(http, credentials, **wrong).status_code == status


def test_requests_beyond_those_of_a_second_are_refused(http: TestClient) -> None:
    http.patch("/admin/coupa/settings", json={"requests_per_second": 0})
    refused = http.get(ORDERS)
    assert (refused.status_code, "retry-after" in refused.headers) == (429, False)


def test_a_list_is_fifty_rows_at_most_and_goes_on_by_offset(http: TestClient) -> None:
    made = [add(http, "purchase_orders", status="issued") for _ in range(52)]
    first = http.get(ORDERS, params={"limit": 100}).json()
    rest = http.get(ORDERS, params={"offset": 50}).json()
    assert [row["id"] for row in first + rest] == made
    assert len(first) == 50
    assert first[0]["po-number"] == f"PO-{made[0]}"


def test_what_changed_since_is_asked_for_in_any_offset(http: TestClient) -> None:
    old = add(http, "purchase_orders", status="issued")
    http.patch("/admin/coupa/settings", json={"clock_offset_s": 3_600})
    new = add(http, "purchase_orders", status="draft")
    [row] = http.get(ORDERS, params={"status": "draft"}).json()
    stamp = row["updated-at"]
    assert stamp.endswith("-08:00")
    assert [each["id"] for each in http.get(ORDERS, params={"updated-at[gt_or_eq]": stamp}).json()]
    for operator, found in (
        ("gt", []),
        ("gt_or_eq", [new]),
        ("lt", [old]),
        ("lt_or_eq", [old, new]),
    ):
        asked = {f"updated-at[{operator}]": stamp}
        assert [each["id"] for each in http.get(ORDERS, params=asked).json()] == found, operator
    chosen = {"status[in]": "draft,closed", "id[gt]": str(old)}
    assert [each["id"] for each in http.get(ORDERS, params=chosen).json()] == [new]
    for wrong in ({"updated-at[gt]": "soon"}, {"shoe": "1"}, {"status[like]": "d"}):
        assert http.get(ORDERS, params=wrong).status_code == 400


def test_a_line_names_its_supplier_its_account_and_the_currency_of_its_order(
    http: TestClient,
) -> None:
    order = add(http, "purchase_orders", status="issued", currency="EUR")
    supplier = add(http, "suppliers", name="Quay Contracting")
    line = {"order_header_id": order, "supplier_id": supplier, "total": "250.00"}
    made = add(http, "purchase_order_lines", **line)
    [row] = http.get(LINES).json()
    assert (row["id"], row["order-header-id"], row["total"]) == (made, order, "250.00")
    assert row["supplier"] == {"id": supplier, "name": "Quay Contracting"}
    assert (row["account"], row["quantity"], row["currency"]) == (None, None, {"code": "EUR"})
    fields = '["id",{"supplier":["name"]}]'
    [row] = http.get(LINES, params={"fields": fields}).json()
    assert row == {"id": made, "supplier": {"name": "Quay Contracting"}}
    assert http.get(LINES, params={"fields": "id"}).status_code == 400


def test_days_are_midnight_in_the_offset_of_the_company(http: TestClient) -> None:
    supplier = add(http, "suppliers", name="Quay")
    http.patch("/admin/coupa/settings", json={"offset_hours": 2})
    bill = {"invoice_number": "V-15", "supplier_id": supplier, "invoice_date": "2026-03-02"}
    invoice = add(http, "invoices", **bill)
    line = add(http, "invoice_lines", invoice_id=invoice, total="250.00")
    [row] = http.get(INVOICES).json()
    assert row["invoice-date"] == "2026-03-02T00:00:00+02:00"
    assert [each["id"] for each in row["invoice-lines"]] == [line]


def test_without_a_wish_for_json_lists_come_in_xml_and_empty_ones_are_errors(
    http: TestClient,
) -> None:
    in_xml = {"accept": "*/*"}
    refused = http.get(ORDERS, headers=in_xml)
    assert (refused.status_code, "No results match" in refused.text) == (404, True)
    add(http, "purchase_orders", status="draft")
    found = http.get(ORDERS, headers=in_xml)
    assert found.headers["content-type"].startswith("application/xml")
    assert '<purchase-orders type="array"><purchase-order><id type="integer">' in found.text
    assert '<po-number nil="true" />' in found.text


@pytest.mark.parametrize(
    ("record_type", "values", "problem"),
    [
        ("purchase_orders", {"status": "lost"}, "status is one of"),
        ("invoices", {"invoice_number": "1"}, "invoice_date can't be blank"),
        ("invoice_lines", {"invoice_id": 1, "total": 1}, "no invoices 1"),
    ],
)
def test_rows_that_the_instance_cannot_hold_are_refused(
    http: TestClient, record_type: str, values: dict[str, object], problem: str
) -> None:
    refused = http.post(f"/admin/coupa/rows/{record_type}", json=values)
    assert refused.status_code in (404, 422)
    assert problem in refused.json()["error"]
