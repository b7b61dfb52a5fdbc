"""Runn's REST API v1: lists by cursor and time of change, activities, projects written."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
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
from sandbox.vendors.limits import RateWindow
from sandbox.vendors.runn.tables import RunnBooks, instant
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import InvalidRowError, Site, SiteSettings, UnknownRowError
from sandbox.vendors.wire import ExactJSONResponse

VERSION: Final = "1.0.0"
_NAMES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_LIMIT_DEFAULT: Final = 50
_LIMIT_MAX: Final = 200
_LONG_LIMIT_MAX: Final = 500
_LISTS: Final = {
    "/clients/": ("clients", _LIMIT_MAX),
    "/roles/": ("roles", _LIMIT_MAX),
    "/people/": ("people", _LIMIT_MAX),
    "/placeholders/": ("placeholders", _LIMIT_MAX),
    "/phases/": ("phases", _LONG_LIMIT_MAX),
    "/assignments/": ("assignments", _LONG_LIMIT_MAX),
    "/actuals/": ("actuals", _LONG_LIMIT_MAX),
    "/time-offs/leave/": ("leave", _LIMIT_MAX),
    "/time-offs/holidays/": ("holidays", _LIMIT_MAX),
}
"""Collection behind each list, and the most rows of a page."""
_MINUTE_S: Final = 60

Handler = Callable[[Request], Awaitable[Response]]


class RunnSettings(SiteSettings):
    """Adjustable behaviour of the resource planner."""

    requests_per_minute: int = Field(default=120, ge=0)
    is_read_only: bool = False
    """Whether the token has the scope to read alone."""


class RunnError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class RunnApi:
    """Handlers of lists, projects and milestones; also the dialect for faults."""

    def __init__(
        self, site: Site[RunnSettings], books: RunnBooks, credentials: Credentials
    ) -> None:
        self._site = site
        self._books = books
        self._token = credentials["RUNN_TOKEN"]
        self._window = RateWindow(_MINUTE_S)

    def create_app(self) -> ASGIApp:
        """Return the ASGI application, faults included."""
        milestones = "/projects/{project}/milestones/"
        routes = [
            *(Route(path, self._guarded(self._list)) for path in _LISTS),
            Route("/people/contracts/current", self._guarded(self._contracts)),
            Route("/activity-log/", self._guarded(self._activities)),
            Route("/projects/", self._guarded(self._projects)),
            Route("/projects/", self._guarded(self._create_project), methods=["POST"]),
            Route("/projects/{id}", self._guarded(self._project)),
            Route("/projects/{id}", self._guarded(self._update_project), methods=["PATCH"]),
            Route(milestones, self._guarded(self._milestones)),
            Route(milestones, self._guarded(self._create_milestone), methods=["POST"]),
            Route(f"{milestones}{{id}}", self._guarded(self._update_milestone), methods=["PATCH"]),
            Route(f"{milestones}{{id}}", self._guarded(self._delete_milestone), methods=["DELETE"]),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={
                RunnError: _answer_error,
                InvalidRowError: _answer_refused,
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
        return _response(RunnError(status, _NAMES[status]))

    def revoke(self, token: str) -> None:
        """The static token does not lapse; the refusal alone is the fault."""

    def _guarded(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("accept-version") != VERSION:
                raise RunnError(400, "headers must have required property 'accept-version'")
            if bearer_token(request.headers) != self._token:
                raise RunnError(401, "Unauthorized")
            settings = self._site.settings
            if not self._window.has_room(settings.requests_per_minute):
                wait_s = self._window.retry_after_s()
                raise RunnError(429, "Rate limit exceeded", retry_after_s=wait_s)
            self._window.count()
            if settings.is_read_only and request.method not in ("GET", "HEAD"):
                raise RunnError(403, "Token does not have write access")
            return await handler(request)

        return endpoint

    async def _list(self, request: Request) -> Response:
        name, limit_max = _LISTS[request.url.path.removeprefix(request.scope["root_path"])]
        books = self._books.rows()
        rows = _changed(request, books[name])
        if name == "roles":
            holders = self._books.contracts_in_force()
            for row in rows:
                row["personIds"] = [it["personId"] for it in holders if it["roleId"] == row["id"]]
        return _page(request, rows, limit_max)

    async def _contracts(self, request: Request) -> Response:
        """Return today's: what was agreed before and for later days is in none of these rows."""
        return _page(request, self._books.contracts_in_force(), _LONG_LIMIT_MAX)

    async def _activities(self, request: Request) -> Response:
        asked, rows = request.query_params, self._books.activities()
        if (kind := asked.get("eventType")) is not None:
            rows = [row for row in rows if row["eventType"] == kind]
        if (since := asked.get("occurredAfter")) is not None:
            rows = [row for row in rows if instant(row["timestamp"]) > instant(since)]
        if asked.get("orderBy", "desc") == "desc":
            rows.reverse()
        return _page(request, rows)

    async def _projects(self, request: Request) -> Response:
        asked = request.query_params
        listed = _changed(request, self._books.rows()["projects"])
        rows = [row for row in listed if self._site.is_listed(row["id"])]
        if asked.get("includeArchived", "true") == "false":
            rows = [row for row in rows if not row["isArchived"]]
        if (external_id := asked.get("externalId")) is not None:
            rows = [
                row
                for row in rows
                if any(each["externalId"] == external_id for each in row["references"])
            ]
        if asked.get("order") == "desc":
            rows.reverse()
        return _page(request, rows)

    async def _project(self, request: Request) -> Response:
        return ExactJSONResponse(self._books.get("projects", request.path_params["id"]))

    async def _create_project(self, request: Request) -> Response:
        body = await _body(request)
        row = self._books.create("projects", body)
        self._site.made(row["id"])
        self._note("create", "project", row, body)
        return ExactJSONResponse(row, status_code=201)

    async def _update_project(self, request: Request) -> Response:
        body = await _body(request)
        row = self._books.update("projects", request.path_params["id"], body)
        self._note("update", "project", row, body)
        return ExactJSONResponse(row)

    async def _milestones(self, request: Request) -> Response:
        """Without a first day only what is planned from Monday of this week on."""
        project = self._books.get("projects", request.path_params["project"])
        today = self._site.clock.now().date()
        monday = (today - timedelta(days=today.weekday())).isoformat()
        first = request.query_params.get("startDate", monday)
        rows = self._books.rows()["milestones"]
        found = [row for row in rows if row["projectId"] == project["id"] and row["date"] >= first]
        return _page(request, found)

    async def _create_milestone(self, request: Request) -> Response:
        project = self._books.get("projects", request.path_params["project"])
        body = await _body(request)
        row = self._books.create("milestones", {**body, "projectId": project["id"]})
        self._note("create", "milestone", row, body)
        return ExactJSONResponse(row, status_code=201)

    async def _update_milestone(self, request: Request) -> Response:
        row_id = self._milestone_of(request)
        body = await _body(request)
        row = self._books.update("milestones", row_id, body)
        self._note("update", "milestone", row, body)
        return ExactJSONResponse(row)

    async def _delete_milestone(self, request: Request) -> Response:
        row_id = self._milestone_of(request)
        row = self._books.get("milestones", row_id)
        self._books.delete("milestones", row_id)
        self._note("delete", "milestone", row, None)
        return Response(status_code=204)

    def _milestone_of(self, request: Request) -> str:
        row_id: str = request.path_params["id"]
        row = self._books.get("milestones", row_id)
        if str(row["projectId"]) != request.path_params["project"]:
            raise UnknownRowError(f"no milestone {row_id} of the project")
        return row_id

    def _note(self, operation: Any, noun: str, row: dict[str, Any], body: Any) -> None:
        """Note a write under our id of the project, a milestone's own id where it has none."""
        project = self._books.get("projects", str(row.get("projectId", row["id"])))
        ours = [
            each["externalId"]
            for each in project["references"]
            if each["referenceName"] == "psastream"
        ]
        self._site.record_effect(operation, noun, ours[0] if ours else str(row["id"]), body)


