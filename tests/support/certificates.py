"""Certificates for tests, made anew: of an authority, for a host, with what is wrong with them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate with its chain, and its key."""

    certificate: Path
    key: Path

    @property
    def both(self) -> str:
        """Key and certificates in one text, as a broker's PEM store has them."""
        return self.key.read_text() + self.certificate.read_text()


class Authority:
    """A certificate authority that writes what it issues into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._ca = trustme.CA(organization_name=name)
        self._folder, self._name = folder, name
        self.certificate = folder / f"{name}-ca.pem"
        self._ca.cert_pem.write_to_path(str(self.certificate))

    def issue(self, name: str, *hosts: str, is_expired: bool = False) -> Pem:
        """A certificate of `hosts`; one for a client needs none."""
        now = dt.datetime.now(dt.UTC)
        issued = self._ca.issue_cert(
            *(hosts or (f"{name}.invalid",)),
            common_name=name,
            not_before=now - dt.timedelta(days=3),
            not_after=now + dt.timedelta(days=-1 if is_expired else 30),
        )
        pem = Pem(
            self._folder / f"{self._name}-{name}.pem", self._folder / f"{self._name}-{name}.key"
        )
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        pem.certificate.write_bytes(chain)
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        pem.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,  # the only one that Kafka reads
                serialization.NoEncryption(),
            )
        )
        pem.key.chmod(0o600)
        return pem


def link(folder: Path, content: dict[str, str], number: int) -> None:
    """Put files into a folder as Kubernetes does: `..data` moves, and with it all of them."""
    data = folder / f"..{number}"
    data.mkdir(parents=True)
    for name, text in content.items():
        (data / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..next").symlink_to(data.name)
    (folder / "..next").replace(folder / "..data")
