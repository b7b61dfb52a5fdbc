"""What commands say: made by tables, carried as text, read by sinks."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest

from connectors.dispatch.commands import Command
from schemas.canonical_json import canonical_json
from schemas.commands import (
    CommandContent,
    DeleteProject,
    DeleteTimeBill,
    UpdateDealStatus,
    UpdateProjectBudget,
    UpsertCustomer,
    UpsertProject,
    UpsertTimeBill,
)
from schemas.errors import InvalidEntityError
from schemas.identity import command_id
from tables.flows.deal_status import DEAL_STATUS
from tables.flows.erp_customer import ERP_CUSTOMER
from tables.flows.erp_project import ERP_PROJECT
from tables.flows.flow import Flow
from tables.flows.project_budget import PROJECT_BUDGET
from tables.flows.staffed_project import STAFFED_PROJECT
from tables.flows.time_bill import TIME_BILL
from tables.foundation.facts import Customer, Fact, Opportunity, ProjectLink, TimeBill

BILL: Final = UpsertTimeBill(
    time_bill_id="tb-1",
    correlation_id=None,
    time_entry_id="inhouse:time_entry:1",
    project_ref="inhouse:project:1",
    project_id="eng-1-de",
    work_on=date(2026, 3, 2),
    hours=Decimal("0.83"),
    seconds=3_000,
    bill_rate=Decimal("120.0000"),
    currency="EUR",
)
CONTENTS: Final[list[CommandContent]] = [
    BILL,
    DeleteTimeBill(time_bill_id="tb-1"),
    UpsertCustomer(
        customer_id="cus-1",
        correlation_id="c",
        name="Türm & Söhne",
        country_code="DE",
        currency="EUR",
        tax_number=None,
    ),
    UpsertProject(
        project_id="eng-1-de",
        correlation_id="c",
        customer_id="cus-1",
        name="Grid (DE)",
        legal_entity_id="2",
        currency="EUR",
        starts_on=date(2026, 3, 2),
        billing_type="fixed_fee",
        tax_code=None,
        service_lines="advisory,build",
        contract_value=Decimal("12345678901234567890.123456"),
    ),
    DeleteProject(project_id="eng-1-de"),
    UpdateProjectBudget(
        project_id="eng-1-de",
        budget_hours=Decimal("0.00"),
        budget_cost=Decimal("-5.1"),
        budget_revenue=None,
        budget_currency="EUR",
    ),
    UpdateDealStatus(
        deal_id="006Tw00000Qr7sTIAR",
        correlation_id="c",
        engagement_id="eng-1",
        project_ids="eng-1-de,eng-1-fr",
        delivery_status="waiting_customer",
    ),
]


IDS: Final = {
    "upsert_time_bill": "cmd-emqy5f2x6ybccojgxf6qpsw7",
    "delete_time_bill": "cmd-b7fbhvfysktedw7752elypxk",
    "upsert_customer": "cmd-ib7num5dn66l7n4zkyjcbhsm",
    "upsert_project": "cmd-cymxdphxl4jstshpdrrrtflb",
    "delete_project": "cmd-lqz5cjzsokbsfcnrtbiqbxwc",
    "update_project_budget": "cmd-wgfbkcndioyqydyweb7pprpt",
    "update_deal_status": "cmd-hjq45bothgfsg4lv4qjirfpy",
}
"""Of `CONTENTS`, as commands that are stored bear them."""


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content.kind)
def test_i8_the_id_of_what_is_said_stays_what_it_is(content: CommandContent) -> None:
    """Of another id it would be another command: a doubled bill is a doubled invoice."""
    payload = canonical_json(content.model_dump())
    found = command_id("erp", content.kind, "erp:thing:1", 7, payload)
    assert found == IDS[content.kind]


def carried(kind: str, payload: str) -> Command:
    return Command("c", "t", kind, "t:x:1", 1, payload, "o")


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content.kind)
def test_what_a_table_says_is_what_a_sink_reads(content: CommandContent) -> None:
    command = carried(content.kind, canonical_json(content.model_dump()))
    assert command.read(type(content)) == content


@pytest.mark.parametrize(
    ("flow", "row"),
    [
        (ERP_CUSTOMER, Customer),
        (ERP_PROJECT, ProjectLink),
        (STAFFED_PROJECT, ProjectLink),
        (PROJECT_BUDGET, ProjectLink),
        (TIME_BILL, TimeBill),
        (DEAL_STATUS, Opportunity),
    ],
)
def test_what_is_compared_bears_one_name_in_the_order_and_in_the_row(
    flow: Flow[Any], row: type[Fact]
) -> None:
    assert set(flow.kept_equal) <= flow.upsert.model_fields.keys()
    assert set(flow.kept_equal) <= row.model_fields.keys()


def test_a_field_of_a_later_version_is_not_in_the_way() -> None:
    said = {**json.loads(canonical_json(BILL.model_dump())), "approved_by": {"name": "x"}}
    assert carried(BILL.kind, json.dumps(said)).read(UpsertTimeBill) == BILL


@pytest.mark.parametrize("name", ["project_id", "work_on", "hours", "bill_rate", "currency"])
def test_what_is_not_said_is_no_order_to_clear_it(name: str) -> None:
    said = json.loads(canonical_json(BILL.model_dump()))
    del said[name]
    with pytest.raises(InvalidEntityError, match=f"breaks its contract: {name}: missing"):
        carried(BILL.kind, json.dumps(said)).read(UpsertTimeBill)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_bill_id", ""),
        ("time_bill_id", " "),
        ("time_bill_id", 7),
        ("time_bill_id", "a\nb"),
        ("project_id", "\u200b"),
        ("hours", True),
        ("hours", "eight"),
        ("hours", "NaN"),
        ("hours", "Infinity"),
        ("hours", None),
        ("hours", []),
        ("work_on", 20_260_302),
        ("work_on", "2026-13-01"),
        ("work_on", "today"),
        ("work_on", "2026-03-02T12:00:00"),
        ("seconds", "some"),
        ("currency", {"id": "1"}),
    ],
)
def test_what_is_no_value_of_its_field_is_refused_by_name_and_without_the_value(
    name: str, value: Any
) -> None:
    said = {**json.loads(canonical_json(BILL.model_dump())), name: value}
    with pytest.raises(InvalidEntityError, match=f"breaks its contract: {name}: ") as refused:
        carried(BILL.kind, json.dumps(said)).read(UpsertTimeBill)
    assert len(str(value)) < 3 or str(value) not in refused.value.detail
