"""How long certificates last that the settings name, before somebody is refused for one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from psastream.check.findings import Finding
from psastream.verdict import Verdict
from runtime.certificates import CertificateFile, end_of

CERTIFICATES: Final = "tls"
SOON: Final = timedelta(days=14)


def certificate_findings(files: Iterable[CertificateFile], now: datetime) -> Iterator[Finding]:
    """Yield one finding a file."""
    for file in files:
        variable, path = file.variable, file.path
        try:
            ends = end_of(file)
        except (OSError, ValueError) as error:
            detail = f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no PEM file'}"
            remedy = "name a PEM file that this process may read"
            yield Finding(CERTIFICATES, variable, Verdict.FAIL, detail, remedy)
            continue
        verdict, remedy = Verdict.OK, ""
        if ends <= now + SOON:
            verdict = Verdict.FAIL if ends <= now else Verdict.WARN
            remedy = "put another in its place; processes take it without a restart"
        word = "expired on" if ends <= now else "lasts until"
        yield Finding(CERTIFICATES, variable, verdict, f"{word} {ends:%Y-%m-%d %H:%M} UTC", remedy)
