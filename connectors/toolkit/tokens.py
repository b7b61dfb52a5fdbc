"""A cached OAuth token: fetched when needed, renewed before it ends, dropped when refused.

How a vendor's token request looks is the vendor folder's business.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import aiohttp
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from connectors.toolkit.body import (
    ACCEPT_ENCODING,
    Bounds,
    UnusableBodyError,
    parse_json,
    read_body,
)
from runtime.secrets import forget, remember
from runtime.sign_ins import sign_in_failed, signs_in_at
from runtime.tls import explain
from schemas.errors import AuthenticationError, PsaStreamError, TransientError

_TOKEN_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)
_BOUNDS: Final = Bounds(size_bytes=64 * 1024, values=1_000, depth=8)
_LIFETIME_MIN_S: Final = 30.0
_LIFETIME_MAX_S: Final = 86_400.0
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
"""What may follow `Bearer` in a header: RFC 6750, 2.1, with room for vendors' own characters."""
_REASON: Final = re.compile(r"[a-z_]{1,64}")
_PASSING: Final = frozenset({"server_error", "temporarily_unavailable"})  # RFC 6749, 4.1.2.1
_HINT: Final = "check client id, key, certificate mapping and the user's pre-authorisation"


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and how long to use it; `refresh`: what asks for the next, if it came."""

    value: str
    lifetime_s: float
    refresh: str | None = None


class BearerToken:
    """Authenticator at a system, on a token that `fetch` gets; concurrent callers share a fetch."""

    def __init__(self, fetch: Callable[[], Awaitable[Token]], *, system: str) -> None:
        self._fetch = fetch
        self._system = system
        signs_in_at(system)
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._is_refused = False
        self._renew_at_s = 0.0

    async def headers(self) -> Mapping[str, str]:
        """Return the Authorization header. Raises AuthenticationError, TransientError."""
        async with self._lock:
            if self._token is None or self._is_refused or time.monotonic() >= self._renew_at_s:
                try:
                    fresh = await self._fetch()
                except PsaStreamError:
                    sign_in_failed(self._system)
                    raise
                if self._token is not None:
                    forget(self._token.value)
                remember(fresh.value)
                self._token, self._is_refused = fresh, False
                self._renew_at_s = time.monotonic() + 0.9 * self._token.lifetime_s
            return {"Authorization": f"Bearer {self._token.value}"}

    def invalidate(self) -> None:
        """Use the token no longer."""
        self._is_refused = True


def signing_key(pem: str) -> RSAKey:
    """Return the key that signs assertions.

    Raises ValueError that says what is wrong with it, and nothing of it.
    """
    remember(pem)
    return _loaded(pem)


@lru_cache(maxsize=8)
def _loaded(pem: str) -> RSAKey:
    """A key is proved as it is loaded, which takes a tenth of a second: once will do."""
    try:
        key = RSAKey.import_key(pem)
    except TypeError as error:  # of cryptography: a password is missing
        raise ValueError("it is protected by a passphrase") from error
    except (ValueError, JoseError, UnsupportedAlgorithm) as error:
        raise ValueError("it is no RSA key in PEM") from error
    if not key.is_private:
        raise ValueError("it is a public key")
    return key


async def request_token(
    url: str,
    form: Mapping[str, str],
    *,
    system: str,
    lifetime_s: float,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Token:
    """POST a token request (RFC 6749, 4.4) and return the token.

    `headers` may hold the client's credentials (RFC 6749, 2.3.1). `lifetime_s` counts where the
    answer names none. `tls` verifies the server instead of the authorities that the system trusts,
    and may show a certificate of ours. Raises AuthenticationError where the vendor refuses the
    credentials in the words of RFC 6749, 5.2, and TransientError for any other answer that is no
    token: a redirect, which is never followed since the form is a credential, a page of a proxy, an
    overload. Neither carries the request.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=_TOKEN_TIMEOUT, auto_decompress=False) as session,
            session.post(
                url,
                data=form,
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": ACCEPT_ENCODING,
                    **(headers or {}),
                },
                allow_redirects=False,
                ssl=True if tls is None else tls,
            ) as answer,
        ):
            status = answer.status
            body = parse_json(await read_body(answer, _BOUNDS), _BOUNDS)
    except UnusableBodyError as error:
        raise _no_token(system, f"answered {status} with {error}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        why = explain(error) or type(error).__name__
        raise _no_token(system, f"does not answer ({why})") from error
    if status == 200 and isinstance(body, dict) and _is_token(body.get("access_token")):
        refresh = body.get("refresh_token")
        return Token(
            body["access_token"],
            _lifetime_s(body.get("expires_in"), lifetime_s),
            refresh if _is_token(refresh) else None,
        )
    reason = _reason(body)
    if status in {400, 401, 403} and reason is not None and reason not in _PASSING:
        raise AuthenticationError(f"{system} refuses the credentials: {reason}", hint=_HINT)
    raise _no_token(system, f"answered {status} without a token")


def _no_token(system: str, what: str) -> TransientError:
    return TransientError(f"{system}: token endpoint {what}")


def _is_token(value: Any) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _reason(body: Any) -> str | None:
    """Return the error code of a refusal; vendors' own texts are not repeated."""
    reason = body.get("error") if isinstance(body, dict) else None
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else None


def _lifetime_s(told: Any, otherwise_s: float) -> float:
    """Return the seconds a token lasts, as told if that is a sensible number."""
    if isinstance(told, str) and told.isascii() and told.isdigit():
        told = int(told[:10])
    if isinstance(told, bool) or not isinstance(told, int) or told <= 0:
        return otherwise_s
    return min(max(float(told), _LIFETIME_MIN_S), _LIFETIME_MAX_S)
