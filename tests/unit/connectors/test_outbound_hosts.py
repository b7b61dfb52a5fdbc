"""Credentials go to the configured host alone, whatever a vendor answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiokafka.errors import KafkaConnectionError

from connectors.debezium.client import ConnectClient
from connectors.toolkit.faults import UnreadableBodyError
from connectors.toolkit.http import Limiter, RetrySettings, VendorClient
from connectors.vendors.float.auth import POLICY, StaticToken
from runtime.access import HttpAccess
from runtime.registry import Registry
from schemas.errors import PsaStreamError, RegistryUnavailableError
from streams.engine.tokens import OidcTokens
from tests.support.vendor_server import serving

TOKEN = "tokenCanary-31z"
Seen = list[web.Request]


@asynccontextmanager
async def hosts(status: int) -> AsyncIterator[tuple[str, str, Seen]]:
    """A vendor that sends everybody on to another host; both addresses, what came to the other."""
    seen: Seen = []

    async def other(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response([])

    async with serving(other) as elsewhere:

        async def vendor(request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{elsewhere}{request.path}"})

        async with serving(vendor) as url:
            yield url, elsewhere, seen


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[VendorClient]:
    retry = RetrySettings(attempts=1)
    async with VendorClient(
        url,
        StaticToken(TOKEN),
        POLICY,
        user_agent="t",
        timeout_s=5,
        limiter=Limiter(2),
        retry=retry,
    ) as client:
        yield client


@pytest.mark.asyncio
@pytest.mark.parametrize("shape", ["{elsewhere}/v3/people", "//{host}/v3/people", "@{host}/v3"])
async def test_a_path_out_of_an_answer_stays_on_the_host(shape: str) -> None:
    async with hosts(302) as (url, elsewhere, seen), client_of(url) as client:
        path = shape.format(elsewhere=elsewhere, host=elsewhere.partition("//")[2])
        with pytest.raises(PsaStreamError) as caught:
            await client.request("GET", path)
        is_path = path.startswith("/")
    assert isinstance(caught.value, UnreadableBodyError) is not is_path
    assert seen == []


@pytest.mark.asyncio
async def test_connect_and_registry_are_asked_at_their_own_hosts_alone() -> None:
    async with hosts(307) as (url, _, seen):
        access = HttpAccess.of(url, user="psastream", password=TOKEN)
        connect = ConnectClient(access, attempts=1)
        with pytest.raises(PsaStreamError):
            await connect.status("inhouse")
        await connect.close()
        with pytest.raises(RegistryUnavailableError):
            await asyncio.to_thread(Registry(access).require)
    assert seen == []


@pytest.mark.asyncio
async def test_the_secret_for_tokens_of_kafka_goes_to_its_own_host_alone() -> None:
    async with hosts(307) as (url, _, seen):
        options = {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": "worker",
            "sasl.oauthbearer.client.secret": TOKEN,
            "sasl.oauthbearer.token.endpoint.url": f"{url}/token",
        }
        with pytest.raises(KafkaConnectionError):
            await OidcTokens(options, {}).token()
    assert seen == []
