"""Errors as the CRM words them: a JSON array of one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sandbox.vendors.salesforce.soql import SoqlError
from sandbox.vendors.wire import ExactJSONResponse

_STANDARD = {
    401: ("INVALID_SESSION_ID", "Session expired or invalid"),
    403: ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    404: ("NOT_FOUND", "The requested resource does not exist"),
    500: ("UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId."),
    503: ("SERVER_UNAVAILABLE", "The service is temporarily unavailable."),
}


class SalesforceError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, code: str, message: str, *fields: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields


def standard_error(status: int) -> SalesforceError:
    """The error every resource may answer with this status."""
    code, message = _STANDARD[status]
    return SalesforceError(status, code, message)


def error_response(error: SalesforceError) -> Response:
    told: dict[str, object] = {"message": error.message, "errorCode": error.code}
    if error.fields:
        told["fields"] = list(error.fields)
    return ExactJSONResponse([told], status_code=error.status)


async def answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SalesforceError)
    return error_response(error)


async def answer_soql_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SoqlError)
    return error_response(SalesforceError(400, error.code, error.message))


async def answer_invalid_row(request: Request, error: Exception) -> Response:
    """Of what only the rows know: a row that another one names and that is not there."""
    return error_response(SalesforceError(400, "INVALID_CROSS_REFERENCE_KEY", str(error)))


async def answer_not_found(request: Request, error: Exception) -> Response:
    return error_response(standard_error(404))
