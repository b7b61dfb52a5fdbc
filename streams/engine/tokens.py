"""Tokens of OAUTHBEARER for aiokafka: client credentials, by the keys that librdkafka has for it.

librdkafka gets them by itself (`sasl.oauthbearer.method=oidc`); aiokafka asks whoever uses it.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from runtime.secrets import forget, remember
from runtime.sign_ins import KAFKA, sign_in_failed
from runtime.tls import SecretFile, TlsFiles, client_context, explain
from schemas.errors import ConfigError

_PREFIX: Final = "sasl.oauthbearer."
_SECRET: Final = f"{_PREFIX}client.secret"
_NEEDED: Final = (f"{_PREFIX}client.id", _SECRET, f"{_PREFIX}token.endpoint.url")
OIDC_KEYS: Final = frozenset({f"{_PREFIX}method", f"{_PREFIX}scope", "https.ca.location", *_NEEDED})
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15.0)
_LIFETIME_S: Final = 300.0
"""Of a token whose answer names none."""
_USED_SHARE: Final = 0.8


class OidcTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Gets a token where there is none that lasts; each worker has few connections."""

    def __init__(self, options: Mapping[str, str], secrets: Mapping[str, SecretFile]) -> None:
        """Raises ConfigError where a key is missing, or another method is asked for."""
        if (method := options.get(f"{_PREFIX}method")) != "oidc":
            raise ConfigError(
                f"{_PREFIX}method is {method!r}", hint="the worker gets its tokens by oidc"
            )
        if missing := [key for key in _NEEDED if not options.get(key)]:
            raise ConfigError(f"OAUTHBEARER needs {', '.join(missing)}")
        self._options = options
        self._secret_file = secrets.get(_SECRET)
        ca = options.get("https.ca.location")
        self._tls = client_context(TlsFiles.of_options({"ssl.ca.location": ca} if ca else {}))
        self._token = ""
        self._renew_at_s = 0.0

    async def token(self) -> str:
        """Return a token. Raises KafkaConnectionError, which aiokafka tries again."""
        if time.monotonic() >= self._renew_at_s:
            try:
                token, lifetime_s = await self._fetch()
            except KafkaConnectionError:
                sign_in_failed(KAFKA)
                raise
            remember(token)
            forget(self._token)
            self._token = token
            self._renew_at_s = time.monotonic() + _USED_SHARE * lifetime_s
        return self._token

    async def _fetch(self) -> tuple[str, float]:
        options = self._options
        url = options[f"{_PREFIX}token.endpoint.url"]
        secret = self._secret_file.value if self._secret_file else options[_SECRET]
        form = {"grant_type": "client_credentials"}
        if scope := options.get(f"{_PREFIX}scope"):
            form["scope"] = scope
        sign_in = aiohttp.encode_basic_auth(options[f"{_PREFIX}client.id"], secret, "utf-8")
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(
                    url,
                    data=form,
                    headers={"Authorization": sign_in},
                    ssl=self._tls,
                    allow_redirects=False,
                ) as answer,
            ):
                status = answer.status
                told: Any = await answer.json(content_type=None) if status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            reason = explain(error) or type(error).__name__
            raise KafkaConnectionError(f"no token from {url}: {reason}") from error
        token = told.get("access_token") if isinstance(told, dict) else None
        if not isinstance(token, str) or not token:
            raise KafkaConnectionError(f"no token from {url}: it answered {status}")
        lifetime = told.get("expires_in")
        return token, float(lifetime) if isinstance(lifetime, int) else _LIFETIME_S