def _changed(request: Request, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that changed after the time asked for, or all."""
    since = request.query_params.get("modifiedAfter")
    if since is None:
        return rows
    return [row for row in rows if instant(row["updatedAt"]) > instant(since)]


def _page(request: Request, rows: list[dict[str, Any]], limit_max: int = _LIMIT_MAX) -> Response:
    """Return the rows after the cursor, which is opaque to who asks."""
    text = request.query_params.get("limit", str(_LIMIT_DEFAULT))
    limit = int(text) if text.isdigit() else 0
    if not 1 <= limit <= limit_max:
        raise RunnError(400, f"querystring/limit must be <= {limit_max}")
    cursor = request.query_params.get("cursor", "c0")
    start = int(cursor[1:]) if cursor[1:].isdigit() else math.inf
    if start is math.inf:
        raise RunnError(400, "querystring/cursor is not valid")
    after = int(start) + limit
    return ExactJSONResponse(
        {
            "values": rows[int(start) : after],
            "nextCursor": f"c{after}" if after < len(rows) else None,
        }
    )


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = wire.loads(await request.body())
    except ValueError as error:
        raise RunnError(400, "body is not valid JSON") from error
    if not isinstance(body, dict):
        raise RunnError(400, "body must be object")
    return body


def _response(error: RunnError) -> Response:
    name = _NAMES.get(error.status, "Error")
    body = {"error": name, "message": str(error), "statusCode": error.status}
    response = ExactJSONResponse(body, status_code=error.status)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RunnError)
    return _response(error)


async def _answer_refused(request: Request, error: Exception) -> Response:
    return _response(RunnError(400, str(error)))


async def _answer_unknown(request: Request, error: Exception) -> Response:
    return _response(RunnError(404, str(error)))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    route = f"Route {request.method}:{request.url.path} not found"
    return _response(RunnError(error.status_code, route))
