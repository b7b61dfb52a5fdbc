"""Tables know roles: which system plays one is the landscape's to say."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest

from schemas.identity import customer_id, engagement_id, project_id, time_bill_id
from schemas.landscape import Landscape, Role, System, load_landscape
from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE
from tests.support.topology import FixedRegistry, Topology

# Everybody plays another role than in the packaged landscape.
SWAPPED: Final = load_landscape(
    "systems: {inhouse: {role: crm}, float: {role: erp}, netsuite: {role: resource}}"
)
DEAL: Final = "inhouse:deal:1"
ENGAGEMENT: Final = engagement_id(DEAL)
CUSTOMER: Final = customer_id("inhouse:client:1")
PROJECT: Final = project_id(ENGAGEMENT, "DE")


def topology(landscape: Landscape) -> Topology:
    registry = FixedRegistry()
    return Topology(make_groups([], registry, landscape), registry)


def hand_over(work: Topology, stage: str = "won") -> None:
    """A customer of the CRM, a deal with one German line, and a German legal entity."""
    customer(work, "inhouse:client:1")
    deal = {"id": DEAL, "engagement_id": ENGAGEMENT, "customer_id": CUSTOMER, "stage": stage}
    work.put("psa.opportunity", DEAL, {**deal, "name": "Grid", "currency": "EUR"}, ENGAGEMENT)
    line = {"id": "l", "engagement_id": ENGAGEMENT, "country_code": "DE"}
    work.put("psa.opportunity_line", "l", {**line, "amount": Decimal("9.0000")}, ENGAGEMENT)
    entity = {"id": "float:company:2", "native_id": "2", "country_code": "DE", "is_active": True}
    work.put("psa.legal_entity", entity["id"], entity, "")


def customer(work: Topology, identity: str) -> None:
    system = identity.partition(":")[0]
    row = {"id": identity, "source_system": system, "customer_id": CUSTOMER, "name": "Acme"}
    work.put("psa.customer", identity, row, CUSTOMER)


def project(work: Topology, identity: str) -> None:
    row = {"id": identity, "source_system": identity.partition(":")[0], "name": "Grid (DE)"}
    names = {"project_id": PROJECT, "engagement_id": ENGAGEMENT, "customer_id": CUSTOMER}
    work.put("psa.project", identity, {**row, **names, "status": "active"}, identity)


def orders(work: Topology) -> set[tuple[str, str]]:
    """Natural keys and kinds of the commands of every target."""
    return {
        (str(record["natural_key"]), str(record["kind"]))
        for topic in ("psa.command.float", "psa.command.netsuite")
        for _, record in work.records(topic)
        if record is not None
    }


def status(work: Topology) -> dict[str, Any]:
    (row,) = [record for key, record in work.table("psa.status.project").items() if key == PROJECT]
    assert row is not None
    return row


def test_a_deal_is_carried_through_whichever_systems_play_the_roles() -> None:
    work = topology(SWAPPED)
    hand_over(work)
    work.run()
    ordered = {(f"float:customer:{CUSTOMER}", "upsert_customer")}
    assert orders(work) == ordered
    customer(work, "float:client:7")
    work.run()
    ordered.add((f"float:project:{PROJECT}", "upsert_project"))
    assert orders(work) == ordered
    project(work, "float:project:3")
    work.run()
    ordered.add((f"netsuite:project:{PROJECT}", "upsert_project"))
    assert orders(work) == ordered
    project(work, "netsuite:project:4")
    work.run()
    row = status(work)
    assert (row["status"], row["erp_ref"], row["rm_ref"], row["psa_ref"]) == (
        "active",
        "float:project:3",
        "netsuite:project:4",
        None,
    )


def test_a_customer_of_the_psa_is_not_in_the_erp() -> None:
    work = topology(LANDSCAPE)
    customer(work, "salesforce:account:1")
    customer(work, "inhouse:client:1")
    work.run()
    (row,) = work.table("psa.status.customer").values()
    assert row is not None
    assert (row["status"], row["crm_id"], row["erp_id"]) == (
        "prospect",
        "salesforce:account:1",
        None,
    )


def test_a_row_of_a_system_without_a_role_is_a_dead_letter_and_no_guess() -> None:
    work = topology(LANDSCAPE)
    customer(work, "sugar:account:1")
    project(work, "sugar:project:1")
    customer(work, "salesforce:account:1")
    work.run()
    (row,) = work.table("psa.status.customer").values()
    assert row is not None
    assert row["crm_id"] == "salesforce:account:1"
    assert work.outcomes["dead_lettered"] == 2
    codes = {record["error_code"] for _, record in work.records("psa.dlq") if record}
    assert codes == {"record.unknown_system"}


def test_two_psas_each_give_their_hours_to_one_project() -> None:
    """Rows are known by their own ids, also where native ids coincide."""
    beside = {**LANDSCAPE.systems, "harvest": System(role=Role.PSA)}
    work = topology(Landscape(systems=beside))
    deal_of(work, "salesforce")
    erp = {"id": "netsuite:company:2", "native_id": "2", "country_code": "DE", "is_active": True}
    work.put("psa.legal_entity", erp["id"], erp, "")
    for identity in ("netsuite:project:1", "inhouse:project:1", "harvest:project:1"):
        project(work, identity)
    for system in ("harvest", "inhouse"):
        entry = {"id": f"{system}:time_entry:1", "project_ref": f"{system}:project:1"}
        money = {"bill_rate": Decimal("100.0000"), "currency": "EUR", "resource_id": "res-a"}
        time = {"work_on": date(2026, 12, 1), "hours": Decimal("8.00"), "source_position": 1}
        row = {**entry, **money, **time, "status": "approved", "is_billable": True}
        work.put("psa.time_entry", entry["id"], row, entry["project_ref"])
    work.run()
    bills = {key for key, kind in orders(work) if kind == "upsert_time_bill"}
    assert bills == {
        f"netsuite:time_bill:{time_bill_id(f'{system}:time_entry:1', f'{system}:project:1')}"
        for system in ("harvest", "inhouse")
    }
    margins = work.table("psa.metric.project_margin").values()
    assert {(row["project_ref"], row["project_id"], row["seconds"]) for row in margins} == {
        ("harvest:project:1", PROJECT, 28_800),
        ("inhouse:project:1", PROJECT, 28_800),
    }
    assert status(work)["psa_ref"] == "harvest:project:1"


def test_a_deal_of_a_second_crm_is_carried_through_beside_one_of_the_first() -> None:
    beside = {**LANDSCAPE.systems, "hubspot": System(role=Role.CRM)}
    work = topology(Landscape(systems=beside))
    for system in ("salesforce", "hubspot"):
        deal_of(work, system)
    work.run()
    assert orders(work) == {
        (f"netsuite:customer:{customer_id(f'{system}:account:1')}", "upsert_customer")
        for system in ("salesforce", "hubspot")
    }
    rows = work.table("psa.status.customer").values()
    assert {(row["crm_id"], row["status"]) for row in rows} == {
        ("salesforce:account:1", "requested"),
        ("hubspot:account:1", "requested"),
    }
    (row,) = work.table("psa.metric.pipeline_health").values()
    assert (row["opportunities"], row["amount"]) == (2, 18)


def deal_of(work: Topology, crm: str) -> None:
    """A won deal of a CRM with a customer and a German line; one of the first makes PROJECT."""
    account, deal = f"{crm}:account:1", DEAL if crm == "salesforce" else f"{crm}:deal:1"
    names = {"engagement_id": engagement_id(deal), "customer_id": customer_id(account)}
    known = {"id": account, "source_system": crm, "customer_id": customer_id(account)}
    work.put("psa.customer", account, {**known, "name": "Acme"}, customer_id(account))
    row = {**names, "id": deal, "stage": "won", "name": "Grid", "currency": "EUR"}
    row = {**row, "amount": Decimal("9.0000"), "billing_type": "time_and_materials"}
    work.put("psa.opportunity", deal, row, names["engagement_id"])
    line = {"id": f"{crm}:line:1", "engagement_id": names["engagement_id"], "country_code": "DE"}
    work.put("psa.opportunity_line", line["id"], line, names["engagement_id"])


@pytest.mark.parametrize(
    ("stage", "asked"), [("proposed", 0), ("negotiating", 1), ("won", 1), ("lost", 0)]
)
def test_sales_hands_over_from_the_stage_on_that_the_firm_says(stage: str, asked: int) -> None:
    text = "{inhouse: {role: crm}, float: {role: erp}, netsuite: {role: resource}}"
    landscape = load_landscape(f"systems: {text}\nfirm: {{hand_off_stage: negotiating}}")
    work = topology(landscape)
    hand_over(work, stage)
    work.run()
    assert len(orders(work)) == asked


def without(role: Role) -> Topology:
    """A firm of which no system plays a role; its other ones play theirs of the swapped one."""
    left = {name: each for name, each in SWAPPED.systems.items() if each.role is not role}
    psa = {"harvest": System(role=Role.PSA)}
    return topology(SWAPPED.model_copy(update={"systems": {**left, **psa}}))


def test_without_an_erp_a_project_is_staffed_once_sales_hands_over() -> None:
    work = without(Role.ERP)
    hand_over(work)
    work.run()
    assert orders(work) == {(f"netsuite:project:{PROJECT}", "upsert_project")}
    assert (status(work)["status"], status(work)["reason"]) == ("requested", None)
    project(work, "netsuite:job:1")
    work.run()
    assert (status(work)["status"], status(work)["reason"]) == ("active", None)
    assert work.table("psa.exception") == {}, "nobody waits for an ERP"


def test_without_a_resource_tool_the_erp_is_asked_all_the_same() -> None:
    work = without(Role.RESOURCE)
    hand_over(work)
    customer(work, "float:customer:1")
    work.run()
    project(work, "float:project:1")
    work.run()
    kinds = {kind for _, kind in orders(work)}
    assert "upsert_project" in kinds
    assert {key.partition(":")[0] for key, _ in orders(work)} == {"float"}
    assert status(work)["status"] == "active"


def test_a_project_is_opened_in_the_psa_that_takes_it_once_the_erp_holds_it() -> None:
    text = "{inhouse: {role: crm}, float: {role: erp}, netsuite: {role: psa, takes_projects: true}"
    work = topology(load_landscape(f"systems: {text}, harvest: {{role: psa}}}}"))
    opened = (f"netsuite:project:{PROJECT}", "upsert_project")
    hand_over(work)
    customer(work, "float:client:7")
    work.run()
    assert opened not in orders(work), "nobody bills what is booked on it yet"
    project(work, "float:project:3")
    project(work, "harvest:project:3")
    work.run()
    assert opened in orders(work), "the other PSA is read, and takes none"
    project(work, "netsuite:project:4")
    work.run()
    assert len(work.records("psa.command.netsuite")) == 1, "it shows what was ordered"


def test_without_a_crm_nobody_misses_a_deal() -> None:
    work = without(Role.CRM)
    names = {"project_id": PROJECT, "engagement_id": ENGAGEMENT, "customer_id": CUSTOMER}
    row = {"id": "float:project:1", "source_system": "float", "name": "Grid", **names}
    money = {"contract_value": Decimal("9.0000"), "currency": "EUR"}
    work.put("psa.project", row["id"], {**row, **money, "status": "active"}, row["id"])
    work.run()
    assert (status(work)["status"], status(work)["reason"]) == ("active", None)
    assert work.table("psa.exception") == {}, "no deal is there to ask for the project"
    assert orders(work) == set()


def test_a_psa_alone_shows_its_margin() -> None:
    alone = Landscape(systems={"harvest": System(role=Role.PSA)})
    work = topology(alone)
    project_ref = "harvest:project:1"
    row = {"id": project_ref, "source_system": "harvest", "name": "Grid", "status": "active"}
    work.put("psa.project", project_ref, row, project_ref)
    entry = {
        "id": "harvest:time_entry:1",
        "project_ref": project_ref,
        "resource_id": "res-1",
        "work_on": date(2026, 11, 3),
        "hours": Decimal("2.00"),
        "bill_rate": Decimal("100.0000"),
        "cost_rate": Decimal("40.0000"),
        "currency": "EUR",
        "status": "approved",
        "is_billable": True,
    }
    work.put("psa.time_entry", str(entry["id"]), entry, project_ref)
    work.run()
    (margin,) = work.table("psa.metric.project_margin").values()
    assert (margin["revenue"], margin["cost"], margin["margin"]) == (200, 80, 120)
    assert work.table("psa.exception") == {}
    assert orders(work) == set()
