"""Answers of every shape to every request of the sinks, over real HTTP. B2."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp import web

from connectors.dispatch.answers import NAME_LENGTH, Answer, read_answer, shape_of
from connectors.dispatch.commands import Command
from connectors.dispatch.sink import Sink
from connectors.toolkit.faults import UnclearAnswerError, UnreadableBodyError
from connectors.toolkit.http import Limiter, VendorClient
from connectors.vendors.float.auth import POLICY as FLOAT
from connectors.vendors.float.auth import StaticToken
from connectors.vendors.float.sink import FloatSink
from connectors.vendors.netsuite.auth import POLICY as NETSUITE
from connectors.vendors.netsuite.sink import NetSuiteSink
from schemas.errors import TransientError
from tests.support.commands import project_content
from tests.support.sinks import make_command

pytestmark = pytest.mark.asyncio

PLAN: Final = project_content("e-de", "n")
ROW: Final = {"name": "old", "project_code": "e-de", "start_date": "2026-03-02", "notes": "x"}
BUDGET: Final = {
    "project_id": "e-de",
    "budget_hours": "1",
    "budget_cost": "1",
    "budget_revenue": "1",
    "budget_currency": "EUR",
}

SHAPES: Final[dict[str, bytes]] = {
    "empty": b"",
    "blank": b" \r\n",
    "null": b"null",
    "truth value": b"true",
    "number": b"7",
    "not a number": b"NaN",
    "text": b'"x"',
    "object without fields": b"{}",
    "list of nothing": b"[]",
    "list of null": b"[null]",
    "list of lists": b"[[]]",
    "list of numbers": b"[7]",
    "id null": b'{"project_id": null, "id": null}',
    "id text": b'{"project_id": "x", "id": []}',
    "id truth value": b'{"project_id": true, "id": true}',
    "id negative": b'{"project_id": -1, "id": {}}',
    "id fraction": b'{"project_id": 1.5, "id": 1.5}',
    "id object": b'{"project_id": {"id": 8}, "id": {"id": 8}}',
    "another id": b'{"project_id": 9}',
    "wrapped": b'{"data": {"project_id": 8}}',
    "error with 200": b'{"error": "maintenance"}',
    "list of fault codes": b'{"o:errorDetails": [{"o:errorCode": ["X"]}]}',
    "html": b"<html>maintenance</html>",
    "half": b'{"project_id": 8, "na',
    "not utf-8": b"\xff\xfe{",
}
HEADERS: Final = ["x", "-1", "", "1.5", "99999999999", "NaN", "2 x"]


class Vendor:
    """Answers with the rows it holds, but for one kind of request with the given bytes."""

    def __init__(self, method: str, is_list: bool, body: bytes, headers: dict[str, str]) -> None:
        self._odd = (method, is_list)
        self._body = body
        self._headers = headers
        self.holds = True

    async def __call__(self, request: web.Request) -> web.Response:
        is_list = request.path.endswith("/projects")
        if (request.method, is_list) == self._odd:
            status = 201 if request.method == "POST" else 200
            return web.Response(status=status, body=self._body, headers=self._headers)
        row = {**ROW, "project_id": 8, "id": "8"}
        rows: list[Any] = [row] if self.holds else []
        answer = rows if request.method == "GET" and is_list else row
        return web.Response(body=json.dumps(answer), content_type="application/json")


@asynccontextmanager
async def running(vendor: Vendor, policy: Any) -> AsyncIterator[VendorClient]:
    server = web.Server(vendor)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    client = VendorClient(
        f"http://{host}:{port}",
        StaticToken("t"),
        policy,
        user_agent="test",
        timeout_s=5.0,
        limiter=Limiter(4),
    )
    async with client:
        yield client
    await runner.cleanup()


async def carry_out(
    sink: Sink, command: Command, operation: str
) -> TransientError | UnreadableBodyError | None:
    """Run the operation; anything but success and what dispatch repeats fails the test."""
    try:
        if operation == "look":
            await sink.look(command, None)
        else:
            await sink.execute(command, None)
    except (TransientError, UnreadableBodyError) as error:
        return error
    return None


FLOAT_REQUESTS: Final = {
    "list": ("GET", True, True, "execute"),
    "read": ("GET", False, True, "execute"),
    "create": ("POST", True, False, "execute"),
    "change": ("PATCH", False, True, "execute"),
    "look": ("GET", False, True, "look"),
}
SOUND: Final = {("list", "list of nothing")}


@pytest.mark.fault("B2", place="connectors/dispatch/answers.py")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("request_", FLOAT_REQUESTS)
async def test_b2_float_may_answer_in_any_shape(request_: str, shape: str) -> None:
    method, is_list, holds, operation = FLOAT_REQUESTS[request_]
    vendor = Vendor(method, is_list, SHAPES[shape], {})
    vendor.holds = holds
    command = make_command(kind="upsert_project", payload=json.dumps(PLAN))
    async with running(vendor, FLOAT) as client:
        error = await carry_out(FloatSink(client), command, operation)

    if (request_, shape) in SOUND or (request_, shape) == ("create", "another id"):
        assert error is None
    else:
        assert error is not None
        is_unknown = isinstance(error, TransientError) and error.outcome_unknown
        assert is_unknown is (method != "GET")


@pytest.mark.fault("B2", place="connectors/vendors/float/sink.py")
@pytest.mark.parametrize("count", HEADERS)
async def test_b2_float_may_count_its_pages_in_any_shape(count: str) -> None:
    vendor = Vendor("GET", True, b"[]", {"X-Pagination-Page-Count": count})
    command = make_command(kind="upsert_project", payload=json.dumps(PLAN))
    async with running(vendor, FLOAT) as client:
        error = await carry_out(FloatSink(client), command, "execute")

    assert error is not None
    assert "page_count" in str(error)


@pytest.mark.fault("B2", place="connectors/dispatch/answers.py")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["update_project_budget", "delete_time_bill"])
@pytest.mark.parametrize("operation", ["execute", "look"])
async def test_b2_netsuite_may_answer_in_any_shape(operation: str, kind: str, shape: str) -> None:
    """A write is answered by its status alone; what cannot be read leaves its outcome unknown."""
    method = {"update_project_budget": "PATCH", "delete_time_bill": "DELETE"}[kind]
    vendor = Vendor("GET" if operation == "look" else method, False, SHAPES[shape], {})
    command = make_command(kind=kind, payload=json.dumps({**BUDGET, "time_bill_id": "t"}))
    async with running(vendor, NETSUITE) as client:
        error = await carry_out(NetSuiteSink(client, project_expense_type="1"), command, operation)

    if operation == "execute":
        assert error is None or (isinstance(error, TransientError) and error.outcome_unknown)
    elif kind == "update_project_budget":
        assert error is not None


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (None, "an empty body"),
        ([1, 2], "a list of 2"),
        ({}, "an object without fields"),
        ({"secret": "x"}, "an object with secret"),
        ({str(n): n for n in range(5)}, "an object with 0, 1, 2, 3, 4"),
        ({str(n): n for n in range(6)}, "an object with 0, 1, 2, 3, 4, …"),
        ({str(n): n for n in range(9)}, "an object with 0, 1, 2, 3, 4, …"),
        ({"x" * 99: 1}, "an object with " + "x" * 40),
        (True, "a truth value"),
        (1, "a number"),
        ("x", "a text"),
    ],
)
async def test_a_shape_is_told_without_its_content(value: object, shape: str) -> None:
    assert shape_of(value) == shape


class Plan(Answer):
    number: int
    names: dict[str, int]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "a list of 0; the body: "),
        ({"number": "secret", "names": {}}, "an object with number, names; number: "),
        ({"number": "secret", "names": "secret"}, "an object with number, names; number: "),
        (
            {"number": 1, "names": {"n" * 99: "secret"}},
            f"an object with number, names; names.{'n' * NAME_LENGTH}: ",
        ),
    ],
)
async def test_the_first_field_that_is_wrong_is_told_without_its_content(
    body: object, told: str
) -> None:
    with pytest.raises(UnclearAnswerError) as caught:
        read_answer(Plan, body, system="erp", is_read=True)
    assert f"unexpected shape: {told}Input should be a valid" in str(caught.value)
    assert "secret" not in f"{caught.value!r} {caught.value.context}"
    assert caught.value.context["system"] == "erp"


@pytest.mark.parametrize("is_read", [True, False])
async def test_after_a_read_nothing_is_unknown(is_read: bool) -> None:
    with pytest.raises(UnclearAnswerError) as caught:
        read_answer(Plan, None, system="erp", is_read=is_read)
    assert caught.value.outcome_unknown is not is_read
