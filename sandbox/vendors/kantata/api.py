"""The REST API of Kantata OX, as far as it is written to: projects and external references."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from pydantic import Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.vendors import wire
from sandbox.vendors.faults import FaultInjection, bearer_token
from sandbox.vendors.kantata.books import (
    FIELDS,
    REFERENCES,
    WORKSPACES,
    KantataBooks,
    RefusedRowError,
    Row,
)
from sandbox.vendors.limits import RateWindow
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import InvalidRowError, Site, SiteSettings, UnknownRowError
from sandbox.vendors.wire import ExactJSONResponse

_MINUTE_S: Final = 60
_PAGE_SIZE: Final = 20
_PAGE_MAX: Final = 200
_NOT_SHOWN: Final = ("budgeted", "creator_role", "price")
"""Fields of a project that are set, and shown otherwise or never."""
_UNIT: Final = 100
_TYPES: Final = {
    400: ("syntax", "Bad Request"),
    401: ("oauth", "Invalid OAuth 2 Request"),
    403: ("system", "Forbidden"),
    404: ("system", "Not Found"),
    429: ("system", "Too many requests"),
}
_FILTERS: Final = ("service_name", "service_model", "service_model_ref", "subject_id", "status")

Handler = Callable[[Request], Awaitable[Response]]


class KantataSettings(SiteSettings):
    """Adjustable behaviour of the account. No page tells how many requests it allows.

    Searches that lag show a project, and its reference, late; asked for by its id it is there.
    """

    requests_per_minute: int = Field(default=300, ge=0)
    hidden_workspaces: tuple[str, ...] = ()
    """Projects that the token's user does not see, though their references are listed."""


class KantataError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str = "", *, field: str | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.field = field


class KantataApi:
    """Handlers of the collections; also the dialect for faults."""

    def __init__(
        self, site: Site[KantataSettings], books: KantataBooks, credentials: Credentials
    ) -> None:
        self._site = site
        self._books = books
        self._token = credentials["KANTATA_TOKEN"]
        self._window = RateWindow(_MINUTE_S)

    def create_app(self) -> ASGIApp:
        """The ASGI application, faults included."""
        item = "/workspaces/{id:int}.json"
        routes = [
            Route("/{collection}.json", self._guarded(self._list)),
            Route("/workspaces.json", self._guarded(self._create), methods=["POST"]),
            Route(item, self._guarded(self._update), methods=["PUT"]),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={
                KantataError: _answer_error,
                RefusedRowError: _answer_refused,
                InvalidRowError: _answer_invalid,
                UnknownRowError: _answer_unknown,
                HTTPException: _answer_http_error,
            },
        )
        return FaultInjection(app, self._site.faults, self)

    def is_token_request(self, path: str) -> bool:
        return False

    def is_write(self, method: str, path: str) -> bool:
        return method != "GET"

    def refusal(self, status: int) -> Response:
        return _error_response(KantataError(status))

    def revoke(self, token: str) -> None:
        """The token holds until it is revoked; the refusal alone is the fault."""

    def _guarded(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            if bearer_token(request.headers) != self._token:
                raise KantataError(401)
            if not self._window.has_room(self._site.settings.requests_per_minute):
                raise KantataError(429)
            self._window.count()
            return await handler(request)

        return endpoint

    async def _list(self, request: Request) -> Response:
        collection, query = request.path_params["collection"], request.query_params
        if collection not in FIELDS:
            raise KantataError(404)
        rows = self._books.rows()[collection]
        if collection == WORKSPACES:
            rows = self._visible(rows, request)
        else:
            if "subject_type" not in query:
                raise KantataError(400, "subject_type is missing")
            names = ("subject_type", *(name for name in _FILTERS if name in query))
            rows = [row for row in rows if all(str(row[it]) == query[it] for it in names)]
            rows = [row for row in rows if self._site.is_listed(row["subject_id"])]
            field, _, way = query.get("order", "created_at:desc").partition(":")
            rows.sort(key=lambda row: (str(row[field]), int(row["id"])), reverse=way == "desc")
        if "only" in query:
            wanted = query["only"].split(",")
            rows = [row for row in rows if row["id"] in wanted]
        page, size = _number(query.get("page"), 1), _number(query.get("per_page"), _PAGE_SIZE)
        size = min(size, _PAGE_MAX)
        return self._answer(collection, rows[(page - 1) * size : page * size], len(rows), size)

    def _visible(self, rows: Sequence[Row], request: Request) -> list[Row]:
        shows_archived = request.query_params.get("include_archived") == "true"
        hidden = self._site.settings.hidden_workspaces
        is_by_id = "only" in request.query_params
        return [
            row
            for row in rows
            if row["id"] not in hidden
            and (shows_archived or not row["archived"])
            and (is_by_id or self._site.is_listed(row["id"]))
        ]

    async def _create(self, request: Request) -> Response:
        body = await _body(request)
        row = self._books.create(WORKSPACES, body)
        self._site.made(row["id"])
        name = (body.get("external_reference") or {}).get("service_model_ref")
        self._site.record_effect("create", "workspace", str(name or row["id"]), body)
        return self._answer(WORKSPACES, [row], 1, _PAGE_SIZE)

    async def _update(self, request: Request) -> Response:
        row_id, body = str(request.path_params["id"]), await _body(request)
        row = self._books.update(WORKSPACES, row_id, body)
        names = [
            each["service_model_ref"]
            for each in self._books.rows()[REFERENCES]
            if str(each["subject_id"]) == row_id
        ]
        self._site.record_effect("update", "workspace", str((*names, row_id)[0]), body)
        return self._answer(WORKSPACES, [row], 1, _PAGE_SIZE)

    def _answer(self, collection: str, rows: Sequence[Row], count: int, size: int) -> Response:
        """Rows in order by reference, and by id under the name of their collection."""
        shown = {row["id"]: self._shown(collection, row) for row in rows}
        pages = -(-count // size)
        meta = {"count": count, "page_count": pages, "page_number": 1, "page_size": size}
        results = [{"key": collection, "id": row["id"]} for row in rows]
        return ExactJSONResponse(
            {"count": count, "meta": meta, "results": results, collection: shown}
        )

    def _shown(self, collection: str, row: Row) -> Row:
        if collection == WORKSPACES:
            cents = None if row["price"] is None else row["price"] * _UNIT
            money = {"price_in_cents": cents, "currency_base_unit": _UNIT}
            row = {name: row[name] for name in row if name not in _NOT_SHOWN} | money
        else:
            row = {**row, "subject_id": int(row["subject_id"])}
        return self._site.drift.shown(collection, row)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = wire.loads(await request.body())
    except ValueError as error:
        raise KantataError(400) from error
    named = body.get("workspace") if isinstance(body, dict) else None
    if not isinstance(named, dict):
        raise KantataError(400, "workspace is missing")
    return named


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and int(text) else default


def _error_response(error: KantataError) -> Response:
    kind, message = _TYPES.get(error.status, ("system", "Unavailable"))
    if error.status == 422:
        kind = "validation"
    item = {"type": kind, "message": error.message or message}
    if error.field is not None:
        item["field"] = error.field
    return ExactJSONResponse({"errors": [item]}, status_code=error.status)


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, KantataError)
    return _error_response(error)


async def _answer_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedRowError)
    return _error_response(KantataError(422, error.message, field=error.field))


async def _answer_invalid(request: Request, error: Exception) -> Response:
    return _error_response(KantataError(422, str(error)))


async def _answer_unknown(request: Request, error: Exception) -> Response:
    return _error_response(KantataError(404))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error_response(KantataError(error.status_code))
