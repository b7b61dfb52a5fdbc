"""The worker system of the twin: pages up to 204, a queue whose head stays, refusals."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.adp.api import QUEUE
from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials

WORKERS = "/adp/hr/v2/workers"
MESSAGES = f"/adp{QUEUE}"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    form = {
        "grant_type": "client_credentials", "client_id": credentials.client_id,
        "client_secret": credentials["ADP_CLIENT_SECRET"],
    }  # fmt: skip
    token = client.post("/adp/auth/oauth/v2/token", data=form).json()["access_token"]
    client.headers["authorization"] = f"Bearer {token}"
    client.patch("/admin/adp/settings", json={"requests_per_minute": 1_000})
    return client


def hire(http: TestClient, name: str = "Rae", **values: object) -> str:
    row = {"given_name": name, "family_name": "X", "original_hire_date": "2024-04-01", **values}
    answer = http.post("/admin/adp/rows/workers", json=row)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def change(http: TestClient, worker: str, **values: object) -> None:
    assert http.patch(f"/admin/adp/rows/workers/{worker}", json=values).status_code == 200


def text_of(answer: Any) -> str:
    [message] = answer.json()["confirmMessage"]["resourceMessages"]
    return str(message["processMessages"][0]["userMessage"]["messageTxt"])


def test_credentials_token_and_limit_are_checked(http: TestClient) -> None:
    refused = http.post("/adp/auth/oauth/v2/token", data={"grant_type": "client_credentials"})
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    refused = http.get(WORKERS, headers={"authorization": "Bearer x"})
    assert (refused.status_code, text_of(refused)) == (
        401, "The access token is invalid or has expired",
    )  # fmt: skip
    http.patch("/admin/adp/settings", json={"requests_per_minute": 0})
    refused = http.get(WORKERS)
    assert (refused.status_code, int(refused.headers["retry-after"]) >= 0) == (429, True)


def test_pages_end_without_content_and_a_list_shows_no_title(http: TestClient) -> None:
    assert http.get(WORKERS).status_code == 204
    people = [hire(http, job_title="Engineer") for _ in range(3)]
    pages = [http.get(WORKERS, params={"$top": 2, "$skip": skip}) for skip in (0, 2)]
    rows = [row for page in pages for row in page.json()["workers"]]
    assert [row["associateOID"] for row in rows] == people
    assert "jobTitle" not in rows[0]["workAssignments"][0]
    assert http.get(WORKERS, params={"$skip": 3}).status_code == 204
    [row] = http.get(f"{WORKERS}/{people[0]}").json()["workers"]
    assert row["workAssignments"][0]["jobTitle"] == "Engineer"


def test_what_is_not_set_is_not_there_and_long_names_come_alone(http: TestClient) -> None:
    bare = hire(http)
    [row] = http.get(f"{WORKERS}/{bare}").json()["workers"]
    assert "businessCommunication" not in row
    assert row["workerDates"] == {"originalHireDate": "2024-04-01"}
    [assignment] = row["workAssignments"]
    assert "baseRemuneration" not in assignment
    full = hire(http, department="Delivery - Coastal Projects", location="Bergen")
    [assignment] = http.get(f"{WORKERS}/{full}").json()["workers"][0]["workAssignments"]
    [unit] = assignment["homeOrganizationalUnits"]
    assert unit["nameCode"] == {"codeValue": "DELIVE", "longName": "Delivery - Coastal Projects"}
    assert assignment["homeWorkLocation"]["nameCode"]["shortName"] == "Bergen"


def test_the_head_of_the_queue_stays_until_it_is_deleted(http: TestClient) -> None:
    assert http.get(MESSAGES).status_code == 204
    rae = hire(http)
    change(http, rae, annual_rate="71000")
    change(http, rae)
    first, again = http.get(MESSAGES), http.get(MESSAGES)
    name = first.headers["adp-msg-msgid"]
    assert again.headers["adp-msg-msgid"] == name
    [event] = first.json()["events"]
    assert event["eventNameCode"]["codeValue"] == "worker.hire"
    assert event["data"] == {"output": {"worker": {"associateOID": rae}}}
    assert event["recordDateTime"].endswith("+0000")
    assert http.delete(f"{MESSAGES}/{quote(name, safe='')}").status_code == 200
    assert http.delete(f"{MESSAGES}/{quote(name, safe='')}").status_code == 404
    second = http.get(MESSAGES)
    [event] = second.json()["events"]
    assert event["eventNameCode"]["codeValue"] == "worker.work-assignment.base-remuneration.change"
    assert event["data"]["eventContext"] == {"worker": {"associateOID": rae}}
    http.delete(f"{MESSAGES}/{quote(second.headers['adp-msg-msgid'], safe='')}")
    assert http.get(MESSAGES).status_code == 204, "nothing changed with the last one"


@pytest.mark.parametrize(
    ("values", "event"),
    [
        ({"status": "Terminated", "termination_date": "2026-02-28"}, "worker.terminate"),
        ({"status": "Inactive", "assignment_status": "L"}, "worker.on-leave"),
        ({"rehire_date": "2026-03-01"}, "worker.rehire"),
        ({"job_title": "Lead"}, "worker.work-assignment.modify"),
    ],
)
def test_a_message_is_called_after_what_changed(
    http: TestClient, values: dict[str, object], event: str
) -> None:
    rae = hire(http)
    http.delete(f"{MESSAGES}/{quote(http.get(MESSAGES).headers['adp-msg-msgid'], safe='')}")
    change(http, rae, **values)
    [told] = http.get(MESSAGES).json()["events"]
    assert told["eventNameCode"]["codeValue"] == event


def test_a_body_of_403_says_success_which_it_is_not(http: TestClient) -> None:
    rae = hire(http)
    http.patch("/admin/adp/settings", json={"hidden": [rae], "has_queue": False})
    for path in (f"{WORKERS}/{rae}", MESSAGES):
        refused = http.get(path)
        assert (refused.status_code, refused.json()["status"]) == (403, "success")
    assert http.get(f"{WORKERS}/G0").status_code == 404


def test_words_that_there_are_not_are_refused(http: TestClient) -> None:
    row = {"given_name": "Lu", "family_name": "X", "original_hire_date": "2024-04-01"}
    refused = http.post("/admin/adp/rows/workers", json={**row, "status": "Gone"})
    assert refused.json() == {"error": "there is no such status"}
