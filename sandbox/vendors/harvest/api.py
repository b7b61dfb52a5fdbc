"""The time tracker's REST API, as far as it is read: lists, single rows, roles, limits."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors.faults import bearer_token
from sandbox.vendors.frame import Frame, VendorError
from sandbox.vendors.harvest.tables import APPROVED, RECORD_TYPES, HarvestBooks, Row, newest_first
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site, SiteSettings
from sandbox.vendors.wire import ExactJSONResponse

ACCOUNT: Final = "1730042"
"""Id of the account."""
_PER_PAGE_MAX: Final = 2000
_OWN: Final = ("time_entries", "expenses")
"""Lists that everybody may read; of others' rows only an administrator."""
_PAGING: Final = ("cursor", "page", "per_page", "ref")
_INVALID_TOKEN: Final = {
    "error": "invalid_token",
    "error_description": (
        "The access token provided is expired, revoked, malformed or invalid for other reasons."
    ),
}
_LOCKED: Final = "Item Approved and Locked for this Time Period"


class HarvestSettings(SiteSettings):
    """Adjustable behaviour of the time tracker."""

    requests_per_15_seconds: int = Field(default=100, ge=0)
    page_size: int = Field(default=_PER_PAGE_MAX, ge=1, le=_PER_PAGE_MAX)
    """Rows to a page where a client asks for no number."""
    is_administrator: bool = True
    """Whether the token is an administrator's; else it is the first user's, who is a member."""


