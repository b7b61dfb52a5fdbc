"""Harvest by declaration: its folder, against a server that answers as its API documents."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from typer.testing import CliRunner

from connectors.polled.main import Connector, load_source
from connectors.polled.model import Row
from connectors.polled.paging import BrokenPagingError
from connectors.systems import Systems
from psastream.cli import app
from schemas.errors import AuthenticationError
from schemas.identity import resource_id
from tests.support.polled import START
from tests.support.vendor_server import serving

FOLDER: Final = Path(__file__).parents[3] / "connectors" / "vendors" / "harvest"
STAMPS: Final = {"created_at": "2026-03-02T08:00:00Z", "updated_at": "2026-03-03T17:01:09Z"}
CLIENT: Final = {"id": 501, "name": "Quay Ltd", "currency": "EUR"}
PROJECT: Final = {"id": 31, "name": "Quay", "code": ""}
USER: Final = {"id": 7, "name": "Rae Example"}
WORKER: Final = {"email": "Rae@example.com"}
USER_ASSIGNMENT: Final = {"id": 88, "is_project_manager": True, "is_active": True, **STAMPS}


def entry(number: int, **values: Any) -> dict[str, Any]:
    """A time entry with every field that the list shows."""
    return {
        "id": 1_494_414_000 + number, "spent_date": "2026-03-03", "hours": 2.5,
        "hours_without_timer": 2.5, "rounded_hours": 2.5, "notes": "", "is_locked": False,
        "locked_reason": None, "is_closed": False, "is_billed": False, "timer_started_at": None,
        "started_time": None, "ended_time": None, "is_running": False, "billable": True,
        "budgeted": True, "billable_rate": 120.0, "cost_rate": None, "user": USER, "client": CLIENT,
        "project": PROJECT, "task": {"id": 83, "name": "Design"},
        "user_assignment": USER_ASSIGNMENT,
        "task_assignment": {"id": 155, "billable": True, "is_active": True, **STAMPS},
        "invoice": None, "external_reference": None, **STAMPS, **values,
    }  # fmt: skip


ROWS: Final[dict[str, list[dict[str, Any]]]] = {
    "projects": [
        {
            **PROJECT, "is_active": True, "is_billable": True, "is_fixed_fee": False,
            "bill_by": "People", "budget": None, "budget_by": "none", "budget_is_monthly": False,
            "notify_when_over_budget": False, "over_budget_notification_percentage": 80.0,
            "show_budget_to_all": False, "starts_on": "2026-01-01", "ends_on": None,
            "over_budget_notification_date": None, "notes": None, "cost_budget": None,
            "cost_budget_include_expenses": False, "hourly_rate": None, "fee": None,
            "client": CLIENT, **STAMPS,
        },
    ],
    "task_assignments": [
        {
            "id": 155, "billable": True, "is_active": True, "hourly_rate": None, "budget": None,
            "project": PROJECT, "task": {"id": 83, "name": "Design"}, **STAMPS,
        },
    ],
    "time_entries": [entry(number) for number in range(5)],
    "users": [
        {
            "id": 7, "first_name": "Rae", "last_name": "Example", "email": "Rae@example.com",
            "telephone": "", "timezone": "Oslo", "weekly_capacity": 126_000,
            "has_access_to_all_future_projects": False, "is_contractor": False, "is_active": True,
            "calendar_integration_enabled": False, "calendar_integration_source": None,
            "can_create_projects": False, "default_hourly_rate": 120.0, "cost_rate": 61.0,
            "roles": ["Delivery"], "access_roles": ["member"], "permissions_claims": [],
            "avatar_url": "https://example.com/a.png", **STAMPS,
        },
    ],
    "expenses": [
        {
            "id": 31_751_921, "spent_date": "2026-03-01", "notes": "", "total_cost": 51.0,
            "units": 1.0, "billable": True, "receipt": None, "is_closed": True, "is_locked": False,
            "is_billed": False, "locked_reason": None, "user": USER, "client": CLIENT,
            "project": PROJECT, "user_assignment": USER_ASSIGNMENT, "invoice": None, **STAMPS,
            "expense_category": {"id": 9, "name": "Meals", "unit_price": None, "unit_name": None},
        },
    ],
}  # fmt: skip
LISTS: Final = {"project": "projects", "task_assignment": "task_assignments", "user": "users",
                "time_entry": "time_entries", "expense": "expenses"}  # fmt: skip


@dataclass
class Harvest:
    """API v2: lists in pages behind a cursor of its own, two rows each at most."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: dict(ROWS))
    asked: list[web.Request] = field(default_factory=list)
    host: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if not request.headers.get("User-Agent"):
            return web.json_response({"message": "User-Agent is missing"}, status=400)
        if request.headers.get("Authorization") != "Bearer t0ken":
            return web.json_response({"error": "invalid_token"}, status=401)
        if request.headers.get("Harvest-Account-Id") != "4711":
            return web.json_response({"status": 404, "error": "Not Found"}, status=404)
        if int(request.query["per_page"]) > 2000:
            return web.json_response({"message": "per_page is too large"}, status=422)
        name = request.path.removeprefix("/v2/")
        since = request.query.get("updated_since", "")
        rows = [row for row in self.rows[name] if row["updated_at"] >= since]
        cursor = request.query.get("cursor")
        start = json.loads(base64.b64decode(cursor))["after"] if cursor else 0
        shown, more = rows[start : start + 2], len(rows) > start + 2
        token = base64.b64encode(json.dumps({"after": start + 2}).encode()).decode()
        host = self.host or f"{request.scheme}://{request.host}"
        link = request.url.update_query(cursor=token, ref="next_cursor")
        body = {
            name: shown,
            "per_page": int(request.query["per_page"]),
            "total_pages": -(-len(rows) // 2),
            "total_entries": len(rows),
            "page": 1 if cursor is None else None,
            "next_page": 2 if more and cursor is None else None,
            "previous_page": None,
            "links": {"first": None, "next": host + link.raw_path_qs if more else None},
        }
        return web.json_response(body)


@pytest.fixture
def connector_file(tmp_path: Path) -> Iterator[Path]:
    """The packaged connector file, for an address of the test's own."""
    yield tmp_path / "source.json"


def load(file: Path, url: str, **keys: object) -> Connector:
    document = json.loads((FOLDER / "source.json").read_text()) | {"url": url} | keys
    file.write_text(json.dumps(document))
    return load_source(file, {"HARVEST_TOKEN": "t0ken", "HARVEST_ACCOUNT_ID": "4711"}, Systems())


def read(file: Path, harvest: Harvest, obj: str, *, is_all: bool = True) -> list[Row]:
    """All rows of an object, by the packaged folder."""

    async def run() -> list[Row]:
        async with serving(harvest.answer) as url:
            connector = load(file, url)
            try:
                reader = connector.source.reader(obj, connector.system.contract(obj))
                rows: list[Row] = []
                async for page in reader.changes(None if is_all else START):
                    assert page.unreadable == []
                    assert page.new_fields == ()
                    rows += page.rows
                return rows
            finally:
                await connector.source.close()

    return asyncio.run(run())


@pytest.mark.parametrize("obj", LISTS)
def test_every_list_is_read_as_harvest_shows_it(connector_file: Path, obj: str) -> None:
    harvest = Harvest()
    rows = read(connector_file, harvest, obj)
    readings = 1 if len(rows) <= 2 else 2  # of two pages: a row may have slid past
    assert [row.id for row in rows] == [str(row["id"]) for row in ROWS[LISTS[obj]]] * readings
    assert {row.modified_at.isoformat() for row in rows if row.modified_at} == {
        "2026-03-03T17:01:09+00:00"
    }
    assert len(harvest.asked) == readings * -(-len(ROWS[LISTS[obj]]) // 2)
    assert {request.query["per_page"] for request in harvest.asked} == {"2000"}
    assert "updated_since" not in harvest.asked[0].query


def test_changes_are_asked_for_in_whole_seconds(connector_file: Path) -> None:
    harvest = Harvest()
    read(connector_file, harvest, "time_entry", is_all=False)
    assert harvest.asked[0].query["updated_since"] == "2024-10-03T23:59:59Z"


def test_a_next_page_elsewhere_is_not_asked_for(connector_file: Path) -> None:
    with pytest.raises(BrokenPagingError, match="outside the API"):
        read(connector_file, Harvest(host="https://api.harvestapp.com"), "time_entry")


def test_a_list_that_a_role_does_not_see_is_no_empty_list(connector_file: Path) -> None:
    harvest = Harvest()

    async def forbidden(request: web.Request) -> web.Response:
        return web.json_response({"message": "no"}, status=403)

    harvest.answer = forbidden  # type: ignore[method-assign]
    with pytest.raises(AuthenticationError, match="harvest denies access"):
        read(connector_file, harvest, "user")


def tried(tmp_path: Path, obj: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    command = ["system", "try", str(FOLDER), obj, "--rows", str(file), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.output)
    return found


def test_the_folder_is_sound() -> None:
    result = CliRunner().invoke(app, ["system", "check", str(FOLDER)])
    assert result.exit_code == 0, result.output
    assert "time_entry: src.harvest.time_entry makes time_entry" in result.output


def test_a_time_entry_is_hours_of_a_user_on_a_project(tmp_path: Path) -> None:
    row = entry(1, is_closed=True, hours=3.1, is_running=True, worker=WORKER)
    [said] = tried(tmp_path, "time_entry", row)
    made = said["records"]["time_entry"]
    assert said["id"] == "harvest:time_entry:1494414001"
    assert made["project_ref"] == "harvest:project:31"
    assert made["task_ref"] == "harvest:task_assignment:155"
    assert made["work_on"] == "2026-03-03"
    assert made["seconds"] == 9_000
    assert Decimal(made["bill_rate"]) == 120
    assert made["cost_rate"] is None
    assert (made["currency"], made["status"], made["is_billable"]) == ("EUR", "approved", True)


@pytest.mark.parametrize(("obj", "entity"), [("time_entry",) * 2, ("expense",) * 2])
def test_hours_and_expenses_are_of_the_person_with_the_user_s_address(
    tmp_path: Path, obj: str, entity: str
) -> None:
    row = ROWS[LISTS[obj]][0]
    [alone, beside] = tried(tmp_path, obj, row, row | {"worker": WORKER})
    assert alone["waits"] == "worker is not given, of harvest:user:7"
    assert beside["records"][entity]["resource_id"] == resource_id("rae@example.com")


def test_nothing_is_made_of_users(tmp_path: Path) -> None:
    [user] = tried(tmp_path, "user", ROWS["users"][0])
    assert (user["id"], user["records"]) == ("harvest:user:7", {})


@pytest.mark.parametrize(
    ("obj", "entity", "expected"),
    [
        ("project", "project", {"name": "Quay", "status": "active", "currency": "EUR"}),
        (
            "task_assignment",
            "task",
            {"name": "Design", "project_ref": "harvest:project:31", "is_billable": True},
        ),
        (
            "expense",
            "expense",
            {"category": "meals", "status": "approved", "currency": "EUR", "is_billable": True},
        ),
    ],
)
def test_what_is_made_of_the_other_objects(
    tmp_path: Path, obj: str, entity: str, expected: dict[str, Any]
) -> None:
    finds = {"worker": WORKER} if obj == "expense" else {}
    [said] = tried(tmp_path, obj, ROWS[LISTS[obj]][0] | finds)
    assert said["records"][entity].items() >= expected.items()
