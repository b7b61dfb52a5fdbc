"""Coupa's core API as far as it is read: lists of orders, invoices and receipts, by offset.

A client signs in with its credentials and asks for scopes; a call beyond them is answered 403
(compass.coupa.com, OAuth 2.0 and OIDC). Lists are 50 rows at most, by `offset`, filtered by
`name[operator]`, with 25 requests a second (Querying Options); they come in XML unless JSON is
asked for, and a list without rows is 404 in XML, `[]` in JSON (Differences between XML and JSON).
`fields` is JSON (API Return Formats). More facts and sources: connectors/vendors/coupa/README.md.
Sorting is not documented: lists are in the order of ids here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors import wire
from sandbox.vendors.coupa.books import (
    INVOICE_LINES,
    INVOICES,
    ORDER_LINES,
    ORDERS,
    RECEIPTS,
    SUPPLIERS,
    CoupaBooks,
)
from sandbox.vendors.faults import bearer_token
from sandbox.vendors.frame import Frame, VendorError
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site, SiteSettings
from sandbox.vendors.tables import Row
from sandbox.vendors.wire import ExactJSONResponse

_LIMIT: Final = 50
_SCOPES: Final = {
    ORDERS: "core.purchase_order.read",
    ORDER_LINES: "core.purchase_order.read",
    INVOICES: "core.invoice.read",
    RECEIPTS: "core.inventory.receiving.read",
}
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "": lambda found, wanted: found == wanted,
    "not_eq": lambda found, wanted: found != wanted,
    "gt": lambda found, wanted: found > wanted,
    "gt_or_eq": lambda found, wanted: found >= wanted,
    "lt": lambda found, wanted: found < wanted,
    "lt_or_eq": lambda found, wanted: found <= wanted,
}
_NO_FILTERS: Final = ("fields", "offset", "limit", "return_object")
_ENTERED: Final = ("invoice_date", "original_date_of_supply", "transaction_date")
"""Days, which are shown as midnight."""


class CoupaSettings(SiteSettings):
    """Adjustable behaviour of an instance."""

    requests_per_second: int = Field(default=25, ge=0)
    token_lifetime_s: float = Field(default=86_399, ge=0)
    offset_hours: int = Field(default=-8, ge=-12, le=14)
    """Of the company's time zone, in which stamps and days are shown."""
    lines_move_invoices: bool = True
    """Whether a line that changes moves its invoice, which no page tells."""


class CoupaApi(Frame[CoupaSettings]):
    """Handlers of the lists."""

    window_s = 1
    token_path = "/oauth2/token"  # noqa: S105 - a path, not a secret

    def __init__(
        self, site: Site[CoupaSettings], books: CoupaBooks, credentials: Credentials
    ) -> None:
        super().__init__(site)
        self._books = books
        self._client = (credentials.client_id, credentials["COUPA_CLIENT_SECRET"])
        self._granted: dict[str, frozenset[str]] = {}  # scopes by token

    def routes(self) -> Sequence[Route]:
        return [
            Route(self.token_path, self._sign_in, methods=["POST"]),
            Route("/api/{list}", self.guarded(self._list)),
        ]

    def check(self, request: Request) -> None:
        token = bearer_token(request.headers)
        if not self._site.tokens.is_valid(token):
            raise VendorError(401, "The access token is invalid")
        self.admit(self._site.settings.requests_per_second, tells_wait=False)
        name = request.path_params["list"]
        if name not in _SCOPES:
            raise VendorError(404, "No route matches")
        if _SCOPES[name] not in self._granted[token]:
            raise VendorError(403, "insufficient scope")

    def told(self, error: VendorError) -> Response:
        text = error.message or "the request was not carried out"
        return ExactJSONResponse({"errors": [text]}, status_code=error.status)

    async def _sign_in(self, request: Request) -> Response:
        form = wire.read_form(await request.body())
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            return ExactJSONResponse({"error": "invalid_client"}, status_code=401)
        if form.get("grant_type") != "client_credentials":
            return ExactJSONResponse({"error": "unsupported_grant_type"}, status_code=400)
        scopes = frozenset(form.get("scope", "").split())
        if not scopes or not scopes <= {*_SCOPES.values()}:
            return ExactJSONResponse({"error": "invalid_scope"}, status_code=400)
        lifetime_s = self._site.settings.token_lifetime_s
        token = self._site.tokens.issue(lifetime_s)
        self._granted[token] = scopes
        return ExactJSONResponse(
            {
                "access_token": token,
                "token_type": "bearer",
                "expires_in": int(lifetime_s),
                "scope": " ".join(sorted(scopes)),
            }
        )

    async def _list(self, request: Request) -> Response:
        name, query = request.path_params["list"], request.query_params
        self._books.lines_move_invoices = self._site.settings.lines_move_invoices
        rows = self._books.table(name)
        for key, text in query.items():
            if key not in _NO_FILTERS:
                rows = [row for row in rows if _holds(row, key, text)]
        offset = _number(query.get("offset"), 0)
        limit = min(_number(query.get("limit"), _LIMIT), _LIMIT)
        fields = _fields(query.get("fields"))
        shown = [_chosen(self._whole(name, row), fields) for row in rows[offset : offset + limit]]
        shown = [self._site.drift.shown(name, row) for row in shown]
        if "json" in request.headers.get("accept", ""):
            return ExactJSONResponse(shown)
        return _in_xml(name, shown)

    def _whole(self, name: str, row: Row) -> Row:
        """A row with all fields and all that it names."""
        whole: Row = {"id": int(row["id"])}
        for field, value in row.items():
            if field.endswith("_id") or field == "id":
                continue
            whole[field] = self._shown(field, value)
        match name:
            case "purchase_order_lines":
                order = self._books.get(ORDERS, row["order_header_id"])
                whole |= {
                    "order_header_id": int(row["order_header_id"]),
                    "supplier": self._supplier(row),
                    "currency": {"code": order["currency"]},
                }
            case "invoices":
                lines = [
                    self._line(each)
                    for each in self._books.table(INVOICE_LINES)
                    if each["invoice_id"] == row["id"]
                ]
                whole |= {"supplier": self._supplier(row), "invoice_lines": lines}
            case "receiving_transactions":
                line = self._books.get(ORDER_LINES, row["order_line_id"])
                order = self._books.get(ORDERS, line["order_header_id"])
                currency = {"code": order["currency"]}
                whole["order_line"] = {"id": int(line["id"]), "currency": currency}
        return _coded(whole)

    def _line(self, row: Row) -> Row:
        order_line = row["order_line_id"]
        line = {"id": int(row["id"]), "order_line_id": order_line and int(order_line)}
        names = ("quantity", "total", "account_code", "original_date_of_supply")
        return _coded(line | {name: self._shown(name, row[name]) for name in names})

    def _supplier(self, row: Row) -> Row:
        supplier = self._books.get(SUPPLIERS, row["supplier_id"])
        return {"id": int(supplier["id"]), "name": supplier["name"]}

    def _shown(self, field: str, value: Any) -> Any:
        zone = timezone(timedelta(hours=self._site.settings.offset_hours))
        if isinstance(value, datetime):
            return value.astimezone(zone).isoformat()
        if field in _ENTERED and value is not None:
            return datetime.combine(date.fromisoformat(value), time(), zone).isoformat()
        return str(value) if isinstance(value, Decimal) else value


