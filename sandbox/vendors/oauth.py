"""Credentials of the twin and its OAuth2 rules: keys, signed assertions, access tokens."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from sandbox.vendors import wire

ENVIRONMENT_FILE = "environment.json"
"""Environment variables the connectors need, as one JSON object; see `write_credentials`."""

_COMPANY = "{:08x}-0000-4000-8000-00000000bc00"
FIRST_COMPANY = _COMPANY.format(1)
"""Id of the company that is founded first in Business Central."""

DEMO_COMPANIES = "DEMF,USMF"
"""Companies of Finance & Operations, which are founded by these ids."""

FIRST_CLIENT = "1"
"""Id of the client that is made first in Runn."""

FIRST_LEAVE, LAST_LEAVE = "2024-01-01", "2030-12-31"
"""Days between which leave of BambooHR is read."""

GUSTO_COMPANY = "00000001-0000-4000-8000-000000006057"
"""Id of the company whose payrolls Gusto runs."""
FIRST_PAYROLL = "2026-01-01"
"""Day from which on payrolls are read."""
_CERTIFICATE_FILE = "adp_certificate.pem"
_REFRESH_TOKEN_FILE = "gusto_refresh_token"  # noqa: S105 - a file's name

_CERTIFICATE_LIFETIME = timedelta(days=730)

_CLIENT_ID = "psastream-sandbox-client"
_USERNAME = "integration@psastream.example"
_CERTIFICATE_ID = "psastream-sandbox-certificate"


class AssertionRefusedError(Exception):
    """A signed assertion is not acceptable; the text says why."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the connectors may sign in with; the keys are pairs, the twin uses the public half."""

    salesforce_key: RSAKey
    netsuite_key: RSAKey
    float_token: str
    hubspot_token: str
    harvest_token: str
    runn_token: str
    business_central_secret: str
    kantata_token: str
    finance_operations_secret: str
    bamboohr_key: str
    gusto_secret: str
    gusto_refresh_token: str
    coupa_secret: str
    adp_secret: str
    adp_certificate: bytes
    harvest_account: str = "1730042"
    client_id: str = _CLIENT_ID
    username: str = _USERNAME
    certificate_id: str = _CERTIFICATE_ID


def make_credentials() -> Credentials:
    """New keys and new static tokens."""
    netsuite_key = RSAKey.generate_key(3072)  # the shortest the vendor accepts
    return Credentials(
        salesforce_key=RSAKey.generate_key(2048),
        netsuite_key=netsuite_key,
        float_token=secrets.token_urlsafe(32),
        hubspot_token=secrets.token_urlsafe(32),
        harvest_token=secrets.token_urlsafe(32),
        runn_token=secrets.token_urlsafe(32),
        business_central_secret=secrets.token_urlsafe(32),
        kantata_token=secrets.token_urlsafe(32),
        finance_operations_secret=secrets.token_urlsafe(32),
        bamboohr_key=secrets.token_urlsafe(32),
        gusto_secret=secrets.token_urlsafe(32),
        gusto_refresh_token=secrets.token_urlsafe(32),
        coupa_secret=secrets.token_urlsafe(32),
        adp_secret=secrets.token_urlsafe(32),
        adp_certificate=_certificate_of(netsuite_key),
    )


