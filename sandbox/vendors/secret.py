"""What clients of the twin sign in with: secrets that each vendor declares."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from joserfc.jwk import RSAKey

_CERTIFICATE_LIFETIME: Final = timedelta(days=730)
_CLIENT_ID: Final = "psastream-sandbox-client"
_USERNAME: Final = "integration@psastream.example"
_CERTIFICATE_ID: Final = "psastream-sandbox-certificate"

Make = Callable[[Mapping[str, str]], str]
"""Makes a secret, given those that were made before it, by variable."""


def token(made: Mapping[str, str]) -> str:
    """A text that nobody guesses."""
    return secrets.token_urlsafe(32)


def key_of(bits: int) -> Make:
    """A pair of keys of RSA, in PEM; the twin uses the public half."""
    return lambda made: RSAKey.generate_key(bits).as_pem(private=True).decode()


def certificate_of(variable: str) -> Make:
    """A certificate of a client, in PEM, which the key of a variable signed itself."""
    return lambda made: _certificate(made[variable])


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, and the variable of connector files that says it, or in which `file` it is.

    Vendors that name one file have one secret.
    """

    variable: str
    make: Make = token
    file: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the connectors may sign in with; `secrets` by variable."""

    secrets: Mapping[str, str]
    client_id: str = _CLIENT_ID
    username: str = _USERNAME
    certificate_id: str = _CERTIFICATE_ID

    def __getitem__(self, variable: str) -> str:
        """Return a secret: itself, even where the variable says in which file it is."""
        return self.secrets[variable]

    def key(self, variable: str) -> RSAKey:
        """Return a pair of keys."""
        return _read_key(self.secrets[variable])


@lru_cache(maxsize=16)
def _read_key(pem: str) -> RSAKey:
    return RSAKey.import_key(pem)


def _certificate(key: str) -> str:
    private = load_pem_private_key(key.encode(), None)
    assert isinstance(private, RSAPrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _CLIENT_ID)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _CERTIFICATE_LIFETIME)
        .sign(private, SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()
