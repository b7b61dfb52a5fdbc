"""How long certificates last: those of our files, and those that servers show us."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from prometheus_client import Gauge

from runtime.settings import Settings
from runtime.sign_ins import KAFKA, REGISTRY, signs_in_at
from runtime.tls import Stamp, TlsFiles, stamp_of

AUTHORITY: Final = "authority"
CLIENT: Final = "client"
SERVER: Final = "server"

REMAINING: Final = Gauge(
    "psastream_certificate_remaining_seconds",
    "Until a certificate ends, below zero once it has: ours, of its authorities, of the server.",
    ("service", "certificate"),
)
LOOK_EVERY_S: Final = 60.0
"""How often servers are asked for their certificate."""
_ANSWER_S: Final = 5.0
_OF_KAFKA: Final = {"ssl.ca.location": AUTHORITY, "ssl.certificate.location": CLIENT}
_OF_SERVICES: Final = {"ssl_ca_location": AUTHORITY, "ssl_certificate_location": CLIENT}
_OF_LIBPQ: Final = {"sslrootcert": AUTHORITY, "sslcert": CLIENT}
_PORTS: Final = {"https": 443, "postgres": 5432, "postgresql": 5432}
_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's protocol, SSLRequest: the server answers `S` and waits for the handshake."""
_HAVE_TLS: Final = ("require", "verify-ca", "verify-full")
"""Values of libpq's `sslmode` that have TLS, or nothing."""


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A file of certificates, what it is for, and the variable that names it."""

    service: str
    certificate: str
    variable: str
    path: Path


@dataclass(frozen=True, slots=True)
class Server:
    """Who shows a certificate: host and port, and the files that it is met with."""

    service: str
    host: str
    port: int
    tls: TlsFiles
    is_postgres: bool = False


def certificate_files(settings: Settings) -> Iterator[CertificateFile]:
    """Yield the files of certificates that the settings name."""
    for key, certificate in _OF_KAFKA.items():
        if key in settings.kafka_extra:
            variable = f"PSASTREAM_KAFKA_{key.upper().replace('.', '_')}"
            path = Path(settings.kafka_extra[key])
            yield CertificateFile(KAFKA, certificate, variable, path)
    for service in (REGISTRY, "connect"):
        for part, certificate in _OF_SERVICES.items():
            path = getattr(settings, f"{service}_{part}")
            if path is not None:
                variable = f"PSASTREAM_{service.upper()}_{part.upper()}"
                yield CertificateFile(service, certificate, variable, path)
    options = _options_of(settings.now("read_model_url"))
    for key, certificate in _OF_LIBPQ.items():
        if (named := options.get(key)) and named != "system":
            variable = f"PSASTREAM_READ_MODEL_URL, {key}"
            yield CertificateFile("read_model", certificate, variable, Path(named))


def end_of(file: CertificateFile) -> datetime:
    """Return when a file's certificates end: of a chain, the one that ends first counts.

    Of authorities the one that ends last: while they change, a file holds the old one, too.
    Raises OSError, or ValueError where it holds none.
    """
    held = x509.load_pem_x509_certificates(file.path.read_bytes())
    counts = max if file.certificate == AUTHORITY else min
    return counts(each.not_valid_after_utc for each in held)


def servers_of(settings: Settings) -> Iterator[Server]:
    """Yield the servers that the settings name and that are met by TLS."""
    options = settings.kafka_extra
    if "SSL" in options.get("security.protocol", "").upper():
        for address in settings.bootstrap_servers.split(","):
            host, _, port = address.strip().rpartition(":")
            if port.isdecimal():
                tls = TlsFiles.of_options(settings.kafka.options())
                yield Server(KAFKA, host.strip("[]"), int(port), tls)
    for service, access in ((REGISTRY, settings.registry), ("connect", settings.connect)):
        if access is not None and access.url.startswith("https:"):
            yield from _named(service, access.url, access.tls)
    url = settings.now("read_model_url")
    options = _options_of(url)
    if url and options.get("sslmode") in _HAVE_TLS:
        ca, certificate, key = (
            _path(options.get(it)) for it in ("sslrootcert", "sslcert", "sslkey")
        )
        tls = TlsFiles(ca, certificate, key)
        yield from _named("read_model", url, tls)


def shown_end(server: Server) -> datetime:
    """Return when the certificate ends that a server shows. Blocks.

    Nothing is sent to it and nothing trusted: one that has ended is to be told, too. Raises
    OSError, or ValueError for what is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if server.tls.certificate is not None:  # some servers shake no other hands
        context.load_cert_chain(
            server.tls.certificate, server.tls.key, server.tls.key_password or ""
        )
    with socket.create_connection((server.host, server.port), _ANSWER_S) as plain:
        if server.is_postgres:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise ValueError("the database has no TLS")
        with context.wrap_socket(plain, server_hostname=server.host) as connection:
            shown = connection.getpeercert(binary_form=True) or b""
    return x509.load_der_x509_certificate(shown).not_valid_after_utc


