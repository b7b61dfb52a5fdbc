"""The HTTP port of a process: `/metrics` for Prometheus, `/livez` and `/readyz` for who runs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app

from runtime.certificates import watch_certificates
from runtime.settings import Settings
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Check = Callable[[], bool]
Reasons = Callable[[], Sequence[str]]


class Scrapes:
    """Tells when Prometheus has taken what a process serves."""

    def __init__(self) -> None:
        self._has_sent = threading.Event()

    def sent(self) -> None:
        """Note that a page of metrics was sent."""
        self._has_sent.set()

    def wait_for_next(self, timeout_s: float) -> bool:
        """Block until a page has been sent from now on; False where none was in time."""
        self._has_sent.clear()
        return self._has_sent.wait(timeout_s)


class _Page(list[bytes]):
    """A page of metrics; the server closes it once it is sent."""

    def __init__(self, content: Iterable[bytes], scrapes: Scrapes) -> None:
        super().__init__(content)
        self._scrapes = scrapes

    def close(self) -> None:
        self._scrapes.sent()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape is not an event."""


def serve_process(
    settings: Settings, *, checks: Mapping[str, Check], reasons: Reasons = tuple
) -> Scrapes:
    """As `serve_metrics`, where the settings say, with what every process tells of itself."""
    if settings.metrics_port:
        watch_certificates(settings)
    return serve_metrics(
        settings.metrics_port, host=settings.metrics_host, checks=checks, reasons=reasons
    )


def serve_metrics(
    port: int,
    *,
    host: str = "127.0.0.1",
    registry: CollectorRegistry = REGISTRY,
    checks: Mapping[str, Check] | None = None,
    reasons: Reasons = tuple,
) -> Scrapes:
    """Serve `/metrics`, and `/<name>` for each check: 200 while it holds, else 503.

    The body of a 503 is what `reasons` says, a line each. Any other path is 404: a probe of a path
    that nobody answers must fail. Runs on daemon threads until the process ends; port 0 serves
    nothing. Raises ConfigError where the port is taken.
    """
    scrapes = Scrapes()
    if not port:
        return scrapes
    metrics = make_wsgi_app(registry)
    named = {f"/{name}": check for name, check in (checks or {}).items()}

    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environment.get("PATH_INFO", "")
        if path == "/metrics":
            return _Page(metrics(environment, start), scrapes)
        check = named.get(path)
        if check is None:
            status = HTTPStatus.NOT_FOUND
        else:
            status = HTTPStatus.OK if check() else HTTPStatus.SERVICE_UNAVAILABLE
        start(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        said = reasons() if status is HTTPStatus.SERVICE_UNAVAILABLE else ()
        return [f"{line}\n".encode(errors="replace") for line in said or (status.phrase,)]

    try:
        server = make_server(host, port, answer, server_class=_Server, handler_class=_QuietHandler)
    except OSError as error:
        raise ConfigError(
            f"the metrics port cannot be served at {host}:{port}: {error.strerror or error}",
            hint="choose another PSASTREAM_METRICS_PORT or PSASTREAM_METRICS_HOST; 0 serves none",
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return scrapes
