"""Token-based authentication (OAuth 1.0, RFC 5849), which the ERP's REST services accept too."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from authlib.oauth1.rfc5849.signature import construct_base_string
from pydantic import BaseModel, ConfigDict

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class AccessToken(BaseModel):
    """What an administrator hands out for an integration: keys and their secrets."""

    model_config = ConfigDict(extra="forbid")

    consumer_key: str
    consumer_secret: str
    token_id: str
    token_secret: str


def is_signed(method: str, url: str, header: str, tokens: Sequence[AccessToken]) -> bool:
    """Whether a request carries the signature (HMAC-SHA256) of one of the tokens."""
    scheme, _, rest = header.partition(" ")
    given = {name: unquote(value) for name, value in _PARAMETER.findall(rest)}
    if scheme.lower() != "oauth" or given.get("oauth_signature_method") != "HMAC-SHA256":
        return False
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    text = construct_base_string(method, url, [*query, *given.items()])
    return any(
        (token.consumer_key, token.token_id)
        == (given.get("oauth_consumer_key"), given.get("oauth_token"))
        and hmac.compare_digest(_signature(text, token), given.get("oauth_signature", ""))
        for token in tokens
    )


def _signature(text: str, token: AccessToken) -> str:
    key = "&".join(
        quote(secret, safe="~") for secret in (token.consumer_secret, token.token_secret)
    )
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode()
