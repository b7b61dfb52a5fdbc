"""How long certificates last that the settings name, before somebody is refused for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from psastream.check.findings import Finding
from psastream.verdict import Verdict
from runtime.settings import Settings

CERTIFICATES: Final = "tls"
SOON: Final = timedelta(days=14)
_OF_KAFKA: Final = ("ssl.ca.location", "ssl.certificate.location")
_AUTHORITIES: Final = "_CA_LOCATION"
_OF_SERVICES: Final = ("ssl_ca_location", "ssl_certificate_location")


def named_certificates(settings: Settings) -> dict[str, Path]:
    """Return the files of certificates by the variable that names them."""
    found: dict[str, Path] = {}
    for key in _OF_KAFKA:
        if key in settings.kafka_extra:
            variable = f"PSASTREAM_KAFKA_{key.upper().replace('.', '_')}"
            found[variable] = Path(settings.kafka_extra[key])
    for service in ("registry", "connect"):
        for part in _OF_SERVICES:
            path = getattr(settings, f"{service}_{part}")
            if path is not None:
                found[f"PSASTREAM_{service.upper()}_{part.upper()}"] = path
    return found


def certificate_findings(files: Mapping[str, Path], now: datetime) -> Iterator[Finding]:
    """Yield one finding a file: of a chain, the certificate in it that ends first counts.

    Of authorities the one that ends last: while they change, a file holds the old one, too.
    """
    for variable, path in files.items():
        try:
            held = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as error:
            detail = f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no PEM file'}"
            remedy = "name a PEM file that this process may read"
            yield Finding(CERTIFICATES, variable, Verdict.FAIL, detail, remedy)
            continue
        counts = max if variable.endswith(_AUTHORITIES) else min
        ends = counts(each.not_valid_after_utc for each in held)
        verdict, remedy = Verdict.OK, ""
        if ends <= now + SOON:
            verdict = Verdict.FAIL if ends <= now else Verdict.WARN
            remedy = "put another in its place; processes take it without a restart"
        word = "expired on" if ends <= now else "lasts until"
        yield Finding(CERTIFICATES, variable, verdict, f"{word} {ends:%Y-%m-%d %H:%M} UTC", remedy)
