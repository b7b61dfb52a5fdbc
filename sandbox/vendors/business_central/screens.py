"""What the firm's finance does in the screens of Business Central."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors.business_central import finance
from sandbox.vendors.business_central.books import BusinessCentralBooks
from sandbox.vendors.wire import ExactJSONResponse


class JobOrder(BaseModel):
    """Which project's planned time to invoice: `hours` by document number, or all there is."""

    model_config = ConfigDict(extra="forbid")

    number: str
    hours: dict[str, Decimal] | None = None


class CreditedLines(BaseModel):
    """What to credit of an invoice: the lines with these ids, or all."""

    model_config = ConfigDict(extra="forbid")

    lines: list[str] | None = None


def screens(books: BusinessCentralBooks) -> Sequence[Route]:
    """Invoices are made, credited and cancelled."""

    async def invoice(request: Request) -> Response:
        order = JobOrder.model_validate_json(await request.body())
        return ExactJSONResponse(finance.invoice_job(books, order.number, order.hours))

    async def credit(request: Request) -> Response:
        order = CreditedLines.model_validate_json(await request.body())
        memo = finance.credit_invoice(books, request.path_params["id"], order.lines)
        return ExactJSONResponse(memo)

    async def cancel(request: Request) -> Response:
        return ExactJSONResponse(finance.cancel_invoice(books, request.path_params["id"]))

    return (
        Route("/invoices", invoice, methods=["POST"]),
        Route("/invoices/{id}/credits", credit, methods=["POST"]),
        Route("/invoices/{id}/cancel", cancel, methods=["POST"]),
    )
