"""What the sinks ask of their vendors. The vendors' answers are played back; no HTTP."""

import json
from collections import deque
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.dispatch.commands import Command
from connectors.dispatch.sink import NEWEST_SHOWN, Applied
from connectors.toolkit.config import load_config
from connectors.toolkit.faults import ErrorPolicy, Meaning, Reason, VendorRejectedError
from connectors.toolkit.http import Response
from connectors.vendors.float.auth import POLICY as FLOAT
from connectors.vendors.float.sink import FloatSink, FloatSinkConfig
from connectors.vendors.netsuite.auth import POLICY as NETSUITE
from connectors.vendors.netsuite.sink import NetSuiteSink, NetSuiteSinkConfig
from schemas.errors import ConfigError, InvalidEntityError, TargetBusyError
from tests.support.commands import project_content
from tests.support.sinks import make_command

VENDORS = Path(__file__).parents[3] / "connectors" / "vendors"


class PlayedClient:
    """Answers requests in order, as the vendor's table reads them, and remembers them."""

    def __init__(self, policy: ErrorPolicy, *answers: Response) -> None:
        self._policy = policy
        self._answers = deque(answers)
        self.requests: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []

    async def request(
        self, method: str, path: str, *, absent_ok: bool = False, json: Any = None, **options: Any
    ) -> Response:
        assert options["retry"] is False, "the executor retries"
        self.requests.append((method, path, json))
        self.headers.append(options.get("headers", {}))
        answer = self._answers.popleft()
        faults = self._policy.read_faults(answer.body)
        meaning = self._policy.classify(answer.status, faults, method=method)
        if meaning is Meaning.ACCEPTED or (meaning is Meaning.NOT_FOUND and absent_ok):
            return answer
        raise VendorRejectedError(answer.status, faults, context={})


def answer(status: int, body: Any = None, **headers: str) -> Response:
    return Response(status, {name.replace("_", "-"): it for name, it in headers.items()}, body)


GONE = {"o:errorDetails": [{"o:errorCode": "NONEXISTENT_ID", "detail": "no such record"}]}


def netsuite(*answers: Response) -> tuple[NetSuiteSink, PlayedClient]:
    client = PlayedClient(NETSUITE, *answers)
    return NetSuiteSink(client, project_expense_type="1"), client  # type: ignore[arg-type]


def float_(*answers: Response) -> tuple[FloatSink, PlayedClient]:
    client = PlayedClient(FLOAT, *answers)
    return FloatSink(client), client  # type: ignore[arg-type]


def order(kind: str, **content: Any) -> Command:
    return make_command(kind=kind, payload=json.dumps(content))


TIME_BILL: dict[str, Any] = {
    "time_bill_id": "tb-1",
    "project_id": "eng-1-de",
    "project_ref": "inhouse:project:7",
    "time_entry_id": "inhouse:time_entry:9",
    "work_on": "2026-03-02",
    "hours": "7.50",
    "seconds": 27000,
    "bill_rate": "180.0000",
    "currency": "EUR",
    "correlation_id": "cor-1",
}
TIME_BILL_BODY = {
    "customer": {"externalId": "eng-1-de"},
    "tranDate": "2026-03-02",
    "hours": "7:30",
    "rate": Decimal("180.0000"),
    "isBillable": True,
    "custcol_psa_currency": "EUR",
    "custcol_psa_time_entry": "inhouse:time_entry:9",
    "custcol_psa_project": "inhouse:project:7",
    "custcol_psa_correlation_id": "cor-1",
}
TIME_BILL_PATH = "/services/rest/record/v1/timeBill/eid:tb-1"
PLAN = project_content("eng-1-de", "Tern")
PLAN_ROW = {
    "name": "Tern",
    "project_code": "eng-1-de",
    "start_date": "2026-03-02",
    "notes": "psastream cor-1",
}


@pytest.mark.asyncio
async def test_netsuite_upserts_by_external_id() -> None:
    sink, client = netsuite(answer(204, Location="https://erp.example/record/v1/timeBill/42"))

    applied = await sink.execute(order("upsert_time_bill", **TIME_BILL))

    assert client.requests == [("PUT", TIME_BILL_PATH, TIME_BILL_BODY)]
    assert client.headers == [{"X-NetSuite-PropertyNameValidation": "Error"}]
    assert applied.target_id == "42"


