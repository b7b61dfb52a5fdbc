"""The engagement table by example, through its handlers."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest

from schemas.identity import customer_id, engagement_id, project_id
from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE
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
    return Topology(
        [g for g in make_groups([], registry, LANDSCAPE) if g.name != "normalize"], registry
    )


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


@pytest.mark.parametrize("turn", [1, -1])
def test_a_rebuild_knows_the_customer_whichever_topic_is_read_first(turn: int) -> None:
    work = topology()
    win_a_deal(work)
    work.put("psa.legal_entity", "netsuite:subsidiary:2", None, "")
    work.run()
    work.rebuild("engagement", ["psa.opportunity", "psa.internal.customer_status"][::turn])
    legal_entity(work, "VAT-DE")
    work.run()
    assert len(commands(work, "upsert_project")) == 1


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


def test_an_order_says_what_money_waits_for_it_and_others_say_none() -> None:
    """The exception of a refusal shows it, so that finance knows what to mend first."""
    work = topology()
    win_a_deal(work)
    work.put("psa.project", ERP_PROJECT, {**erp_project(), "name": "x"}, ERP_PROJECT)
    plan_somebody(work)
    work.run()
    asked = {
        (record["kind"], record["target"], record["amount"], record["currency"])
        for target in ("netsuite", "float")
        for _, record in work.records(f"psa.command.{target}")
        if record
    }
    assert asked == {
        ("upsert_project", "netsuite", Decimal(900), "EUR"),
        ("update_project_budget", "netsuite", None, None),
        ("upsert_project", "float", None, None),
    }


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


@pytest.mark.fault("C5", place="tables/engagement/table.py")
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


@pytest.mark.fault("C5", place="tables/engagement/view.py")
def test_c5_a_legal_entity_is_held_from_the_order_on_and_not_before() -> None:
    """The customer is not in the ERP yet; meanwhile the older entity is activated."""
    work = topology()
    work.put("psa.customer", ACCOUNT, customer("salesforce", ACCOUNT), CUSTOMER)
    legal_entity(work, None)
    line(work, "DE")
    deal(work, "won")
    work.run()
    older = {"id": "netsuite:subsidiary:1", "native_id": "1", "country_code": "DE"}
    work.put("psa.legal_entity", older["id"], {**older, "is_active": True}, "")
    work.run()
    work.put(
        "psa.customer", "netsuite:customer:9", customer("netsuite", "netsuite:customer:9"), CUSTOMER
    )
    work.run()
    (order,) = commands(work, "upsert_project")
    assert '"legal_entity_id":"1"' in order["payload"]


@pytest.mark.fault("C23", place="tables/customer/view.py")
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


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_a_refused_project_whose_deal_is_lost_is_withdrawn_and_ordered_anew_when_won() -> None:
    work = topology()
    win_a_deal(work, tax_code=None)
    work.run()
    [refused] = commands(work, "upsert_project")
    key = refused["natural_key"]

    work.put("psa.opportunity_line", "line-1", None, ENGAGEMENT)
    work.run()
    back = last_of(work, key)
    assert back is not None
    assert back["kind"] == "delete_project"

    win_a_deal(work, tax_code=None)
    work.run()
    again = last_of(work, key)
    assert again is not None
    assert again["payload"] == refused["payload"]
    assert again["revision"] > refused["revision"]


def answer(work: Topology, order: dict[str, Any], status: str, why: str | None) -> None:
    """What became of an order, as dispatch tells it."""
    told = {"natural_key": order["natural_key"], "kind": order["kind"], "status": status}
    content = {**told, "revision": order["revision"], "error_detail": why}
    work.put("psa.command_result", order["natural_key"], content, ENGAGEMENT)
    work.run()


def test_a_refusal_shows_until_the_project_is_ordered_anew() -> None:
    work = topology()
    win_a_deal(work, tax_code=None)
    work.run()

    def shown() -> tuple[str, str | None]:
        row = work.table("psa.status.project")[PROJECT]
        return row["status"], row["reason"]

    [first] = commands(work, "upsert_project")
    answer(work, first, "rejected", "no tax code")
    assert shown() == ("rejected", "no tax code")
    legal_entity(work, "VAT-DE")
    work.run()
    assert shown() == ("requested", None)
    answer(work, commands(work, "upsert_project")[-1], "rejected", "closed period")
    assert shown() == ("rejected", "closed period")
    for status in ("succeeded", "superseded"):
        answer(work, commands(work, "upsert_project")[-1], status, None)
        assert shown() == ("requested", None), "the ERP has not shown it yet"


@pytest.mark.parametrize(
    "other", [{"natural_key": f"float:project:{PROJECT}"}, {"kind": "delete_project"}]
)
def test_what_becomes_of_other_orders_is_no_answer_to_the_project_of_the_erp(
    other: dict[str, str],
) -> None:
    work = topology()
    win_a_deal(work, tax_code=None)
    work.run()
    [order] = commands(work, "upsert_project")
    answer(work, order | other, "rejected", "not now")
    assert work.table("psa.status.project")[PROJECT]["status"] == "requested"
    answer(work, order, "rejected", "no tax code")
    answer(work, order | other, "succeeded", None)
    assert work.table("psa.status.project")[PROJECT]["reason"] == "no tax code"


def deal(work: Topology, stage: str | None) -> None:
    """The deal of `win_a_deal` at another stage; None deletes it."""
    row = {"id": DEAL, "engagement_id": ENGAGEMENT, "customer_id": CUSTOMER, "name": "Grid"}
    money = {"currency": "EUR", "amount": Decimal("900.0000")}
    work.put(
        "psa.opportunity", DEAL, {**row, **money, "stage": stage} if stage else None, ENGAGEMENT
    )


def line(work: Topology, country: str | None) -> None:
    """The line of `win_a_deal` for another country; None deletes it."""
    row = {"id": "line-1", "engagement_id": ENGAGEMENT, "service_line": "advisory"}
    content = {**row, "country_code": country, "amount": Decimal("900.0000")}
    work.put("psa.opportunity_line", "line-1", content if country else None, ENGAGEMENT)


def take_back(work: Topology, how: str) -> None:
    """What ends the wish for the German project."""
    match how:
        case "deleted":
            deal(work, None)
        case "no line":
            line(work, None)
        case "other country":
            line(work, "FR")
        case "deal and line deleted":
            line(work, None)
            deal(work, None)
        case stage:
            deal(work, stage)
    work.run()


def test_a_deal_that_moves_from_customer_to_customer_counts_for_the_present_one_alone() -> None:
    work = topology()
    accounts = [f"salesforce:account:{number}" for number in (1, 2, 3, 4, 5, 4, 3, 2, 1)]
    for account in sorted(set(accounts)):
        owner = {**customer("salesforce", account), "customer_id": customer_id(account)}
        work.put("psa.customer", account, owner, customer_id(account))
    row = {"id": DEAL, "engagement_id": ENGAGEMENT, "name": "Grid", "stage": "won"}
    for account in accounts:
        present = customer_id(account)
        work.put("psa.opportunity", DEAL, {**row, "customer_id": present}, ENGAGEMENT)
        work.run()
        shown = work.table("psa.status.customer")
        assert {key for key, each in shown.items() if each["engagements"]} == {present}
        assert {key for key, each in shown.items() if each["status"] == "requested"} == {present}


REVERSALS: Final = (
    "lost",
    "negotiating",
    "deleted",
    "no line",
    "other country",
    "deal and line deleted",
)
C24: Final = "tables/flows/erp_project.py"


@pytest.mark.fault("C24", place=C24)
@pytest.mark.parametrize("how", REVERSALS)
def test_c24_an_order_that_the_erp_has_not_shown_is_taken_back(how: str) -> None:
    work = topology()
    win_a_deal(work)
    work.run()
    take_back(work, how)
    (order,) = commands(work, "upsert_project")
    (back,) = commands(work, "delete_project")
    assert back["natural_key"] == order["natural_key"]
    assert back["revision"] > order["revision"]
    assert work.table("psa.status.project")[PROJECT]["status"] == "cancelled"
    assert work.table("psa.exception") == {}

    line(work, "DE")
    deal(work, "won")
    work.run()
    assert work.table("psa.status.project")[PROJECT]["status"] == "requested"
    assert commands(work, "upsert_project")[-1]["revision"] > back["revision"]
    assert len(commands(work, "delete_project")) == 1


@pytest.mark.fault("C24", place=C24)
def test_c24_nothing_ordered_nothing_taken_back() -> None:
    """The deal waits for a legal entity when it is lost; its row stays."""
    work = topology()
    win_a_deal(work)
    work.put("psa.legal_entity", "netsuite:subsidiary:2", None, "")
    work.run()
    sent = len(work.records("psa.command.netsuite"))
    before = work.table("psa.status.project")[PROJECT]["status"]
    take_back(work, "lost")
    if before == "waiting_legal_entity":
        assert len(work.records("psa.command.netsuite")) == sent
    assert work.table("psa.status.project")[PROJECT]["status"] == "cancelled"


@pytest.mark.fault("C24", place="tables/engagement/status.py")
@pytest.mark.parametrize("how", REVERSALS)
@pytest.mark.parametrize("cure", ["won again", "written off", "deleted in the ERP"])
def test_c24_what_the_erp_holds_is_for_finance_to_settle(how: str, cure: str) -> None:
    work = topology()
    win_a_deal(work)
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.run()
    take_back(work, how)
    assert commands(work, "delete_project") == []
    assert work.table("psa.status.project")[PROJECT]["status"] == "needs_finance"
    told = work.table("psa.exception")[f"engagement:{PROJECT}"]
    assert (told["status"], told["amount"], told["currency"]) == ("open", 900, "EUR")
    assert told["system"] not in ("netsuite", "float"), "dispatch counts those of its targets"

    if cure == "won again":
        line(work, "DE")
        deal(work, "won")
    else:
        row = {**erp_project(), "contract_value": Decimal("0.000000")}
        is_there = cure == "written off"
        work.put("psa.project", ERP_PROJECT, row if is_there else None, ERP_PROJECT)
    work.run()
    settled = {"won again": "active", "written off": "withdrawn", "deleted in the ERP": "cancelled"}
    assert work.table("psa.status.project")[PROJECT]["status"] == settled[cure]
    assert work.table("psa.exception")[f"engagement:{PROJECT}"]["status"] == "resolved"
    assert commands(work, "delete_project") == []


DAY_MS: Final = 24 * 3_600_000


def show_another(work: Topology, system: str, name: str = "x") -> None:
    """Another project of whose row capture shows something new."""
    source = f"{system}:project:999"
    row = {"id": source, "source_system": system, "engagement_id": ENGAGEMENT, "name": name}
    other = project_id(ENGAGEMENT, "XX")
    work.put("psa.project", source, {**row, "project_id": other}, source)
    work.run()


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_what_was_made_and_lost_before_anybody_saw_it_is_ordered_anew() -> None:
    """Deleted in the target between two polls: no capture ever shows it, nor its deletion."""
    work = topology()
    win_a_deal(work)
    work.run()
    [order] = commands(work, "upsert_project")
    answer(work, order, "succeeded", None)

    work.now_ms += DAY_MS
    show_another(work, "float")
    assert len(commands(work, "upsert_project")) == 1, "news of another system prove nothing"
    show_another(work, "netsuite")
    first, again = commands(work, "upsert_project")
    assert again["payload"] == first["payload"]
    assert again["revision"] > first["revision"]

    show_another(work, "netsuite", "y")
    assert len(commands(work, "upsert_project")) == 2, "it was not carried out yet"
    answer(work, again, "adopted", None)
    show_another(work, "netsuite", "z")
    assert len(commands(work, "upsert_project")) == 2, "the target may still show it"
    work.now_ms += 2 * DAY_MS
    show_another(work, "netsuite", "again")
    assert len(commands(work, "upsert_project")) == 3


@pytest.mark.fault("A1", place="tables/engagement/unshown.py")
def test_a1_a_target_that_never_shows_an_order_is_asked_ever_more_seldom_and_it_is_told() -> None:
    work = topology()
    win_a_deal(work)
    work.run()
    name = f"unshown:netsuite:project:{PROJECT}"
    ordered, told = [0], []
    for day in range(1, 17):
        if ordered[-1] == day - 1:
            answer(work, commands(work, "upsert_project")[-1], "succeeded", None)
        work.now_ms += DAY_MS
        before = len(commands(work, "upsert_project"))
        show_another(work, "netsuite", f"news of day {day}")
        ordered += [day] * (len(commands(work, "upsert_project")) - before)
        told += [day] if name in work.table("psa.exception") else []
    assert ordered == [0, 1, 3, 7, 15]
    assert told == list(range(7, 17)), "from the third loss on"
    assert work.table("psa.exception")[name]["status"] == "open"

    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.run()
    assert work.table("psa.exception")[name]["status"] == "resolved"


@pytest.mark.parametrize("is_shown", [False, True])
def test_what_a_group_had_told_does_not_stay_open_once_it_has_begun_anew(is_shown: bool) -> None:
    work = topology()
    win_a_deal(work)
    work.run()
    name = f"unshown:netsuite:project:{PROJECT}"
    for day in range(7):
        if day in (0, 1, 3):
            answer(work, commands(work, "upsert_project")[-1], "succeeded", None)
        work.now_ms += DAY_MS
        show_another(work, "netsuite", f"news of day {day}")
    assert work.table("psa.exception")[name]["status"] == "open"
    if is_shown:
        work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.rebuild("engagement")
    assert work.table("psa.exception")[name]["status"] == "resolved", "it counts losses from now on"


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
@pytest.mark.parametrize("status", ["rejected", "superseded", "withdrawn"])
def test_a1_what_was_not_carried_out_is_not_awaited(status: str) -> None:
    work = topology()
    win_a_deal(work)
    work.run()
    [order] = commands(work, "upsert_project")
    answer(work, order, status, None)
    work.now_ms += 2 * DAY_MS
    show_another(work, "netsuite")
    assert len(commands(work, "upsert_project")) == 1


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_what_has_shown_or_is_out_of_date_or_unwanted_is_not_ordered_anew() -> None:
    work = topology()
    win_a_deal(work)
    work.run()
    [order] = commands(work, "upsert_project")
    answer(work, order, "succeeded", None)
    answer(work, {**order, "revision": order["revision"] - 1}, "succeeded", None)
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.run()
    work.now_ms += 2 * DAY_MS
    show_another(work, "netsuite")
    assert len(commands(work, "upsert_project")) == 1, "it has shown"

    legal_entity(work, "VAT-2")
    work.run()
    answer(work, order, "succeeded", None)
    work.now_ms += 2 * DAY_MS
    show_another(work, "netsuite", "y")
    assert len(commands(work, "upsert_project")) == 2, "only an older order is known to be made"

    answer(work, commands(work, "upsert_project")[-1], "succeeded", None)
    deal(work, "lost")
    work.run()
    work.now_ms += 2 * DAY_MS
    show_another(work, "netsuite", "z")
    assert len(commands(work, "upsert_project")) == 2, "nobody wants it any more"


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_a_target_that_keeps_its_own_version_is_asked_once_more_and_not_every_day() -> None:
    work = topology()
    win_a_deal(work)
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    plan_somebody(work)
    work.run()
    [order] = commands(work, "update_project_budget")
    answer(work, order, "succeeded", None)
    rounded = {"budget_cost": Decimal("400.010000"), "budget_revenue": Decimal("1000.000000")}
    shown = {**erp_project(), **rounded, "budget_hours": Decimal(10), "budget_currency": "EUR"}
    work.put("psa.project", ERP_PROJECT, shown, ERP_PROJECT)
    for day in range(5):
        work.run()
        answer(work, commands(work, "update_project_budget")[-1], "adopted", None)
        work.now_ms += DAY_MS
        show_another(work, "netsuite", f"news of day {day}")
    assert 1 < len(commands(work, "update_project_budget")) <= 3


@pytest.mark.fault("A1", place="tables/foundation/ledger.py")
def test_a1_a_budget_that_was_set_and_undone_before_anybody_saw_it_is_set_again() -> None:
    work = topology()
    win_a_deal(work)
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    plan_somebody(work)
    work.run()
    [order] = commands(work, "update_project_budget")
    answer(work, order, "succeeded", None)
    work.now_ms += DAY_MS
    show_another(work, "netsuite")
    first, again = commands(work, "update_project_budget")
    assert again["payload"] == first["payload"]
    assert again["revision"] > first["revision"]


def test_what_is_known_of_a_project_is_withdrawn_where_it_was_told() -> None:
    """A record of a compacted topic ends with a tombstone in the same partition."""
    work = topology()
    win_a_deal(work)
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.run()
    work.put("psa.project", ERP_PROJECT, None, ERP_PROJECT)
    work.run()
    told = {
        (key, partition): value
        for partition, log in enumerate(work.topics["psa.internal.project_context"])
        for _, key, value in log
    }
    assert len(told) == 1
    assert set(told.values()) == {None}
