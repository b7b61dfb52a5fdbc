"""The resource manager's REST API: collections by page, writes, two rate limits."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import date
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
from sandbox.vendors.float.tables import (
    RECORD_TYPES,
    FloatBooks,
    RefusedRowError,
    last_changed_on,
)
from sandbox.vendors.limits import RateWindow
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site, SiteSettings, UnknownRowError
from sandbox.vendors.wire import ExactJSONResponse

_MESSAGES: Final = {
    400: ("Bad Request", "Your request is invalid."),
    401: ("Unauthorized", "Your request was made with invalid credentials."),
    404: ("Not Found", "Object not found."),
    405: ("Method Not Allowed", "This method is not allowed."),
    429: ("Too Many Requests", "Rate limit exceeded."),
    500: ("Internal Server Error", "An internal server error occurred."),
    503: ("Service Unavailable", "The service is temporarily unavailable."),
}
_PAGE_SIZE_DEFAULT: Final = 50
_MINUTE_S: Final = 60
_SECOND_S: Final = 1

_MODEL_NAMES: Final = {
    "people": "person",
    "roles": "role",
    "projects": "project",
    "tasks": "task",
} | {
    "timeoffs": "timeoff",
    "public-holidays": "public holiday",
    "holidays": "team holiday",
}

Handler = Callable[[Request], Awaitable[Response]]


class FloatSettings(SiteSettings):
    """Adjustable behaviour of the resource manager."""

    page_size: int = Field(default=200, ge=1, le=200)
    reads_per_minute: int = Field(default=200, ge=0)
    reads_per_second: int = Field(default=10, ge=0)
    writes_per_minute: int = Field(default=100, ge=0)
    writes_per_second: int = Field(default=4, ge=0)
    sends_retry_after: bool = False
    hidden_collections: tuple[str, ...] = ()
    """Collections whose rows the token's user has no right to see: lists are empty, no error."""
    filters_by_code: bool = False
    """Whether the list of projects heeds `project_code`: no page says of it that it does."""


class FloatError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, *, retry_after_s: int | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after_s = retry_after_s


