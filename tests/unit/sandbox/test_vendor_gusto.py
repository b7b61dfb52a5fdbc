"""The payroll of the twin: versions, refresh tokens, what lists leave out, what is processed."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.gusto.books import COMPANY
from sandbox.vendors.secret import Credentials

PAYROLLS = f"/gusto/v1/companies/{COMPANY}/payrolls"
PEOPLE = f"/gusto/v1/companies/{COMPANY}/employees"
YEAR = {"start_date": "2026-01-01", "end_date": "2026-12-31"}


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


def sign_in(http: TestClient, credentials: Credentials, token: str, **more: str) -> Any:
    form = {
        "grant_type": "refresh_token", "client_id": credentials.client_id,
        "client_secret": credentials["GUSTO_CLIENT_SECRET"], "refresh_token": token, **more,
    }  # fmt: skip
    return http.post("/gusto/oauth/token", data=form)


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    answer = sign_in(client, credentials, credentials["GUSTO_REFRESH_TOKEN_PATH"])
    client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    client.headers["x-refresh"] = answer.json()["refresh_token"]
    return client


def add(http: TestClient, record_type: str, **values: object) -> str:
    answer = http.post(f"/admin/gusto/rows/{record_type}", json=values)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def hire(http: TestClient, name: str = "rae") -> str:
    return add(http, "employees", first_name=name, last_name="X", work_email="x@example.com")


def payroll(http: TestClient, month: int, **values: object) -> str:
    days = {"start_date": f"2026-{month:02}-01", "end_date": f"2026-{month:02}-15"}
    return add(http, "payrolls", **days, check_date=f"2026-{month:02}-20", **values)


def test_a_refresh_token_serves_once(http: TestClient, credentials: Credentials) -> None:
    again = sign_in(http, credentials, credentials["GUSTO_REFRESH_TOKEN_PATH"])
    assert (again.status_code, again.json()) == (401, {"error": "invalid_grant"})
    assert sign_in(http, credentials, http.headers["x-refresh"]).json()["expires_in"] == 7200
    wrong = sign_in(http, credentials, "x", client_secret="x")
    assert (wrong.status_code, wrong.json()) == (401, {"error": "invalid_client"})
    in_query = http.post("/gusto/oauth/token?client_secret=x", data={})
    assert in_query.status_code == 400


def test_token_version_and_limit_are_checked(http: TestClient) -> None:
    refused = http.get(PEOPLE, headers={"authorization": "Bearer x"})
    assert (refused.status_code, refused.json()["errors"][0]["category"]) == (401, "invalid_token")
    refused = http.get(PEOPLE, headers={"x-gusto-api-version": "2019-01-01"})
    assert refused.status_code == 406
    assert refused.json()["errors"][0]["category"] == "invalid_api_version"
    http.patch("/admin/gusto/settings", json={"requests_per_minute": 1})
    assert http.get(PEOPLE).status_code == 200
    refused = http.get(PEOPLE)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_a_list_tells_its_pages_in_headers(http: TestClient) -> None:
    people = [hire(http, name) for name in ("rae", "ida", "kim")]
    pages = [http.get(PEOPLE, params={"page": page, "per": 2}) for page in (1, 2, 3)]
    assert [row["uuid"] for page in pages for row in page.json()] == people
    counts = [pages[0].headers[f"x-{name}"] for name in ("page", "total-pages", "total-count")]
    assert counts == ["1", "2", "3"]


def test_only_processed_regular_payrolls_are_listed_unless_asked_for(http: TestClient) -> None:
    regular = payroll(http, 3, processed=True)
    reversal = payroll(http, 4, processed=True, off_cycle=True, off_cycle_reason="Reversal")
    waiting = payroll(http, 5)

    def listed(**asked: str) -> list[str]:
        return [row["payroll_uuid"] for row in http.get(PAYROLLS, params=YEAR | asked).json()]

    assert listed() == [regular]
    assert listed(payroll_types="regular,off_cycle") == [reversal, regular]
    assert listed(processing_statuses="unprocessed") == [waiting]
    assert listed(start_date="2026-03-02") == listed(end_date="2026-03-14") == []
    assert listed(payroll_types="off_cycle", sort_order="asc") == [reversal]
    refused = http.get(PAYROLLS, params=YEAR | {"start_date": "2025-01-01"})
    assert refused.status_code == 422


def test_taxes_and_benefits_of_an_item_come_where_they_are_asked_for(http: TestClient) -> None:
    rae, paid = hire(http), payroll(http, 3)
    taxes = [{"name": "Medicare", "employer": True, "amount": "46.40"}]
    benefits = [{"name": "Health", "company_contribution": "120.00", "employee_deduction": "50"}]
    item = {"gross_pay": "3200.00", "taxes": taxes, "benefits": benefits}
    add(http, "payroll_items", payroll_uuid=paid, employee_uuid=rae, **item)
    [bare] = http.get(f"{PAYROLLS}/{paid}").json()["employee_compensations"]
    assert (bare["gross_pay"], "taxes" in bare) == (3200, False)
    body = http.get(f"{PAYROLLS}/{paid}", params={"include": "taxes,benefits"}).json()
    [row] = body["employee_compensations"]
    assert (row["taxes"], row["benefits"]) == (taxes, benefits)
    assert body["totals"]["employer_taxes"] == "46.40"
    assert body["totals"]["benefits"] == "120.00"


def test_what_is_processed_is_changed_no_more_and_who_was_paid_stays(http: TestClient) -> None:
    rae, paid = hire(http), payroll(http, 3)
    item = add(http, "payroll_items", payroll_uuid=paid, employee_uuid=rae, gross_pay="3200")
    http.patch(f"/admin/gusto/rows/payrolls/{paid}", json={"processed": True})
    for path in (f"payrolls/{paid}", f"payroll_items/{item}", f"employees/{rae}"):
        assert http.delete(f"/admin/gusto/rows/{path}").status_code == 422, path
    changed = http.patch(f"/admin/gusto/rows/payroll_items/{item}", json={"gross_pay": "1"})
    assert changed.json() == {"error": "the payroll is processed"}


def test_the_rate_of_today_is_that_of_the_job_and_all_come_where_asked_for(
    http: TestClient,
) -> None:
    rae = hire(http)
    job = add(http, "jobs", employee_uuid=rae, title="Engineer", hire_date="2024-04-01")
    for day, rate in (("2024-04-01", "70000"), ("2999-01-01", "90000")):
        add(http, "compensations", job_uuid=job, rate=rate, effective_date=day)
    path = f"/gusto/v1/employees/{rae}/jobs"
    [row] = http.get(path).json()
    assert (row["rate"], len(row["compensations"])) == ("70000.00", 1)
    [row] = http.get(path, params={"include": "all_compensations"}).json()
    assert [each["rate"] for each in row["compensations"]] == ["70000.00", "90000.00"]
    assert http.get("/gusto/v1/employees/x/jobs").json()["errors"][0]["category"] == "not_found"


def test_a_scope_that_is_missing_is_told_as_not_found(http: TestClient) -> None:
    http.patch("/admin/gusto/settings", json={"denied": ["payrolls"]})
    refused = http.get(PAYROLLS)
    assert refused.status_code == 404
    assert refused.json()["errors"][0]["category"] == "missing_permissions"
    assert http.get(PEOPLE).status_code == 200
