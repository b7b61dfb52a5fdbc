"""Two ERPs, each for some legal entities: a project is of the one its legal entity comes from."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest

from schemas.identity import time_bill_id
from schemas.landscape import Landscape, Role, System
from streams.groups import make_groups
from tests.support.firms import TWO_ERPS, landscape_of, open_feeder
from tests.support.histories import CUSTOMERS, DEALS, ENGAGEMENTS, PROJECT_IDS, Change, Feeder
from tests.support.oracle import payload

FIRST, SECOND = TWO_ERPS
DE, FR = PROJECT_IDS[:2]
PSA: Final = "inhouse:project:1"
ENTRY: Final = "inhouse:time_entry:1"


class Firm:
    """A firm with two ERPs; each change is worked off before the next one comes."""

    def __init__(self, landscape: Landscape | None = None) -> None:
        self.feeder: Feeder = open_feeder(TWO_ERPS, seed=1, chunk_max=3)
        self.topology = self.feeder.topology
        if landscape is not None:
            self.topology.replace_groups(make_groups([], self.topology.registry, landscape))

    def row(self, entity: str, identity: str, **record: Any) -> None:
        """A row of a system, or without content its deletion."""
        self.feeder.feed(Change(entity, identity, record or None))
        self.topology.run()

    def legal_entity(self, erp: str, number: int, country: str, **changes: Any) -> None:
        names = {"source_system": erp, "native_id": str(number), "country_code": country}
        entity = {**names, "tax_code": f"VAT {erp}", "is_active": True}
        self.row("legal_entity", f"{erp}:subsidiary:{number}", **{**entity, **changes})

    def deal(self, *countries: str, stage: str = "won", system: str = "salesforce") -> None:
        """A customer of the CRM, and a deal of it with a line for each country."""
        self.row("customer", "salesforce:account:0", **CUSTOMER, source_system="salesforce")
        names = {"engagement_id": ENGAGEMENTS[0], "customer_id": CUSTOMERS[0], "name": "Grid"}
        deal = {**names, "stage": stage, "currency": "EUR"}
        self.row("opportunity", DEALS[0].replace("salesforce", system), **deal)
        for number, country in enumerate(countries):
            line = {"country_code": country, "amount": Decimal("9.0000")}
            identity = f"salesforce:opportunity_line_item:{number}"
            self.row("opportunity_line", identity, engagement_id=ENGAGEMENTS[0], **line)

    def customer(self, erp: str) -> None:
        self.row("customer", f"{erp}:customer:7", **CUSTOMER, source_system=erp)

    def project(self, system: str, identity: str, number: int = 1, **fields: Any) -> None:
        names = {"source_system": system, "project_id": identity, "name": "Grid"}
        known = {**names, "engagement_id": ENGAGEMENTS[0], "customer_id": CUSTOMERS[0]}
        self.row("project", f"{system}:project:{number}", **known, **fields)

    def orders(self) -> list[tuple[str, str, str]]:
        """Target, kind and id of the commands since this was asked last."""
        commands = self.topology.commands()[getattr(self, "_read", 0) :]
        self._read = len(self.topology.commands())
        return sorted(
            (str(each["target"]), str(each["kind"]), str(each["natural_key"]).rpartition(":")[2])
            for each in commands
        )

    def last(self, natural_key: str) -> dict[str, Any]:
        """What the last command of a natural key says."""
        found = [each for each in self.topology.commands() if each["natural_key"] == natural_key]
        return payload(found[-1])

    def status(self, identity: str = DE) -> tuple[Any, Any, Any]:
        row = self.topology.table("psa.status.project")[identity]
        return row["status"], row["reason"], row["erp_ref"]

    def exceptions(self) -> dict[str, tuple[Any, Any]]:
        table = self.topology.table("psa.exception")
        rows = {key: row for key, row in table.items() if row["status"] == "open"}
        return {key: (row["error_code"], row["amount"]) for key, row in rows.items()}

    def hours(self) -> None:
        """Eight approved hours on a project of the PSA."""
        entry = {"project_ref": PSA, "resource_id": "res-a", "work_on": date(2026, 12, 1)}
        money = {"bill_rate": Decimal("100.0000"), "currency": "EUR"}
        time = {"hours": Decimal("8.00"), "status": "approved", "is_billable": True}
        self.row("time_entry", ENTRY, **entry, **money, **time)

    def bill(self, erp: str, slot: str = PSA, number: int = 1) -> None:
        """The time bill of the hours as an ERP shows it."""
        names = {"time_bill_id": time_bill_id(ENTRY, slot), "time_entry_id": ENTRY}
        content = {"project_ref": PSA, "project_id": DE, "work_on": date(2026, 12, 1)}
        money = {"hours": Decimal("8.00"), "bill_rate": Decimal("100.0000"), "currency": "EUR"}
        self.row("time_bill", f"{erp}:time_bill:{number}", **names, **content, **money)


CUSTOMER: Final = {
    "customer_id": CUSTOMERS[0],
    "name": "Acme",
    "country_code": "DE",
    "currency": "EUR",
}


def two_countries() -> Firm:
    """Germany is billed in the first ERP, France in the second; both entities have the id 1."""
    firm = Firm()
    firm.legal_entity(FIRST, 1, "DE")
    firm.legal_entity(SECOND, 1, "FR")
    return firm


def test_each_project_is_ordered_in_the_erp_of_its_legal_entity_and_the_customer_in_both() -> None:
    firm = two_countries()
    firm.deal("DE")
    assert firm.orders() == [(FIRST, "upsert_customer", CUSTOMERS[0])]
    firm.deal("DE", "FR")
    assert firm.orders() == [(SECOND, "upsert_customer", CUSTOMERS[0])]
    firm.customer(SECOND)
    assert firm.orders() == [(SECOND, "upsert_project", FR)]
    assert firm.status(DE)[0] == "waiting_customer"
    assert firm.last(f"{SECOND}:project:{FR}")["tax_code"] == f"VAT {SECOND}"
    firm.customer(FIRST)
    assert firm.orders() == [(FIRST, "upsert_project", DE)]
    assert firm.last(f"{FIRST}:project:{DE}")["tax_code"] == f"VAT {FIRST}"
    firm.project(SECOND, FR)
    # What it shows is not what was ordered, so it is ordered again there.
    assert firm.orders() == [("float", "upsert_project", FR), (SECOND, "upsert_project", FR)]
    assert firm.status(FR) == ("active", None, f"{SECOND}:project:1")
    assert firm.status(DE)[0] == "requested"
    assert firm.exceptions() == {}


def test_a_customer_is_active_once_each_erp_that_needs_it_holds_it() -> None:
    firm = two_countries()
    firm.deal("DE", "FR", stage="proposed")

    def customer() -> tuple[Any, Any]:
        (row,) = firm.topology.table("psa.status.customer").values()
        return row["status"], row["erp_ids"]

    assert customer() == ("prospect", [])
    firm.deal("DE", "FR")
    assert customer() == ("requested", [])
    firm.customer(SECOND)
    assert customer() == ("requested", [f"{SECOND}:customer:7"])
    firm.customer(FIRST)
    assert customer() == ("active", [f"{FIRST}:customer:7", f"{SECOND}:customer:7"])
    firm.deal("DE", "FR", stage="lost")
    assert customer() == ("active", [f"{FIRST}:customer:7", f"{SECOND}:customer:7"])
    firm.row("customer", f"{FIRST}:customer:7")
    firm.row("customer", f"{SECOND}:customer:7")
    assert customer() == ("prospect", [])


def test_an_order_of_a_customer_that_no_erp_needs_any_more_is_withdrawn_in_that_erp() -> None:
    firm = two_countries()
    firm.deal("DE", "FR")
    firm.orders()
    firm.row("opportunity_line", "salesforce:opportunity_line_item:1")
    assert firm.orders() == [(SECOND, "withdraw", CUSTOMERS[0])]


def test_hours_and_budgets_go_to_the_erp_that_holds_the_project() -> None:
    firm = two_countries()
    firm.deal("FR")
    firm.customer(SECOND)
    firm.project("inhouse", FR)
    firm.hours()
    firm.orders()
    firm.project(FIRST, FR)  # somebody's copy: it is not billed there
    assert [each for each in firm.orders() if each[0] != "float"] == []
    firm.project(SECOND, FR, legal_entity_id="1")
    assert firm.orders() == [
        ("float", "upsert_project", FR),
        (SECOND, "upsert_project", FR),
        (SECOND, "upsert_time_bill", time_bill_id(ENTRY, PSA)),
    ]
    firm.project("float", FR, 3)
    days = {"starts_on": date(2026, 12, 1), "ends_on": date(2026, 12, 1), "status": "approved"}
    plan = {**days, "resource_ref": "float:person:1", "hours_per_day": Decimal("8.00")}
    firm.row("assignment", "float:allocation:1", project_ref="float:project:3", **plan)
    assert (SECOND, "update_project_budget", FR) in firm.orders()
    assert f"{FIRST}:project_budget:{FR}" not in {
        each["natural_key"] for each in firm.topology.commands()
    }


def test_a_project_whose_legal_entity_is_nowhere_waits_and_a_person_is_told() -> None:
    firm = Firm()
    firm.deal("DE")
    assert firm.orders() == []
    assert firm.status() == ("waiting_legal_entity", "no active legal entity in DE", None)
    told = {f"biller:{DE}": ("engagement.no_erp", Decimal(9))}
    assert firm.exceptions() == told
    firm.legal_entity(SECOND, 4, "FR")
    firm.legal_entity(SECOND, 5, "DE", is_active=False)
    assert firm.exceptions() == told
    firm.legal_entity(SECOND, 5, "DE")
    assert firm.exceptions() == {}
    assert firm.orders() == [(SECOND, "upsert_customer", CUSTOMERS[0])]


def test_which_of_two_erps_bills_in_a_country_is_not_guessed() -> None:
    firm = Firm()
    firm.legal_entity(FIRST, 1, "DE")
    firm.legal_entity(SECOND, 1, "DE")
    firm.deal("DE")
    assert firm.orders() == []
    reason = "more than one has an active legal entity in DE"
    assert firm.status() == ("waiting_legal_entity", reason, None)
    (row,) = [
        row for row in firm.topology.table("psa.exception").values() if row["status"] == "open"
    ]
    assert (row["error_code"], row["system"]) == ("engagement.no_erp", "salesforce")
    assert (row["amount"], row["currency"]) == (9, "EUR")
    assert reason in str(row["detail"])
    firm.deal("DE", stage="lost")
    assert firm.exceptions() == {}
    firm.deal("DE")
    firm.legal_entity(FIRST, 1, "DE", is_active=False)
    assert firm.exceptions() == {}
    assert firm.orders() == [(SECOND, "upsert_customer", CUSTOMERS[0])]


def test_the_landscape_says_for_which_legal_entities_an_erp_bills() -> None:
    systems = landscape_of(TWO_ERPS).systems
    some = System(role=Role.ERP, legal_entities=("2", "3"))
    firm = Firm(Landscape(systems={**systems, FIRST: some}))
    firm.legal_entity(FIRST, 1, "DE")
    firm.legal_entity(FIRST, 3, "FR")
    firm.legal_entity(SECOND, 1, "DE")
    firm.deal("DE", "FR")
    assert firm.exceptions() == {}
    assert firm.orders() == [
        (FIRST, "upsert_customer", CUSTOMERS[0]),
        (SECOND, "upsert_customer", CUSTOMERS[0]),
    ]
    firm.customer(SECOND)
    assert firm.orders() == [(SECOND, "upsert_project", DE)]


def test_what_stays_stays_when_a_second_erp_gets_a_legal_entity_of_the_country() -> None:
    """As long as the first one's is active: ordered, and also shown."""
    firm = two_countries()
    firm.deal("DE")
    firm.customer(FIRST)
    firm.orders()
    firm.legal_entity(SECOND, 9, "DE")
    assert firm.orders() == []
    assert firm.status()[0] == "requested"
    firm.project(FIRST, DE, legal_entity_id="1")
    assert firm.orders() != []
    assert firm.status()[0] == "active"
    assert firm.exceptions() == {}


