"""A cached OAuth token: fetched when needed, renewed before it ends, dropped when refused.

How a vendor's token request looks is the vendor folder's business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from connectors.http import parse_json
from schemas.errors import AuthenticationError, TransientError

_TOKEN_TIMEOUT = aiohttp.ClientTimeout(total=30.0)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and how long to use it."""

    value: str
    lifetime_s: float


class BearerToken:
    """Authenticator on a token that `fetch` gets; concurrent callers share one fetch."""

    def __init__(self, fetch: Callable[[], Awaitable[Token]]) -> None:
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._renew_at_s = 0.0

    async def headers(self) -> Mapping[str, str]:
        """Return the Authorization header. Raises AuthenticationError, TransientError."""
        async with self._lock:
            if self._token is None or time.monotonic() >= self._renew_at_s:
                self._token = await self._fetch()
                self._renew_at_s = time.monotonic() + 0.9 * self._token.lifetime_s
            return {"Authorization": f"Bearer {self._token.value}"}

    def invalidate(self) -> None:
        """Forget the token."""
        self._token = None


async def request_token(url: str, form: Mapping[str, str], *, system: str) -> Mapping[str, Any]:
    """POST a token request and return the answer.

    Raises AuthenticationError when the vendor refuses (4xx), TransientError when it does not
    answer. Neither carries the request, which holds a credential.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=_TOKEN_TIMEOUT) as session,
            session.post(url, data=form, headers={"Accept": "application/json"}) as answer,
        ):
            status, content = answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        detail = f"{system}: token endpoint does not answer ({type(error).__name__})"
        raise TransientError(detail) from error
    if status >= 500 or status in {408, 429}:
        raise TransientError(f"{system}: token endpoint answered {status}")
    try:
        body = parse_json(content)
    except ValueError as error:
        raise TransientError(f"{system}: token endpoint sent no JSON") from error
    if status != 200 or not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
        reason = body.get("error") if isinstance(body, dict) else None
        raise AuthenticationError(
            f"{system} refuses the credentials: {reason or status}",
            hint="check client id, key, certificate mapping and the user's pre-authorisation",
        )
    return body
