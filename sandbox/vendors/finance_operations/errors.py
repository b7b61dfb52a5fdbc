"""Errors of the ERP: a blank code, a message that says nothing, and what happened inside."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from sandbox.vendors.frame import VendorError
from sandbox.vendors.wire import ExactJSONResponse

WRITE: Final = "Microsoft.Dynamics.Platform.Integration.Services.OData.AxODataWriteException"
ODATA: Final = "Microsoft.OData.ODataException"
_STANDARD: Final = {
    401: "Unauthorized",
    403: "Access Denied",
    404: "No HTTP resource was found that matches the request URI.",
    405: "The requested resource does not support the method.",
    412: "The record was changed since it was read.",
    429: "This request could not be processed at this time due to high resource utilization.",
}


class FinanceOperationsError(VendorError):
    """An answer other than success. `kind`: the exception inside, where it is told."""

    def __init__(self, status: int, message: str, kind: str = "") -> None:
        super().__init__(status, message, code=kind)


def standard_error(status: int) -> FinanceOperationsError:
    """Return the error that a status has where nothing more is known."""
    return FinanceOperationsError(status, _STANDARD.get(status, "An error has occurred."))


def not_written(entity: str, infolog: str) -> FinanceOperationsError:
    """Return the refusal of a write, which was undone, with what the ERP says of it."""
    message = f"Write failed for table row of type '{entity}'. Infolog: {infolog}"
    return FinanceOperationsError(400, message, WRITE)


def misunderstood(message: str) -> FinanceOperationsError:
    """Return the refusal of a question, or of a body, that names what is not there."""
    return FinanceOperationsError(400, message, ODATA)


def error_response(error: VendorError) -> Response:
    """Return the answer of an error."""
    inner = {"message": error.message, "type": error.code, "stacktrace": ""}
    body = (
        {"code": "", "message": "An error has occurred.", "innererror": inner}
        if error.code
        else {"code": "", "message": error.message}
    )
    return ExactJSONResponse({"error": body}, status_code=error.status)
