"""HubSpot's errors as its writes meet them. What its lists mean is in `rest.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from connectors.toolkit.faults import ErrorPolicy, Fault, Meaning, Reason, Shape, rule, text_or_none

SYSTEM: Final = "hubspot"


def read_faults(body: object) -> Sequence[Fault]:
    """Read `{"category", "message", "errors": [{"code", "message", "context"}]}`.

    What one property is refused for comes before what the whole request is refused for. A limit
    has a `policyName` in the place of a category.
    """
    if not isinstance(body, dict):
        return []
    errors = body.get("errors")
    entries = (
        [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    )
    found = [
        Fault(
            text_or_none(each.get("code")),
            text_or_none(each.get("message")) or "",
            _property(each.get("context")),
        )
        for each in entries
    ]
    code = text_or_none(body.get("category")) or text_or_none(body.get("policyName"))
    detail = text_or_none(body.get("message"))
    return [*found, Fault(code, detail or "")] if code or detail else found


def _property(context: Any) -> str | None:
    names = context.get("propertyName") if isinstance(context, dict) else None
    return text_or_none(names[0]) if isinstance(names, list) and names else None


_ERRORS: Final = "developers.hubspot.com, error handling"
_USAGE: Final = "developers.hubspot.com, usage guidelines"

POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        rule(
            400, Meaning.REFUSED_RECORD, "PROPERTY_DOESNT_EXIST", reason=Reason.SETTING,
            evidence="amp-labs/connectors, hubspot tests: err-many-invalid-properties",
        ),
        rule(
            400, Meaning.REFUSED_RECORD, "READ_ONLY_VALUE", reason=Reason.SETTING,
            evidence="developers.hubspot.com, properties: read-only ones",
        ),
        rule(
            400, Meaning.REFUSED_RECORD, shape=Shape.JSON,
            evidence=f"{_ERRORS}: VALIDATION_ERROR",
        ),
        rule(
            403, Meaning.REFUSED_RECORD, shape=Shape.JSON, reason=Reason.PERMISSION,
            evidence="amp-labs/connectors, hubspot tests: MISSING_SCOPES",
        ),
        rule(
            404, Meaning.NOT_FOUND, shape=Shape.JSON, reason=Reason.REFERENCE,
            evidence="HubSpot/hubspot-api-nodejs, deals: OBJECT_NOT_FOUND",
        ),
        rule(
            409, Meaning.REFUSED_RECORD, shape=Shape.JSON, reason=Reason.CONFLICT,
            evidence=f"{_ERRORS}: CONFLICT",
        ),
        rule(423, Meaning.RETRY, evidence=f"{_ERRORS}: locked, passes after two seconds"),
        rule(429, Meaning.QUOTA, "DAILY", evidence=f"{_USAGE}: policyName"),
        rule(429, Meaning.QUOTA, words="daily", evidence=f"{_USAGE}: told in the message"),
        rule(477, Meaning.RETRY, evidence=f"{_ERRORS}: a migration, it passes"),
    ),
)  # fmt: skip
