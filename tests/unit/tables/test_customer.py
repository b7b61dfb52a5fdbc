"""One customer: what is ordered for it, what engagements hear, what is shown."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from schemas.identity import correlation_id
from tables.customer.table import STATUS_TOPIC, TABLE_TOPIC, CustomerTable
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import Customer, CustomerDemand
from tests.support.catalogue import LANDSCAPE
from tests.support.steps import calls_of
from tests.support.topology import MemoryState

CUSTOMER: Final = "cus-1"
CRM: Final = "salesforce:account:1"
ERP: Final = "netsuite:customer:9"
COMMANDS: Final = "psa.command.netsuite"


class Desk:
    """The table over a state that commits after each change."""

    def __init__(self) -> None:
        self._state = MemoryState()
        self.sent: list[tuple[str, str, str, Any]] = []
        self._now_ms = 1_000

    def row(self, identity: str, *, customer: str | None = CUSTOMER, **changes: Any) -> None:
        """A row of a system; without a customer its deletion."""
        known = {"id": identity, "source_system": identity.partition(":")[0], "name": "Acme"}
        fact = customer and Customer.model_validate({**known, "customer_id": customer, **changes})
        self._work(lambda table: table.apply_customer(identity, fact or None, self._now_ms))

    def demand(
        self,
        name: str = "eng-1",
        *,
        is_handed_off: bool | None = True,
        customer: str = CUSTOMER,
    ) -> None:
        """What an engagement needs; None: no customer any more."""
        fact = None
        if is_handed_off is not None:
            fact = CustomerDemand(
                engagement_id=name, customer_id=customer, is_handed_off=is_handed_off
            )
        self._work(lambda table: table.apply_demand(name, fact, self._now_ms))

    def _work(self, change: Any) -> None:
        documents, outbox = Documents(self._state), Outbox()
        self._now_ms += 1_000
        table = CustomerTable(documents, outbox, LANDSCAPE)
        change(table)
        table.settle()
        self._state.commit(documents.changes())
        self.sent = [(each.topic, each.key, each.route, each.record) for each in outbox.emits]

    def news(self, topic: str) -> list[Any]:
        """What the last change sent to a topic."""
        return [record for to, _, _, record in self.sent if to == topic]

    @property
    def is_empty(self) -> bool:
        return not self._state.rows


def test_a_customer_is_ordered_once_a_deal_of_it_is_handed_off() -> None:
    desk = Desk()
    desk.row(CRM, country_code="DE", currency="EUR", tax_number="DE1")
    assert desk.news(COMMANDS) == []
    desk.demand(is_handed_off=False)
    assert desk.news(COMMANDS) == []
    desk.demand()
    [order] = desk.news(COMMANDS)
    correlation = correlation_id(CRM)
    assert (order["kind"], order["natural_key"]) == (
        "upsert_customer",
        f"netsuite:customer:{CUSTOMER}",
    )
    assert (order["correlation_id"], order["amount"], order["currency"]) == (
        correlation,
        None,
        None,
    )
    assert json.loads(order["payload"]) == {
        "customer_id": CUSTOMER,
        "correlation_id": correlation,
        "name": "Acme",
        "country_code": "DE",
        "currency": "EUR",
        "tax_number": "DE1",
    }
    desk.demand("eng-2")
    assert desk.news(COMMANDS) == [], "it is on its way"
    desk.row(ERP, country_code="DE", currency="EUR", tax_number="DE1")
    assert desk.news(COMMANDS) == []


@pytest.mark.parametrize("field", ["name", "country_code", "currency", "tax_number"])
def test_what_the_crm_changes_is_ordered_anew(field: str) -> None:
    desk = Desk()
    desk.row(CRM, correlation_id="cor-1")
    desk.demand()
    desk.row(CRM, correlation_id="cor-1", **{field: "XX"})
    [order] = desk.news(COMMANDS)
    assert json.loads(order["payload"])[field] == "XX"
    assert order["correlation_id"] == "cor-1"
    desk.row(ERP, **{field: "YY"})
    [again] = desk.news(COMMANDS)
    assert json.loads(again["payload"])[field] == "XX"


def test_an_order_that_nobody_needs_any_more_is_taken_back_once() -> None:
    desk = Desk()
    desk.row(CRM)
    desk.demand()
    [order] = desk.news(COMMANDS)
    desk.demand(is_handed_off=None)
    [back] = desk.news(COMMANDS)
    assert (back["kind"], back["natural_key"]) == ("withdraw", order["natural_key"])
    assert back["revision"] > order["revision"]
    desk.row(CRM, name="Other")
    assert desk.news(COMMANDS) == []
    desk.demand()
    [again] = desk.news(COMMANDS)
    assert again["revision"] > back["revision"]


def test_what_is_shown_of_a_customer_follows_its_rows_and_deals() -> None:
    desk = Desk()

    def shown() -> tuple[Any, ...] | None:
        [row] = desk.news(TABLE_TOPIC)
        if row is None:
            return None
        return row["status"], row["name"], row["crm_id"], row["erp_id"], row["engagements"]

    desk.demand()
    assert desk.news(TABLE_TOPIC) == [], "nobody knows it yet"
    desk.row(CRM)
    assert shown() == ("requested", "Acme", CRM, None, 1)
    desk.demand(is_handed_off=False)
    assert shown() == ("prospect", "Acme", CRM, None, 1)
    desk.demand("eng-2", is_handed_off=False)
    assert shown() == ("prospect", "Acme", CRM, None, 2)
    desk.row(ERP, name="Acme AG")
    assert shown() == ("active", "Acme", CRM, ERP, 2)
    desk.row(ERP, name="Acme SE")
    assert desk.news(TABLE_TOPIC) == [], "the CRM names it"
    desk.row(CRM, customer=None)
    assert shown() == ("active", "Acme SE", None, ERP, 2)
    desk.row(ERP, customer=None)
    assert shown() is None
    desk.demand(is_handed_off=None)
    assert desk.news(TABLE_TOPIC) == [], "it is told once"


def test_an_engagement_hears_of_its_customer_while_it_needs_it_and_what_is_new() -> None:
    desk = Desk()
    desk.demand()
    key = f"eng-1|{CUSTOMER}"
    [(_, name, route, told)] = [each for each in desk.sent if each[0] == STATUS_TOPIC]
    assert (name, route) == (key, "eng-1")
    assert (told["name"], told["is_in_erp"]) == (None, False)
    desk.row(CRM, country_code="DE")
    [told] = desk.news(STATUS_TOPIC)
    assert (told["name"], told["country_code"], told["is_in_erp"]) == ("Acme", "DE", False)
    desk.row(CRM, country_code="DE", is_active=True)
    assert desk.news(STATUS_TOPIC) == [], "it is the same to an engagement"
    desk.row(ERP, name="Acme AG")
    [told] = desk.news(STATUS_TOPIC)
    assert (told["name"], told["is_in_erp"]) == ("Acme", True)
    desk.demand(is_handed_off=None)
    [(_, name, route, told)] = [each for each in desk.sent if each[0] == STATUS_TOPIC]
    assert (name, route, told) == (key, "eng-1", None)


@pytest.mark.parametrize("other", ["cus-0", "cus-2"])
def test_a_deal_that_moves_to_another_customer_counts_there_alone(other: str) -> None:
    desk = Desk()
    desk.row(CRM)
    desk.row("salesforce:account:2", customer=other)
    desk.demand()
    desk.demand(customer=other)
    assert {
        key: record["engagements"] for topic, key, _, record in desk.sent if topic == TABLE_TOPIC
    } == {CUSTOMER: 0, other: 1}
    assert [(each["natural_key"], each["kind"]) for each in desk.news(COMMANDS)] == [
        (f"netsuite:customer:{CUSTOMER}", "withdraw"),
        (f"netsuite:customer:{other}", "upsert_customer"),
    ]
    desk.row(CRM, customer=other)
    assert [record for topic, key, _, record in desk.sent if key == CUSTOMER] == [None]


def test_a_row_that_moves_leaves_its_former_customer_and_nothing_stays_of_what_is_gone() -> None:
    desk = Desk()
    desk.row(CRM)
    desk.row(CRM, customer="cus-2")
    assert [(key, bool(record)) for topic, key, _, record in desk.sent if topic == TABLE_TOPIC] == [
        (CUSTOMER, False),
        ("cus-2", True),
    ]
    desk.row(CRM, customer=None)
    assert desk.is_empty


@pytest.mark.fault("C23", place="tables/customer/view.py")
@pytest.mark.parametrize(
    ("activity", "speaks"),
    [
        ({"2": True, "10": True}, "2"),
        ({"2": None, "10": True}, "2"),
        ({"2": False, "10": True}, "10"),
        ({"2": False, "10": None}, "10"),
        ({"2": False, "10": False}, "2"),
    ],
)
def test_c23_an_active_row_speaks_before_others_then_the_oldest(
    activity: dict[str, bool | None], speaks: str
) -> None:
    for order in (list(activity), list(reversed(activity))):
        desk = Desk()
        for number in order:
            desk.row(f"salesforce:account:{number}", name=number, is_active=activity[number])
        desk.row(ERP)
        [row] = desk.news(TABLE_TOPIC)
        assert row["crm_id"] == f"salesforce:account:{speaks}"


def demands_of(count: int) -> int:
    """How many functions it takes to hear of so many engagements of one customer in one chunk."""
    state = MemoryState()
    documents, outbox = Documents(state), Outbox()
    table = CustomerTable(documents, outbox, LANDSCAPE)
    known = Customer(id=CRM, source_system="salesforce", customer_id=CUSTOMER, name="Acme")
    table.apply_customer(CRM, known, 1)

    def work() -> None:
        for number in range(count):
            name = f"eng-{number}"
            fact = CustomerDemand(engagement_id=name, customer_id=CUSTOMER, is_handed_off=True)
            table.apply_demand(name, fact, 2 + number)
        table.settle()

    calls = calls_of(work)
    told = [emit for emit in outbox.emits if emit.topic == "psa.internal.customer_status"]
    assert len(told) == count
    [order] = [emit.record for emit in outbox.emits if emit.topic == COMMANDS]
    assert order and order["revision"] == 1 + count, "as of the last engagement"
    return calls


def test_the_engagements_of_a_customer_that_come_at_once_are_answered_once() -> None:
    few, many = demands_of(20), demands_of(200)
    assert many < 12 * few