@pytest.mark.fault("C21", place="connectors/vendors/netsuite/values.py")
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("seconds", "hours", "sent"),
    [
        (3000, "0.83", "0:50"),
        (1200, "0.33", "0:20"),
        (86400, "24.00", "24:00"),
        (0, "0.00", "0:00"),
        (1188, "0.33", Decimal("0.33")),  # no whole minutes
        (-3600, "-1.00", Decimal("-1.00")),
        (None, "7.50", Decimal("7.50")),
    ],
)
async def test_c21_fifty_minutes_are_billed_as_fifty_minutes(
    seconds: int | None, hours: str, sent: object
) -> None:
    sink, client = netsuite(answer(204))

    await sink.execute(
        order("upsert_time_bill", **TIME_BILL | {"seconds": seconds, "hours": hours})
    )

    assert client.requests[0][2]["hours"] == sent


CUSTOMER = {
    "customer_id": "cus-1",
    "name": "Tern",
    "country_code": "DE",
    "currency": "SEK",
    "tax_number": None,
    "correlation_id": "cor-1",
}
CURRENCIES = answer(200, {"items": [{"id": "1", "symbol": "EUR"}, {"id": "7", "symbol": "SEK"}]})
CUSTOMER_PATH = "/services/rest/record/v1/customer/eid:cus-1"


@pytest.mark.fault("C2", place="connectors/vendors/netsuite/values.py")
@pytest.mark.asyncio
async def test_c2_a_currency_is_named_by_the_id_the_account_gave_it() -> None:
    sink, client = netsuite(CURRENCIES, answer(204), answer(204))

    await sink.execute(order("upsert_customer", **CUSTOMER))
    await sink.execute(order("upsert_customer", **CUSTOMER | {"currency": "EUR"}))

    assert [request[:2] for request in client.requests] == [
        ("POST", "/services/rest/query/v1/suiteql"),
        ("PUT", CUSTOMER_PATH),
        ("PUT", CUSTOMER_PATH),
    ]
    assert [each[2]["currency"] for each in client.requests[1:]] == [{"id": "7"}, {"id": "1"}]


@pytest.mark.fault("C2", place="connectors/vendors/netsuite/values.py")
@pytest.mark.asyncio
async def test_c2_a_currency_the_account_does_not_have_is_refused_until_it_has() -> None:
    sink, client = netsuite(answer(200, {"items": []}), CURRENCIES, answer(204))

    with pytest.raises(VendorRejectedError) as refusal:
        await sink.execute(order("upsert_customer", **CUSTOMER))
    await sink.execute(order("upsert_customer", **CUSTOMER))

    assert (refusal.value.field, refusal.value.faults[0].detail) == (
        "currency",
        "the account has no currency SEK",
    )
    assert refusal.value.reason is Reason.SETTING, "it is tried again for all that need it"
    assert client.requests[-1][2]["currency"] == {"id": "7"}


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "E" * 1_000_000, 7, ["EUR"], {"id": 1}])
@pytest.mark.asyncio
async def test_what_is_no_currency_code_is_refused_before_the_account_is_asked(
    currency: object,
) -> None:
    sink, client = netsuite()

    with pytest.raises(InvalidEntityError) as refusal:
        await sink.execute(order("upsert_customer", **CUSTOMER | {"currency": currency}))

    assert client.requests == []
    assert len(str(refusal.value)) < 300


@pytest.mark.asyncio
async def test_a_currency_may_be_configured_and_need_not_be_there() -> None:
    client = PlayedClient(NETSUITE, answer(204), answer(204))
    sink = NetSuiteSink(client, project_expense_type="1", currencies={"SEK": "7"})  # type: ignore[arg-type]

    await sink.execute(order("upsert_customer", **CUSTOMER))
    await sink.execute(order("upsert_customer", **CUSTOMER | {"currency": None}))

    assert [each[2]["currency"] for each in client.requests] == [{"id": "7"}, None]


