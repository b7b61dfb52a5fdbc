"""Errors of the ERP: a blank code, a message that says nothing, and what happened inside."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

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


class FinanceOperationsError(Exception):
    """An answer other than success. `kind`: the exception inside, where it is told."""

    def __init__(self, status: int, message: str, kind: str = "", retry_after_s: int = 0) -> None:
        super().__init__(status, message, kind)
        self.status = status
        self.message = message
        self.kind = kind
        self.retry_after_s = retry_after_s


def standard_error(status: int, retry_after_s: int = 0) -> FinanceOperationsError:
    """Return the error that a status has where nothing more is known."""
    message = _STANDARD.get(status, "An error has occurred.")
    return FinanceOperationsError(status, message, retry_after_s=retry_after_s)


def not_written(entity: str, infolog: str) -> FinanceOperationsError:
    """Return the refusal of a write, which was undone, with what the ERP says of it."""
    message = f"Write failed for table row of type '{entity}'. Infolog: {infolog}"
    return FinanceOperationsError(400, message, WRITE)


def misunderstood(message: str) -> FinanceOperationsError:
    """Return the refusal of a question, or of a body, that names what is not there."""
    return FinanceOperationsError(400, message, ODATA)


def error_response(error: FinanceOperationsError) -> Response:
    """Return the answer of an error."""
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    inner = {"message": error.message, "type": error.kind, "stacktrace": ""}
    body = (
        {"code": "", "message": "An error has occurred.", "innererror": inner}
        if error.kind
        else {"code": "", "message": error.message}
    )
    return ExactJSONResponse({"error": body}, status_code=error.status, headers=headers)
