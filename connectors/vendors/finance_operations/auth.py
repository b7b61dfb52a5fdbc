"""Finance & Operations credentials (Microsoft Entra, client credentials), and its errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from connectors.toolkit.faults import ErrorPolicy, Fault, Meaning, Reason, Shape, rule, text_or_none

SYSTEM: Final = "finance_operations"
WRITE: Final = "AxODataWriteException"
DUPLICATE: Final = "already exists"
_FIELD: Final = re.compile(r"validateField failed on field '\w+\.(\w+)'")


def read_faults(body: object) -> Sequence[Fault]:
    """Read `{"error": {"code", "message", "innererror": {"message", "type"}}}`.

    Its code is blank: the last word of the type stands for it. What a person can use of an Infolog
    follows that word, and may name the field that did not pass.
    """
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return []
    inner = error.get("innererror")
    inner = inner if isinstance(inner, dict) else {}
    message = text_or_none(inner.get("message")) or text_or_none(error.get("message")) or ""
    kind = text_or_none(inner.get("type")) or text_or_none(error.get("code")) or ""
    field = _FIELD.search(message)
    detail = message.partition("Infolog: ")[2] or message
    return [Fault(kind.rpartition(".")[2] or None, detail, field[1] if field else None)]


_ODATA: Final = "Microsoft, Open Data Protocol (OData)"
_PROTOCOL: Final = "OASIS, OData 4.0 part 1: Protocol, sections 11.4.2 to 11.4.5"
_INFOLOG: Final = (
    "recorded answers to writes in tests of public clients: the Infolog of a write that was undone"
)
_REFUSING: Final = (400, 409)

POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        rule(201, Meaning.ACCEPTED, methods=["POST"], evidence=_PROTOCOL),
        rule(204, Meaning.ACCEPTED, methods=["PATCH", "DELETE"], evidence=_PROTOCOL),
        rule(
            200, Meaning.UNKNOWN, methods=["POST", "DELETE"],
            evidence=f"{_PROTOCOL}: these are answered 201 and 204, so a proxy may have said this",
        ),
        rule(
            412, Meaning.RETRY,
            evidence="RFC 9110 (HTTP Semantics), section 15.5.13: a precondition was not met",
        ),
        rule(
            _REFUSING, Meaning.RETRY, words="An update conflict occurred",
            evidence=f"{_INFOLOG}; another process changed the record meanwhile",
        ),
        rule(
            404, Meaning.NOT_FOUND, methods=["PATCH", "DELETE"], reason=Reason.REFERENCE,
            evidence=f"{_PROTOCOL}: there is no record of the key",
        ),
        rule(
            404, Meaning.REFUSED_RECORD, shape=Shape.JSON, reason=Reason.SETTING,
            evidence=f"{_ODATA}: names are case-sensitive, and only public entities are there",
        ),
        rule(
            400, Meaning.REFUSED_RECORD, "ODataException", reason=Reason.SETTING,
            evidence=f"{_ODATA}: no such field, as without the extension",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, WRITE, words="related table 'Currencies'",
            reason=Reason.SETTING, evidence=_INFOLOG,
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, WRITE, words="is not found in the related table",
            reason=Reason.REFERENCE, evidence=_INFOLOG,
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, words=DUPLICATE, reason=Reason.CONFLICT,
            evidence="release notes of add-ons: Cannot create a record in … The record already"
            " exists.",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, WRITE, words="posted", reason=Reason.CLOSED,
            evidence=f"{_INFOLOG}; that a posted journal is named so is assumed",
        ),
        rule(_REFUSING, Meaning.REFUSED_RECORD, WRITE, evidence=_INFOLOG),
        rule(
            403, Meaning.REFUSED_RECORD, shape=Shape.JSON, reason=Reason.PERMISSION,
            evidence="Microsoft, Service endpoints overview: the user of the app lacks the right",
        ),
    ),
)  # fmt: skip