@pytest.mark.asyncio
async def test_netsuite_budgets_change_an_existing_project_only() -> None:
    sink, client = netsuite(answer(404, GONE))
    budget = {
        "project_id": "eng-1-de",
        "budget_hours": "100",
        "budget_cost": "5000.00",
        "budget_revenue": "9000.00",
        "budget_currency": "EUR",
    }

    with pytest.raises(VendorRejectedError):
        await sink.execute(order("update_project_budget", **budget))

    assert client.requests[0][:2] == ("PATCH", "/services/rest/record/v1/job/eid:eng-1-de")


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "body"), [(204, None), (404, GONE)])
async def test_netsuite_deletion_of_what_is_gone_is_done(status: int, body: Any) -> None:
    sink, client = netsuite(answer(status, body))

    await sink.execute(order("delete_time_bill", time_bill_id="tb-1"))

    assert client.requests == [("DELETE", TIME_BILL_PATH, None)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "body", "is_found"),
    [
        (404, GONE, False),
        (200, {"id": "42", **TIME_BILL_BODY}, True),
        (200, {"id": "42", **TIME_BILL_BODY, "hours": "07:30"}, True),
        (200, {"id": "42", **TIME_BILL_BODY, "hours": Decimal("7.5")}, True),
        (200, {"id": "42", **TIME_BILL_BODY, "hours": "8:00"}, False),
        (200, {"id": "42", **TIME_BILL_BODY, "hours": Decimal("7.51")}, False),
        (200, {"id": "42", **TIME_BILL_BODY, "hours": "a while"}, False),
        (200, {"id": "42", **TIME_BILL_BODY, "customer": {"externalId": "other"}}, False),
    ],
)
async def test_netsuite_look_finds_equal_content_only(
    status: int, body: Any, is_found: bool
) -> None:
    sink, client = netsuite(answer(status, body))

    found = await sink.look(order("upsert_time_bill", **TIME_BILL))

    assert (found is not None) is (status == 200)
    assert (found is not None and not found.differs) is is_found
    assert client.requests == [("GET", TIME_BILL_PATH, None)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "body", "is_done"), [(404, GONE, True), (200, {"id": "42"}, False)]
)
async def test_netsuite_look_at_a_deletion(status: int, body: Any, is_done: bool) -> None:
    sink, _ = netsuite(answer(status, body))

    found = await sink.look(order("delete_time_bill", time_bill_id="tb-1"))

    assert found == Applied(is_gone=is_done, differs=not is_done)


@pytest.mark.asyncio
@pytest.mark.fault("C24", place="connectors/vendors/netsuite/sink.py")
@pytest.mark.parametrize(("status", "body"), [(204, None), (404, GONE)])
async def test_c24_a_project_is_deleted_or_was_never_made(status: int, body: Any) -> None:
    sink, client = netsuite(answer(status, body))

    applied = await sink.execute(order("delete_project", project_id="eng-1-de"))

    assert client.requests == [("DELETE", "/services/rest/record/v1/job/eid:eng-1-de", None)]
    assert applied.is_gone


@pytest.mark.asyncio
async def test_unknown_kinds_and_missing_content_are_refused_before_any_request() -> None:
    sink, client = netsuite()
    for command in (order("upsert_planet"), order("upsert_customer", name="Tern")):
        with pytest.raises(InvalidEntityError):
            await sink.execute(command)

    assert client.requests == []


@pytest.mark.asyncio
@pytest.mark.fault("B1", place="schemas/commands.py")
@pytest.mark.parametrize("value", [None, "", "  ", 7, True, [], {}, "\ud83d", "a\x00b", "a\nb"])
async def test_b1_what_names_no_record_is_refused_before_any_request(value: Any) -> None:
    bills, asked = netsuite()
    projects, listed = float_()
    with pytest.raises(InvalidEntityError, match="time_bill_id"):
        await bills.execute(order("delete_time_bill", time_bill_id=value))
    with pytest.raises(InvalidEntityError, match="project_id"):
        await projects.execute(order("upsert_project", **PLAN | {"project_id": value}))
    assert asked.requests == listed.requests == []


@pytest.mark.asyncio
@pytest.mark.fault("B1", place="schemas/commands.py")
async def test_b1_an_id_addresses_its_record_whatever_it_holds() -> None:
    sink, client = netsuite(answer(204))
    await sink.execute(order("delete_time_bill", time_bill_id="../../job/1?a=b#c%2F"))
    path = "/services/rest/record/v1/timeBill/eid:..%2F..%2Fjob%2F1%3Fa%3Db%23c%252F"
    assert client.requests == [("DELETE", path, None)]


@pytest.mark.fault("B1", place="connectors/dispatch/commands.py")
@pytest.mark.parametrize(
    "payload", ["{", "[]", "null", "[" * 100_000, '{"a":' * 5_000, "9" * 9_999, '{"a": 1, "a": 2}']
)
def test_b1_a_payload_that_is_no_object_is_refused(payload: str) -> None:
    with pytest.raises(InvalidEntityError, match="payload of command"):
        make_command(payload=payload).content()


