"""ADP's API as far as it is read: workers by page and by themselves, and the queue of events.

Credentials are those of a client, whose certificate is shown in each handshake: mutual TLS ends
before the twin, which speaks plain HTTP (tests/unit/connectors/test_adp.py). The head of the queue
is the same until it is deleted, and an empty queue is 204, as is a page behind the last one. The
list of all shows less of a worker than a reading of one. The facts and their sources:
connectors/vendors/adp/README.md. No page tells how many requests a client may make.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors import wire
from sandbox.vendors.adp.books import WORKERS, AdpBooks, Message
from sandbox.vendors.faults import bearer_token
from sandbox.vendors.frame import Frame, VendorError
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site, SiteSettings
from sandbox.vendors.tables import Row
from sandbox.vendors.wire import ExactJSONResponse

QUEUE: Final = "/core/v1/event-notification-messages"
_TOP: Final = 50
_TOP_MAX: Final = 100
_TEXTS: Final = {
    401: "The access token is invalid or has expired",
    403: "Forbidden",
    404: "The resource was not found",
    429: "Too many requests",
}


class AdpSettings(SiteSettings):
    """Adjustable behaviour of a client."""

    requests_per_minute: int = Field(default=100, ge=0)
    token_lifetime_s: float = Field(default=3_600, ge=0)
    has_queue: bool = True
    """Whether the client may read a queue."""
    hidden: tuple[str, ...] = ()
    """Workers who are listed, and not shown by themselves."""


class AdpApi(Frame[AdpSettings]):
    """Handlers of workers and of the queue."""

    window_s = 60
    token_path = "/auth/oauth/v2/token"  # noqa: S105 - a path, not a secret

    def __init__(self, site: Site[AdpSettings], books: AdpBooks, credentials: Credentials) -> None:
        super().__init__(site)
        self._books = books
        self._client = (credentials.client_id, credentials["ADP_CLIENT_SECRET"])

    def routes(self) -> Sequence[Route]:
        delete = self.guarded(self._delete)
        return [
            Route(self.token_path, self._sign_in, methods=["POST"]),
            Route("/hr/v2/workers", self.guarded(self._workers)),
            Route("/hr/v2/workers/{id}", self.guarded(self._worker)),
            Route(QUEUE, self.guarded(self._head)),
            Route(f"{QUEUE}/{{message:path}}", delete, methods=["DELETE"]),
        ]

    def check(self, request: Request) -> None:
        if not self._site.tokens.is_valid(bearer_token(request.headers)):
            raise VendorError(401)
        self.admit(self._site.settings.requests_per_minute)

    def told(self, error: VendorError) -> Response:
        text = error.message or _TEXTS.get(error.status, "The request was not carried out")
        message = {
            "processMessageID": {"idValue": error.code or f"HTTP_{error.status}"},
            "userMessage": {"messageTxt": text},
        }
        body: Row = {"confirmMessage": {"resourceMessages": [{"processMessages": [message]}]}}
        if error.status == 403:
            body["status"] = "success"  # which it is not
        return ExactJSONResponse(body, status_code=error.status)

    async def _sign_in(self, request: Request) -> Response:
        form = wire.read_form(await request.body())
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            wrong = {"error": "invalid_client", "error_description": "client is unknown"}
            return ExactJSONResponse(wrong, status_code=401)
        if form.get("grant_type") != "client_credentials":
            return ExactJSONResponse({"error": "unsupported_grant_type"}, status_code=400)
        lifetime_s = self._site.settings.token_lifetime_s
        token = self._site.tokens.issue(lifetime_s)
        return ExactJSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": int(lifetime_s)}
        )

    async def _workers(self, request: Request) -> Response:
        asked = request.query_params
        top = min(_number(asked.get("$top"), _TOP), _TOP_MAX)
        skip = _number(asked.get("$skip"), 0)
        rows = self._books.table(WORKERS)[skip : skip + top]
        if not rows:
            return Response(status_code=204)
        return self._answer(rows, is_list=True)

    async def _worker(self, request: Request) -> Response:
        worker = request.path_params["id"]
        if worker in self._site.settings.hidden:
            raise VendorError(403)
        return self._answer([self._books.get(WORKERS, worker)], is_list=False)

    async def _head(self, request: Request) -> Response:
        """The first message, which stays the first until it is deleted."""
        self._require_queue()
        if not self._books.queue:
            return Response(status_code=204)
        head = self._books.queue[0]
        response = ExactJSONResponse({"events": [_event(head)]})
        response.headers["adp-msg-msgid"] = head.id
        return response

    async def _delete(self, request: Request) -> Response:
        self._require_queue()
        queue = self._books.queue
        found = [each for each in queue if each.id == request.path_params["message"]]
        if not found:
            raise VendorError(404)
        queue.remove(found[0])
        return ExactJSONResponse({"events": [_event(found[0])]})

    def _require_queue(self) -> None:
        if not self._site.settings.has_queue:
            raise VendorError(403)

    def _answer(self, rows: Sequence[Row], *, is_list: bool) -> Response:
        shown = [self._site.drift.shown(WORKERS, _worker(row, is_list=is_list)) for row in rows]
        return ExactJSONResponse({"workers": shown})


def _event(message: Message) -> Row:
    worker = {"worker": {"associateOID": message.worker}}
    is_hire = message.event == "worker.hire"
    return {
        "eventID": message.id.partition(":")[2],
        "eventNameCode": {"codeValue": message.event},
        "eventStatusCode": {"codeValue": "COMPLETED"},
        "recordDateTime": message.at,
        "data": {"output": worker} if is_hire else {"eventContext": worker, "output": worker},
    }


def _worker(row: Row, *, is_list: bool) -> Row:
    """A worker: what is not set is not there; a list shows no title."""
    dates = {
        "originalHireDate": row["original_hire_date"],
        "rehireDate": row["rehire_date"],
        "terminationDate": row["termination_date"],
    }
    email = {"nameCode": _coded("Work E-mail"), "emailUri": row["work_email"]}
    former = []
    if row["rehire_date"] is not None:
        former.append(
            {
                "itemID": f"{row['id']}:0",
                "primaryIndicator": False,
                "actualStartDate": row["original_hire_date"],
                "assignmentStatus": {"statusCode": _coded("T")},
            }
        )
    return _set(
        {
            "associateOID": row["id"],
            "workerID": {"idValue": row["id"][-6:]},
            "person": {
                "legalName": {"givenName": row["given_name"], "familyName1": row["family_name"]}
            },
            "workerDates": _set(dates),
            "workerStatus": {"statusCode": {"codeValue": row["status"]}},
            "businessCommunication": {"emails": [email]} if row["work_email"] else None,
            "workAssignments": [*former, _assignment(row, is_list=is_list)],
        }
    )


def _assignment(row: Row, *, is_list: bool) -> Row:
    unit, place = row["department"], row["location"]
    hours = {"hoursQuantity": row["weekly_hours"], "unitCode": _coded("1", "Weekly")}
    return _set(
        {
            "itemID": f"{row['id']}:1",
            "primaryIndicator": True,
            "hireDate": row["original_hire_date"],
            "actualStartDate": row["actual_start_date"],
            "jobCode": _coded(row["job_code"]) if row["job_code"] else {},
            "jobTitle": None if is_list else row["job_title"],
            "standardHours": hours if row["weekly_hours"] else None,
            "homeOrganizationalUnits": (
                [{"nameCode": _named(unit), "typeCode": _coded("Department")}] if unit else None
            ),
            "homeWorkLocation": {"nameCode": _named(place)} if place else None,
            "assignmentStatus": {"statusCode": _coded(row["assignment_status"])},
            "baseRemuneration": _pay(row),
        }
    )


def _pay(row: Row) -> Row | None:
    def amount(name: str, value: Decimal | None) -> Row | None:
        if value is None:
            return None
        return {"nameCode": _coded(name), "amountValue": value, "currencyCode": row["currency"]}

    found = _set(
        {
            "annualRateAmount": amount("ANNUAL", row["annual_rate"]),
            "hourlyRateAmount": amount("Hourly", row["hourly_rate"]),
            "effectiveDate": row["pay_effective_date"],
        }
    )
    return found or None


def _coded(code: str, name: str = "") -> Row:
    return {"codeValue": code, "shortName": name or code}


def _named(name: str) -> Row:
    """Names of more than fifteen characters are told as long ones alone."""
    kind = "longName" if len(name) > 15 else "shortName"
    return {"codeValue": name[:6].upper(), kind: name}


def _set(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
