"""Salesforce credentials (OAuth 2.0 JWT bearer) and the meaning of Salesforce's errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from joserfc import jwt
from joserfc.jwk import RSAKey

from connectors.faults import Action, ErrorPolicy, Fault, rule
from connectors.tokens import BearerToken, Token, request_token

SYSTEM: Final = "salesforce"
ASSERTION_LIFETIME_S: Final = 180
SESSION_LIFETIME_S: Final = 900.0  # the shortest session an org can set; no answer tells it


def read_faults(body: object) -> Sequence[Fault]:
    """Read `[{"errorCode", "message", "fields"}]`."""
    entries = body if isinstance(body, list) else [body]
    return [
        Fault(
            code=entry.get("errorCode"),
            detail=str(entry.get("message", "")),
            field=next(iter(entry.get("fields") or ()), None),
        )
        for entry in entries
        if isinstance(entry, dict)
    ]


POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        rule(403, Action.QUOTA, "REQUEST_LIMIT_EXCEEDED"),
        rule(400, Action.RETRY, "UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT"),
        rule(400, Action.REAUTHENTICATE, "INVALID_SESSION_ID"),
    ),
)


def make_auth(
    *, url: str, audience: str, client_id: str, username: str, private_key_pem: str
) -> BearerToken:
    """Make the authenticator of a connected app that the user has pre-authorised.

    `audience` is the login host (production or test), `url` the org's own host. Raises ValueError
    when the key is not an RSA private key in PEM.
    """
    key = RSAKey.import_key(private_key_pem)

    async def fetch() -> Token:
        claims = {
            "iss": client_id,
            "sub": username,
            "aud": audience,
            "exp": int(time.time()) + ASSERTION_LIFETIME_S,
        }
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode({"alg": "RS256"}, claims, key, algorithms=["RS256"]),
        }
        answer = await request_token(f"{url}/services/oauth2/token", form, system=SYSTEM)
        return Token(answer["access_token"], SESSION_LIFETIME_S)

    return BearerToken(fetch)
