"""Tables know roles: which system plays one is the landscape's to say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pytest

from schemas.identity import customer_id, engagement_id, project_id
from schemas.landscape import Landscape, load_landscape
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
