"""Certificates and secrets in files: replaced while a process runs, refused in plain words."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from connectors.debezium.client import ConnectClient
from connectors.toolkit.faults import VendorUnavailableError
from runtime.access import HttpAccess
from runtime.kafka import KafkaSettings
from runtime.registry import Registry
from runtime.renewal import Renewal
from runtime.secrets import mask
from runtime.settings import Settings
from runtime.tls import SecretFile, TlsFiles, client_context, probe
from schemas.errors import AuthenticationError, ConfigError, RegistryUnavailableError
from tests.support.certificates import Authority, Pem, link

HOST = "127.0.0.1"
NEEDED = {"PSASTREAM_BOOTSTRAP_SERVERS": "k:1", "PSASTREAM_REGISTRY_URL": "https://r:1"}


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("firm"), "firm")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@contextmanager
def served(pem: Pem, trusted: Authority | None = None, password: str = "") -> Iterator[int]:
    """A server of JSON over TLS; the port. With `trusted` it asks for a certificate of it."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            import base64

            wanted = "Basic " + base64.b64encode(f"psa:{password}".encode()).decode()
            is_known = not password or self.headers.get("Authorization") == wanted
            body = b"[]" if is_known else b'{"error_code": 401, "message": "Unauthorized"}'
            self.send_response(200 if is_known else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem.certificate, pem.key)
    if trusted is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(trusted.certificate)
    server = Quiet((HOST, 0), Answer)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_wrong_with_a_certificate_is_said_in_plain_words(
    firm: Authority, stranger: Authority
) -> None:
    trusting = TlsFiles(ca=firm.certificate)
    good = firm.issue("server", HOST)
    late = firm.issue("late", HOST, is_expired=True)
    with served(good) as port:
        assert probe(f"{HOST}:{port}", trusting) is None
        told = probe(f"{HOST}:{port}", TlsFiles(ca=stranger.certificate))
        assert told == "its certificate is of an authority that we do not trust"
    with served(late) as port:
        assert probe(f"{HOST}:{port}", trusting) == "its certificate has expired"
    with served(firm.issue("moved", "kafka.example.com")) as port:
        told = probe(f"{HOST}:{port}", trusting)
        assert told == "its certificate is for another host name"
    with served(good, firm) as port:
        told = probe(f"{HOST}:{port}", trusting)
        assert told == "it asks for a client certificate, and we have none"
        mine = firm.issue("mine", is_expired=True)
        told = probe(f"{HOST}:{port}", TlsFiles(firm.certificate, mine.certificate, mine.key))
        assert told == "our certificate has expired"
    with socket.create_server((HOST, 0)) as nobody:
        threading.Thread(target=lambda: nobody.accept()[0].send(b"HTTP/1.1 200\r\n")).start()
        told = probe(f"{HOST}:{nobody.getsockname()[1]}", trusting)
        assert told == "it does not speak TLS there"


def test_the_registry_is_asked_over_tls_with_certificate_and_password(
    firm: Authority, stranger: Authority, tmp_path: Path
) -> None:
    mine = firm.issue("process")
    secret = tmp_path / "password"
    secret.write_text("right-1\n")
    tls = TlsFiles(firm.certificate, mine.certificate, mine.key)
    with served(firm.issue("registry", HOST), firm, "right-1") as port:
        url = f"https://{HOST}:{port}"
        registry = Registry(HttpAccess.of(url, user="psa", password=SecretFile(secret), tls=tls))
        registry.require()
        secret.write_text("wrong-22\n")
        with pytest.raises(RegistryUnavailableError, match="refuses who asks") as caught:
            registry.require()
        assert "PSASTREAM_REGISTRY_USERNAME" in caught.value.hint
        assert "wrong-22" not in str(caught.value)
        secret.write_text("right-1\n")
        registry.require()

        untrusting = HttpAccess.of(url, tls=TlsFiles(stranger.certificate))
        with pytest.raises(RegistryUnavailableError, match="authority that we do not trust"):
            Registry(untrusting).require()
        unknown = HttpAccess.of(url, tls=TlsFiles(firm.certificate))
        with pytest.raises(RegistryUnavailableError, match="asks for a client certificate"):
            Registry(unknown).require()


async def _ask_connect(access: HttpAccess) -> object:
    client = ConnectClient(access, attempts=1)
    try:
        return await client.plugins()
    finally:
        await client.close()


@pytest.mark.asyncio
async def test_connect_is_asked_over_tls_with_certificate_and_password(
    firm: Authority, stranger: Authority, tmp_path: Path
) -> None:
    mine = firm.issue("operator")
    secret = tmp_path / "password"
    secret.write_text("right-1")
    tls = TlsFiles(firm.certificate, mine.certificate, mine.key)
    with served(firm.issue("connect", HOST), firm, "right-1") as port:
        url = f"https://{HOST}:{port}"
        access = HttpAccess.of(url, user="psa", password=SecretFile(secret), tls=tls)
        assert await _ask_connect(access) == []
        secret.write_text("wrong-22")
        with pytest.raises(AuthenticationError):
            await _ask_connect(access)
        with pytest.raises(VendorUnavailableError, match="authority that we do not trust"):
            await _ask_connect(HttpAccess.of(url, tls=TlsFiles(stranger.certificate)))
        with pytest.raises(VendorUnavailableError):
            await _ask_connect(HttpAccess.of(url, tls=TlsFiles(firm.certificate)))


