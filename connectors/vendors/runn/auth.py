"""Runn credentials (a static bearer token) and the meaning of Runn's errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from connectors.toolkit.faults import ErrorPolicy, Fault, Meaning, Reason, Shape, rule, text_or_none
from runtime.secrets import remember

SYSTEM: Final = "runn"
VERSION: Final = "1.0.0"


def read_faults(body: object) -> Sequence[Fault]:
    """Read `{"error", "message", "statusCode"}`."""
    if not isinstance(body, dict):
        return []
    code, detail = text_or_none(body.get("error")), text_or_none(body.get("message"))
    return [Fault(code, detail or "")] if code or detail else []


_DOCUMENT: Final = "developer.runn.io, OpenAPI document of v1.0.0"

POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        rule(201, Meaning.ACCEPTED, methods=["POST"], evidence=_DOCUMENT),
        rule(204, Meaning.ACCEPTED, methods=["DELETE"], evidence=_DOCUMENT),
        rule(
            400, Meaning.REFUSED_RECORD, shape=Shape.JSON, evidence=f"{_DOCUMENT}: BadRequest",
        ),
        rule(
            403, Meaning.REFUSED_RECORD, shape=Shape.JSON, reason=Reason.PERMISSION,
            evidence="developer.runn.io, FAQ: tokens have scope read or write; the status is"
            " RFC 9110's",
        ),
        rule(
            404, Meaning.REFUSED_ACCOUNT, words="Route",
            evidence="developer.runn.io, FAQ: the address is another account's region",
        ),
        rule(
            404, Meaning.NOT_FOUND, shape=Shape.JSON, reason=Reason.REFERENCE,
            evidence=f"{_DOCUMENT}: NotFound",
        ),
        rule(
            409, Meaning.REFUSED_RECORD, shape=Shape.JSON, reason=Reason.CONFLICT,
            evidence=f"{_DOCUMENT}: Conflict",
        ),
        rule(
            422, Meaning.REFUSED_RECORD, shape=Shape.JSON,
            evidence=f"{_DOCUMENT}: UnprocessableEntity",
        ),
        rule(
            429, Meaning.RATE_LIMITED,
            evidence="ralabs-team/runn-api-client, src/index.js: waits and sends it again",
        ),
    ),
)  # fmt: skip


class StaticToken:
    """Authenticator on a token that lasts until somebody replaces it, for one version."""

    def __init__(self, token: str) -> None:
        remember(token)
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Version": VERSION}

    async def headers(self) -> Mapping[str, str]:
        """Return the headers that each request must bear."""
        return self._headers

    def invalidate(self) -> None:
        """Do nothing: there is no other token to ask for."""
