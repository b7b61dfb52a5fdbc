"""The resource planner of the twin: credentials, lists, references, contracts, deletions."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials

PROJECTS = "/runn/projects/"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    client.headers["authorization"] = f"Bearer {credentials['RUNN_TOKEN']}"
    client.headers["accept-version"] = "1.0.0"
    client.post("/admin/runn/rows/clients", json={"name": "Tern"})
    return client


def project(http: TestClient, **values: Any) -> dict[str, Any]:
    answer = http.post(PROJECTS, json={"name": "p", "clientId": 1, **values})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_token_version_and_limit_are_checked(http: TestClient) -> None:
    wrong = {"authorization": "Bearer x"}
    assert http.get(PROJECTS, headers=wrong).json() == {
        "error": "Unauthorized", "message": "Unauthorized", "statusCode": 401,
    }  # fmt: skip
    assert http.get(PROJECTS, headers={"accept-version": ""}).status_code == 400
    assert http.get(PROJECTS, params={"limit": 201}).status_code == 400
    http.patch("/admin/runn/settings", json={"requests_per_minute": 0})
    assert http.get(PROJECTS).status_code == 429


def test_a_list_goes_on_by_its_cursor_and_filters_by_reference(http: TestClient) -> None:
    ours = [{"referenceName": "psastream", "externalId": "eng-1"}]
    made = [project(http, references=ours)["id"] for _ in range(2)]
    project(http)
    asked = {"limit": "1", "externalId": "eng-1", "includeArchived": "true"}
    first = http.get(PROJECTS, params=asked).json()
    last = http.get(PROJECTS, params={**asked, "cursor": first["nextCursor"]}).json()
    assert [row["id"] for page in (first, last) for row in page["values"]] == made
    assert last["nextCursor"] is None


def test_milestones_are_shown_from_this_week_on_unless_a_day_is_given(http: TestClient) -> None:
    path = f"{PROJECTS}{project(http)['id']}/milestones/"
    body = {"title": "Start", "icon": "start", "date": "2019-01-07"}
    assert http.post(path, json=body).status_code == 201
    assert http.get(path).json()["values"] == []
    assert len(http.get(path, params={"startDate": "1970-01-01"}).json()["values"]) == 1


def test_a_write_is_noted_under_our_id_of_its_project(http: TestClient) -> None:
    ours = [{"referenceName": "psastream", "externalId": "eng-1"}]
    start = {"title": "Start", "icon": "start", "date": "2019-01-07"}
    for references in (ours, []):
        path = f"{PROJECTS}{project(http, references=references)['id']}/milestones/"
        made = http.post(path, json=start).json()["id"]
        http.delete(f"{path}{made}")
    noted = [
        (each["record_type"], each["external_id"]) for each in http.get("/admin/effects").json()
    ]
    assert noted == [
        ("project", "eng-1"), ("milestone", "eng-1"), ("milestone", "eng-1"),
        ("project", "2"), ("milestone", "2"), ("milestone", "2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body", [{"name": "p"}, {"name": "", "clientId": 1}, {"name": "p", "clientId": 9}]
)
def test_a_project_without_name_or_client_is_refused(
    http: TestClient, body: dict[str, Any]
) -> None:
    answer = http.post(PROJECTS, json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request")
    assert http.get("/admin/effects").json() == []


def hired(http: TestClient, **contract: Any) -> int:
    """Somebody with a role and a contract since the beginning of 2024."""
    http.post("/admin/runn/rows/roles", json={"name": "Consultant"})
    person = http.post("/admin/runn/rows/people", json={"firstName": "Ada", "lastName": "Adler"})
    agreed(http, person.json()["id"], startDate="2024-01-01", **contract)
    return int(person.json()["id"])


def agreed(http: TestClient, person: int, **terms: Any) -> None:
    row = {"personId": person, "roleId": 1, "costPerHour": 50, **terms}
    assert http.post("/admin/runn/rows/contracts", json=row).status_code == 201


def listed(http: TestClient, path: str, **asked: str) -> list[dict[str, Any]]:
    answer = http.get(f"/runn{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["values"])


def test_of_contracts_only_those_in_force_are_shown(http: TestClient) -> None:
    person = hired(http)
    agreed(http, person, startDate="2025-06-01", costPerHour=60)
    agreed(http, person, startDate="9999-01-01", costPerHour=70)
    assert [
        (row["costPerHour"], row["endDate"]) for row in listed(http, "/people/contracts/current")
    ] == [(60, "9998-12-31")]
    ended = hired(http, endDate="2024-12-31")
    assert ended not in {row["personId"] for row in listed(http, "/people/contracts/current")}
    assert [row["personIds"] for row in listed(http, "/roles/")] == [[person], []]


def test_a_list_shows_what_changed_after_a_time(http: TestClient) -> None:
    person = hired(http)
    (row,) = listed(http, "/people/")
    assert listed(http, "/people/", modifiedAfter=row["updatedAt"]) == []
    agreed(http, person, startDate="2025-06-01")
    assert listed(http, "/people/", modifiedAfter=row["updatedAt"]) == [], "nor a new contract"
    assert listed(http, "/people/", modifiedAfter="2000-01-01T00:00:00Z") == [row]


def test_the_plan_refers_to_people_and_to_seats(http: TestClient) -> None:
    person, made = hired(http), project(http)["id"]
    plan = {
        "personId": person, "projectId": made, "roleId": 1, "startDate": "2026-09-07",
        "endDate": "2026-09-11", "minutesPerDay": 240,
    }  # fmt: skip
    path = "/admin/runn/rows/assignments"
    assert http.post(path, json=plan).status_code == 201
    assert http.post(path, json={**plan, "isPlaceholder": True}).status_code == 422
    http.post("/admin/runn/rows/placeholders", json={"firstName": "Open", "lastName": "1"})
    assert http.post(path, json={**plan, "personId": 1, "isPlaceholder": True}).status_code == 201
    assert http.post(path, json={**plan, "startDate": "soon"}).status_code == 422
    assert len(listed(http, "/assignments/", limit="500")) == 2


def test_the_log_tells_of_what_was_deleted_and_of_what_went_with_it(http: TestClient) -> None:
    person, made = hired(http), project(http)["id"]
    plan = {
        "personId": person, "projectId": made, "roleId": 1, "startDate": "2026-09-07",
        "endDate": "2026-09-11", "minutesPerDay": 240,
    }  # fmt: skip
    http.post("/admin/runn/rows/assignments", json=plan)
    off = {"personId": person, "startDate": "2026-09-07", "endDate": "2026-09-08"}
    leave = http.post("/admin/runn/rows/leave", json=off).json()["id"]
    holiday = http.post("/admin/runn/rows/holidays", json=off).json()["id"]
    assert leave != holiday, "time off of both kinds is numbered as one"
    assert http.delete(f"/admin/runn/rows/leave/{leave}").status_code == 204
    assert http.delete(f"/admin/runn/rows/projects/{made}").status_code == 204
    told = listed(http, "/activity-log/", orderBy="asc")
    assert [row["eventType"] for row in told] == [
        "time_off_deleted", "project_deleted", "assignment_deleted",
    ]  # fmt: skip
    assert told[0]["timeOff"]["id"] == leave
    asked = {"eventType": "project_deleted", "occurredAfter": told[0]["timestamp"]}
    assert [row["project"]["id"] for row in listed(http, "/activity-log/", **asked)] == [made]
    asked["occurredAfter"] = told[1]["timestamp"]
    assert listed(http, "/activity-log/", **asked) == []
    assert [row["id"] for row in listed(http, "/time-offs/holidays/", sortBy="id")] == [holiday]
