"""The resource planner of the twin: credentials, cursors, references, days of milestones."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.oauth import Credentials, make_credentials

PROJECTS = "/runn/projects/"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    client.headers["authorization"] = f"Bearer {credentials.runn_token}"
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


@pytest.mark.parametrize(
    "body", [{"name": "p"}, {"name": "", "clientId": 1}, {"name": "p", "clientId": 9}]
)
def test_a_project_without_name_or_client_is_refused(
    http: TestClient, body: dict[str, Any]
) -> None:
    answer = http.post(PROJECTS, json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request")
    assert http.get("/admin/effects").json() == []
