"""What the sink of Salesforce makes of the opportunities that an org holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from aiohttp import web

from connectors.toolkit.faults import (
    QuotaExhaustedError,
    Reason,
    UnclearAnswerError,
    VendorRejectedError,
)
from connectors.toolkit.http import Limiter, VendorClient
from connectors.vendors.salesforce.auth import POLICY
from connectors.vendors.salesforce.objects import DELIVERY_STATUS, ENGAGEMENT_ID, PROJECT_IDS
from connectors.vendors.salesforce.sink import SalesforceSink
from sandbox.vendors.effects import EffectLog
from sandbox.vendors.salesforce.api import SalesforceApi
from sandbox.vendors.salesforce.objects import SalesforceBooks
from sandbox.vendors.salesforce.settings import SalesforceSettings
from sandbox.vendors.site import Site
from sandbox.vendors.target import ask
from schemas.errors import InvalidEntityError, TransientError
from tests.support.sinks import make_command
from tests.support.vendor_server import NoCredentials, serving, vendor_at

KEY: Final = "salesforce:deal_status:eng-abcdefghijkl"
FIELDS: Final = {
    "engagement_id": ENGAGEMENT_ID,
    "project_ids": PROJECT_IDS,
    "delivery_status": DELIVERY_STATUS,
}


class Org:
    """A twin's org with one opportunity, and the sink on it."""

    def __init__(self) -> None:
        effects = EffectLog()
        self.site = Site(
            "salesforce", base_url="", seed=1, effects=effects, settings=SalesforceSettings()
        )
        self.effects = effects
        self.books = SalesforceBooks(self.site.clock)
        self._app = SalesforceApi(self.site, self.books, None).create_app()  # type: ignore[arg-type]
        account = self.books.create("Account", {"Name": "Tern Ltd"})
        self.deal = str(self.books.create("Opportunity", self._deal(account["Id"]))["Id"])

    def _deal(self, account: str) -> dict[str, Any]:
        stamp = "2026-03-04T05:06:07.000+0000"
        names = {"AccountId": account, "Name": "Tern", "StageName": "Closed Won"}
        return {**names, "SystemModstamp": stamp}

    def run(self, work: Callable[[SalesforceSink], Awaitable[Any]]) -> Any:
        async def call() -> Any:
            async with serving(self._answer) as url:
                sink = sink_at(url)
                try:
                    return await work(sink)
                finally:
                    await sink.close()

        return asyncio.run(call())

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        status, _, body = await ask(
            self._app,
            request.method,
            request.path,
            await request.read(),
            query=request.query_string,
            headers={"authorization": f"Bearer {self.site.tokens.issue(60)}"},
        )
        return web.Response(status=status, body=body, content_type="application/json")

    def execute(self, **content: object) -> Any:
        return self.run(lambda sink: sink.execute(self.order(**content)))

    def look(self, **content: object) -> Any:
        return self.run(lambda sink: sink.look(self.order(**content)))

    def order(self, **content: object) -> Any:
        return order(**{"deal_id": self.deal, **content})

    @property
    def row(self) -> dict[str, Any]:
        return self.books.rows()["Opportunity"][0]


def sink_at(url: str) -> SalesforceSink:
    client = VendorClient(
        url, NoCredentials(), POLICY, user_agent="test", timeout_s=5, limiter=Limiter(1)
    )
    return SalesforceSink(client, api_version="62.0", fields=FIELDS)


def order(kind: str = "update_deal_status", **content: object) -> Any:
    said = {
        "deal_id": "006Tw00000Qr7sTIAR",
        "correlation_id": "c",
        "engagement_id": "eng-abcdefghijkl",
        "project_ids": "eng-abcdefghijkl-de,eng-abcdefghijkl-fr",
        "delivery_status": "requested",
        **content,
    }
    return make_command(KEY, kind=kind, target="salesforce", payload=json.dumps(said))


def test_what_becomes_of_a_deal_is_written_to_its_row_and_moves_its_stamp() -> None:
    org = Org()
    before = org.row
    assert org.execute().target_id == org.deal
    changed = {name for name, value in org.row.items() if value != before[name]}
    assert changed == {*FIELDS.values(), "SystemModstamp", "LastModifiedDate"}
    assert [org.row[name] for name in FIELDS.values()] == [
        "eng-abcdefghijkl",
        "eng-abcdefghijkl-de,eng-abcdefghijkl-fr",
        "requested",
    ]
    assert [each["external_id"] for each in org.effects.as_json()] == [org.deal]


def test_no_projects_are_an_empty_field() -> None:
    org = Org()
    org.execute()
    assert not org.look().differs
    assert org.look(project_ids=None).differs
    org.execute(project_ids=None, delivery_status="cancelled")
    assert (org.row[PROJECT_IDS], org.row[DELIVERY_STATUS]) == (None, "cancelled")
    assert not org.look(project_ids=None, delivery_status="cancelled").differs


def test_an_id_of_fifteen_characters_is_the_same_record() -> None:
    org = Org()
    org.execute(deal_id=org.deal[:15])
    assert not org.look(deal_id=org.deal[:15]).differs


def test_a_deal_that_is_gone_is_refused_and_not_made_again() -> None:
    org = Org()
    org.books.delete("Opportunity", org.deal)
    for code in ("ENTITY_IS_DELETED", "NOT_FOUND"):
        with pytest.raises(VendorRejectedError) as refused:
            org.execute()
        assert (refused.value.vendor_code, refused.value.reason) == (code, Reason.REFERENCE)
        assert org.look() is None
        org.books.purge()
    assert org.effects.as_json() == []


def test_a_field_that_nobody_has_created_is_a_setting_of_the_org() -> None:
    org = Org()
    org.site.drift.remove("Opportunity", DELIVERY_STATUS)
    with pytest.raises(VendorRejectedError) as refused:
        org.execute()
    assert (refused.value.vendor_code, refused.value.reason) == ("INVALID_FIELD", Reason.SETTING)


def answered(status: int, code: str, message: str = "no") -> web.Response:
    return web.json_response([{"errorCode": code, "message": message}], status=status)


@pytest.mark.parametrize(
    ("answer", "error", "is_unknown"),
    [
        (answered(400, "UNABLE_TO_LOCK_ROW"), TransientError, False),
        (answered(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests"), QuotaExhaustedError, False),
        (answered(503, "SERVER_UNAVAILABLE"), TransientError, True),
        (web.Response(status=200, text="<html>"), TransientError, True),
        (web.Response(status=200), UnclearAnswerError, True),
    ],
)
def test_what_passes_is_no_refusal(
    answer: web.Response, error: type[TransientError], *, is_unknown: bool
) -> None:
    async def call() -> Any:
        async with vendor_at(answer) as url:
            sink = sink_at(url)
            try:
                await sink.execute(order())
            finally:
                await sink.close()

    with pytest.raises(error) as raised:
        asyncio.run(call())
    assert raised.value.outcome_unknown is is_unknown


def test_a_row_that_is_another_than_was_asked_for_tells_nothing() -> None:
    async def call() -> Any:
        async with vendor_at(web.json_response({"Id": "006Tw00000Qr7sUIAR"})) as url:
            sink = sink_at(url)
            try:
                await sink.look(order())
            finally:
                await sink.close()

    with pytest.raises(UnclearAnswerError, match="another record"):
        asyncio.run(call())


def test_another_kind_is_refused() -> None:
    with pytest.raises(InvalidEntityError, match="no command of kind upsert_project"):
        Org().run(lambda sink: sink.execute(order(kind="upsert_project")))