@pytest.mark.asyncio
@pytest.mark.fault("B1", place="connectors/vendors/float/sink.py")
@pytest.mark.parametrize("known_id", ["", "x", "-1", "0", "²", "9" * 5_000])
async def test_b1_an_id_of_an_earlier_result_that_is_none_is_not_looked_up(known_id: str) -> None:
    sink, client = float_(answer(200, []), answer(201, {"project_id": 9}))
    applied = await sink.execute(order("upsert_project", **PLAN), known_id)
    assert applied.target_id == "9"
    assert [request[0] for request in client.requests] == ["GET", "POST"]


@pytest.mark.asyncio
async def test_netsuite_tells_the_records_of_ours_that_were_made_last() -> None:
    rows = answer(200, {"items": [{"externalid": "tb-2"}, {"externalid": "tb-1"}]})
    sink, client = netsuite(*[answer(200, {"items": []})] * 2, rows)
    assert await sink.newest() == {"customer": [], "project": [], "time_bill": ["tb-2", "tb-1"]}
    assert [(method, path) for method, path, _ in client.requests] == [
        ("POST", "/services/rest/query/v1/suiteql")
    ] * 3
    assert client.requests[2][2] == {
        "q": "SELECT externalid FROM timebill WHERE externalid LIKE 'tb-%' ORDER BY id DESC"
    }


@pytest.mark.asyncio
async def test_netsuite_tells_the_newest_of_what_its_role_may_see() -> None:
    refused = answer(400, {"o:errorDetails": [{"o:errorCode": "INVALID_PARAMETER"}]})
    seen = answer(200, {"items": [{"externalid": "eng-1-de"}]})
    sink, _ = netsuite(refused, seen, refused)
    assert await sink.newest() == {"project": ["eng-1-de"]}
    sink, _ = netsuite(*[refused] * 3)
    with pytest.raises(VendorRejectedError):
        await sink.newest()


@pytest.mark.asyncio
async def test_float_tells_the_projects_of_ours_that_were_made_last() -> None:
    def project(number: int, code: str | None) -> dict[str, Any]:
        return {"project_id": number, "project_code": code, "active": 0}

    codes = [f"eng-{number:012}-de" for number in range(NEWEST_SHOWN + 1)]
    ours = [project(number, f" {code}") for number, code in enumerate(codes, start=1)]
    others = [project(98, None), project(99, "eng-7")]
    pages = {"X-Pagination-Page-Count": "2"}
    sink, _ = float_(answer(200, ours, **pages), answer(200, others, **pages))
    assert await sink.newest() == {"project": codes[:0:-1]}


@pytest.mark.asyncio
async def test_float_tells_the_newest_of_a_list_that_grows_while_it_is_read() -> None:
    """Rows are repeated then, and none is missed; of one that shrinks one may be."""
    codes = [f"eng-{number:012}-de" for number in range(4)]
    rows = [
        {"project_id": number, "project_code": code, "active": 1}
        for number, code in enumerate(codes, start=1)
    ]

    def page(shown: list[dict[str, Any]], count: str, total: str) -> Response:
        return answer(200, shown, X_Pagination_Page_Count=count, X_Pagination_Total_Count=total)

    sink, client = float_(
        page(rows[:2], "2", "3"), page(rows[1:3], "2", "4"), page(rows[3:], "3", "5")
    )
    with pytest.raises(TargetBusyError):  # the same list, as a look-up reads it
        await sink.look(order("upsert_project", **PLAN))
    assert len(client.requests) == 2
    sink, client = float_(
        page(rows[:2], "2", "3"), page(rows[1:3], "3", "4"), page(rows[3:], "3", "4")
    )
    assert await sink.newest() == {"project": codes[::-1]}
    sink, client = float_(page(rows[:2], "2", "4"), page(rows[2:], "2", "3"))
    with pytest.raises(TargetBusyError):
        await sink.newest()


@pytest.mark.asyncio
async def test_float_creates_a_project_whose_code_is_not_there() -> None:
    other = {**PLAN_ROW, "project_id": 1, "project_code": "eng-2-de"}
    sink, client = float_(answer(200, [other]), answer(201, {"project_id": 8}))

    applied = await sink.execute(order("upsert_project", **PLAN))

    assert client.requests == [("GET", "/v3/projects", None), ("POST", "/v3/projects", PLAN_ROW)]
    assert applied.target_id == "8"


