"""Seeing, before anything starts, that a vendor takes our credentials."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, runtime_checkable


@runtime_checkable
class SignsIn(Protocol):
    """A source or a sink that can ask for something small, which only a valid sign-in is told."""

    async def sign_in(self) -> datetime | None:
        """Ask once, without effect; return the vendor's clock (UTC) where its answer tells it.

        Raises the errors of `connectors.toolkit.http`.
        """
        ...
