"""What is shown of a project, and of which order, step by step; straight at the table."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest

from schemas.identity import correlation_id, project_id
from tables.engagement.status import TABLE_TOPIC
from tables.engagement.table import CONTEXT_TOPIC, DEMAND_TOPIC, EngagementTable
from tables.engagement.view import EngagementDocument
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import (
    CommandResult,
    CustomerStatus,
    LegalEntity,
    Opportunity,
    OpportunityLine,
    ProjectLink,
)
from tables.foundation.ledger import LedgerEntry
from tests.support.catalogue import LANDSCAPE
from tests.support.topology import MemoryState

ENGAGEMENT: Final = "eng-aaaaaaaaaaaa"
PROJECT: Final = project_id(ENGAGEMENT, "DE")
DEAL: Final = "salesforce:opportunity:1"
ERP, RM, PSA = "netsuite:project:5", "float:project:8", "inhouse:project:3"


class Desk:
    """The table over a state that commits after each change."""

    def __init__(self) -> None:
        self._state = MemoryState()
        self.sent: list[tuple[str, str, Any]] = []
        self._now_ms = 1_000

    def _work(self, change: Any) -> None:
        documents, outbox = Documents(self._state), Outbox()
        self._now_ms += 1_000
        table = EngagementTable(documents, outbox, 0, LANDSCAPE)
        change(table)
        table.settle(self._now_ms)
        self._state.commit(documents.changes())
        self.sent = [(each.topic, each.key, each.record) for each in outbox.emits]

    def deal(self, stage: str = "won", **changes: Any) -> None:
        fields = {"id": DEAL, "engagement_id": ENGAGEMENT, "customer_id": "cus-1", "name": "Grid"}
        fact = Opportunity.model_validate({**fields, "stage": stage, "currency": "EUR", **changes})
        self._work(lambda table: table.apply_opportunity(DEAL, fact, self._now_ms))

    def line(self, name: str = "l", amount: int | None = 900, **changes: Any) -> None:
        fields = {"id": name, "engagement_id": ENGAGEMENT, "country_code": "DE", "amount": amount}
        fact = OpportunityLine.model_validate({**fields, **changes})
        self._work(lambda table: table.apply_line(name, fact, self._now_ms))

    def no_line(self, name: str = "l") -> None:
        self._work(lambda table: table.apply_line(name, None, self._now_ms))

    def customer(self, *, is_in_erp: bool = True) -> None:
        fact = CustomerStatus(engagement_id=ENGAGEMENT, customer_id="cus-1", is_in_erp=is_in_erp)
        key = f"{ENGAGEMENT}|cus-1"
        self._work(lambda table: table.apply_customer_status(key, fact, self._now_ms))

    def entity(self, native: str = "2", **changes: Any) -> None:
        fields = {"id": f"netsuite:subsidiary:{native}", "native_id": native, "country_code": "DE"}
        fact = LegalEntity.model_validate(
            {**fields, "tax_code": "VAT", "is_active": True, **changes}
        )
        self._work(lambda table: table.apply_legal_entity(fact.id, fact, self._now_ms))

    def link(self, source: str, **changes: Any) -> None:
        system = source.partition(":")[0]
        fields = {"id": source, "source_system": system, "project_id": PROJECT}
        fact = ProjectLink.model_validate({**fields, "engagement_id": ENGAGEMENT, **changes})
        self._work(lambda table: table.apply_link(source, fact, self._now_ms))

    def no_link(self, source: str) -> None:
        self._work(lambda table: table.apply_link(source, None, self._now_ms))

    def result(self, order: Any, status: str, why: str | None = None, **changes: Any) -> None:
        told = {"natural_key": order["natural_key"], "kind": order["kind"], "status": status}
        content = {**told, "revision": order["revision"], "error_detail": why, **changes}
        fact = CommandResult.model_validate(content)
        self._work(lambda table: table.apply_result(order["natural_key"], fact, self._now_ms))

    def news(self, topic: str) -> list[Any]:
        return [record for to, _, record in self.sent if to == topic]

    def orders(self, target: str = "netsuite") -> list[Any]:
        return self.news(f"psa.command.{target}")

    def ledgers(self) -> dict[str, LedgerEntry]:
        document = Documents(self._state).get(EngagementDocument, f"e:{ENGAGEMENT}")
        return {} if document is None else document.ledgers

    def shown(self) -> dict[str, Any]:
        [row] = self.news(TABLE_TOPIC)
        assert isinstance(row, dict)
        return row

    def step(self) -> tuple[str, str | None]:
        row = self.shown()
        return row["status"], row["reason"]


def handed_off() -> Desk:
    desk = Desk()
    desk.deal()
    desk.line()
    desk.customer()
    desk.entity()
    return desk


def shown_by_erp(**changes: Any) -> dict[str, Any]:
    fields = {"customer_id": "cus-1", "name": "Grid (DE)", "currency": "EUR", "tax_code": "VAT"}
    return {**fields, "legal_entity_id": "2", "contract_value": Decimal(900), **changes}


def test_a_project_says_at_each_step_what_it_waits_for() -> None:
    desk = Desk()
    desk.deal()
    desk.line()
    assert desk.step() == ("waiting_customer", "the ERP does not hold the customer yet")
    desk.customer(is_in_erp=False)
    assert desk.news(TABLE_TOPIC) == []
    desk.customer()
    assert desk.step() == ("waiting_legal_entity", "no active legal entity in DE")
    assert desk.orders() == []
    desk.entity("9", is_active=False)
    desk.entity("9", country_code="FR")
    assert desk.orders() == []
    desk.entity()
    assert desk.step() == ("requested", None)
    [order] = desk.orders()
    desk.result(order, "rejected", "no tax code")
    assert desk.step() == ("rejected", "no tax code")
    desk.link(ERP, **shown_by_erp())
    assert desk.step() == ("active", None)
    assert desk.orders() == []


def test_an_order_holds_what_deal_lines_and_legal_entity_say() -> None:
    desk = Desk()
    desk.entity()
    desk.customer()
    desk.line("a", 900, service_line="build")
    desk.line("b", 50, service_line="advisory")
    desk.line("c", 7, service_line="build")
    desk.line("d", 7, service_line="run", country_code="FR")
    desk.line("e", None)  # of no worth yet and no service line
    desk.line("f", 7, country_code=None)  # delivered nobody knows where
    desk.deal(starts_on=date(2026, 3, 2), billing_type="fixed_fee", correlation_id="cor-1")
    [order] = [each for each in desk.orders() if each["natural_key"].endswith(PROJECT)]
    assert json.loads(order["payload"]) == {
        "customer_id": "cus-1",
        "name": "Grid (DE)",
        "legal_entity_id": "2",
        "currency": "EUR",
        "starts_on": "2026-03-02",
        "billing_type": "fixed_fee",
        "tax_code": "VAT",
        "service_lines": "advisory,build",
        "contract_value": "957",
        "project_id": PROJECT,
        "correlation_id": "cor-1",
        "seen_id": None,
    }
    assert (order["origin_key"], order["correlation_id"]) == (ENGAGEMENT, "cor-1")
    assert (order["amount"], order["currency"]) == (Decimal(957), "EUR")
    rows = {each["country_code"]: each for each in desk.news(TABLE_TOPIC)}
    assert rows["DE"]["status"] == "requested"


@pytest.mark.parametrize(
    "edit",
    [
        {"customer_id": "cus-2"},
        {"name": "Other"},
        {"legal_entity_id": "7"},
        {"currency": "USD"},
        {"starts_on": date(2026, 1, 1)},
        {"billing_type": "retainer"},
        {"tax_code": "X"},
        {"service_lines": "run"},
        {"contract_value": Decimal(1)},
    ],
)
def test_whatever_somebody_edits_in_the_erp_is_put_right(edit: dict[str, Any]) -> None:
    desk = handed_off()
    desk.link(ERP, **shown_by_erp())
    assert desk.orders() == []
    desk.link(ERP, **shown_by_erp(**edit))
    [order] = desk.orders()
    assert (order["kind"], json.loads(order["payload"])["name"]) == ("upsert_project", "Grid (DE)")


@pytest.mark.parametrize("edit", [{"name": "Other"}, {"starts_on": date(2026, 1, 1)}])
def test_the_resource_tool_gets_the_project_that_the_erp_holds(edit: dict[str, Any]) -> None:
    desk = handed_off()
    assert desk.orders("float") == []
    desk.link(ERP, **shown_by_erp())
    [order] = desk.orders("float")
    content = json.loads(order["payload"])
    assert {name: content[name] for name in ("name", "starts_on", "project_id")} == {
        "name": "Grid (DE)",
        "starts_on": None,
        "project_id": PROJECT,
    }
    assert content["seen_id"] is None
    desk.link(RM, name="Grid (DE)")
    assert desk.orders("float") == []
    desk.link(RM, **{"name": "Grid (DE)", **edit})
    [again] = desk.orders("float")
    assert json.loads(again["payload"])["seen_id"] == "8"


PLAN: Final = {"assigned_cost": Decimal(4), "assigned_revenue": Decimal(9)}


@pytest.mark.parametrize("name", ["hours", "cost", "revenue", "currency"])
def test_the_budget_is_what_is_planned(name: str) -> None:
    desk = handed_off()
    desk.link(ERP, **shown_by_erp())
    desk.link(RM, name="Grid (DE)")
    assert desk.orders() == [], "nothing has been planned"
    plan = {**PLAN, "assigned_hours": Decimal(10), "assigned_currency": "EUR"}
    desk.link(RM, name="Grid (DE)", **plan)
    [order] = desk.orders()
    assert (order["kind"], order["natural_key"]) == (
        "update_project_budget",
        f"netsuite:project_budget:{PROJECT}",
    )
    content = json.loads(order["payload"])
    assert {key: content[f"budget_{key}"] for key in ("hours", "cost", "revenue", "currency")} == {
        "hours": "10",
        "cost": "4",
        "revenue": "9",
        "currency": "EUR",
    }
    row = desk.shown()
    held = {f"budget_{key.removeprefix('assigned_')}": value for key, value in plan.items()}
    assert {key: row[key] for key in held} == held
    desk.link(ERP, **shown_by_erp(**held))
    assert desk.orders() == []
    other: dict[str, Any] = {f"budget_{name}": "USD" if name == "currency" else Decimal(1)}
    desk.link(ERP, **shown_by_erp(**{**held, **other}))
    assert [each["kind"] for each in desk.orders()] == ["update_project_budget"]


def test_a_budget_on_its_way_is_taken_back_with_the_project_it_is_for() -> None:
    desk = handed_off()
    desk.link(ERP, **shown_by_erp())
    plan = {**PLAN, "assigned_hours": Decimal(10), "assigned_currency": "EUR"}
    held = {f"budget_{key.removeprefix('assigned_')}": value for key, value in plan.items()}
    desk.link(RM, name="Grid (DE)", **plan)
    desk.no_link(ERP)
    budget = f"netsuite:project_budget:{PROJECT}"
    assert [each["kind"] for each in desk.orders() if each["natural_key"] == budget] == ["withdraw"]
    desk.link(ERP, **shown_by_erp(**held))
    desk.no_link(ERP)
    assert [each for each in desk.orders() if each["natural_key"] == budget] == [], "it had shown"


def test_a_project_that_was_taken_back_may_be_of_another_legal_entity_when_it_is_won_again() -> (
    None
):
    desk = handed_off()
    desk.deal("lost")
    assert [each["kind"] for each in desk.orders()] == ["delete_project"]
    desk.entity("1")
    desk.deal("won")
    [order] = desk.orders()
    assert json.loads(order["payload"])["legal_entity_id"] == "1", "the oldest of the country"
    desk.entity("0")
    assert desk.orders() == [], "what is ordered stays where it is"


@pytest.mark.fault("C24", place="tables/engagement/status.py")
def test_c24_finance_is_told_where_the_project_is_held_and_what_it_is_worth() -> None:
    desk = handed_off()
    for source in (ERP, RM, PSA):
        desk.link(source, **shown_by_erp())
    desk.deal("lost")
    [told] = desk.news("psa.exception")
    assert json.loads(told["payload"]) == {
        "project_id": PROJECT,
        "erp_ref": ERP,
        "rm_ref": RM,
        "psa_ref": PSA,
    }
    assert (told["status"], told["error_code"]) == ("open", "engagement.not_asked")
    assert (told["amount"], told["currency"]) == (Decimal(900), "EUR")
    assert told["correlation_id"] == correlation_id(DEAL)
    assert desk.step() == ("needs_finance", "the deal no longer asks for it")
    desk.deal("lost", name="Other")
    assert desk.news("psa.exception") == [], "told once"
    desk.no_link(PSA)
    [told] = desk.news("psa.exception")
    assert json.loads(told["payload"])["psa_ref"] is None
    desk.no_link(ERP)
    [told] = desk.news("psa.exception")
    assert (told["status"], told["payload"], told["amount"]) == ("resolved", None, None)
    assert desk.step() == ("withdrawn", "the deal no longer asks for it")
    desk.no_link(RM)
    assert desk.step()[0] == "cancelled"


def test_a_row_that_names_a_project_nobody_asked_for_goes_with_its_row() -> None:
    desk = Desk()
    desk.link(PSA)
    assert desk.step()[0] == "withdrawn"
    desk.no_link(PSA)
    assert desk.news(TABLE_TOPIC) == [None]
    desk.line()
    assert desk.news(TABLE_TOPIC) == []


def test_what_was_never_ordered_leaves_nothing_to_remember() -> None:
    desk = Desk()
    desk.deal("proposed")
    desk.line()
    for source in (PSA, RM):
        desk.link(source, name="by hand")
    assert desk.orders() == desk.orders("float") == []
    assert desk.ledgers() == {}, "nor a deletion, nor a wish"
    desk.link(ERP, name="by hand")
    assert desk.orders() == desk.orders("float") == []
    assert desk.ledgers() == {}, "what somebody else made is not ours to change"
    desk.deal("won")
    desk.customer()
    assert desk.ledgers().keys() == {f"float:project:{PROJECT}"}, "no legal entity yet"


def test_a_source_project_hears_of_its_contract_and_of_its_end() -> None:
    desk = handed_off()
    desk.link(PSA)
    [told] = desk.news(CONTEXT_TOPIC)
    assert (told["project_id"], told["is_in_erp"], told["contract_value"]) == (PROJECT, False, 900)
    desk.link(ERP, **shown_by_erp())
    assert {each["id"]: each["is_in_erp"] for each in desk.news(CONTEXT_TOPIC)} == {
        ERP: True,
        PSA: True,
    }
    desk.link(PSA, name="other")
    assert desk.news(CONTEXT_TOPIC) == [], "nothing new"
    desk.no_link(PSA)
    assert (CONTEXT_TOPIC, f"{PSA}|{PROJECT}", None) in desk.sent


def test_a_customer_is_asked_for_as_the_deal_says() -> None:
    desk = Desk()
    desk.deal("proposed")
    [asked] = desk.news(DEMAND_TOPIC)
    assert (asked["customer_id"], asked["is_handed_off"]) == ("cus-1", False)
    desk.deal("proposed", name="Other")
    assert desk.news(DEMAND_TOPIC) == []
    desk.deal("won")
    [asked] = desk.news(DEMAND_TOPIC)
    assert asked["is_handed_off"] is True
    desk.deal("won", customer_id=None)
    assert desk.news(DEMAND_TOPIC) == [None]


def test_of_several_rows_the_one_that_dispatch_keeps_up_stands_for_the_project() -> None:
    desk = handed_off()
    [order] = [each for each in desk.orders() if each["kind"] == "upsert_project"]
    for number in ("11", "9"):
        desk.link(f"netsuite:project:{number}", **shown_by_erp(name=f"copy {number}"))
    assert desk.shown()["erp_ref"] == "netsuite:project:9", "the oldest"
    desk.result(order, "succeeded", target_id="11")
    assert desk.shown()["erp_ref"] == "netsuite:project:11"
    desk.result(order, "succeeded")
    assert desk.shown()["erp_ref"] == "netsuite:project:9"
