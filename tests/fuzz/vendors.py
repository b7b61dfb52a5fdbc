"""Answers of vendors in any shape: to their readers, to the token request, to the sinks."""

from __future__ import annotations

import json
import random
import re
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.polled.loop import verdict_on
from connectors.toolkit.faults import UnreadableBodyError
from connectors.toolkit.http import Limiter, VendorClient
from connectors.toolkit.tokens import request_token
from connectors.vendors.float.auth import POLICY as FLOAT
from connectors.vendors.float.auth import StaticToken
from connectors.vendors.float.sink import FloatSink
from connectors.vendors.netsuite.auth import POLICY as NETSUITE
from connectors.vendors.netsuite.sink import NetSuiteSink
from schemas.errors import AuthenticationError, RecordError, TransientError
from tests.fuzz import values, wire
from tests.fuzz.case import Case, Kind
from tests.property.test_polled_answers import TARGETS, ids_of, poll_all
from tests.support.polled import Clock, MemoryLog
from tests.support.scripted_vendors import Ask, ScriptedVendor, make_source
from tests.support.sinks import make_command

STATUSES: Final = [200, 200, 200, 200, 201, 202, 204, 206, 301, 302, 307, 400, 401, 403, 404, 405,
                   408, 409, 413, 418, 422, 423, 429, 500, 502, 503, 504, 529]  # fmt: skip
BODIES: Final = [b"", b" \r\n", b"null", b"true", b"7", b"NaN", b'"x"', b"{}", b"[]", b"[[]]",
                 b"\xff", b"<html>maintenance</html>", b'{"a": 1, "a": 2}', b"[" * 40 + b"]" * 40,
                 b"9" * 5000, b"1e999999999", b"\xef\xbb\xbf[]", b'{"id": "\\ud83d"}']  # fmt: skip
HEADERS: Final = ["Location", "Retry-After", "Date", "X-Pagination-Page-Count",
                  "X-Pagination-Total-Count", "Content-Encoding"]  # fmt: skip
REQUESTS_MAX: Final = 150
ANSWERS: Final = 10  # spoiled answers of one vendor


def response(chance: random.Random, body: Any) -> web.Response:
    """An answer around a spoiled body: other bytes, another status, odd headers."""
    choice = chance.random()
    if choice < 0.1:
        content = chance.choice(BODIES)
    elif choice < 0.2:
        content = values.damaged(chance, json.dumps(body).encode())
    else:
        content = json.dumps(values.spoiled(chance, body, times=chance.randrange(1, 4))).encode()
    status = 200 if chance.random() < 0.8 else chance.choice(STATUSES)
    headers = {}
    if chance.random() < 0.2:
        name = chance.choice(HEADERS)
        text = re.sub(r"[^\x20-\x7e]", "", values.text(chance))
        headers[name] = chance.choice(["-1", "0", "3", "x", "gzip", "Wed, 21 Oct 9999", text])
    return web.Response(status=status, body=content, headers=headers)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def run_readers(case: Case) -> None:
    """Poll one object while some of its answers are spoiled, and again when all are sound."""
    wire.run(_read(case))


async def _read(case: Case) -> None:
    while case.counted < case.size:
        system, kind, obj, _ = case.chance.choice(TARGETS)
        count = min(ANSWERS, case.size - case.counted)
        case.step(count)
        with case.guarded(lambda s=system, k=kind, o=obj: f"{s} {k} {o}"):
            await _poll_spoiled(case, system, kind, obj, count)


