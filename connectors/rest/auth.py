"""Credentials of a declared API: the keys of the connector file that it takes, and their use."""

from __future__ import annotations

import os
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote_plus

import structlog
from joserfc import jwt
from pydantic import SecretStr

from connectors.rest.asks import fill_text
from connectors.rest.declaration import (
    ApiKeyAuth,
    Auth,
    BasicAuth,
    BasicKeyAuth,
    BearerAuth,
    ClientCredentialsAuth,
    JwtBearerAuth,
    RefreshTokenAuth,
)
from connectors.toolkit.http import Authenticator
from connectors.toolkit.tokens import BearerToken, Token, request_token, signing_key
from runtime.secrets import remember
from schemas.errors import AuthenticationError

_log = structlog.get_logger()

TAKES: Final[Mapping[type, frozenset[str]]] = {
    BearerAuth: frozenset({"auth.token"}),
    ApiKeyAuth: frozenset({"auth.token"}),
    BasicAuth: frozenset({"auth.username", "auth.password"}),
    BasicKeyAuth: frozenset({"auth.token"}),
    ClientCredentialsAuth: frozenset({"auth.client.id", "auth.client.secret"}),
    RefreshTokenAuth: frozenset({"auth.client.id", "auth.client.secret", "auth.refresh.token"}),
    JwtBearerAuth: frozenset({"auth.client.id", "auth.username", "auth.private.key.file"}),
}
"""Keys of the connector file by kind of `auth`: all of them, and no others but these."""

MAY_TAKE: Final[Mapping[type, frozenset[str]]] = {
    ClientCredentialsAuth: frozenset({"auth.url"}),
    RefreshTokenAuth: frozenset({"auth.url", "auth.refresh.token.file"}),
    JwtBearerAuth: frozenset({"auth.url"}),
}

CERTIFICATE: Final = frozenset({"auth.certificate.file", "auth.certificate.key.file"})
"""Keys of the connector file for who shows a certificate, besides those of `TAKES`."""

TOKEN_LIFETIME_S: Final = 900.0
"""Of a token whose answer names none."""
ASSERTION_LIFETIME_S: Final = 180


class Credentials(Protocol):
    """What a connector file holds, of the keys that `TAKES` names."""

    @property
    def url(self) -> str:
        """Where the API is."""
        ...

    @property
    def auth_url(self) -> str | None:
        """Where tokens are got, if that is elsewhere."""
        ...

    @property
    def refresh_token_file(self) -> Path | None:
        """Where refresh tokens are kept."""
        ...

    @property
    def parameters(self) -> Mapping[str, str]:
        """What `scope` may hold."""
        ...

    @property
    def username(self) -> str | None:
        """`auth.username`."""
        ...

    def secret(self, key: str) -> str:
        """The value of a key whose content is secret."""
        ...


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


def authenticator(
    auth: Auth, credentials: Credentials, *, system: str, tls: ssl.SSLContext | None = None
) -> Authenticator:
    """Return what adds the credentials to a request. Raises ValueError for a key that is none.

    `tls`: what tokens are asked for with, instead of the authorities that the system trusts.
    """
    match auth:
        case BearerAuth():
            token = credentials.secret("auth.token")
            return StaticHeaders({"Authorization": f"Bearer {token}"})
        case ApiKeyAuth(location="header", name=name):
            return StaticHeaders({name: credentials.secret("auth.token")})
        case ApiKeyAuth():
            return StaticHeaders({})  # it goes into the query
        case BasicAuth() | BasicKeyAuth():
            return StaticHeaders({"Authorization": _pair(auth, credentials)})
        case JwtBearerAuth():
            return BearerToken(_Assertion(auth, credentials, system, tls).fetch, system=system)
        case _:
            return BearerToken(_Client(auth, credentials, system, tls).fetch, system=system)


def _pair(auth: BasicAuth | BasicKeyAuth, credentials: Credentials) -> str:
    if isinstance(auth, BasicKeyAuth):
        return basic(credentials.secret("auth.token"), auth.password)
    return basic(credentials.username or "", credentials.secret("auth.password"))


def query_of(auth: Auth, credentials: Credentials) -> Mapping[str, str]:
    """Return the credentials that go into the query of each request."""
    if isinstance(auth, ApiKeyAuth) and auth.location == "query":
        return {auth.name: credentials.secret("auth.token")}
    return {}


def basic(username: str, password: str) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


