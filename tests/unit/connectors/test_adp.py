"""ADP's folder against the simulated client: the queue, workers by themselves, mutual TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientError, ClientSession, web

from sandbox.vendors.adp.api import QUEUE
from tests.support.certificates import Authority
from tests.support.twins import Twin, twin_of


@pytest_asyncio.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    keys = {"page.size": 2, "max.delete.ratio": 1.0, "auth.url": None}
    async with twin_of("adp", tmp_path, **keys) as made:
        yield made


async def hire(twin: Twin, name: str, **values: object) -> str:
    return await twin.add(
        "workers", given_name=name, family_name="Example", work_email=f"{name}@example.com",
        original_hire_date="2024-04-01", job_title="Engineer", department="Delivery",
        annual_rate="64000.00", **values,
    )  # fmt: skip


async def waiting(twin: Twin) -> int:
    """How many messages are left in the queue."""
    async with ClientSession() as http:
        token = await sign_in(twin, http)
        async with http.get(f"{twin.target.url}{QUEUE}", headers=token) as answer:
            return 0 if answer.status == 204 else 1


async def sign_in(twin: Twin, http: ClientSession) -> dict[str, str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": twin.target.environment["ADP_CLIENT_ID"],
        "client_secret": twin.target.environment["ADP_CLIENT_SECRET"],
    }
    url = f"{twin.target.url}/auth/oauth/v2/token"
    async with http.post(url, data=form) as answer:
        assert answer.status == 200
        return {"authorization": f"Bearer {(await answer.json())['access_token']}"}


@pytest.mark.asyncio
async def test_everybody_is_read_whatever_the_page_and_the_queue_is_emptied(twin: Twin) -> None:
    people = [await hire(twin, name) for name in ("rae", "ida", "kim", "lu", "mo")]
    log = await twin.poll("worker", times=2)
    assert log.state().keys() == set(people)
    assert [op for op, _ in log.operations()] == ["r"] * 5
    assert await waiting(twin) == 0
    row = log.state()[people[0]]
    assert (row["job_title"], row["work_email"]) == ("Engineer", "rae@example.com")


@pytest.mark.asyncio
async def test_what_a_message_is_about_is_read_and_told_once(twin: Twin) -> None:
    rae, ida = await hire(twin, "rae"), await hire(twin, "ida")
    await twin.poll("worker", times=2)
    await twin.change("workers", rae, annual_rate="71000.50")
    await twin.change("workers", rae, annual_rate="72000.00")
    await twin.change("workers", ida, status="Terminated", termination_date="2026-02-28")
    log = await twin.poll("worker", times=2)
    told = [row_id for op, row_id in log.operations()[2:] if op == "u"]
    assert (set(told), len(told)) == ({rae, ida}, 2)
    assert str(log.state()[rae]["annual_rate"]) == "72000.0000"
    assert await waiting(twin) == 0


@pytest.mark.asyncio
async def test_a_worker_of_several_assignments_has_the_primary_one(twin: Twin) -> None:
    rae = await hire(twin, "rae", rehire_date="2025-03-01", actual_start_date="2025-03-01")
    row = (await twin.poll("worker")).state()[rae]
    assert (row["rehire_date"], row["actual_start_date"]) == ("2025-03-01", "2025-03-01")
    assert row["assignment_status"] == "A"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "kind", ["rate_limited", "server_error", "unavailable", "half_page", "commit_then_error"]
)
async def test_nothing_is_lost_or_told_twice_under_faults(twin: Twin, kind: str) -> None:
    people = [await hire(twin, name) for name in ("rae", "ida", "kim")]
    await twin.poll("worker")
    for person in people:
        await twin.change("workers", person, job_title="Lead")
    await twin.fail(kind, probability=0.5, count=3)
    log = await twin.poll("worker", times=3)
    assert sorted(row_id for op, row_id in log.operations() if op == "u") == sorted(people)
    assert (await twin.drawn())[kind] > 0
    assert await waiting(twin) == 0


@pytest.mark.asyncio
async def test_the_client_shows_its_certificate_in_the_handshake(
    twin: Twin, tmp_path: Path
) -> None:
    """A server that demands one, in front of the twin, as the vendor's is."""
    authority = Authority(tmp_path, "adp")
    server = authority.issue("server", "127.0.0.1")
    demands = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    demands.load_verify_locations(twin.target.environment["ADP_CERTIFICATE_PATH"])
    demands.load_cert_chain(server.certificate, server.key)
    demands.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", twin.target.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=demands).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/adp/auth/oauth/v2/token"
    named = ("ADP_CERTIFICATE_PATH", "ADP_CERTIFICATE_KEY_PATH")
    try:
        shows = ssl.create_default_context(cafile=str(authority.certificate))
        shows.load_cert_chain(*(twin.target.environment[name] for name in named))
        shows_none = ssl.create_default_context(cafile=str(authority.certificate))
        async with ClientSession() as http:
            async with http.post(url, data={}, ssl=shows) as answer:
                assert (await answer.json())["error"] == "invalid_client"
            with pytest.raises(ClientError):
                await http.post(url, data={}, ssl=shows_none)
    finally:
        await runner.cleanup()
