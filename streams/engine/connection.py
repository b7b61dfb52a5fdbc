"""How to reach the brokers, in the terms of each client the engine uses.

The settings hold librdkafka's keys, as everywhere in the product; aiokafka and Faust, which know
others, get the same TLS and SASL from them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import faust
from aiokafka.errors import KafkaConnectionError
from aiokafka.helpers import create_ssl_context
from yarl import URL

from runtime.kafka import QUIET
from schemas.errors import ConfigError
from streams.engine.settings import EngineSettings

_FILES = {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location"}
_TLS = _FILES | {"ssl.key.password"}
_SASL = {"sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"}
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

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
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "reconnect.backoff.max.ms": 1000,
        "socket.connection.setup.timeout.ms": 5000,
        **QUIET,
        **settings.kafka_options,
    }


def aiokafka_options(settings: EngineSettings) -> dict[str, Any]:
    """Options of aiokafka's clients. Raises ConfigError for what aiokafka cannot do."""
    options = settings.kafka_options
    protocol = _protocol(options)
    chosen: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": protocol,
    }
    if protocol.endswith("SSL"):
        chosen["ssl_context"] = _ssl_context(options)
    if protocol.startswith("SASL"):
        chosen["sasl_mechanism"] = _mechanism(options)
        chosen["sasl_plain_username"] = options.get("sasl.username")
        chosen["sasl_plain_password"] = options.get("sasl.password")
    return chosen


def faust_options(settings: EngineSettings) -> dict[str, Any]:
    """Faust's broker settings. Raises ConfigError for what aiokafka cannot do."""
    options = settings.kafka_options
    protocol = _protocol(options)
    chosen: dict[str, Any] = {"broker": broker_urls(settings)}
    context = _ssl_context(options) if protocol.endswith("SSL") else None
    if protocol.startswith("SASL"):
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


def _ssl_context(options: Mapping[str, str]) -> Any:
    try:
        return create_ssl_context(
            cafile=options.get("ssl.ca.location"),
            certfile=options.get("ssl.certificate.location"),
            keyfile=options.get("ssl.key.location"),
            password=options.get("ssl.key.password"),
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        given = ", ".join(f"{name} {options[name]!r}" for name in sorted(_FILES & set(options)))
        raise ConfigError(
            f"the files for tls cannot be used: {given}: {error}",
            hint="they are PEM files the process can read; the key fits the certificate",
        ) from error
