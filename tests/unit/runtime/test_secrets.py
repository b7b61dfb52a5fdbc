"""Planted canaries: no secret in logs, errors, traces, metrics or reprs."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import typer
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, generate_latest
from pydantic import BaseModel, Field, SecretStr

from connectors.toolkit.config import load_config
from psastream.exits import errors_as_exit_codes
from runtime import secrets
from runtime.logs import (
    TEXT_MAX,
    configure_logs,
    report_uncaught,
    report_uncaught_in_thread,
)
from runtime.registry import Registry
from runtime.secrets import MASK, forget, mask, remember, remember_named
from runtime.settings import Settings
from schemas.errors import FatalError, PsaStreamError
from tests.support.logging_back import logging_put_back

PLACE = "runtime/secrets.py"
PASSWORD = "cAnary-9f3k!x"
KEY = (
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQ\n"
    "-----END PRIVATE KEY-----\n"
)
ENVIRONMENT = {
    "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "PSASTREAM_REGISTRY_URL": f"http://psa:{PASSWORD}@127.0.0.1:1",
    "PSASTREAM_CONNECT_URL": f"http://psa:{PASSWORD}@connect.invalid:8083",
    "PSASTREAM_POSTGRES_DSN": f"postgresql://psa:{PASSWORD}@db.invalid/psa",
    "PSASTREAM_KAFKA_SASL_PASSWORD": PASSWORD,
}


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets that other tests of this process have remembered mask nothing here."""
    monkeypatch.setattr(secrets, "_remembered", type(secrets._remembered)())


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What a process logs, as JSON lines; logging and the hook are put back."""
    with logging_put_back():
        configure_logs(json=True)
        stream = io.StringIO()
        logging.getLogger().handlers[0].setStream(stream)  # type: ignore[attr-defined]
        yield stream


@pytest.fixture
def settings() -> Settings:
    return Settings.from_env(ENVIRONMENT)


@pytest.mark.fault("D5", place=PLACE)
def test_d5_an_unreachable_registry_is_reported_without_its_password(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PsaStreamError) as caught:
        Registry(settings.registry_url).schema(1)
    assert PASSWORD not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)

    with pytest.raises(typer.Exit), errors_as_exit_codes():
        raise FatalError(f"cannot reach {settings.connect_url}", hint=settings.registry_url)
    shown = capsys.readouterr().err
    assert PASSWORD not in shown
    assert f"{MASK}@connect.invalid" in shown


@pytest.mark.fault("D5", place="runtime/logs.py")
def test_d5_no_log_line_holds_a_secret(settings: Settings, logged: io.StringIO) -> None:
    log = structlog.get_logger()
    log.info("plain", text=f"it is {PASSWORD}", deep={"list": [(settings.postgres_dsn,)]})
    log.info(f"in the event {settings.registry_url}")
    logging.getLogger("library").warning("address %s", settings.registry_url)
    try:
        raise RuntimeError(f"cause {settings.postgres_dsn}")
    except RuntimeError:
        log.exception("with a trace", exc_info=True)
        logging.getLogger("library").exception("with a trace of theirs")
    log.info("an error as a value", error=FatalError(f"no {PASSWORD}"))

    lines = logged.getvalue()
    assert PASSWORD not in lines
    assert len([json.loads(line) for line in lines.splitlines()]) == 6
    assert lines.count("Traceback") == 2


@pytest.mark.fault("D8", place="runtime/logs.py")
def test_d8_a_vendors_page_is_not_a_log(logged: io.StringIO) -> None:
    structlog.get_logger().warning("answer", body="x" * 100_000)
    line = json.loads(logged.getvalue())
    assert len(line["body"]) < TEXT_MAX + 50


@pytest.mark.fault("D5", place="runtime/logs.py")
def test_d5_an_uncaught_error_is_printed_without_secrets(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raise RuntimeError(f"lost {settings.registry_url}")
    except RuntimeError as error:
        report_uncaught(type(error), error, error.__traceback__)
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert PASSWORD not in shown


@pytest.mark.fault("D5", place="runtime/logs.py")
def test_d5_an_error_that_ends_a_thread_is_printed_without_secrets(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose() -> None:
        raise RuntimeError(f"lost {settings.registry_url}")

    monkeypatch.setattr(threading, "excepthook", report_uncaught_in_thread)
    thread = threading.Thread(target=lose)
    thread.start()
    thread.join()
    shown = capsys.readouterr().err
    assert "RuntimeError: lost" in shown
    assert PASSWORD not in shown


class Sink(BaseModel):
    """A connector file with secrets of all kinds."""

    url: str
    token: SecretStr
    key: SecretStr = Field(default=SecretStr(KEY))


@pytest.mark.fault("D5", place="connectors/toolkit/config.py")
def test_d5_secrets_of_a_connector_file_are_masked(tmp_path: Path) -> None:
    path = tmp_path / "sink.json"
    path.write_text('{"url": "https://u:urlCanary1@v.invalid", "token": "${env:T}"}')
    config = load_config(path, Sink, {"T": "tokenCanary2"})
    shown = mask(f"{config.url} tokenCanary2 {KEY} {json.dumps(KEY)} MIIEvQIBADANBgkqhkiG9w0BAQEF")
    for canary in ("urlCanary1", "tokenCanary2", "MIIEvQIBADANBgkqhkiG9w0BAQEF", "AASCBKcwgg"):
        assert canary not in shown
    assert "tokenCanary2" not in repr(config)


@pytest.mark.fault("D5", place=PLACE)
def test_d5_metrics_hold_no_secret(settings: Settings) -> None:
    assert PASSWORD.encode() not in generate_latest(REGISTRY)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:neverSeen7@host/x", "Authorization: Bearer neverSeen7neverSeen7",
        "Basic bmV2ZXJTZWVuNw==neverSeen7", "password=neverSeen7 host=db",
        "sasl.password: neverSeen7",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJuZXZlclNlZW43In0.neverSeen7sig",
        "-----BEGIN RSA PRIVATE KEY-----\nneverSeen7\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nneverSeen7",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_masked_though_nobody_remembered_it(text: str) -> None:
    assert "neverSeen7" not in mask(text)
    assert MASK in mask(text)


@pytest.mark.parametrize(
    "text",
    ["https://host:8083/a?b=c", "the password is wrong", "Bearer tokens lapse", "a@b.example",
     "psa.command.netsuite", "no key for key=7"],
)  # fmt: skip
def test_ordinary_text_stays(text: str) -> None:
    assert mask(text) == text


@given(secret=st.text(min_size=6, max_size=30).filter(lambda it: len(it.strip()) >= 6))
def test_a_remembered_secret_is_masked_in_its_usual_spellings(secret: str) -> None:
    remember(secret)
    try:
        assert secret not in mask(f"<{secret}>")
        assert json.dumps(secret)[1:-1] not in mask(json.dumps({"k": secret}))
    finally:
        forget(secret)


def test_only_names_of_secrets_are_remembered() -> None:
    remember_named("sasl.username", "plainUser1")
    remember_named("sasl.jaas.config", "jaasCanary1")
    assert mask("plainUser1 jaasCanary1") == f"plainUser1 {MASK}"


def test_a_secret_that_is_a_word_hides_no_other_and_overlapping_ones_are_both_masked() -> None:
    secrets = ("password", "abcd efgh", "efgh ijkl")
    for secret in secrets:
        remember(secret)
    try:
        masked = mask("sasl.password=canary7 and abcd efgh ijkl, password")
    finally:
        for secret in secrets:
            forget(secret)
    assert masked == f"sasl.{MASK}={MASK} and {MASK} ijkl, {MASK}"
