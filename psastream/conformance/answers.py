"""Clauses about answers that are none: refusals, outages, floods, and addresses elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from connectors.polled.loop import verdict_on
from connectors.toolkit.faults import QuotaExhaustedError
from psastream.conformance.bench import Bench, BrokenClauseError, Fault
from psastream.conformance.clauses import clause
from psastream.conformance.documented import Answer as Documented
from psastream.conformance.server import respond
from schemas.errors import PsaStreamError, RateLimitedError

WAIT_S: Final = 7
LEAST_WAIT_S: Final = 0.1
CLOCK_S: Final = 0.01
"""Timers of an event loop may go off earlier by the resolution of its clock."""
ATTEMPTS_MAX: Final = 40
"""Requests of one poll that meets nothing but faults."""
REQUESTS: Final = range(1, 12)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def cut(request: web.Request) -> web.StreamResponse:
    """End the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    """Send the beginning of an answer."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.content_length = 1000
    await answer.prepare(request)
    await answer.write(b'{"data": [')
    assert request.transport is not None
    request.transport.abort()
    return answer


async def slow(request: web.Request) -> web.StreamResponse:
    """Answer after every time-out."""
    await asyncio.sleep(3600)
    return web.json_response({})


def plain(status: int, text: str = "", kind: str = "application/json", **headers: str) -> Answer:
    """Return what answers with a status and a text."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type=kind, headers=headers)

    return answer


PASSING: Final[dict[str, Answer]] = {
    "500": plain(500, '{"message": "oops"}'),
    "502 of a proxy": plain(502, "<html>Bad gateway</html>", "text/html"),
    "503 without a body": plain(503),
    "200 in HTML": plain(200, "<html>Maintenance</html>", "text/html"),
    "200 without a body": plain(200),
    "half an answer": half,
    "no answer": cut,
    "slow answer": slow,
}
LONGER: Final = ("500", "half an answer")
NEVER_EMPTY: Final[dict[str, Answer]] = {
    "401": plain(401, "{}"),
    "403": plain(403, "{}"),
    "403 in HTML": plain(403, "<html>no</html>", "text/html"),
    "404": plain(404, "{}"),
    "410": plain(410, "{}"),
    "200 with {}": plain(200, "{}"),
    "200 with null": plain(200, "null"),
    "200 with an error": plain(200, '{"error": "no"}'),
    "204": plain(204),
    "302": plain(302, Location="/login"),
}


def at(number: int, answer: Answer) -> Fault:
    """Return a fault that meets one request, by its number."""
    asked = 0

    async def fault(request: web.Request) -> web.StreamResponse | None:
        nonlocal asked
        asked += 1
        return await answer(request) if asked == number else None

    return fault


def needs_person(error: PsaStreamError | None) -> bool:
    """Whether an error stops an object until a person helps, and says so."""
    verdict = None if error is None else verdict_on(error)
    return verdict is not None and verdict.needs_person


def passes(error: PsaStreamError | None) -> bool:
    """Whether an error is one that passes by itself."""
    verdict = None if error is None else verdict_on(error)
    return verdict is not None and not verdict.needs_person


def since(number: int, answer: Answer) -> Fault:
    """Return a fault that meets a request and all after it."""
    asked = 0

    async def fault(request: web.Request) -> web.StreamResponse | None:
        nonlocal asked
        asked += 1
        return await answer(request) if asked >= number else None

    return fault


@clause(
    "passing faults",
    "A request that fails is repeated, or its poll is: no row is lost and none told as deleted.",
)
async def passing_faults(bench: Bench) -> None:
    """Each kind of failure at each request, once; and some for the rest of the poll."""
    for name, answer in PASSING.items():
        await _each_request(bench, name, at, answer)
    for name in LONGER:
        await _each_request(bench, f"{name}, for a while", since, PASSING[name])


async def _each_request(
    bench: Bench, name: str, fault: Callable[[int, Answer], Fault], answer: Answer
) -> None:
    for number in REQUESTS:
        await bench.spread(5)
        bench.network.fault = fault(number, answer)
        await bench.poll()
        asked = len(bench.network.asked)
        bench.network.fault = None
        try:
            await bench.settle()
            bench.require_truth()
        except BrokenClauseError as error:
            raise BrokenClauseError(f"{name}, at request {number}: {error}") from error
        if asked < number:
            return


@clause(
    "lasting faults",
    "A vendor that keeps failing is asked a bounded number of times a poll, and is told as down.",
)
async def lasting_faults(bench: Bench) -> None:
    """Each kind of failure, for good."""
    for name, answer in PASSING.items():
        await bench.fresh(3)
        bench.network.fault = since(1, answer)
        error = await bench.poll()
        if error is None or not passes(error):
            raise BrokenClauseError(f"{name}, for good, ends a poll by {error!r}")
        if len(bench.network.asked) > ATTEMPTS_MAX:
            raise BrokenClauseError(f"{name}: {len(bench.network.asked)} requests in one poll")


@clause("fresh token", "A token that is refused once is replaced, and the request repeated.")
async def fresh_token(bench: Bench) -> None:
    """401, once, at each request."""
    for number in REQUESTS:
        await bench.fresh(3)
        bench.network.fault = at(number, plain(401, "{}"))
        if (error := await bench.poll()) is not None:
            raise BrokenClauseError(f"one 401 at request {number} ends the poll: {error}")
        bench.require_truth()
        if len(bench.network.asked) < number:
            return


