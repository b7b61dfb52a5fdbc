"""The ERP's OData: sign-in, lists with filters and pages, records written by their ETag."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors import wire
from sandbox.vendors.business_central.books import (
    CURRENCIES,
    TABLES,
    BusinessCentralBooks,
    Row,
)
from sandbox.vendors.business_central.errors import (
    BusinessCentralError,
    dialog,
    error_response,
    refused,
    standard_error,
)
from sandbox.vendors.dynamics import DynamicsApi, DynamicsSettings
from sandbox.vendors.frame import VendorError
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import InvalidRowError, Site
from sandbox.vendors.wire import ExactJSONResponse

SCOPE: Final = "https://api.businesscentral.dynamics.com/.default"
PAGES: Final = "psastream/psa/v1.0"
"""Publisher, group and version of the extension that the firm has installed."""
STANDARD: Final = ("customers", "salesInvoices", "salesCreditMemos", "companyInformation")
OF_PAGES: Final = (
    "jobs", "jobPlanningLines", "postedSalesInvoiceLines", "postedSalesCreditMemoLines",
)  # fmt: skip
WRITTEN: Final = {
    "customers": "customer", "jobs": "job", "jobPlanningLines": "jobPlanningLine",
}  # fmt: skip
"""Lists that can be written to, and what one record is called."""
OURS: Final = {"customers": "number", "jobs": "number", "jobPlanningLines": "documentNumber"}
SERIES_CLOSED: Final = (
    "You may not enter numbers manually. If you want to enter numbers manually, please activate"
    " Manual Nos. in No. Series JOB."
)
_READ_ONLY: Final = frozenset({"id", "lastModifiedDateTime", "lineNumber", "quantityInvoiced"})
_TERM: Final = re.compile(r"(\w+) (eq|ge|gt|ne) ('(?:[^']|'')*'|[^\s']+)")
_STARTS: Final = re.compile(r"startswith\((\w+),'([^']*)'\)")


class BusinessCentralSettings(DynamicsSettings):
    """Adjustable behaviour of the ERP."""

    page_size: int = Field(default=20_000, ge=1)
    currencies: tuple[str, ...] = CURRENCIES
    required_fields: tuple[tuple[str, str], ...] = ()  # (list, field) that a firm demands


class BusinessCentralApi(DynamicsApi[BusinessCentralSettings]):
    """Handlers of the lists."""

    written = WRITTEN
    ours = OURS
    secret = "BUSINESS_CENTRAL_CLIENT_SECRET"  # noqa: S105 - a variable's name
    tells_wait = False

    def __init__(
        self,
        site: Site[BusinessCentralSettings],
        books: BusinessCentralBooks,
        credentials: Credentials,
    ) -> None:
        super().__init__(site, credentials)
        self._books = books

    @property
    def scope(self) -> str:
        return SCOPE

    def routes(self) -> Sequence[Route]:
        routes = [self.token_route(), Route("/api/v2.0/companies", self.guarded(self._companies))]
        for prefix in ("v2.0", PAGES):
            base = f"/api/{prefix}/companies({{company}})"
            for path, methods, handler in (
                ("/{list}({id})", ["GET"], self._get),
                ("/{list}({id})", ["PATCH"], self._patch),
                ("/{list}({id})", ["DELETE"], self._delete),
                ("/{list}", ["GET"], self._list),
                ("/{list}", ["POST"], self._post),
            ):
                routes.append(Route(base + path, self.guarded(handler), methods=methods))
        return routes

    def check(self, request: Request) -> None:
        super().check(request)
        self._books.currencies = self._site.settings.currencies

    def told(self, error: VendorError) -> Response:
        is_own = isinstance(error, BusinessCentralError)
        return error_response(error if is_own else standard_error(error.status))

    def refused(self, error: InvalidRowError) -> VendorError:
        return refused(error)

    async def _companies(self, request: Request) -> Response:
        rows = [
            {"id": row["id"], "systemVersion": "25.0", "timestamp": row["_version"],
             "name": row["name"], "displayName": row["displayName"], "businessProfileId": "",
             "systemCreatedAt": row["lastModifiedDateTime"],
             "systemCreatedBy": "00000000-0000-0000-0000-000000000001",
             "systemModifiedAt": row["lastModifiedDateTime"],
             "systemModifiedBy": "00000000-0000-0000-0000-000000000001"}
            for row in self._books.select("companies")
        ]  # fmt: skip
        return self._page(request, rows)

    async def _list(self, request: Request) -> Response:
        company, name = self._company(request), self._named(request)
        if name == "companyInformation":
            row = self._books.row("companies", company)
            return self._page(request, [_information(row)])
        # A replica lags; who means to write is answered from the primary database.
        is_primary = request.headers.get("data-access-intent", "").lower() == "readwrite"
        rows = [
            self._shown(name, row)
            for row in self._books.select(name, company=company)
            if is_primary or self._site.is_listed(row["id"])
        ]
        return self._page(request, rows)

    def _page(self, request: Request, rows: list[Row]) -> Response:
        query = dict(request.query_params)
        by = query.get("$orderby", "id")
        rows = [row for row in rows if _matches(row, query.get("$filter", ""))]
        if by != "id":
            rows.sort(key=lambda row: str(row[by]))
        size = self.page_size(request)
        after = _read_token(query.get("$skiptoken"))
        rest = [row for row in rows if after is None or str(row[by]) > after]
        body: dict[str, Any] = {
            "@odata.context": f"{self._site.url}/api/$metadata",
            "value": rest[:size],
        }
        if len(rest) > size:
            token = base64.urlsafe_b64encode(str(rest[size - 1][by]).encode()).decode()
            asked = urlencode({**query, "$skiptoken": token})
            path = request.url.path.partition("/business_central")[2]
            body["@odata.nextLink"] = f"{self._site.url}{path}?{asked}"
        return ExactJSONResponse(body)

    async def _get(self, request: Request) -> Response:
        name, row = self._target(request)
        return ExactJSONResponse(self._shown(name, row))

    async def _post(self, request: Request) -> Response:
        company, name = self._company(request), self._named(request)
        body = await _body(request)
        self._require_right(name)
        self._require_fields(name, body)
        if name == "jobs" and self._books.row("companies", company)["_project_series_is_closed"]:
            raise dialog(SERIES_CLOSED)
        if name == "customers" and not body.get("displayName"):
            raise dialog('A "displayName" must be provided.')
        made = self._books.create(name, {**body, "company": company})
        row = self._books.row(name, made["id"])
        self._site.made(row["id"])
        self.effect("create", name, row, body)
        return ExactJSONResponse(self._shown(name, row), status_code=201)

    async def _patch(self, request: Request) -> Response:
        name, row = self._target(request)
        body = await _body(request)
        self._require_right(name)
        _require_etag(request, row)
        _refuse_invoiced(name, row)
        self._books.update(name, row["id"], body)
        self.effect("update", name, row, body)
        return ExactJSONResponse(self._shown(name, row))

    async def _delete(self, request: Request) -> Response:
        name, row = self._target(request)
        self._require_right(name)
        _require_etag(request, row)
        _refuse_invoiced(name, row)
        self._refuse_referenced(name, row)
        self._books.delete(name, row["id"])
        self.effect("delete", name, row)
        return Response(status_code=204)

    def _require_right(self, name: str) -> None:
        if name not in WRITTEN:
            raise standard_error(405)
        if name in self._site.settings.denied_lists:
            label = TABLES[name].label
            raise BusinessCentralError(
                403,
                "Authorization_RequestDenied",
                f"You do not have the following permissions on TableData {label}: Modify.",
            )

    def _require_fields(self, name: str, body: Row) -> None:
        for where, required in self._site.settings.required_fields:
            if where == name and not body.get(required):
                raise BusinessCentralError(
                    400,
                    "Application_FieldValidationException",
                    f"{required} must have a value in {TABLES[name].label}: No.="
                    f"{body.get('number', '')}. It cannot be zero or empty.",
                )

    def _refuse_referenced(self, name: str, row: Row) -> None:
        for other, table in TABLES.items():
            for column, referred in table.refers.items():
                same = {"company": row["company"], column: row.get("number")}
                if referred == name and self._books.find(other, **same):
                    raise dialog(
                        f"You cannot delete {TABLES[name].label} {row['number']} because there is"
                        f" at least one {table.label} that includes it."
                    )

    def _company(self, request: Request) -> str:
        company = str(request.path_params["company"]).lower()
        if not self._books.select("companies", id=company):
            raise BusinessCentralError(
                404, "Internal_CompanyNotFound", "Cannot process the request: no such company."
            )
        return company

    def _named(self, request: Request) -> str:
        is_standard = request.url.path.partition("/api/")[2].startswith("v2.0/")
        name = str(request.path_params["list"])
        if name not in (STANDARD if is_standard else OF_PAGES):
            raise standard_error(404)
        return name

    def _target(self, request: Request) -> tuple[str, Row]:
        company, name = self._company(request), self._named(request)
        row_id = str(request.path_params["id"]).lower()
        row = self._books.find(name, id=row_id, company=company)
        if row is None:
            raise BusinessCentralError(
                404, "Internal_RecordNotFound", f"The {TABLES[name].label} does not exist."
            )
        return name, row

    def _shown(self, name: str, row: Row) -> Row:
        drift = self._site.drift
        shown = {
            field: value
            for field, value in self._books.shown(name, row).items()
            if not field.startswith("_") and field != "company"
            and not drift.is_removed(name, field)
        }  # fmt: skip
        return {"@odata.etag": _etag(row), **shown, **drift.added(name)}


def _information(row: Row) -> Row:
    return {
        "@odata.etag": _etag(row),
        "id": row["id"].replace("0000-4000", "0001-4000"),
        "displayName": row["displayName"],
        "addressLine1": "",
        "country": row["country"],
        "taxRegistrationNumber": row["taxRegistrationNumber"],
        "currencyCode": row["currencyCode"],
        "lastModifiedDateTime": row["lastModifiedDateTime"],
    }


def _etag(row: Row) -> str:
    text = base64.b64encode(f"{row['id']};{row['_version']}".encode()).decode()
    return f'W/"{text}"'


def _require_etag(request: Request, row: Row) -> None:
    told = request.headers.get("if-match")
    if told is None:
        raise BusinessCentralError(
            400,
            "BadRequest_InvalidToken",
            "Could not validate the client concurrency token required by the service.",
        )
    if told not in ("*", _etag(row)):
        raise BusinessCentralError(
            409, "Request_EntityChanged", "Another user has already changed the record."
        )


def _refuse_invoiced(name: str, row: Row) -> None:
    if name == "jobPlanningLines" and row["quantityInvoiced"]:
        raise dialog("The line has been invoiced and cannot be changed.")


def _matches(row: Row, filter_: str) -> bool:
    """Whether a row fits terms joined by `and`, or by `or`. Raises BusinessCentralError."""
    if not filter_:
        return True
    if starts := _STARTS.fullmatch(filter_):
        return str(row[starts[1]]).startswith(starts[2])
    joins = {"any": " or " in filter_, "all": " and " in filter_}
    terms = re.split(" or | and ", filter_)
    if all(joins.values()) or not all(_TERM.fullmatch(term) for term in terms):
        raise BusinessCentralError(
            400, "BadRequest_NotFound", "Bad Request - Error in query syntax"
        )
    fits = [_fits(row, term) for term in terms]
    return any(fits) if joins["any"] else all(fits)


def _fits(row: Row, term: str) -> bool:
    found = _TERM.fullmatch(term)
    assert found is not None
    name, operator, literal = found.groups()
    if name not in row:
        raise BusinessCentralError(400, "BadRequest", f"Could not find a property named '{name}'.")
    held, wanted = str(row[name]), literal.strip("'").replace("''", "'")
    if name == "lastModifiedDateTime":
        held, wanted = _padded(held), _padded(wanted)
    elif name == "id":
        wanted = wanted.lower()
    match operator:
        case "eq":
            return held == wanted
        case "ne":
            return held != wanted
        case "ge":
            return held >= wanted
        case _:
            return held > wanted


def _padded(stamp: str) -> str:
    """Return an instant with a fraction of one length, so that texts compare as instants do."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<7}"


def _read_token(token: str | None) -> str | None:
    if token is None:
        return None
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise BusinessCentralError(400, "BadRequest", "The skip token is invalid.") from error


async def _body(request: Request) -> Row:
    try:
        body = wire.loads(await request.body())
    except ValueError as error:
        raise BusinessCentralError(400, "BadRequest", "Invalid Request Body") from error
    if not isinstance(body, dict):
        raise BusinessCentralError(400, "BadRequest", "Invalid Request Body")
    if fixed := sorted(body.keys() & _READ_ONLY):
        raise BusinessCentralError(
            400, "BadRequest_InvalidOperation", f"Control '{fixed[0]}' is read-only."
        )
    if private := sorted(name for name in body if name.startswith("_") or name == "company"):
        raise BusinessCentralError(
            400, "BadRequest", f"The property '{private[0]}' does not exist on the type."
        )
    return body