def test_an_order_that_was_not_seen_yet_is_deleted_in_the_old_erp_and_given_to_the_new() -> None:
    firm = two_countries()
    firm.deal("DE")
    firm.customer(FIRST)
    firm.customer(SECOND)
    firm.orders()
    firm.legal_entity(SECOND, 9, "DE")
    firm.legal_entity(FIRST, 1, "DE", is_active=False)
    assert firm.orders() == [(FIRST, "delete_project", DE), (SECOND, "upsert_project", DE)]
    assert firm.exceptions() == {}
    firm.project(SECOND, DE, legal_entity_id="9")
    assert firm.status() == ("active", None, f"{SECOND}:project:1")


def moved_after_it_was_shown() -> Firm:
    """Germany goes over to the second ERP; the first one holds its project and bills hours."""
    firm = two_countries()
    firm.deal("DE")
    firm.customer(FIRST)
    firm.customer(SECOND)
    firm.project(FIRST, DE, legal_entity_id="1", contract_value=Decimal(9), currency="EUR")
    firm.project("inhouse", DE)
    firm.hours()
    firm.bill(FIRST)
    firm.orders()
    firm.legal_entity(SECOND, 9, "DE")
    assert firm.orders() == []
    firm.row("legal_entity", f"{FIRST}:subsidiary:1")
    return firm


