"""The resource manager of the twin: pages, date filter, writes, rate limits."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.limits import RateWindow
from sandbox.vendors.secret import Credentials

PROJECTS = "/float/v3/projects"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    client = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    client.headers["authorization"] = f"Bearer {credentials['FLOAT_TOKEN']}"
    return client


def lift_limits(http: TestClient) -> None:
    names = ("reads_per_minute", "reads_per_second", "writes_per_minute", "writes_per_second")
    http.patch("/admin/float/settings", json=dict.fromkeys(names, 1_000_000))


def add(http: TestClient, collection: str, **values: object) -> dict[str, Any]:
    answer = http.post(f"/admin/float/rows/{collection}", json=values)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_the_token_and_the_user_agent_are_checked(http: TestClient) -> None:
    assert http.get(PROJECTS, headers={"authorization": "Bearer x"}).status_code == 401
    assert http.get(PROJECTS, headers={"user-agent": ""}).status_code == 400
    assert http.get(PROJECTS).status_code == 200


def test_pages_carry_pagination_headers(http: TestClient) -> None:
    for number in range(5):
        add(http, "projects", name=f"p{number}")
    answer = http.get(PROJECTS, params={"page": 3, "per-page": 2})
    assert [row["name"] for row in answer.json()] == ["p4"]
    wanted = {"total-count": "5", "page-count": "3", "current-page": "3", "per-page": "2"}
    assert {name: answer.headers[f"x-pagination-{name}"] for name in wanted} == wanted
    most = http.get(PROJECTS, params={"per-page": 500})
    assert most.headers["x-pagination-per-page"] == "200"


def test_modified_is_empty_until_the_first_edit_and_filters_by_day(http: TestClient) -> None:
    old = add(http, "projects", name="old", created="2026-01-01 10:00:00")
    add(
        http,
        "projects",
        name="edited",
        created="2026-01-01 10:00:00",
        modified="2026-01-05 09:00:00",
    )
    assert old["modified"] is None
    names = {
        day: [row["name"] for row in http.get(PROJECTS, params={"modified_since": day}).json()]
        for day in ("2026-01-01", "2026-01-05", "2026-01-06")
    }
    assert names == {"2026-01-01": ["old", "edited"], "2026-01-05": ["edited"], "2026-01-06": []}
    assert http.get(PROJECTS, params={"modified_since": "now"}).status_code == 400
    http.patch(f"/admin/float/rows/projects/{old['project_id']}", json={"name": "new"})
    assert http.get(f"{PROJECTS}/{old['project_id']}").json()["modified"] is not None


def test_two_projects_may_have_the_same_code(http: TestClient) -> None:
    body = {"name": "p", "project_code": "eng-1-de", "unknown": 1}
    first, second = (http.post(PROJECTS, json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["project_id"] != second.json()["project_id"]
    assert "unknown" not in first.json()
    logged = [
        (entry["operation"], entry["external_id"]) for entry in http.get("/admin/effects").json()
    ]
    assert logged == [("create", "eng-1-de")] * 2


def test_the_code_of_a_project_filters_where_an_account_heeds_it(http: TestClient) -> None:
    for code in ("eng-1-de", "eng-2-de"):
        add(http, "projects", name=code, project_code=code)
    asked = {"project_code": "eng-2-de"}
    assert len(http.get(PROJECTS, params=asked).json()) == 2
    http.patch("/admin/float/settings", json={"filters_by_code": True})
    assert [row["name"] for row in http.get(PROJECTS, params=asked).json()] == ["eng-2-de"]


def test_refusals_are_lists_by_field(http: TestClient) -> None:
    answer = http.post(PROJECTS, json={"project_code": "x" * 33, "start_date": "soon"})
    assert answer.status_code == 422
    assert {problem["field"] for problem in answer.json()} == {"name", "project_code", "start_date"}
    answer = http.post(
        "/float/v3/tasks",
        json={
            "people_id": 9,
            "project_id": 9,
            "start_date": "2026-01-01",
            "end_date": "2026-01-02",
            "hours": 8,
        },
    )
    assert {problem["field"] for problem in answer.json()} == {"people_id", "project_id"}
    assert http.get("/admin/effects").json() == []


def test_a_deleted_project_is_gone_with_its_allocations(http: TestClient) -> None:
    lift_limits(http)
    person = add(http, "people", name="Ann", cost_rate="55.1250")["people_id"]
    project = http.post(PROJECTS, json={"name": "p"}).json()["project_id"]
    add(
        http,
        "tasks",
        people_id=person,
        project_id=project,
        start_date="2026-01-01",
        end_date="2026-01-02",
        hours=7.5,
    )
    assert http.get("/float/v3/tasks").json()[0]["hours"] == 7.5
    assert http.delete(f"{PROJECTS}/{project}").status_code == 204
    assert http.get(f"{PROJECTS}/{project}").status_code == 404
    assert http.get("/float/v3/tasks").json() == []


def test_the_read_limit_is_a_429_and_spares_writes(http: TestClient) -> None:
    http.patch("/admin/float/settings", json={"reads_per_minute": 2, "sends_retry_after": True})
    statuses = [http.get(PROJECTS).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert int(http.get(PROJECTS).headers["retry-after"]) > 0
    assert http.post(PROJECTS, json={"name": "p"}).status_code == 201


def test_rows_that_the_user_may_not_see_are_missing_without_an_error(http: TestClient) -> None:
    add(http, "roles", name="Partner")
    http.patch("/admin/float/settings", json={"hidden_collections": ["roles"]})
    hidden = http.get("/float/v3/roles")
    assert (hidden.json(), hidden.headers["x-pagination-total-count"]) == ([], "0")
    http.patch("/admin/float/settings", json={"hidden_collections": []})
    assert [row["name"] for row in http.get("/float/v3/roles").json()] == ["Partner"]


def test_a_window_forgets_what_is_older_than_it() -> None:
    now_s = [0.0]
    window = RateWindow(10, lambda: now_s[0])
    window.count()
    now_s[0] = 4
    window.count()
    assert (window.has_room(2), window.retry_after_s()) == (False, 6)
    now_s[0] = 10
    assert (window.has_room(2), window.counted()) == (True, 1)


def test_a_field_may_come_and_go(http: TestClient) -> None:
    add(http, "projects", name="p")
    change = {"change": "remove", "object": "projects", "field": "name"}
    http.post("/admin/float/fields", json=change)
    change = {"change": "add", "object": "projects", "field": "colour", "value": "red"}
    http.post("/admin/float/fields", json=change)
    [row] = http.get(PROJECTS).json()
    assert ("name" in row, row["colour"]) == (False, "red")


def test_the_admin_api_refuses_what_does_not_exist(http: TestClient) -> None:
    assert http.post("/admin/nobody/rows/x", json={}).status_code == 404
    assert http.post("/admin/float/rows/nothing", json={}).status_code == 404
    assert http.post("/admin/float/rows/projects", json={"nope": 1}).status_code == 422
    assert http.patch("/admin/float/settings", json={"nope": 1}).status_code == 422
    assert http.post("/admin/float/rows/projects", json="x").status_code == 422
    assert http.post("/admin/float/fields", json={"change": "burn"}).status_code == 422
    assert http.post("/admin/netsuite/invoices", json={}).status_code == 422
    assert http.post("/admin/netsuite/invoices", json={"job_externalid": "x"}).status_code == 404
    assert http.post("/admin/float/faults", json={"kind": "nope"}).status_code == 422