class HarvestApi(Frame[HarvestSettings]):
    """Handlers of the lists."""

    window_s = 15

    def __init__(
        self, site: Site[HarvestSettings], books: HarvestBooks, credentials: Credentials
    ) -> None:
        super().__init__(site)
        self._books = books
        self._token = credentials["HARVEST_TOKEN"]
        self._account = ACCOUNT

    def routes(self) -> Sequence[Route]:
        return [
            Route("/v2/{list}", self.guarded(self._list)),
            Route("/v2/{list}/{id:int}", self.guarded(self._get)),
        ]

    def check(self, request: Request) -> None:
        if not request.headers.get("user-agent"):
            raise VendorError(400, "User-Agent is missing")
        if bearer_token(request.headers) != self._token:
            raise VendorError(401)
        if request.headers.get("harvest-account-id") != self._account:
            raise VendorError(404)
        self.admit(self._site.settings.requests_per_15_seconds)
        name = request.path_params["list"]
        if name not in RECORD_TYPES:
            raise VendorError(404)
        if name not in _OWN and not self._site.settings.is_administrator:
            raise VendorError(403, "Insufficient permissions")

    def told(self, error: VendorError) -> Response:
        body: Row
        match error.status:
            case 401:
                body = _INVALID_TOKEN
            case 404:
                body = {"status": 404, "error": "Not Found"}
            case _:
                body = {"message": error.message or "the request was not carried out"}
        return ExactJSONResponse(body, status_code=error.status)

    async def _get(self, request: Request) -> Response:
        name = request.path_params["list"]
        visible = self._visible(name, [self._books.get(name, request.path_params["id"])])
        if not visible:
            raise VendorError(404)
        return ExactJSONResponse(self._shown(name, visible[0]))

    async def _list(self, request: Request) -> Response:
        name, query = request.path_params["list"], request.query_params
        per_page = _per_page(query.get("per_page"), self._site.settings.page_size)
        since = query.get("updated_since", "")
        rows = self._visible(name, self._books.table(name))
        found = list(newest_first(name, [row for row in rows if row["updated_at"] >= since]))
        cursor, page = query.get("cursor"), _page(query.get("page"))
        if cursor is not None:
            after = _after(cursor)
            rest = [each for each in found if each[0] < after]
        else:
            rest = found[(page - 1) * per_page :]
        shown, has_more = rest[:per_page], len(rest) > per_page
        pages = max(1, -(-len(found) // per_page))
        is_counted = cursor is None or not has_more
        number = page if cursor is None else pages
        body: dict[str, Any] = {
            name: [self._shown(name, row) for _, row in shown],
            "per_page": per_page,
            "total_pages": pages,
            "total_entries": len(found),
            "next_page": number + 1 if is_counted and has_more else None,
            "previous_page": number - 1 if is_counted and number > 1 else None,
            "page": number if is_counted else None,
            "links": {
                "first": self._link(request, per_page, page="1", ref="first"),
                "next": self._link(
                    request, per_page, cursor=_cursor(shown[-1][0]), ref="next_cursor"
                )
                if has_more
                else None,
                "previous": None,
                "last": self._link(request, per_page, page=str(pages), ref="last"),
            },
        }
        return ExactJSONResponse(body)

    def _link(self, request: Request, per_page: int, **place: str) -> str:
        """An absolute address that asks for the same rows, at a place."""
        asked = {key: value for key, value in request.query_params.items() if key not in _PAGING}
        query = asked | place | {"per_page": str(per_page)}
        name = request.path_params["list"]
        return f"{self._site.url}/v2/{name}?{urlencode(dict(sorted(query.items())))}"

    def _visible(self, name: str, rows: list[Row]) -> list[Row]:
        """The rows that the token's user may see: a member, their own without any rate."""
        if self._site.settings.is_administrator:
            return rows
        users = self._books.table("users")
        own = users[0]["id"] if users else None
        rates = {"billable_rate": None, "cost_rate": None} if name == "time_entries" else {}
        return [row | rates for row in rows if row["user_id"] == own]

    def _shown(self, name: str, row: Row) -> Row:
        """A row as its list shows it: what it names in it, and no ids of it."""
        kind = RECORD_TYPES[name]
        shown = _without(row, *kind.references, "task_assignment_id")
        for field, target in kind.references.items():
            other = self._books.get(target, row[field])
            shown[field.removesuffix("_id")] = _named(target, other)
            if target == "projects" and name in _OWN:
                client = self._books.get("clients", other["client_id"])
                shown["client"] = _named("clients", client)
        if name in _OWN:
            shown |= self._of_tracked(row)
        if name == "time_entries":
            shown |= self._of_entry(row)
        if name == "expenses":
            shown |= {"units": Decimal("1.0"), "receipt": None}
        if name == "users":
            shown |= _OF_USERS | {"avatar_url": f"{self._site.url}/avatars/{row['id']}.png"}
        return self._site.drift.shown(name, shown)

    def _of_tracked(self, row: Row) -> Row:
        """What a time entry and an expense have in common."""
        is_closed = row["approval_status"] == APPROVED
        assignment = self._books.assignment("user", row["project_id"], row["user_id"])
        return {
            "is_closed": is_closed,
            "is_locked": is_closed,
            "locked_reason": _LOCKED if is_closed else None,
            "invoice": None,
            "user_assignment": assignment and _without(assignment, "project_id", "user_id"),
        }

    def _of_entry(self, row: Row) -> Row:
        """What a time entry shows of its timer and its task."""
        hours = self._books.hours(row)
        assignment = self._books.get("task_assignments", row["task_assignment_id"])
        return {
            "hours": hours,
            "rounded_hours": hours,
            "hours_without_timer": row["hours"],
            "started_time": None,
            "ended_time": None,
            "budgeted": True,
            "external_reference": None,
            "task_assignment": _without(assignment, "project_id", "task_id"),
        }


_NAMED: Final = {
    "clients": ("id", "name", "currency"),
    "projects": ("id", "name", "code"),
    "tasks": ("id", "name"),
    "expense_categories": ("id", "name", "unit_price", "unit_name"),
}
"""What a row shows of another that it names."""
_OF_USERS: Final[Row] = {
    "calendar_integration_enabled": False,
    "calendar_integration_source": None,
    "can_create_projects": False,
    "permissions_claims": [],
}


def _named(target: str, row: Row) -> Row:
    if target == "users":
        return {"id": row["id"], "name": f"{row['first_name']} {row['last_name']}"}
    return {field: row[field] for field in _NAMED[target]}


def _without(row: Row, *fields: str) -> Row:
    return {field: value for field, value in row.items() if field not in fields}


def _per_page(text: str | None, default: int) -> int:
    size = default if text is None else _number(text)
    if not 0 < size <= _PER_PAGE_MAX:
        raise VendorError(422, f"per_page must be between 1 and {_PER_PAGE_MAX}")
    return size


def _page(text: str | None) -> int:
    page = 1 if text is None else _number(text)
    if page < 1:
        raise VendorError(422, "page must be positive")
    return page


def _number(text: str) -> int:
    if not text.isdigit():
        raise VendorError(422, "no number")
    return int(text)


def _cursor(place: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"after": place})).decode().rstrip("=")


def _after(cursor: str) -> str:
    try:
        data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return str(orjson.loads(data)["after"])
    except (ValueError, KeyError, TypeError) as error:
        raise VendorError(422, "cursor is invalid") from error
