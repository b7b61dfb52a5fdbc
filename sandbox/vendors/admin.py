"""The admin API: what people do in the vendors' own screens, what goes wrong, what was written.

Open to whoever reaches the port, which is on 127.0.0.1. Changes made here are not in the effect
log: it lists what came through the vendors' APIs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.vendors import wire
from sandbox.vendors.business_central import finance
from sandbox.vendors.business_central.books import BusinessCentralBooks
from sandbox.vendors.effects import EffectLog
from sandbox.vendors.faults import FaultRule
from sandbox.vendors.finance_operations import finance as group_finance
from sandbox.vendors.finance_operations.books import FinanceOperationsBooks
from sandbox.vendors.netsuite.billing import bill_job, credit_invoice, void_transaction
from sandbox.vendors.netsuite.tables import NetSuiteBooks
from sandbox.vendors.salesforce.objects import SalesforceBooks
from sandbox.vendors.site import Books, InvalidRowError, Site, UnknownRowError
from sandbox.vendors.wire import ExactJSONResponse


@dataclass(frozen=True, slots=True)
class Party:
    """A vendor as the admin API sees it."""

    site: Site[Any]
    books: Books


class FieldChange(BaseModel):
    """A field that an object shows from now on, or does not have any more."""

    model_config = ConfigDict(extra="forbid")

    change: Literal["add", "remove"]
    object: str
    field: str
    value: Any = None


class InvoiceOrder(BaseModel):
    """Which project's time to bill: `hours` by external id of the time bill, or all there is."""

    model_config = ConfigDict(extra="forbid")

    job_externalid: str
    hours: dict[str, Decimal] | None = None


class CreditOrder(BaseModel):
    """What to credit of an invoice: the lines with these ids, or all."""

    model_config = ConfigDict(extra="forbid")

    lines: list[int] | None = None


class JobOrder(BaseModel):
    """Which project's planned time to invoice: `hours` by document number, or all there is."""

    model_config = ConfigDict(extra="forbid")

    number: str
    hours: dict[str, Decimal] | None = None


class ProjectOrder(BaseModel):
    """Which project's hours to invoice: `hours` by time bill, or all there is."""

    model_config = ConfigDict(extra="forbid")

    project: str
    hours: dict[str, Decimal] | None = None


class CreditedLines(BaseModel):
    """What to credit of an invoice: the lines with these ids, or all."""

    model_config = ConfigDict(extra="forbid")

    lines: list[str] | None = None


