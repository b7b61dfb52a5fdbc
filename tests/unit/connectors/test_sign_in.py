"""One small question to a vendor, which only a valid sign-in is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.polled.main import Connector, load_source
from connectors.systems import Systems
from connectors.toolkit.config import parse_config
from connectors.toolkit.sign_in import SignsIn
from psastream.check.sign_in import Asked, ask_vendors
from psastream.conformance.suite import read_sink_subject
from psastream.system import read_system
from schemas.errors import AuthenticationError, TransientError
from tests.support.rest_api import REST, make_source, read_folder, write_folder
from tests.support.vendor_server import serving

DATE = "Sat, 28 Nov 2026 10:00:00 GMT"
AT = datetime(2026, 11, 28, 10, tzinfo=UTC)
VENDORS = Path(str(files("connectors.vendors")))
FLOAT_SOURCE = VENDORS / "float" / "source.json"
SINKS = [name for name in Systems().names() if Systems().vendor(name).sink is not None]
QUESTIONS = Path(__file__).parent / "questions"
"""What each sink asks, but for tokens."""


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


def float_source(url: str) -> Connector:
    return load_source(FLOAT_SOURCE, {"FLOAT_URL": url, "FLOAT_TOKEN": "t0ken"})


def test_a_source_asks_a_small_one_and_tells_the_clock() -> None:
    seen, told = asked_of(lambda url: float_source(url).source)
    assert (seen, told) == (["GET /v3/projects?per-page=1"], AT)


def test_a_question_is_recorded_of_each_sink_that_there_is() -> None:
    assert {path.stem for path in QUESTIONS.glob("*.txt")} == set(SINKS)


@pytest.mark.parametrize("name", SINKS)
def test_a_sink_asks_a_small_one_and_tells_the_clock(name: str, tmp_path: Path) -> None:
    system, vendor = read_system(VENDORS / name)
    subject = read_sink_subject(VENDORS / name, system, vendor)
    assert subject is not None
    targets: list[Any] = []
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        path = request.path_qs.removeprefix(f"/{name}")
        if not request.path.endswith("/token"):
            seen.append(f"{request.method} {path}")
        response: web.StreamResponse = await targets[0].answer(request)
        response.headers["Date"] = DATE
        return response

    async def work() -> datetime | None:
        async with serving(answer) as url:
            target = subject.make_target(url, tmp_path)
            targets.append(target)
            document = {**subject.document, "url": target.url}
            environment = target.environment
            config = parse_config(document, subject.sink.config_model, environment, origin=name)
            sink = config.make_sink(lambda: None)
            assert isinstance(sink, SignsIn)
            try:
                return await sink.sign_in()
            finally:
                await sink.close()

    assert asyncio.run(work()) == AT
    assert seen == (QUESTIONS / f"{name}.txt").read_text().splitlines()


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