@clause("denied", "Credentials that are refused for good stop the object and say so, at once.")
async def denied(bench: Bench) -> None:
    """401, for good."""
    await bench.fresh(3)
    bench.spare_tokens()
    bench.network.fault = since(1, plain(401, "{}"))
    error = await bench.poll()
    if not needs_person(error):
        raise BrokenClauseError(f"401 for good ends a poll by {error!r}, which tells nobody")
    if len(bench.network.asked) > 6:
        raise BrokenClauseError(f"asked {len(bench.network.asked)} times with refused credentials")


@clause("patience", "Who is asked to wait waits as long as told, and never less than a moment.")
async def patience(bench: Bench) -> None:
    """429, with and without the time to wait, at each request."""
    for wait_s in (WAIT_S, 0, None):
        headers = {} if wait_s is None else {"Retry-After": str(wait_s)}
        for number in REQUESTS:
            await bench.fresh(3)
            bench.spare_tokens()
            bench.network.fault = at(number, plain(429, "{}", **headers))
            error = await bench.poll()
            if error is not None and not isinstance(error, RateLimitedError):
                raise BrokenClauseError(f"429 ends a poll by {error!r}")
            asked = [time_s for time_s, _ in bench.network.asked]
            if len(asked) < number:
                break
            if len(asked) > number:
                waited_s = asked[number] - asked[number - 1]
                if waited_s < max(wait_s or 0, LEAST_WAIT_S) - CLOCK_S:
                    raise BrokenClauseError(
                        f"asked again after {waited_s:.2f} s; Retry-After was {wait_s}"
                    )
            bench.network.fault = None
            bench.tick(minutes=20)
            await bench.settle()
            bench.require_truth()


@clause(
    "refusal is not empty",
    "An answer that is not the list is never taken for an empty one: nothing is told as deleted.",
)
async def refusal_is_not_empty(bench: Bench) -> None:
    """Every answer that shows no rows, instead of each list."""
    for name, answer in NEVER_EMPTY.items():
        await bench.fresh(8)
        await bench.settle()
        bench.network.fault = since(1, answer)
        errors = []
        for _ in range(2):
            bench.tick_sweep()
            errors.append(await bench.poll_however())
        if bench.log.deleted():
            raise BrokenClauseError(f"{name}: told as deleted: {bench.log.deleted()}")
        if None in errors:
            raise BrokenClauseError(f"{name}: the poll is complete, as if nothing were wrong")


def _without_answers(bench: Bench) -> str:
    return "" if bench.account.answers else "its vendor's own answers are not documented here"


@clause(
    "documented answers",
    "An answer that the vendor documents has the consequence that it documents.",
    spared=_without_answers,
)
async def documented_answers(bench: Bench) -> None:
    """Each, for good."""
    for documented in bench.account.answers:
        await bench.fresh(3)
        bench.spare_tokens()
        bench.network.fault = since(1, _as_documented(documented, bench))
        error = await bench.poll()
        is_right = {
            "denied": needs_person(error),
            "slow_down": isinstance(error, RateLimitedError)
            and not isinstance(error, QuotaExhaustedError),
            "pause": isinstance(error, QuotaExhaustedError),
            "passing": passes(error),
        }[documented.means]
        if not is_right:
            raise BrokenClauseError(
                f"{documented.status} {documented.body} means {documented.means},"
                f" and ends a poll by {error!r}"
            )


def _as_documented(documented: Documented, bench: Bench) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return respond(documented.status, documented.body, bench.now(), documented.headers)

    return answer


@clause("own host", "No request leaves the configured address, whatever an answer points to.")
async def own_host(bench: Bench) -> None:
    """Redirects and next pages lead to another host."""
    for status in (301, 302, 307, 308):
        for number in REQUESTS:
            await bench.fresh(3)
            away = plain(status, Location=f"{bench.network.away}/v1")
            bench.network.fault = at(number, away)
            await bench.poll_however()
            _require_nobody_elsewhere(bench, f"a redirect with {status}")
            if len(bench.network.asked) < number:
                break
    await bench.fresh(3)
    bench.account.quirks.away = bench.network.away
    await bench.poll_however()
    _require_nobody_elsewhere(bench, "the address of a next page")


def _require_nobody_elsewhere(bench: Bench, what: str) -> None:
    if bench.network.elsewhere:
        raise BrokenClauseError(f"{what} was followed to another host")


@clause("secrets", "Credentials stand in no log, no error and nothing that is published.")
async def secrets(bench: Bench) -> None:
    """What is told in sound polls, refused ones and failing ones."""
    bench.told.clear()
    answers = [None, plain(401, "{}"), plain(403, "{}"), plain(500, "no"), slow, plain(200, "no")]
    said: list[str] = []
    for answer in answers:
        await bench.fresh(3)
        bench.network.fault = None if answer is None else since(1, answer)
        error = await bench.poll_however()
        said += [f"{error} {error!r} {getattr(error, 'context', '')}"]
        said += [str(change) for change in bench.log.changes]
        said += [str(row) for row in bench.log.rejected]
    said += [str(told) for told in bench.told]
    for secret in bench.secrets:
        for text in said:
            if secret in text:
                shown = text.replace(secret, "***")[:200]
                raise BrokenClauseError(f"a credential stands in what is told: {shown}")
