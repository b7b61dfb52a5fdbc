"""An org's REST API: sign-in, queries with server cursors, deleted and updated ids, limits.

Single records are `sandbox.vendors.salesforce.records`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.vendors import wire
from sandbox.vendors.faults import FaultInjection, bearer_token
from sandbox.vendors.limits import RateWindow
from sandbox.vendors.oauth import AssertionRefusedError, AssertionRules
from sandbox.vendors.salesforce import soql
from sandbox.vendors.salesforce.errors import (
    SalesforceError,
    answer_error,
    answer_invalid_row,
    answer_not_found,
    answer_soql_error,
    error_response,
    standard_error,
)
from sandbox.vendors.salesforce.org import (
    FieldType,
    OrgBooks,
    Row,
    format_instant,
    parse_instant,
    present,
)
from sandbox.vendors.salesforce.records import RecordsApi
from sandbox.vendors.salesforce.settings import KEY, OrgSettings
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import InvalidRowError, Site
from sandbox.vendors.wire import ExactJSONResponse

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LOGIN_HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")
_DAY_S = 86_400
_UPDATED_DAYS = 30
_BATCH_SIZE_MIN = 200


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The rest of a query's answer, as it was when the query ran."""

    record_type: str
    fields: tuple[str, ...]
    rows: list[Row]
    made_s: float = field(default_factory=time.monotonic)


