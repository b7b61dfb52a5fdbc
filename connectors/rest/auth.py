"""Credentials of a declared API: the keys of the connector file that it takes, and their use."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from connectors.rest.declaration import ApiKeyAuth, BasicAuth, BearerAuth
from runtime.secrets import remember

TAKES: Final[Mapping[type, frozenset[str]]] = {
    BearerAuth: frozenset({"auth.token"}),
    ApiKeyAuth: frozenset({"auth.token"}),
    BasicAuth: frozenset({"auth.username", "auth.password"}),
}
"""Keys of the connector file by kind of `auth`: all of them, and no others."""


class StaticHeaders:
    """Authenticator on headers that hold until somebody replaces them."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        for value in headers.values():
            remember(value)
        self._headers = headers

    async def headers(self) -> Mapping[str, str]:
        """Return the headers."""
        return self._headers

    def invalidate(self) -> None:
        """Do nothing: there are no others to ask for."""


def basic(username: str, password: str) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"
