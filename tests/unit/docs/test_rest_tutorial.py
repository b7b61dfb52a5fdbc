"""The tutorial of REST sources: the poller reads its API by its files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.polled.main import load_source
from connectors.systems import Systems
from tests.support.blocks import write_files
from tests.support.vendor_server import serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every file that the page names."""
    write_files("docs/rest-tutorial.md", tmp_path)
    return tmp_path


def test_the_connector_file_polls_both_objects(folder: Path) -> None:
    entry = {
        "id": 9, "project": {"id": 3}, "worker": {"email": "ada@example.com"}, "minutes": 50,
        "day": "2026-03-03", "billable": True, "approved": True, "rate": 120.5, "cost": 61,
        "currency": "eur", "changed_at": "2026-03-03T17:01:09Z",
    }  # fmt: skip
    project = {"id": 3, "title": "Quay", "open": True, "currency": "EUR", "changed_at": None}
    items: dict[str, list[dict[str, Any]]] = {
        "/api/projects": [project], "/api/entries": [entry, {**entry, "id": 10}],
    }  # fmt: skip

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer t0ken"
        rows = items[request.path]
        at = int(request.query.get("page_token", "after-0").removeprefix("after-"))
        following = f"after-{at + 1}" if at + 1 < len(rows) else None
        return web.json_response({"items": rows[at : at + 1], "next": following})

    async def read() -> dict[str, list[str]]:
        async with serving(answer) as url:
            file = folder / "worklog.json"
            file.write_text(file.read_text().replace("https://worklog.example.com", url))
            systems = Systems([folder / "worklog"])
            connector = load_source(file, {"WORKLOG_TOKEN": "t0ken"}, systems)
            found = {}
            for obj in connector.config.objects:
                reader = connector.source.reader(obj, connector.system.contract(obj))
                found[obj] = [row.id async for page in reader.changes(None) for row in page.rows]
            await connector.source.close()
            return found

    assert asyncio.run(read()) == {"project": ["3"], "entry": ["9", "10"]}