class _Client:
    """Tokens that a client asks for by its id and secret, or by a refresh token too."""

    def __init__(
        self,
        auth: ClientCredentialsAuth | RefreshTokenAuth,
        credentials: Credentials,
        system: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._system = system
        self._tls = tls
        self._url = _token_url(auth.token_url, credentials)
        client_id = credentials.secret("auth.client.id")
        secret = credentials.secret("auth.client.secret")
        self._form = _scope(auth, credentials)
        self._headers: dict[str, str] = {}
        if auth.client_in == "header":  # RFC 6749, 2.3.1 has both encoded as in a form
            pair = basic(quote_plus(client_id), quote_plus(secret))
            remember(pair)
            self._headers["Authorization"] = pair
        else:
            self._form |= {"client_id": client_id, "client_secret": secret}
        self._is_refreshing = isinstance(auth, RefreshTokenAuth)
        self._refresh = credentials.secret("auth.refresh.token") if self._is_refreshing else ""
        self._file = credentials.refresh_token_file
        self._is_kept = self._file is not None

    async def fetch(self) -> Token:
        """Ask for a token. Raises AuthenticationError, TransientError."""
        form = {"grant_type": "client_credentials", **self._form}
        if self._is_refreshing:
            self._refresh = self._held()
            form |= {"grant_type": "refresh_token", "refresh_token": self._refresh}
        token = await request_token(
            self._url,
            form,
            system=self._system,
            lifetime_s=TOKEN_LIFETIME_S,
            headers=self._headers,
            tls=self._tls,
        )
        if self._is_refreshing and token.refresh not in (None, self._refresh):
            self._refresh = token.refresh
            remember(self._refresh)
            self._keep(self._refresh)
        return token

    def _held(self) -> str:
        """Return what the file holds: `psastream check` may have signed in meanwhile."""
        if self._file is None or not self._is_kept:
            return self._refresh
        try:
            refresh = self._file.read_text().strip()
        except (OSError, ValueError) as error:
            refresh, why = "", f"{self._file} cannot be read: {error}"
        else:
            why = f"{self._file} is empty"
        if not refresh:
            raise AuthenticationError(
                why, hint="auth.refresh.token.file holds what asks for tokens: grant access anew"
            )
        remember(refresh)
        return refresh

    def _keep(self, refresh: str) -> None:
        """Write the token that asks for the next one, before anything is asked with this one."""
        why = "auth.refresh.token.file of the connector file keeps such tokens"
        if self._file is not None:
            try:
                replace_file(self._file, refresh)
            except OSError as error:
                why = f"{self._file} cannot be written: {error.strerror}"
                self._is_kept = False
            else:
                self._is_kept = True
                return
        _log.warning(
            "rest.refresh_token_replaced",
            system=self._system,
            reason=why,
            hint="the one that was read may be refused at the next start: renew it",
        )


def replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all, for its owner alone. Raises OSError."""
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


class _Assertion:
    """Tokens that a signed assertion asks for."""

    def __init__(
        self,
        auth: JwtBearerAuth,
        credentials: Credentials,
        system: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._system = system
        self._tls = tls
        self._url = _token_url(auth.token_url, credentials)
        self._key = signing_key(credentials.secret("auth.private.key.file"))
        self._form = _scope(auth, credentials)
        self._claims = {
            "iss": credentials.secret("auth.client.id"),
            "sub": credentials.username,
            "aud": auth.audience,
        }

    async def fetch(self) -> Token:
        """Ask for a token. Raises AuthenticationError, TransientError."""
        claims = self._claims | {"exp": int(time.time()) + ASSERTION_LIFETIME_S}
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode({"alg": "RS256"}, claims, self._key, algorithms=["RS256"]),
            **self._form,
        }
        return await request_token(
            self._url, form, system=self._system, lifetime_s=TOKEN_LIFETIME_S, tls=self._tls
        )


def _scope(
    auth: ClientCredentialsAuth | RefreshTokenAuth | JwtBearerAuth, credentials: Credentials
) -> dict[str, str]:
    scope = None if auth.scope is None else fill_text(auth.scope, credentials.parameters)
    return {} if scope is None else {"scope": scope}


def _token_url(declared: str, credentials: Credentials) -> str:
    below = credentials.auth_url or credentials.url
    return f"{below}{declared}" if declared.startswith("/") else declared


def plain(value: SecretStr | None) -> str:
    """Return the text of a secret, which `TAKES` has had checked to be there."""
    return "" if value is None else value.get_secret_value()
