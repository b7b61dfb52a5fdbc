"""The ERP's OData: sign-in, lists with filters and pages, records written by their keys.

Facts and their sources: connectors/vendors/finance_operations/README.md. Pages follow each other by
position, so that a row that goes while they are read hides another.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors import wire
from sandbox.vendors.dynamics import DynamicsApi, DynamicsSettings
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
from sandbox.vendors.frame import VendorError
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import InvalidRowError, Site
from sandbox.vendors.wire import ExactJSONResponse

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
_PART: Final = re.compile(r"(\w+)=('(?:[^']|'')*'|[\d.]+)")


class FinanceOperationsSettings(DynamicsSettings):
    """Adjustable behaviour of the ERP.

    Its load cannot be simulated: so many requests in five minutes stand for it.
    """

    page_size: int = Field(default=10_000, ge=1)
    currencies: tuple[str, ...] = CURRENCIES
    customer_groups: tuple[str, ...] = ("PSASTREAM", "10")
    project_groups: tuple[str, ...] = ("TM", "FP", "INT")
    hours_digits: int = Field(default=HOURS_DIGITS, ge=0)
    default_company: str = "dat"  # of the integration's user


class FinanceOperationsApi(DynamicsApi[FinanceOperationsSettings]):
    """Handlers of the lists."""

    written = WRITTEN
    ours = OURS
    secret = "FINANCE_OPERATIONS_CLIENT_SECRET"  # noqa: S105 - a variable's name
    tells_wait = True

    def __init__(
        self,
        site: Site[FinanceOperationsSettings],
        books: FinanceOperationsBooks,
        credentials: Credentials,
    ) -> None:
        super().__init__(site, credentials)
        self._books = books

    @property
    def scope(self) -> str:
        return f"{self._site.url}/.default"

    def routes(self) -> Sequence[Route]:
        routes = [self.token_route()]
        for path, methods, handler in (
            ("/data/{list}({key})", ["GET"], self._get),
            ("/data/{list}({key})", ["PATCH"], self._patch),
            ("/data/{list}({key})", ["DELETE"], self._delete),
            ("/data/{list}", ["GET"], self._list),
            ("/data/{list}", ["POST"], self._post),
        ):
            routes.append(Route(path, self.guarded(handler), methods=methods))
        return routes

    def check(self, request: Request) -> None:
        super().check(request)
        self._books.currencies = self._site.settings.currencies
        self._books.hours_digits = self._site.settings.hours_digits

    def told(self, error: VendorError) -> Response:
        is_own = isinstance(error, FinanceOperationsError)
        return error_response(error if is_own else standard_error(error.status))

    def refusal(self, status: int) -> Response:
        response = super().refusal(status)
        if status == 429:
            response.headers["Retry-After"] = "1"
        return response

    async def _list(self, request: Request) -> Response:
        name = self._named(request)
        table, asked = TABLES[name], dict(request.query_params)
        seen = [row for row in self._books.select(name) if self._is_seen(request, name, row)]
        rows = query.matching(table, seen, asked.get("$filter", ""))
        rows = query.ordered(table, rows, asked.get("$orderby", ""))
        counted = len(rows)
        rows = rows[_whole(asked, "$skip", 0) :][: _whole(asked, "$top", len(rows))]
        size = self.page_size(request)
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
        self.effect("create", name, made, body)
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
        self.effect("update", name, changed, body)
        return Response(status_code=204)

    async def _delete(self, request: Request) -> Response:
        name, row = self._target(request)
        self._require_right(name)
        _require_etag(request, row)
        self._refuse_line(name, row)
        self._refuse_referenced(name, row)
        self._books.delete(name, row["id"])
        self.effect("delete", name, row)
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
