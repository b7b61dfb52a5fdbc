"""The same TLS and SASL reach each Kafka client the engine uses."""

import ssl
from pathlib import Path

import faust
import pytest

from schemas.errors import ConfigError
from streams.engine import EngineSettings
from streams.engine.connection import aiokafka_options, faust_options, librdkafka_options

SCRAM = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "worker",
    "sasl.password": "secret",
}


def settings(options: dict[str, str]) -> EngineSettings:
    return EngineSettings(
        app_id="a", bootstrap_servers="k1:9092, k2:9093", state_dir=Path("x"), kafka_options=options
    )


def test_plaintext_is_the_default() -> None:
    plain = settings({})
    assert aiokafka_options(plain)["security_protocol"] == "PLAINTEXT"
    assert "broker_credentials" not in faust_options(plain)
    assert [str(url) for url in faust_options(plain)["broker"]] == [
        "kafka://k1:9092",
        "kafka://k2:9093",
    ]


def test_sasl_over_tls_reaches_every_client() -> None:
    scram = settings(SCRAM)
    assert librdkafka_options(scram).items() >= SCRAM.items()
    producer = aiokafka_options(scram)
    assert producer["security_protocol"] == "SASL_SSL"
    assert producer["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (producer["sasl_plain_username"], producer["sasl_plain_password"]) == (
        "worker",
        "secret",
    )
    assert isinstance(producer["ssl_context"], ssl.SSLContext)
    credentials = faust_options(scram)["broker_credentials"]
    assert isinstance(credentials, faust.SASLCredentials)
    assert credentials.protocol.value == "SASL_SSL"
    assert credentials.mechanism.value == "SCRAM-SHA-512"


@pytest.mark.parametrize(
    ("given", "mechanism"),
    [
        ({}, "PLAIN"),
        ({"sasl.mechanism": "scram-sha-256"}, "SCRAM-SHA-256"),
        ({"sasl.mechanisms": "SCRAM-SHA-512"}, "SCRAM-SHA-512"),  # librdkafka takes either name
    ],
)
def test_sasl_without_tls_is_sent_in_the_clear(given: dict[str, str], mechanism: str) -> None:
    options = {"security.protocol": "SASL_PLAINTEXT", "sasl.username": "w", "sasl.password": "s"}
    clear = settings(options | given)
    producer = aiokafka_options(clear)
    assert producer["sasl_mechanism"] == mechanism
    assert "ssl_context" not in producer
    credentials = faust_options(clear)["broker_credentials"]
    assert credentials.protocol.value == "SASL_PLAINTEXT"
    assert credentials.mechanism.value == mechanism


def test_an_unknown_option_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"kafka options client\.rack, linger\.ms") as raised:
        aiokafka_options(settings({"linger.ms": "5", "client.rack": "r1", **SCRAM}))
    assert {"security.protocol,", "sasl.username,", "ssl.key.password"} <= set(
        raised.value.hint.split()
    )


def test_tls_alone_needs_no_user() -> None:
    tls = settings({"security.protocol": "ssl"})
    assert isinstance(faust_options(tls)["broker_credentials"], faust.SSLCredentials)
    assert "sasl_mechanism" not in aiokafka_options(tls)


@pytest.mark.parametrize(
    "options",
    [
        {"security.protocol": "TELEPATHY"},
        {"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"},
        {"client.rack": "r1"},
    ],
)
def test_what_aiokafka_cannot_do_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        faust_options(settings(options))
    with pytest.raises(ConfigError):
        aiokafka_options(settings(options))


@pytest.mark.fault("D9", place="streams/engine/connection.py")
@pytest.mark.parametrize("name", ["ca", "certificate"])
@pytest.mark.parametrize("path", ["/nowhere.pem", "a\0b", "/", __file__])
def test_d9_a_file_that_is_no_certificate_is_refused_by_name(name: str, path: str) -> None:
    options = {"security.protocol": "SSL", f"ssl.{name}.location": path}
    with pytest.raises(ConfigError, match=rf"ssl\.{name}\.location"):
        aiokafka_options(settings(options))


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(settings(SCRAM))
