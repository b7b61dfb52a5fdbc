"""Clauses about sinks: a command has one effect, and what became of it is told as it is."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from connectors.dispatch.remedies import remedy
from connectors.dispatch.sink import Applied
from connectors.dispatch.verdicts import rejected
from connectors.toolkit.faults import Reason, VendorRejectedError
from psastream.conformance.answers import (
    PASSING,
    REQUESTS,
    WAIT_S,
    Answer,
    at,
    cut,
    needs_person,
    plain,
)
from psastream.conformance.bench import BrokenClauseError, Fault
from psastream.conformance.clauses import sink_clause
from psastream.conformance.documented import Refusal
from psastream.conformance.paths import dump
from psastream.conformance.targets import SinkBench
from schemas.errors import PsaStreamError, RateLimitedError, TransientError

READS: Final = ("GET", "HEAD")


@sink_clause("one effect", "The same command twice leaves one record, as after the first.")
async def one_effect(bench: SinkBench) -> None:
    """Carried out by two processes, one after the other."""
    await bench.fresh()
    first = await bench.require_done()
    records = await bench.target.records()
    await bench.close()
    bench.restart()
    second = await bench.require_done()
    if await bench.target.records() != records:
        raise BrokenClauseError(f"{records} became {await bench.target.records()}")
    if first.target_id is not None and second.target_id not in (None, first.target_id):
        raise BrokenClauseError(f"record {first.target_id} became {second.target_id}")
    await bench.require_shown()


@sink_clause(
    "unclear answer",
    "A write whose answer is lost is told as unclear, is found by a look, and is not done twice.",
)
async def unclear_answer(bench: SinkBench) -> None:
    """The answer of each request is lost after it was carried out."""
    await bench.fresh()
    await bench.require_done()
    expected = await bench.target.records()
    for number in REQUESTS:
        await bench.fresh()
        done: list[bool] = []
        bench.network.fault = _unanswered(bench, number, done)
        came = await bench.execute()
        bench.network.fault = None
        if not done:
            return
        [is_done] = done
        _require_unclear(came, is_done)
        seen = await bench.look()
        if is_done and not isinstance(seen, Applied):
            raise BrokenClauseError(f"what was carried out without an answer is not seen: {seen!r}")
        await bench.require_done()
        await bench.require_shown()
        if (found := await bench.target.records()) != expected:
            raise BrokenClauseError(f"after it there are {found}, not {expected}")


def _unanswered(bench: SinkBench, number: int, done: list[bool]) -> Fault:
    """Let one request go without an answer, and note whether it wrote something."""

    async def answer(request: web.Request) -> web.StreamResponse:
        before = await bench.target.effects()
        await bench.target.answer(request)
        done.append(await bench.target.effects() > before)
        return await cut(request)

    return at(number, answer)


def _require_unclear(came: object, is_done: bool) -> None:
    if isinstance(came, Applied) and is_done:
        raise BrokenClauseError("a write without an answer is told as carried out")
    if is_done and not (isinstance(came, TransientError) and came.outcome_unknown):
        raise BrokenClauseError(f"carried out without an answer, and told as {came!r}")


@sink_clause(
    "lost request",
    "A write that never arrives is told as unclear or not done, and can be repeated.",
)
async def lost_request(bench: SinkBench) -> None:
    """Each request is lost on its way."""
    for number in REQUESTS:
        await bench.fresh()
        bench.network.fault = at(number, cut)
        came = await bench.execute()
        bench.network.fault = None
        if len(bench.network.asked) < number:
            return
        if not isinstance(came, TransientError | Applied):
            raise BrokenClauseError(f"request {number} is lost, and told as {came!r}")
        if isinstance(came, Applied):
            await bench.require_shown()
        await bench.require_done()
        await bench.require_shown()


@sink_clause("shows back", "A look tells what the target holds: nothing, this content, or another.")
async def shows_back(bench: SinkBench) -> None:
    """Before, after, and for another content of the same record."""
    await bench.fresh()
    seen = await bench.look()
    if isinstance(seen, Applied) and not seen.differs:
        raise BrokenClauseError(f"seen before it was carried out: {seen!r}")
    await bench.require_done()
    await bench.require_shown()
    if bench.order.changed is None:
        return
    seen = await bench.look(2)
    if isinstance(seen, Applied) and not seen.differs:
        raise BrokenClauseError(f"another content is taken for the one it holds: {seen!r}")
    await bench.require_done(2)
    await bench.require_shown(2)


@sink_clause("looks only", "A look changes nothing at the target.")
async def looks_only(bench: SinkBench) -> None:
    """Before and after."""
    await bench.fresh()
    for _ in range(2):
        before = await bench.target.effects()
        await bench.look()
        if await bench.target.effects() != before:
            raise BrokenClauseError("a look wrote something")
        await bench.require_done()


@sink_clause(
    "newest",
    "A record that a command made is told as the newest of its noun, and not once it is gone.",
)
async def newest(bench: SinkBench) -> None:
    """Before and after; asking writes nothing."""
    await bench.fresh()
    _, noun, identity = bench.order.key.split(":", 2)
    is_made = not bench.changes_only
    if is_made and identity in (await bench.newest()).get(noun, ()):
        raise BrokenClauseError(f"{identity} is told before it was made")
    await bench.require_done()
    before = await bench.target.effects()
    told = (await bench.newest()).get(noun, ())
    if await bench.target.effects() != before:
        raise BrokenClauseError("asking for the newest records wrote something")
    if is_made and list(told[:1]) != [identity]:
        raise BrokenClauseError(f"{identity} was made, and is not told as the newest {noun}")
    if not is_made and identity in told:
        raise BrokenClauseError(f"{identity} is told although no {noun} of that id is there")


@sink_clause(
    "refusals",
    "Each refusal that the vendor documents is told as one, with its words and a remedy.",
)
async def refusals(bench: SinkBench) -> None:
    """In the place of the answer to the write."""
    for refusal in bench.subject.written.refusals:
        await bench.fresh()
        bench.network.fault = _at_writes(bench, _as_documented(refusal))
        came = await bench.execute()
        if not isinstance(came, VendorRejectedError):
            raise BrokenClauseError(f"{refusal.status} {refusal.body} is told as {came!r}")
        problem = rejected(1, came).problem
        assert problem is not None
        if problem.reason is Reason.UNCLEAR or not remedy(problem, bench.subject.vendor.remedies):
            raise BrokenClauseError(f"{refusal.status} {refusal.body} has no remedy")
        if refusal.words and refusal.words not in problem.detail:
            raise BrokenClauseError(f"the vendor's words are lost: {problem.detail!r}")


def _as_documented(refusal: Refusal) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=refusal.status, body=dump(refusal.body), content_type="application/json"
        )

    return answer


def _beside_reads(bench: SinkBench, answer: Answer) -> Fault:
    """A fault of all requests but those that are documented to change nothing, as for tokens."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        is_read = any(part in request.path for part in bench.subject.written.reads)
        return None if is_read else await answer(request)

    return fault


