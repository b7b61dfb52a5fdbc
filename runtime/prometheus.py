"""The metrics port of a process."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server


def serve_metrics(port: int, *, host: str = "", registry: CollectorRegistry = REGISTRY) -> None:
    """Serve `/metrics` from a daemon thread; port 0 serves nothing. Raises OSError if taken."""
    if port:
        start_http_server(port, addr=host or "0.0.0.0", registry=registry)  # noqa: S104 - scraped from outside the pod
