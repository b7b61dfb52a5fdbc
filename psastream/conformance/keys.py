"""Private keys of the suite's own, for vendors whose clients sign, or show a certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from joserfc.jwk import RSAKey

BITS: Final = 3072
"""The shortest that any vendor takes."""
FIRST_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
LIFETIME: Final = timedelta(days=3650)


@cache
def key_file() -> Path:
    """Return the file of a private key in PEM. It is removed as the process ends."""
    path = Path(_folder().name) / "key.pem"
    path.touch(0o600)
    path.write_bytes(RSAKey.generate_key(BITS).as_pem(private=True))
    return path


@cache
def certificate_file() -> Path:
    """Return the file of a certificate in PEM for the key of `key_file`."""
    key = load_pem_private_key(key_file().read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "psastream")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST_DAY)
        .not_valid_after(FIRST_DAY + LIFETIME)
        .sign(key, SHA256())
    )
    path = key_file().with_name("certificate.pem")
    path.write_bytes(made.public_bytes(Encoding.PEM))
    return path


@cache
def public_key(path: str) -> RSAKey:
    """Return what a vendor knows of the key of a file."""
    return RSAKey.import_key(Path(path).read_bytes())


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="psastream-conform-")
