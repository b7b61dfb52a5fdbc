"""The read model's database over TLS: whom its address has trusted, and what is said else."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from psastream.read_model.store import Store
from schemas.errors import ReadModelUnavailableError
from tests.support.certificates import Authority, Pem

HOST = "127.0.0.1"
HELLO = struct.pack("!ii", 8, 80877103)
"""SSLRequest: PostgreSQL documentation, 54.7, message formats."""
REFUSAL = b"SFATAL\0C28000\0Mmet over tls as %s\0\0"


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("firm"), "firm")


@contextmanager
def database(pem: Pem | None, trusted: Authority) -> Iterator[int]:
    """The port of a server that takes TLS with this certificate, and refuses whom it has met."""
    listener = socket.create_server((HOST, 0))

    def meet(plain: socket.socket) -> None:
        if plain.recv(8) != HELLO or pem is None:
            plain.sendall(b"N")
            return
        plain.sendall(b"S")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem.certificate, pem.key)
        context.load_verify_locations(trusted.certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
        with context.wrap_socket(plain, server_side=True) as connection:
            connection.recv(1024)
            subject = dict(each[0] for each in (connection.getpeercert() or {}).get("subject", ()))
            text = REFUSAL % subject.get("commonName", "nobody").encode()
            connection.sendall(b"E" + struct.pack("!i", len(text) + 4) + text)

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with plain:
                try:
                    meet(plain)
                except (OSError, ValueError):  # who trusts nobody, or only looks, ends it early
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def told(port: int, ca: Path, **further: Path) -> str:
    """What is said where the address asks for TLS with an authority."""
    files = "".join(f"&{name}={path}" for name, path in further.items())
    url = f"postgresql://psa@{HOST}:{port}/db?sslmode=verify-full&sslrootcert={ca}{files}"
    with pytest.raises(ReadModelUnavailableError) as caught:
        Store(url)
    assert "\n" not in str(caught.value)
    return caught.value.detail


def test_a_database_is_met_with_a_certificate_of_ours(firm: Authority) -> None:
    mine = firm.issue("read-model")
    with database(firm.issue("server", HOST), firm) as port:
        said = told(port, firm.certificate, sslcert=mine.certificate, sslkey=mine.key)
        assert "met over tls as read-model" in said
        assert "met over tls as nobody" in told(port, firm.certificate)


def test_a_database_that_is_another_is_not_spoken_to(firm: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    with database(stranger.issue("server", HOST), firm) as port:
        assert "certificate verify failed" in told(port, firm.certificate)
    with database(firm.issue("moved", "db.example.com"), firm) as port:
        assert "does not match host name" in told(port, firm.certificate)
    with database(firm.issue("late", HOST, is_expired=True), firm) as port:
        assert "certificate verify failed" in told(port, firm.certificate)
    with database(None, firm) as port:
        assert "does not support SSL" in told(port, firm.certificate)
