"""The engagement table by example, through its handlers."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest

from schemas.identity import customer_id, engagement_id, project_id
from streams.groups import make_groups
from tests.support.topology import FixedRegistry, Topology

ACCOUNT: Final = "salesforce:account:1"
DEAL: Final = "salesforce:opportunity:1"
CUSTOMER: Final = customer_id(ACCOUNT)
ENGAGEMENT: Final = engagement_id(DEAL)
PROJECT: Final = project_id(ENGAGEMENT, "DE")
ERP_PROJECT: Final = "netsuite:project:5"
RM_PROJECT: Final = "float:project:8"


def topology() -> Topology:
    registry = FixedRegistry()
    return Topology([g for g in make_groups([], registry) if g.name != "normalize"], registry)


def customer(system: str, identity: str) -> dict[str, object]:
    return {"id": identity, "source_system": system, "customer_id": CUSTOMER, "name": "Acme"}


def win_a_deal(work: Topology, tax_code: str | None = "VAT-DE") -> None:
    """A won deal with one German line, its customer in both systems, and the legal entity."""
    work.put("psa.customer", ACCOUNT, customer("salesforce", ACCOUNT), CUSTOMER)
    work.put(
        "psa.customer", "netsuite:customer:9", customer("netsuite", "netsuite:customer:9"), CUSTOMER
    )
    deal = {"id": DEAL, "engagement_id": ENGAGEMENT, "customer_id": CUSTOMER, "name": "Grid"}
    work.put(
        "psa.opportunity",
        DEAL,
        {**deal, "stage": "won", "currency": "EUR", "amount": Decimal("900.0000")},
        ENGAGEMENT,
    )
    line = {"id": "line-1", "engagement_id": ENGAGEMENT, "service_line": "advisory"}
    work.put(
        "psa.opportunity_line",
        "line-1",
        {**line, "country_code": "DE", "amount": Decimal("900.0000")},
        ENGAGEMENT,
    )
    legal_entity(work, tax_code)


def legal_entity(work: Topology, tax_code: str | None) -> None:
    entity = {"id": "netsuite:subsidiary:2", "native_id": "2", "country_code": "DE"}
    work.put(
        "psa.legal_entity", entity["id"], {**entity, "tax_code": tax_code, "is_active": True}, ""
    )


def erp_project() -> dict[str, object]:
    return {
        "id": ERP_PROJECT,
        "source_system": "netsuite",
        "project_id": PROJECT,
        "engagement_id": ENGAGEMENT,
        "customer_id": CUSTOMER,
        "name": "Grid (DE)",
        "currency": "EUR",
        "legal_entity_id": "2",
        "tax_code": "VAT-DE",
        "service_lines": "advisory",
        "contract_value": Decimal("900.000000"),
    }


def plan_somebody(work: Topology) -> None:
    """The resource tool's project with one approved assignment of ten hours."""
    project = {"id": RM_PROJECT, "source_system": "float", "project_id": PROJECT}
    work.put(
        "psa.project", RM_PROJECT, {**project, "engagement_id": ENGAGEMENT, "name": "x"}, RM_PROJECT
    )
    rate = {"id": "float:person:1", "resource_id": "res-1", "currency": "EUR"}
    rates = {"cost_rate": Decimal("40.0000"), "bill_rate": Decimal("100.0000")}
    work.put("psa.rate_card", rate["id"], {**rate, **rates}, "")
    assignment = {
        "id": "float:allocation:1",
        "project_ref": RM_PROJECT,
        "resource_ref": "float:person:1",
        "starts_on": date(2026, 11, 23),
        "ends_on": date(2026, 11, 27),
        "hours_per_day": Decimal("2.00"),
        "status": "approved",
        "is_billable": True,
    }
    work.put("psa.assignment", "float:allocation:1", assignment, RM_PROJECT)


def commands(work: Topology, kind: str) -> list[dict[str, Any]]:
    records = [record for _, record in work.records("psa.command.netsuite") if record]
    return [record for record in records if record["kind"] == kind]


def test_a_tax_code_set_at_its_source_orders_the_project_anew() -> None:
    work = topology()
    win_a_deal(work, tax_code=None)
    work.run()
    legal_entity(work, "VAT-DE")
    work.run()
    refused, fixed = commands(work, "upsert_project")
    assert '"tax_code":null' in refused["payload"]
    assert '"tax_code":"VAT-DE"' in fixed["payload"]
    assert fixed["revision"] > refused["revision"]


def test_what_the_erp_shows_as_ordered_is_not_ordered_again() -> None:
    work = topology()
    win_a_deal(work)
    work.run()
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.run()
    assert len(commands(work, "upsert_project")) == 1
    assert work.table("psa.status.project")[PROJECT]["status"] == "active"


def test_a_project_made_anew_in_the_erp_gets_its_budget_again() -> None:
    work = topology()
    win_a_deal(work)
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    plan_somebody(work)
    work.run()
    assert len(commands(work, "update_project_budget")) == 1
    work.put("psa.project", ERP_PROJECT, None, ERP_PROJECT)
    work.run()
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.run()
    first, second = commands(work, "update_project_budget")
    assert second["payload"] == first["payload"]
    assert second["revision"] > first["revision"]
    assert '"budget_hours":"10"' in first["payload"]


@pytest.mark.fault("C5", place="tables/project_order.py")
@pytest.mark.parametrize("founded", ["10", "1"])
def test_c5_a_project_keeps_its_legal_entity_whatever_is_founded(founded: str) -> None:
    work = topology()
    win_a_deal(work)
    work.run()
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.run()
    new = {"native_id": founded, "country_code": "DE", "tax_code": "VAT-X", "is_active": True}
    identity = f"netsuite:subsidiary:{founded}"
    work.put("psa.legal_entity", identity, {"id": identity, **new}, "")
    work.run()
    assert len(commands(work, "upsert_project")) == 1


@pytest.mark.fault("C23", place="tables/customer.py")
@pytest.mark.parametrize("is_last", [True, False])
def test_c23_the_inactive_duplicate_never_speaks_for_the_customer(*, is_last: bool) -> None:
    work = topology()
    survivor = {**customer("salesforce", "salesforce:account:2"), "is_active": True}
    loser = {**customer("salesforce", ACCOUNT), "name": "Acme (old)", "is_active": False}
    for row in (survivor, loser) if is_last else (loser, survivor):
        work.put("psa.customer", str(row["id"]), row, CUSTOMER)
    work.run()
    shown = work.table("psa.status.customer")[CUSTOMER]
    assert (shown["name"], shown["crm_id"]) == ("Acme", survivor["id"])
    work.put("psa.customer", str(survivor["id"]), None, CUSTOMER)
    work.run()
    assert work.table("psa.status.customer")[CUSTOMER]["name"] == "Acme (old)"


def last_of(work: Topology, key: str) -> dict[str, Any] | None:
    return [record for name, record in work.records("psa.command.netsuite") if name == key][-1]


@pytest.mark.fault("A1", place="tables/ledger.py")
def test_a1_a_refused_project_whose_deal_is_lost_is_withdrawn_and_ordered_anew_when_won() -> None:
    work = topology()
    win_a_deal(work, tax_code=None)
    work.run()
    [refused] = commands(work, "upsert_project")
    key = refused["natural_key"]

    work.put("psa.opportunity_line", "line-1", None, ENGAGEMENT)
    work.run()
    assert last_of(work, key) is None

    win_a_deal(work, tax_code=None)
    work.run()
    again = last_of(work, key)
    assert again is not None
    assert again["payload"] == refused["payload"]
    assert again["revision"] > refused["revision"]
