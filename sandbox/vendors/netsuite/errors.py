"""Errors as the ERP words them: a problem document with `o:errorDetails`."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from sandbox.vendors.wire import ExactJSONResponse

_STANDARD = {
    401: ("INVALID_LOGIN", "Invalid login attempt. For more details, see the Login Audit Trail."),
    404: (
        "NONEXISTENT_ID",
        "The record instance does not exist. Provide a valid record instance ID.",
    ),
    405: ("INVALID_METHOD", "The method is not allowed for this resource."),
    429: ("CONCURRENCY_LIMIT_EXCEEDED", "Concurrent request limit exceeded. Request blocked."),
    500: ("UNEXPECTED_ERROR", "An unexpected error occurred. Error ID: twin"),
    503: ("SERVICE_UNAVAILABLE", "The service is temporarily unavailable."),
}


class NetSuiteError(Exception):
    """An answer other than success; `locator` is e.g. `o:errorPath`, `place` its value."""

    def __init__(
        self, status: int, code: str, detail: str, *, locator: str = "", place: str = ""
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.locator = locator
        self.place = place


def standard_error(status: int) -> NetSuiteError:
    """The error every resource may answer with this status."""
    code, detail = _STANDARD.get(status, _STANDARD[404])
    return NetSuiteError(status, code, detail)


def user_error(detail: str, path: str) -> NetSuiteError:
    """A business rule forbids the write."""
    return NetSuiteError(400, "USER_ERROR", detail, locator="o:errorPath", place=path)


def invalid_content(detail: str, path: str) -> NetSuiteError:
    """A value has the wrong form or is not one of those allowed."""
    return NetSuiteError(400, "INVALID_CONTENT", detail, locator="o:errorPath", place=path)


def permission_violation(record_type: str) -> NetSuiteError:
    """The role of the caller has no right on this type of record."""
    detail = (
        f"Permission Violation: You need a higher permission for {record_type} to access this"
        " page. Please contact your account administrator."
    )
    return NetSuiteError(403, "INSUFFICIENT_PERMISSION", detail)


def error_response(error: NetSuiteError) -> Response:
    details = {"detail": error.detail, "o:errorCode": error.code}
    if error.locator:
        details[error.locator] = error.place
    body = {
        "type": "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "o:errorDetails": [details],
    }
    response = ExactJSONResponse(body, status_code=error.status)
    response.headers["content-type"] = "application/vnd.oracle.resource+json; type=error"
    return response


async def answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, NetSuiteError)
    return error_response(error)
