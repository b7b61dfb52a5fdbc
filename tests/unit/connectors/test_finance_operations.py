"""Finance & Operations' folder against the simulated ERP: what is written, shown and refused."""

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
from typer.testing import CliRunner

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
from connectors.vendors.finance_operations.auth import POLICY, WRITE, read_faults
from connectors.vendors.finance_operations.sink import (
    FinanceOperationsSinkConfig,
    line_number_of,
)
from psastream.cli import app
from sandbox.books.ledgers import NO_GROUPS
from schemas.errors import InvalidEntityError, RateLimitedError, TransientError
from tests.support.commands import project_content
from tests.support.finance_operations import COMPANY, Twin, finance_operations
from tests.support.sinks import make_command

CUSTOMER = "cus-abcdefghijklmnop"
PROJECT = "eng-abcdefghijkl-de"
BILL = "tb-abcdefghijklmnop"
GROUPS = {"TimeMaterial": "TM", "FixedPrice": "FP", "Internal": "INT"}


@pytest_asyncio.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    async with finance_operations(tmp_path) as found:
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
        {"contract_value": "0.000001", "customer_id": None, "billing_type": "capped"},
        {"billing_type": "retainer"},
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
    assert of(row, "engagement_id", "status", "budget_hours", "budget_cost") == {
        "engagement_id": "eng-abcdefghijkl", "status": "active", "budget_hours": None,
        "budget_cost": None,
    }  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("billing_type", "type_", "group"),
    [
        ("time_and_materials", "TimeMaterial", "TM"),
        ("milestone", "FixedPrice", "FP"),
        ("non_billable", "Internal", "INT"),
    ],
)
async def test_a_project_is_made_in_the_group_of_its_type(
    twin: Twin, billing_type: str, type_: str, group: str
) -> None:
    await carried_out(twin, customer(), project(billing_type=billing_type))
    await carried_out(twin, project(billing_type="capped"))
    [row] = await twin.rows("Projects")
    assert of(row, "ProjectType", "ProjectGroup", "PsaStreamBillingType") == {
        "ProjectType": type_, "ProjectGroup": group, "PsaStreamBillingType": "capped",
    }  # fmt: skip


@pytest.mark.asyncio
async def test_what_finance_keeps_of_a_project_of_ours_is_not_shown_as_ordered(twin: Twin) -> None:
    await carried_out(twin, customer(), project())
    [row] = await twin.rows("Projects")
    changes = {"SalesTaxGroup": "AR-EU", "ActualStartDate": "2026-03-09T12:00:00Z"}
    await twin.change("Projects", row["id"], changes)
    [shown] = await twin.mapped("project", "project")
    assert (shown["tax_code"], shown["starts_on"]) == (None, date(2026, 3, 2))


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
    await carried_out(twin, budget(budget_hours=None, budget_cost=None))
    [row] = await twin.mapped("project", "project")
    assert (row["budget_hours"], row["budget_cost"]) == (None, None)


async def shown_hours(twin: Twin) -> list[dict[str, Any]]:
    """The time bills that lines make, as the mapping has them with their journals."""
    journals = {
        row["JournalBatchNumber"]: row["Posted"] for row in await twin.rows("JournalTables")
    }
    return await twin.mapped(
        "hour_line", "time_bill", lambda row: {"journal": {"Posted": journals[row["JournalId"]]}}
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [3000, 1, 27000, -3599, 0])
async def test_time_to_bill_is_shown_back_to_the_second(twin: Twin, seconds: int) -> None:
    await carried_out(twin, customer(), project(), time_bill(seconds=seconds))
    [row] = await shown_hours(twin)
    wanted = time_bill().content()
    names = ("time_bill_id", "project_id", "project_ref", "time_entry_id", "currency")
    assert of(row, *names) == of(wanted, *names)
    assert (row["seconds"], row["work_on"]) == (seconds, date(2026, 3, 2))
    assert row["bill_rate"] == Decimal("180.25")
    [line] = await twin.rows("JournalTrans")
    assert of(line, "ResourceId", "Category") == {"ResourceId": "PSASTREAM", "Category": "Hours"}


