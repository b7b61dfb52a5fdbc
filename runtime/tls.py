"""TLS of our clients of HTTP and Kafka: files that may change in place, and what went wrong.

A mounted secret is replaced while a process runs. So each new connection looks whether its files
are still those that it knows; connections that stand are left alone.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from runtime.secrets import remember
from schemas.errors import ConfigError

Stamp = tuple[tuple[int, int, int] | None, ...]
_HINT: Final = "they are PEM files the process can read; the key fits the certificate"
_SAID: Final[Mapping[str, str]] = {
    "certificate has expired": "its certificate has expired",
    "Hostname mismatch": "its certificate is for another host name",
    "IP address mismatch": "its certificate is for another host name",
    "unable to get local issuer": "its certificate is of an authority that we do not trust",
    "unable to get issuer": "its certificate is of an authority that we do not trust",
    "self-signed certificate": "its certificate is of an authority that we do not trust",
    "self signed certificate": "its certificate is of an authority that we do not trust",
    "alert certificate required": "it asks for a client certificate, and we have none",
    "alert certificate expired": "our certificate has expired",
    "alert certificate unknown": "it does not trust our certificate",
    "alert unknown ca": "it does not trust our certificate",
    "authentication failed": "it refuses our user name or password",
    "alert bad certificate": "it asks for a client certificate, and does not take ours",
    "wrong version number": "it does not speak TLS there",
    "record layer failure": "it does not speak TLS there",
}
"""What OpenSSL and Kafka say, and what it means."""
_PROBE_S: Final = 3.0
_ALERT_S: Final = 0.5
"""Of TLS 1.3, an alert about the client's certificate follows the handshake."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files in PEM: authorities to trust, our certificate and its key.

    Without `ca` those are trusted that the system trusts.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str | None = None

    @classmethod
    def of_options(cls, options: Mapping[str, str]) -> Self:
        """Those that librdkafka's keys name."""
        ca, certificate, key = (
            Path(options[name]) if name in options else None
            for name in ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location")
        )
        return cls(ca, certificate, key, options.get("ssl.key.password"))

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that are named."""
        return tuple(path for path in (self.ca, self.certificate, self.key) if path is not None)


def stamp_of(paths: Iterable[Path]) -> Stamp:
    """Return what changes when a file does, or what it is linked to; None for one that is gone."""
    return tuple(map(_stamp, paths))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # gone, or no path at all
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class SecretFile:
    """A secret that a file holds. It is read again whenever the file has changed."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError where the file cannot be read."""
        self.path = path
        self._stamp: Stamp = ()
        self._value = self._read()

    @property
    def value(self) -> str:
        """The secret, of now. While the file cannot be read, or is empty, the last one."""
        if stamp_of([self.path]) != self._stamp:
            with suppress(ConfigError):  # it is being replaced: who asks next looks again
                self._value = self._read()
        return self._value

    def _read(self) -> str:
        stamp = stamp_of([self.path])
        try:
            value = self.path.read_text("utf-8").strip("\r\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise ConfigError(f"{self.path} cannot be read: {reason}") from error
        if not value:
            raise ConfigError(f"{self.path} is empty")
        remember(value)
        self._stamp = stamp
        return value


class RenewedContext(ssl.SSLContext):
    """A context for clients whose new connections use the files as they are."""

    _files: TlsFiles
    _loaded: Stamp

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """As in `ssl`; event loops make connections by it."""
        self._renew()
        return super().wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """As in `ssl`; blocking clients make connections by it."""
        self._renew()
        return super().wrap_socket(*arguments, **named)

    def load(self, files: TlsFiles) -> None:
        """Use these files from now on. Raises ConfigError that names them."""
        stamp = stamp_of(files.paths)
        try:
            _load(self, files)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            given = ", ".join(repr(str(path)) for path in files.paths)
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"the files for tls cannot be used: {given}: {reason}", hint=_HINT
            ) from error
        self._files, self._loaded = files, stamp

    def _renew(self) -> None:
        """Load what has changed. What cannot be used yet, such as a key alone, is left for later.

        Authorities are added: those that a file does not hold any more end with the process.
        """
        stamp = stamp_of(self._files.paths)
        if stamp != self._loaded:
            try:
                _load(self, self._files)
            except (OSError, ValueError):
                return
            self._loaded = stamp


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    if files.certificate is not None:
        # A key that does not fit is refused after the certificate was taken: tried beside it first.
        for each in (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), context):
            each.load_cert_chain(files.certificate, files.key, files.key_password or "")
    if files.ca is not None:
        context.load_verify_locations(files.ca)


def client_context(files: TlsFiles) -> RenewedContext:
    """Return a context that verifies certificate and host name. Raises ConfigError."""
    context = RenewedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.ca is None:
        context.load_default_certs()
    context.load(files)
    return context


def explain(error: BaseException | str) -> str | None:
    """Return in plain words what a TLS error means, from it or what has caused it; else None."""
    texts = [error] if isinstance(error, str) else [str(each) for each in _chain(error)]
    for text in texts:
        words = text.replace("_", " ").lower()
        for said, meaning in _SAID.items():
            if said.lower() in words:
                return meaning
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        yield each
        seen.add(id(each))
        inner = getattr(each, "os_error", None)
        each = inner if isinstance(inner, BaseException) else each.__cause__ or each.__context__


def probe(address: str, files: TlsFiles) -> str | None:
    """Shake hands with host:port; return in plain words what stands against it, or None. Blocks.

    For clients that do not say what is wrong with a certificate.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with (
            socket.create_connection((host, int(port)), _PROBE_S) as plain,
            client_context(files).wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.settimeout(_ALERT_S)
            connection.recv(1)
    except (OSError, ValueError, ConfigError) as error:
        return explain(error)
    return None
