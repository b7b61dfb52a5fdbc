"""Credentials of Kantata OX (a bearer token until it is revoked) and the meaning of its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connectors.toolkit.faults import ErrorPolicy, Fault, Meaning, Reason, Shape, rule, text_or_none

SYSTEM: Final = "kantata"


def read_faults(body: object) -> Sequence[Fault]:
    """Read `{"errors": [{"type", "message", "field"}]}`; `field` comes with some types only."""
    entries = body.get("errors") if isinstance(body, dict) else None
    return [
        Fault(
            code=text_or_none(entry.get("type")),
            detail=text_or_none(entry.get("message")) or "",
            field=text_or_none(entry.get("field")),
        )
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]


_ERRORS: Final = "developer.kantata.com, errors: oauth, system, validation and syntax"

POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        rule(400, Meaning.REFUSED_RECORD, shape=Shape.JSON, evidence=_ERRORS),
        rule(
            403, Meaning.REFUSED_RECORD, shape=Shape.JSON, reason=Reason.PERMISSION,
            evidence=_ERRORS,
        ),
        rule(
            404, Meaning.NOT_FOUND, shape=Shape.JSON, reason=Reason.REFERENCE, evidence=_ERRORS
        ),
        rule(422, Meaning.REFUSED_RECORD, shape=Shape.JSON, evidence=_ERRORS),
        rule(429, Meaning.RATE_LIMITED, evidence="api-evangelist/mavenlink, `rate-limits/`"),
    ),
)  # fmt: skip
