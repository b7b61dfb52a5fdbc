"""Vendors' clients that nobody here wrote, led to a simulated vendor in this process."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from starlette.testclient import TestClient


class TwinAdapter(BaseAdapter):
    """Answers the requests of a `requests` session, whatever their host, from one twin."""

    def __init__(self, twin: TestClient, vendor: str) -> None:
        super().__init__()
        self._twin = twin
        self._vendor = vendor
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """Pass one request on and return its answer as `requests` gives it."""
        self.sent.append(request)
        parts = urlsplit(request.url or "")
        path = parts.path.removeprefix(f"/{self._vendor}")
        answer = self._twin.request(
            request.method or "GET",
            f"/{self._vendor}{path}" + (f"?{parts.query}" if parts.query else ""),
            headers=dict(request.headers),
            content=request.body,
        )
        response = requests.Response()
        response.status_code = answer.status_code
        response.headers = CaseInsensitiveDict(answer.headers)
        response._content = answer.content
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """There is nothing to close."""


def session_on(twin: TestClient, vendor: str) -> tuple[requests.Session, TwinAdapter]:
    """A session all of whose requests go to the twin, and what notes them."""
    adapter = TwinAdapter(twin, vendor)
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session, adapter
