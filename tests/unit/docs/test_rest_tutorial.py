"""The tutorial of REST sources, done as it says: its files written, its commands run."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from typer.testing import CliRunner

from connectors.polled.main import load_source
from connectors.systems import Systems
from psastream.cli import app
from tests.support.catalogue_pages import DOCS
from tests.support.vendor_server import serving

PAGE: Final = (DOCS / "rest-tutorial.md").read_text()
BLOCK: Final = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS: Final = BLOCK.findall(PAGE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with every file that the page names."""
    for kind, name, text in BLOCKS:
        if kind != "sh" and name:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def run(line: str, environment: dict[str, str]) -> str:
    result = CliRunner().invoke(app, shlex.split(line)[1:], env=environment)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_commands_say_what_the_page_says(folder: Path) -> None:
    environment: dict[str, str] = {}
    said: list[str] = []
    for kind, name, text in BLOCKS:
        if kind == "sh" and name != "broker":
            for line in text.splitlines():
                if line.startswith("export "):
                    words = shlex.split(line)[1:]
                    environment |= dict(word.split("=", 1) for word in words)
                else:
                    said.append(run(line, environment))
        elif kind == "text":
            assert said[-1] == text
    tried, flows = said[-2:]
    for word in re.findall(r"`(\w+=[\w:]+)`", PAGE):
        assert word in tried.split()
    assert "worklog" in flows


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
        at = int(request.query.get("page_token", "0"))
        following = str(at + 1) if at + 1 < len(rows) else None
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
