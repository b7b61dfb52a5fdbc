"""The time tracker: who may ask, pages behind cursors, what follows from a row, approvals."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.harvest.api import ACCOUNT
from sandbox.vendors.secret import Credentials

ENTRIES = "/harvest/v2/time_entries"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


class Account:
    """A twin with a client, a project, a billable and another task, and a person on it."""

    def __init__(self, credentials: Credentials) -> None:
        self.http = TestClient(
            create_app(base_url="http://testserver", seed=1, credentials=credentials)
        )
        self.http.headers["authorization"] = f"Bearer {credentials['HARVEST_TOKEN']}"
        self.http.headers["harvest-account-id"] = ACCOUNT
        client = self.add("clients", name="Quay Ltd", currency="EUR")["id"]
        self.project = self.add("projects", client_id=client, name="Quay", code="Q1")["id"]
        self.tasks = [self.add("tasks", name=name)["id"] for name in ("Delivery", "Preparation")]
        for task, billable in zip(self.tasks, (True, False), strict=True):
            self.add("task_assignments", project_id=self.project, task_id=task, billable=billable)
        self.user = self.person("Rae")

    def person(self, name: str) -> int:
        user = self.add(
            "users", first_name=name, last_name="Example", email=f"{name}@example.com",
            default_hourly_rate=120, cost_rate=61,
        )["id"]  # fmt: skip
        self.add("user_assignments", project_id=self.project, user_id=user)
        return int(user)

    def add(self, record_type: str, **values: object) -> dict[str, Any]:
        answer = self.http.post(f"/admin/harvest/rows/{record_type}", json=values)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def refuses(self, record_type: str, **values: object) -> str:
        answer = self.http.post(f"/admin/harvest/rows/{record_type}", json=values)
        assert answer.status_code in (404, 422)
        return str(answer.json()["error"])

    def change(self, record_type: str, row_id: int, **values: object) -> dict[str, Any]:
        answer = self.http.patch(f"/admin/harvest/rows/{record_type}/{row_id}", json=values)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def set(self, **settings: object) -> None:
        self.http.patch("/admin/harvest/settings", json=settings)

    def book(self, day: str = "2026-03-03", **values: object) -> int:
        entry = {"user_id": self.user, "project_id": self.project, "task_id": self.tasks[0]}
        return int(
            self.add("time_entries", spent_date=day, **{**entry, "hours": 2.5, **values})["id"]
        )

    def decide(self, status: str, day: str = "2026-03-03") -> None:
        span = {"from": day, "to": day}
        self.add("timesheets", user_id=self.user, status=status, **span)

    def list(self, name: str = "time_entries", **params: object) -> dict[str, Any]:
        answer = self.http.get(f"/harvest/v2/{name}", params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def entry(self, row_id: int) -> dict[str, Any]:
        return dict(self.http.get(f"{ENTRIES}/{row_id}").json())


@pytest.fixture
def account(credentials: Credentials) -> Account:
    return Account(credentials)


@pytest.mark.parametrize(
    ("headers", "status", "body"),
    [
        ({"user-agent": ""}, 400, {"message": "User-Agent is missing"}),
        ({"harvest-account-id": "1"}, 404, {"status": 404, "error": "Not Found"}),
    ],
)
def test_a_request_names_its_sender_and_its_account(
    account: Account, headers: dict[str, str], status: int, body: dict[str, Any]
) -> None:
    answer = account.http.get(ENTRIES, headers=headers)
    assert (answer.status_code, answer.json()) == (status, body)


def test_the_token_is_checked(account: Account) -> None:
    answer = account.http.get(ENTRIES, headers={"authorization": "Bearer x"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_more_requests_than_the_account_may_make_wait(account: Account) -> None:
    account.set(requests_per_15_seconds=1)
    assert account.http.get(ENTRIES).status_code == 200
    refused = account.http.get(ENTRIES)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 15


def test_pages_go_on_behind_a_cursor_and_keep_what_was_asked(account: Account) -> None:
    days = ["2026-03-03", "2026-03-05", "2026-03-04"]
    ids = dict(zip(days, [account.book(day) for day in days], strict=True))
    page = account.list(per_page=2, updated_since="2026-01-01T00:00:00Z")
    assert [row["id"] for row in page["time_entries"]] == [ids["2026-03-05"], ids["2026-03-04"]]
    assert (page["page"], page["next_page"], page["total_pages"]) == (1, 2, 2)
    assert page["total_entries"] == 3
    link = urlsplit(page["links"]["next"])
    assert link.path == ENTRIES
    asked = {name: value for name, [value] in parse_qs(link.query).items()}
    assert asked.pop("cursor")
    assert asked == {
        "per_page": "2", "ref": "next_cursor", "updated_since": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    last = account.http.get(f"{link.path}?{link.query}").json()
    assert [row["id"] for row in last["time_entries"]] == [ids["2026-03-03"]]
    assert (last["page"], last["links"]["next"]) == (2, None)


def test_a_row_that_goes_hides_none_behind_a_cursor(account: Account) -> None:
    first, *rest = sorted((account.book() for _ in range(5)), reverse=True)
    link = account.list(per_page=1)["links"]["next"]
    account.http.delete(f"/admin/harvest/rows/time_entries/{first}")
    found = []
    while link is not None:
        page = account.http.get(link.removeprefix("http://testserver")).json()
        assert page["page"] is None or page["links"]["next"] is None
        found += [row["id"] for row in page["time_entries"]]
        link = page["links"]["next"]
    assert found == rest


@pytest.mark.parametrize(
    "params", [{"per_page": 2001}, {"per_page": 0}, {"page": 0}, {"cursor": "x"}]
)
def test_a_page_that_there_cannot_be_is_refused(
    account: Account, params: dict[str, object]
) -> None:
    answer = account.http.get(ENTRIES, params=params)
    assert answer.status_code == 422
    assert "message" in answer.json()


def test_only_what_changed_is_listed_in_whole_seconds(account: Account) -> None:
    account.set(clock_offset_s=60)
    entry = account.book()
    stamp = account.entry(entry)["updated_at"]
    assert len(stamp) == len("2026-03-03T17:01:09Z")
    assert [row["id"] for row in account.list(updated_since=stamp)["time_entries"]] == [entry]
    account.set(clock_offset_s=120)
    changed = account.book()
    since = account.entry(changed)["updated_at"]
    assert [row["id"] for row in account.list(updated_since=since)["time_entries"]] == [changed]


def test_an_entry_shows_what_it_names_and_what_follows(account: Account) -> None:
    row = account.entry(account.book(hours="1.005"))
    assert row["hours"] == row["rounded_hours"] == row["hours_without_timer"] == 1.01
    assert row["client"]["currency"] == "EUR"
    assert row["project"] == {"id": account.project, "name": "Quay", "code": "Q1"}
    assert row["user"] == {"id": account.user, "name": "Rae Example"}
    assert (row["billable"], row["billable_rate"], row["cost_rate"]) == (True, 120, 61)
    assert row["task_assignment"]["billable"] is True
    assert {"user_id", "project_id", "task_id", "task_assignment_id"}.isdisjoint(row)


def test_time_on_another_task_or_an_internal_project_is_not_billable(account: Account) -> None:
    row = account.entry(account.book(task_id=account.tasks[1]))
    assert (row["billable"], row["billable_rate"], row["cost_rate"]) == (False, None, 61)
    account.change("projects", account.project, is_billable=False)
    assert account.entry(account.book())["billable"] is False


def test_hours_of_a_running_timer_grow_until_it_stops(account: Account) -> None:
    entry = account.book(hours=None)
    row = account.entry(entry)
    assert (row["is_running"], row["hours_without_timer"]) == (True, 0)
    account.set(clock_offset_s=1_800)
    row = account.entry(entry)
    assert 0.5 <= row["hours"] <= 0.51
    assert row["hours_without_timer"] == 0
    account.change("time_entries", entry, is_running=False)
    row = account.entry(entry)
    assert (row["is_running"], row["timer_started_at"]) == (False, None)
    assert row["hours"] == row["hours_without_timer"] >= 0.5


def test_what_is_approved_is_closed_and_locked_with_the_expenses_of_the_day(
    account: Account,
) -> None:
    category = account.add("expense_categories", name="Meals")["id"]
    account.add(
        "expenses", user_id=account.user, project_id=account.project, spent_date="2026-03-03",
        expense_category_id=category, total_cost=51,
    )  # fmt: skip
    entry, other = account.book(), account.book("2026-03-04")
    account.set(clock_offset_s=60)
    before = account.entry(entry)["updated_at"]
    account.decide("submitted")
    assert (account.entry(entry)["is_closed"], account.entry(entry)["is_locked"]) == (False, False)
    account.decide("approved")
    row = account.entry(entry)
    assert (row["is_closed"], row["is_locked"], row["approval_status"]) == (True, True, "approved")
    assert row["locked_reason"] == "Item Approved and Locked for this Time Period"
    assert row["updated_at"] > before
    assert account.entry(other)["is_closed"] is False
    [expense] = account.list("expenses")["expenses"]
    assert (expense["is_closed"], expense["total_cost"]) == (True, 51)
    late = account.book()
    account.decide("submitted")
    assert account.entry(entry)["is_closed"], "to submit what came late withdraws no approval"
    assert account.entry(late)["approval_status"] == "submitted"
    account.change("time_entries", entry, hours=3)
    assert account.entry(entry)["hours"] == 3, "an administrator may edit what is locked"
    account.decide("unsubmitted")
    assert account.entry(entry)["locked_reason"] is None


def test_a_day_with_a_running_timer_cannot_be_approved(account: Account) -> None:
    account.book(hours=None)
    day = {"from": "2026-03-03", "to": "2026-03-03"}
    assert "timer" in account.refuses("timesheets", user_id=account.user, status="approved", **day)


def test_a_member_sees_their_own_time_without_rates_and_no_list_of_the_firm(
    account: Account,
) -> None:
    own = account.book()
    other = account.book(user_id=account.person("Kim"))
    account.set(is_administrator=False)
    [row] = account.list()["time_entries"]
    assert (row["id"], row["billable_rate"], row["cost_rate"]) == (own, None, None)
    assert account.http.get(f"{ENTRIES}/{other}").status_code == 404
    for name in ("users", "projects", "task_assignments"):
        refused = account.http.get(f"/harvest/v2/{name}")
        assert (refused.status_code, list(refused.json())) == (403, ["message"])


def test_a_deleted_entry_leaves_no_trace_and_a_project_takes_its_time_along(
    account: Account,
) -> None:
    gone, stays = account.book(), account.book()
    account.http.delete(f"/admin/harvest/rows/time_entries/{gone}")
    assert [row["id"] for row in account.list()["time_entries"]] == [stays]
    assert account.http.get(f"{ENTRIES}/{gone}").status_code == 404
    account.http.delete(f"/admin/harvest/rows/projects/{account.project}")
    assert (
        account.list()["time_entries"] == account.list("task_assignments")["task_assignments"] == []
    )


@pytest.mark.parametrize(
    ("record_type", "values", "problem"),
    [
        ("time_entries", {"colour": "red"}, "colour"),
        ("time_entries", {"spent_date": None}, "spent_date can't be blank"),
        ("time_entries", {"project_id": 1}, "no projects 1"),
        ("time_entries", {"task_id": 0}, "no tasks 0"),
        ("time_entries", {"hours": -1}, "negative"),
        ("time_entries", {"spent_date": "soon"}, "soon"),
    ],
)
def test_rows_that_the_account_cannot_hold_are_refused(
    account: Account, record_type: str, values: dict[str, object], problem: str
) -> None:
    entry = {
        "user_id": account.user, "project_id": account.project, "task_id": account.tasks[0],
        "spent_date": "2026-03-03", "hours": 1,
    }  # fmt: skip
    assert problem in account.refuses(record_type, **{**entry, **values})


def test_time_is_taken_only_of_who_works_on_the_project_on_tasks_of_its(account: Account) -> None:
    stranger = account.add("users", first_name="Lu", last_name="X", email="lu@example.com")["id"]
    task = account.add("tasks", name="Other")["id"]
    entry = {"project_id": account.project, "spent_date": "2026-03-03", "hours": 1}
    told = account.refuses("time_entries", user_id=stranger, task_id=account.tasks[0], **entry)
    assert told == "the person does not work on the project"
    told = account.refuses("time_entries", user_id=account.user, task_id=task, **entry)
    assert told == "the task is not one of the project's"


def test_fields_come_and_go(account: Account) -> None:
    entry = account.book()
    for change in (
        {"change": "add", "object": "time_entries", "field": "mood", "value": "good"},
        {"change": "remove", "object": "time_entries", "field": "notes"},
    ):
        assert account.http.post("/admin/harvest/fields", json=change).status_code == 204
    assert account.entry(entry)["mood"] == "good"
    assert "notes" not in account.entry(entry)
    account.http.delete("/admin/harvest/fields")
    assert "notes" in account.entry(entry)
