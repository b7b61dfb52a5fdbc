"""The CRM's REST API: lists by pages, archived rows, a search whose index lags behind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors import wire
from sandbox.vendors.faults import bearer_token
from sandbox.vendors.frame import Frame, VendorError
from sandbox.vendors.hubspot.objects import (
    OBJECTS,
    PROPERTY_TYPES,
    STAGES,
    STAMP,
    HubSpotBooks,
    Record,
    stamp_text,
)
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import InvalidRowError, Site, SiteSettings
from sandbox.vendors.wire import ExactJSONResponse

_LIST_MAX: Final = 100
_SEARCH_MAX: Final = 200
_FOUND_MAX: Final = 10_000
_CATEGORIES: Final = {
    400: ("VALIDATION_ERROR", "Invalid input"),
    401: ("INVALID_AUTHENTICATION", "Authentication credentials not found."),
    404: ("OBJECT_NOT_FOUND", "resource not found"),
    500: ("INTERNAL_ERROR", "internal error"),
    503: ("INTERNAL_ERROR", "service unavailable"),
}
_CORRELATION: Final = "00000000-0000-0000-0000-000000000000"
_LIMITED: Final = {
    "status": "error",
    "message": "You have reached your ten_secondly_rolling limit.",
    "errorType": "RATE_LIMIT",
    "correlationId": _CORRELATION,
    "policyName": "TEN_SECONDLY_ROLLING",
}


class HubSpotSettings(SiteSettings):
    """Adjustable behaviour of the CRM."""

    requests_per_ten_seconds: int = Field(default=100, ge=0)
    index_lag_s: float = Field(default=1.0, ge=0)
    """How long the search shows nothing of a row that was changed."""


class HubSpotApi(Frame[HubSpotSettings]):
    """Handlers of the objects."""

    window_s = 10
    reads = ("/search",)

    def __init__(
        self, site: Site[HubSpotSettings], books: HubSpotBooks, credentials: Credentials
    ) -> None:
        super().__init__(site)
        self._books = books
        self._token = credentials["HUBSPOT_TOKEN"]

    def routes(self) -> Sequence[Route]:
        objects = "/crm/v3/objects/{object}"
        return [
            Route(objects, self.guarded(self._list)),
            Route(f"{objects}/search", self.guarded(self._search), methods=["POST"]),
            Route(f"{objects}/{{id}}", self.guarded(self._read)),
            Route(f"{objects}/{{id}}", self.guarded(self._write), methods=["PATCH"]),
            Route("/crm/v3/properties/{object}", self.guarded(self._properties)),
        ]

    def check(self, request: Request) -> None:
        if bearer_token(request.headers) != self._token:
            raise VendorError(401)
        self.admit(self._site.settings.requests_per_ten_seconds, tells_wait=False)

    def told(self, error: VendorError) -> Response:
        if error.status == 429:
            return ExactJSONResponse(_LIMITED, status_code=429)
        category, message = _CATEGORIES.get(error.status, _CATEGORIES[400])
        body: dict[str, Any] = {
            "status": "error",
            "message": error.message or message,
            "correlationId": _CORRELATION,
            "category": category,
        }
        if error.code:
            body["message"] = f"Property values were not valid: {error.message}"
            body["errors"] = [
                {
                    "message": error.message,
                    "code": error.code,
                    "context": {"propertyName": [error.field]},
                }
            ]
        return ExactJSONResponse(body, status_code=error.status)

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        is_archived = query.get("archived") == "true"
        table = self._books.table(request.path_params["object"])
        rows = [row for row in table if (row.archived_at is not None) is is_archived]
        after = query.get("after", "0")
        if not after.isdigit():
            raise VendorError(400, "after is invalid")
        rows = [row for row in rows if int(row.id) > int(after)]
        size = _size(query.get("limit", "10"), _LIST_MAX)
        properties = query.get("properties", "").split(",")
        associated = query.get("associations", "").split(",")
        body: dict[str, Any] = {
            "results": [self._shown(row, properties, associated) for row in rows[:size]]
        }
        if len(rows) > size:
            body["paging"] = _next_page(rows[size - 1].id)
        return ExactJSONResponse(body)

    async def _search(self, request: Request) -> Response:
        try:
            body = wire.loads(await request.body())
            since_ms = _since_ms(body)
            after, size = int(body.get("after") or 0), _size(body.get("limit", 10), _SEARCH_MAX)
        except (ValueError, TypeError, KeyError) as error:
            raise VendorError(400) from error
        since = datetime.fromtimestamp(since_ms / 1000, UTC)
        indexed = self._site.clock.now() - timedelta(seconds=self._site.settings.index_lag_s)
        rows = [
            row
            for row in self._books.table(request.path_params["object"])
            if row.archived_at is None and since <= row.updated_at <= indexed
        ]
        rows.sort(key=lambda row: row.updated_at)
        if after + size > _FOUND_MAX:
            raise VendorError(400, "paging through more than 10000 results is not possible")
        answer: dict[str, Any] = {
            "total": len(rows),
            "results": [
                self._shown(row, body.get("properties", []), [])
                for row in rows[after : after + size]
            ],
        }
        if after + size < len(rows):
            answer["paging"] = _next_page(str(after + size))
        return ExactJSONResponse(answer)

    async def _properties(self, request: Request) -> Response:
        """What properties an object has; of stages their values."""
        name, drift = request.path_params["object"], self._site.drift
        self._books.table(name)  # raises where there is no such object
        kept = [each for each in OBJECTS[name] if not drift.is_removed(name, each)]
        types = {**PROPERTY_TYPES, **dict.fromkeys(drift.added(name), "string")}
        return ExactJSONResponse(
            {
                "results": [
                    {
                        "name": each,
                        "label": each.removeprefix("hs_").replace("_", " ").capitalize(),
                        "type": types.get(each, "string"),
                        "options": [
                            {"label": stage, "value": stage, "hidden": False}
                            for stage in (STAGES if each == "dealstage" else ())
                        ],
                        "archived": False,
                    }
                    for each in (*kept, *drift.added(name))
                ]
            }
        )

    async def _read(self, request: Request) -> Response:
        """One row; the archive is asked for apart."""
        row = self._books.record(request.path_params["object"], request.path_params["id"])
        properties = request.query_params.get("properties", "").split(",")
        return ExactJSONResponse(self._shown(row, properties, []))

    async def _write(self, request: Request) -> Response:
        """Set properties; an empty text clears one."""
        name, row_id = request.path_params["object"], request.path_params["id"]
        row = self._books.record(name, row_id)
        try:
            given = wire.loads(await request.body())["properties"]
            values = {each: value or None for each, value in given.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise VendorError(400, "Invalid input JSON") from error
        for each in values:
            if each not in row.properties:
                raise _unknown_property(each)
        try:
            self._books.update(name, row_id, values)
        except InvalidRowError as error:
            raise VendorError(400, str(error)) from error
        self._site.record_effect("update", name, row_id, values)
        return ExactJSONResponse(self._shown(row, list(values), []))

    def _shown(self, row: Record, properties: list[str], associated: list[str]) -> dict[str, Any]:
        """A row with the properties asked for and those that every row has."""
        asked = {"hs_object_id", "createdate", STAMP, *properties}
        shown = {
            "id": row.id,
            "properties": {name: row.properties[name] for name in row.properties if name in asked},
            "createdAt": stamp_text(row.created_at),
            "updatedAt": stamp_text(row.updated_at),
            "archived": row.archived_at is not None,
        }
        if row.archived_at is not None:
            shown["archivedAt"] = stamp_text(row.archived_at)
        if "deals" in associated and row.deal_id is not None:
            found = [{"id": row.deal_id, "type": "line_item_to_deal"}]
            shown["associations"] = {"deals": {"results": found}}
        return shown


def _since_ms(body: Any) -> int:
    """The one filter that the connector needs; others are not simulated."""
    [group] = body["filterGroups"]
    [condition] = group["filters"]
    if (condition["propertyName"], condition["operator"]) != (STAMP, "GTE"):
        raise ValueError("no such filter here")
    return int(condition["value"])


def _size(limit: Any, most: int) -> int:
    size = int(limit)
    if not 0 < size <= most:
        raise VendorError(400, f"limit must be between 1 and {most}")
    return size


def _next_page(after: str) -> dict[str, Any]:
    return {"next": {"after": after, "link": f"?after={after}"}}


def _unknown_property(name: str) -> VendorError:
    told = f'Property "{name}" does not exist'
    return VendorError(400, told, code="PROPERTY_DOESNT_EXIST", field=name)
