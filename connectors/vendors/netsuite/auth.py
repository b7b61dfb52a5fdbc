"""NetSuite credentials (OAuth 2.0 machine to machine) and the meaning of NetSuite's errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from joserfc import jwt

from connectors.toolkit.faults import ErrorPolicy, Fault, Meaning, Reason, Shape, rule, text_or_none
from connectors.toolkit.tokens import BearerToken, Token, request_token, signing_key

SYSTEM: Final = "netsuite"
ASSERTION_LIFETIME_S: Final = 300
TOKEN_LIFETIME_S: Final = 3600.0
TOKEN_PATH: Final = "/services/rest/auth/oauth2/v1/token"  # noqa: S105 - a path
SERVER_TIME: Final = "/services/rest/system/v1/serverTime"


def read_faults(body: object) -> Sequence[Fault]:
    """Read `{"o:errorDetails": [{"o:errorCode", "detail", "o:errorPath"}]}`."""
    details = body.get("o:errorDetails") if isinstance(body, dict) else None
    return [
        Fault(
            code=text_or_none(entry.get("o:errorCode")),
            detail=text_or_none(entry.get("detail")) or "",
            field=text_or_none(entry.get("o:errorPath"))
            or text_or_none(entry.get("o:errorQueryParam")),
        )
        for entry in (details if isinstance(details, list) else ())
        if isinstance(entry, dict)
    ]


_REST: Final = "Oracle, Error Handling in REST Web Services (section_156570709583)"
_CODES: Final = "Oracle, SuiteTalk Error Status Codes (section_N3539978)"
_SAVED: Final = "Oracle, Using CRUD Operations (section_164439865832)"
_CONCURRENCY: Final = "Oracle, Concurrency Governance (subsect_1559222360)"
_REFUSING: Final = (400, 409)

POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        rule(204, Meaning.ACCEPTED, evidence=_SAVED),
        rule(
            200, Meaning.UNKNOWN, methods=["PUT", "PATCH", "DELETE"],
            evidence=f"{_SAVED}: a write is answered 204, so a proxy may have said this",
        ),
        rule(
            (400, 429), Meaning.RATE_LIMITED,
            "CONCURRENCY_LIMIT_EXCEEDED", "EXCEEDED_MAX_CONCUR_RQST", "SSS_REQUEST_LIMIT_EXCEEDED",
            "WS_CONCUR_SESSION_DISALLWD", "WS_REQUEST_BLOCKED",
            evidence=_CONCURRENCY,
        ),
        rule(
            _REFUSING, Meaning.RETRY,
            "RCRD_HAS_BEEN_CHANGED", "RCRD_EDITED_SINCE_RETRIEVED", "CANT_UPDATE_RECRD_HAS_CHANGED",
            evidence=f"{_CODES}; NetSweet/netsuite#290: passes",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, words="locked by a user defined workflow",
            reason=Reason.CLOSED,
            evidence="airbytehq/airbyte#79190: RCRD_LOCKED_BY_WF, said in words; it lasts",
        ),
        rule(
            400, Meaning.REAUTHENTICATE, "INVALID_LOGIN", "SESSION_TIMED_OUT", "WS_LOG_IN_REQD",
            evidence=_CODES,
        ),
        rule(
            _REFUSING, Meaning.REFUSED_ACCOUNT,
            "ACCT_DISABLED", "ACCT_TEMP_DISABLED", "INVALID_LOGIN_ATTEMPT", "LOGIN_DISABLED",
            "PSWD_EXPIRED", "ROLE_REQUIRED", "TWO_FA_REQD", "USER_DISABLED", "WS_FEATURE_REQD",
            "WS_PERMISSION_REQD",
            evidence=_CODES,
        ),
        rule(
            404, Meaning.NOT_FOUND, "NONEXISTENT_ID", "RCRD_DSNT_EXIST", reason=Reason.REFERENCE,
            evidence=f"{_REST}; julbrs/netsuite-api-client, its tests on a live account",
        ),
        rule(
            404, Meaning.REFUSED_RECORD, "NOT_FOUND", reason=Reason.SETTING,
            evidence="julbrs/netsuite-api-client, its tests on a live account: no such record type",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, "INVALID_CURRENCY_CODE", reason=Reason.SETTING,
            evidence=f"{_CODES}: not active in the account",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, "INVALID_CONTENT", "INVALID_VALUE", "USER_ERROR",
            "INVALID_FLD_VALUE", fields=["currency"], reason=Reason.SETTING,
            evidence=f"{_REST}: o:errorPath names the field; currencies are set up in the account",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, "USER_ERROR", words="have permission",
            reason=Reason.PERMISSION,
            evidence="improvado.io, Oracle NetSuite - Troubleshooting: the role may not use REST",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, "USER_ERROR", words="reference key",
            reason=Reason.REFERENCE,
            evidence=f"{_CODES}: INVALID_KEY_OR_REF, said in words",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD,
            "INVALID_ID", "INVALID_KEY_OR_REF", "INVALID_RCRD_REF", "INVALID_REF_KEY",
            reason=Reason.REFERENCE, evidence=f"{_REST}; {_CODES}",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD,
            "INVALID_CONTENT", "INVALID_HEADER", "INVALID_PARAMETER",
            "INVALID_VALUE", "NONEXISTENT_FIELD", "USER_ERROR",
            evidence=_REST,
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, words="invalid search query",
            evidence="PostHog/posthog, its NetSuite source: a wrong column or a missing right",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD,
            "INSUFFICIENT_FLD_PERMISSION", "INSUFFICIENT_PERMISSION", "NOT_ENOUGH_PERMISSIONS",
            "PERMISSION_VIOLATION", reason=Reason.PERMISSION,
            evidence=f"{_CODES}; NetSweet/netsuite#249: a right on one kind of record",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD,
            "CANT_MODIFY_LOCKED_FLD", "CLOSED_TRAN_PRD", "RCRD_LOCKED_BY_WF", "RCRD_UNEDITABLE",
            "TRAN_PERIOD_CLOSED", "TRAN_PRD_CLOSED", reason=Reason.CLOSED,
            evidence=f"{_CODES}: a person locked or closed it",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD,
            "CANT_DELETE_CHILD_RCRDS_EXIST", "CANT_DELETE_CHILD_RCRD_FOUND", "CANT_DELETE_RCRD",
            "DUP_ENTITY", "DUP_ENTITY_NAME", "DUP_RCRD", "UNIQUE_CUST_ID_REQD",
            reason=Reason.CONFLICT, evidence=_CODES,
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD,
            "FIELD_REQD", "FLD_VALUE_REQD", "FLD_VALUE_TOO_LARGE", "INVALID_FLD_VALUE",
            "TAX_CODE_REQD",
            evidence=_CODES,
        ),
        rule(
            403, Meaning.REFUSED_RECORD, None, shape=Shape.JSON, reason=Reason.PERMISSION,
            evidence=f"{_REST}: 4xx is the request's fault; no code says the account's",
        ),
    ),
)  # fmt: skip


def make_auth(
    *, url: str, client_id: str, certificate_id: str, private_key_pem: str
) -> BearerToken:
    """Make the authenticator of an integration whose certificate is mapped to a role.

    Raises ValueError when the key is not an RSA private key in PEM without a passphrase.
    """
    key = signing_key(private_key_pem)
    token_url = f"{url}{TOKEN_PATH}"

    async def fetch() -> Token:
        issued_at_s = int(time.time())
        claims = {
            "iss": client_id,
            "scope": ["rest_webservices"],
            "aud": token_url,
            "iat": issued_at_s,
            "exp": issued_at_s + ASSERTION_LIFETIME_S,
        }
        header = {"typ": "JWT", "alg": "PS256", "kid": certificate_id}
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(header, claims, key, algorithms=["PS256"]),
        }
        return await request_token(token_url, form, system=SYSTEM, lifetime_s=TOKEN_LIFETIME_S)

    return BearerToken(fetch, system=SYSTEM)