def test_a_connection_after_a_rotation_uses_the_new_files(
    firm: Authority, stranger: Authority, tmp_path: Path
) -> None:
    """The server trusts other clients from now on, and shows another certificate itself."""
    old, new = firm.issue("old"), stranger.issue("new")

    def content(ca: Authority, pem: Pem) -> dict[str, str]:
        return {
            "ca": ca.certificate.read_text(),
            "crt": pem.certificate.read_text(),
            "key": pem.key.read_text(),
        }

    link(tmp_path, content(firm, old), 1)
    context = client_context(TlsFiles(tmp_path / "ca", tmp_path / "crt", tmp_path / "key"))
    with (
        served(firm.issue("server", HOST), firm) as before,
        served(stranger.issue("server", HOST), stranger) as after,
        httpx2.Client(verify=context) as client,
    ):
        assert client.get(f"https://{HOST}:{before}/").status_code == 200
        with pytest.raises(httpx2.HTTPError):
            client.get(f"https://{HOST}:{after}/")
        link(tmp_path, content(stranger, new), 2)
        assert client.get(f"https://{HOST}:{after}/").status_code == 200


def test_half_a_rotation_changes_nothing(firm: Authority, tmp_path: Path) -> None:
    old, new = firm.issue("first"), firm.issue("second")
    certificate, key = tmp_path / "crt", tmp_path / "key"
    certificate.write_text(old.certificate.read_text())
    key.write_text(old.key.read_text())
    context = client_context(TlsFiles(firm.certificate, certificate, key))
    certificate.write_text(new.certificate.read_text())
    with served(firm.issue("server", HOST), firm) as port, httpx2.Client(verify=context) as client:
        assert client.get(f"https://{HOST}:{port}/").status_code == 200


def test_new_clients_are_due_when_files_have_changed_and_can_be_used(
    firm: Authority, tmp_path: Path
) -> None:
    old, new = firm.issue("third"), firm.issue("fourth")
    certificate, key = tmp_path / "crt", tmp_path / "key"
    certificate.write_text(old.certificate.read_text())
    key.write_text(old.key.read_text())
    kafka = KafkaSettings(
        bootstrap_servers="k:1",
        extra={
            "security.protocol": "SSL",
            "ssl.certificate.location": str(certificate),
            "ssl.key.location": str(key),
        },
    )
    renewal = Renewal(kafka, look_every_s=0)
    assert not renewal.is_due()
    certificate.write_text(new.certificate.read_text())
    assert [renewal.is_due() for _ in range(3)] == [False] * 3  # the key does not fit
    key.write_text(new.key.read_text())
    assert [renewal.is_due() for _ in range(2)] == [False, True]  # once it holds still
    renewal.began()
    assert not renewal.is_due()


def test_secrets_stand_in_files_and_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("oldCanary-1\n")
    named = dict.fromkeys(
        (
            "PSASTREAM_KAFKA_SASL_PASSWORD_FILE",
            "PSASTREAM_REGISTRY_PASSWORD_FILE",
            "PSASTREAM_CONNECT_PASSWORD_FILE",
        ),
        str(file),
    )
    settings = Settings.from_env(
        NEEDED
        | named
        | {
            "PSASTREAM_CONNECT_URL": "https://c:1",
            "PSASTREAM_REGISTRY_USERNAME": "psa",
            "PSASTREAM_CONNECT_USERNAME": "psa",
            "PSASTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "PSASTREAM_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "PSASTREAM_KAFKA_SASL_USERNAME": "psa",
        }
    )
    kafka, registry, connect = settings.kafka, settings.registry, settings.connect
    assert connect is not None
    for secret in ("oldCanary-1", "newCanary-22"):
        file.write_text(secret)
        assert kafka.client()["sasl.password"] == secret
        assert registry.sign_in == connect.sign_in == ("psa", secret)
        assert mask(f"it is {secret}") == "it is ***"
        assert secret not in repr((settings, kafka, registry))
    file.unlink()
    assert registry.sign_in == ("psa", "newCanary-22")  # until there is another


def test_the_read_models_address_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text("postgresql://a:firstPass1@h/d")
    settings = Settings.from_env(NEEDED | {"PSASTREAM_READ_MODEL_URL_FILE": str(file)})
    file.write_text("postgresql://a:secondPass2@h/d")
    assert settings.now("read_model_url") == "postgresql://a:secondPass2@h/d"
    assert mask("secondPass2") == "***"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"REGISTRY_USERNAME": "psa"}, "REGISTRY_PASSWORD go together"),
        ({"CONNECT_SSL_KEY_LOCATION": "/k"}, "needs PSASTREAM_CONNECT_SSL_CERTIFICATE"),
        ({"REGISTRY_SSL_CA_LOCATION": "/nowhere.pem"}, "REGISTRY_SSL.*nowhere.pem"),
        ({"KAFKA_SASL_PASSWORD_FILE": "/nowhere"}, "SASL_PASSWORD_FILE: /nowhere cannot be read"),
        ({"REGISTRY_PASSWORD_FILE": __file__, "REGISTRY_PASSWORD": "x"}, "is set without _FILE"),
        ({"DATA_DIR_FILE": "/x"}, "DATA_DIR_FILE: there is no such variable"),
    ],
)
def test_what_does_not_fit_is_named(variables: dict[str, str], told: str) -> None:
    given = {f"PSASTREAM_{name}": value for name, value in variables.items()}
    with pytest.raises(ConfigError, match=told):
        Settings.from_env(NEEDED | given)