class SalesforceApi(Generic[OrgSettings]):
    """Handlers of an org's resources; also its dialect for faults."""

    def __init__(
        self,
        site: Site[OrgSettings],
        books: OrgBooks,
        credentials: Credentials,
    ) -> None:
        self._site = site
        self._books = books
        self._credentials = credentials
        self._used = RateWindow(_DAY_S)
        self._cursors: dict[str, _Cursor] = {}
        self._cursor_ids = itertools.count(1)

    def create_app(self) -> ASGIApp:
        """The ASGI application, faults included."""
        data = "/services/data/{version}"
        records = RecordsApi(self._site, self._books)
        rows = f"{data}/sobjects/{{object}}"
        routes = [
            Route("/services/oauth2/token", self._sign_in, methods=["POST"]),
            Route(f"{data}/query", self._guarded(self._query)),
            Route(f"{data}/queryAll", self._guarded(self._query)),
            Route(f"{data}/query/{{locator}}", self._guarded(self._query_more)),
            Route(f"{data}/sobjects/{{object}}/describe", self._guarded(self._describe)),
            Route(f"{data}/sobjects/{{object}}/deleted", self._guarded(self._deleted)),
            Route(f"{data}/sobjects/{{object}}/updated", self._guarded(self._updated)),
            Route(f"{data}/limits", self._guarded(self._limits)),
            *(
                Route(f"{rows}{path}", self._admitted(handler), methods=[method])
                for method, path, handler in records.routes()
            ),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={
                SalesforceError: answer_error,
                soql.SoqlError: answer_soql_error,
                InvalidRowError: answer_invalid_row,
                HTTPException: answer_not_found,
            },
        )
        return FaultInjection(app, self._site.faults, self)

    def is_token_request(self, path: str) -> bool:
        return path.endswith("/token")

    def is_write(self, method: str, path: str) -> bool:
        return method != "GET" and not self.is_token_request(path)

    def refusal(self, status: int) -> Response:
        return error_response(standard_error(403 if status == 429 else status))

    def revoke(self, token: str) -> None:
        self._site.tokens.revoke(token)

    async def _sign_in(self, request: Request) -> Response:
        form = wire.read_form(await request.body())
        if form.get("grant_type") != _GRANT:
            return _oauth_error("unsupported_grant_type", "grant type not supported")
        rules = AssertionRules(
            key=self._credentials.key(KEY),
            algorithms=("RS256",),
            issuer=self._credentials.client_id,
            audiences=(*_LOGIN_HOSTS, self._site.url),
            lifetime_max_s=300,
            takes_text=True,  # simple-salesforce has sent it so for years
        )
        try:
            _, claims = rules.verify(form.get("assertion", ""))
        except AssertionRefusedError as error:
            return _oauth_error("invalid_grant", str(error))
        if claims.get("sub") != self._credentials.username:
            return _oauth_error("invalid_grant", "user hasn't approved this consumer")
        return ExactJSONResponse(
            {
                "access_token": self._site.tokens.issue(self._site.settings.token_lifetime_s),
                "scope": "api",
                "instance_url": self._site.url,
                "id": f"{self._site.url}/id/twin/{self._credentials.client_id}",
                "token_type": "Bearer",
            }
        )

    def _guarded(self, handler: Callable[[Request], dict[str, Any]]) -> Handler:
        async def answer(request: Request) -> Response:
            return ExactJSONResponse(handler(request))

        return self._admitted(answer)

    def _admitted(self, handler: Handler) -> Handler:
        """Check the session and the daily limit before, report the usage after."""

        async def endpoint(request: Request) -> Response:
            if not self._site.tokens.is_valid(bearer_token(request.headers)):
                raise standard_error(401)
            limit = self._site.settings.daily_requests
            if not self._used.has_room(limit):
                raise standard_error(403)
            self._used.count()
            self._books.settle()
            response = await handler(request)
            response.headers["Sforce-Limit-Info"] = f"api-usage={self._used.counted()}/{limit}"
            return response

        return endpoint

    def _schema(self) -> dict[str, dict[str, FieldType]]:
        return {
            name: {
                field_name: field_type
                for field_name, field_type in fields.items()
                if not self._site.drift.is_removed(name, field_name)
            }
            for name, fields in self._books.schema.objects.items()
        }

    def _query(self, request: Request) -> dict[str, Any]:
        query = soql.parse(request.query_params.get("q", ""), self._schema())
        with_deleted = request.url.path.endswith("/queryAll")
        rows = query.run(
            row
            for row in self._books.table(query.record_type)
            if with_deleted or not row["IsDeleted"]
        )
        if query.is_count:
            return {"totalSize": len(rows), "done": True, "records": []}
        # A cursor shows the rows as they were when the query ran.
        cursor = _Cursor(query.record_type, query.fields, [dict(row) for row in rows])
        return self._page(request, cursor, start=0, cursor_id="")

    def _query_more(self, request: Request) -> dict[str, Any]:
        cursor_id, _, start = request.path_params["locator"].rpartition("-")
        cursor = self._cursors.get(cursor_id)
        lifetime_s = self._site.settings.cursor_lifetime_s
        if cursor is None or time.monotonic() - cursor.made_s >= lifetime_s or not start.isdigit():
            raise SalesforceError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(request, cursor, start=int(start), cursor_id=cursor_id)

    def _page(
        self, request: Request, cursor: _Cursor, *, start: int, cursor_id: str
    ) -> dict[str, Any]:
        end = start + self._page_size(request)
        version = request.path_params["version"]
        page = {
            "totalSize": len(cursor.rows),
            "done": end >= len(cursor.rows),
            "records": [self._record(cursor, row, version) for row in cursor.rows[start:end]],
        }
        if not page["done"]:
            cursor_id = cursor_id or f"0r8TW{next(self._cursor_ids):010d}"
            self._cursors[cursor_id] = cursor
            page["nextRecordsUrl"] = f"/services/data/{version}/query/{cursor_id}-{end}"
        return page

    def _page_size(self, request: Request) -> int:
        size = self._site.settings.page_size
        name, _, wanted = request.headers.get("sforce-query-options", "").partition("=")
        if name.strip().lower() == "batchsize" and wanted.strip().isdigit():
            size = min(size, max(int(wanted), _BATCH_SIZE_MIN))
        return size

    def _record(self, cursor: _Cursor, row: Row, version: str) -> dict[str, Any]:
        url = f"/services/data/{version}/sobjects/{cursor.record_type}/{row['Id']}"
        return {
            "attributes": {"type": cursor.record_type, "url": url},
            **present({name: row[name] for name in cursor.fields}),
            **self._site.drift.added(cursor.record_type),
        }

    def _object(self, request: Request) -> str:
        name: str = request.path_params["object"]
        if name not in self._books.schema.objects:
            raise standard_error(404)
        return name

    def _describe(self, request: Request) -> dict[str, Any]:
        name = self._object(request)
        fields = {
            known: self._described_type(known, kind) for known, kind in self._schema()[name].items()
        }
        fields |= dict.fromkeys(self._site.drift.added(name), FieldType.STRING.value)
        return {
            "name": name,
            "queryable": True,
            "fields": [
                {
                    "name": known,
                    "label": known.removesuffix("__c").replace("_", " "),
                    "type": kind,
                    "nillable": kind != "boolean" and known not in self._books.schema.never_null,
                    "custom": known.endswith("__c"),
                    "picklistValues": self._picked(name, known) if kind == "picklist" else [],
                }
                for known, kind in fields.items()
            ],
        }

    def _described_type(self, name: str, kind: FieldType) -> str:
        if kind is FieldType.ID and name != "Id":
            return "reference"
        return self._books.schema.described.get(name, kind.value)

    def _picked(self, name: str, field: str) -> list[dict[str, Any]]:
        """The list of values of a field: those that rows have."""
        values = sorted({str(row[field]) for row in self._books.table(name) if row[field]})
        return [
            {"active": True, "defaultValue": False, "label": value, "value": value}
            for value in values
        ]

    def _deleted(self, request: Request) -> dict[str, Any]:
        start, end = self._range(request)
        found = [
            {"id": row_id, "deletedDate": format_instant(at)}
            for row_id, at in self._books.deletions(self._object(request)).items()
            if start <= at < end
        ]
        return {
            "deletedRecords": found,
            "earliestDateAvailable": format_instant(self._books.deletions_kept_since),
            "latestDateCovered": format_instant(min(end, self._site.clock.stamp())),
        }

    def _updated(self, request: Request) -> dict[str, Any]:
        start, end = self._range(request)
        found = [
            row["Id"]
            for row in self._books.table(self._object(request))
            if isinstance(stamp := row["SystemModstamp"], datetime)
            and start <= stamp < end
            and not row["IsDeleted"]
        ]
        return {
            "ids": found,
            "latestDateCovered": format_instant(min(end, self._site.clock.stamp())),
        }

    def _range(self, request: Request) -> tuple[datetime, datetime]:
        try:
            start = parse_instant(request.query_params["start"])
            end = parse_instant(request.query_params["end"])
        except (KeyError, ValueError) as error:
            raise _bad_range("start and end must be instants with a zone") from error
        if _minute(end) - _minute(start) <= timedelta(minutes=1):
            raise _bad_range("startDate must be at least one minute greater than endDate")
        if start < self._site.clock.now() - timedelta(days=_UPDATED_DAYS):
            raise _bad_range(f"start must be within {_UPDATED_DAYS} days")
        return start, end

    def _limits(self, request: Request) -> dict[str, Any]:
        limit = self._site.settings.daily_requests
        left = max(0, limit - self._used.counted())
        return {"DailyApiRequests": {"Max": limit, "Remaining": left}}


def _minute(instant: datetime) -> datetime:
    """An end of a period: its seconds do not count."""
    return instant.replace(second=0, microsecond=0)


def _bad_range(message: str) -> SalesforceError:
    return SalesforceError(400, "INVALID_REPLICATION_DATE", message)


def _oauth_error(code: str, description: str) -> Response:
    return ExactJSONResponse({"error": code, "error_description": description}, status_code=400)
