"""Classification of refusals, Retry-After, exact numbers, and the client against a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web

from connectors.toolkit.faults import (
    ErrorPolicy,
    Fault,
    QuotaExhaustedError,
    UnreadableBodyError,
    VendorRejectedError,
    VendorUnavailableError,
)
from connectors.toolkit.http import Limiter, RetrySettings, VendorClient, parse_retry_after
from connectors.vendors.float.auth import POLICY as FLOAT
from connectors.vendors.netsuite.auth import POLICY as NETSUITE
from connectors.vendors.salesforce.auth import POLICY as SALESFORCE
from runtime.sign_ins import FAILURES
from schemas.errors import AuthenticationError, RateLimitedError

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
FAST = RetrySettings(attempts=4, wait_initial_s=0.001, wait_max_s=0.001, wait_jitter_s=0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", None),
        ("-3", None),
        ("86400", 300.0),
        ("9" * 4000, 300.0),
        (" 7 ", 7.0),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        ("1e3", None),
        ("\u0664", None),
        ("soon", None),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", None),
    ],
)
def test_retry_after_is_read_and_clamped(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("policy", "body", "fault"),
    [
        (
            SALESFORCE,
            [{"errorCode": "REQUIRED_FIELD_MISSING", "message": "m", "fields": ["CloseDate"]}],
            Fault("REQUIRED_FIELD_MISSING", "m", "CloseDate"),
        ),
        (
            NETSUITE,
            {"o:errorDetails": [{"o:errorCode": "USER_ERROR", "detail": "d", "o:errorPath": "p"}]},
            Fault("USER_ERROR", "d", "p"),
        ),
        (FLOAT, [{"field": "people_id", "message": "m"}], Fault(None, "m", "people_id")),
    ],
)
def test_bodies_become_faults(policy: ErrorPolicy, body: object, fault: Fault) -> None:
    assert list(policy.read_faults(body)) == [fault]


@pytest.mark.parametrize("policy", [SALESFORCE, NETSUITE, FLOAT])
@pytest.mark.parametrize("body", [None, 3, "text", [], {}, [1], {"o:errorDetails": 7}])
def test_any_body_can_be_read_for_faults(policy: ErrorPolicy, body: object) -> None:
    assert all(isinstance(fault, Fault) for fault in policy.read_faults(body))


class Tokens:
    """An authenticator that counts how often its token was refused."""

    def __init__(self) -> None:
        self.number = 1

    async def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.number}"}

    def invalidate(self) -> None:
        self.number += 1


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def client_of(
    handler: Handler, auth: Tokens | None = None, timeout_s: float = 5
) -> AsyncIterator[VendorClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = VendorClient(
        f"http://127.0.0.1:{port}",
        auth or Tokens(),
        SALESFORCE,
        user_agent="test",
        timeout_s=timeout_s,
        limiter=Limiter(2),
        retry=FAST,
    )
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def answers(*responses: Callable[[], web.StreamResponse]) -> tuple[Handler, list[str]]:
    """A handler that gives each answer once and then the last for ever, and the requests seen."""
    seen: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(f"{request.method} {request.headers['Authorization']}")
        return responses[min(len(seen), len(responses)) - 1]()

    return handle, seen


def status(code: int, body: object = None, **headers: str) -> Callable[[], web.StreamResponse]:
    return lambda: web.json_response(body, status=code, headers=headers)


OK = status(200, {"fine": True})
HALF_PAGE = lambda: web.Response(body=b'{"records": [{"Id": "1"', content_type="application/json")  # noqa: E731


def run(
    handler: Handler, method: str = "GET", auth: Tokens | None = None, **options: object
) -> object:
    async def call() -> object:
        async with client_of(handler, auth) as client:
            return (await client.request(method, "/x", **options)).body  # type: ignore[arg-type]

    return asyncio.run(call())


@pytest.mark.parametrize(
    "trouble", [status(500), status(503), status(429, **{"Retry-After": "0"}), HALF_PAGE]
)
def test_a_read_is_repeated_until_it_succeeds(trouble: Callable[[], web.StreamResponse]) -> None:
    handler, seen = answers(trouble, trouble, OK)
    assert run(handler) == {"fine": True}
    assert len(seen) == 3


def test_a_read_gives_up_after_its_attempts() -> None:
    handler, seen = answers(status(503))
    with pytest.raises(VendorUnavailableError) as caught:
        run(handler)
    assert (len(seen), caught.value.outcome_unknown) == (FAST.attempts, False)


def test_a_page_that_stays_broken_is_a_schema_error() -> None:
    handler, _ = answers(HALF_PAGE)
    with pytest.raises(UnreadableBodyError):
        run(handler)


def test_a_refused_token_is_replaced_once() -> None:
    handler, seen = answers(status(401), OK)
    assert run(handler) == {"fine": True}
    assert seen == ["GET Bearer 1", "GET Bearer 2"]


def test_a_token_refused_twice_is_fatal() -> None:
    handler, seen = answers(status(401))
    before = FAILURES.labels(SALESFORCE.system)._value.get()
    with pytest.raises(AuthenticationError):
        run(handler)
    assert len(seen) == 2
    assert FAILURES.labels(SALESFORCE.system)._value.get() == before + 1


def test_an_exhausted_quota_is_not_asked_again() -> None:
    handler, seen = answers(status(403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": ""}]))
    with pytest.raises(QuotaExhaustedError) as caught:
        run(handler)
    assert (len(seen), caught.value.retry_after_s) == (1, SALESFORCE.quota_pause_s)


def test_a_write_that_must_not_be_repeated_tells_how_long_to_wait() -> None:
    handler, seen = answers(status(429, **{"Retry-After": "9"}))
    with pytest.raises(RateLimitedError) as caught:
        run(handler, "PUT", json={}, retry=False)
    assert (len(seen), caught.value.retry_after_s) == (1, 9.0)


@pytest.mark.parametrize("trouble", [status(500), HALF_PAGE])
def test_i8_a_write_without_a_clear_answer_has_an_unknown_outcome(
    trouble: Callable[[], web.StreamResponse],
) -> None:
    handler, seen = answers(trouble)
    with pytest.raises(VendorUnavailableError) as caught:
        run(handler, "PUT", json={}, retry=False)
    assert (len(seen), caught.value.outcome_unknown) == (1, True)


def test_i8_a_write_that_times_out_has_an_unknown_outcome() -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def call() -> None:
        async with client_of(hang, timeout_s=0.05) as client:
            await client.request("PUT", "/x", json={}, retry=False)

    with pytest.raises(VendorUnavailableError) as caught:
        asyncio.run(call())
    assert caught.value.outcome_unknown


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
def test_i8_a_write_is_sent_once_though_the_connection_is_lost(method: str) -> None:
    seen: list[str] = []

    async def cut(request: web.Request) -> web.StreamResponse:
        seen.append(request.method)
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=204)

    with pytest.raises(VendorUnavailableError) as caught:
        run(cut, method, retry=False)
    assert (seen, caught.value.outcome_unknown) == ([method], True)


def test_a_write_that_never_left_has_a_known_outcome() -> None:
    async def call() -> None:
        client = VendorClient(
            "http://127.0.0.1:1",
            Tokens(),
            SALESFORCE,
            user_agent="test",
            timeout_s=1,
            limiter=Limiter(1),
        )
        async with client:
            await client.request("PUT", "/x", json={}, retry=False)

    with pytest.raises(VendorUnavailableError) as caught:
        asyncio.run(call())
    assert "no connection to 127.0.0.1:1" in caught.value.detail
    assert not caught.value.outcome_unknown


def test_a_rejection_names_code_and_field() -> None:
    body = [{"errorCode": "INVALID_FIELD", "message": "no such column", "fields": ["X__c"]}]
    handler, seen = answers(status(400, body))
    with pytest.raises(VendorRejectedError) as caught:
        run(handler)
    error = caught.value
    assert (error.status, error.vendor_code, error.field) == (400, "INVALID_FIELD", "X__c")
    assert len(seen) == 1


def test_the_limiter_bounds_requests_in_flight() -> None:
    in_flight: list[int] = [0, 0]

    async def handle(request: web.Request) -> web.StreamResponse:
        in_flight[0] += 1
        in_flight[1] = max(in_flight)
        await asyncio.sleep(0.01)
        in_flight[0] -= 1
        return OK()

    async def call() -> None:
        async with client_of(handle) as client:
            await asyncio.gather(*(client.request("GET", "/x") for _ in range(8)))

    asyncio.run(call())
    assert in_flight[1] == 2