def write_credentials(directory: Path, base_url: str, credentials: Credentials) -> None:
    """Write key files and `environment.json` (names as connector configs use them), mode 0600."""
    directory.mkdir(parents=True, exist_ok=True)
    salesforce_key = directory / "salesforce_private_key.pem"
    netsuite_key = directory / "netsuite_private_key.pem"
    _write_secret(salesforce_key, credentials.salesforce_key.as_pem(private=True))
    _write_secret(netsuite_key, credentials.netsuite_key.as_pem(private=True))
    certificate = directory / _CERTIFICATE_FILE
    _write_secret(certificate, credentials.adp_certificate)
    refresh_token = directory / _REFRESH_TOKEN_FILE
    _write_secret(refresh_token, credentials.gusto_refresh_token.encode())
    environment = {
        "SALESFORCE_URL": f"{base_url}/salesforce",
        "SALESFORCE_CLIENT_ID": credentials.client_id,
        "SALESFORCE_USERNAME": credentials.username,
        "SALESFORCE_PRIVATE_KEY_FILE": str(salesforce_key.resolve()),
        "CERTINIA_URL": f"{base_url}/certinia",
        "CERTINIA_CLIENT_ID": credentials.client_id,
        "CERTINIA_USERNAME": credentials.username,
        "CERTINIA_PRIVATE_KEY_FILE": str(salesforce_key.resolve()),
        "NETSUITE_URL": f"{base_url}/netsuite",
        "NETSUITE_CLIENT_ID": credentials.client_id,
        "NETSUITE_CERTIFICATE_ID": credentials.certificate_id,
        "NETSUITE_PRIVATE_KEY_FILE": str(netsuite_key.resolve()),
        "FLOAT_URL": f"{base_url}/float",
        "FLOAT_TOKEN": credentials.float_token,
        "HUBSPOT_URL": f"{base_url}/hubspot",
        "HUBSPOT_TOKEN": credentials.hubspot_token,
        "HARVEST_URL": f"{base_url}/harvest",
        "HARVEST_TOKEN": credentials.harvest_token,
        "HARVEST_ACCOUNT_ID": credentials.harvest_account,
        "RUNN_URL": f"{base_url}/runn",
        "RUNN_TOKEN": credentials.runn_token,
        "RUNN_CLIENT_ID": FIRST_CLIENT,
        "BUSINESS_CENTRAL_URL": f"{base_url}/business_central/api",
        "BUSINESS_CENTRAL_AUTH_URL": f"{base_url}/business_central/login",
        "BUSINESS_CENTRAL_CLIENT_ID": credentials.client_id,
        "BUSINESS_CENTRAL_CLIENT_SECRET": credentials.business_central_secret,
        "BUSINESS_CENTRAL_COMPANIES": companies_filter(1),
        "KANTATA_TOKEN": credentials.kantata_token,
        "FINANCE_OPERATIONS_URL": f"{base_url}/finance_operations",
        "FINANCE_OPERATIONS_AUTH_URL": f"{base_url}/finance_operations/login",
        "FINANCE_OPERATIONS_CLIENT_ID": credentials.client_id,
        "FINANCE_OPERATIONS_CLIENT_SECRET": credentials.finance_operations_secret,
        "FINANCE_OPERATIONS_COMPANIES": DEMO_COMPANIES,
        "BAMBOOHR_URL": f"{base_url}/bamboohr",
        "BAMBOOHR_KEY": credentials.bamboohr_key,
        "BAMBOOHR_TIME_OFF_START": FIRST_LEAVE,
        "BAMBOOHR_TIME_OFF_END": LAST_LEAVE,
        "GUSTO_URL": f"{base_url}/gusto",
        "GUSTO_CLIENT_ID": credentials.client_id,
        "GUSTO_CLIENT_SECRET": credentials.gusto_secret,
        "GUSTO_REFRESH_TOKEN_PATH": str(refresh_token.resolve()),
        "GUSTO_COMPANY": GUSTO_COMPANY,
        "GUSTO_PAYROLLS_FROM": FIRST_PAYROLL,
        "COUPA_URL": f"{base_url}/coupa",
        "COUPA_CLIENT_ID": credentials.client_id,
        "COUPA_CLIENT_SECRET": credentials.coupa_secret,
        "ADP_URL": f"{base_url}/adp",
        "ADP_AUTH_URL": f"{base_url}/adp",
        "ADP_CLIENT_ID": credentials.client_id,
        "ADP_CLIENT_SECRET": credentials.adp_secret,
        "ADP_CERTIFICATE_PATH": str(certificate.resolve()),
        "ADP_CERTIFICATE_KEY_PATH": str(netsuite_key.resolve()),
    }
    _write_secret(directory / ENVIRONMENT_FILE, wire.dumps(environment))


def companies_filter(count: int) -> str:
    """Return how connector files of Business Central name so many companies, founded first."""
    return " or ".join(f"id eq {_COMPANY.format(number)}" for number in range(1, count + 1))


