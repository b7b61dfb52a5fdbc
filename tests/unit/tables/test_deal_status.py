"""What has become of a deal is told to the CRM that takes it, by example."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

import pytest

from schemas.identity import customer_id, engagement_id, project_id
from schemas.landscape import Landscape, load_landscape
from schemas.topics import command_topic
from streams.groups import make_groups
from tables.engagement.unshown import PATIENCE_MS, TOLD_AFTER
from tables.engagement.view import FIRST_TOLD, DealView, EngagementDocument
from tests.support.topology import FixedRegistry, Topology

TAKING: Final = load_landscape(
    "systems: {salesforce: {role: crm, takes_status: true}, hubspot: {role: crm},"
    " netsuite: {role: erp}, float: {role: resource}}"
)
DEAL: Final = "salesforce:opportunity:006Tw1"
ENGAGEMENT: Final = engagement_id(DEAL)
CUSTOMER: Final = customer_id("salesforce:account:1")
GERMAN, FRENCH = (project_id(ENGAGEMENT, country) for country in ("DE", "FR"))
KEY: Final = f"salesforce:deal_status:{ENGAGEMENT}"


def topology(landscape: Landscape = TAKING) -> Topology:
    registry, own = FixedRegistry(), [command_topic(crm) for crm in ("salesforce", "hubspot")]
    for topic in own:
        registry.add_topic(topic)
    return Topology(make_groups([], registry, landscape), registry, own=own)


def deal(work: Topology, stage: str = "won", name: str = DEAL, **shown: str | None) -> None:
    engagement = engagement_id(name)
    row = {"id": name, "engagement_id": engagement, "customer_id": CUSTOMER, "stage": stage}
    row |= {"name": "Grid", "currency": "EUR"}
    work.put("psa.opportunity", name, {**row, **shown}, engagement)


def line(work: Topology, country: str, name: str = DEAL) -> None:
    row = {"id": f"l-{country}", "engagement_id": engagement_id(name), "country_code": country}
    work.put("psa.opportunity_line", str(row["id"]), {**row, "amount": Decimal("9.0000")},
             engagement_id(name))  # fmt: skip


def entity(work: Topology, country: str) -> None:
    row = {"id": f"netsuite:subsidiary:{country}", "native_id": country, "country_code": country}
    work.put("psa.legal_entity", row["id"], {**row, "is_active": True}, "")


def customers(work: Topology) -> None:
    for identity in ("salesforce:account:1", "netsuite:customer:7"):
        system = identity.partition(":")[0]
        row = {"id": identity, "source_system": system, "customer_id": CUSTOMER, "name": "Acme"}
        work.put("psa.customer", identity, row, CUSTOMER)


def held(work: Topology, identity: str) -> None:
    row = {"id": f"netsuite:project:{identity}", "source_system": "netsuite", "name": "Grid"}
    names = {"project_id": identity, "engagement_id": ENGAGEMENT, "customer_id": CUSTOMER}
    work.put("psa.project", row["id"], {**row, **names, "status": "active"}, row["id"])


def told(work: Topology, crm: str = "salesforce") -> list[dict[str, Any]]:
    """What the commands of a CRM say; the kind of those that say nothing."""
    records = [record for _, record in work.records(f"psa.command.{crm}") if record]
    return [json.loads(str(each["payload"])) or {"kind": each["kind"]} for each in records]


def shown(content: dict[str, Any]) -> dict[str, Any]:
    """What the CRM shows of what it was told."""
    return {name: content[name] for name in ("project_ids", "delivery_status")}


def test_ids_and_status_of_the_projects_of_a_deal_are_told_as_they_become_known() -> None:
    work = topology()
    deal(work, stage="proposed")
    line(work, "DE")
    line(work, "FR")
    entity(work, "DE")
    work.run()
    assert told(work) == [], "it has no project yet"
    deal(work)
    work.run()
    assert told(work) == [
        {
            "deal_id": "006Tw1",
            "correlation_id": told(work)[0]["correlation_id"],
            "engagement_id": ENGAGEMENT,
            "project_ids": f"{GERMAN},{FRENCH}",
            "delivery_status": "waiting_customer",
        }
    ]
    customers(work)
    work.run()
    assert told(work)[-1]["delivery_status"] == "waiting_legal_entity", "of the French one"
    entity(work, "FR")
    held(work, GERMAN)
    work.run()
    assert told(work)[-1]["delivery_status"] == "requested", "of the French one"
    held(work, FRENCH)
    work.run()
    assert told(work)[-1]["delivery_status"] == "active"
    (_, command), *_ = work.records("psa.command.salesforce")
    assert command is not None
    assert (command["natural_key"], command["kind"]) == (KEY, "update_deal_status")
    assert command["origin_key"] == ENGAGEMENT


def test_what_the_crm_shows_as_told_is_told_no_more_and_what_somebody_types_over_is() -> None:
    work = topology()
    deal(work)
    line(work, "DE")
    work.run()
    (first,) = told(work)
    deal(work, **shown(first))
    work.run()
    deal(work, **shown(first))
    work.run()
    assert len(told(work)) == 1
    deal(work, **{**shown(first), "delivery_status": "all done"})
    work.run()
    assert told(work) == [first, first]
    for content in (shown(first), {}):
        deal(work, **content)
        work.run()
    assert told(work) == [first, first, first], "it was cleared after it had shown"


def test_a_deal_that_is_lost_after_all_says_so() -> None:
    work = topology()
    deal(work)
    line(work, "DE")
    work.run()
    deal(work, stage="lost")
    work.run()
    content = told(work)[-1]
    assert shown(content) == {"project_ids": None, "delivery_status": "cancelled"}


def test_a_deal_that_is_gone_is_told_nothing_and_one_that_is_back_is() -> None:
    work = topology()
    deal(work)
    line(work, "DE")
    work.run()
    work.put("psa.opportunity", DEAL, None, ENGAGEMENT)
    work.run()
    (first, withdrawn) = told(work)
    assert withdrawn == {"kind": "withdraw"}
    deal(work, **shown(first))
    work.run()
    assert len(told(work)) == 2, "it shows what is wanted"


@pytest.mark.parametrize("name", [DEAL, "hubspot:deal:9"])
def test_a_crm_is_told_of_its_own_deals_and_only_where_it_takes_that(name: str) -> None:
    work = topology()
    deal(work, name=name)
    line(work, "DE", name=name)
    work.run()
    assert len(told(work)) == (name == DEAL)
    assert told(work, "hubspot") == []
    systems = dict(TAKING.systems)
    systems["salesforce"] = systems["salesforce"].model_copy(update={"takes_status": False})
    silent = topology(Landscape(systems=systems))
    deal(silent, name=name)
    line(silent, "DE", name=name)
    silent.run()
    assert told(silent) == []


@pytest.mark.fault("A1", place="tables/engagement/table.py")
def test_a1_what_the_crm_has_taken_and_never_shows_is_told_again() -> None:
    work = topology()
    deal(work)
    line(work, "DE")
    work.run()
    ((_, command),) = work.records("psa.command.salesforce")
    assert command is not None
    result = {"natural_key": KEY, "kind": "update_deal_status", "status": "succeeded"}
    work.put("psa.command_result", KEY, {**result, "revision": command["revision"]}, ENGAGEMENT)
    work.run()
    deal(work)
    work.run()
    assert len(told(work)) == 1, "too soon"
    work.now_ms += PATIENCE_MS
    deal(work)
    work.run()
    first, again = told(work)
    assert first == again


@pytest.mark.fault("A1", place="tables/engagement/table.py")
def test_a1_a_person_is_told_of_a_deal_that_never_shows_what_it_was_told() -> None:
    """Fields that the connector does not read are empty, and no other content."""
    work = topology()
    deal(work)
    line(work, "DE")
    for losses in range(TOLD_AFTER):
        work.run()
        assert len(told(work)) == losses + 1
        _, command = work.records("psa.command.salesforce")[-1]
        assert command is not None
        result = {"natural_key": KEY, "kind": "update_deal_status", "status": "succeeded"}
        work.put("psa.command_result", KEY, {**result, "revision": command["revision"]}, ENGAGEMENT)
        work.run()
        work.now_ms += 2**losses * PATIENCE_MS
        deal(work)
    work.run()
    (exception,) = work.table("psa.exception").values()
    assert exception is not None
    assert (exception["exception_id"], exception["status"]) == (f"unshown:{KEY}", "open")


@pytest.mark.parametrize(
    ("statuses", "ids", "status"),
    [
        ({}, None, None),
        ({"eng-1-de": "active", "eng-1-fr": "cancelled"}, "eng-1-de", "active"),
        ({"eng-1-fr": "withdrawn", "eng-1-de": "active"}, "eng-1-de,eng-1-fr", "active"),
        ({"eng-1-fr": "rejected", "eng-1-de": "requested"}, "eng-1-de,eng-1-fr", "rejected"),
        ({"eng-1-fr": "rejected", "eng-1-de": "needs_finance"}, "eng-1-de,eng-1-fr",
         "needs_finance"),
    ],
)  # fmt: skip
def test_of_several_projects_the_one_that_needs_a_person_most_is_told(
    statuses: dict[str, str], ids: str | None, status: str | None
) -> None:
    view = DealView(EngagementDocument(engagement_id="eng-1"), statuses)
    assert (view.project_ids, view.delivery_status) == (ids, status)
    assert set(statuses.values()) <= set(FIRST_TOLD)