@given(st.integers(-(10**9), 10**9))
def test_hours_at_six_digits_stand_for_their_seconds(seconds: int) -> None:
    assert round(hours_of(seconds, 6) * 3600) == seconds


@given(st.from_regex("TB-[A-Z0-9]{16}", fullmatch=True))
def test_a_line_number_is_whole_where_it_is_kept_as_a_double(number: str) -> None:
    found = line_number_of(number)
    assert 0 < found < 2**53
    assert int(float(found)) == found


@pytest.mark.asyncio
async def test_hours_that_are_kept_at_two_digits_are_sent_so(twin: Twin) -> None:
    await twin.configure(hours_digits=2)
    await carried_out(twin, customer(), project())
    sink = twin.sink(**{"hours.digits": 2})
    try:
        await sink.execute(time_bill())
        [line] = await twin.rows("JournalTrans")
        assert line["Hours"] == Decimal("0.83")
        twin.asked.clear()
        await sink.execute(time_bill())
    finally:
        await sink.close()
    assert {method for method, _ in twin.asked} == {"GET"}


@pytest.mark.asyncio
async def test_a_record_that_holds_the_content_is_not_written_again(twin: Twin) -> None:
    [first] = await carried_out(twin, customer())
    twin.asked.clear()
    [second] = await carried_out(twin, customer())
    assert first == second
    assert twin.asked == [("GET", "CustomersV3")]
    await carried_out(twin, customer(name="Tern Group"))
    assert [method for method, _ in twin.asked] == ["GET", "GET", "PATCH"]


@pytest.mark.asyncio
async def test_a_record_that_came_to_be_meanwhile_is_adopted(twin: Twin) -> None:
    row = {"dataAreaId": COMPANY, "CustomerAccount": CUSTOMER, "OrganizationName": "By hand"}
    await twin.add("CustomersV3", row)
    hidden = [True]

    async def hide(request: web.Request) -> web.StreamResponse | None:
        if request.method == "GET" and hidden:
            hidden.clear()
            return web.json_response({"value": []})
        return None

    twin.spoil = hide
    [applied] = await carried_out(twin, customer())
    [made] = await twin.rows("CustomersV3")
    assert (applied.target_id, made["OrganizationName"]) == (f"demf,{CUSTOMER}", "Tern")


@pytest.mark.asyncio
async def test_a_number_that_is_taken_by_what_is_not_shown_is_a_refusal(twin: Twin) -> None:
    row = {"dataAreaId": COMPANY, "CustomerAccount": CUSTOMER, "OrganizationName": "Hidden"}
    await twin.add("CustomersV3", row)

    async def hide(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"value": []}) if request.method == "GET" else None

    twin.spoil = hide
    error = await refused(twin, customer())
    assert (error.vendor_code, error.reason) == (WRITE, Reason.CONFLICT)


