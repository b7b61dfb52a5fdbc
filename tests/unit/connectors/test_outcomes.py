"""What the vendors' answers mean, and what the client makes of each: the outcome tables."""

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from connectors.debezium.client import POLICY as CONNECT
from connectors.dispatch.executor import TargetExecutor
from connectors.dispatch.ledger import Ledger
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.retry import RetryPolicy
from connectors.toolkit.faults import (
    COMMON_RULES,
    DeleteLogIncompleteError,
    ErrorPolicy,
    Fault,
    Meaning,
    Reason,
    RecordNotFoundError,
    Rule,
    Shape,
    UnclearAnswerError,
    VendorRejectedError,
    VendorUnavailableError,
)
from connectors.toolkit.http import Limiter, RetrySettings, VendorClient
from connectors.vendors.float.auth import POLICY as FLOAT
from connectors.vendors.netsuite.auth import POLICY as NETSUITE
from connectors.vendors.netsuite.sink import NetSuiteSink
from connectors.vendors.salesforce.auth import POLICY as SALESFORCE
from schemas.errors import AuthenticationError, PsaStreamError
from tests.support.sinks import MemoryJournal, make_command
from tests.support.vendor_server import NoCredentials, serving, vendor_at

VENDORS = (SALESFORCE, NETSUITE, FLOAT)
POLICIES = (*VENDORS, CONNECT)
PLACE = "connectors/toolkit/faults.py"
REFUSALS = {Meaning.REFUSED_RECORD, Meaning.REFUSED_ACCOUNT, Meaning.NOT_FOUND}


def netsuite_body(code: str, detail: str = "no") -> object:
    return {"o:errorDetails": [{"o:errorCode": code, "detail": detail}]}


def salesforce_body(code: str, message: str = "no") -> object:
    return [{"errorCode": code, "message": message}]


def write_to(policy: ErrorPolicy, *answers: web.Response) -> Exception | int:
    """Send one write to a server that gives these answers; return the error or the last status."""

    async def call() -> Exception | int:
        async with vendor_at(*answers) as url:
            client = VendorClient(
                url, NoCredentials(), policy, user_agent="t", timeout_s=5, limiter=Limiter(1)
            )
            async with client:
                try:
                    return (await client.request("PUT", "/x", json={}, retry=False)).status
                except PsaStreamError as error:
                    return error

    return asyncio.run(call())


