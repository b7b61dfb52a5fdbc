"""What the sink of HubSpot makes of the deals that an account holds."""

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
from connectors.vendors.hubspot.auth import POLICY, read_faults
from connectors.vendors.hubspot.sink import MERGED_DEAL, HubSpotSink
from sandbox.vendors.effects import EffectLog
from sandbox.vendors.hubspot.api import HubSpotApi, HubSpotSettings
from sandbox.vendors.hubspot.objects import HubSpotBooks
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site
from sandbox.vendors.target import ask
from schemas.errors import InvalidEntityError, RateLimitedError, TransientError
from tests.support.sinks import make_command
from tests.support.vendor_server import NoCredentials, serving, vendor_at

KEY: Final = "hubspot:deal_status:eng-abcdefghijkl"
PROPERTIES: Final = {
    "engagement_id": "psa_engagement_id",
    "project_ids": "psa_project_ids",
    "delivery_status": "psa_delivery_status",
}


class Account:
    """A twin's account with one deal, and the sink on it."""

    def __init__(self) -> None:
        self.effects = EffectLog()
        self.site = Site(
            "hubspot", base_url="", seed=1, effects=self.effects, settings=HubSpotSettings()
        )
        self.books = HubSpotBooks(self.site.clock)
        credentials = Credentials({"HUBSPOT_TOKEN": "t0ken"})
        self._app = HubSpotApi(self.site, self.books, credentials).create_app()
        made = self.books.create("deals", {"dealname": "Tern", "dealstage": "closedwon"})
        self.deal = str(made["id"])

    def run(self, work: Callable[[HubSpotSink], Awaitable[Any]]) -> Any:
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
            headers={"authorization": "Bearer t0ken"},
        )
        return web.Response(status=status, body=body, content_type="application/json")

    def execute(self, **content: object) -> Any:
        return self.run(lambda sink: sink.execute(order(**{"deal_id": self.deal, **content})))

    def look(self, **content: object) -> Any:
        return self.run(lambda sink: sink.look(order(**{"deal_id": self.deal, **content})))

    @property
    def row(self) -> dict[str, Any]:
        return self.books.rows()["deals"][0]


def sink_at(url: str) -> HubSpotSink:
    client = VendorClient(
        url, NoCredentials(), POLICY, user_agent="test", timeout_s=5, limiter=Limiter(1)
    )
    return HubSpotSink(client, properties=PROPERTIES)


def order(kind: str = "update_deal_status", **content: object) -> Any:
    said = {
        "deal_id": "9000000001",
        "correlation_id": "c",
        "engagement_id": "eng-abcdefghijkl",
        "project_ids": "eng-abcdefghijkl-de",
        "delivery_status": "requested",
        **content,
    }
    return make_command(KEY, kind=kind, target="hubspot", payload=json.dumps(said))


def test_what_becomes_of_a_deal_is_written_to_its_record_where_it_differs() -> None:
    account = Account()
    before = account.row
    assert account.execute().target_id == account.deal
    changed = {name for name, value in account.row.items() if value != before[name]}
    assert changed == {*PROPERTIES.values(), "hs_lastmodifieddate"}
    account.execute()
    assert len(account.effects.as_json()) == 1, "nothing is written where nothing differs"
    account.execute(delivery_status="active")
    assert account.row["psa_delivery_status"] == "active"
    assert len(account.effects.as_json()) == 2


def test_no_projects_are_a_property_that_is_cleared() -> None:
    account = Account()
    account.execute()
    assert account.look(project_ids=None).differs
    account.execute(project_ids=None)
    assert account.row["psa_project_ids"] is None
    assert not account.look(project_ids=None).differs


def test_a_property_is_cleared_by_an_empty_text() -> None:
    """As its pages have it; null is not spoken of."""
    written: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "PATCH":
            written.append(await request.json())
        return shows({"psa_project_ids": "eng-abcdefghijkl-de"})

    async def call() -> Any:
        async with serving(answer) as url:
            sink = sink_at(url)
            try:
                await sink.execute(order(project_ids=None))
            finally:
                await sink.close()

    asyncio.run(call())
    (body,) = written
    assert body["properties"]["psa_project_ids"] == ""


