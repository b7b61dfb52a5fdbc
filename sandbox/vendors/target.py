"""A vendor of the twin as a target of the conformance suite: in its process, without a server.

Each vendor that is written to has its class in `sandbox/vendors/<vendor>/target.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from aiohttp import web
from starlette.types import ASGIApp, Message

from sandbox.vendors import wire
from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import ENVIRONMENT_FILE, make_credentials, write_credentials
from sandbox.vendors.secret import Credentials


@lru_cache(maxsize=1)
def _credentials() -> Credentials:
    """Keys take a second to make: one set serves all targets of a process."""
    return make_credentials()


class TwinTarget:
    """One vendor of the twin: it takes requests, and tells what it holds and how often it wrote."""

    vendor: ClassVar[str]
    tables: ClassVar[Mapping[str, str | None]]
    """What we write: by table the field in which a row bears our id, None where it bears none.

    Below lists and objects its parts are separated by dots; the id may be the last word of a text.
    """

    given: ClassVar[tuple[str, Mapping[str, object], str] | None] = None
    """What people make, of whose `deal_id` commands are: its table, a row and the field of its id.

    Of a vendor at which we make no record.
    """

    def __init__(self, url: str, directory: Path) -> None:
        """`url` is where its requests come to; keys are written to the directory."""
        self._app = create_app(base_url=url, seed=1, credentials=_credentials())
        write_credentials(directory, url, _credentials())
        self.environment: Mapping[str, str] = wire.loads(
            (directory / ENVIRONMENT_FILE).read_bytes()
        )
        self.url = f"{url}/{self.vendor}"

    async def prepare(self) -> None:
        """Lift what counts requests over time; then what people set up before a command comes."""
        await self.admin("DELETE", f"/{self.vendor}/limits")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        status, headers, body = await ask(
            self._app,
            request.method,
            request.path,
            await request.read(),
            query=request.query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        kept = {name: value for name, value in headers.items() if name != "content-length"}
        return web.Response(status=status, headers=kept, body=body)

    async def effects(self) -> int:
        """How many writes it carried out."""
        return len(await self.admin("GET", "/effects"))

    async def records(self) -> Mapping[str, int]:
        """How many records it holds, by type."""
        books = (await self.admin("GET", "/books"))[self.vendor]
        return {table: len(books[table]) for table in self.tables}

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        """Ask the admin API."""
        content = b"" if body is None else wire.dumps(body)
        status, _, found = await ask(self._app, method, f"/admin{path}", content)
        assert status < 300, found
        return wire.loads(found) if found else None


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    body: bytes,
    *,
    query: str = "",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, dict[str, str], bytes]:
    """Ask an application once: status, headers by lower-case name, and body of its answer."""
    answer: dict[str, Any] = {"status": 0, "headers": []}
    content = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.update(message)
        else:
            content.extend(message.get("body", b""))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in answer["headers"]}
    return answer["status"], found, bytes(content)
