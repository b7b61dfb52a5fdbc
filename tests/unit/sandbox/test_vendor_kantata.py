"""The twin of Kantata: who may ask, what is refused, what lists leave out."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.effects import EffectLog
from sandbox.vendors.kantata.api import KantataApi, KantataSettings
from sandbox.vendors.kantata.books import KantataBooks
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site

NAMED = {"service_name": "psastream", "service_model": "project", "service_model_ref": "p-1"}


def account(**settings: object) -> TestClient:
    site = Site("kantata", base_url="", seed=1, effects=EffectLog(), settings=KantataSettings())
    site.configure(settings)
    credentials = Credentials({"KANTATA_TOKEN": "t0ken"})
    client = TestClient(KantataApi(site, KantataBooks(site.clock), credentials).create_app())
    client.headers["authorization"] = "Bearer t0ken"
    return client


def test_an_answer_refers_to_rows_that_stand_by_id() -> None:
    http = account()
    body = {"title": "Quay", "price": 90_000, "currency": "EUR", "external_reference": NAMED}
    made = http.post("/workspaces.json", json={"workspace": body})
    assert made.status_code == 200
    (entry,) = made.json()["results"]
    row = made.json()["workspaces"][entry["id"]]
    assert (entry["key"], row["id"], row["price_in_cents"]) == (
        "workspaces",
        entry["id"],
        9_000_000,
    )
    asked = {"subject_type": "Workspace", "service_model_ref": "p-1"}
    found = http.get("/external_references.json", params=asked).json()
    assert [each["subject_id"] for each in found["external_references"].values()] == [
        int(entry["id"])
    ]
    changed = http.put(f"/workspaces/{entry['id']}.json", json={"workspace": {"title": "Pier"}})
    assert changed.json()["workspaces"][entry["id"]]["title"] == "Pier"


def test_archived_projects_are_listed_for_who_asks_and_no_id_is_refused() -> None:
    http = account()
    body = {"title": "Quay", "budgeted": False, "archived": True}
    http.post("/workspaces.json", json={"workspace": body})
    assert http.get("/workspaces.json").json()["count"] == 0
    assert http.get("/workspaces.json", params={"include_archived": "true"}).json()["count"] == 1
    assert http.get("/workspaces.json", params={"only": "9"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"budgeted": False}, 422, "title"),
        ({"title": "Quay"}, 422, "price"),
        ({"title": "Quay", "budgeted": False, "creator_role": "guest"}, 422, "creator_role"),
        ({"title": "Quay", "budgeted": False, "start_date": "soon"}, 422, "start_date"),
    ],
)
def test_what_a_project_needs_is_asked_for(body: object, status: int, field: str) -> None:
    answer = account().post("/workspaces.json", json={"workspace": body})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["type"], error["field"]) == (status, "validation", field)


def test_others_and_those_who_ask_too_much_are_told_so() -> None:
    http = account(requests_per_minute=1)
    assert http.get("/workspaces.json", headers={"authorization": "Bearer x"}).status_code == 401
    assert [http.get("/workspaces.json").status_code for _ in range(2)] == [200, 429]
    assert account().get("/external_references.json").status_code == 400
    assert account().put("/workspaces/7.json", json={"workspace": {}}).status_code == 404


def test_a_project_and_its_reference_are_listed_late_and_shown_by_id_at_once() -> None:
    http = account(search_lag_s=3_600)
    body = {"title": "Quay", "budgeted": False, "external_reference": NAMED}
    ((row_id, _),) = (
        http.post("/workspaces.json", json={"workspace": body}).json()["workspaces"].items()
    )
    references = {"subject_type": "Workspace", "service_model_ref": "p-1"}
    counts = [
        http.get(path, params=params).json()["count"]
        for path, params in (
            ("/workspaces.json", {}),
            ("/external_references.json", references),
            ("/workspaces.json", {"only": row_id}),
        )
    ]
    assert counts == [0, 0, 1]
