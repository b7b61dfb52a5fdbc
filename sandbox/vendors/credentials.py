"""The credentials of all simulated vendors: made once, and kept in a directory for clients."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sandbox.vendors import wire
from sandbox.vendors.catalogue import twins
from sandbox.vendors.secret import Credentials, Secret

ENVIRONMENT_FILE: Final = "environment.json"
"""Environment variables the connectors need, as one JSON object; see `write_credentials`."""


def make_credentials() -> Credentials:
    """New keys and new static tokens."""
    return _collected(lambda secret: None)


def write_credentials(directory: Path, base_url: str, credentials: Credentials) -> None:
    """Write key files and `environment.json` (names as connector configs use them), mode 0600."""
    directory.mkdir(parents=True, exist_ok=True)
    environment: dict[str, str] = {}
    for name, twin in twins().items():
        for secret in twin.secrets:
            value = credentials[secret.variable]
            if secret.file:
                path = directory / secret.file
                _write_secret(path, value.encode())
                value = str(path.resolve())
            environment[secret.variable] = value
        environment |= twin.environment(f"{base_url}/{name}", credentials)
    _write_secret(directory / ENVIRONMENT_FILE, wire.dumps(environment))


def read_credentials(directory: Path) -> Credentials:
    """Credentials written before, so that a restarted twin accepts its clients.

    What is missing is made: the directory may be of a twin that had fewer vendors.
    """
    file = directory / ENVIRONMENT_FILE
    environment = wire.loads(file.read_bytes()) if file.exists() else {}

    def kept(secret: Secret) -> str | None:
        if not secret.file:
            value: str | None = environment.get(secret.variable)
            return value
        path = directory / secret.file
        return path.read_text() if path.exists() else None

    return _collected(kept)


def _collected(kept: Callable[[Secret], str | None]) -> Credentials:
    found: dict[str, str] = {}
    files: dict[str, str] = {}
    for twin in twins().values():
        for secret in twin.secrets:
            value = files.get(secret.file) or kept(secret) or secret.make(found)
            found[secret.variable] = value
            if secret.file:
                files[secret.file] = value
    return Credentials(found)


def _write_secret(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # the mode below counts only for a file that is created
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
