"""Float credentials (a static bearer token) and the meaning of Float's errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from connectors.faults import ErrorPolicy, Fault

SYSTEM: Final = "float"


def read_faults(body: object) -> Sequence[Fault]:
    """Read `[{"field", "message"}]` (422) or `{"message"}`."""
    entries = body if isinstance(body, list) else [body]
    return [
        Fault(detail=str(entry.get("message", "")), field=entry.get("field"))
        for entry in entries
        if isinstance(entry, dict)
    ]


POLICY: Final = ErrorPolicy(system=SYSTEM, read_faults=read_faults)


class StaticToken:
    """Authenticator on a token that lasts until somebody replaces it."""

    def __init__(self, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}

    async def headers(self) -> Mapping[str, str]:
        """Return the Authorization header."""
        return self._headers

    def invalidate(self) -> None:
        """Do nothing: there is no other token to ask for."""
