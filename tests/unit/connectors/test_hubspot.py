"""HubSpot by declaration: its folder, against a server that answers as its API documents."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from typer.testing import CliRunner

from connectors.polled.main import load_source
from connectors.polled.poller import ObjectPoller
from connectors.rest.source import RestConnectorConfig, RestSource
from connectors.systems import Systems
from connectors.toolkit.faults import QuotaExhaustedError, UnclearAnswerError
from connectors.toolkit.http import RetrySettings
from psastream.cli import app
from schemas.errors import AuthenticationError, RateLimitedError
from tests.support.polled import MemoryLog
from tests.support.rest_api import ONCE
from tests.support.vendor_server import serving

FOLDER: Final = Path(__file__).parents[3] / "connectors" / "vendors" / "hubspot"
NOON: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)
SEARCH_MAX: Final = 3
"""Rows after which a search ends here; HubSpot's own limit is 10,000."""


@dataclass
class HubSpot:
    """Companies: a list in pages of two, a search whose index lags, archived ones apart."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    archived: dict[str, dict[str, Any]] = field(default_factory=dict)
    now: datetime = NOON
    searched: list[Any] = field(default_factory=list)
    refuses: web.Response | None = None

    def put(self, row_id: str, name: str | None) -> None:
        stamp = self.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        properties = {"name": name, "hs_parent_company_id": None, "hs_lastmodifieddate": stamp}
        self.rows[row_id] = {
            "id": row_id, "properties": properties, "createdAt": stamp, "updatedAt": stamp,
            "archived": False,
        }  # fmt: skip

    def archive(self, row_id: str) -> None:
        """Take a row out of the list; its stamp stays."""
        stamp = self.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.archived[row_id] = {**self.rows.pop(row_id), "archived": True, "archivedAt": stamp}

    async def answer(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer t0ken"
        if self.refuses is not None:
            refused = self.refuses
            return web.Response(
                status=refused.status, body=refused.body, content_type="application/json"
            )
        if request.path.endswith("/search"):
            return self._search(await request.json())
        assert request.query["limit"] == "100"
        is_archived = request.query["archived"] == "true"
        rows = list((self.archived if is_archived else self.rows).values())
        return self._page(rows, int(request.query.get("after", "0")))

    def _search(self, body: dict[str, Any]) -> web.Response:
        self.searched.append(body)
        [group] = body["filterGroups"]
        [condition] = group["filters"]
        assert (condition["propertyName"], condition["operator"]) == ("hs_lastmodifieddate", "GTE")
        since = datetime.fromtimestamp(int(condition["value"]) / 1000, UTC)
        rows = [row for row in self.rows.values() if _stamp(row) >= since]
        after = int(body.get("after", "0"))
        if after >= SEARCH_MAX:
            error = {"status": "error", "category": "VALIDATION_ERROR", "message": "too far"}
            return web.json_response(error, status=400)
        return self._page(sorted(rows, key=_stamp), after)

    def _page(self, rows: list[dict[str, Any]], after: int) -> web.Response:
        shown = rows[after : after + 2]
        body: dict[str, Any] = {"results": shown}
        if after + 2 < len(rows):
            body["paging"] = {"next": {"after": str(after + 2), "link": "https://x.example/"}}
        return web.json_response(body)


def _stamp(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["properties"]["hs_lastmodifieddate"])


def polls(
    tmp_path: Path, api: HubSpot, *between: Any, retry: RetrySettings | None = None
) -> MemoryLog:
    """Poll companies, once and after each step, as the packaged folder has it."""
    log = MemoryLog()

    def clock() -> datetime:
        api.now += timedelta(milliseconds=10)
        return api.now

    async def run() -> None:
        async with serving(api.answer) as url:
            document = json.loads((FOLDER / "source.json").read_text()) | {"url": url}
            file = tmp_path / "source.json"
            file.write_text(json.dumps(document))
            connector = load_source(file, {"HUBSPOT_TOKEN": "t0ken"}, Systems())
            assert isinstance(connector.config, RestConnectorConfig)
            source = RestSource(connector.config, connector.system, retry)
            bookmark, ledger = log.stored()
            poller = ObjectPoller(
                connector.config,
                "company",
                source.reader("company", connector.system.contract("company")),
                log,
                bookmark=bookmark,
                ledger=ledger,
                clock=clock,
            )
            try:
                await poller.poll()
                for step in between:
                    api.now += timedelta(seconds=30)
                    step()
                    await poller.poll()
            finally:
                await source.close()

    asyncio.run(run())
    return log


def filled(count: int = 5) -> HubSpot:
    api = HubSpot()
    for number in range(count):
        api.put(f"1{number:011}", f"Company {number}")
    return api


def test_all_rows_come_from_the_list_and_changes_from_a_search(tmp_path: Path) -> None:
    api = filled()
    api.now += timedelta(days=1)
    log = polls(tmp_path, api, lambda: api.put("100000000003", "Renamed"))
    assert len(log.changes) == 6
    assert log.operations()[5] == ("u", "100000000003")
    assert log.state()["100000000003"]["name"] == "Renamed"
    assert {body["limit"] for body in api.searched} == {100}


def test_an_archived_row_is_deleted_at_the_next_poll(tmp_path: Path) -> None:
    api = filled()
    log = polls(tmp_path, api, lambda: api.archive("100000000001"))
    assert log.operations()[5:] == [("d", "100000000001")]


def test_more_changes_than_a_search_shows_are_read_from_the_list(tmp_path: Path) -> None:
    api = filled()

    def rename_all() -> None:
        for row_id in list(api.rows):
            api.put(row_id, f"New {row_id}")

    log = polls(tmp_path, api, rename_all)
    assert {row["name"] for row in log.state().values()} == {f"New {each}" for each in api.rows}
    assert len(log.changes) == 10


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, {"category": "MISSING_SCOPES"}, AuthenticationError),
        (429, {"message": "You have reached your daily limit."}, QuotaExhaustedError),
        (429, {"message": "You have reached your secondly limit."}, RateLimitedError),
        (423, {"message": "locked"}, UnclearAnswerError),
    ],
)
def test_what_is_no_answer_says_what_cures_it(
    tmp_path: Path, status: int, body: dict[str, str], error: type[Exception]
) -> None:
    api = filled()
    api.refuses = web.json_response(body, status=status)
    with pytest.raises(error) as caught:
        polls(tmp_path, api, retry=ONCE)
    assert type(caught.value) is error


def tried(tmp_path: Path, obj: str, row: dict[str, Any]) -> dict[str, Any]:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([row]))
    command = ["system", "try", str(FOLDER), obj, "--rows", str(file), "--json"]
    [said] = json.loads(CliRunner().invoke(app, command).output)
    found: dict[str, Any] = said
    return found


def deal(**properties: Any) -> dict[str, Any]:
    known = {
        "dealname": "Quay", "dealstage": "contractsent", "hs_is_closed": "false",
        "hs_is_closed_won": "false", "hs_deal_stage_probability": "0.9", "amount": "1200.50",
        "deal_currency_code": "EUR", "hs_primary_associated_company": "100000000001",
        "hs_lastmodifieddate": "2026-05-04T12:00:00.123Z",
    }  # fmt: skip
    return {"id": "900000000001", "properties": known | properties, "archived": False}


def test_the_folder_is_sound() -> None:
    result = CliRunner().invoke(app, ["system", "check", str(FOLDER)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("properties", "stage"),
    [
        ({}, "negotiating"),
        ({"dealstage": "5512", "hs_is_closed": "true"}, "lost"),
        ({"dealstage": "5513", "hs_is_closed": "true", "hs_is_closed_won": "true"}, "won"),
        ({"dealstage": "5514"}, None),
    ],
)
def test_a_deal_is_an_opportunity_of_its_company(
    tmp_path: Path, properties: dict[str, Any], stage: str | None
) -> None:
    said = tried(tmp_path, "deal", deal(**properties))
    if stage is None:
        assert "have no value of opportunity.stage" in said["refused"]
        return
    made = said["records"]["opportunity"]
    company = {"id": "100000000001", "properties": {"name": " Quay Ltd "}, "archived": False}
    customer = tried(tmp_path, "company", company)["records"]["customer"]
    assert made["customer_id"] == customer["customer_id"]
    assert (made["stage"], made["currency"], customer["name"]) == (stage, "EUR", "Quay Ltd")
