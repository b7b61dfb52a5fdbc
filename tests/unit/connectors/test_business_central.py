"""Business Central's folder against the simulated ERP: what is written, shown back and refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.dispatch.commands import Command
from connectors.dispatch.numbered import hours_of, number_of
from connectors.dispatch.sink import Applied
from connectors.toolkit.faults import (
    Fault,
    Meaning,
    Reason,
    Shape,
    UnclearAnswerError,
    VendorRejectedError,
)
from connectors.vendors.business_central.auth import POLICY, read_faults
from connectors.vendors.business_central.sink import (
    BusinessCentralSinkConfig,
)
from sandbox.books.ledgers import SERIES_CLOSED
from schemas.errors import InvalidEntityError, TransientError
from tests.support.business_central import COMPANY, Twin, business_central
from tests.support.commands import project_content
from tests.support.sinks import make_command

CUSTOMER = "cus-abcdefghijklmnop"
PROJECT = "eng-abcdefghijkl-de"
BILL = "tb-abcdefghijklmnop"


@pytest_asyncio.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    async with business_central(tmp_path) as found:
        yield found


def order(kind: str, **content: Any) -> Command:
    return make_command(key=f"{kind}:x", kind=kind, payload=json.dumps(content))


def customer(**changes: Any) -> Command:
    content = {
        "customer_id": CUSTOMER, "correlation_id": "cor-1", "name": "Tern", "country_code": "DE",
        "currency": "EUR", "tax_number": "DE123456789",
    }  # fmt: skip
    return order("upsert_customer", **content | changes)


def project(**changes: Any) -> Command:
    content = project_content(PROJECT, "Tern rollout (DE)", customer_id=CUSTOMER)
    return order("upsert_project", **content | {"legal_entity_id": COMPANY} | changes)


def budget(**changes: Any) -> Command:
    content = {
        "project_id": PROJECT, "correlation_id": "cor-1", "budget_hours": "48.00",
        "budget_cost": "2880.00", "budget_revenue": "5760.00", "budget_currency": "EUR",
    }  # fmt: skip
    return order("update_project_budget", **content | changes)


def time_bill(**changes: Any) -> Command:
    content = {
        "time_bill_id": BILL, "project_id": PROJECT, "project_ref": "inhouse:project:7",
        "time_entry_id": "inhouse:time_entry:9", "work_on": "2026-03-02", "hours": "0.83",
        "seconds": 3000, "bill_rate": "180.2500", "currency": "USD", "correlation_id": "cor-1",
    }  # fmt: skip
    return order("upsert_time_bill", **content | changes)


async def carried_out(twin: Twin, *commands: Command) -> list[Applied]:
    sink = twin.sink()
    try:
        return [await sink.execute(command) for command in commands]
    finally:
        await sink.close()


async def seen(twin: Twin, command: Command) -> Applied | None:
    sink = twin.sink()
    try:
        return await sink.look(command)
    finally:
        await sink.close()


async def refused(twin: Twin, command: Command) -> VendorRejectedError:
    with pytest.raises(VendorRejectedError) as caught:
        await carried_out(twin, command)
    return caught.value


def of(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: record[name] for name in names}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "Tern & Söhne", "tax_number": None, "country_code": None, "currency": "USD"},
    ],
)
async def test_a_customer_is_shown_back_as_it_was_ordered(
    twin: Twin, changes: dict[str, Any]
) -> None:
    await carried_out(twin, customer(**changes))
    [row] = await twin.mapped("customer", "customer")
    wanted = customer(**changes).content()
    names = ("customer_id", "name", "country_code", "currency", "tax_number")
    assert of(row, *names) == of(wanted, *names)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"starts_on": None, "billing_type": None, "service_lines": None, "currency": "USD"},
        {"tax_code": "DE19", "contract_value": "0", "name": "Rollout 7"},
        {"contract_value": "0.000001", "customer_id": None},
    ],
)
async def test_a_project_is_shown_back_as_it_was_ordered(
    twin: Twin, changes: dict[str, Any]
) -> None:
    await carried_out(twin, customer(), project(**changes))
    [row] = await twin.mapped("project", "project")
    wanted = project(**changes).content()
    wanted["contract_value"] = Decimal(wanted["contract_value"])
    wanted["starts_on"] = wanted["starts_on"] and date.fromisoformat(wanted["starts_on"])
    names = (
        "project_id", "customer_id", "name", "legal_entity_id", "currency", "starts_on",
        "billing_type", "tax_code", "service_lines", "contract_value", "correlation_id",
    )  # fmt: skip
    assert of(row, *names) == of(wanted, *names)
    assert of(row, "engagement_id", "budget_hours", "budget_cost", "budget_currency") == {
        "engagement_id": "eng-abcdefghijkl", "budget_hours": None, "budget_cost": None,
        "budget_currency": None,
    }  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("hours", "cost", "currency"), [("48.00", "2880.00", "EUR"), ("0", "0", None)]
)
async def test_a_budget_of_nothing_is_another_than_none(
    twin: Twin, hours: str, cost: str, currency: str | None
) -> None:
    changes = {"budget_hours": hours, "budget_cost": cost, "budget_currency": currency}
    await carried_out(twin, customer(), project(), budget(**changes))
    [row] = await twin.mapped("project", "project")
    assert (row["budget_hours"], row["budget_cost"]) == (Decimal(hours), Decimal(cost))
    assert row["budget_currency"] == currency


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [3000, 1, 27000, -3599, 0])
async def test_time_to_bill_is_shown_back_to_the_second(twin: Twin, seconds: int) -> None:
    await carried_out(twin, customer(), project(), time_bill(seconds=seconds))
    [row] = await twin.mapped("time_bill", "time_bill")
    wanted = time_bill().content()
    names = ("time_bill_id", "project_id", "project_ref", "time_entry_id", "currency")
    assert of(row, *names) == of(wanted, *names)
    assert row["seconds"] == seconds
    assert row["bill_rate"] == Decimal("180.25")
    assert row["work_on"] == date(2026, 3, 2)
    [line] = await twin.rows("jobPlanningLines")
    assert of(line, "jobTaskNumber", "lineType", "type", "number") == {
        "jobTaskNumber": "TIME", "lineType": "Billable", "type": "Resource", "number": "TIME",
    }  # fmt: skip


@given(st.integers(-(10**9), 10**9))
def test_hours_at_five_digits_stand_for_their_seconds(seconds: int) -> None:
    assert round(hours_of(seconds, 5) * 3600) == seconds


@pytest.mark.asyncio
async def test_a_record_that_holds_the_content_is_not_written_again(twin: Twin) -> None:
    [first] = await carried_out(twin, customer())
    twin.asked.clear()
    [second] = await carried_out(twin, customer())
    assert first == second
    assert twin.asked == [("GET", "customers")]
    await carried_out(twin, customer(name="Tern Group"))
    assert [method for method, _ in twin.asked] == ["GET", "GET", "PATCH"]


@pytest.mark.asyncio
async def test_a_record_that_came_to_be_meanwhile_is_adopted(twin: Twin) -> None:
    await twin.add("customers", {"number": CUSTOMER.upper(), "displayName": "Made by hand"})
    hidden = [True]

    async def hide(request: web.Request) -> web.StreamResponse | None:
        if request.method == "GET" and hidden:
            hidden.clear()
            return web.json_response({"value": []})
        return None

    twin.spoil = hide
    [applied] = await carried_out(twin, customer())
    [row] = await twin.rows("customers")
    assert (applied.target_id, row["displayName"]) == (row["id"], "Tern")


@pytest.mark.asyncio
async def test_a_number_that_is_taken_by_what_is_not_shown_is_a_refusal(twin: Twin) -> None:
    await twin.add("customers", {"number": CUSTOMER.upper(), "displayName": "Hidden"})

    async def hide(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"value": []}) if request.method == "GET" else None

    twin.spoil = hide
    error = await refused(twin, customer())
    assert (error.vendor_code, error.reason) == (
        "Internal_EntityWithSameKeyExists", Reason.CONFLICT,
    )  # fmt: skip


@pytest.mark.asyncio
async def test_a_filter_that_is_ignored_is_no_match(twin: Twin) -> None:
    await carried_out(twin, customer(customer_id="cus-somebody-else"))

    async def all_rows(request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET":
            return None
        unfiltered = request.clone(rel_url=request.rel_url.with_query({}))
        return await twin.target.answer(unfiltered)

    twin.spoil = all_rows
    assert await seen(twin, customer()) is None
    await carried_out(twin, customer())
    assert len(await twin.rows("customers")) == 2


@pytest.mark.asyncio
async def test_a_record_without_its_etag_is_not_changed(twin: Twin) -> None:
    await carried_out(twin, customer())
    [row] = await twin.rows("customers")

    async def bare(request: web.Request) -> web.StreamResponse | None:
        shown = {"id": row["id"], "number": row["number"], "displayName": "Tern"}
        return web.json_response({"value": [shown]}) if request.method == "GET" else None

    twin.spoil = bare
    with pytest.raises(UnclearAnswerError, match=r"@odata\.etag"):
        await carried_out(twin, customer(name="Tern Group"))
    [row] = await twin.rows("customers")
    assert row["displayName"] == "Tern"


@pytest.mark.asyncio
async def test_a_project_in_two_companies_is_no_doubled_time(twin: Twin) -> None:
    other = await twin.found("GB", "GBP")
    await carried_out(twin, customer(), project(), project(legal_entity_id=other))
    assert len(await twin.rows("jobs")) == 2
    [applied] = await carried_out(twin, budget())
    assert applied.warning is None


@pytest.mark.asyncio
async def test_what_somebody_changes_meanwhile_is_not_overwritten(twin: Twin) -> None:
    await carried_out(twin, customer())

    async def edit(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH":
            [row] = await twin.rows("customers")
            await twin.change("customers", row["id"], {"displayName": "By hand"})
        return None

    twin.spoil = edit
    with pytest.raises(TransientError) as caught:
        await carried_out(twin, customer(name="Tern Group"))
    assert not caught.value.outcome_unknown
    [row] = await twin.rows("customers")
    assert row["displayName"] == "By hand"


@pytest.mark.asyncio
async def test_a_customer_is_in_each_company_and_time_in_that_of_its_project(twin: Twin) -> None:
    other = await twin.found("GB", "GBP")
    commands = customer(), project(legal_entity_id=other.upper()), time_bill(), budget()
    applied = await carried_out(twin, *commands)
    assert all(each.target_id for each in applied)
    assert {row["company"] for row in await twin.rows("customers")} == {COMPANY, other}
    for name in ("jobs", "jobPlanningLines"):
        assert [row["company"] for row in await twin.rows(name)] == [other]
    [job] = await twin.rows("jobs")
    assert job["psaHasBudget"] is True
    [row] = await twin.mapped("project", "project")
    assert row["legal_entity_id"] == other
    assert await seen(twin, customer()) == applied[0]
    for made in await twin.rows("customers"):
        if made["company"] == other:
            await twin.change("customers", made["id"], {"displayName": "By hand"})
    assert await seen(twin, customer()) == replace(applied[0], differs=True)
    gone = order("delete_time_bill", time_bill_id=BILL), order("delete_project", project_id=PROJECT)
    assert await carried_out(twin, *gone) == [Applied(is_gone=True)] * 2
    assert await twin.rows("jobs") == []


@pytest.mark.asyncio
async def test_a_company_that_is_not_named_is_not_written_to(twin: Twin) -> None:
    await carried_out(twin, customer())
    error = await refused(twin, project(legal_entity_id="00000000-0000-0000-0000-000000000009"))
    assert (error.field, error.reason) == ("legal_entity_id", Reason.SETTING)
    assert (await refused(twin, project(legal_entity_id=None))).reason is Reason.SETTING
    assert await twin.rows("jobs") == []


@pytest.mark.asyncio
async def test_what_belongs_to_a_project_that_is_nowhere_is_refused(twin: Twin) -> None:
    for command in (time_bill(), budget()):
        error = await refused(twin, command)
        assert (error.vendor_code, error.reason) == ("PROJECT_MISSING", Reason.REFERENCE)
        assert await seen(twin, command) is None
    for kind, name in (("delete_project", "project_id"), ("delete_time_bill", "time_bill_id")):
        gone = order(kind, **{name: PROJECT})
        assert await seen(twin, gone) == Applied(is_gone=True)
        assert await carried_out(twin, gone) == [Applied(is_gone=True)]


@pytest.mark.asyncio
async def test_doubled_time_is_told_and_the_first_kept_up(twin: Twin) -> None:
    await carried_out(twin, customer(), project(), time_bill())
    [first] = await twin.rows("jobPlanningLines")
    line = {"jobNumber": PROJECT.upper(), "documentNumber": BILL.upper(), "quantity": 1}
    double = await twin.add("jobPlanningLines", line)
    [applied] = await carried_out(twin, time_bill())
    assert applied.target_id == first["id"]
    assert applied.warning is not None
    assert (applied.warning.code, applied.warning.reason) == (
        "DUPLICATE_DOCUMENT_NUMBER", Reason.LEFTOVER,
    )  # fmt: skip
    assert double["id"] in applied.warning.detail
    assert await seen(twin, time_bill()) == applied
    other = await seen(twin, time_bill(seconds=60))
    assert other is not None and other.differs and other.warning == applied.warning
    gone = order("delete_time_bill", time_bill_id=BILL)
    assert await seen(twin, gone) == Applied(first["id"], differs=True)
    await carried_out(twin, gone)
    assert await twin.rows("jobPlanningLines") == []


@pytest.mark.asyncio
async def test_another_content_is_not_seen_as_carried_out(twin: Twin) -> None:
    assert await seen(twin, customer()) is None
    [applied] = await carried_out(twin, customer())
    assert await seen(twin, customer()) == applied
    other = await seen(twin, customer(name="Tern Group"))
    assert other == replace(applied, differs=True)


@pytest.mark.asyncio
async def test_a_customer_that_one_of_the_companies_lacks_is_seen_to_differ(twin: Twin) -> None:
    [applied] = await carried_out(twin, customer())
    await twin.found("GB", "GBP")
    assert await seen(twin, customer()) == replace(applied, differs=True)


@pytest.mark.asyncio
async def test_refusals_name_their_cure(twin: Twin) -> None:
    cases = [
        (customer(currency="XXX"), "Application_DialogException", Reason.SETTING),
        (customer(name="x" * 101), "Application_StringExceededLength", Reason.VALIDATION),
        (customer(name=None), "Application_DialogException", Reason.VALIDATION),
        (project(), "Internal_InvalidTableRelation", Reason.REFERENCE),
    ]
    for command, code, reason in cases:
        error = await refused(twin, command)
        assert (error.vendor_code, error.reason) == (code, reason)
    await twin.configure(denied_lists=["customers"])
    assert (await refused(twin, customer())).reason is Reason.PERMISSION
    assert await twin.rows("customers") == []


@pytest.mark.asyncio
async def test_a_series_that_takes_no_numbers_of_others_is_a_setting(twin: Twin) -> None:
    await carried_out(twin, customer())
    await twin.change("companies", COMPANY, {"_project_series_is_closed": True})
    with pytest.raises(VendorRejectedError) as caught:
        await carried_out(twin, project())
    assert caught.value.reason is Reason.SETTING
    [fault] = caught.value.faults
    assert (fault.detail, fault.field) == (SERIES_CLOSED, None)
    await twin.change("companies", COMPANY, {"_project_series_is_closed": False})
    [applied] = await carried_out(twin, project())
    assert [row["id"] for row in await twin.rows("jobs")] == [applied.target_id]


@pytest.mark.asyncio
async def test_a_kind_that_nobody_knows_is_refused(twin: Twin) -> None:
    with pytest.raises(InvalidEntityError, match="no command of kind upsert_invoice"):
        await carried_out(twin, order("upsert_invoice"))


@pytest.mark.parametrize("text", ["", "cus-" + "a" * 17, "cus'1", "CUS-1", "cus 1", "cus-ä"])
def test_an_id_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidEntityError):
        number_of(text, "Business Central")


def test_an_id_of_twenty_characters_is_a_number() -> None:
    assert number_of(CUSTOMER, "Business Central") == "CUS-ABCDEFGHIJKLMNOP"


def config(**keys: object) -> BusinessCentralSinkConfig:
    document: dict[str, object] = {
        "name": "x", "connector.class": "x", "target": "business_central",
        "url": "https://api.example", "auth.url": "https://id.example", "client.id": "c",
        "client.secret": "s", "companies": f"id eq {COMPANY}", "resource.number": "T",
        "job.task.number": "T", "pages": "a/b/v1.0", "max.in.flight": 1, "settle.ms": 0,
    }  # fmt: skip
    return BusinessCentralSinkConfig.model_validate(document | keys)


def test_companies_are_those_that_the_filter_names_once() -> None:
    other = "9E0F5C9C-44e3-ea11-bb43-000d3a2feca1"
    named = config(companies=f"id eq {COMPANY} or id eq {other} or id eq {COMPANY}")
    assert named.companies == (COMPANY, other.lower())


@pytest.mark.parametrize(
    "keys",
    [{"companies": "all"}, {"companies": 7}, {"pages": "psa/v1.0"}, {"auth.url": "id.example"}],
)
def test_a_connector_file_that_names_nothing_to_write_to_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**keys)


@pytest.mark.asyncio
async def test_all_companies_are_read_in_pages_and_changes_by_their_time(twin: Twin) -> None:
    other = await twin.found("GB", "GBP")
    unnamed = {"name": "XX", "country": "XX", "currencyCode": "EUR"}
    hidden = await twin.add("companies", unnamed)
    for company in (COMPANY, other, hidden["id"]):
        for number in range(3):
            await twin.add("customers", {"company": company, "displayName": f"c{number}"})
    read = await twin.captured("customer", **{"page.size": 2})
    rows = list({row["id"]: row for row in read}.values())  # what has pages is read twice
    assert [row["displayName"] for row in rows] == ["c0", "c1", "c2"] * 2
    assert [row["company_id"] for row in rows] == [COMPANY] * 3 + [other] * 3
    entities = await twin.mapped("company_information", "legal_entity")
    found = [of(each, "native_id", "country_code", "currency", "is_active") for each in entities]
    assert found == [
        {"native_id": COMPANY, "country_code": "DE", "currency": "EUR", "is_active": True},
        {"native_id": other, "country_code": "GB", "currency": "GBP", "is_active": True},
    ]


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (
            {"error": {"code": "A", "message": "No.  CorrelationId:  7."}},
            [Fault("A", "No.")],
        ),
        ({"error": {"code": "A"}}, [Fault("A", "")]),
        ({"error": {"code": 7, "message": ["x"]}}, [Fault("7", "")]),
        ({"error": "invalid_client"}, []),
        ([], []),
        (None, []),
    ],
)
def test_an_error_is_read_whatever_it_is(body: object, faults: list[Fault]) -> None:
    assert read_faults(body) == faults


ANSWERS: list[tuple[int, str | None, str, str, Meaning, Reason | None]] = [
    (201, None, "", "POST", Meaning.ACCEPTED, None),
    (200, None, "", "PATCH", Meaning.ACCEPTED, None),
    (200, None, "", "POST", Meaning.UNKNOWN, None),
    (204, None, "", "DELETE", Meaning.ACCEPTED, None),
    (204, None, "", "PATCH", Meaning.UNKNOWN, None),
    (409, "Request_EntityChanged", "", "PATCH", Meaning.RETRY, None),
    (400, "BadRequest_InvalidToken", "", "PATCH", Meaning.RETRY, None),
    (412, None, "", "PATCH", Meaning.RETRY, None),
    (404, "Internal_TenantUnavailable", "", "POST", Meaning.RETRY, None),
    (404, "Internal_CompanyNotFound", "", "POST", Meaning.REFUSED_ACCOUNT, None),
    (404, "BadRequest_ResourceNotFound", "", "POST", Meaning.REFUSED_RECORD, Reason.SETTING),
    (404, "Internal_RecordNotFound", "", "DELETE", Meaning.NOT_FOUND, Reason.REFERENCE),
    (400, "Internal_RecordNotFound", "", "POST", Meaning.REFUSED_RECORD, Reason.REFERENCE),
    (
        400, "Application_DialogException", "please activate Manual Nos. in No. Series", "POST",
        Meaning.REFUSED_RECORD, Reason.SETTING,
    ),
    (
        400, "Application_DialogException", "an earlier posting date", "POST",
        Meaning.REFUSED_RECORD, Reason.CLOSED,
    ),
    (
        400, "Internal_InvalidTableRelation", "in the related table (Vendor)", "POST",
        Meaning.REFUSED_RECORD, Reason.REFERENCE,
    ),
    (
        400, "Internal_InvalidTableRelation", "in the related table (Currency)", "POST",
        Meaning.REFUSED_RECORD, Reason.SETTING,
    ),
    (400, "Unknown", "'x' is not an option", "PATCH", Meaning.REFUSED_RECORD,
     Reason.VALIDATION),
    (400, "Newer_Code", "", "POST", Meaning.UNKNOWN, Reason.UNCLEAR),
    (429, None, "", "POST", Meaning.RATE_LIMITED, None),
    (408, None, "", "POST", Meaning.UNKNOWN, None),
    (500, "Unknown", "", "POST", Meaning.UNKNOWN, None),
    (504, None, "", "POST", Meaning.UNKNOWN, None),
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_to_a_write_has_its_meaning(
    answer: tuple[int, str | None, str, str, Meaning, Reason | None],
) -> None:
    status, code, words, method, meaning, reason = answer
    faults = [Fault(code, words)] if code else []
    assert POLICY.classify(status, faults, method=method) is meaning
    if reason is not None:
        assert POLICY.reason(status, faults, method=method) is reason


def test_a_page_of_a_proxy_is_no_refusal_of_a_right() -> None:
    assert POLICY.classify(403, shape=Shape.OTHER) is Meaning.UNKNOWN
    assert POLICY.reason(403, shape=Shape.JSON) is Reason.PERMISSION
