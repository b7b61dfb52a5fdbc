"""The ERP's REST API: sign-in, SuiteQL, records, server time, one concurrency limit for all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.vendors import wire
from sandbox.vendors.faults import FaultInjection, bearer_token
from sandbox.vendors.limits import ConcurrencySlots
from sandbox.vendors.netsuite.errors import (
    NetSuiteError,
    answer_error,
    error_response,
    invalid_content,
    standard_error,
)
from sandbox.vendors.netsuite.records import NetSuiteSettings, RecordService
from sandbox.vendors.netsuite.suiteql import ROWS_MAX, SuiteQl
from sandbox.vendors.netsuite.tables import NetSuiteBooks
from sandbox.vendors.netsuite.tba import is_signed
from sandbox.vendors.oauth import AssertionRefusedError, AssertionRules
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site
from sandbox.vendors.wire import ExactJSONResponse

TOKEN_PATH = "/services/rest/auth/oauth2/v1/token"  # noqa: S105 - a path, not a secret
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_HOUR_S = 3_600

Handler = Callable[[Request], Awaitable[Response]]


class NetSuiteApi:
    """Handlers of the ERP's resources; also its dialect for faults."""

    def __init__(
        self, site: Site[NetSuiteSettings], books: NetSuiteBooks, credentials: Credentials
    ) -> None:
        self._site = site
        self._records = RecordService(site, books)
        self._suiteql = SuiteQl(books.uri, site.drift)
        self._credentials = credentials

    def create_app(self) -> ASGIApp:
        """The ASGI application, faults and the concurrency limit included."""
        record = "/services/rest/record/v1/{type}/{key}"
        routes = [
            Route(TOKEN_PATH, self._sign_in, methods=["POST"]),
            Route("/services/rest/query/v1/suiteql", self._guarded(self._query), methods=["POST"]),
            Route("/services/rest/system/v1/serverTime", self._guarded(self._server_time)),
            Route(record, self._guarded(self._get)),
            Route(record, self._guarded(self._write), methods=["PUT", "PATCH"]),
            Route(record, self._guarded(self._delete), methods=["DELETE"]),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={NetSuiteError: answer_error, HTTPException: _answer_http_error},
        )
        # The limit is outside the faults: a request that hangs keeps its slot.
        return _ConcurrencyLimit(FaultInjection(app, self._site.faults, self), self._site, self)

    def is_token_request(self, path: str) -> bool:
        return path.endswith(TOKEN_PATH)

    def is_write(self, method: str, path: str) -> bool:
        return method in ("PUT", "PATCH", "DELETE")

    def refusal(self, status: int) -> Response:
        return error_response(standard_error(status))

    def revoke(self, token: str) -> None:
        self._site.tokens.revoke(token)

    async def _sign_in(self, request: Request) -> Response:
        form = wire.read_form(await request.body())
        rules = AssertionRules(
            key=self._credentials.key("NETSUITE_PRIVATE_KEY_FILE"),
            algorithms=("PS256", "PS384", "PS512"),
            issuer=self._credentials.client_id,
            audiences=(self._site.url + TOKEN_PATH,),
            lifetime_max_s=_HOUR_S,
        )
        if form.get("grant_type") != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type")
        if form.get("client_assertion_type") != _ASSERTION_TYPE:
            return _oauth_error(400, "invalid_request")
        try:
            header, claims = rules.verify(form.get("client_assertion", ""))
        except AssertionRefusedError:
            return _oauth_error(400, "invalid_client")
        if header.get("kid") != self._credentials.certificate_id:
            return _oauth_error(400, "invalid_client")
        if "rest_webservices" not in _scopes(claims.get("scope")):
            return _oauth_error(400, "invalid_scope")
        lifetime_s = self._site.settings.token_lifetime_s
        return ExactJSONResponse(
            {
                "access_token": self._site.tokens.issue(lifetime_s),
                "expires_in": str(int(lifetime_s)),
                "token_type": "Bearer",
            }
        )

    def _guarded(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            is_known = self._site.tokens.is_valid(bearer_token(request.headers))
            if not is_known and not self._is_signed(request):
                raise standard_error(401)
            return await handler(request)

        return endpoint

    def _is_signed(self, request: Request) -> bool:
        header = request.headers.get("authorization", "")
        tokens = self._site.settings.access_tokens
        return is_signed(request.method, str(request.url), header, tokens)

    async def _query(self, request: Request) -> Response:
        if "transient" not in request.headers.get("prefer", "").lower():
            raise NetSuiteError(
                400,
                "INVALID_HEADER",
                "The required request header 'Prefer' is missing or its value is not transient.",
                locator="o:errorHeader",
                place="Prefer",
            )
        limit = _number(request, "limit", self._site.settings.page_size)
        offset = _number(request, "offset", 0)
        if not 1 <= limit <= self._site.settings.page_size:
            raise _bad_parameter("limit", f"1 to {self._site.settings.page_size}")
        if offset % limit or offset + limit > ROWS_MAX:
            raise _bad_parameter("offset", f"a multiple of limit, up to {ROWS_MAX} rows")
        query = (await _body(request)).get("q")
        if not isinstance(query, str):
            raise invalid_content("The body needs a query.", "q")
        page = self._suiteql.run(query, limit=limit, offset=offset)
        has_more = offset + len(page.items) < page.total
        return ExactJSONResponse(
            {
                "links": self._links(limit, offset, has_more=has_more),
                "count": len(page.items),
                "hasMore": has_more,
                "items": [item | self._site.drift.added("suiteql") for item in page.items],
                "offset": offset,
                "totalResults": page.total,
            }
        )

    def _links(self, limit: int, offset: int, *, has_more: bool) -> list[dict[str, str]]:
        url = f"{self._site.url}/services/rest/query/v1/suiteql?limit={limit}&offset="
        links = [{"rel": "self", "href": f"{url}{offset}"}]
        if has_more:
            links.append({"rel": "next", "href": f"{url}{offset + limit}"})
        return links

    async def _server_time(self, request: Request) -> Response:
        now = self._site.clock.now()
        return ExactJSONResponse({"serverTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")})

    async def _get(self, request: Request) -> Response:
        type_name, key = _target(request)
        return ExactJSONResponse(self._records.get(type_name, key))

    async def _write(self, request: Request) -> Response:
        type_name, key = _target(request)
        body = await _body(request)
        write = self._records.upsert if request.method == "PUT" else self._records.patch
        row_id = write(type_name, key, body)
        location = f"{self._site.url}/services/rest/record/v1/{type_name}/{row_id}"
        return Response(status_code=204, headers={"Location": location})

    async def _delete(self, request: Request) -> Response:
        self._records.delete(*_target(request))
        return Response(status_code=204)


