"""Gusto's REST API as far as it is read: people, jobs, payrolls; OAuth with tokens that change.

Each use of a refresh token gives another one, and ends the former (docs.gusto.com, OAuth 2). A
version that there is not is answered 406, a right that is missing 404 (docs.gusto.com, error
categories); more than 200 requests a minute and grant 429 with Retry-After (docs.gusto.com, rate
limits). What a list and a row hold: Gusto/gusto-typescript-client, models;
Gusto/embedded-react-sdk, `src/test/mocks/fixtures`. More facts and sources:
connectors/vendors/gusto/README.md. Nothing tells of a change, and clients write nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors import wire
from sandbox.vendors.faults import bearer_token
from sandbox.vendors.frame import Frame, VendorError
from sandbox.vendors.gusto.books import (
    COMPANY,
    COMPENSATIONS,
    EMPLOYEES,
    ITEMS,
    JOBS,
    PAYROLLS,
    GustoBooks,
    version_of,
)
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import InvalidRowError, Site, SiteSettings
from sandbox.vendors.tables import Row, day
from sandbox.vendors.wire import ExactJSONResponse

VERSIONS: Final = ("2024-04-01", "2025-06-15")
_PER: Final = 25
_PER_MAX: Final = 100
_DAYS_MAX: Final = 366
_DAYS_ASKED: Final = 183
"""Without a first day a list of payrolls begins half a year ago."""
_CATEGORIES: Final = {
    401: "invalid_token",
    404: "not_found",
    406: "invalid_api_version",
    422: "invalid_attribute_value",
    429: "rate_limit_exceeded",
}


class GustoSettings(SiteSettings):
    """Adjustable behaviour of a company."""

    requests_per_minute: int = Field(default=200, ge=0)
    token_lifetime_s: float = Field(default=7_200, ge=0)
    denied: tuple[str, ...] = ()
    """Kinds of rows that the application was not granted."""


class GustoApi(Frame[GustoSettings]):
    """Handlers of people and payrolls."""

    window_s = 60
    token_path = "/oauth/token"  # noqa: S105 - a path, not a secret

    def __init__(
        self, site: Site[GustoSettings], books: GustoBooks, credentials: Credentials
    ) -> None:
        super().__init__(site)
        self._books = books
        self._client = (credentials.client_id, credentials["GUSTO_CLIENT_SECRET"])
        self._refresh = credentials["GUSTO_REFRESH_TOKEN_PATH"].strip()

    def routes(self) -> Sequence[Route]:
        company = f"/v1/companies/{COMPANY}"
        return [
            Route(self.token_path, self._sign_in, methods=["POST"]),
            Route(f"{company}/employees", self.guarded(self._employees)),
            Route("/v1/employees/{id}/jobs", self.guarded(self._jobs)),
            Route(f"{company}/payrolls", self.guarded(self._payrolls)),
            Route(f"{company}/payrolls/{{id}}", self.guarded(self._payroll)),
        ]

    def check(self, request: Request) -> None:
        if not self._site.tokens.is_valid(bearer_token(request.headers)):
            raise VendorError(401, "The access token is invalid or has expired")
        if request.headers.get("x-gusto-api-version", VERSIONS[-1]) not in VERSIONS:
            raise VendorError(406, "The API version is not one that there is")
        self.admit(self._site.settings.requests_per_minute)

    def told(self, error: VendorError) -> Response:
        category = error.code or _CATEGORIES.get(error.status, "server_error")
        item = {
            "error_key": "base",
            "category": category,
            "message": error.message or "The request was not carried out.",
        }
        return ExactJSONResponse({"errors": [item]}, status_code=error.status)

    async def _sign_in(self, request: Request) -> Response:
        """A token for the refresh token that was given last; it changes with that."""
        if "client_secret" in request.query_params:
            return _refused(400, "invalid_request")
        form = await _form(request)
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            return _refused(401, "invalid_client")
        if form.get("grant_type") != "refresh_token":
            return _refused(400, "unsupported_grant_type")
        if form.get("refresh_token") != self._refresh:
            return _refused(401, "invalid_grant")
        lifetime_s = self._site.settings.token_lifetime_s
        token = self._site.tokens.issue(lifetime_s)
        self._refresh = f"r{self._site.tokens.issue(0)}"
        return ExactJSONResponse(
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": int(lifetime_s),
                "refresh_token": self._refresh,
                "scope": "employees:read jobs:read payrolls:read",
            }
        )

    async def _employees(self, request: Request) -> Response:
        self._require_granted(EMPLOYEES)
        return self._page(request, [self._person(row) for row in self._books.table(EMPLOYEES)])

    async def _jobs(self, request: Request) -> Response:
        """The jobs of a person, with all rates by date where they are asked for."""
        self._require_granted(JOBS)
        employee = self._books.get(EMPLOYEES, request.path_params["id"])
        shows_all = "all_compensations" in request.query_params.get("include", "").split(",")
        rows = [row for row in self._books.table(JOBS) if row["employee_uuid"] == employee["id"]]
        return self._page(request, [self._job(row, shows_all=shows_all) for row in rows])

    async def _payrolls(self, request: Request) -> Response:
        """Those of a kind whose pay period is within the days asked for."""
        self._require_granted(PAYROLLS)
        asked = request.query_params
        today = self._site.clock.now().date()
        last = _day(asked.get("end_date"), today)
        first = _day(asked.get("start_date"), last - timedelta(days=_DAYS_ASKED))
        if (last - first).days > _DAYS_MAX:
            raise VendorError(422, "The days asked for are more than a year")
        statuses = asked.get("processing_statuses", "processed").split(",")
        kinds = asked.get("payroll_types", "regular").split(",")
        rows = [
            row
            for row in self._books.table(PAYROLLS)
            if first.isoformat() <= row["start_date"] and row["end_date"] <= last.isoformat()
            if ("processed" if row["processed"] else "unprocessed") in statuses
            if _kind_of(row) in kinds
        ]
        rows.sort(key=lambda row: row["start_date"], reverse=asked.get("sort_order") != "asc")
        shows_totals = "totals" in asked.get("include", "").split(",")
        return self._page(request, [self._header(row, shows_totals=shows_totals) for row in rows])

    async def _payroll(self, request: Request) -> Response:
        """A payroll with what each person costs in it; taxes and benefits where asked for."""
        self._require_granted(PAYROLLS)
        payroll = self._books.get(PAYROLLS, request.path_params["id"])
        asked = request.query_params.get("include", "").split(",")
        items = [self._item(row, asked) for row in self._items_of(payroll)]
        page = self._page(request, items)
        body = self._header(payroll, shows_totals=True)
        shown = wire.loads(bytes(page.body))
        answer = ExactJSONResponse({**body, "employee_compensations": shown})
        answer.headers.update(
            {name: value for name, value in page.headers.items() if name.startswith("x-")}
        )
        return answer

    def _require_granted(self, record_type: str) -> None:
        if record_type in self._site.settings.denied:
            raise VendorError(404, "A scope is missing", code="missing_permissions")

    def _page(self, request: Request, rows: Sequence[Row]) -> Response:
        asked = request.query_params
        page, per = _number(asked.get("page"), 1), _number(asked.get("per"), _PER)
        per = min(per, _PER_MAX)
        response = ExactJSONResponse(list(rows[(page - 1) * per : page * per]))
        counts = {
            "X-Page": page,
            "X-Per-Page": per,
            "X-Total-Count": len(rows),
            "X-Total-Pages": -(-len(rows) // per),
        }
        response.headers.update({name: str(value) for name, value in counts.items()})
        return response

    def _items_of(self, payroll: Row) -> list[Row]:
        return [row for row in self._books.table(ITEMS) if row["payroll_uuid"] == payroll["id"]]

    def _person(self, row: Row) -> Row:
        shown = {name: value for name, value in row.items() if name != "id"}
        shown |= {
            "uuid": row["id"],
            "company_uuid": COMPANY,
            "manager_uuid": None,
            "version": version_of(row),
            "jobs": [],
            "terminations": [],
        }
        return self._site.drift.shown(EMPLOYEES, shown)

    def _job(self, row: Row, *, shows_all: bool) -> Row:
        rates = [each for each in self._books.table(COMPENSATIONS) if each["job_uuid"] == row["id"]]
        rates.sort(key=lambda each: each["effective_date"])
        today = self._site.clock.now().date().isoformat()
        held = [each for each in rates if each["effective_date"] <= today] or rates[:1]
        current = held[-1] if held else None
        shown = rates if shows_all else held[-1:]
        return self._site.drift.shown(
            JOBS,
            {
                "uuid": row["id"],
                "version": version_of(row),
                "employee_uuid": row["employee_uuid"],
                "hire_date": row["hire_date"],
                "title": row["title"],
                "primary": row["primary"],
                "rate": f"{current['rate']:.2f}" if current else None,
                "payment_unit": current["payment_unit"] if current else None,
                "current_compensation_uuid": current["id"] if current else None,
                "two_percent_shareholder": False,
                "state_wc_covered": None,
                "compensations": [self._rate(each, row) for each in shown],
            },
        )

    def _rate(self, row: Row, job: Row) -> Row:
        shown = {
            "uuid": row["id"],
            "version": version_of(row),
            "job_uuid": row["job_uuid"],
            "employee_uuid": job["employee_uuid"],
            "rate": f"{row['rate']:.2f}",
            "payment_unit": row["payment_unit"],
            "flsa_status": row["flsa_status"],
            "effective_date": row["effective_date"],
            "title": job["title"],
            "adjust_for_minimum_wage": False,
            "minimum_wages": [],
        }
        return self._site.drift.shown(COMPENSATIONS, shown)

    def _header(self, row: Row, *, shows_totals: bool) -> Row:
        is_run = row["processed"]
        shown: Row = {
            "payroll_uuid": row["id"],
            "uuid": row["id"],
            "company_uuid": COMPANY,
            "off_cycle": row["off_cycle"],
            "off_cycle_reason": row["off_cycle_reason"],
            "processed": is_run,
            "processed_date": row["processed_date"] if is_run else None,
            "calculated_at": f"{row['processed_date']}T18:00:00Z" if is_run else None,
            "check_date": row["check_date"],
            "external": row["external"],
            "pay_period": {"start_date": row["start_date"], "end_date": row["end_date"]},
        }
        if shows_totals:
            shown["totals"] = _totals(self._items_of(row))
        return self._site.drift.shown(PAYROLLS, shown)

    def _item(self, row: Row, asked: Sequence[str]) -> Row:
        shown = {
            "employee_uuid": row["employee_uuid"],
            "excluded": row["excluded"],
            "version": version_of(row),
            "payment_method": row["payment_method"],
            "memo": None,
            "gross_pay": row["gross_pay"],
            "net_pay": row["net_pay"],
            "fixed_compensations": [],
            "hourly_compensations": [],
            "paid_time_off": [],
        }
        shown |= {name: list(row[name]) for name in ("taxes", "benefits") if name in asked}
        return self._site.drift.shown(ITEMS, shown)


def _kind_of(payroll: Row) -> str:
    if payroll["external"]:
        return "external"
    return "off_cycle" if payroll["off_cycle"] else "regular"


def _totals(items: Sequence[Row]) -> Mapping[str, str]:
    """Sums of those who are paid, as texts."""
    paid = [row for row in items if not row["excluded"]]
    zero = Decimal(0)
    sums = {
        "gross_pay": sum((row["gross_pay"] or zero for row in paid), zero),
        "net_pay": sum((row["net_pay"] or zero for row in paid), zero),
        "employer_taxes": _sum(paid, "taxes", "amount", only="employer"),
        "benefits": _sum(paid, "benefits", "company_contribution"),
    }
    return {name: f"{value:.2f}" for name, value in sums.items()}


def _sum(items: Sequence[Row], name: str, amount: str, only: str = "") -> Decimal:
    return sum(
        (
            Decimal(str(each[amount]))
            for row in items
            for each in row[name]
            if not only or each[only]
        ),
        Decimal(0),
    )


async def _form(request: Request) -> Mapping[str, Any]:
    """The fields of a form, or of JSON."""
    body = await request.body()
    if "json" not in request.headers.get("content-type", ""):
        return wire.read_form(body)
    try:
        found = wire.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refused(status: int, error: str) -> Response:
    return ExactJSONResponse({"error": error}, status_code=status)


def _day(text: str | None, default: date) -> date:
    if text is None:
        return default
    try:
        return date.fromisoformat(day(text, "date"))
    except InvalidRowError as error:
        raise VendorError(422, str(error)) from error


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and int(text) else default
