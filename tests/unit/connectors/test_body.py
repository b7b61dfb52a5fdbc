"""Bodies: size before and after unpacking, depth, count, numbers; and any bytes a socket gives."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors.polled.conversion import converter
from connectors.toolkit.body import (
    ROWS,
    SEVERAL,
    Bounds,
    UnusableBodyError,
    dump_json,
    parse_json,
)
from connectors.toolkit.faults import UnreadableBodyError, VendorUnavailableError
from connectors.toolkit.http import Limiter, Response, RetrySettings, VendorClient
from connectors.vendors.netsuite.auth import POLICY
from schemas.errors import PsaStreamError
from tests.support.examples import examples
from tests.support.vendor_server import NoCredentials, serving, vendor_at

PLACE = "connectors/toolkit/body.py"
ONCE = RetrySettings(attempts=1)
SMALL = Bounds(size_bytes=100_000, values=1_000, depth=8)


def client_at(url: str, bounds: Bounds | None = None, timeout_s: float = 30) -> VendorClient:
    return VendorClient(
        url, NoCredentials(), POLICY,
        user_agent="t", timeout_s=timeout_s, limiter=Limiter(4), retry=ONCE, bounds=bounds,
    )  # fmt: skip


async def ask(
    url: str, method: str = "GET", *, bounds: Bounds | None = None, timeout_s: float = 30
) -> Response | Exception:
    async with client_at(url, bounds, timeout_s) as client:
        try:
            return await client.request(method, "/x", json=None, retry=False)
        except PsaStreamError as error:
            return error


def got(
    body: bytes, *, encoding: str | None = None, method: str = "GET", bounds: Bounds = SMALL
) -> Response | Exception:
    headers = {"Content-Encoding": encoding} if encoding else {}

    async def call() -> Response | Exception:
        async with vendor_at(web.Response(body=body, headers=headers)) as url:
            return await ask(url, method, bounds=bounds)

    return asyncio.run(call())


@pytest.mark.fault("D2", place=PLACE)
def test_d2_a_small_body_that_unpacks_to_a_gibibyte_is_refused_in_little_memory() -> None:
    bomb = gzip.compress(b"0" * 2**21) * 300
    assert len(bomb) < 700_000

    tracemalloc.start()
    answer = got(bomb, encoding="gzip", bounds=Bounds())
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(answer, UnreadableBodyError)
    assert "more than 16777216 bytes" in answer.detail
    assert peak_bytes < 80 * 2**20


@pytest.mark.fault("D2", place=PLACE)
def test_d2_the_event_loop_goes_on_while_a_large_body_is_parsed() -> None:
    rows = [{f"field_{number}": number for number in range(30)} for _ in range(4_000)]
    body = json.dumps(rows).encode()

    async def call() -> tuple[Response | Exception, int]:
        turns = 0
        async with vendor_at(web.Response(body=body)) as url:
            asking = asyncio.create_task(ask(url, bounds=Bounds()))
            while not asking.done():
                turns += 1
                await asyncio.sleep(0.001)
            return await asking, turns

    answer, turns = asyncio.run(call())
    assert isinstance(answer, Response)
    assert answer.body == rows
    assert turns > 5, "the loop was held up until the body was parsed"


@pytest.mark.fault("D2", place=PLACE)
@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b" " * 100_001, None),
        (gzip.compress(b" " * 100_001), "gzip"),
        (gzip.compress(b'"' + b" " * 60_000) + gzip.compress(b" " * 60_000 + b'"'), "gzip"),
        (gzip.compress(b"[1]")[:-3], "gzip"),
        (b"[1]", "gzip"),
        (gzip.compress(b"[1]") + b"tail", "gzip"),
        (zlib.compress(b"[1]"), "deflate"),
        (b"[1]", "br"),
        (gzip.compress(gzip.compress(b"[1]")), "gzip, gzip"),
        (b"[" * 2000, None),
        (b"[" * 9 + b"]" * 9, None),
        (b'{"a":' * 5000, None),
        (b"[" + b"0," * 2000 + b"0]", None),
        (b"[[],[" + b"[]," * 1200 + b"[]]]", None),
        (b'{"id": 1, "id": 2}', None),
        (b'{"name": "\xff\xfe"}', None),
        ('{"id": 1}'.encode("utf-16"), None),
        (b"<html>", None),
        (b"[1] [2]", None),
    ],
)
def test_d2_a_body_out_of_bounds_is_unreadable_or_an_unknown_outcome(
    body: bytes, encoding: str | None, method: str
) -> None:
    answer = got(body, encoding=encoding, method=method)
    if method == "GET":
        assert isinstance(answer, UnreadableBodyError)
    else:
        assert isinstance(answer, VendorUnavailableError)
        assert answer.outcome_unknown


@pytest.mark.parametrize(
    ("body", "encoding", "value"),
    [
        (gzip.compress(b'{"a": 1}'), "gzip", {"a": 1}),
        (gzip.compress(b'{"a"') + gzip.compress(b": 1}"), "GZIP", {"a": 1}),
        (b"[2]", "identity", [2]),
        (b"\xef\xbb\xbf[1]", None, [1]),
        (b"", "gzip", None),
        (b"  \n", None, None),
        (b"[" * 8 + b"]" * 8, None, [[[[[[[[]]]]]]]]),
    ],
)
def test_bodies_within_bounds_are_read(body: bytes, encoding: str | None, value: object) -> None:
    answer = got(body, encoding=encoding)
    assert isinstance(answer, Response)
    assert answer.body == value


@pytest.mark.fault("D2", place=PLACE)
def test_d2_a_body_that_never_ends_is_given_up_at_the_time_out() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1_000):
            await response.write(b" ")
            await asyncio.sleep(0.01)
        return response

    async def call() -> Response | Exception:
        async with serving(drip) as url:
            return await ask(url, timeout_s=0.2)

    assert isinstance(asyncio.run(call()), VendorUnavailableError)


@pytest.mark.fault("B3", place=PLACE)
def test_b3_a_bomb_in_depth_is_an_error_of_the_page() -> None:
    for opening in (b"[", b'{"a":'):
        with pytest.raises(UnusableBodyError):
            parse_json(opening * 100_000)


@pytest.mark.fault("B3", place=PLACE)
@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("closing", ["1", "[]", "{}"])
def test_b3_what_nests_as_deep_as_may_be_is_read_and_one_level_more_is_not(
    opening: str, closing: str
) -> None:
    depth = SMALL.depth - (closing != "1")

    def nested(depth: int) -> bytes:
        shut = "]" if opening == "[" else "}"
        return f"[7, {opening * (depth - 1)}{closing}{shut * (depth - 1)}]".encode()

    assert parse_json(nested(depth), SMALL)[0] == 7
    with pytest.raises(UnusableBodyError, match="nested more than 8 deep"):
        parse_json(nested(depth + 1), SMALL)


A_FLOATS_TENTH = Decimal("0.1000000000000000055511151231257827021181583404541015625")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.50", Decimal("1.50")),
        ("1e3", Decimal(1000)),
        ("-0.1", Decimal("-0.1")),
        ("12345678901234567890", 12345678901234567890),
        ("0.1000000000000000055511151231257827021181583404541015625", A_FLOATS_TENTH),
        ("1e999999999", "1e999999999"),
        ("1e-999999999", "1e-999999999"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("9" * 5000, "9" * 5000),
        ("0." + "1" * 5000, "0." + "1" * 5000),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
    ],
)
def test_numbers_are_exact_and_those_no_contract_holds_stay_text(text: str, value: object) -> None:
    [number] = parse_json(f"[{text}]".encode())
    assert (number, type(number)) == (value, type(value))


@pytest.mark.fault("D2", place=PLACE)
@given(digits=st.integers(-(10**70), 10**70), exponent=st.integers(-(10**12), 10**12))
@example(digits=0, exponent=999_999_999)
def test_d2_any_number_is_converted_or_refused_at_once(digits: int, exponent: int) -> None:
    [number] = parse_json(f"[{digits}e{exponent}]".encode())
    convert = converter({"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9})
    try:
        converted = convert(number)
    except ValueError:
        return
    assert isinstance(converted, Decimal)
    assert len(dump_json({"n": converted})) < 100


ANY_VALUE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**50), 10**50), st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=15,
)  # fmt: skip


def _without_halves(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.fault("B3", place="connectors/toolkit/body.py")
def test_b3_commas_and_brackets_in_a_text_are_no_values() -> None:
    text = 'a,[{\\"' * 400 + "\\\\"
    assert parse_json(json.dumps([text, 1]).encode(), SMALL) == [text, 1]
    for more in ([text, *range(1_000)], [text, [[]] * 500]):
        with pytest.raises(UnusableBodyError, match="more than 1000 values"):
            parse_json(json.dumps(more).encode(), SMALL)


@pytest.mark.fault("D2", place="connectors/toolkit/body.py")
@pytest.mark.parametrize("tail", [b'\\"', b'"', b"\\", b'",', b"x,"])
def test_d2_open_texts_are_looked_through_once(tail: bytes) -> None:
    with pytest.raises(UnusableBodyError):
        parse_json(b'["' + b"," * 1_000 + tail * 500_000, Bounds(values=100))


@pytest.mark.fault("B3", place="connectors/toolkit/body.py")
def test_b3_a_name_that_is_there_twice_is_an_error_unless_rows_are_read() -> None:
    page = b'{"items": [{"id": "1", "a": {"b": 1, "b": 2}}, {"id": "2", "id": "2"}], "more": false}'
    with pytest.raises(UnusableBodyError, match="a name occurs twice"):
        parse_json(page)
    assert parse_json(page, ROWS) == {
        "items": [{"id": "1", "a": {"b": SEVERAL}}, {"id": SEVERAL}],
        "more": False,
    }


@given(value=ANY_VALUE.filter(_without_halves))
def test_what_python_writes_is_read_back(value: object) -> None:
    assert parse_json(json.dumps(value).encode(), Bounds(depth=40)) == value


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=80).map(lambda it: it.encode("utf-8", "surrogatepass")),
    )
)
def test_any_bytes_are_parsed_or_unusable(data: bytes) -> None:
    try:
        parse_json(data, SMALL)
    except UnusableBodyError as error:
        assert data[:40].decode("latin-1") not in str(error) or len(data) < 5


STATUSES = st.one_of(st.integers(200, 599).map(str), st.sampled_from(["", "2", "20x", "-1", "999"]))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["Content-Length", "Content-Encoding", "Content-Type", "Transfer-Encoding", "Date",
             "Retry-After", "Location", "X-Pagination-Page-Count", "Set-Cookie", "\x00", ""]
        ),
        st.one_of(
            st.sampled_from(
                ["0", "5", "-1", "99999999999999999999", "gzip", "gzip, br", "chunked", "identity",
                 "application/json; charset=klingon", "text/html",
                 "Mon, 01 Jan 0001 00:00:00 +2359",
                 "Fri, 31 Dec 9999 23:59:59 -2359", "http://other.example/", "\xff",
                 "a=b; Max-Age=x"]
            ),
            st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
        ),
    ),
    max_size=5,
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"{}", b"[]", b"null", b"[" * 500, gzip.compress(b"[1]"), b"5\r\n[1,2]\r\n0\r\n\r\n",
         b"ZZ\r\n", b'{"o:errorDetails": [[{}]]}', b'{"o:errorDetails": [{"o:errorCode": [1]}]}']
    ),
)  # fmt: skip


@asynccontextmanager
async def speaking(reply: bytes) -> AsyncIterator[str]:
    """The base URL of a socket that answers any request with these bytes and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.fault("D2", place=PLACE)
@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    status=STATUSES, headers=HEADERS, body=BODIES, method=st.sampled_from(["GET", "PUT"]),
    version=st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/9", "ICY", ""]),
)  # fmt: skip
def test_d2_whatever_a_socket_says_is_an_answer_or_a_documented_error(
    status: str, headers: list[tuple[str, str]], body: bytes, method: str, version: str
) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    reply = f"{version} {status} OK\r\n{head}\r\n".encode("latin-1") + body

    async def call() -> Response | Exception:
        async with speaking(reply) as url:
            return await ask(url, method, bounds=SMALL, timeout_s=2)

    answer = asyncio.run(call())
    if isinstance(answer, Response):
        assert answer.server_at is None or answer.server_at.tzinfo is UTC
    else:
        assert isinstance(answer, PsaStreamError)


@given(
    text=st.one_of(
        st.text(max_size=30), st.datetimes().map(lambda it: f"{it:%a, %d %b %Y %H:%M:%S} GMT")
    )
)
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_any_date_header_is_an_instant_or_none(text: str) -> None:
    at = Response(200, {"Date": text}, None).server_at
    assert at is None or isinstance(at, datetime)
