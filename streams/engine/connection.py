"""How to reach the brokers, in the terms of each client the engine uses.

The settings hold librdkafka's keys, as everywhere in the product; aiokafka and Faust, which know
others, get the same TLS and SASL from them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import faust
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from yarl import URL

from runtime.kafka import QUIET
from runtime.rights import signs_in
from runtime.tls import RenewedContext, SecretFile, TlsFiles, client_context
from schemas.errors import ConfigError
from streams.engine.settings import EngineSettings
from streams.engine.tokens import OIDC_KEYS, OidcTokens

_FILES = {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location"}
_TLS = _FILES | {"ssl.key.password"}
_SASL = {"sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password", *OIDC_KEYS}
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_OAUTH = "OAUTHBEARER"
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", _OAUTH)

CLOSED = "<TCPTransport closed=True"
"""What uvloop says of a connection that is closed."""


@contextmanager
def losses_told() -> Iterator[None]:
    """Raise KafkaConnectionError for a connection that was closed before it was written to.

    uvloop raises RuntimeError then, where asyncio lets it be and aiokafka knows OSError alone.
    """
    try:
        yield
    except RuntimeError as error:
        if CLOSED not in str(error):
            raise
        raise KafkaConnectionError(str(error)) from error


def librdkafka_options(settings: EngineSettings) -> dict[str, str | int | bool]:
    """Options of confluent-kafka's clients; they find a lost broker again quickly."""
    options = settings.kafka_options_now()
    signs_in(options)
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "reconnect.backoff.max.ms": 1000,
        "socket.connection.setup.timeout.ms": 5000,
        **QUIET,
        **options,
    }


def aiokafka_options(settings: EngineSettings) -> dict[str, Any]:
    """Options of aiokafka's clients. Raises ConfigError for what aiokafka cannot do."""
    options = settings.kafka_options_now()
    protocol = _protocol(options)
    chosen: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": protocol,
    }
    if protocol.endswith("SSL"):
        chosen["ssl_context"] = _ssl_context(options)
    if protocol.startswith("SASL"):
        chosen["sasl_mechanism"] = mechanism = _mechanism(options)
        if mechanism == _OAUTH:
            chosen["sasl_oauth_token_provider"] = OidcTokens(options, settings.kafka_secrets)
        else:
            chosen["sasl_plain_username"] = options.get("sasl.username")
            chosen["sasl_plain_password"] = options.get("sasl.password")
    return chosen


class _RenewedClient(AIOKafkaClient):  # type: ignore[misc]
    """A client whose next connection signs in with the password of then."""

    _password: SecretFile

    @property
    def _sasl_plain_password(self) -> str:
        return self._password.value


def renew_password(client: Any, settings: EngineSettings) -> None:
    """Have an aiokafka client read the file of its password for each new connection."""
    file = settings.kafka_secrets.get("sasl.password")
    if file is not None:
        client._password = file
        client.__class__ = _RenewedClient


def faust_options(settings: EngineSettings) -> dict[str, Any]:
    """Faust's broker settings. Raises ConfigError for what aiokafka cannot do."""
    options = settings.kafka_options_now()
    protocol = _protocol(options)
    chosen: dict[str, Any] = {"broker": broker_urls(settings)}
    context = _ssl_context(options) if protocol.endswith("SSL") else None
    if protocol.startswith("SASL") and _mechanism(options) == _OAUTH:
        chosen["broker_credentials"] = faust.OAuthCredentials(
            oauth_cb=OidcTokens(options, settings.kafka_secrets), ssl_context=context
        )
    elif protocol.startswith("SASL"):
        chosen["broker_credentials"] = faust.SASLCredentials(
            username=options.get("sasl.username"),
            password=options.get("sasl.password"),
            mechanism=_mechanism(options),
            ssl_context=context,
        )
    elif context is not None:
        chosen["broker_credentials"] = faust.SSLCredentials(context)
    return chosen


def broker_urls(settings: EngineSettings) -> list[URL]:
    """The bootstrap servers as Faust names them."""
    return [URL(f"kafka://{server.strip()}") for server in settings.bootstrap_servers.split(",")]


def _protocol(options: Mapping[str, str]) -> str:
    unknown = set(options) - _TLS - _SASL - {"security.protocol"}
    if unknown:
        raise ConfigError(
            f"the worker does not know the kafka options {', '.join(sorted(unknown))}",
            hint=f"it knows security.protocol, {', '.join(sorted(_TLS | _SASL))}",
        )
    return _one_of("security.protocol", options.get("security.protocol", "PLAINTEXT"), _PROTOCOLS)


def _mechanism(options: Mapping[str, str]) -> str:
    given = options.get("sasl.mechanism") or options.get("sasl.mechanisms") or "PLAIN"
    return _one_of("sasl.mechanism", given, _MECHANISMS)


def _one_of(name: str, given: str, known: tuple[str, ...]) -> str:
    if given.upper() not in known:
        raise ConfigError(f"{name} is {given!r}", hint=f"use one of {', '.join(known)}")
    return given.upper()


def _ssl_context(options: Mapping[str, str]) -> RenewedContext:
    try:
        return client_context(TlsFiles.of_options(options))
    except ConfigError as error:
        given = ", ".join(f"{name} {options[name]!r}" for name in sorted(_FILES & set(options)))
        raise ConfigError(f"{given}: {error.detail}", hint=error.hint) from error
