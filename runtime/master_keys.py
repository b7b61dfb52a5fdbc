"""Master keys: they encrypt the keys that records are encrypted with, and nothing else.

`MasterKeys` is what a key service has to offer; `KeyFile` is one of a file.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.secrets import remember
from schemas.errors import ConfigError

_log = structlog.get_logger()

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_LINE: Final = re.compile(r"(?P<version>[A-Za-z0-9_.-]{1,32}):(?P<key>[A-Za-z0-9+/]{43}=)")
_HINT: Final = "psastream keys new prints a line; one key a line, the one to use comes last"


class MasterKeys(Protocol):
    """Encrypts data keys. What it has encrypted it opens as long as it has that version."""

    @property
    def version(self) -> str:
        """The version that `wrap` uses now."""
        ...

    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        """Encrypt a data key; it opens for `bound_to` alone."""
        ...

    def unwrap(self, version: str, wrapped: bytes, bound_to: bytes) -> bytes:
        """Decrypt a data key. Raises ConfigError where that cannot be."""
        ...


class KeyFile:
    """Master keys of a text: a line each, `<version>:<32 bytes in base64>`, the last one in use."""

    def __init__(self, read: Callable[[], str]) -> None:
        """`read` gives the text of now, so keys change in place. Raises ConfigError."""
        self._read = read
        self._known: tuple[str | None, dict[str, AESGCM]] = (None, {})
        self._keys()

    @property
    def version(self) -> str:
        """See MasterKeys."""
        return [*self._keys()][-1]

    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        """See MasterKeys."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._keys()[self.version].encrypt(nonce, key, bound_to)

    def unwrap(self, version: str, wrapped: bytes, bound_to: bytes) -> bytes:
        """See MasterKeys."""
        master = self._keys().get(version)
        if master is None:
            raise ConfigError(
                f"records are encrypted under the master key {version}, which is not there",
                hint="put its line back; psastream keys rewrap is for taking one away",
            )
        nonce, rest = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        try:
            return master.decrypt(nonce, rest, bound_to)
        except (InvalidTag, ValueError) as error:
            raise ConfigError(
                f"the master key {version} is another than the one that was used",
                hint="each version is one key for good; give a new key a new name",
            ) from error

    def _keys(self) -> dict[str, AESGCM]:
        text = self._read()
        known, keys = self._known
        if text == known:
            return keys
        try:
            keys = _parsed(text)
        except ConfigError as error:
            if not keys:
                raise
            _log.error("keys.unreadable", error=str(error), hint="the last ones are used")
        self._known = text, keys
        return keys


def new_line(version: str) -> str:
    """Return a line with a new key. Raises ConfigError where the version is no name."""
    line = f"{version}:{b64encode(os.urandom(_KEY_BYTES)).decode()}"
    if not _LINE.fullmatch(line):
        raise ConfigError(
            f"no name of a version: {version}", hint="letters, digits and _ . - are, up to 32"
        )
    return line


def _parsed(text: str) -> dict[str, AESGCM]:
    keys: dict[str, AESGCM] = {}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None or found["version"] in keys:
            said = "is no master key" if found is None else "has the name of one before it"
            raise ConfigError(f"PSASTREAM_MASTER_KEYS: line {number} {said}", hint=_HINT)
        remember(found["key"])
        keys[found["version"]] = AESGCM(b64decode(found["key"]))
    if not keys:
        raise ConfigError("PSASTREAM_MASTER_KEYS: there is no master key", hint=_HINT)
    return keys
