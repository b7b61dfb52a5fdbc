"""The HR system of the twin: who may ask, pages of a dataset, what a change leaves, refusals."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials

DATASET = "/bamboohr/api/v2/datasets/employee/data"
PAY = "/bamboohr/api/v1/employees/all/tables/compensation"
CHANGED = "/bamboohr/api/v1/employees/changed"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    pair = b64encode(f"{credentials['BAMBOOHR_KEY']}:x".encode()).decode()
    client.headers |= {"authorization": f"Basic {pair}", "accept": "application/json"}
    return client


def add(http: TestClient, record_type: str, **values: object) -> str:
    answer = http.post(f"/admin/bamboohr/rows/{record_type}", json=values)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def hire(http: TestClient, name: str) -> str:
    return add(http, "employees", firstName=name, lastName="X", workEmail=f"{name}@example.com")


def ask(http: TestClient, **body: object) -> Any:
    asked = {"fields": ["eeid", "email"], "orderBy": "eeid asc", **body}
    return http.post(DATASET, json=asked)


@pytest.mark.parametrize("header", ["", "Bearer x", "Basic eDp4", "Basic !"])
def test_a_key_is_the_user_of_basic_credentials(http: TestClient, header: str) -> None:
    refused = http.get(PAY, headers={"authorization": header})
    assert (refused.status_code, refused.content) == (401, b"")
    assert refused.headers["x-bamboohr-error-message"] == "Unauthorized"


@pytest.mark.parametrize("status", [429, 503])
def test_who_asks_too_often_is_told_when_to_come_again(http: TestClient, status: int) -> None:
    settings = {"requests_per_minute": 1, "throttle_status": status}
    http.patch("/admin/bamboohr/settings", json=settings)
    assert http.get(PAY).status_code == 200
    refused = http.get(PAY)
    assert refused.status_code == status
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_a_dataset_goes_by_pages_in_the_order_asked_for(http: TestClient) -> None:
    people = [hire(http, name) for name in ("rae", "ida", "kim")]
    first, last = (ask(http, page=page, pageSize=2).json() for page in (1, 2))
    assert [row["fields"]["eeid"] for row in first["data"] + last["data"]] == people
    assert first["meta"] == {"page": 1, "pageSize": 2, "totalPages": 2, "totalItems": 3}
    assert (last["links"]["next"], first["links"]["prev"]) == (None, None)
    [newest, *_] = ask(http, orderBy="eeid desc").json()["data"]
    assert newest["fields"] == {"eeid": people[-1], "email": "kim@example.com"}
    assert ask(http, page=3, pageSize=2).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"fields": []}, 400),
        ({"fields": ["eeid", "shoeSize"]}, 400),
        ({"pageSize": 1001}, 422),
        ({"page": 0}, 422),
        ({"orderBy": "hireDate asc"}, 422),
    ],
)
def test_what_a_dataset_cannot_answer_is_a_problem(
    http: TestClient, body: dict[str, object], status: int
) -> None:
    refused = ask(http, **body)
    assert (refused.status_code, refused.json()["status"]) == (status, status)
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_change_of_a_table_is_one_of_its_person_and_a_delete_is_told(http: TestClient) -> None:
    rae, ida = hire(http, "rae"), hire(http, "ida")
    http.patch("/admin/bamboohr/settings", json={"clock_offset_s": 60})
    pay = {"employeeId": rae, "startDate": "2026-01-01", "rate": "68000.00", "currency": "EUR"}
    add(http, "compensation", **pay)
    since = http.get(CHANGED, params={"since": "2020-01-01T00:00:00Z"}).json()["latest"]
    found = http.get(CHANGED, params={"since": since}).json()["employees"]
    assert {each: row["action"] for each, row in found.items()} == {rae: "Updated"}
    http.delete(f"/admin/bamboohr/rows/employees/{rae}")
    found = http.get(CHANGED, params={"since": since, "type": "deleted"}).json()["employees"]
    assert list(found) == [rae]
    assert http.get(PAY).json() == []
    assert http.get(f"/bamboohr/api/v1/employees/{rae}").status_code == 404
    assert http.get(f"/bamboohr/api/v1/employees/{ida}").json() == {"id": ida}
    assert http.get(CHANGED).status_code == 400


def test_pay_is_a_thing_in_a_table_and_a_text_beside_changes(http: TestClient) -> None:
    rae = hire(http, "rae")
    pay = {"employeeId": rae, "startDate": "2026-01-01", "rate": "68000.00", "currency": "EUR"}
    row_id = add(http, "compensation", **pay)
    [row] = http.get(PAY).json()
    assert (row["id"], row["rate"]) == (row_id, {"currency": "EUR", "value": "68000.00"})
    asked = {"since": "2020-01-01T00:00:00Z"}
    body = http.get(f"{CHANGED}/tables/compensation", params=asked).json()
    [told] = body["employees"][rae]["rows"]
    assert (told["rate"], "id" in told) == ("68000.00 EUR", False)
    assert http.get(f"{CHANGED}/tables/shoes", params=asked).status_code == 404


def test_leave_is_listed_by_days_which_are_required(http: TestClient) -> None:
    rae = hire(http, "rae")
    leave = {"start": "2026-04-06", "end": "2026-04-07", "dates": {"2026-04-06": 0.5}}
    add(http, "time_off", employeeId=rae, status="approved", **leave)
    path = "/bamboohr/api/v1/time_off/requests"
    april = {"start": "2026-04-07", "end": "2026-04-30", "excludeNote": "1"}
    [row] = http.get(path, params=april).json()
    assert (row["amount"], row["dates"]) == (
        {"unit": "days", "amount": "0.5"}, {"2026-04-06": "0.5"},
    )  # fmt: skip
    assert "notes" not in row
    assert http.get(path, params={**april, "status": "requested"}).json() == []
    assert http.get(path, params={**april, "start": "2026-04-08"}).json() == []
    assert http.get(path, params={"start": "2026-04-07"}).status_code == 400


@pytest.mark.parametrize(
    ("record_type", "values", "problem"),
    [
        ("employees", {"firstName": "Lu"}, "lastName can't be blank"),
        ("employees", {"firstName": "Lu", "lastName": "X", "shoe": 1}, "no field shoe"),
        ("employees", {"firstName": "Lu", "lastName": "X", "status": "Gone"}, "status is one of"),
        ("jobInfo", {"employeeId": "1", "date": "2026-01-01"}, "no employees 1"),
        ("shoes", {}, "there are no shoes"),
    ],
)
def test_rows_that_the_account_cannot_hold_are_refused(
    http: TestClient, record_type: str, values: dict[str, object], problem: str
) -> None:
    refused = http.post(f"/admin/bamboohr/rows/{record_type}", json=values)
    assert refused.status_code in (404, 422)
    assert problem in refused.json()["error"]
