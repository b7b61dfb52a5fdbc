"""Kafka with certificates and passwords: both kinds of clients, what is refused, rotation."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.kafka import KafkaSettings, require_broker
from runtime.tls import SecretFile
from schemas.errors import BrokerUnavailableError
from streams.engine import EngineSettings
from streams.engine.connection import aiokafka_options, librdkafka_options, renew_password
from tests.support.eventually import eventually
from tests.support.secure_kafka import PASSWORD, SecureKafka, environment, secure_kafka
from tests.support.stack import StackBroker

TOPIC = "rotation"


@pytest.fixture(scope="module")
def kafka() -> Iterator[SecureKafka]:
    with secure_kafka() as running:
        yield running


def engine(servers: str, options: dict[str, str], **secrets: SecretFile) -> EngineSettings:
    return EngineSettings(
        app_id="a",
        bootstrap_servers=servers,
        state_dir=Path("x"),
        kafka_options=options,
        kafka_secrets={key.replace("_", "."): file for key, file in secrets.items()},
    )


async def ask(settings: EngineSettings) -> None:
    """Have a client of the worker's library start, which asks for the cluster's metadata."""
    producer = AIOKafkaProducer(**aiokafka_options(settings))
    try:
        await producer.start()
    finally:
        await producer.stop()


@pytest.mark.parametrize("way", ["mtls", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_both_kinds_of_clients_sign_in(kafka: SecureKafka, way: str) -> None:
    servers = kafka.address("MTLS" if way == "mtls" else "SCRAM")
    settings = engine(servers, kafka.mtls() if way == "mtls" else kafka.scram(mechanism=way))
    require_broker(librdkafka_options(settings))
    asyncio.run(ask(settings))


@pytest.mark.parametrize(
    ("listener", "options", "told"),
    [
        ("MTLS", "wrong authority", "its certificate is of an authority that we do not trust"),
        ("MTLS", "no certificate", "it asks for a client certificate, and we have none"),
        ("MTLS", "our certificate expired", "it does not trust our certificate"),
        ("ELSEWHERE", "", "its certificate is for another host name"),
        ("EXPIRED", "", "its certificate has expired"),
        ("SCRAM", "wrong password", "it refuses our user name or password"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    kafka: SecureKafka, listener: str, options: str, told: str
) -> None:
    given = kafka.mtls()
    match options:
        case "wrong authority":
            given["ssl.ca.location"] = str(kafka.stranger.certificate)
        case "no certificate":
            del given["ssl.certificate.location"], given["ssl.key.location"]
        case "our certificate expired":
            given = kafka.mtls(kafka.authority.issue("late", is_expired=True))
        case "wrong password":
            given = kafka.scram("wrong-Password-1")
    settings = engine(kafka.address(listener), given)
    with pytest.raises(BrokerUnavailableError) as caught:
        require_broker(librdkafka_options(settings), timeout_s=1.0)
    assert told in caught.value.detail
    assert "\n" not in str(caught.value)
    assert "wrong-Password-1" not in str(caught.value)
    with pytest.raises(KafkaError):
        asyncio.run(ask(settings))


def test_the_next_connection_uses_the_password_of_then(kafka: SecureKafka, tmp_path: Path) -> None:
    """The broker forgets the old one; a client that was there before connects by the new one."""
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    secret = SecretFile(file)
    options = kafka.scram()
    servers = kafka.address("SCRAM")
    settings = engine(servers, options, sasl_password=secret)
    edges = KafkaSettings(
        bootstrap_servers=servers, extra=options, secrets={"sasl.password": secret}
    )

    async def rotate() -> None:
        producer = AIOKafkaProducer(**aiokafka_options(settings))
        renew_password(producer.client, settings)
        await producer.start()
        try:
            await asyncio.to_thread(kafka.set_password, "scram-Secret-2")
            with pytest.raises(KafkaError):
                await ask(settings)  # the file holds the old one still
            file.write_text("scram-Secret-2")
            for connection in list(producer.client._conns.values()):
                connection.close()
            await producer.client.fetch_all_metadata()
        finally:
            await producer.stop()
        require_broker(edges.client())

    try:
        asyncio.run(rotate())
    finally:
        kafka.set_password(PASSWORD)


@contextmanager
def token_server(secret: str) -> Iterator[str]:
    """The address of what gives a token, which lasts a minute, to who knows the secret."""

    def part(content: object) -> str:
        return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            wanted = "Basic " + b64encode(f"worker:{secret}".encode()).decode()
            now = int(time.time())
            claims = {"sub": "worker", "iat": now, "exp": now + 60}
            token = f"{part({'alg': 'none'})}.{part(claims)}."
            is_known = self.headers["Authorization"] == wanted
            body = {"access_token": token} if is_known else {"error": "invalid_client"}
            self.send_response(200 if is_known else 401)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({**body, "token_type": "Bearer"}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/token"
    finally:
        server.shutdown()
        server.server_close()


def test_tokens_of_client_credentials_sign_both_kinds_of_clients_in(
    kafka: SecureKafka, tmp_path: Path
) -> None:
    """The broker takes what is not signed: what is tried is how our clients get and show it."""
    file = tmp_path / "secret"
    file.write_text("clientSecret-1")
    secret = SecretFile(file)
    with token_server("clientSecret-1") as url:
        options = {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(kafka.authority.certificate),
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": "worker",
            "sasl.oauthbearer.client.secret": "is in the file",
            "sasl.oauthbearer.token.endpoint.url": url,
        }
        settings = engine(kafka.address("OAUTH"), options).model_copy(
            update={"kafka_secrets": {"sasl.oauthbearer.client.secret": secret}}
        )
        require_broker(librdkafka_options(settings))
        asyncio.run(ask(settings))
        file.write_text("wrongSecret-22")
        with pytest.raises(BrokerUnavailableError) as caught:
            require_broker(librdkafka_options(settings), timeout_s=3.0)
        assert "wrongSecret-22" not in str(caught.value)
        with pytest.raises(KafkaError):
            asyncio.run(ask(settings))


def test_up_works_on_a_broker_that_asks_for_certificates(
    kafka: SecureKafka, tmp_path: Path
) -> None:
    """Beside it a registry, as the firm has one; the worker begins its work on both."""
    broker = StackBroker(kafka.stack)
    broker.start_registry()
    variables = {name: value for name, value in os.environ.items() if "PSASTREAM" not in name}
    variables |= environment(kafka.mtls()) | {
        "PSASTREAM_BOOTSTRAP_SERVERS": kafka.address("MTLS"),
        "PSASTREAM_REGISTRY_URL": broker.registry_url,
    }
    log = tmp_path / "log"
    command = ["up", "--no-read-model", "--data-dir", str(tmp_path / "up")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "psastream", *command],
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: "Ctrl-C ends it" in log.read_text(), deadline_s=90)
        url = re.findall(r"worker=(http://127.0.0.1:\d+)", log.read_text())[0]

        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        eventually(ready, deadline_s=90)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        sys.stderr.write(log.read_text())