def test_a_project_that_the_old_erp_has_shown_is_for_people_to_settle_there() -> None:
    firm = moved_after_it_was_shown()
    told = {f"engagement:{DE}": ("engagement.other_erp", Decimal(9))}
    assert firm.exceptions() == told
    assert (SECOND, "upsert_project", DE) in firm.orders()
    assert firm.status() == ("requested", None, None)
    firm.project(SECOND, DE, legal_entity_id="9", contract_value=Decimal(9), currency="EUR")
    assert firm.exceptions() == told
    assert firm.status() == ("active", None, f"{SECOND}:project:1")
    firm.project(FIRST, DE, legal_entity_id="1", contract_value=Decimal(0), currency="EUR")
    assert firm.exceptions() == {}


def test_hours_are_billed_in_the_new_erp_once_their_bill_is_gone_from_the_old_one() -> None:
    firm = moved_after_it_was_shown()
    old, new = time_bill_id(ENTRY, PSA), time_bill_id(ENTRY, f"{PSA}#1")
    assert (FIRST, "delete_time_bill", old) in firm.orders()
    firm.project(SECOND, DE, legal_entity_id="9")
    assert not [each for each in firm.orders() if "time_bill" in each[1]]
    firm.row("time_bill", f"{FIRST}:time_bill:1")
    assert firm.orders() == [(SECOND, "upsert_time_bill", new)]
    firm.bill(SECOND, f"{PSA}#1")
    assert firm.orders() == []
    firm.hours()
    assert firm.orders() == []
    firm.row("time_entry", ENTRY)
    assert firm.orders() == [(SECOND, "delete_time_bill", new)]


