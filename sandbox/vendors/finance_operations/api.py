"""The ERP's OData: sign-in, lists with filters and pages, records written by their keys.

Facts and their sources: connectors/vendors/finance_operations/README.md. Pages follow each other by
position, so that a row that goes while they are read hides another.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.vendors import wire
from sandbox.vendors.faults import FaultInjection, bearer_token
from sandbox.vendors.finance_operations import query
from sandbox.vendors.finance_operations.books import (
    CURRENCIES,
    HOURS_DIGITS,
    TABLES,
    FinanceOperationsBooks,
    Row,
)
from sandbox.vendors.finance_operations.errors import (
    FinanceOperationsError,
    error_response,
    misunderstood,
    not_written,
    standard_error,
)
from sandbox.vendors.limits import RateWindow
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import InvalidRowError, Site, SiteSettings, UnknownRowError
from sandbox.vendors.wire import ExactJSONResponse

TOKEN_PATH: Final = "/login/oauth2/v2.0/token"  # noqa: S105 - a path, not a secret
WRITTEN: Final = {
    "CustomersV3": "customer", "Projects": "project", "JournalTables": "journal",
    "JournalTrans": "hour line",
}  # fmt: skip
"""Lists that can be written to, and what one record is called."""
OURS: Final = {
    "CustomersV3": "CustomerAccount", "Projects": "ProjectID",
    "JournalTables": "JournalBatchNumber", "JournalTrans": "PsaStreamTimeBillId",
}  # fmt: skip
MANDATORY: Final = {
    "CustomersV3": ("OrganizationName", "CustomerGroupId"),
    "Projects": ("ProjectName", "ProjectType", "ProjectGroup"),
    "JournalTables": ("JournalName",),
    "JournalTrans": ("JournalId", "ProjectID", "Category"),
}
_FIXED: Final = frozenset({"Posted"})
_WINDOW_S: Final = 300
_PAGE_SIZE: Final = re.compile(r"odata\.maxpagesize=(\d+)")
_PART: Final = re.compile(r"(\w+)=('(?:[^']|'')*'|[\d.]+)")

Handler = Callable[[Request], Awaitable[Response]]


class FinanceOperationsSettings(SiteSettings):
    """Adjustable behaviour of the ERP.

    Its load cannot be simulated: so many requests in five minutes stand for it.
    """

    requests_per_five_minutes: int = Field(default=6_000, ge=0)
    page_size: int = Field(default=10_000, ge=1)
    token_lifetime_s: float = 3_600
    currencies: tuple[str, ...] = CURRENCIES
    customer_groups: tuple[str, ...] = ("PSASTREAM", "10")
    project_groups: tuple[str, ...] = ("TM", "FP", "INT")
    hours_digits: int = Field(default=HOURS_DIGITS, ge=0)
    default_company: str = "dat"  # of the integration's user
    denied_lists: tuple[str, ...] = ()  # that the integration has no right to write to


class FinanceOperationsApi:
    """Handlers of the lists; also the dialect for faults."""

    def __init__(
        self,
        site: Site[FinanceOperationsSettings],
        books: FinanceOperationsBooks,
        credentials: Credentials,
    ) -> None:
        self._site = site
        self._books = books
        self._credentials = credentials
        self._window = RateWindow(_WINDOW_S)

    def create_app(self) -> ASGIApp:
        """The ASGI application, faults included."""
        routes = [Route(TOKEN_PATH, self._sign_in, methods=["POST"])]
        for path, methods, handler in (
            ("/data/{list}({key})", ["GET"], self._get),
            ("/data/{list}({key})", ["PATCH"], self._patch),
            ("/data/{list}({key})", ["DELETE"], self._delete),
            ("/data/{list}", ["GET"], self._list),
            ("/data/{list}", ["POST"], self._post),
        ):
            routes.append(Route(path, self._guarded(handler), methods=methods))
        app = Starlette(
            routes=routes,
            exception_handlers={
                FinanceOperationsError: _answer_error,
                UnknownRowError: _answer_unknown,
                HTTPException: _answer_http_error,
            },
        )
        return FaultInjection(app, self._site.faults, self)

    def is_token_request(self, path: str) -> bool:
        return path.endswith(TOKEN_PATH)

    def is_write(self, method: str, path: str) -> bool:
        return method in ("POST", "PATCH", "DELETE") and not self.is_token_request(path)

    def refusal(self, status: int) -> Response:
        return error_response(standard_error(status, retry_after_s=1 if status == 429 else 0))

    def revoke(self, token: str) -> None:
        self._site.tokens.revoke(token)

    async def _sign_in(self, request: Request) -> Response:
        form = wire.read_form(await request.body())
        is_known = (
            form.get("client_id") == self._credentials.client_id
            and form.get("client_secret") == self._credentials["FINANCE_OPERATIONS_CLIENT_SECRET"]
        )
        if form.get("grant_type") != "client_credentials":
            return ExactJSONResponse({"error": "unsupported_grant_type"}, status_code=400)
        if form.get("scope") != f"{self._site.url}/.default":
            return ExactJSONResponse({"error": "invalid_scope"}, status_code=400)
        if not is_known:
            return ExactJSONResponse({"error": "invalid_client"}, status_code=401)
        lifetime_s = self._site.settings.token_lifetime_s
        token = self._site.tokens.issue(lifetime_s)
        return ExactJSONResponse(
            {"token_type": "Bearer", "expires_in": int(lifetime_s), "access_token": token}
        )

    def _guarded(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            if not self._site.tokens.is_valid(bearer_token(request.headers)):
                raise standard_error(401)
            if not self._window.has_room(self._site.settings.requests_per_five_minutes):
                raise standard_error(429, retry_after_s=max(self._window.retry_after_s(), 1))
            self._window.count()
            self._books.currencies = self._site.settings.currencies
            self._books.hours_digits = self._site.settings.hours_digits
            return await handler(request)

        return endpoint

    async def _list(self, request: Request) -> Response:
        name = self._named(request)
        table, asked = TABLES[name], dict(request.query_params)
        seen = [row for row in self._books.select(name) if self._is_seen(request, name, row)]
        rows = query.matching(table, seen, asked.get("$filter", ""))
        rows = query.ordered(table, rows, asked.get("$orderby", ""))
        counted = len(rows)
        rows = rows[_whole(asked, "$skip", 0) :][: _whole(asked, "$top", len(rows))]
        found = _PAGE_SIZE.search(request.headers.get("prefer", ""))
        most = self._site.settings.page_size
        size = max(min(int(found[1]), most) if found else most, 1)
        begin = _whole(asked, "$skiptoken", 0)
        body: dict[str, Any] = {"@odata.context": f"{self._site.url}/data/$metadata#{name}"}
        if asked.get("$count") == "true":
            body["@odata.count"] = counted
        chosen = self._chosen(name, asked.get("$select", ""))
        body["value"] = [self._shown(name, row, chosen) for row in rows[begin : begin + size]]
        if len(rows) > begin + size:
            more = urlencode({**asked, "$skiptoken": str(begin + size)})
            body["@odata.nextLink"] = f"{self._site.url}/data/{name}?{more}"
        return ExactJSONResponse(body)

    async def _get(self, request: Request) -> Response:
        name, row = self._target(request)
        chosen = self._chosen(name, request.query_params.get("$select", ""))
        return ExactJSONResponse(self._shown(name, row, chosen))

    async def _post(self, request: Request) -> Response:
        name = self._named(request)
        self._require_right(name)
        body = await _body(request, name)
        entity = TABLES[name].entity
        company = body.get("dataAreaId") or self._site.settings.default_company
        row = {**body, "dataAreaId": company}
        for field in MANDATORY[name]:
            if not row.get(field):
                raise not_written(entity, f"Warning: Field '{field}' must be filled in.")
        if name == "JournalTrans":
            self._refuse_posted(entity, str(company), str(row["JournalId"]))
        made = self._written(name, str(company), lambda: self._books.create(name, row), body)
        self._effect("create", name, made, body)
        return ExactJSONResponse(self._shown(name, made, None), status_code=201)

    async def _patch(self, request: Request) -> Response:
        name, row = self._target(request)
        self._require_right(name)
        body = await _body(request, name)
        _require_etag(request, row)
        self._refuse_line(name, row)
        if keys := sorted(body.keys() & {"dataAreaId", *TABLES[name].key}):
            raise not_written(TABLES[name].entity, f"Error: Field '{keys[0]}' cannot be changed.")
        company, row_id = row["dataAreaId"], row["id"]
        changed = self._written(name, company, lambda: self._books.update(name, row_id, body), body)
        self._effect("update", name, changed, body)
        return Response(status_code=204)

    async def _delete(self, request: Request) -> Response:
        name, row = self._target(request)
        self._require_right(name)
        _require_etag(request, row)
        self._refuse_line(name, row)
        self._refuse_referenced(name, row)
        self._books.delete(name, row["id"])
        self._effect("delete", name, row)
        return Response(status_code=204)

    def _written(self, name: str, company: str, write: Callable[[], Row], body: Row) -> Row:
        """Carry a write out. Raises FinanceOperationsError for what cannot be."""
        self._require_groups(name, company, body)
        try:
            return write()
        except InvalidRowError as error:
            told = str(error)
            if "has no field" in told or "cannot be" in told:
                raise misunderstood(f"An error occurred in the body: {told}.") from error
            raise not_written(TABLES[name].entity, told) from error

    def _require_groups(self, name: str, company: str, body: Row) -> None:
        """Groups are those of all companies; one may have been founded without any of projects."""
        settings = self._site.settings
        entity_of = self._books.find("LegalEntities", LegalEntityId=company)
        lacks = entity_of is not None and entity_of["_lacks_project_groups"] == "Yes"
        for field, label, known in (
            ("CustomerGroupId", "Customer groups", settings.customer_groups),
            ("ProjectGroup", "Project groups", () if lacks else settings.project_groups),
        ):
            if field in body and body[field] not in known:
                entity = TABLES[name].entity
                raise not_written(
                    entity,
                    f"Warning: The value '{body[field]}' in field '{field}' is not found in the"
                    f" related table '{label}'.; Warning: validateField failed on field"
                    f" '{entity}.{field}'.",
                )

    def _effect(self, operation: Any, name: str, row: Row, body: Row | None = None) -> None:
        self._site.record_effect(operation, WRITTEN[name], str(row[OURS[name]]).lower(), body)

    def _require_right(self, name: str) -> None:
        if name not in WRITTEN:
            raise standard_error(405)
        if name in self._site.settings.denied_lists:
            raise standard_error(403)

    def _refuse_line(self, name: str, row: Row) -> None:
        if name == "JournalTrans":
            self._refuse_posted(TABLES[name].entity, row["dataAreaId"], row["JournalId"])
        if name == "JournalTables" and row["Posted"] == "Yes":
            raise _posted(TABLES[name].entity, row["JournalBatchNumber"])

    def _refuse_posted(self, entity: str, company: str, number: str) -> None:
        named = {"dataAreaId": company, "JournalBatchNumber": number}
        journal = self._books.find("JournalTables", **named)
        if journal is not None and journal["Posted"] == "Yes":
            raise _posted(entity, number)

    def _refuse_referenced(self, name: str, row: Row) -> None:
        for other, table in TABLES.items():
            for column, referred in table.refers.items():
                same = {"dataAreaId": row["dataAreaId"], column: row.get(TABLES[name].key[0])}
                if referred == name and self._books.find(other, **same):
                    label = TABLES[name].label
                    raise not_written(
                        TABLES[name].entity,
                        f"Error: {label} cannot be deleted while dependent {table.label} exist.",
                    )

    def _named(self, request: Request) -> str:
        name = str(request.path_params["list"])
        if name not in TABLES:
            raise standard_error(404)
        return name

    def _is_seen(self, request: Request, name: str, row: Row) -> bool:
        if TABLES[name].is_shared or request.query_params.get("cross-company") == "true":
            return True
        return bool(row["dataAreaId"] == self._site.settings.default_company)

    def _target(self, request: Request) -> tuple[str, Row]:
        """The record of a key, which must be whole. Raises FinanceOperationsError."""
        name = self._named(request)
        table = TABLES[name]
        parts = {part: _read(text) for part, text in _PART.findall(request.path_params["key"])}
        wanted = set(table.key) | (set() if table.is_shared else {"dataAreaId"})
        if parts.keys() != wanted:
            raise misunderstood("The number of keys specified in the URI does not match.")
        row = self._books.find(name, **parts)
        if row is None or not self._is_seen(request, name, row):
            raise standard_error(404)
        return name, row

    def _chosen(self, name: str, select: str) -> list[str] | None:
        names = [each.strip() for each in select.split(",") if each.strip()]
        for each in names:
            query.require(TABLES[name], each)
            if self._site.drift.is_removed(name, each):
                raise misunderstood(f"Could not find a property named '{each}'.")
        return names or None

    def _shown(self, name: str, row: Row, chosen: list[str] | None) -> Row:
        table, drift = TABLES[name], self._site.drift
        fields = [each for each in table.fields if not each.startswith("_")]
        company = row["dataAreaId"].upper() if table.in_capitals else row["dataAreaId"]
        known = {} if table.is_shared else {"dataAreaId": company}
        known |= {each: row[each] for each in fields if not drift.is_removed(name, each)}
        shown = known if chosen is None else {each: known[each] for each in chosen}
        return {"@odata.etag": _etag(row), **shown, **drift.added(name)}


def _posted(entity: str, number: str) -> FinanceOperationsError:
    return not_written(entity, f"Error: Journal {number} is posted and cannot be changed.")


def _read(literal: str) -> object:
    if literal.startswith("'"):
        return literal[1:-1].replace("''", "'")
    return Decimal(literal)


def _etag(row: Row) -> str:
    text = base64.b64encode(f"'{row['_version']},{row['id']};'".encode()).decode()
    return f'W/"{text}"'


def _require_etag(request: Request, row: Row) -> None:
    if request.headers.get("if-match", "*") not in ("*", _etag(row)):
        raise standard_error(412)


def _whole(asked: dict[str, str], name: str, default: int) -> int:
    text = asked.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise misunderstood(f"Invalid value '{text}' for {name} query option.")
    return int(text)


async def _body(request: Request, name: str) -> Row:
    try:
        body = wire.loads(await request.body())
    except ValueError as error:
        raise misunderstood("The body is no JSON.") from error
    if not isinstance(body, dict):
        raise misunderstood("The body is no object.")
    for each in body:
        query.require(TABLES[name], each)
        if each in _FIXED:
            raise not_written(TABLES[name].entity, f"Error: Field '{each}' cannot be changed.")
    return body


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FinanceOperationsError)
    return error_response(error)


async def _answer_unknown(request: Request, error: Exception) -> Response:
    return error_response(standard_error(404))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(standard_error(error.status_code))