def read_from(policy: ErrorPolicy, answer: web.Response) -> Exception | int:
    once = RetrySettings(attempts=1)

    async def call() -> Exception | int:
        async with vendor_at(answer) as url:
            client = VendorClient(
                url, NoCredentials(), policy,
                user_agent="t", timeout_s=5, limiter=Limiter(1), retry=once,
            )  # fmt: skip
            async with client:
                try:
                    return (await client.request("GET", "/x")).status
                except PsaStreamError as error:
                    return error

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("policy", "status", "code", "meaning"),
    [
        (SALESFORCE, 401, "INVALID_SESSION_ID", Meaning.REAUTHENTICATE),
        (SALESFORCE, 403, "REQUEST_LIMIT_EXCEEDED", Meaning.QUOTA),
        (SALESFORCE, 403, "INSUFFICIENT_ACCESS", Meaning.REFUSED_RECORD),
        (SALESFORCE, 403, "API_DISABLED_FOR_ORG", Meaning.REFUSED_ACCOUNT),
        (SALESFORCE, 400, "UNABLE_TO_LOCK_ROW", Meaning.RETRY),
        (SALESFORCE, 400, "INVALID_FIELD", Meaning.REFUSED_RECORD),
        (SALESFORCE, 400, "INVALID_REPLICATION_DATE", Meaning.LOG_INCOMPLETE),
        (SALESFORCE, 503, None, Meaning.UNKNOWN),
        (NETSUITE, 401, "INVALID_LOGIN", Meaning.REAUTHENTICATE),
        (NETSUITE, 400, "SSS_REQUEST_LIMIT_EXCEEDED", Meaning.RATE_LIMITED),
        (NETSUITE, 400, "USER_ERROR", Meaning.REFUSED_RECORD),
        (NETSUITE, 400, "RCRD_HAS_BEEN_CHANGED", Meaning.RETRY),
        (NETSUITE, 400, "RCRD_LOCKED_BY_WF", Meaning.REFUSED_RECORD),
        (NETSUITE, 403, "USER_DISABLED", Meaning.REFUSED_ACCOUNT),
        (NETSUITE, 404, "NONEXISTENT_ID", Meaning.NOT_FOUND),
        (NETSUITE, 404, "NOT_FOUND", Meaning.REFUSED_RECORD),
        (NETSUITE, 429, None, Meaning.RATE_LIMITED),
        (FLOAT, 422, None, Meaning.REFUSED_RECORD),
        (FLOAT, 404, None, Meaning.NOT_FOUND),
        (FLOAT, 429, None, Meaning.RATE_LIMITED),
        (CONNECT, 409, "409", Meaning.RETRY),
    ],
)
def test_answers_are_classified_by_status_and_code(
    policy: ErrorPolicy, status: int, code: str | None, meaning: Meaning
) -> None:
    assert policy.classify(status, [Fault(code)]) is meaning


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("TotalRequests Limit exceeded.", Meaning.QUOTA),
        ("ConcurrentRequests (Concurrent API Requests) Limit exceeded.", Meaning.RATE_LIMITED),
        ("ConcurrentPerOrgLongTxn Limit exceeded.", Meaning.RATE_LIMITED),
    ],
)
def test_a_limit_of_calls_at_once_is_not_the_allowance_of_a_day(
    message: str, meaning: Meaning
) -> None:
    assert SALESFORCE.classify(403, [Fault("REQUEST_LIMIT_EXCEEDED", message)]) is meaning


@pytest.mark.fault("A1", place="connectors/vendors/netsuite/auth.py")
@pytest.mark.parametrize("code", ["USER_ERROR", "RCRD_LOCKED_BY_WF"])
def test_a1_a_lock_of_a_workflow_lasts_whatever_code_it_comes_with(code: str) -> None:
    fault = Fault(
        code,
        "Error while accessing a resource. This record has been locked by a user defined workflow.",
    )
    assert NETSUITE.classify(400, [fault], method="PUT") is Meaning.REFUSED_RECORD
    assert NETSUITE.reason(400, [fault], method="PUT") is Reason.CLOSED


@pytest.mark.fault("A2", place=PLACE)
def test_a2_a_passing_conflict_is_repeated_and_succeeds() -> None:
    answer = web.json_response(netsuite_body("RCRD_HAS_BEEN_CHANGED"), status=400)
    error = write_to(NETSUITE, answer)
    assert isinstance(error, VendorUnavailableError)
    assert not error.outcome_unknown, "nothing was done: it may be sent again without a look"


@pytest.mark.fault("A2", place=PLACE)
@pytest.mark.parametrize("policy", VENDORS, ids=lambda policy: policy.system)
@pytest.mark.parametrize("status", [202, 206, 301, 302, 307, 400, 402, 405, 409, 418, 423, 451])
def test_a2_an_answer_no_row_knows_leaves_a_write_unknown(policy: ErrorPolicy, status: int) -> None:
    page = web.Response(status=status, text="<html>maintenance</html>", content_type="text/html")
    error = write_to(policy, page)
    assert isinstance(error, VendorUnavailableError)
    assert error.outcome_unknown


@pytest.mark.fault("A2", place="connectors/toolkit/http.py")
@pytest.mark.parametrize(
    ("policy", "body", "is_in_words"),
    [
        (FLOAT, '{"name": "Conflict", "message": "cannot do that now", "code": 0}', True),
        (FLOAT, '{"maintenance": true}', False),
        (FLOAT, "<html>maintenance</html>", False),
        (FLOAT, "", False),
        (NETSUITE, json.dumps(netsuite_body("NOBODY_KNOWS")), True),
        (NETSUITE, '{"maintenance": true}', False),
    ],
)
def test_a2_what_a_vendor_says_in_its_own_words_is_no_page_before_it(
    policy: ErrorPolicy, body: str, is_in_words: bool
) -> None:
    """Whether it has codes or not."""
    error = write_to(policy, web.Response(status=409, text=body, content_type="application/json"))
    assert isinstance(error, UnclearAnswerError)
    assert error.is_in_words is is_in_words


