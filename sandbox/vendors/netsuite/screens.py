"""What the firm's finance does in the screens of NetSuite."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors.netsuite.billing import bill_job, credit_invoice, void_transaction
from sandbox.vendors.netsuite.tables import NetSuiteBooks
from sandbox.vendors.wire import ExactJSONResponse


class InvoiceOrder(BaseModel):
    """Which project's time to bill: `hours` by external id of the time bill, or all there is."""

    model_config = ConfigDict(extra="forbid")

    job_externalid: str
    hours: dict[str, Decimal] | None = None


class CreditOrder(BaseModel):
    """What to credit of an invoice: the lines with these ids, or all."""

    model_config = ConfigDict(extra="forbid")

    lines: list[int] | None = None


def screens(books: NetSuiteBooks) -> Sequence[Route]:
    """Invoices are made, credited and voided."""

    async def invoice(request: Request) -> Response:
        order = InvoiceOrder.model_validate_json(await request.body())
        return ExactJSONResponse(bill_job(books, order.job_externalid, order.hours))

    async def credit(request: Request) -> Response:
        order = CreditOrder.model_validate_json(await request.body())
        return ExactJSONResponse(credit_invoice(books, request.path_params["id"], order.lines))

    async def void(request: Request) -> Response:
        return ExactJSONResponse(void_transaction(books, request.path_params["id"]))

    return (
        Route("/invoices", invoice, methods=["POST"]),
        Route("/invoices/{id}/credits", credit, methods=["POST"]),
        Route("/transactions/{id}/void", void, methods=["POST"]),
    )
