"""BambooHR's REST API as far as it is read: the dataset of people, tables, leave, changes.

A key is the user name of Basic credentials, with any password. The company is the first part of the
host, or stands in the path behind `gateway.php` (PyBambooHR of PyPI; BambooHR/bhr-api-python,
AUTHENTICATION.md). Errors are a header and no body, those of datasets problem details (RFC 7807);
what is asked too often is answered 503 with Retry-After, or 429 from September 2026 on
(documentation.bamboohr.com, planned changes to the API). Other facts and their sources:
connectors/vendors/bamboohr/README.md. Filters of datasets and answers in XML are not simulated.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors import wire
from sandbox.vendors.bamboohr.books import EMPLOYEES, TABLES, TIME_OFF, BambooHrBooks, LastChange
from sandbox.vendors.frame import Frame, Handler, VendorError
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import InvalidRowError, Site, SiteSettings
from sandbox.vendors.tables import Row, day
from sandbox.vendors.wire import ExactJSONResponse

_DATASET: Final = "/api/v2/datasets/employee/data"
_PAGE_SIZE: Final = 100
_PAGE_MAX: Final = 1000
_PROBLEM: Final = "problem"
_UNSET: Final = "0000-00-00"
_IN_DATASET: Final = {
    "eeid": "id",
    "email": "workEmail",
    "status": "status",
    "hireDate": "hireDate",
    "terminationDate": "terminationDate",
    "firstName": "firstName",
    "lastName": "lastName",
    "employeeNumber": "employeeNumber",
}
"""Fields of the dataset, and what they are called elsewhere."""
_TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class BambooHrSettings(SiteSettings):
    """Adjustable behaviour. No page tells how many requests an account may make."""

    requests_per_minute: int = Field(default=120, ge=0)
    throttle_status: Literal[429, 503] = 503
    """What is answered when too much was asked: 429 from September 2026 on."""
    hides_people: bool = False
    """Whether the key is that of somebody who sees nobody."""


class BambooHrApi(Frame[BambooHrSettings]):
    """Handlers of the dataset, of tables and of leave."""

    window_s = 60
    reads = (_DATASET,)

    def __init__(
        self, site: Site[BambooHrSettings], books: BambooHrBooks, credentials: Credentials
    ) -> None:
        super().__init__(site)
        self._books = books
        self._key = credentials["BAMBOOHR_KEY"]

    def routes(self) -> Sequence[Route]:
        handlers: Mapping[str, Handler] = {
            "/employees/directory": self._directory,
            "/employees/changed": self._changed,
            "/employees/changed/": self._changed,
            "/employees/changed/tables/{table}": self._changed_rows,
            "/employees/{id}": self._employee,
            "/employees/{id}/tables/{table}": self._rows,
            "/time_off/requests": self._time_off,
        }
        found = [Route(_DATASET, self.guarded(self._dataset), methods=["POST"])]
        for path, handler in handlers.items():
            for below in ("/api/v1", "/api/gateway.php/{company}/v1"):
                found.append(Route(f"{below}{path}", self.guarded(handler)))
        return found

    def check(self, request: Request) -> None:
        if _user(request.headers.get("authorization", "")) != self._key:
            raise VendorError(401)
        self.admit(self._site.settings.requests_per_minute)
        if "json" not in request.headers.get("accept", ""):
            raise VendorError(501, "answers in XML are not simulated")

    def told(self, error: VendorError) -> Response:
        status = self._site.settings.throttle_status if error.status == 429 else error.status
        text = error.message or _TITLES.get(status, "Error")
        if error.code != _PROBLEM:
            return Response(status_code=status, headers={"X-BambooHR-Error-Message": text})
        body = {
            "type": "about:blank",
            "title": _TITLES.get(status, "Error"),
            "status": status,
            "detail": text,
        }
        response = ExactJSONResponse(body, status_code=status)
        response.headers["Content-Type"] = "application/problem+json"
        return response

    async def _dataset(self, request: Request) -> Response:
        asked = await _body(request)
        fields, order = asked.get("fields"), str(asked.get("orderBy") or "")
        if not isinstance(fields, list) or not fields:
            raise VendorError(400, "fields is missing", code=_PROBLEM)
        for field in fields:
            if field not in _IN_DATASET or self._site.drift.is_removed(EMPLOYEES, field):
                raise VendorError(400, f"unknown field {field}", code=_PROBLEM)
        if asked.get("filter") is not None:
            raise VendorError(422, "filters are not simulated", code=_PROBLEM)
        page, size = _count(asked, "page", 1), _count(asked, "pageSize", _PAGE_SIZE)
        if size > _PAGE_MAX:
            raise VendorError(422, f"pageSize is {_PAGE_MAX} at most", code=_PROBLEM)
        found = [{each: row[_IN_DATASET[each]] for each in fields} for row in self._people()]
        for rule in reversed([each.strip() for each in order.split(",") if each.strip()]):
            field, _, way = rule.partition(" ")
            if field not in fields:
                raise VendorError(422, "what is sorted by is one of the fields", code=_PROBLEM)
            found.sort(key=_sorts(field), reverse=way.strip() == "desc")
        added = self._site.drift.added(EMPLOYEES)
        shown = found[(page - 1) * size : page * size]
        pages = -(-len(found) // size)
        url = f"{self._site.url}{_DATASET}?page="
        return ExactJSONResponse(
            {
                "data": [{"fields": {**row, **added}} for row in shown],
                "links": {
                    "next": f"{url}{page + 1}" if page < pages else None,
                    "prev": f"{url}{page - 1}" if page > 1 else None,
                },
                "meta": {
                    "page": page, "pageSize": size, "totalPages": pages, "totalItems": len(found),
                },
            }
        )  # fmt: skip

    async def _directory(self, request: Request) -> Response:
        names = ("firstName", "lastName", "workEmail")
        people = [
            {"id": row["id"], "displayName": f"{row['firstName']} {row['lastName']}"}
            | {name: row[name] for name in names}
            for row in self._people()
            if row["status"] == "Active"
        ]
        fields = [{"id": name, "type": "text", "name": name} for name in ("displayName", *names)]
        return ExactJSONResponse({"fields": fields, "employees": people})

    async def _employee(self, request: Request) -> Response:
        """The fields that there are of those asked for: others are left out without a word."""
        [row] = self._named(request.path_params["id"])
        asked = request.query_params.get("fields", "").split(",")
        shown = {name: row[name] for name in asked if name in row}
        for name in ("hireDate", "terminationDate"):
            if name in shown:
                shown[name] = shown[name] or _UNSET
        return ExactJSONResponse(self._site.drift.shown(EMPLOYEES, {"id": row["id"], **shown}))

    async def _rows(self, request: Request) -> Response:
        """All rows of a table, of one person or of all, in no order."""
        table, wanted = self._table(request), request.path_params["id"]
        people = self._people() if wanted == "all" else self._named(wanted)
        ids = {row["id"] for row in people}
        rows = [row for row in self._books.table(table) if row["employeeId"] in ids]
        return ExactJSONResponse([self._shown(table, row) for row in reversed(rows)])

    async def _changed(self, request: Request) -> Response:
        kind = request.query_params.get("type", "all")
        if kind not in ("all", "inserted", "updated", "deleted"):
            raise VendorError(400, "type is invalid")
        found = {
            employee: {"id": employee, "action": change.action, "lastChanged": change.at}
            for employee, change in self._since(request).items()
            if kind in ("all", change.action.lower())
        }
        latest = max((each["lastChanged"] for each in found.values()), default=self._books.stamp())
        return ExactJSONResponse({"latest": latest, "employees": found})

    async def _changed_rows(self, request: Request) -> Response:
        """All rows of a table of those who changed, without their ids; pay is a text here."""
        table, changes = self._table(request), self._since(request)
        found: dict[str, Any] = {}
        for row in self._people():
            if row["id"] in changes:
                rows = [
                    self._without_id(table, each)
                    for each in self._books.table(table)
                    if each["employeeId"] == row["id"]
                ]
                found[row["id"]] = {"lastChanged": changes[row["id"]].at, "rows": rows}
        return ExactJSONResponse({"table": table, "employees": found})

    async def _time_off(self, request: Request) -> Response:
        """The requests that overlap the days asked for."""
        asked = request.query_params
        start, end = (_day(asked.get(name), name) for name in ("start", "end"))
        statuses = asked["status"].split(",") if "status" in asked else None
        people = {row["id"]: row for row in self._people()}
        rows = [
            row
            for row in self._books.table(TIME_OFF)
            if row["end"] >= start and row["start"] <= end and row["employeeId"] in people
            if statuses is None or row["status"] in statuses
            if asked.get("employeeId", row["employeeId"]) == row["employeeId"]
        ]
        shown = [_leave(row, people[row["employeeId"]]) for row in reversed(rows)]
        if "excludeNote" not in asked:
            shown = [{**row, "notes": {}} for row in shown]
        return ExactJSONResponse([self._site.drift.shown(TIME_OFF, row) for row in shown])

    def _people(self) -> list[Row]:
        return [] if self._site.settings.hides_people else self._books.table(EMPLOYEES)

    def _named(self, employee: str) -> list[Row]:
        found = [row for row in self._people() if row["id"] == employee]
        if not found:
            raise VendorError(404)
        return found

    def _table(self, request: Request) -> str:
        table: str = request.path_params["table"]
        if table not in TABLES:
            raise VendorError(404)
        return table

    def _since(self, request: Request) -> dict[str, LastChange]:
        try:
            since = datetime.fromisoformat(request.query_params["since"])
        except (KeyError, ValueError) as error:
            raise VendorError(400, "since is missing or no time") from error
        if since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        return {
            employee: change
            for employee, change in self._books.changes.items()
            if datetime.fromisoformat(change.at) >= since
        }

    def _shown(self, table: str, row: Row) -> Row:
        shown = {name: value for name, value in row.items() if name != "currency"}
        if table == "compensation" and row["rate"] is not None:
            shown["rate"] = {"currency": row["currency"], "value": f"{row['rate']}"}
        return self._site.drift.shown(table, shown)

    def _without_id(self, table: str, row: Row) -> Row:
        shown = self._shown(table, row)
        if isinstance(shown.get("rate"), dict):
            shown["rate"] = f"{row['rate']} {row['currency']}"
        return {name: value for name, value in shown.items() if name not in ("id", "employeeId")}


def _leave(row: Row, person: Row) -> Row:
    return {
        "id": row["id"],
        "employeeId": row["employeeId"],
        "name": f"{person['firstName']} {person['lastName']}",
        "start": row["start"],
        "end": row["end"],
        "created": row["created"],
        "status": {
            "status": row["status"], "lastChanged": row["created"], "lastChangedByUserId": "2",
        },
        "type": {"id": row["type"], "name": "Leave", "icon": "palm-trees"},
        "amount": {"unit": row["unit"], "amount": str(sum(map(Decimal, row["dates"].values())))},
        "actions": dict.fromkeys(("view", "edit", "cancel", "approve", "deny", "bypass"), True),
        "dates": row["dates"],
    }  # fmt: skip


def _user(header: str) -> str:
    """The user name of Basic credentials; "" where there is none."""
    kind, _, pair = header.partition(" ")
    try:
        user, _, _ = b64decode(pair, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return user if kind.lower() == "basic" else ""


async def _body(request: Request) -> Row:
    try:
        body = wire.loads(await request.body())
    except ValueError as error:
        raise VendorError(400, "the body is no JSON", code=_PROBLEM) from error
    if not isinstance(body, dict):
        raise VendorError(400, "the body is no object", code=_PROBLEM)
    return body


def _count(body: Row, name: str, default: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or value < 1:
        raise VendorError(422, f"{name} is 1 at least", code=_PROBLEM)
    return value


def _sorts(field: str) -> Callable[[Row], tuple[bool, int, str]]:
    """Ids by their number; what is not set comes first."""

    def key(row: Row) -> tuple[bool, int, str]:
        text = str(row[field] or "")
        return bool(text), int(text) if text.isdigit() else 0, text

    return key


def _day(text: str | None, name: str) -> str:
    try:
        return day(text, name)
    except InvalidRowError as error:
        raise VendorError(400, str(error)) from error