async def _poll_spoiled(case: Case, system: str, kind: str, obj: str, count: int) -> None:
    chance, left = case.chance, count
    vendor = ScriptedVendor(system, Ask(kind, obj, None), url="http://vendor")
    source = make_source(vendor, _folder())
    wire.connect(source._client, vendor.answer)
    source._client._auth = StaticToken("t-0123")
    shown: list[str] = []

    def spoil(body: Any) -> Any:
        nonlocal left
        if left <= 0 or chance.random() < 0.2:
            return body
        left -= 1
        answer = response(chance, body)
        shown.append(f"{answer.status} {dict(answer.headers)} {answer.body!r:.300}")
        return answer

    vendor.change = spoil
    obj = obj or "customer"
    logs = {obj: MemoryLog()}
    clock = Clock(datetime.now(UTC))
    ends = await poll_all(vendor, source, logs, clock, 3)
    case.expect(
        len(vendor.asked) < REQUESTS_MAX, Kind.HANG, lambda: f"{shown}", f"{system}: endless paging"
    )
    for error in ends[obj]:
        case.expect(
            error is None or verdict_on(error) is not None,
            Kind.CRASH,
            lambda e=error: f"{system} {kind} {obj}: {e!r} ends the process: {shown}",
            f"{system}: {type(error).__name__} ends the process",
        )
    vendor.change = lambda body: body
    # A row that was deleted by an answer that could be believed comes back by a sweep.
    clock.tick(3600 * 24 * 40)
    for _ in range(2):
        ends = await poll_all(vendor, source, logs, clock, 1)
        clock.tick(3600 * 24 * 40)
    case.expect(
        ends[obj] == [None] and ids_of(vendor, obj) <= set(logs[obj].state()),
        Kind.SILENT_DROP,
        lambda: f"{system} {kind} {obj}: {ends}, there are {sorted(logs[obj].state())}: {shown}",
        f"{system} {kind}: rows are missing once the vendor is sound again",
    )
    await source.close()


def run_tokens(case: Case) -> None:
    """Ask for a token and get any answer, over real HTTP."""
    wire.run(_ask_for_tokens(case))


async def _ask_for_tokens(case: Case) -> None:
    chance = case.chance
    sound = {"access_token": "token-0123", "expires_in": 3600, "token_type": "bearer"}
    refused = {"error": "invalid_grant", "error_description": "no"}

    async def answer(_: web.Request) -> web.Response:
        return response(chance, chance.choice([sound, refused]))

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    try:
        for _ in range(case.size):
            case.step()
            with case.guarded(lambda: "token"):
                try:
                    token = await request_token(
                        str(server.make_url("/token")), {"a": "b"}, system="vendor", lifetime_s=60
                    )
                    assert token.value.isascii() and 30 <= token.lifetime_s <= 86_400
                except (TransientError, AuthenticationError):
                    continue
    finally:
        await server.close()


PAYLOADS: Final[dict[str, dict[str, Any]]] = {
    "upsert_customer": {
        "customer_id": "cus-001", "name": "Acme", "country_code": "DE", "currency": "EUR",
        "tax_number": None, "correlation_id": "c",
    },
    "upsert_project": {
        "project_id": "eng-006-de", "name": "Deal", "customer_id": "cus-001",
        "legal_entity_id": "2", "currency": "EUR", "starts_on": "2026-03-02",
        "billing_type": "fixed_fee", "tax_code": "VAT", "service_lines": "build",
        "contract_value": "1000.000000", "correlation_id": "c", "seen_id": "8",
    },
    "delete_project": {"project_id": "eng-006-de"},
    "update_project_budget": {
        "project_id": "eng-006-de", "budget_cost": "1", "budget_revenue": "2",
        "budget_hours": "3.00", "budget_currency": "EUR",
    },
    "upsert_time_bill": {
        "time_bill_id": "tb-1", "project_id": "eng-006-de", "work_on": "2026-03-02",
        "hours": "8.00", "seconds": 28800, "bill_rate": "100.0000", "currency": "EUR",
        "time_entry_id": "inhouse:time_entry:1", "project_ref": "inhouse:project:1",
        "correlation_id": "c",
    },
    "delete_time_bill": {"time_bill_id": "tb-1"},
    "no_such_kind": {},
}  # fmt: skip

