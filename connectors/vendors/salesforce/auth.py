"""Salesforce credentials (OAuth 2.0 JWT bearer) and the meaning of Salesforce's errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from joserfc import jwt

from connectors.toolkit.faults import ErrorPolicy, Fault, Meaning, Reason, rule, text_or_none
from connectors.toolkit.tokens import BearerToken, Token, request_token, signing_key

SYSTEM: Final = "salesforce"
ASSERTION_LIFETIME_S: Final = 180
SESSION_LIFETIME_S: Final = 900.0  # the shortest session an org can set; no answer tells it


def read_faults(body: object) -> Sequence[Fault]:
    """Read `[{"errorCode", "message", "fields"}]`."""
    entries = body if isinstance(body, list) else [body]
    return [
        Fault(
            code=text_or_none(entry.get("errorCode")),
            detail=text_or_none(entry.get("message")) or "",
            field=_first_field(entry.get("fields")),
        )
        for entry in entries
        if isinstance(entry, dict)
    ]


def _first_field(fields: object) -> str | None:
    return text_or_none(fields[0]) if isinstance(fields, list) and fields else None


UPSERT_FIELD: Final = "external ID field"
"""What the org calls a field that records are upserted by."""
_STATUS: Final = "Salesforce REST API guide, Status Codes and Error Responses (errorcodes)"
_CODES: Final = "Salesforce SOAP API guide, Core Data Types: ExceptionCode, StatusCode"
_LIMIT: Final = f"{_STATUS}; message as people report it"

POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        rule(201, Meaning.ACCEPTED, methods=["PATCH", "POST"], evidence=_STATUS),
        rule(204, Meaning.ACCEPTED, methods=["DELETE", "PATCH"], evidence=_STATUS),
        rule(
            300, Meaning.REFUSED_RECORD, reason=Reason.CONFLICT,
            evidence=f"{_STATUS}: several records hold the external id",
        ),
        rule(
            403, Meaning.RATE_LIMITED, "REQUEST_LIMIT_EXCEEDED", words="Concurrent",
            evidence=f"{_LIMIT}: calls at once, over in seconds",
        ),
        rule(
            403, Meaning.QUOTA, "REQUEST_LIMIT_EXCEEDED",
            evidence=f"{_LIMIT}: the allowance of 24 hours",
        ),
        rule(
            (400, 503), Meaning.RETRY,
            "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "QUERY_TIMEOUT",
            "UNABLE_TO_LOCK_ROW",
            evidence=_CODES,
        ),
        rule(400, Meaning.REAUTHENTICATE, "INVALID_SESSION_ID", evidence=_CODES),
        rule(
            400, Meaning.LOG_INCOMPLETE, "INVALID_REPLICATION_DATE",
            evidence="Salesforce SOAP API guide, getDeleted(): the log was purged",
        ),
        rule(
            (400, 403), Meaning.REFUSED_ACCOUNT,
            "API_CURRENTLY_DISABLED", "API_DISABLED_FOR_ORG",
            "INVALID_OPERATION_WITH_EXPIRED_PASSWORD", "LOGIN_MUST_USE_SECURITY_TOKEN",
            evidence=_CODES,
        ),
        rule(
            404, Meaning.REFUSED_RECORD, "NOT_FOUND", words=f"Provided {UPSERT_FIELD}",
            reason=Reason.SETTING,
            evidence="g8rswimmer/go-sfdc issue 50: the field is not there, not one, or hidden",
        ),
        rule(404, Meaning.NOT_FOUND, "NOT_FOUND", reason=Reason.REFERENCE, evidence=_STATUS),
        rule(
            (400, 404), Meaning.NOT_FOUND, "ENTITY_IS_DELETED", reason=Reason.REFERENCE,
            evidence=f"{_CODES}: it is in the recycle bin",
        ),
        rule(
            (400, 404), Meaning.REFUSED_RECORD,
            "INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY",
            reason=Reason.PERMISSION,
            evidence=f"{_CODES}: a right on one record or object",
        ),
        rule(
            (400, 404), Meaning.REFUSED_RECORD,
            "DUPLICATES_DETECTED", "DUPLICATE_EXTERNAL_ID", "DUPLICATE_VALUE",
            reason=Reason.CONFLICT,
            evidence=_CODES,
        ),
        rule(
            (400, 404), Meaning.REFUSED_RECORD,
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "INVALID_CROSS_REFERENCE_KEY",
            reason=Reason.REFERENCE,
            evidence=_CODES,
        ),
        rule(
            (400, 404), Meaning.REFUSED_RECORD, "ENTITY_IS_ARCHIVED", "ENTITY_IS_LOCKED",
            reason=Reason.CLOSED,
            evidence=_CODES,
        ),
        rule(
            (400, 404), Meaning.REFUSED_RECORD,
            "INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE",
            reason=Reason.SETTING,
            evidence=f"{_CODES}: a field or object that is not there, or hidden from the user",
        ),
        rule(
            (400, 404), Meaning.REFUSED_RECORD,
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "DELETE_FAILED",
            "FIELD_CUSTOM_VALIDATION_EXCEPTION", "FIELD_FILTER_VALIDATION_EXCEPTION",
            "FIELD_INTEGRITY_EXCEPTION", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "JSON_PARSER_ERROR", "MALFORMED_ID", "MALFORMED_QUERY", "NUMBER_OUTSIDE_VALID_RANGE",
            "REQUIRED_FIELD_MISSING", "STRING_TOO_LONG",
            evidence=_CODES,
        ),
    ),
)  # fmt: skip


def make_auth(
    *,
    url: str,
    audience: str,
    client_id: str,
    username: str,
    private_key_pem: str,
    system: str = SYSTEM,
) -> BearerToken:
    """Make the authenticator of a connected app that the user has pre-authorised.

    `audience` is the login host (production or test), `url` the org's own host. Raises ValueError
    when the key is not an RSA private key in PEM without a passphrase.
    """
    key = signing_key(private_key_pem)

    async def fetch() -> Token:
        claims = {
            "iss": client_id,
            "sub": username,
            "aud": audience,
            "exp": int(time.time()) + ASSERTION_LIFETIME_S,
        }
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode({"alg": "RS256"}, claims, key, algorithms=["RS256"]),
        }
        token_url = f"{url}/services/oauth2/token"
        return await request_token(token_url, form, system=system, lifetime_s=SESSION_LIFETIME_S)

    return BearerToken(fetch, system=system)