class _ConcurrencyLimit:
    """ASGI middleware: at most `concurrency` requests of the account at a time."""

    def __init__(self, app: ASGIApp, site: Site[NetSuiteSettings], api: NetSuiteApi) -> None:
        self._app = app
        self._site = site
        self._api = api
        self._slots = ConcurrencySlots()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._slots.take(self._site.settings.concurrency) as is_free:
            app = self._app if is_free else self._api.refusal(429)
            await app(scope, receive, send)


def _target(request: Request) -> tuple[str, str]:
    return request.path_params["type"], request.path_params["key"]


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = wire.loads(await request.body())
    except ValueError as error:
        raise invalid_content("The body is not JSON.", "") from error
    if not isinstance(body, dict):
        raise invalid_content("The body is not a JSON object.", "")
    return body


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdigit():
        raise _bad_parameter(name, "a whole number")
    return int(text)


def _bad_parameter(name: str, wanted: str) -> NetSuiteError:
    return NetSuiteError(
        400,
        "INVALID_PARAMETER",
        f"The parameter '{name}' must be {wanted}.",
        locator="o:errorQueryParam",
        place=name,
    )


def _scopes(scope: object) -> list[str]:
    if isinstance(scope, str):
        return scope.replace(",", " ").split()
    return [str(name) for name in scope] if isinstance(scope, list) else []


def _oauth_error(status: int, code: str) -> Response:
    return ExactJSONResponse({"error": code}, status_code=status)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(standard_error(error.status_code))
