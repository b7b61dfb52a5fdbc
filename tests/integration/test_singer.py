"""Real taps of both families against an API: what each loses by itself, our sweeps find.

`tap-rest-api-msdk` is built with Meltano's SDK and read as docs/singer.md says; `tap-rest-api` is
built on singer-python. The API shows rows late, and deletes leave no trace.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from connectors.polled.main import Connector, load_source
from connectors.polled.poller import ObjectPoller
from connectors.systems import Systems
from runtime.secrets import forget
from schemas.errors import TransientError
from tests.support.blocks import write_files
from tests.support.polled import Clock, MemoryLog
from tests.support.taps import installed
from tests.support.vendor_server import serving

SECRET: Final = "t0kenCanary"
SINGER_PYTHON: Final = """\
executable: tap-rest-api
config:
  streams: entries
  url: "${config:api_url}/api/entries?changed_since={start_datetime}&offset={current_offset}"
  http_headers: {Authorization: "Bearer ${secret:token}"}
  record_list_level: "items[*]"
  items_per_page: 3
  datetime_key: changed_at
  start_datetime: "2020-01-01T00:00:00Z"
  url_param_isoformat_use_zulu: true
  schema_dir: SCHEMAS
objects:
  entry:
    stream: entries
    replication_method: INCREMENTAL
    replication_key: changed_at
    columns: {email: worker.email}
"""
SCHEMA: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "project_id": {"type": ["integer", "null"]},
        "worker": {
            "type": ["object", "null"],
            "properties": {"email": {"type": ["string", "null"]}},
        },
        "day": {"type": ["string", "null"]},
        "minutes": {"type": ["integer", "null"]},
        "billable": {"type": ["boolean", "null"]},
        "approved": {"type": ["boolean", "null"]},
        "rate": {"type": ["number", "null"]},
        "currency": {"type": ["string", "null"]},
        "changed_at": {"type": ["string", "null"], "format": "date-time"},
    },
}


@dataclass
class Worklog:
    """The API of docs/singer.md. `fails`: it refuses the token."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    fails: bool = False

    def put(self, number: int, minutes: int, second: int) -> None:
        """Write a row, stamped with a second of a minute long gone."""
        self.rows[number] = {
            "id": number, "project_id": 3, "worker": {"email": "ada@example.com"},
            "day": "2026-03-03", "minutes": minutes, "billable": True, "approved": True,
            "rate": 120.5, "currency": "eur", "changed_at": f"2026-03-03T17:01:{second:02}Z",
        }  # fmt: skip

    async def answer(self, request: web.Request) -> web.Response:
        """Rows changed since, in order of change."""
        self.shown += [*_processes_that_show(SECRET)]
        assert request.headers["Authorization"] == f"Bearer {SECRET}"
        if self.fails:
            return web.Response(status=401)
        self.asked.append(since := request.query.get("changed_since", "2020-01-01"))
        at = datetime.fromisoformat(since).replace(tzinfo=UTC)
        rows = [row for row in self.rows.values() if _stamp(row) >= at]
        offset = int(request.query.get("offset", 0))
        limit = 3 if "offset" in request.query else len(rows)
        return web.json_response({"items": sorted(rows, key=_stamp)[offset : offset + limit]})

    def truth(self) -> dict[str, int]:
        """Minutes by id."""
        return {str(number): row["minutes"] for number, row in self.rows.items()}


def _stamp(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["changed_at"])


def _processes_that_show(secret: str) -> Iterator[str]:
    """What of the process list holds a secret, while a tap runs."""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                if secret.encode() in (process / name).read_bytes():
                    yield f"{process.name} {name}"
            except OSError:
                continue


def connector_of(tmp_path: Path, tap: str, url: str) -> Connector:
    write_files("docs/singer.md", tmp_path)
    if tap == "tap-rest-api":
        (tmp_path / "schemas").mkdir()
        (tmp_path / "schemas" / "entries.json").write_text(json.dumps(SCHEMA))
        text = SINGER_PYTHON.replace("SCHEMAS", str(tmp_path / "schemas"))
        (tmp_path / "worklog" / "singer.yaml").write_text(text)
    file = tmp_path / "worklog.json"
    document = json.loads(file.read_text())
    document |= {"tap.executable": str(installed(tap)), "config.api_url": url}
    file.write_text(json.dumps(document))
    return load_source(file, {"WORKLOG_TOKEN": SECRET}, Systems([tmp_path / "worklog"]))


@pytest.mark.parametrize("tap", ["tap-rest-api-msdk", "tap-rest-api"])
def test_what_a_tap_loses_is_found(tmp_path: Path, tap: str) -> None:
    api, log, clock = Worklog(), MemoryLog(), Clock()
    for number in range(1, 9):
        api.put(number, 50, number)

    def held() -> dict[str, Any]:
        return {row_id: row["minutes"] for row_id, row in log.state().items()}

    async def story() -> None:
        async with serving(api.answer) as url:
            connector = connector_of(tmp_path, tap, url)
            reader = connector.source.reader("entry", connector.system.contract("entry"))

            async def poll() -> None:
                """Poll as a new process would, on what the log holds."""
                bookmark, ledger = log.stored()
                poller = ObjectPoller(
                    connector.config, "entry", reader, log,
                    bookmark=bookmark, ledger=ledger, clock=clock,
                )  # fmt: skip
                await poller.poll()

            await poll()
            assert held() == api.truth() and {op for op, _ in log.operations()} == {"r"}
            await poll()
            api.put(1, 60, 30)
            api.put(9, 10, 2)  # stamped before the bookmark, and visible only now
            del api.rows[2]
            api.asked.clear()
            await poll()
            assert log.operations()[8:] == [("u", "1")], "by the tap alone"
            assert api.asked[0].startswith("2026-03-03T17:01:08"), "it goes on from its state"
            if tap == "tap-rest-api":
                api.fails = True
                with pytest.raises(TransientError, match="the tap failed: exit code 1"):
                    await poll()
                api.fails = False
            clock.tick(7_200)
            await poll()
            assert sorted(log.operations()[9:]) == [("c", "9"), ("d", "2")]
            assert held() == api.truth()
            await connector.source.close()

    try:
        asyncio.run(story())
    finally:
        forget(SECRET)
    assert api.shown == [] and log.rejected == []
