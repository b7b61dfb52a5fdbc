"""The simulated Harvest, driven by a tap that nobody here wrote: `tap-harvest` of PyPI.

It signs in as the vendor wants of applications, at an address of its own, goes by page numbers,
and holds each row to the types that it expects.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.harvest.api import ACCOUNT
from tests.support.taps import installed
from tests.support.vendor_server import serving

LISTS: Final = (
    "clients", "projects", "tasks", "users", "time_entries", "expenses", "expense_categories",
)  # fmt: skip
LED: Final = """\
import json, sys
import tap_harvest, tap_harvest.client as client
from tap_harvest.discover import discover

url, catalog_file, *lists = sys.argv[1:3] + sys.argv[3].split(",")
sys.argv[1:] = sys.argv[4:] + ["--catalog", catalog_file]
client.REFRESH_URL = url


class Led(client.Client):
    def __init__(self, config):
        super().__init__(config)
        self.base_url = f"{url}/v2"


catalog = discover().to_dict()
for stream in catalog["streams"]:
    for each in stream["metadata"]:
        if not each["breadcrumb"]:
            each["metadata"]["selected"] = stream["stream"] in lists
with open(catalog_file, "w") as file:
    json.dump(catalog, file)
tap_harvest.Client = Led
tap_harvest.main()
"""
"""Leads the tap from the vendor's addresses to the twin's."""


class Account:
    """A twin with a person, two days of time, a running timer and an expense."""

    def __init__(self) -> None:
        credentials = make_credentials()
        app = create_app(base_url="http://testserver", seed=1, credentials=credentials)
        self.token, self.account = credentials["HARVEST_TOKEN"], ACCOUNT
        self.http = TestClient(app)
        self.asked: list[str] = []
        client = self.add("clients", name="Quay Ltd", currency="EUR")
        project = self.add("projects", client_id=client, name="Quay", starts_on="2026-01-01")
        task = self.add("tasks", name="Delivery")
        self.add("task_assignments", project_id=project, task_id=task)
        user = self.add(
            "users", first_name="Rae", last_name="Example", email="rae@example.com",
            default_hourly_rate=120, cost_rate=61,
        )  # fmt: skip
        self.add("user_assignments", project_id=project, user_id=user)
        common = {"user_id": user, "project_id": project, "spent_date": "2026-03-03"}
        for hours in (2.5, 0.17, None):
            self.add("time_entries", task_id=task, hours=hours, **common)
        category = self.add("expense_categories", name="Meals")
        self.add("expenses", expense_category_id=category, total_cost=51, **common)

    def add(self, record_type: str, **values: object) -> int:
        answer = self.http.post(f"/admin/harvest/rows/{record_type}", json=values)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def answer(self, request: web.Request) -> web.Response:
        """Grant a token, name the account, or answer as the API does."""
        if request.path == "/oauth2/token":
            form = await request.post()
            assert form["grant_type"] == "refresh_token"
            return web.json_response({"access_token": self.token, "expires_in": 1_209_600})
        if request.path == "/accounts":
            found = {"id": int(self.account), "name": "Quay", "product": "harvest"}
            return web.json_response({"accounts": [found]})
        self.asked.append(request.path_qs)
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = f"/harvest{request.path_qs}"
        answer = await asyncio.to_thread(self.http.get, path, headers=headers)
        return web.Response(status=answer.status_code, body=answer.content)


async def extracted(account: Account, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Run the tap on all lists; the records it told, by list."""
    config = {
        "refresh_token": "r", "client_id": "c", "client_secret": "s",
        "start_date": "2020-01-01T00:00:00Z", "user_agent": "tests (it@example.com)",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    async with serving(account.answer) as url:
        process = await asyncio.create_subprocess_exec(
            str(installed("tap-harvest").with_name("python")), "-c", LED,
            url, str(folder / "catalog.json"), ",".join(LISTS),
            "--config", str(folder / "config.json"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, log = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, log.decode()[-3_000:]
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in output.splitlines():
        message = json.loads(line)
        if message["type"] == "RECORD":
            found[message["stream"]].append(message["record"])
    return found


@pytest.mark.parametrize("page_size", [1, 2_000])
def test_a_foreign_tap_reads_every_list_whatever_the_page(tmp_path: Path, page_size: int) -> None:
    account = Account()
    account.http.patch("/admin/harvest/settings", json={"page_size": page_size})
    found = asyncio.run(extracted(account, tmp_path))
    books = account.http.get("/admin/books").json()["harvest"]
    for name in LISTS:
        assert {row["id"] for row in found[name]} == {row["id"] for row in books[name]}, name
        assert len(found[name]) == len(books[name]), name
    times = [row for row in found["time_entries"] if not row["is_running"]]
    assert sorted(float(row["hours"]) for row in times) == [0.17, 2.5]
    assert {row["client_id"] for row in times} == {books["clients"][0]["id"]}
    pages = [path for path in account.asked if path.startswith("/v2/time_entries")]
    assert len(pages) == (3 if page_size == 1 else 1)
