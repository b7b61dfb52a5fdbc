"""Float credentials (a static bearer token) and the meaning of Float's errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from connectors.toolkit.faults import ErrorPolicy, Fault, Meaning, Reason, Shape, rule, text_or_none
from runtime.secrets import remember

SYSTEM: Final = "float"


def read_faults(body: object) -> Sequence[Fault]:
    """Read `{"name", "message", "code", "status"}`, or `[{"field", "message"}]` (422).

    Float's own `code` is 0 whatever happened, so it is not read.
    """
    entries = body if isinstance(body, list) else [body]
    return [
        Fault(
            detail=text_or_none(entry.get("message")) or "",
            field=text_or_none(entry.get("field")),
        )
        for entry in entries
        if isinstance(entry, dict)
    ]


_RESPONSES: Final = "developer.float.com, API responses (overview_responses)"
_PROBED: Final = "README of an open Float connector, checked against the live API (2026-09)"

POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        rule(201, Meaning.ACCEPTED, methods=["POST"], evidence=_RESPONSES),
        rule(204, Meaning.ACCEPTED, methods=["DELETE", "GET"], evidence=_PROBED),
        rule(400, Meaning.REFUSED_RECORD, shape=Shape.JSON, evidence=_RESPONSES),
        rule(
            403, Meaning.REFUSED_RECORD, shape=Shape.JSON, reason=Reason.PERMISSION,
            evidence=f"{_PROBED}: a setting",
        ),
        rule(
            403, Meaning.REFUSED_ACCOUNT, shape=Shape.OTHER,
            evidence=f"{_PROBED}: no valid Authorization",
        ),
        rule(
            404, Meaning.NOT_FOUND, shape=Shape.JSON, reason=Reason.REFERENCE,
            evidence="tobiasbp/float_api, tests/test_float_api.py (runs live)",
        ),
        rule(422, Meaning.REFUSED_RECORD, shape=Shape.JSON, evidence=_RESPONSES),
        rule(429, Meaning.RATE_LIMITED, evidence="developer.float.com, rate limits"),
    ),
)  # fmt: skip


class StaticToken:
    """Authenticator on a token that lasts until somebody replaces it."""

    def __init__(self, token: str) -> None:
        remember(token)
        self._headers = {"Authorization": f"Bearer {token}"}

    async def headers(self) -> Mapping[str, str]:
        """Return the Authorization header."""
        return self._headers

    def invalidate(self) -> None:
        """Do nothing: there is no other token to ask for."""