def test_a_project_that_both_erps_hold_stays_where_it_was_ordered_last() -> None:
    """The first one's legal entity is active again; later the deal is lost."""
    firm = moved_after_it_was_shown()
    firm.project(SECOND, DE, legal_entity_id="9", contract_value=Decimal(9), currency="EUR")
    firm.legal_entity(FIRST, 1, "DE")
    assert firm.status() == ("active", None, f"{SECOND}:project:1")
    firm.row("opportunity", DEALS[0])
    assert firm.status()[2] == f"{SECOND}:project:1"


def test_hours_follow_at_once_to_an_erp_that_holds_the_project_already() -> None:
    firm = two_countries()
    firm.deal("DE")
    firm.customer(FIRST)
    firm.project(FIRST, DE, legal_entity_id="1")
    firm.project("inhouse", DE)
    firm.hours()
    firm.bill(FIRST)
    firm.legal_entity(SECOND, 9, "DE")
    firm.project(SECOND, DE, legal_entity_id="9")
    firm.orders()
    firm.row("legal_entity", f"{FIRST}:subsidiary:1")
    assert (FIRST, "delete_time_bill", time_bill_id(ENTRY, PSA)) in firm.orders()


def test_hours_that_the_old_erp_has_invoiced_are_billed_in_no_other() -> None:
    firm = moved_after_it_was_shown()
    firm.orders()
    line = {"number": "9", "kind": "invoice", "status": "open", "project_ref": PSA}
    money = {"hours": Decimal("8.00"), "amount": Decimal(800), "currency": "EUR"}
    firm.row("invoice", f"{FIRST}:invoice:1", time_entry_id=ENTRY, **line, **money)
    assert [each[:2] for each in firm.orders()] == [(FIRST, "withdraw")]
    firm.project(SECOND, DE, legal_entity_id="9")
    assert not [each for each in firm.orders() if "time_bill" in each[1]]


def test_a_rebuild_takes_back_a_forgotten_bill_in_the_erp_that_shows_it() -> None:
    firm = two_countries()
    firm.bill(SECOND)
    firm.row("time_entry", ENTRY)
    assert firm.orders() == []
    firm.hours()
    assert firm.orders() == [(SECOND, "delete_time_bill", time_bill_id(ENTRY, PSA))]


def test_a_bill_of_a_system_that_is_no_erp_is_not_ours_to_delete() -> None:
    firm = two_countries()
    firm.bill("inhouse")
    firm.hours()
    assert firm.orders() == []


@pytest.mark.parametrize(
    ("system", "code"),
    [
        ("inhouse", "record.invalid_entity"),
        ("sugar", "record.unknown_system"),
        (None, "record.unknown_system"),
    ],
)
def test_a_legal_entity_of_no_erp_is_a_dead_letter(system: str | None, code: str) -> None:
    firm = two_countries()
    firm.legal_entity(f"{system}", 3, "DE", source_system=system)
    codes = {record["error_code"] for _, record in firm.topology.records("psa.dlq") if record}
    assert codes == {code}
    firm.deal("DE")
    assert firm.orders() == [(FIRST, "upsert_customer", CUSTOMERS[0])]


def test_an_exception_names_the_crm_that_its_deal_comes_from() -> None:
    systems = landscape_of(TWO_ERPS).systems
    firm = Firm(Landscape(systems={**systems, "hubspot": System(role=Role.CRM)}))
    firm.deal("DE", system="hubspot")
    assert {row["system"] for row in firm.topology.table("psa.exception").values()} == {"hubspot"}
