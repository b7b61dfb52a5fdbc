"""How a process reaches a service over HTTP: address, sign-in, TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit, urlunsplit

from runtime.tls import SecretFile, Stamp, TlsFiles, stamp_of


@dataclass(frozen=True, slots=True)
class HttpAccess:
    """Of one service. `url` holds no credentials; `password` may be a file, read when asked."""

    url: str
    user: str | None = None
    password: str | SecretFile | None = field(default=None, repr=False)
    tls: TlsFiles = field(default_factory=TlsFiles)

    @classmethod
    def of(
        cls,
        url: str,
        *,
        user: str | None = None,
        password: str | SecretFile | None = None,
        tls: TlsFiles | None = None,
    ) -> Self:
        """Take user and password out of an address that holds them."""
        address = urlsplit(url)
        bare = urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2]))
        if user is None and address.username is not None:
            user, password = unquote(address.username), unquote(address.password or "")
        return cls(bare, user, password, tls or TlsFiles())

    @property
    def sign_in(self) -> tuple[str, str] | None:
        """User and password of now, where there are any."""
        if self.user is None:
            return None
        held = self.password
        return self.user, held.value if isinstance(held, SecretFile) else held or ""

    def stamp(self) -> Stamp:
        """What changes when a file of it does."""
        file = [self.password.path] if isinstance(self.password, SecretFile) else []
        return stamp_of([*self.tls.paths, *file])
