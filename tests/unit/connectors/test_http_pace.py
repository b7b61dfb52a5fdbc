"""How often a vendor that says "slow down" is asked, on a clock that jumps."""

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest
from aiohttp import web

from connectors.dispatch.retry import RetryPolicy
from connectors.polled.loop import LoopSettings, ObjectLoop
from connectors.toolkit.faults import VendorUnavailableError
from connectors.toolkit.http import RETRY_AFTER_LIMIT_S, Limiter, VendorClient
from connectors.vendors.float.auth import POLICY
from runtime.health import Health
from runtime.retries import Retries
from schemas.errors import RateLimitedError
from tests.support.jumping_clock import run_jumping
from tests.support.vendor_server import NoCredentials, serving

PLACE = "connectors/toolkit/http.py"
NO_WAITS = ["0", "-1", "Thu, 01 Jan 1970 00:00:00 GMT", "nan", "soon", "", "0.0001"]


class Impatient:
    """A vendor that answers 429 for ever, and when it was asked."""

    def __init__(self, retry_after: str) -> None:
        self._retry_after = retry_after
        self.asked_at_s: list[float] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked_at_s.append(asyncio.get_running_loop().time())
        return web.json_response({}, status=429, headers={"Retry-After": self._retry_after})


class Polls:
    """A poller of one read."""

    def __init__(self, client: VendorClient) -> None:
        self._client = client

    async def poll(self) -> bool:
        await self._client.request("GET", "/v3/people")
        return True


async def polled_for(vendor: Impatient, seconds: float) -> None:
    async with serving(vendor.answer) as url:
        client = VendorClient(
            url, NoCredentials(), POLICY, user_agent="t", timeout_s=5, limiter=Limiter(1)
        )
        times = LoopSettings(interval_s=30, retry_max_s=300)
        async with client:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await ObjectLoop(
                        "float",
                        "person",
                        Polls(client),
                        times,
                        health=Health(),
                        retries=Retries(),
                    ).run()


@pytest.mark.fault("D1", place=PLACE)
@pytest.mark.parametrize("retry_after", NO_WAITS)
def test_d1_a_wait_of_nothing_is_never_below_our_own_backoff(retry_after: str) -> None:
    vendor = Impatient(retry_after)
    run_jumping(polled_for(vendor, 600))
    assert 10 <= len(vendor.asked_at_s) <= 80
    first_minute = [at for at in vendor.asked_at_s if at < vendor.asked_at_s[0] + 5]
    assert len(first_minute) <= 12


@pytest.mark.fault("D1", place=PLACE)
@pytest.mark.parametrize("retry_after", ["99999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_d1_an_absurd_wait_is_never_above_the_cap(retry_after: str) -> None:
    vendor = Impatient(retry_after)
    run_jumping(polled_for(vendor, 3_000))
    asked = vendor.asked_at_s
    gaps_s = [later - earlier for earlier, later in pairwise(asked)]
    assert gaps_s
    assert all(290 < gap_s < RETRY_AFTER_LIMIT_S + 30 for gap_s in gaps_s)


@pytest.mark.fault("D1", place=PLACE)
@pytest.mark.parametrize("asked_s", [None, 0.0, 0.5])
@pytest.mark.parametrize("failures", [1, 4, 20])
def test_d1_a_command_waits_at_least_its_own_backoff(asked_s: float | None, failures: int) -> None:
    policy = RetryPolicy(settle_s=1, backoff_s=1, backoff_max_s=60, auth_retry_s=60)
    without = VendorUnavailableError("busy", outcome_unknown=False, context={})
    limited = RateLimitedError("slow down", retry_after_s=asked_s)
    delay_s = policy.delay_s(limited, failures, chance=0.5)
    assert delay_s >= policy.delay_s(without, failures, chance=0.5)