@pytest.mark.fault("A2", place=PLACE)
@pytest.mark.parametrize("policy", VENDORS, ids=lambda policy: policy.system)
@pytest.mark.parametrize("status", [202, 302, 400, 409])
def test_a2_an_answer_no_row_knows_makes_a_read_transient(policy: ErrorPolicy, status: int) -> None:
    error = read_from(policy, web.Response(status=status, text="<html>", content_type="text/html"))
    assert isinstance(error, VendorUnavailableError)
    assert not error.outcome_unknown


CODES = st.one_of(st.none(), st.text(max_size=20))


@pytest.mark.fault("A2", place=PLACE)
@given(
    policy=st.sampled_from(POLICIES),
    status=st.integers(100, 599),
    code=CODES,
    method=st.sampled_from(["GET", "PUT", "PATCH", "POST", "DELETE"]),
    shape=st.sampled_from(Shape),
)
def test_a2_only_rows_with_evidence_refuse(
    policy: ErrorPolicy, status: int, code: str | None, method: str, shape: Shape
) -> None:
    fault = Fault(code)
    meaning = policy.classify(status, [fault], method=method, shape=shape)
    speaking = [
        row for row in (*policy.rules, *COMMON_RULES) if row.matches(method, status, fault, shape)
    ]
    assert (meaning in REFUSALS) == bool(speaking and speaking[0].meaning in REFUSALS)
    assert speaking or meaning is Meaning.UNKNOWN
    assert shape is Shape.JSON or meaning is not Meaning.NOT_FOUND or code is not None


@pytest.mark.fault("A8", place=PLACE)
@pytest.mark.parametrize(
    ("policy", "body"),
    [
        (NETSUITE, netsuite_body("INSUFFICIENT_PERMISSION")),
        (NETSUITE, {"o:errorDetails": [{"detail": "Forbidden"}]}),
        (SALESFORCE, salesforce_body("INSUFFICIENT_ACCESS_OR_READONLY")),
        (FLOAT, {"name": "Forbidden", "message": "not enabled", "code": 0, "status": 403}),
    ],
)
def test_a8_a_403_for_one_records_right_refuses_that_record_only(
    policy: ErrorPolicy, body: object
) -> None:
    error = write_to(policy, web.json_response(body, status=403))
    assert isinstance(error, VendorRejectedError)


@pytest.mark.fault("A8", place=PLACE)
@pytest.mark.parametrize(
    ("policy", "body"),
    [
        (NETSUITE, netsuite_body("USER_DISABLED")),
        (NETSUITE, netsuite_body("PSWD_EXPIRED")),
        (SALESFORCE, salesforce_body("API_DISABLED_FOR_ORG")),
        (SALESFORCE, salesforce_body("INVALID_OPERATION_WITH_EXPIRED_PASSWORD")),
    ],
)
def test_a8_only_a_code_of_the_account_shuts_it(policy: ErrorPolicy, body: object) -> None:
    error = write_to(policy, web.json_response(body, status=403))
    assert isinstance(error, AuthenticationError)


