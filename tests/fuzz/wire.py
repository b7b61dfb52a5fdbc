"""The wire without sockets: what a vendor's client believes to be an HTTP session.

Only aiohttp is stood in for; the client, its error table and its readers are the product's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import CIMultiDict
from yarl import URL


@dataclass(frozen=True)
class Request:
    """What a handler of `aiohttp.web` reads of a request."""

    method: str
    url: URL
    query: Mapping[str, str]
    data: bytes | None

    @property
    def path(self) -> str:
        return self.url.path

    async def json(self) -> Any:
        return json.loads(self.data or b"null")


class _Content:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), size):
            yield self._body[start : start + size]


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: CIMultiDict[str]
    content: _Content


Handler = Callable[[Any], Awaitable[web.Response]]


class Session:
    """Answers requests by a handler, as `aiohttp.ClientSession.request` would."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        **_: Any,
    ) -> AsyncIterator[_Answer]:
        address = URL(url)
        if params is not None:
            address = address.update_query(params)  # checks them as aiohttp does
        answer = await self._handler(Request(method, address, address.query, data))
        body = answer.body or b""
        assert isinstance(body, bytes)
        yield _Answer(answer.status, answer.headers, _Content(body))

    async def close(self) -> None:
        """Nothing is open."""


def connect(client: Any, handler: Handler) -> None:
    """Have a client of the product speak to a handler."""
    client._session = Session(handler)


def run(work: Awaitable[Any]) -> Any:
    """Run to the end in a loop of its own."""

    async def main() -> Any:
        return await work

    return asyncio.run(main())
