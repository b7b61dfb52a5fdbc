"""NetSuite credentials (OAuth 2.0 machine to machine) and the meaning of NetSuite's errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from joserfc import jwt
from joserfc.jwk import RSAKey

from connectors.faults import Action, ErrorPolicy, Fault, Rule, rule
from connectors.tokens import BearerToken, Token, request_token

SYSTEM: Final = "netsuite"
ASSERTION_LIFETIME_S: Final = 300
TOKEN_PATH: Final = "/services/rest/auth/oauth2/v1/token"  # noqa: S105 - a path


def read_faults(body: object) -> Sequence[Fault]:
    """Read `{"o:errorDetails": [{"o:errorCode", "detail", "o:errorPath"}]}`."""
    details = body.get("o:errorDetails") if isinstance(body, dict) else None
    return [
        Fault(
            code=entry.get("o:errorCode"),
            detail=str(entry.get("detail", "")),
            field=entry.get("o:errorPath") or entry.get("o:errorQueryParam"),
        )
        for entry in (details if isinstance(details, list) else ())
        if isinstance(entry, dict)
    ]


POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        Rule(400, 403, Action.RATE_LIMITED, frozenset({"SSS_REQUEST_LIMIT_EXCEEDED"})),
        rule(400, Action.REAUTHENTICATE, "INVALID_LOGIN"),
    ),
)


def make_auth(
    *, url: str, client_id: str, certificate_id: str, private_key_pem: str
) -> BearerToken:
    """Make the authenticator of an integration whose certificate is mapped to a role.

    Raises ValueError when the key is not an RSA private key in PEM.
    """
    key = RSAKey.import_key(private_key_pem)
    token_url = f"{url}{TOKEN_PATH}"

    async def fetch() -> Token:
        issued_at_s = int(time.time())
        claims = {
            "iss": client_id,
            "scope": ["rest_webservices"],
            "aud": token_url,
            "iat": issued_at_s,
            "exp": issued_at_s + ASSERTION_LIFETIME_S,
        }
        header = {"typ": "JWT", "alg": "PS256", "kid": certificate_id}
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(header, claims, key, algorithms=["PS256"]),
        }
        answer = await request_token(token_url, form, system=SYSTEM)
        return Token(answer["access_token"], float(answer.get("expires_in", 3600)))

    return BearerToken(fetch)