class FloatApi:
    """Handlers of the collections; also the dialect for faults."""

    def __init__(
        self, site: Site[FloatSettings], books: FloatBooks, credentials: Credentials
    ) -> None:
        self._site = site
        self._books = books
        self._token = credentials["FLOAT_TOKEN"]
        self._reads = (RateWindow(_MINUTE_S), RateWindow(_SECOND_S))
        self._writes = (RateWindow(_MINUTE_S), RateWindow(_SECOND_S))

    def create_app(self) -> ASGIApp:
        """The ASGI application, faults included."""
        collection, item = "/v3/{collection}", "/v3/{collection}/{id}"
        routes = [
            Route(collection, self._guarded(self._list)),
            Route(collection, self._guarded(self._create), methods=["POST"]),
            Route(item, self._guarded(self._get)),
            Route(item, self._guarded(self._update), methods=["PATCH", "PUT"]),
            Route(item, self._guarded(self._delete), methods=["DELETE"]),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={
                FloatError: _answer_error,
                RefusedRowError: _answer_refused,
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
        return _error_response(FloatError(status))

    def revoke(self, token: str) -> None:
        """The static token does not lapse; the refusal alone is the fault."""

    def _guarded(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            if not request.headers.get("user-agent"):
                raise FloatError(400)
            if "authorization" not in request.headers:
                return Response("<html>Forbidden</html>", 403, media_type="text/html")
            if bearer_token(request.headers) != self._token:
                raise FloatError(401)
            self._throttle(request)
            if request.path_params["collection"] not in RECORD_TYPES:
                raise FloatError(404)
            return await handler(request)

        return endpoint

    def _throttle(self, request: Request) -> None:
        settings = self._site.settings
        if request.method in ("GET", "HEAD"):
            windows, limits = self._reads, (settings.reads_per_minute, settings.reads_per_second)
        else:
            windows, limits = self._writes, (settings.writes_per_minute, settings.writes_per_second)
        for window, limit in zip(windows, limits, strict=True):
            if not window.has_room(limit):
                wait_s = window.retry_after_s() if settings.sends_retry_after else None
                raise FloatError(429, retry_after_s=wait_s)
        for window in windows:
            window.count()

    async def _list(self, request: Request) -> Response:
        collection: str = request.path_params["collection"]
        rows = self._books.rows()[collection]
        id_field = RECORD_TYPES[collection].id_field
        rows = [row for row in rows if self._site.is_listed(f"{collection}:{row[id_field]}")]
        if collection in self._site.settings.hidden_collections:
            rows = []
        code = request.query_params.get("project_code")
        if code is not None and self._site.settings.filters_by_code:
            rows = [row for row in rows if row.get("project_code") == code]
        since = request.query_params.get("modified_since")
        if since is not None and RECORD_TYPES[collection].is_stamped:
            day = _day(since)
            rows = [row for row in rows if last_changed_on(row) >= day]
        if collection == "public-holidays":
            year = self._site.clock.now().year
            first = request.query_params.get("start_date", f"{year}-01-01")
            last = request.query_params.get("end_date", f"{year}-12-31")
            rows = [row for row in rows if any(first <= day <= last for day in row["dates"])]
        page = max(1, _number(request, "page", 1))
        size = _number(request, "per-page", _PAGE_SIZE_DEFAULT)
        size = min(max(1, size), self._site.settings.page_size)
        response = ExactJSONResponse(
            [self._shown(collection, row) for row in rows[(page - 1) * size : page * size]]
        )
        response.headers.update(
            {
                "X-Pagination-Total-Count": str(len(rows)),
                "X-Pagination-Page-Count": str(math.ceil(len(rows) / size)),
                "X-Pagination-Current-Page": str(page),
                "X-Pagination-Per-Page": str(size),
            }
        )
        return response

    async def _get(self, request: Request) -> Response:
        collection = request.path_params["collection"]
        row = self._books.get(collection, request.path_params["id"])
        return ExactJSONResponse(self._shown(collection, row))

    async def _create(self, request: Request) -> Response:
        collection = request.path_params["collection"]
        body = await _body(request, collection)
        row = self._books.create(collection, body)
        self._site.made(f"{collection}:{row[RECORD_TYPES[collection].id_field]}")
        self._site.record_effect(
            "create", _MODEL_NAMES[collection], _external_id(collection, row), body
        )
        return ExactJSONResponse(self._shown(collection, row), status_code=201)

    async def _update(self, request: Request) -> Response:
        collection = request.path_params["collection"]
        body = await _body(request, collection)
        row = self._books.update(collection, request.path_params["id"], body)
        self._site.record_effect(
            "update", _MODEL_NAMES[collection], _external_id(collection, row), body
        )
        return ExactJSONResponse(self._shown(collection, row))

    async def _delete(self, request: Request) -> Response:
        collection, row_id = request.path_params["collection"], request.path_params["id"]
        row = self._books.get(collection, row_id)
        self._books.delete(collection, row_id)
        self._site.record_effect("delete", _MODEL_NAMES[collection], _external_id(collection, row))
        return Response(status_code=204)

    def _shown(self, collection: str, row: dict[str, Any]) -> dict[str, Any]:
        drift = self._site.drift
        if collection == "tasks" and row["people_ids"] is None:
            row = {**row, "people_ids": [row["people_id"]]}
        kept = {name: row[name] for name in row if not drift.is_removed(collection, name)}
        return kept | drift.added(collection)


def _external_id(collection: str, row: dict[str, Any]) -> str:
    """Our own key where the row has one, else the vendor's."""
    code = row.get("project_code") if collection == "projects" else None
    return str(code or row[RECORD_TYPES[collection].id_field])


async def _body(request: Request, collection: str) -> dict[str, Any]:
    """The fields of a body the vendor knows; it ignores others."""
    try:
        body = wire.loads(await request.body())
    except ValueError as error:
        raise FloatError(400) from error
    if not isinstance(body, dict):
        raise FloatError(400)
    known = RECORD_TYPES[collection].defaults
    return {name: value for name, value in body.items() if name in known}


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise FloatError(400) from error


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isdigit() else default


def _error_response(error: FloatError) -> Response:
    name, message = _MESSAGES.get(error.status, _MESSAGES[400])
    body = {"name": name, "message": message, "code": 0, "status": error.status}
    response = ExactJSONResponse(body, status_code=error.status)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FloatError)
    return _error_response(error)


async def _answer_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedRowError)
    return ExactJSONResponse([asdict(problem) for problem in error.problems], status_code=422)


async def _answer_unknown(request: Request, error: Exception) -> Response:
    return _error_response(FloatError(404))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error_response(FloatError(error.status_code))
