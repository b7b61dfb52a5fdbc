"""The twin's OAuth2 rules: signed assertions, access tokens."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey


class AssertionRefusedError(Exception):
    """A signed assertion is not acceptable; the text says why."""


@dataclass(frozen=True, slots=True)
class AssertionRules:
    """What a vendor demands of a signed assertion.

    `takes_text`: an expiry may be a number in a text, which RFC 7519 does not know.
    """

    key: RSAKey
    algorithms: tuple[str, ...]
    issuer: str
    audiences: Collection[str]
    lifetime_max_s: int
    takes_text: bool = False

    def verify(self, assertion: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Header and claims, for the caller to check further. Raises AssertionRefusedError."""
        try:
            token = jwt.decode(assertion, self.key, algorithms=list(self.algorithms))
        except (JoseError, ValueError) as error:
            raise AssertionRefusedError("invalid signature") from error
        claims = token.claims
        if claims.get("iss") != self.issuer:
            raise AssertionRefusedError("unknown issuer")
        if not self._names_audience(claims.get("aud")):
            raise AssertionRefusedError("audience is invalid")
        self._check_expiry(claims)
        return token.header, claims

    def _names_audience(self, audience: object) -> bool:
        named = audience if isinstance(audience, list) else [audience]
        return any(name in self.audiences for name in named)

    def _check_expiry(self, claims: Mapping[str, Any]) -> None:
        expires_s, now_s = claims.get("exp"), time.time()
        if self.takes_text and isinstance(expires_s, str) and expires_s.isdigit():
            expires_s = int(expires_s)
        if not isinstance(expires_s, int | float) or expires_s <= now_s:
            raise AssertionRefusedError("assertion has expired")
        if expires_s > now_s + self.lifetime_max_s:
            raise AssertionRefusedError("assertion lives too long")


class TokenStore:
    """Access tokens that were issued and still count."""

    def __init__(self) -> None:
        self._expires_s: dict[str, float] = {}

    def issue(self, lifetime_s: float) -> str:
        token = secrets.token_urlsafe(24)
        self._expires_s[token] = time.monotonic() + lifetime_s
        return token

    def is_valid(self, token: str) -> bool:
        return self._expires_s.get(token, 0.0) > time.monotonic()

    def revoke(self, token: str) -> None:
        self._expires_s.pop(token, None)

    def revoke_all(self) -> None:
        self._expires_s.clear()
