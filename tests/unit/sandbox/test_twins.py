"""Simulated vendors are found by their folders: nothing lists them, nor what they sign in with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_key
from cryptography.x509 import load_pem_x509_certificate as load_certificate
from starlette.testclient import TestClient

from sandbox.vendors import catalogue
from sandbox.vendors.app import create_app
from sandbox.vendors.catalogue import twins
from sandbox.vendors.credentials import (
    ENVIRONMENT_FILE,
    make_credentials,
    read_credentials,
    write_credentials,
)
from sandbox.vendors.secret import Credentials

URL = "http://twin"
FOLDERS = Path(catalogue.__file__).parent


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


def environment_in(directory: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((directory / ENVIRONMENT_FILE).read_text())
    return found


def test_each_folder_with_an_api_is_a_twin() -> None:
    assert set(twins()) == {path.parent.name for path in FOLDERS.glob("*/books.py")} | {
        path.parent.name for path in FOLDERS.glob("*/api.py")
    }


def test_all_twins_are_served_and_their_limits_lifted_at_once(credentials: Credentials) -> None:
    http = TestClient(create_app(base_url=URL, seed=1, credentials=credentials))
    assert set(http.get("/admin/books").json()) == set(twins())
    assert http.request("DELETE", "/admin/limits").status_code == 204
    for name, twin in twins().items():
        settings: dict[str, Any] = http.get(f"/admin/{name}/settings").json()
        assert {key: settings[key] for key in twin.unlimited} == twin.unlimited
        assert {key for key in settings if "requests" in key or "per_" in key} <= {
            *twin.unlimited, "concurrent_requests",
        }  # fmt: skip


def test_limits_of_one_vendor_leave_those_of_others(credentials: Credentials) -> None:
    http = TestClient(create_app(base_url=URL, seed=1, credentials=credentials))
    one, other, *_ = (name for name, twin in twins().items() if twin.unlimited)
    before = http.get(f"/admin/{other}/settings").json()
    http.request("DELETE", f"/admin/{one}/limits")
    assert http.get(f"/admin/{one}/settings").json() != twins()[one].settings().model_dump()
    assert http.get(f"/admin/{other}/settings").json() == before


def test_credentials_are_read_as_they_were_written(
    tmp_path: Path, credentials: Credentials
) -> None:
    write_credentials(tmp_path, URL, credentials)
    assert read_credentials(tmp_path) == credentials


def test_a_directory_of_fewer_vendors_gets_what_it_lacks(
    tmp_path: Path, credentials: Credentials
) -> None:
    write_credentials(tmp_path, URL, credentials)
    whole = environment_in(tmp_path)
    lacking = [secret for secret in twins()["adp"].secrets if secret.file]
    for secret in lacking:
        (tmp_path / secret.file).unlink()
    gone = {"ADP_CLIENT_SECRET", "FLOAT_TOKEN", *(secret.variable for secret in lacking)}
    kept = {name: value for name, value in whole.items() if name not in gone}
    (tmp_path / ENVIRONMENT_FILE).write_text(json.dumps(kept))

    found = read_credentials(tmp_path)
    write_credentials(tmp_path, URL, found)

    assert {name for name, value in found.secrets.items() if value != credentials[name]} == gone
    assert environment_in(tmp_path).keys() == whole.keys()
    certificate = load_certificate((tmp_path / "adp_client_certificate.pem").read_bytes())
    key = load_key((tmp_path / "adp_client_key.pem").read_bytes(), None)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def test_an_empty_directory_gets_all(tmp_path: Path) -> None:
    found = read_credentials(tmp_path)
    assert set(found.secrets) == {
        secret.variable for twin in twins().values() for secret in twin.secrets
    }


def test_vendors_that_name_one_file_have_one_secret(
    tmp_path: Path, credentials: Credentials
) -> None:
    write_credentials(tmp_path, URL, credentials)
    variables = environment_in(tmp_path)
    first, second = "SALESFORCE_PRIVATE_KEY_FILE", "CERTINIA_PRIVATE_KEY_FILE"
    assert variables[first] == variables[second]
    assert credentials[first] == credentials[second]
