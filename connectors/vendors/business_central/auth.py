"""Business Central credentials (Microsoft Entra, client credentials) and what its errors mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connectors.toolkit.faults import ErrorPolicy, Fault, Meaning, Reason, Shape, rule, text_or_none

SYSTEM: Final = "business_central"
SCOPE: Final = "https://api.businesscentral.dynamics.com/.default"
DUPLICATE_KEY: Final = "Internal_EntityWithSameKeyExists"


def read_faults(body: object) -> Sequence[Fault]:
    """Read `{"error": {"code", "message"}}`."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return []
    detail = text_or_none(error.get("message")) or ""
    return [Fault(text_or_none(error.get("code")), detail.partition("  CorrelationId:")[0])]


_CODES: Final = "Microsoft, OData error codes (webservices/dynamics-error-codes)"
_SAVED: Final = "Microsoft, API v2.0: Create customers, Update customers, Delete customers"
_TIPS: Final = "Microsoft, Tips for working with the APIs: an option there is not"
_CUSTOMERS: Final = "microsoft/ALAppExtensions, APIV2Customers.Page.al"
_REFUSING: Final = (400, 409)

POLICY: Final = ErrorPolicy(
    system=SYSTEM,
    read_faults=read_faults,
    rules=(
        rule(201, Meaning.ACCEPTED, methods=["POST"], evidence=_SAVED),
        rule(204, Meaning.ACCEPTED, methods=["DELETE"], evidence=_SAVED),
        rule(
            200, Meaning.UNKNOWN, methods=["POST", "DELETE"],
            evidence=f"{_SAVED}: these are answered 201 and 204, so a proxy may have said this",
        ),
        rule(
            _REFUSING, Meaning.RETRY, "Request_EntityChanged", "BadRequest_InvalidToken",
            evidence=f"{_CODES}: the ETag is not that of the record any more; nothing was written",
        ),
        rule(
            412, Meaning.RETRY,
            evidence="RFC 9110 (HTTP Semantics), section 15.5.13: a precondition was not met",
        ),
        rule(
            (400, 404), Meaning.RETRY, "Internal_TenantUnavailable",
            evidence=f"{_CODES}: the environment is not there, as while it is upgraded",
        ),
        rule(
            (400, 404), Meaning.REFUSED_ACCOUNT, "Internal_CompanyNotFound",
            evidence=f"{_CODES}: NavCompanyNotFoundException",
        ),
        rule(
            (400, 405), Meaning.REFUSED_RECORD,
            "BadRequest_NotFound", "BadRequest_ResourceNotFound", "BadRequest_MethodNotAllowed",
            "BadRequest_MethodNotImplemented", reason=Reason.SETTING,
            evidence=f"{_CODES}: no such page, as without the extension",
        ),
        rule(
            404, Meaning.NOT_FOUND, "Internal_RecordNotFound", "Internal_DataNotFoundFilter",
            reason=Reason.REFERENCE, evidence=_CODES,
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, "Internal_InvalidTableRelation", words="(Currency)",
            reason=Reason.SETTING, evidence=f"{_CODES}: names the related table",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, "Application_DialogException",
            words="match to a Currency", reason=Reason.SETTING, evidence=_CUSTOMERS,
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, "Application_DialogException", words="Manual Nos",
            reason=Reason.SETTING, evidence=f"{_CODES}: the number series takes none of ours",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD,
            "Internal_InvalidTableRelation", "Internal_RecordNotFound",
            "Internal_DataNotFoundFilter",
            reason=Reason.REFERENCE, evidence=_CODES,
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, DUPLICATE_KEY, reason=Reason.CONFLICT,
            evidence=_CODES,
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD, "Application_DialogException",
            words="posting date", reason=Reason.CLOSED,
            evidence=f"{_CODES}: an earlier posting date",
        ),
        rule(
            (400, 403), Meaning.REFUSED_RECORD, words="permission", reason=Reason.PERMISSION,
            evidence="Microsoft, Troubleshooting permissions: You do not have the following"
            " permissions on TableData",
        ),
        rule(
            _REFUSING, Meaning.REFUSED_RECORD,
            "Application_CallbackNotAllowed", "Application_DialogException",
            "Application_EvaluateException", "Application_FieldValidationException",
            "Application_FilterErrorException", "Application_InvalidGUID",
            "Application_StringExceededLength",
            evidence=_CODES,
        ),
        rule(
            400, Meaning.REFUSED_RECORD,
            "BadRequest", "BadRequest_InvalidOperation", "BadRequest_InvalidRequestUrl",
            "BadRequest_RequiredParamNotProvided",
            evidence=_CODES,
        ),
        rule(400, Meaning.REFUSED_RECORD, "Unknown", evidence=_TIPS),
        rule(
            403, Meaning.REFUSED_RECORD, shape=Shape.JSON, reason=Reason.PERMISSION,
            evidence=f"{_CODES}: Authorization_*, no right on what was asked for",
        ),
    ),
)  # fmt: skip