@pytest.mark.asyncio
async def test_float_changes_the_project_that_has_the_code() -> None:
    row = {**PLAN_ROW, "project_id": 8, "name": "old"}
    sink, client = float_(answer(200, [row]), answer(200, row), answer(200, row))

    await sink.execute(order("upsert_project", **PLAN))

    assert client.requests[2:] == [("PATCH", "/v3/projects/8", PLAN_ROW)]


@pytest.mark.asyncio
async def test_float_writes_nothing_where_nothing_differs() -> None:
    row = {**PLAN_ROW, "project_id": 8}
    sink, client = float_(answer(200, [row]), answer(200, row))

    await sink.execute(order("upsert_project", **PLAN))

    assert [method for method, _, _ in client.requests] == ["GET", "GET"]


@pytest.mark.asyncio
@pytest.mark.fault("A4", place="connectors/vendors/float/sink.py")
@pytest.mark.parametrize(
    ("listed", "by_id", "written"),
    [
        (
            [],
            answer(200, {**PLAN_ROW, "project_id": 8, "name": "old"}),
            ("PATCH", "/v3/projects/8"),
        ),
        ([], answer(404), ("POST", "/v3/projects")),
        # The list still shows the content before the last write.
        (
            [{**PLAN_ROW, "project_id": 8}],
            answer(200, {**PLAN_ROW, "project_id": 8, "name": "new"}),
            ("PATCH", "/v3/projects/8"),
        ),
    ],
    ids=["not listed yet", "deleted by a person", "listed with an earlier content"],
)
async def test_a4_a_project_is_found_by_the_id_of_its_result(
    listed: list[Any], by_id: Response, written: tuple[str, str]
) -> None:
    made = answer(200, {**PLAN_ROW, "project_id": 8})
    sink, client = float_(answer(200, listed), by_id, made)

    applied = await sink.execute(order("upsert_project", **PLAN), "8")

    assert client.requests[-1][:2] == written
    assert len(client.requests) == 3
    assert applied.target_id == "8"


@pytest.mark.asyncio
@pytest.mark.fault("A4", place="connectors/vendors/float/sink.py")
async def test_a4_a_deleted_project_that_is_still_listed_is_made_again() -> None:
    sink, client = float_(
        answer(200, [{**PLAN_ROW, "project_id": 8}]), answer(404), answer(201, {"project_id": 9})
    )

    applied = await sink.execute(order("upsert_project", **PLAN), None)

    assert client.requests[-1][0] == "POST"
    assert applied.target_id == "9"


TYPED = ["eng-1-de", " eng-1-de", "eng-1-de\u00a0", "\u200beng-1-de\t\n"]


@pytest.mark.asyncio
@pytest.mark.fault("C18", place="connectors/vendors/float/sink.py")
@pytest.mark.parametrize("code", TYPED)
@pytest.mark.parametrize("is_listed", [True, False])
async def test_c18_a_code_typed_with_blanks_is_no_second_project(
    code: str, *, is_listed: bool
) -> None:
    """Whether or not the vendor's filter sees through the blanks: the table has linked it."""
    row = {**PLAN_ROW, "project_id": 8, "project_code": code, "name": "old"}
    sink, client = float_(answer(200, [row] * is_listed), answer(200, row), answer(200, row))
    applied = await sink.execute(order("upsert_project", **PLAN, seen_id="8"))
    assert [request[:2] for request in client.requests[1:]] == [
        ("GET", "/v3/projects/8"),
        ("PATCH", "/v3/projects/8"),
    ]
    assert applied.target_id == "8"


@pytest.mark.asyncio
@pytest.mark.fault("C18", place="connectors/vendors/float/sink.py")
@pytest.mark.parametrize("code", ["eng-2-de", "eng-1-de-old", None, ""])
async def test_c18_a_project_that_lost_its_code_is_left_alone(code: str | None) -> None:
    row = {**PLAN_ROW, "project_id": 8, "project_code": code}
    sink, client = float_(answer(200, []), answer(200, row), answer(201, {"project_id": 9}))
    applied = await sink.execute(order("upsert_project", **PLAN, seen_id="8"))
    assert client.requests[-1][0] == "POST"
    assert applied.target_id == "9"


@pytest.mark.asyncio
async def test_float_keeps_the_oldest_of_two_and_warns() -> None:
    rows = [{**PLAN_ROW, "project_id": 10}, {**PLAN_ROW, "project_id": 9}]
    sink, _ = float_(answer(200, rows), answer(200, rows[1]))

    found = await sink.look(order("upsert_project", **PLAN))

    assert found is not None
    assert found.target_id == "9"
    assert found.warning is not None
    assert found.warning.code == "DUPLICATE_PROJECT_CODE"


