"""Serves the twin over HTTP on 127.0.0.1, with connections that faults can drop."""

from __future__ import annotations

from asyncio import Transport
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.vendors.faults import ABORT_EXTENSION

KEEP_ALIVE_S: Final = 75
"""How long an idle connection stays open, as by the default of nginx's `keepalive_timeout`
(https://nginx.org/en/docs/http/ngx_http_core_module.html): a client that stood still for seconds
still reaches the vendor."""


class _AbortableProtocol(H11Protocol):
    """Hands every request the means to drop its connection without an answer."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app: ASGIApp = self.app

        async def abortable(scope: Scope, receive: Receive, send: Send) -> None:
            extensions = {**scope.get("extensions", {}), ABORT_EXTENSION: self.transport.abort}
            await app({**scope, "extensions": extensions}, receive, send)

        self.app: Any = abortable


def serve(app: ASGIApp, *, port: int) -> None:
    """Serve until stopped."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        http=_AbortableProtocol,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