NO_PAYLOADS: Final = ["", "null", "[]", "NaN", "[" * 100_000, '{"a": ' * 5_000,
                      '{"a": 1e999999999}', "9" * 9999]  # fmt: skip
QUERIES: Final = "/services/rest/query/v1/suiteql"
CURRENCIES: Final = "SELECT id, symbol FROM currency ORDER BY id"
"""The one query of the NetSuite sink."""


def run_commands(case: Case) -> None:
    """Commands of any payload to each sink, answered soundly or in any other way."""
    wire.run(_dispatch(case))


async def _dispatch(case: Case) -> None:
    chance = case.chance
    asked: list[wire.Request] = []

    async def answer(request: wire.Request) -> web.Response:
        asked.append(request)
        row = {"project_id": 8, "project_code": "eng-006-de", "name": "x", "id": "8", "notes": "x"}
        is_list = request.path.endswith("/projects") and request.method == "GET"
        body: Any = chance.choice([[], [row]]) if is_list else row
        if request.path == QUERIES:
            body = {"items": [{"id": "3", "symbol": "EUR"}], "hasMore": False}
        if chance.random() < 0.5:
            return web.json_response(body, headers={"Location": "http://vendor/x/8"})
        return response(chance, body)

    sinks: dict[str, Any] = {}
    for name, policy in (("netsuite", NETSUITE), ("float", FLOAT)):
        client = VendorClient(
            "http://vendor", StaticToken("t-0123"), policy, user_agent="fuzz", timeout_s=5.0,
            limiter=Limiter(4),
        )  # fmt: skip
        wire.connect(client, answer)
        sinks[name] = (
            NetSuiteSink(client, project_expense_type="1")
            if name == "netsuite"
            else FloatSink(client)
        )
    for _ in range(case.size):
        case.step()
        asked.clear()
        target, kind = chance.choice(["netsuite", "float"]), chance.choice(list(PAYLOADS))
        if target == "float" and chance.random() < 0.9:
            kind = "upsert_project"
        payload = _payload(chance, PAYLOADS[kind])
        command = make_command(target=target, kind=kind, payload=payload)
        known_id = chance.choice([None, None, "8", "x", "²", "9" * 5000, "-1", ""])
        with case.guarded(lambda p=payload, k=kind, i=known_id: f"{k} {p!r:.500} known {i!r:.20}"):
            try:
                run = sinks[target].look if chance.random() < 0.3 else sinks[target].execute
                await run(command, known_id)
            except (TransientError, AuthenticationError, RecordError, UnreadableBodyError):
                pass
        _addresses(case, target, asked, payload)


def _payload(chance: random.Random, sound: dict[str, Any]) -> str:
    choice = chance.random()
    if choice < 0.05:
        return chance.choice(NO_PAYLOADS)
    document = values.spoiled(chance, sound, times=chance.randrange(1, 4))
    return json.dumps(document) if choice < 0.9 else json.dumps(document)[: chance.randrange(80)]


def _addresses(case: Case, target: str, asked: list[wire.Request], payload: str) -> None:
    """An id of a payload names one record, whatever it holds: never another place of the API."""
    for request in asked:
        parts = request.url.raw_path.split("/")
        if target == "netsuite" and request.path == QUERIES:
            is_own = json.loads(request.data or b"") == {"q": CURRENCIES}
        elif target == "netsuite":
            is_own = len(parts) == 7 and parts[1:5] == ["services", "rest", "record", "v1"]
            is_own = is_own and parts[6].startswith("eid:") and not request.url.query_string
        else:
            is_own = parts[1:3] == ["v3", "projects"] and len(parts) in (3, 4)
        case.expect(
            is_own and not request.url.fragment,
            Kind.DISAGREEMENT,
            lambda r=request: f"{r.method} {r.url} for {payload:.500}",
            f"{target}: a payload chooses the address",
        )