def _at_writes(bench: SinkBench, answer: Answer) -> Fault:
    """A fault of requests that may change something."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        return None if request.method in READS else await _beside_reads(bench, answer)(request)

    return fault


@sink_clause(
    "faults told apart",
    "Failures, floods and refused credentials are told as such: none is taken for a refusal.",
)
async def faults_told_apart(bench: SinkBench) -> None:
    """Each, at the write, and 401 and 429 everywhere."""
    for name, answer in PASSING.items():
        await bench.fresh()
        bench.network.fault = _at_writes(bench, answer)
        came = await bench.execute()
        if not isinstance(came, TransientError):
            raise BrokenClauseError(f"{name} at the write is told as {came!r}")
        if not came.outcome_unknown and name not in _NOT_DONE:
            raise BrokenClauseError(f"{name} at the write is told as not carried out")
    denied = await _meets(bench, plain(401, "{}"))
    if not needs_person(denied):
        raise BrokenClauseError(f"401 for good is told as {denied!r}")
    slowed = await _meets(bench, plain(429, "{}", **{"Retry-After": str(WAIT_S)}))
    if not isinstance(slowed, RateLimitedError) or slowed.retry_after_s != WAIT_S:
        raise BrokenClauseError(f"429 with Retry-After {WAIT_S} is told as {slowed!r}")
    if slowed.outcome_unknown:
        raise BrokenClauseError("429 is told as perhaps carried out")


_NOT_DONE: Final = frozenset({"503 without a body"})
"""Answers that a vendor may say mean that nothing was done."""


async def _meets(bench: SinkBench, answer: Answer) -> PsaStreamError | None:
    await bench.fresh()
    bench.network.fault = _beside_reads(bench, answer)
    came = await bench.execute()
    return came if isinstance(came, PsaStreamError) else None


@sink_clause(
    "writes stay", "No request of a sink leaves the configured address, wherever it is redirected."
)
async def writes_stay(bench: SinkBench) -> None:
    """Each request is redirected to another host."""
    for status in (302, 307, 308):
        for number in REQUESTS:
            await bench.fresh()
            bench.network.fault = at(number, plain(status, Location=f"{bench.network.away}/v1"))
            await bench.execute()
            if bench.network.elsewhere:
                raise BrokenClauseError(f"a redirect with {status} was followed to another host")
            if len(bench.network.asked) < number:
                break