class AdminApi:
    """Handlers of the admin resources."""

    def __init__(
        self,
        parties: Mapping[str, Party],
        *,
        effects: EffectLog,
        crm: SalesforceBooks,
        erp: NetSuiteBooks,
        ledger: BusinessCentralBooks,
        group: FinanceOperationsBooks,
    ) -> None:
        self._parties = parties
        self._effects = effects
        self._crm = crm
        self._erp = erp
        self._ledger = ledger
        self._group = group

    def create_app(self) -> ASGIApp:
        """The ASGI application."""
        routes = [
            Route("/health", self._health),
            Route("/books", self._books),
            Route("/effects", self._effect_log),
            Route("/netsuite/invoices", self._invoice, methods=["POST"]),
            Route("/netsuite/invoices/{id}/credits", self._credit, methods=["POST"]),
            Route("/netsuite/transactions/{id}/void", self._void, methods=["POST"]),
            Route("/business_central/invoices", self._invoice_job, methods=["POST"]),
            Route("/business_central/invoices/{id}/credits", self._credit_lines, methods=["POST"]),
            Route("/business_central/invoices/{id}/cancel", self._cancel, methods=["POST"]),
            Route("/finance_operations/invoices", self._invoice_hours, methods=["POST"]),
            Route(
                "/finance_operations/invoices/{id}/credits", self._credit_hours, methods=["POST"]
            ),
            Route("/finance_operations/journals/{id}/post", self._post_journal, methods=["POST"]),
            Route("/salesforce/recycle-bin", self._purge, methods=["DELETE"]),
            Route("/salesforce/deletion-log", self._prune, methods=["DELETE"]),
            Route("/{vendor}/settings", self._settings, methods=["GET", "PATCH"]),
            Route("/{vendor}/faults", self._faults, methods=["GET", "POST", "DELETE"]),
            Route("/{vendor}/fields", self._fields, methods=["POST", "DELETE"]),
            Route("/{vendor}/tokens", self._expire_tokens, methods=["DELETE"]),
            Route("/{vendor}/rows/{object}", self._create, methods=["POST"]),
            Route("/{vendor}/rows/{object}/{id}", self._update, methods=["PATCH"]),
            Route("/{vendor}/rows/{object}/{id}", self._delete, methods=["DELETE"]),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={
                UnknownRowError: _answer_unknown,
                InvalidRowError: _answer_invalid,
                ValidationError: _answer_invalid,
                ValueError: _answer_invalid,
            },
        )

    def _party(self, request: Request) -> Party:
        vendor = request.path_params["vendor"]
        if vendor not in self._parties:
            raise UnknownRowError(f"no vendor {vendor}")
        return self._parties[vendor]

    async def _health(self, request: Request) -> Response:
        return ExactJSONResponse({"status": "up"})

    async def _books(self, request: Request) -> Response:
        return ExactJSONResponse(
            {name: party.books.rows() for name, party in self._parties.items()}
        )

    async def _effect_log(self, request: Request) -> Response:
        return ExactJSONResponse(self._effects.as_json())

    async def _create(self, request: Request) -> Response:
        """One row, or all of a list; the answer has the same shape."""
        books, record_type = self._party(request).books, request.path_params["object"]
        body = wire.loads(await request.body())
        if isinstance(body, list):
            created: Any = [books.create(record_type, _row(values)) for values in body]
        else:
            created = books.create(record_type, _row(body))
        return ExactJSONResponse(created, status_code=201)

    async def _update(self, request: Request) -> Response:
        body = wire.loads(await request.body())
        row = self._party(request).books.update(
            request.path_params["object"], request.path_params["id"], _row(body)
        )
        return ExactJSONResponse(row)

    async def _delete(self, request: Request) -> Response:
        self._party(request).books.delete(request.path_params["object"], request.path_params["id"])
        return Response(status_code=204)

    async def _invoice(self, request: Request) -> Response:
        order = InvoiceOrder.model_validate_json(await request.body())
        return ExactJSONResponse(bill_job(self._erp, order.job_externalid, order.hours))

    async def _credit(self, request: Request) -> Response:
        order = CreditOrder.model_validate_json(await request.body())
        return ExactJSONResponse(credit_invoice(self._erp, request.path_params["id"], order.lines))

    async def _void(self, request: Request) -> Response:
        return ExactJSONResponse(void_transaction(self._erp, request.path_params["id"]))

    async def _invoice_job(self, request: Request) -> Response:
        order = JobOrder.model_validate_json(await request.body())
        return ExactJSONResponse(finance.invoice_job(self._ledger, order.number, order.hours))

    async def _credit_lines(self, request: Request) -> Response:
        order = CreditedLines.model_validate_json(await request.body())
        made = finance.credit_invoice(self._ledger, request.path_params["id"], order.lines)
        return ExactJSONResponse(made)

    async def _cancel(self, request: Request) -> Response:
        return ExactJSONResponse(finance.cancel_invoice(self._ledger, request.path_params["id"]))

    async def _invoice_hours(self, request: Request) -> Response:
        order = ProjectOrder.model_validate_json(await request.body())
        made = group_finance.invoice_project(self._group, order.project, order.hours)
        return ExactJSONResponse(made)

    async def _credit_hours(self, request: Request) -> Response:
        order = CreditedLines.model_validate_json(await request.body())
        note = group_finance.credit_invoice(self._group, request.path_params["id"], order.lines)
        return ExactJSONResponse(note)

    async def _post_journal(self, request: Request) -> Response:
        group_finance.post_journal(self._group, request.path_params["id"])
        return Response(status_code=204)

    async def _purge(self, request: Request) -> Response:
        return ExactJSONResponse({"purged": self._crm.purge()})

    async def _prune(self, request: Request) -> Response:
        self._crm.prune_deletions()
        return Response(status_code=204)

    async def _settings(self, request: Request) -> Response:
        site = self._party(request).site
        if request.method == "PATCH":
            site.configure(wire.loads(await request.body()))
        return ExactJSONResponse(site.settings.model_dump())

    async def _faults(self, request: Request) -> Response:
        plan = self._party(request).site.faults
        if request.method == "POST":
            plan.add(FaultRule.model_validate(wire.loads(await request.body())))
        elif request.method == "DELETE":
            plan.clear(request.query_params.get("path"))
        return ExactJSONResponse({"drawn": dict(plan.drawn)})

    async def _fields(self, request: Request) -> Response:
        drift = self._party(request).site.drift
        if request.method == "DELETE":
            drift.reset()
            return Response(status_code=204)
        change = FieldChange.model_validate(wire.loads(await request.body()))
        if change.change == "add":
            drift.add(change.object, change.field, change.value)
        else:
            drift.remove(change.object, change.field)
        return Response(status_code=204)

    async def _expire_tokens(self, request: Request) -> Response:
        self._party(request).site.tokens.revoke_all()
        return Response(status_code=204)


def _row(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRowError("a row is a JSON object")
    return value


async def _answer_unknown(request: Request, error: Exception) -> Response:
    return ExactJSONResponse({"error": str(error)}, status_code=404)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    return ExactJSONResponse({"error": str(error)}, status_code=422)
