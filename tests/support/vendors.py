"""The vendor twin as a process of its own, for tests: addresses, credentials, admin client."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from sandbox.vendors.client import VendorAdmin
from sandbox.vendors.credentials import ENVIRONMENT_FILE
from tests.support.eventually import eventually

_START_DEADLINE_S = 60


@dataclass(frozen=True, slots=True)
class Vendors:
    """A running twin. `environment` holds what connector configs refer to as `${env:NAME}`."""

    url: str
    environment: dict[str, str]
    admin: VendorAdmin


@contextlib.contextmanager
def running_vendors(directory: Path, *, seed: int = 1) -> Iterator[Vendors]:
    """Start a twin on a free port with its credentials in `directory`; end it on leaving."""
    port = _free_port()
    command = [
        *(sys.executable, "-m", "sandbox.vendors", "--port", str(port), "--seed", str(seed)),
        *("--credentials-dir", str(directory)),
    ]
    log_path = directory / "vendors.log"
    directory.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
    url = f"http://127.0.0.1:{port}"
    try:
        with VendorAdmin(url) as admin:
            eventually(lambda: _is_up(admin, process, log_path), deadline_s=_START_DEADLINE_S)
            environment = json.loads((directory / ENVIRONMENT_FILE).read_text())
            yield Vendors(url, environment, admin)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def vendors(tmp_path: Path) -> Iterator[Vendors]:
    """A fresh twin of this test's own, without limits on requests over time."""
    with running_vendors(tmp_path / "vendors") as running:
        running.admin.lift_rate_limits()
        yield running


def salesforce_assertion(key: RSAKey, *, algorithm: str = "RS256", **claims: object) -> str:
    """A signed assertion the CRM accepts, but for the claims given."""
    accepted = {
        "iss": "psastream-sandbox-client",
        "sub": "integration@psastream.example",
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 180,
    }
    return jwt.encode({"alg": algorithm}, {**accepted, **claims}, key, algorithms=[algorithm])


def netsuite_assertion(
    key: RSAKey,
    url: str,
    *,
    certificate_id: str = "psastream-sandbox-certificate",
    **claims: object,
) -> str:
    """A signed assertion the ERP at `url` accepts, but for the claims given."""
    now_s = int(time.time())
    accepted = {
        "iss": "psastream-sandbox-client",
        "scope": ["rest_webservices"],
        "aud": f"{url}/services/rest/auth/oauth2/v1/token",
        "iat": now_s,
        "exp": now_s + 300,
    }
    header = {"typ": "JWT", "alg": "PS256", "kid": certificate_id}
    return jwt.encode(header, {**accepted, **claims}, key, algorithms=["PS256"])


def salesforce_token_form(assertion: str) -> dict[str, str]:
    """Form of a token request to the CRM."""
    return {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": assertion,
    }


def netsuite_token_form(assertion: str) -> dict[str, str]:
    """Form of a token request to the ERP."""
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }


def _is_up(admin: VendorAdmin, process: subprocess.Popen[bytes], log_path: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"the vendor twin ended at once:\n{log_path.read_text()}")
    return admin.is_up()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