@pytest.mark.asyncio
async def test_a_filter_that_is_ignored_is_no_match(twin: Twin) -> None:
    await carried_out(twin, customer(customer_id="cus-somebody-else"))

    async def all_rows(request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET":
            return None
        asked = {"cross-company": "true"}
        return await twin.target.answer(request.clone(rel_url=request.rel_url.with_query(asked)))

    twin.spoil = all_rows
    assert await seen(twin, customer()) is None
    await carried_out(twin, customer())
    assert len(await twin.rows("CustomersV3")) == 2


@pytest.mark.asyncio
async def test_a_record_without_its_etag_is_not_changed(twin: Twin) -> None:
    await carried_out(twin, customer())

    async def bare(request: web.Request) -> web.StreamResponse | None:
        shown = {"dataAreaId": "demf", "CustomerAccount": CUSTOMER.upper()}
        return web.json_response({"value": [shown]}) if request.method == "GET" else None

    twin.spoil = bare
    with pytest.raises(UnclearAnswerError, match=r"@odata\.etag"):
        await carried_out(twin, customer(name="Tern Group"))
    [row] = await twin.rows("CustomersV3")
    assert row["OrganizationName"] == "Tern"


@pytest.mark.asyncio
async def test_what_somebody_changes_meanwhile_is_not_overwritten(twin: Twin) -> None:
    await carried_out(twin, customer())

    async def edit(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH":
            [row] = await twin.rows("CustomersV3")
            await twin.change("CustomersV3", row["id"], {"OrganizationName": "By hand"})
        return None

    twin.spoil = edit
    with pytest.raises(TransientError) as caught:
        await carried_out(twin, customer(name="Tern Group"))
    assert not caught.value.outcome_unknown
    [row] = await twin.rows("CustomersV3")
    assert row["OrganizationName"] == "By hand"


@pytest.mark.asyncio
async def test_a_change_that_is_answered_with_the_record_is_done_and_with_nothing_unclear(
    twin: Twin,
) -> None:
    await carried_out(twin, customer())
    body: list[dict[str, Any]] = [{"dataAreaId": "demf", "@odata.etag": "W/x"}]

    async def answer(request: web.Request) -> web.StreamResponse | None:
        return web.json_response(body[0]) if request.method == "PATCH" else None

    twin.spoil = answer
    [applied] = await carried_out(twin, customer(name="Tern Group"))
    assert applied.target_id == f"demf,{CUSTOMER}"
    body[0] = {}
    with pytest.raises(UnclearAnswerError) as caught:
        await carried_out(twin, customer(name="Tern Group"))
    assert caught.value.outcome_unknown


@pytest.mark.asyncio
async def test_a_customer_is_in_each_company_and_time_in_that_of_its_project(twin: Twin) -> None:
    twin.companies = "DEMF, usmf,DEMF"
    commands = customer(), project(legal_entity_id="USMF"), time_bill(), budget()
    applied = await carried_out(twin, *commands)
    assert {row["dataAreaId"] for row in await twin.rows("CustomersV3")} == {"demf", "usmf"}
    for name in ("Projects", "JournalTrans"):
        assert [row["dataAreaId"] for row in await twin.rows(name)] == ["usmf"]
    [row] = await twin.mapped("project", "project")
    assert row["legal_entity_id"] == "USMF"
    assert await seen(twin, customer()) == applied[0]
    for made in await twin.rows("CustomersV3"):
        if made["dataAreaId"] == "usmf":
            await twin.change("CustomersV3", made["id"], {"OrganizationName": "By hand"})
    assert await seen(twin, customer()) == replace(applied[0], differs=True)
    gone = order("delete_time_bill", time_bill_id=BILL), order("delete_project", project_id=PROJECT)
    assert await carried_out(twin, *gone) == [Applied(is_gone=True)] * 2
    assert await twin.rows("Projects") == []


@pytest.mark.asyncio
async def test_a_customer_that_one_of_the_companies_lacks_is_seen_as_different(twin: Twin) -> None:
    [applied] = await carried_out(twin, customer())
    twin.companies = "DEMF,USMF"
    assert await seen(twin, customer()) == replace(applied, differs=True)
    twin.companies = "USMF"
    assert await seen(twin, customer()) is None


@pytest.mark.asyncio
async def test_a_company_that_is_not_named_is_not_written_to(twin: Twin) -> None:
    await carried_out(twin, customer())
    error = await refused(twin, project(legal_entity_id="USMF"))
    assert (error.field, error.reason) == ("legal_entity_id", Reason.SETTING)
    assert (await refused(twin, project(legal_entity_id=None))).reason is Reason.SETTING
    assert await twin.rows("Projects") == []


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


async def post(twin: Twin) -> None:
    """Finance posts every journal, and opens the next ones."""
    for journal in await twin.rows("JournalTables"):
        path = f"/finance_operations/journals/{journal['id']}/post"
        await twin.target.admin("POST", path)


@pytest.mark.asyncio
async def test_hours_that_are_posted_are_not_changed_any_more(twin: Twin) -> None:
    [*_, applied] = await carried_out(twin, customer(), project(), time_bill())
    await post(twin)
    assert await carried_out(twin, time_bill()) == [applied]
    for command in (time_bill(seconds=60), order("delete_time_bill", time_bill_id=BILL)):
        error = await refused(twin, command)
        assert (error.vendor_code, error.reason) == ("JOURNAL_POSTED", Reason.CLOSED)
    [line] = await twin.rows("JournalTrans")
    assert line["Hours"] == Decimal("0.833333")
    [row] = await shown_hours(twin)
    assert row["time_bill_id"] == BILL


@pytest.mark.asyncio
async def test_a_journal_that_is_posted_meanwhile_refuses_by_itself(twin: Twin) -> None:
    await carried_out(twin, customer(), project(), time_bill())

    async def post_first(request: web.Request) -> web.StreamResponse | None:
        if request.method in ("PATCH", "POST") and "JournalTrans" in request.path:
            await post(twin)
        return None

    twin.spoil = post_first
    for command in (time_bill(seconds=60), time_bill(time_bill_id="tb-another")):
        error = await refused(twin, command)
        assert (error.vendor_code, error.reason) == (WRITE, Reason.CLOSED)


@pytest.mark.asyncio
async def test_time_waits_for_a_journal_of_the_name_that_is_open(twin: Twin) -> None:
    await carried_out(twin, customer(), project())
    for journal in await twin.rows("JournalTables"):
        changes = {"Posted": "Yes"} if journal["dataAreaId"] == "demf" else {"JournalName": "X"}
        await twin.change("JournalTables", journal["id"], changes)
    error = await refused(twin, time_bill())
    assert (error.vendor_code, error.reason) == ("NO_OPEN_JOURNAL", Reason.CLOSED)
    await twin.add("JournalTables", {"dataAreaId": "demf", "JournalName": "OTHER"})
    assert (await refused(twin, time_bill())).vendor_code == "NO_OPEN_JOURNAL"
    opened = await twin.add("JournalTables", {"dataAreaId": "demf", "JournalName": "PSASTREAM"})
    await carried_out(twin, time_bill())
    [line] = await twin.rows("JournalTrans")
    assert line["JournalId"] == opened["JournalBatchNumber"]


@pytest.mark.asyncio
async def test_a_journal_holds_the_line_of_a_time_bill_once(twin: Twin) -> None:
    await carried_out(twin, customer(), project(), time_bill())

    async def hide(request: web.Request) -> web.StreamResponse | None:
        is_search = request.method == "GET" and "JournalTrans" in request.path
        return web.json_response({"value": []}) if is_search else None

    twin.spoil = hide
    assert (await refused(twin, time_bill())).reason is Reason.CONFLICT
    assert len(await twin.rows("JournalTrans")) == 1


@pytest.mark.asyncio
async def test_doubled_time_is_told_and_the_first_kept_up(twin: Twin) -> None:
    await carried_out(twin, customer(), project(), time_bill())
    [first] = await twin.rows("JournalTrans")
    other = await twin.add("JournalTables", {"dataAreaId": "demf", "JournalName": "PSASTREAM"})
    await twin.add(
        "JournalTrans",
        {"dataAreaId": "demf", "JournalId": other["JournalBatchNumber"], "ProjectID": PROJECT,
         "PsaStreamTimeBillId": BILL.upper()},
    )  # fmt: skip
    [applied] = await carried_out(twin, time_bill())
    number = first["JournalId"].lower()
    assert applied.target_id == f"demf,{number},{first['LineNumber']}"
    assert applied.warning is not None
    assert (applied.warning.code, applied.warning.reason) == (
        "DUPLICATE_TIME_BILL", Reason.LEFTOVER,
    )  # fmt: skip
    assert other["JournalBatchNumber"].lower() in applied.warning.detail
    assert await seen(twin, time_bill()) == applied
    gone = order("delete_time_bill", time_bill_id=BILL)
    assert await seen(twin, gone) == Applied(applied.target_id, differs=True)
    await carried_out(twin, gone)
    assert await twin.rows("JournalTrans") == []


@pytest.mark.asyncio
async def test_a_line_is_named_by_its_number_however_it_is_written(twin: Twin) -> None:
    [*_, applied] = await carried_out(twin, customer(), project(), time_bill())
    [line] = await twin.rows("JournalTrans")
    number = line_number_of(BILL.upper())
    assert applied.target_id == f"demf,{line['JournalId'].lower()},{number}"
    paths: list[str] = []

    async def as_real(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH":
            paths.append(request.path)
        if request.method != "GET" or "JournalTrans" not in request.path:
            return None
        answer = await twin.target.answer(request)
        assert isinstance(answer, web.Response) and isinstance(answer.body, bytes)
        written = answer.body.replace(str(number).encode(), f"{number}.0e0".encode())
        assert written != answer.body
        return web.Response(body=written, content_type="application/json")

    twin.spoil = as_real
    assert [each.target_id for each in await carried_out(twin, time_bill(seconds=60))] == [
        applied.target_id
    ]
    assert [path.rpartition(",")[2] for path in paths] == [f"LineNumber={number})"]


@pytest.mark.asyncio
async def test_a_project_in_two_companies_is_no_doubled_time(twin: Twin) -> None:
    twin.companies = "DEMF,USMF"
    await carried_out(twin, customer(), project(), project(legal_entity_id="USMF"))
    assert len(await twin.rows("Projects")) == 2
    [applied] = await carried_out(twin, budget())
    assert applied.warning is None


@pytest.mark.asyncio
async def test_another_content_is_not_seen_as_carried_out(twin: Twin) -> None:
    assert await seen(twin, customer()) is None
    [applied] = await carried_out(twin, customer())
    assert await seen(twin, customer()) == applied
    assert await seen(twin, customer(name="Tern Group")) == replace(applied, differs=True)


@pytest.mark.asyncio
async def test_refusals_name_their_cure(twin: Twin) -> None:
    await twin.configure(customer_groups=["10"])
    error = await refused(twin, customer())
    assert (error.field, error.reason) == ("CustomerGroupId", Reason.REFERENCE)
    await twin.configure(customer_groups=["PSASTREAM"], denied_lists=["Projects"])
    cases = [
        (customer(currency="XXX"), "SalesCurrencyCode", Reason.SETTING),
        (customer(name="x" * 101), None, Reason.VALIDATION),
        (customer(name=None), None, Reason.VALIDATION),
        (project(), None, Reason.PERMISSION),
    ]
    for command, field, reason in cases:
        error = await refused(twin, command)
        assert (error.field, error.reason) == (field, reason)
    await twin.configure(denied_lists=[])
    error = await refused(twin, project())
    assert (error.field, error.reason) == ("CustomerAccount", Reason.REFERENCE)
    assert await twin.rows("CustomersV3") == []


@pytest.mark.asyncio
async def test_a_company_without_project_groups_is_told_by_the_group_that_it_lacks(
    twin: Twin,
) -> None:
    await carried_out(twin, customer())
    [company] = [
        row for row in await twin.rows("LegalEntities") if row["LegalEntityId"].upper() == COMPANY
    ]
    await twin.change("LegalEntities", company["id"], {"_lacks_project_groups": "Yes"})
    error = await refused(twin, project())
    assert (error.faults[0].detail, error.field) == NO_GROUPS
    assert error.reason is Reason.REFERENCE
    await twin.change("LegalEntities", company["id"], {"_lacks_project_groups": "No"})
    [applied] = await carried_out(twin, project())
    assert applied.target_id == f"demf,{PROJECT}"


@pytest.mark.asyncio
async def test_an_environment_under_load_is_waited_for_as_long_as_it_says(twin: Twin) -> None:
    await twin.configure(requests_per_five_minutes=0)
    with pytest.raises(RateLimitedError) as caught:
        await carried_out(twin, customer())
    assert caught.value.retry_after_s == 1


@pytest.mark.asyncio
async def test_a_kind_that_nobody_knows_is_refused(twin: Twin) -> None:
    with pytest.raises(InvalidEntityError, match="no command of kind upsert_invoice"):
        await carried_out(twin, order("upsert_invoice"))


@pytest.mark.parametrize("text", ["", "cus-" + "a" * 17, "cus'1", "CUS-1", "cus 1", "cus-*"])
def test_an_id_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidEntityError):
        number_of(text, "Finance & Operations")


def test_an_id_of_twenty_characters_is_a_number() -> None:
    assert number_of(CUSTOMER, "Finance & Operations") == "CUS-ABCDEFGHIJKLMNOP"


def config(**keys: object) -> FinanceOperationsSinkConfig:
    document: dict[str, object] = {
        "name": "x", "connector.class": "x", "target": "finance_operations",
        "url": "https://api.example", "auth.url": "https://id.example", "client.id": "c",
        "client.secret": "s", "companies": "DEMF", "customer.group": "10",
        "project.groups": GROUPS, "journal.name": "H", "resource.id": "R", "category": "C",
        "max.in.flight": 1, "settle.ms": 0,
    }  # fmt: skip
    return FinanceOperationsSinkConfig.model_validate(document | keys)


def test_companies_are_those_that_are_named_once() -> None:
    assert config(companies="DEMF, usmf,demf").companies == ("demf", "usmf")


@pytest.mark.parametrize(
    "keys",
    [
        {"companies": ""}, {"companies": 7}, {"companies": "DEMF,"}, {"companies": "DEMFX"},
        {"auth.url": "id.example"}, {"project.groups": {"TimeMaterial": "TM"}},
        {"hours.digits": 1},
    ],
)  # fmt: skip
def test_a_connector_file_that_cannot_be_written_by_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**keys)


@pytest.mark.asyncio
async def test_a_line_of_hours_finds_its_journal_whatever_the_case_of_its_company(
    twin: Twin,
) -> None:
    await carried_out(twin, customer(), project(), time_bill())
    [row] = await twin.captured("hour_line")
    assert row["dataAreaId"] == "DEMF", "journals are of demf"
    [line], journals = await twin.tried("hour_line"), await twin.tried("hour_journal")
    waits = [f"journal is not given, of {journal.id}" for journal in journals]
    assert waits.count(str(line.waits)) == 1


@pytest.mark.asyncio
async def test_all_companies_are_read_in_pages(twin: Twin) -> None:
    for company in ("demf", "usmf"):
        for number in range(3):
            row = {"dataAreaId": company, "OrganizationName": f"c{number}"}
            await twin.add("CustomersV3", row)
    read = await twin.captured("customer", **{"page.size": 2})
    rows = {(row["dataAreaId"], row["OrganizationName"]) for row in read}
    assert rows == {(company, f"c{n}") for company in ("demf", "usmf") for n in range(3)}


@pytest.mark.asyncio
async def test_an_invoice_bills_the_time_entry_of_its_line(twin: Twin) -> None:
    await carried_out(twin, customer(), project(), time_bill(seconds=3600))
    body = {"project": PROJECT}
    invoice = await twin.target.admin("POST", "/finance_operations/invoices", body)
    path = f"/finance_operations/invoices/{invoice}/credits"
    await twin.target.admin("POST", path, {})
    sold, credited = await twin.mapped("project_invoice_line", "invoice")
    names = ("customer_id", "project_id", "project_ref", "time_entry_id")
    assert of(sold, *names) == of(credited, *names) == {
        "customer_id": CUSTOMER, "project_id": PROJECT, "project_ref": "inhouse:project:7",
        "time_entry_id": "inhouse:time_entry:9",
    }  # fmt: skip
    assert (sold["kind"], sold["seconds"], sold["amount"]) == ("invoice", 3600, Decimal("180.25"))
    assert (credited["kind"], credited["seconds"]) == ("credit_memo", -3600)
    assert sold["invoice_id"] != credited["invoice_id"]


INFOLOG = "Write failed for table row of type 'CustCustomerV3Entity'. Infolog: Warning: No group."


@pytest.mark.parametrize(
    ("error", "faults"),
    [
        (
            {"code": "", "innererror": {"type": f"Microsoft.X.{WRITE}", "message": INFOLOG}},
            [Fault(WRITE, "Warning: No group.")],
        ),
        (
            {"innererror": {"type": WRITE, "message": "validateField failed on field 'E.Group'."}},
            [Fault(WRITE, "validateField failed on field 'E.Group'.", "Group")],
        ),
        ({"code": "", "message": "Access Denied"}, [Fault(None, "Access Denied")]),
        ({"code": "A", "message": "B", "innererror": "C"}, [Fault("A", "B")]),
        ({"code": 7, "message": ["x"]}, [Fault("7", "")]),
        ("invalid_client", []),
        (None, []),
    ],
)
def test_an_error_is_read_whatever_it_is(error: object, faults: list[Fault]) -> None:
    assert read_faults({"error": error}) == faults


@pytest.mark.parametrize("body", [[], None, "x", {}])
def test_a_body_without_an_error_tells_none(body: object) -> None:
    assert read_faults(body) == []


RELATED = "The value 'X' in field 'Y' is not found in the related table "
ANSWERS: list[tuple[int, str | None, str, str, Meaning, Reason | None]] = [
    (201, None, "", "POST", Meaning.ACCEPTED, None),
    (204, None, "", "PATCH", Meaning.ACCEPTED, None),
    (204, None, "", "DELETE", Meaning.ACCEPTED, None),
    (200, None, "", "PATCH", Meaning.ACCEPTED, None),
    (200, None, "", "POST", Meaning.UNKNOWN, None),
    (200, None, "", "DELETE", Meaning.UNKNOWN, None),
    (204, None, "", "POST", Meaning.UNKNOWN, None),
    (412, None, "", "PATCH", Meaning.RETRY, None),
    (400, WRITE, "An update conflict occurred due to another", "PATCH", Meaning.RETRY, None),
    (404, None, "", "DELETE", Meaning.NOT_FOUND, Reason.REFERENCE),
    (404, None, "No HTTP resource", "POST", Meaning.REFUSED_RECORD, Reason.SETTING),
    (400, "ODataException", "no property", "POST", Meaning.REFUSED_RECORD, Reason.SETTING),
    (400, WRITE, f"{RELATED}'Currencies'.", "POST", Meaning.REFUSED_RECORD, Reason.SETTING),
    (400, WRITE, f"{RELATED}'Customers'.", "POST", Meaning.REFUSED_RECORD, Reason.REFERENCE),
    (409, None, "The record already exists.", "POST", Meaning.REFUSED_RECORD, Reason.CONFLICT),
    (400, WRITE, "Journal J is posted.", "PATCH", Meaning.REFUSED_RECORD, Reason.CLOSED),
    (400, WRITE, "something else", "POST", Meaning.REFUSED_RECORD, Reason.VALIDATION),
    (400, "NewerException", "", "POST", Meaning.UNKNOWN, Reason.UNCLEAR),
    (429, None, "", "POST", Meaning.RATE_LIMITED, None),
    (500, WRITE, "", "POST", Meaning.UNKNOWN, None),
    (503, None, "", "POST", Meaning.UNKNOWN, None),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_to_a_write_has_its_meaning(
    answer: tuple[int, str | None, str, str, Meaning, Reason | None],
) -> None:
    status, code, words, method, meaning, reason = answer
    faults = [Fault(code, words)] if code or words else []
    assert POLICY.classify(status, faults, method=method) is meaning
    if reason is not None:
        assert POLICY.reason(status, faults, method=method) is reason


def test_a_page_of_a_proxy_is_no_refusal_of_a_right() -> None:
    assert POLICY.classify(403, shape=Shape.OTHER) is Meaning.UNKNOWN
    assert POLICY.classify(404, shape=Shape.OTHER) is Meaning.UNKNOWN
    assert POLICY.reason(403, shape=Shape.JSON) is Reason.PERMISSION


def test_it_plays_the_erp_of_a_firm(tmp_path: Path) -> None:
    packaged = (Path(__file__).parents[3] / "connectors" / "landscape.yaml").read_text()
    assert "netsuite: {role: erp}" in packaged
    named = tmp_path / "landscape.yaml"
    named.write_text(packaged.replace("netsuite: {role: erp}", "finance_operations: {role: erp}"))
    result = CliRunner().invoke(app, ["flows"], env={"PSASTREAM_LANDSCAPE": str(named)})
    assert result.exit_code == 0, result.output
    assert "finance_operations (erp) takes upsert_customer" in result.output
