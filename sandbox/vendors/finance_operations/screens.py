"""What the firm's finance does in the screens of Finance & Operations."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors.finance_operations import finance
from sandbox.vendors.finance_operations.books import FinanceOperationsBooks
from sandbox.vendors.wire import ExactJSONResponse


class ProjectOrder(BaseModel):
    """Which project's hours to invoice: `hours` by time bill, or all there is."""

    model_config = ConfigDict(extra="forbid")

    project: str
    hours: dict[str, Decimal] | None = None


class CreditedLines(BaseModel):
    """What to credit of an invoice: the lines with these ids, or all."""

    model_config = ConfigDict(extra="forbid")

    lines: list[str] | None = None


def screens(books: FinanceOperationsBooks) -> Sequence[Route]:
    """Invoices are made and credited, journals posted."""

    async def invoice(request: Request) -> Response:
        order = ProjectOrder.model_validate_json(await request.body())
        return ExactJSONResponse(finance.invoice_project(books, order.project, order.hours))

    async def credit(request: Request) -> Response:
        order = CreditedLines.model_validate_json(await request.body())
        note = finance.credit_invoice(books, request.path_params["id"], order.lines)
        return ExactJSONResponse(note)

    async def post(request: Request) -> Response:
        finance.post_journal(books, request.path_params["id"])
        return Response(status_code=204)

    return (
        Route("/invoices", invoice, methods=["POST"]),
        Route("/invoices/{id}/credits", credit, methods=["POST"]),
        Route("/journals/{id}/post", post, methods=["POST"]),
    )
