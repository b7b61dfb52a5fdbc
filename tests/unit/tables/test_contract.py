"""What a billing type means, and the fees of months under it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import Opportunity, Project, ProjectContext, ProjectLink
from tables.project import contract_cap
from tables.project.contract import Contract, Fees, Worked, agreed, contract_of
from tables.project.document import Standing
from tables.project.hours import MONEY_UNITS
from tests.support.topology import MemoryState

MICRO = MONEY_UNITS // 10**6
FEE = Contract("fixed_fee", Decimal(1000), "EUR", Decimal(20))
CAP = Contract("capped", Decimal(1000), "EUR", None)


def months(*worked: tuple[str, str, int, int]) -> dict[tuple[str, str], Worked]:
    """Month of 2026, currency, hours and money at rates."""
    return {
        (f"2026-{month}", currency): Worked(hours * 3_600, money * MONEY_UNITS)
        for month, currency, hours, money in worked
    }


def fees(**money: int) -> dict[tuple[str, str], Fees]:
    """Fees of `<currency>_<month>`."""
    return {
        (f"2026-{name[4:]}", name[:3]): Fees(amount * MONEY_UNITS) for name, amount in money.items()
    }


@pytest.mark.fault("C8", place="tables/project/contract.py")
@pytest.mark.parametrize(
    ("billing_type", "hourly", "paid", "capped"),
    [
        (None, True, True, False),
        ("time_and_materials", True, True, False),
        ("capped", True, True, True),
        ("fixed_fee", False, True, False),
        ("milestone", False, True, False),
        ("retainer", False, True, False),
        ("non_billable", False, False, False),
        ("barter", False, True, False),
    ],
)
def test_c8_what_each_billing_type_means(
    billing_type: str | None, hourly: bool, paid: bool, capped: bool
) -> None:
    rule = Contract(billing_type).rule
    assert (rule.is_hourly, rule.is_paid, rule.is_capped) == (hourly, paid, capped)


@pytest.mark.fault("C8", place="tables/project/contract.py")
@pytest.mark.parametrize("billing_type", ["fixed_fee", "milestone"])
@pytest.mark.parametrize(
    ("worked", "earned"),
    [
        pytest.param([("11", "EUR", 20, 0)], {"EUR_11": 1000}, id="all at once"),
        pytest.param(
            [("11", "EUR", 5, 0), ("12", "EUR", 10, 0)], {"EUR_11": 250, "EUR_12": 500}, id="shares"
        ),
        pytest.param(
            [("12", "EUR", 16, 0), ("11", "EUR", 5, 0)], {"EUR_11": 250, "EUR_12": 750}, id="beyond"
        ),
        pytest.param(
            [("11", "USD", 5, 9), ("11", "EUR", 5, 9)], {"USD_11": 0, "EUR_11": 500}, id="currency"
        ),
        pytest.param([("11", "USD", 5, 9)], {"USD_11": 0, "EUR_11": 250}, id="a row of its own"),
        pytest.param(
            [("11", "EUR", -5, 0), ("12", "EUR", 10, 0)], {"EUR_11": 0, "EUR_12": 250}, id="debt"
        ),
        pytest.param(
            [("11", "EUR", 25, 0), ("12", "EUR", -10, 0)],
            {"EUR_11": 1000, "EUR_12": -250},
            id="a correction",
        ),
        pytest.param([("11", "EUR", 0, 0)], {"EUR_11": 0}, id="nothing"),
        pytest.param([], {}, id="no month"),
    ],
)
def test_c8_a_fixed_price_is_earned_by_the_share_of_the_budget_worked(
    billing_type: str, worked: list[tuple[str, str, int, int]], earned: dict[str, int]
) -> None:
    contract = Contract(billing_type, FEE.value, FEE.currency, FEE.budget_hours)
    assert contract.revenue(months(*worked)) == fees(**earned)


@pytest.mark.fault("C8", place="tables/project/contract.py")
@pytest.mark.parametrize(
    ("value", "budget", "seconds", "micros"),
    [
        ("0.000001", "2", 3_600, 0),  # half a millionth goes to the even neighbour
        ("0.000003", "2", 3_600, 2),
        ("1", "0.50", 900, 500_000),
        ("1000", "20", 1, 13_889),
    ],
)
def test_a_fee_is_rounded_half_to_even_at_six_digits(
    value: str, budget: str, seconds: int, micros: int
) -> None:
    contract = Contract("fixed_fee", Decimal(value), "EUR", Decimal(budget))
    earned = contract.revenue({("2026-11", "EUR"): Worked(seconds, 0)})
    assert earned == {("2026-11", "EUR"): Fees(micros * MICRO)}


@pytest.mark.fault("C8", place="tables/project/contract.py")
@pytest.mark.parametrize(
    ("worked", "earned"),
    [
        pytest.param([("11", "EUR", 1, 600)], {"EUR_11": 600}, id="below"),
        pytest.param(
            [("12", "EUR", 1, 600), ("11", "EUR", 1, 700)], {"EUR_11": 700, "EUR_12": 300}, id="to"
        ),
        pytest.param(
            [("10", "EUR", 1, 900), ("11", "EUR", 1, 900), ("12", "EUR", 1, -900)],
            {"EUR_10": 900, "EUR_11": 100, "EUR_12": -100},
            id="a correction",
        ),
        pytest.param(
            [("11", "AUD", 1, 0), ("11", "EUR", 1, 600), ("11", "USD", 1, 0)],
            {"AUD_11": 0, "EUR_11": 600, "USD_11": 0},
            id="no money in other currencies",
        ),
    ],
)
def test_c8_a_capped_contract_earns_its_time_up_to_its_value(
    worked: list[tuple[str, str, int, int]], earned: dict[str, int]
) -> None:
    assert CAP.revenue(months(*worked)) == fees(**earned)


@pytest.mark.fault("C8", place="tables/project/contract.py")
def test_c8_money_in_another_currency_than_the_cap_is_not_compared() -> None:
    worked = months(("11", "AUD", 1, 5), ("11", "EUR", 1, 600), ("11", "USD", 1, 5))
    other = Fees(None, "not_in_contract_currency")
    assert CAP.revenue(worked) == {
        ("2026-11", "AUD"): other,
        **fees(EUR_11=600),
        ("2026-11", "USD"): other,
    }


@pytest.mark.fault("C8", place="tables/project/contract.py")
@pytest.mark.parametrize(
    ("contract", "reason"),
    [
        (Contract("fixed_fee", None, "EUR", Decimal(20)), "no_contract_value"),
        (Contract("fixed_fee", Decimal(0), "EUR", Decimal(20)), "no_contract_value"),
        (Contract("fixed_fee", Decimal(9), None, Decimal(20)), "no_contract_currency"),
        (Contract("fixed_fee", Decimal(9), "EUR", None), "no_budget"),
        (Contract("fixed_fee", Decimal(9), "EUR", Decimal(0)), "no_budget"),
        (Contract("capped", None, "EUR"), "no_contract_value"),
        (Contract("capped", Decimal(9), None), "no_contract_currency"),
        (Contract("retainer", Decimal(9), "EUR", Decimal(20)), "no_fee_schedule"),
        (Contract("barter", Decimal(9), "EUR", Decimal(20)), "unknown_billing_type"),
    ],
)
def test_c8_fees_that_nobody_knows_have_a_reason(contract: Contract, reason: str) -> None:
    worked = months(("11", "EUR", 1, 100), ("12", "USD", 2, 100))
    assert contract.revenue(worked) == dict.fromkeys(worked, Fees(None, reason))
    assert contract.rule.is_paid, "the customer pays all the same"


def test_time_at_its_rates_and_time_that_nobody_pays() -> None:
    worked = months(("11", "EUR", 1, 100), ("12", "USD", 2, 50))
    assert Contract().revenue(worked) == fees(EUR_11=100, USD_12=50)
    assert Contract("non_billable").revenue(worked) == fees(EUR_11=0, USD_12=0)


@pytest.mark.fault("C8", place="tables/project/contract.py")
@pytest.mark.parametrize(
    ("contract", "cap"),
    [
        (CAP, 1000 * MONEY_UNITS),
        (Contract("capped", Decimal("0.5"), "EUR"), MONEY_UNITS // 2),
        (Contract("capped", Decimal(0), "EUR"), None),
        (Contract("capped", Decimal(-5), "EUR"), None),
        (Contract("capped", None, "EUR"), None),
        (Contract("capped", Decimal(5), None), None),
        (FEE, None),
        (Contract(None, Decimal(5), "EUR"), None),
    ],
)
def test_c8_what_caps_a_contract(contract: Contract, cap: int | None) -> None:
    assert contract.cap == cap


@pytest.mark.fault("C8", place="tables/project/contract.py")
@pytest.mark.parametrize(
    ("contract", "fault"),
    [
        (Contract("fixed_fee", Decimal("-0.000001"), "EUR", Decimal(20)), "value"),
        (Contract("capped", Decimal("-0.000001"), "EUR"), "value"),
        (Contract("milestone", Decimal(9), "EUR", Decimal("-0.01")), "budget"),
        (Contract("fixed_fee", None, None, Decimal("-0.01")), "budget"),
        (Contract("fixed_fee", Decimal(-9), "EUR", Decimal(-9)), "value"),
        (Contract("fixed_fee", Decimal(0), "EUR", Decimal(0)), None),
        # no fee of these follows from a budget
        (Contract("capped", Decimal(9), "EUR", Decimal(-9)), None),
        (Contract("time_and_materials", Decimal(-9), "EUR", Decimal(-9)), None),
        (Contract("retainer", Decimal(-9), "EUR", Decimal(-9)), None),
    ],
)
def test_c8_below_zero_no_fee_follows_however_little(contract: Contract, fault: str | None) -> None:
    named = {"value": "negative_contract_value", "budget": "negative_budget", None: None}
    assert contract.fault == named[fault]


@pytest.mark.parametrize("contract", [Contract(), FEE, CAP, Contract(None, None, "EUR")])
def test_a_contract_is_read_as_it_was_kept(contract: Contract) -> None:
    assert Contract.unpack(contract.pack()) == contract


DEAL = Opportunity(
    id="d", engagement_id="e", stage="won", name="n", currency="EUR", billing_type="capped"
)
ERP = ProjectLink(
    id="netsuite:project:1",
    source_system="netsuite",
    billing_type="retainer",
    contract_value=Decimal(7),
    currency="USD",
    budget_hours=Decimal(30),
)
RM = ProjectLink(id="float:project:1", source_system="float", assigned_hours=Decimal(40))
SILENT = DEAL.model_copy(update={"billing_type": None})
UNPLANNED = RM.model_copy(update={"assigned_hours": None})
NO_HOURS = RM.model_copy(update={"assigned_hours": Decimal(0)})


@pytest.mark.fault("C8", place="tables/project/contract.py")
@pytest.mark.parametrize(
    ("deal", "value", "erp", "rm", "contract"),
    [
        (DEAL, 5, ERP, RM, ("capped", 5, "EUR", 40)),
        (DEAL, 0, ERP, RM, ("capped", 0, "EUR", 40)),
        (DEAL, None, ERP, RM, ("capped", 7, "USD", 40)),
        (DEAL, None, None, RM, ("capped", None, None, 40)),
        (SILENT, 5, ERP, RM, ("retainer", 5, "EUR", 40)),
        (SILENT, 5, None, RM, (None, 5, "EUR", 40)),
        (None, None, ERP, None, ("retainer", 7, "USD", 30)),
        (None, None, ERP, UNPLANNED, ("retainer", 7, "USD", 30)),
        (None, None, ERP, NO_HOURS, ("retainer", 7, "USD", 0)),
        (None, None, None, None, (None, None, None, None)),
    ],
)
def test_c8_the_contract_is_the_deals_and_what_it_leaves_open_the_erps(
    deal: Opportunity | None,
    value: int | None,
    erp: ProjectLink | None,
    rm: ProjectLink | None,
    contract: tuple[str | None, int | None, str | None, int | None],
) -> None:
    found = agreed(deal, None if value is None else Decimal(value), erp, rm)
    assert (found.billing_type, found.value, found.currency, found.budget_hours) == contract


@pytest.mark.fault("C8", place="tables/project/contract.py")
@pytest.mark.parametrize("billing_type", ["fixed_fee", None])
def test_c8_a_project_follows_its_engagement_where_that_names_a_billing_type(
    billing_type: str | None,
) -> None:
    project = Project(**ERP.model_dump())
    context = ProjectContext(
        id="x",
        project_id="p",
        is_in_erp=True,
        billing_type=billing_type,
        contract_value=Decimal(9),
        currency="EUR",
        budget_hours=Decimal(8),
    )
    own = Contract("retainer", Decimal(7), "USD", Decimal(30))
    told = Contract("fixed_fee", Decimal(9), "EUR", Decimal(8))
    assert contract_of(project, context) == (told if billing_type else own)
    assert contract_of(project, None) == own


@pytest.mark.fault("C8", place="tables/project/contract_cap.py")
@pytest.mark.parametrize(
    ("contract", "billed", "amount"),
    [
        (CAP, 1000 * MONEY_UNITS, None),
        (CAP, 1000 * MONEY_UNITS + MICRO, "0.000001"),
        (CAP, 1200 * MONEY_UNITS, "200"),
        (Contract("capped", Decimal(0), "EUR"), 0, None),
        (Contract("capped", Decimal(0), "EUR"), MICRO, None),
        (Contract("capped", None, "EUR"), MONEY_UNITS, None),
        (FEE, 2000 * MONEY_UNITS, None),
    ],
)
def test_c8_what_lies_beyond_a_cap_is_told_to_the_unit(
    contract: Contract, billed: int, amount: str | None
) -> None:
    outbox = Outbox()
    contract_cap.tell(
        outbox, "inhouse:project:1", Standing(contract=contract), billed, told="", timestamp_ms=1
    )
    told = [
        (dict(emit.record or {})["amount"], dict(emit.record or {})["system"])
        for emit in outbox.emits
    ]
    assert told == ([] if amount is None else [(Decimal(amount), "inhouse")])


@pytest.mark.fault("C8", place="tables/project/contract_cap.py")
@pytest.mark.parametrize(
    ("before", "now", "written"),
    [
        ("", "", {}),
        ("", "a", {b"cap:p": b"a"}),
        ("a", "b", {b"cap:p": b"b"}),
        ("b", "a", {b"cap:p": b"a"}),
        ("a", "a", {}),
        ("a", "", {b"cap:p": None}),
    ],
)
def test_c8_what_is_told_of_a_cap_is_kept_where_it_changes(
    before: str, now: str, written: dict[bytes, bytes | None]
) -> None:
    documents = Documents(MemoryState())
    contract_cap.remember(documents, "p", before, now)
    assert documents.changes() == written