@pytest.mark.asyncio
@pytest.mark.fault("A1", place="connectors/vendors/float/sink.py")
@pytest.mark.parametrize(
    ("elder", "younger", "is_warned"),
    [(1, 1, True), (1, 0, False), (1, False, False), (0, 1, True), (0, 0, False), (1, None, True)],
)
async def test_a1_a_younger_float_project_that_was_archived_is_tidied_up(
    elder: object, younger: object, is_warned: bool
) -> None:
    """As the remedy says. The one that is kept up is the elder, archived or not."""
    rows = [
        {**PLAN_ROW, "project_id": 10, "active": younger},
        {**PLAN_ROW, "project_id": 9, "active": elder},
    ]
    sink, _ = float_(answer(200, rows), answer(200, rows[1]))

    found = await sink.look(order("upsert_project", **PLAN))

    assert found is not None
    assert (found.target_id, found.warning is not None) == ("9", is_warned)


@pytest.mark.asyncio
@pytest.mark.fault("A1", place="connectors/vendors/float/sink.py")
@pytest.mark.parametrize("count", [1, 2])
async def test_a1_two_float_projects_are_two_though_one_was_edited(count: int) -> None:
    rows = [{**PLAN_ROW, "project_id": number, "name": "by hand"} for number in range(9, 9 + count)]
    sink, _ = float_(answer(200, rows), answer(200, rows[0]))

    found = await sink.look(order("upsert_project", **PLAN))

    assert found is not None
    assert found.differs
    assert (found.warning is not None) is (count == 2)


@pytest.mark.asyncio
@pytest.mark.fault("A7", place="connectors/vendors/float/sink.py")
async def test_a7_a_name_that_gains_zeros_is_written() -> None:
    row = {**PLAN_ROW, "project_id": 8, "name": "7"}
    sink, client = float_(answer(200, [row]), answer(200, row), answer(200, row))

    await sink.execute(order("upsert_project", **{**PLAN, "name": "007"}))

    assert client.requests[-1][0] == "PATCH"


@pytest.mark.asyncio
async def test_float_reads_all_pages_and_distrusts_a_list_that_shifts() -> None:
    pages = [
        answer(200, [], X_Pagination_Page_Count="2", X_Pagination_Total_Count=total)
        for total in ("201", "200")
    ]
    sink, client = float_(*pages)

    with pytest.raises(TargetBusyError):
        await sink.execute(order("upsert_project", **PLAN))

    assert len(client.requests) == 2


def test_shipped_configurations_are_valid(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("not a key")
    environment = {
        "NETSUITE_URL": "https://1234567.suitetalk.api.netsuite.com",
        "NETSUITE_CLIENT_ID": "client",
        "NETSUITE_CERTIFICATE_ID": "certificate",
        "NETSUITE_PRIVATE_KEY_FILE": str(key),
        "FLOAT_URL": "https://api.float.com",
        "FLOAT_TOKEN": "secret-token",
    }
    erp = load_config(VENDORS / "netsuite" / "sink.json", NetSuiteSinkConfig, environment)
    planner = load_config(VENDORS / "float" / "sink.json", FloatSinkConfig, environment)

    assert "secret-token" not in repr(planner)
    with pytest.raises(ConfigError, match="private key"):
        erp.make_sink(lambda: None)


def test_all_problems_of_a_configuration_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sink.json"
    shipped = json.loads((VENDORS / "float" / "sink.json").read_text())
    path.write_text(json.dumps(shipped | {"max.in.flight": 0, "settle.ms": -1, "pace": 3}))

    with pytest.raises(ConfigError) as caught:
        load_config(path, FloatSinkConfig, {"FLOAT_URL": "https://api.float.com"})

    for name in ("max.in.flight", "settle.ms", "pace", "FLOAT_TOKEN"):
        assert name in str(caught.value)


@pytest.mark.asyncio
async def test_an_order_to_staff_a_project_says_what_staffing_needs() -> None:
    sink, client = float_(answer(200, []), answer(201, {"project_id": 8}))
    needed = {name: PLAN[name] for name in ("project_id", "name", "starts_on", "correlation_id")}
    applied = await sink.execute(order("upsert_project", **needed), None)
    assert (applied.target_id, client.requests[-1][0]) == ("8", "POST")