async def reached(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the executor knows no event for it
            await asyncio.sleep(0.001)


class Shop:
    """A NetSuite that refuses the first write of some paths, each with its own answer."""

    def __init__(self, refusals: dict[str, web.Response]) -> None:
        self._refusals = refusals
        self.writes: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/token"):
            return web.json_response({"access_token": "t", "expires_in": 3600})
        if request.path.endswith("/suiteql"):  # its newest records: none
            return web.json_response({"items": [], "hasMore": False})
        key = request.path.rpartition("eid:")[2]
        self.writes.append(key)
        return self._refusals.pop(key, None) or web.Response(status=204)


async def carried_out(shop: Shop, *keys: str) -> dict[str, str]:
    """Execute one upsert a key at the shop; return the statuses of the commands by key."""
    journal = MemoryJournal()
    commands = {
        key: make_command(key, kind="delete_time_bill", payload=json.dumps({"time_bill_id": key}))
        for key in keys
    }
    async with serving(shop.answer) as url, asyncio.TaskGroup() as group:
        client = VendorClient(
            url, NoCredentials(), NETSUITE, user_agent="t", timeout_s=5, limiter=Limiter(4)
        )
        executor = TargetExecutor(
            "netsuite", NetSuiteSink(client, project_expense_type="1"), journal, Ledger({}, {}),
            policy=RetryPolicy(settle_s=0.0, backoff_s=0.001, backoff_max_s=0.01, auth_retry_s=60),
            max_in_flight=1, metrics=DispatchMetrics(CollectorRegistry()), spawn=group.create_task,
        )  # fmt: skip
        for command in commands.values():
            executor.submit(command, lambda: None)
        await reached(lambda: executor.waiting == 0)
        await executor.drain(1)
        await client.close()
    statuses = journal.statuses()
    return {key: statuses[command.command_id] for key, command in commands.items()}


@pytest.mark.fault("A2", place=PLACE)
def test_a2_the_dispatcher_sends_a_write_that_met_a_conflict_again() -> None:
    conflict = web.json_response(netsuite_body("RCRD_HAS_BEEN_CHANGED"), status=400)
    shop = Shop({"a": conflict})
    assert asyncio.run(carried_out(shop, "a")) == {"a": "succeeded"}
    assert shop.writes == ["a", "a"]


@pytest.mark.fault("A8", place=PLACE)
def test_a8_the_other_commands_flow_past_a_record_without_a_right() -> None:
    refusal = web.json_response(netsuite_body("INSUFFICIENT_PERMISSION"), status=403)
    shop = Shop({"a": refusal})
    statuses = asyncio.run(carried_out(shop, "a", "b", "c", "d", "e"))
    assert statuses == {"a": "rejected", **dict.fromkeys("bcde", "succeeded")}


def test_a_purged_delete_log_has_its_own_error() -> None:
    body = salesforce_body("INVALID_REPLICATION_DATE")
    assert isinstance(
        read_from(SALESFORCE, web.json_response(body, status=400)), DeleteLogIncompleteError
    )


def test_a_missing_record_has_its_own_error_and_a_page_of_a_proxy_is_none() -> None:
    body = netsuite_body("NONEXISTENT_ID")
    assert isinstance(read_from(NETSUITE, web.json_response(body, status=404)), RecordNotFoundError)
    page = web.Response(status=404, text="<html>no such page</html>")
    assert isinstance(read_from(NETSUITE, page), VendorUnavailableError)


def test_of_several_faults_the_first_row_of_the_table_decides() -> None:
    faults = [Fault("USER_ERROR"), Fault("RCRD_HAS_BEEN_CHANGED")]
    assert NETSUITE.classify(400, faults) is Meaning.RETRY


ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["o:errorDetails", "o:errorCode", "o:errorPath", "detail", "errorCode", "message",
                 "fields", "field", "name", "code", "error_code"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.fault("B2", place=PLACE)
@given(policy=st.sampled_from(POLICIES), body=ANY_JSON, status=st.sampled_from(list(HTTPStatus)))
def test_b2_faults_of_any_body_are_texts_and_can_be_classified(
    policy: ErrorPolicy, body: object, status: HTTPStatus
) -> None:
    faults = policy.read_faults(body)
    for fault in faults:
        assert isinstance(fault.code, str | None)
        assert isinstance(fault.detail, str)
        assert isinstance(fault.field, str | None)
    assert isinstance(policy.classify(status, faults), Meaning)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.system)
def test_every_row_names_its_evidence(policy: ErrorPolicy) -> None:
    rows: tuple[Rule, ...] = (*policy.rules, *COMMON_RULES)
    assert all(len(row.evidence) > 10 for row in rows)
    assert all(row.first <= row.last for row in rows)
