"""One small question to a vendor, which only a valid sign-in is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.polled.main import Connector, load_source
from connectors.toolkit.http import Limiter, VendorClient
from connectors.toolkit.sign_in import SignsIn
from connectors.vendors.business_central import auth as business_central
from connectors.vendors.business_central.sink import BusinessCentralSink
from connectors.vendors.certinia.sink import CertiniaSink
from connectors.vendors.finance_operations import auth as finance_operations
from connectors.vendors.finance_operations.sink import FinanceOperationsSink
from connectors.vendors.float import auth as float_
from connectors.vendors.float.sink import FloatSink
from connectors.vendors.hubspot import auth as hubspot
from connectors.vendors.hubspot.sink import HubSpotSink
from connectors.vendors.kantata import auth as kantata
from connectors.vendors.kantata.sink import KantataSink
from connectors.vendors.netsuite import auth as netsuite
from connectors.vendors.netsuite.sink import NetSuiteSink
from connectors.vendors.runn import auth as runn
from connectors.vendors.runn.sink import RunnSink
from connectors.vendors.salesforce import auth as salesforce
from connectors.vendors.salesforce.records import Records
from connectors.vendors.salesforce.sink import SalesforceSink
from psastream.check.sign_in import Asked, ask_vendors
from schemas.errors import AuthenticationError, TransientError
from tests.support.rest_api import REST, make_source, read_folder, write_folder
from tests.support.vendor_server import NoCredentials, serving

DATE = "Sat, 28 Nov 2026 10:00:00 GMT"
AT = datetime(2026, 11, 28, 10, tzinfo=UTC)
FLOAT_SOURCE = Path("connectors/vendors/float/source.json")


def asked_of(make: Any, status: int = 200, body: str = "[]") -> tuple[list[str], datetime | None]:
    """What a part asks for as it signs in, and the clock that it is told."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.path_qs}")
        headers = {"Date": DATE}
        return web.Response(
            status=status, text=body, content_type="application/json", headers=headers
        )

    async def work() -> datetime | None:
        async with serving(answer) as url:
            part = make(url)
            assert isinstance(part, SignsIn)
            try:
                return await part.sign_in()
            finally:
                await part.close()  # type: ignore[attr-defined]

    return seen, asyncio.run(work())


def client(url: str, policy: Any) -> VendorClient:
    return VendorClient(
        url, NoCredentials(), policy, user_agent="test", timeout_s=5, limiter=Limiter(1)
    )


def records(url: str) -> Records:
    return Records(
        client(url, salesforce.POLICY),
        system="certinia",
        api_version="62.0",
        sobject="pse__Proj__c",
        external_id_field="P__c",
    )


def float_source(url: str) -> Connector:
    return load_source(FLOAT_SOURCE, {"FLOAT_URL": url, "FLOAT_TOKEN": "t0ken"})


@pytest.mark.parametrize(
    ("make", "question"),
    [
        (lambda url: float_source(url).source, "GET /v3/projects?per-page=1"),
        (lambda url: FloatSink(client(url, float_.POLICY)), "GET /v3/projects?per-page=1"),
        (
            lambda url: NetSuiteSink(client(url, netsuite.POLICY), project_expense_type="1"),
            "GET /services/rest/system/v1/serverTime",
        ),
        (
            lambda url: BusinessCentralSink(client(url, business_central.POLICY), None),  # type: ignore[arg-type]
            "GET /v2.0/companies",
        ),
        (
            lambda url: FinanceOperationsSink(client(url, finance_operations.POLICY), None),  # type: ignore[arg-type]
            "GET /data/LegalEntities?$top=1",
        ),
        (
            lambda url: KantataSink(
                client(url, kantata.POLICY), creator_role="maven", has_budget=True
            ),
            "GET /workspaces.json?per_page=1",
        ),
        (
            lambda url: CertiniaSink(records(url), is_multi_currency=True, starting_values={}),
            "GET /services/data/v62.0/limits",
        ),
        (
            lambda url: SalesforceSink(
                client(url, salesforce.POLICY), api_version="62.0", fields={}
            ),
            "GET /services/data/v62.0/limits",
        ),
        (
            lambda url: HubSpotSink(client(url, hubspot.POLICY), properties={}),
            "GET /crm/v3/objects/deals?limit=1",
        ),
        (lambda url: RunnSink(client(url, runn.POLICY), None), "GET /projects/?limit=1"),  # type: ignore[arg-type]
    ],
)
def test_the_question_is_a_small_one_and_tells_the_clock(make: Any, question: str) -> None:
    assert asked_of(make) == ([question], AT)


def test_of_a_declared_api_the_first_page_of_its_first_list_is_read(tmp_path: Path) -> None:
    rest = REST.format(paginator="{type: cursor, cursor_path: meta.after, cursor_param: after}")
    system = read_folder(write_folder(tmp_path, rest))
    body = '{"data": [], "meta": {"after": "7"}}'
    seen, told = asked_of(lambda url: make_source(system, url), body=body)
    assert seen == ["GET /v1/visits"]
    assert told == AT


@pytest.mark.parametrize(("status", "error"), [(403, AuthenticationError), (503, TransientError)])
def test_a_refusal_and_a_silence_are_told_apart(status: int, error: type[Exception]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text="no")

    async def work() -> list[Asked]:
        async with serving(answer) as url:
            return await ask_vendors([float_source(url)], [])

    (asked,) = asyncio.run(work())
    assert isinstance(asked.error, error)
    assert asked.name == "float (source)"


def test_a_vendor_that_does_not_answer_in_time_is_away() -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async def work() -> list[Asked]:
        async with serving(answer) as url:
            return await ask_vendors([float_source(url)], [], timeout_s=0.05)

    (asked,) = asyncio.run(work())
    assert isinstance(asked.error, TransientError)