def read_credentials(directory: Path) -> Credentials | None:
    """Credentials written before, so that a restarted twin accepts its clients; None if absent."""
    environment_file = directory / ENVIRONMENT_FILE
    if not environment_file.exists():
        return None
    environment = wire.loads(environment_file.read_bytes())
    return Credentials(
        salesforce_key=RSAKey.import_key((directory / "salesforce_private_key.pem").read_text()),
        netsuite_key=RSAKey.import_key((directory / "netsuite_private_key.pem").read_text()),
        float_token=environment["FLOAT_TOKEN"],
        hubspot_token=environment["HUBSPOT_TOKEN"],
        harvest_token=environment["HARVEST_TOKEN"],
        runn_token=environment["RUNN_TOKEN"],
        business_central_secret=environment["BUSINESS_CENTRAL_CLIENT_SECRET"],
        kantata_token=environment["KANTATA_TOKEN"],
        finance_operations_secret=environment["FINANCE_OPERATIONS_CLIENT_SECRET"],
        bamboohr_key=environment["BAMBOOHR_KEY"],
        gusto_secret=environment["GUSTO_CLIENT_SECRET"],
        gusto_refresh_token=(directory / _REFRESH_TOKEN_FILE).read_text().strip(),
        adp_certificate=(directory / _CERTIFICATE_FILE).read_bytes(),
        coupa_secret=environment["COUPA_CLIENT_SECRET"],
        adp_secret=environment["ADP_CLIENT_SECRET"],
    )


def _certificate_of(key: RSAKey) -> bytes:
    """A certificate of a client, in PEM, which it signed itself."""
    private = load_pem_private_key(key.as_pem(private=True), None)
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
    return made.public_bytes(Encoding.PEM)


def _write_secret(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # the mode below counts only for a file that is created
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


@dataclass(frozen=True, slots=True)
class AssertionRules:
    """What a vendor demands of a signed assertion.

    `takes_text`: an expiry may be a number in a text, which RFC 7519 does not know.
    """

    key: RSAKey
    algorithms: tuple[str, ...]
    issuer: str
    audiences: Collection[str]
    lifetime_max_s: int
    takes_text: bool = False

    def verify(self, assertion: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Header and claims, for the caller to check further. Raises AssertionRefusedError."""
        try:
            token = jwt.decode(assertion, self.key, algorithms=list(self.algorithms))
        except (JoseError, ValueError) as error:
            raise AssertionRefusedError("invalid signature") from error
        claims = token.claims
        if claims.get("iss") != self.issuer:
            raise AssertionRefusedError("unknown issuer")
        if not self._names_audience(claims.get("aud")):
            raise AssertionRefusedError("audience is invalid")
        self._check_expiry(claims)
        return token.header, claims

    def _names_audience(self, audience: object) -> bool:
        named = audience if isinstance(audience, list) else [audience]
        return any(name in self.audiences for name in named)

    def _check_expiry(self, claims: Mapping[str, Any]) -> None:
        expires_s, now_s = claims.get("exp"), time.time()
        if self.takes_text and isinstance(expires_s, str) and expires_s.isdigit():
            expires_s = int(expires_s)
        if not isinstance(expires_s, int | float) or expires_s <= now_s:
            raise AssertionRefusedError("assertion has expired")
        if expires_s > now_s + self.lifetime_max_s:
            raise AssertionRefusedError("assertion lives too long")


class TokenStore:
    """Access tokens that were issued and still count."""

    def __init__(self) -> None:
        self._expires_s: dict[str, float] = {}

    def issue(self, lifetime_s: float) -> str:
        token = secrets.token_urlsafe(24)
        self._expires_s[token] = time.monotonic() + lifetime_s
        return token

    def is_valid(self, token: str) -> bool:
        return self._expires_s.get(token, 0.0) > time.monotonic()

    def revoke(self, token: str) -> None:
        self._expires_s.pop(token, None)

    def revoke_all(self) -> None:
        self._expires_s.clear()