class Certificates:
    """Keeps the metric of the certificates that the settings name."""

    def __init__(
        self, settings: Settings, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._now = now
        self._ends: dict[str, datetime] = {}
        self._servers = list(servers_of(settings))
        for file in certificate_files(settings):
            keep_end(file, now=now)

    @property
    def has_servers(self) -> bool:
        """Whether a server is to be looked at."""
        return bool(self._servers)

    def look(self) -> None:
        """Ask each server for its certificate; of several for a service the first to end counts.

        One that does not answer is told elsewhere, and changes nothing here. Blocks.
        """
        found: dict[str, datetime] = {}
        for server in self._servers:
            with suppress(OSError, ValueError):
                end = shown_end(server)
                found[server.service] = min(end, found.get(server.service, end))
        for service, end in found.items():
            self._ends[service] = end
            _tell(service, SERVER, partial(self._ends.get, service), self._now)


def keep_end(
    file: CertificateFile, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Keep the metric of a file for the life of the process; none of one that cannot be read."""
    known = _KnownFile(file)
    if known.end() is not None:
        _tell(file.service, file.certificate, known.end, now)


def _tell(
    service: str,
    certificate: str,
    end: Callable[[], datetime | None],
    now: Callable[[], datetime],
) -> None:
    def remaining_s() -> float:
        ends_at = end()
        return float("nan") if ends_at is None else (ends_at - now()).total_seconds()

    REMAINING.labels(service, certificate).set_function(remaining_s)


class _KnownFile:
    """A file that is read again whenever it has changed; unreadable, it stays as it was."""

    def __init__(self, file: CertificateFile) -> None:
        self._file = file
        self._stamp: Stamp = ()
        self._end: datetime | None = None

    def end(self) -> datetime | None:
        """When it ends; None where it has never been read."""
        stamp = stamp_of([self._file.path])
        if stamp != self._stamp:
            with suppress(OSError, ValueError):  # it is being replaced: who asks next looks again
                self._end, self._stamp = end_of(self._file), stamp
        return self._end


def watch_certificates(settings: Settings, *, look_every_s: float = LOOK_EVERY_S) -> None:
    """Keep the metric for the life of the process; servers are asked on a daemon thread."""
    signs_in_at(KAFKA)
    signs_in_at(REGISTRY)
    certificates = Certificates(settings)

    def look_for_ever() -> None:
        while True:
            certificates.look()
            time.sleep(look_every_s)

    if certificates.has_servers:
        threading.Thread(target=look_for_ever, name="certificates", daemon=True).start()


def _named(service: str, url: str, tls: TlsFiles) -> Sequence[Server]:
    """The server of an address, or nothing where it names none that can be asked."""
    try:
        address = urlsplit(url)
        port = address.port or _PORTS[address.scheme]
    except (ValueError, KeyError):
        return ()
    if not address.hostname:
        return ()
    return (Server(service, address.hostname, port, tls, address.scheme.startswith("postgres")),)


def _options_of(url: str | None) -> dict[str, str]:
    """The parameters of a libpq URI; none of what is no address."""
    try:
        query = urlsplit(url or "").query
    except ValueError:  # whoever needs it says so
        return {}
    return {key: values[-1] for key, values in parse_qs(query).items()}


def _path(text: str | None) -> Path | None:
    return None if text is None or text == "system" else Path(text)
