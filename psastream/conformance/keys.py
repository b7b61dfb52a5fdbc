"""Private keys of the suite's own, for vendors whose clients sign what they ask with."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from joserfc.jwk import RSAKey

BITS: Final = 3072
"""The shortest that any vendor takes."""


@cache
def key_file() -> Path:
    """Return the file of a private key in PEM. It is removed as the process ends."""
    path = Path(_folder().name) / "key.pem"
    path.touch(0o600)
    path.write_bytes(RSAKey.generate_key(BITS).as_pem(private=True))
    return path


@cache
def public_key(path: str) -> RSAKey:
    """Return what a vendor knows of the key of a file."""
    return RSAKey.import_key(Path(path).read_bytes())


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="psastream-conform-")
