"""Sign-in of an app at Microsoft Entra, by its secret (client credentials)."""

from __future__ import annotations

from typing import Final

from connectors.toolkit.tokens import BearerToken, Token, request_token
from runtime.secrets import remember

TOKEN_PATH: Final = "/oauth2/v2.0/token"  # noqa: S105 - a path
TOKEN_LIFETIME_S: Final = 3600.0


def app_auth(
    system: str, *, auth_url: str, client_id: str, client_secret: str, scope: str
) -> BearerToken:
    """Make the authenticator of an app that Entra knows and a system has a user for."""
    remember(client_secret)
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret,
        "scope": scope,
    }

    async def fetch() -> Token:
        url = f"{auth_url}{TOKEN_PATH}"
        return await request_token(url, form, system=system, lifetime_s=TOKEN_LIFETIME_S)

    return BearerToken(fetch, system=system)
