"""Certificates that end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import trustme

from tests.support.heard import Watched, fault

YEARS: Final = timedelta(days=1_000)
ONE: Final = {"service": "registry", "certificate": "authority"}


def authority(folder: Path) -> Path:
    """Return the file of the registry's authority."""
    return folder / "registry-authority.pem"


def write_authority(folder: Path, lasts: timedelta) -> None:
    """Write, or replace, a certificate that lasts so long from now."""
    made = trustme.CA().issue_cert("registry.invalid", not_after=datetime.now(UTC) + lasts)
    fresh = authority(folder).with_suffix(".fresh")
    made.cert_chain_pems[0].write_to_path(str(fresh))
    fresh.replace(authority(folder))


@fault(
    "PsastreamCertificateExpiring",
    done="the registry's authority ends in ten days",
    mended="its file is replaced",
    labels=ONE,
    breaks=["certificates"],
    needs=["connect-watcher"],
)
def certificate_of_ten_days(it: Watched) -> Iterator[None]:
    write_authority(it.folder, timedelta(days=10))
    yield
    write_authority(it.folder, YEARS)


@fault(
    "PsastreamCertificateAboutToExpire",
    done="the registry's authority ends tomorrow",
    mended="its file is replaced",
    labels=ONE,
    breaks=["certificates"],
    needs=["connect-watcher"],
)
def certificate_of_a_day(it: Watched) -> Iterator[None]:
    write_authority(it.folder, timedelta(days=1))
    yield
    write_authority(it.folder, YEARS)