def _coded(row: Row) -> Row:
    """The row with its account and its currency as what they are: things with a code."""
    if "account_code" in row:
        code = row.pop("account_code")
        row["account"] = None if code is None else {"code": code}
    if isinstance(row.get("currency"), str):
        row["currency"] = {"code": row["currency"]}
    return row


def _holds(row: Row, key: str, text: str) -> bool:
    """Whether a row fits a filter `name[operator]`; names have hyphens, or underscores."""
    name, _, rest = key.partition("[")
    field, operator = name.replace("-", "_"), rest.removesuffix("]")
    if operator == "in":
        return str(row.get(field)) in text.split(",")
    if operator not in _OPERATORS or field not in row:
        raise VendorError(400, f"{key} cannot be queried")
    found = row[field]
    if isinstance(found, datetime):
        return _OPERATORS[operator](found, _instant(text))
    if field == "id":
        return _OPERATORS[operator](int(found), _number(text, 0))
    return _OPERATORS[operator](_text(found), text)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _instant(text: str) -> datetime:
    """An instant; a day alone is its midnight in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise VendorError(400, f"{text} is no time") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _fields(text: str | None) -> Sequence[Any] | None:
    if text is None:
        return None
    try:
        found = wire.loads(text.encode())
    except ValueError as error:
        raise VendorError(400, "fields is no JSON") from error
    if not isinstance(found, list):
        raise VendorError(400, "fields is no list")
    return found


def _chosen(row: Any, fields: Sequence[Any] | None) -> Any:
    """What was asked for of a row, or all of it, under names with hyphens."""
    if isinstance(row, list):
        return [_chosen(each, fields) for each in row]
    if not isinstance(row, dict):
        return row
    asked: dict[str, Sequence[Any] | None] = dict.fromkeys(row)
    if fields is not None:
        asked = {}
        for each in fields:
            asked |= each if isinstance(each, dict) else {str(each): None}
    return {
        name.replace("_", "-"): _chosen(row[name], below)
        for name, below in asked.items()
        if name in row
    }


def _in_xml(name: str, rows: Sequence[Row]) -> Response:
    """The rows as elements; nothing found is an error."""
    if not rows:
        errors = Element("errors")
        SubElement(errors, "error").text = "No results match your search criteria."
        return Response(tostring(errors), status_code=404, media_type="application/xml")
    root = Element(name.replace("_", "-"), type="array")
    for row in rows:
        _write(root, name.removesuffix("s").replace("_", "-"), row)
    return Response(tostring(root, xml_declaration=True), media_type="application/xml")


def _write(parent: Element, name: str, value: Any) -> None:
    element = SubElement(parent, name)
    match value:
        case None:
            element.set("nil", "true")
        case bool():
            element.set("type", "boolean")
            element.text = str(value).lower()
        case int():
            element.set("type", "integer")
            element.text = str(value)
        case list():
            element.set("type", "array")
            for each in value:
                _write(element, name.removesuffix("s"), each)
        case dict():
            for below, each in value.items():
                _write(element, below, each)
        case _:
            element.text = str(value)


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
