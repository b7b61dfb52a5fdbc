"""A vendor of a few answers on a real socket, for tests of the HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class NoCredentials:
    """An authenticator that needs none."""

    async def headers(self) -> Mapping[str, str]:
        return {}

    def invalidate(self) -> None:
        """There is nothing to forget."""


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The base URL of a server whose every path is answered by `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def vendor_at(*answers: web.Response) -> AsyncIterator[str]:
    """The base URL of a server that gives each answer once and then the last for ever."""
    given = iter(answers)
    last = answers[-1]

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = next(given, last)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async with serving(handle) as url:
        yield url