def shows(properties: object) -> web.Response:
    return web.json_response({"id": "9000000001", "properties": properties})


def asked(*answers: web.Response) -> Any:
    async def call() -> Any:
        async with vendor_at(*answers) as url:
            sink = sink_at(url)
            try:
                return await sink.execute(order())
            finally:
                await sink.close()

    return asyncio.run(call())


def test_a_property_that_is_told_as_an_empty_text_is_empty() -> None:
    account = Account()
    said = {"psa_engagement_id": "eng-abcdefghijkl", "psa_delivery_status": "requested"}

    async def call() -> Any:
        async with vendor_at(shows({**said, "psa_project_ids": ""})) as url:
            sink = sink_at(url)
            try:
                return await sink.look(order(project_ids=None))
            finally:
                await sink.close()

    assert not asyncio.run(call()).differs
    assert account.look().differs


def test_a_deal_that_was_archived_is_refused_and_not_made_again() -> None:
    account = Account()
    account.books.delete("deals", account.deal)
    with pytest.raises(VendorRejectedError) as refused:
        account.execute()
    assert refused.value.vendor_code == "OBJECT_NOT_FOUND"
    assert refused.value.reason is Reason.REFERENCE
    assert account.look() is None
    assert account.effects.as_json() == []


def test_the_deal_that_another_was_merged_into_is_not_told_its_status() -> None:
    other = web.json_response({"id": "9000000007", "properties": {}})
    with pytest.raises(VendorRejectedError) as refused:
        asked(other)
    assert refused.value.vendor_code == MERGED_DEAL

    async def look() -> Any:
        async with vendor_at(other) as url:
            sink = sink_at(url)
            try:
                return await sink.look(order())
            finally:
                await sink.close()

    assert asyncio.run(look()) is None


def test_a_property_that_nobody_has_created_is_a_setting_and_is_named() -> None:
    body = {
        "status": "error",
        "category": "VALIDATION_ERROR",
        "message": "Property values were not valid",
        "errors": [
            {
                "message": 'Property "psa_project_ids" does not exist',
                "code": "PROPERTY_DOESNT_EXIST",
                "context": {"propertyName": ["psa_project_ids"]},
            }
        ],
    }
    with pytest.raises(VendorRejectedError) as refused:
        asked(shows({}), web.json_response(body, status=400))
    error = refused.value
    assert (error.vendor_code, error.field, error.reason) == (
        "PROPERTY_DOESNT_EXIST",
        "psa_project_ids",
        Reason.SETTING,
    )


@pytest.mark.parametrize(
    ("status", "body", "error", "is_unknown"),
    [
        (429, {"policyName": "DAILY", "message": "limit"}, QuotaExhaustedError, False),
        (429, {"message": "You have reached your daily limit."}, QuotaExhaustedError, False),
        (429, {"policyName": "SECONDLY", "message": "limit"}, RateLimitedError, False),
        (423, {"message": "locked"}, TransientError, False),
        (477, {"message": "migration"}, TransientError, False),
        (502, {}, TransientError, True),
        (200, {"results": []}, UnclearAnswerError, True),
    ],
)
def test_what_passes_is_no_refusal(
    status: int, body: object, error: type[TransientError], *, is_unknown: bool
) -> None:
    with pytest.raises(error) as raised:
        asked(shows({}), web.json_response(body, status=status))
    assert raised.value.outcome_unknown is is_unknown


@pytest.mark.parametrize("body", [None, [], 7, {"errors": 7}, {"errors": [7, {"context": 7}]}])
def test_whatever_an_error_holds_is_read(body: object) -> None:
    assert all(fault.code is None for fault in read_faults(body))


def test_another_kind_is_refused() -> None:
    with pytest.raises(InvalidEntityError, match="no command of kind upsert_project"):
        Account().run(lambda sink: sink.execute(order(kind="upsert_project")))
