"""Errors of the ERP: `{"error": {"code", "message"}}`, the message with a correlation id."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from sandbox.vendors.business_central.books import DuplicateKeyError, MissingRelationError
from sandbox.vendors.frame import VendorError
from sandbox.vendors.site import InvalidRowError
from sandbox.vendors.wire import ExactJSONResponse

_CORRELATION: Final = "  CorrelationId:  00000000-0000-0000-0000-000000000000."
_STANDARD: Final = {
    401: ("Authentication_InvalidCredentials", "The server has rejected the client credentials."),
    404: ("BadRequest_ResourceNotFound", "Resource not found for the segment."),
    405: ("BadRequest_MethodNotAllowed", "The request is not allowed within OData web services."),
    429: ("Application_TooManyRequests", "Too many requests."),
    500: ("Internal_ServerError", "An error occurred."),
    503: ("Internal_ServerError", "The service is not available."),
}


class BusinessCentralError(VendorError):
    """An answer other than success."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, message, code=code)


def standard_error(status: int) -> BusinessCentralError:
    """Return the error that a status has where nothing more is known."""
    code, message = _STANDARD.get(status, ("Unknown", "An error occurred."))
    return BusinessCentralError(status, code, message)


def dialog(message: str) -> BusinessCentralError:
    """Return a refusal by a rule of the application."""
    return BusinessCentralError(400, "Application_DialogException", message)


def refused(error: InvalidRowError) -> BusinessCentralError:
    """Return the error of a record that cannot be."""
    match error:
        case DuplicateKeyError():
            code = "Internal_EntityWithSameKeyExists"
        case MissingRelationError() if "Currency" in str(error):
            code = "Application_DialogException"
        case MissingRelationError():
            code = "Internal_InvalidTableRelation"
        case _ if "length" in str(error):
            code = "Application_StringExceededLength"
        case _:
            code = "BadRequest"
    return BusinessCentralError(400, code, str(error))


def error_response(error: VendorError) -> Response:
    """Return the answer of an error."""
    body = {"error": {"code": error.code, "message": f"{error.message}{_CORRELATION}"}}
    return ExactJSONResponse(body, status_code=error.status)
