"""Spans of requests to vendors, below whatever is traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from runtime.tracing import Attribute, tracing

Answered = Callable[[int], None]
"""Takes in the status of the answer."""


@contextmanager
def request_span(system: str, method: str, base_url: str) -> Iterator[Answered]:
    """Make the span of a request, where it is for something that is traced.

    It names the host and not the path, which may hold keys and names. The vendor is sent nothing of
    it: an id of ours is no business of strangers.
    """
    made = tracing()
    if made is None or made.current() is None:
        yield lambda _: None
        return
    at = urlsplit(base_url)
    attributes: dict[str, Attribute] = {
        "http.request.method": method,
        "server.address": at.hostname or "",
        "psastream.system": system,
    }
    if at.port is not None:
        attributes["server.port"] = at.port
    span = made.start_child(method, "CLIENT", attributes)

    def answered(status: int) -> None:
        span.set_attribute("http.response.status_code", status)
        if status >= 400:
            made.failed(span, str(status))

    try:
        yield answered
    except BaseException as error:
        made.failed(span, error)
        raise
    finally:
        span.end()
