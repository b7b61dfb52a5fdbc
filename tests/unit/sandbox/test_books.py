"""The books against a page of numbers that anyone can check by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from sandbox.books import effects, measures, people, projects, status
from sandbox.books.audit import NOT_COMPARED, PUBLISHED, Evidence, actual_tables, audit
from sandbox.books.billing import (
    billing_totals,
    expected_billing,
    expected_billing_exceptions,
    expected_billing_totals,
)
from sandbox.books.comparison import compare
from sandbox.books.deals import actual_deals, expected_deals
from sandbox.books.ledgers import SERIES_CLOSED, Ledger
from sandbox.books.rows import SourceRows
from sandbox.story.part_timer import CHANGED_ON, FOUR_DAYS, THREE_DAYS
from sandbox.vendors.business_central import finance
from sandbox.vendors.business_central.books import BusinessCentralBooks
from sandbox.vendors.clock import VendorClock
from sandbox.vendors.effects import Effect, Operation
from sandbox.vendors.netsuite.tables import NetSuiteBooks
from schemas.contracts import record_schema
from schemas.identity import customer_id, engagement_id, project_id, resource_id, time_bill_id
from tests.support.catalogue import BY_NAME

D = Decimal

CUSTOMER = customer_id("salesforce:account:A1")
ENGAGEMENT = engagement_id("salesforce:opportunity:D1")
IN_GERMANY, IN_FRANCE = project_id(ENGAGEMENT, "DE"), project_id(ENGAGEMENT, "FR")
ADA = resource_id("float:person:3")
BILL = time_bill_id("inhouse:time_entry:1", "inhouse:project:7")


def entry(number: int, hours: str, **changes: Any) -> dict[str, Any]:
    """An approved billable entry of Ada on the German project, Monday 7 September 2026."""
    return {
        "ref": f"inhouse:time_entry:{number}",
        "project_ref": "inhouse:project:7",
        "worker": "ada@firm.example",
        "work_on": date(2026, 9, 7),
        "hours": Fraction(hours),
        "is_billable": True,
        "status": "approved",
        "bill_rate": D("100"),
        "cost_rate": D("60"),
        "currency": "EUR",
    } | changes


def job(**changes: Any) -> dict[str, Any]:
    """The ERP's project in Germany, with the budget of Ada's allocation."""
    return {
        "erp": "netsuite",
        "id": 50,
        "externalid": IN_GERMANY,
        "companyname": "Rollout (DE)",
        "parent": 40,
        "subsidiary": 1,
        "currency": "EUR",
        "startdate": "2026-09-07",
        "custentity_psa_billing_type": "time_and_materials",
        "custentity_psa_tax_code": "DE-VAT",
        "custentity_psa_service_lines": "advisory,data_platform",
        "custentity_psa_contract_value": "1500.00",
        "custentity_psa_budget_hours": "40",
        "estimatedcost": "2400",
        "estimatedrevenue": "4000",
        "custentity_psa_budget_currency": "EUR",
    } | changes


def line(country: str, price: str, service_line: str) -> dict[str, Any]:
    return {
        "deal_ref": "salesforce:opportunity:D1",
        "amount": D(price),
        "country_code": country,
        "service_line": service_line,
    }


def subsidiary(
    number: Any, country: str, tax_code: str | None, erp: str = "netsuite"
) -> dict[str, Any]:
    return {
        "erp": erp,
        "id": number,
        "country": country,
        "custrecord_psa_tax_code": tax_code,
        "needs_tax_code": erp == "netsuite",
        "isinactive": "F",
    }


def transaction(number: int, status: str = "A", kind: str = "CustInvc") -> dict[str, Any]:
    return {"id": number, "type": kind, "status": status, "currency": "EUR"}


def sold(transaction: int, **changes: Any) -> dict[str, Any]:
    """A line for the two hours of entry 1, signed as the ledger."""
    return {
        "transaction": transaction,
        "mainline": "F",
        "taxline": "F",
        "quantity": "-2",
        "foreignamount": "-190.00",
        "netamount": "-237.50",
        "custcol_psa_time_entry": "inhouse:time_entry:1",
        "custcol_psa_project": "inhouse:project:7",
    } | changes


# One customer, one won deal in two countries; France has no tax code. Ada works 8 hours a day,
# Monday to Friday, and is planned for one week. Two hours (entry 1) are billed in the ERP.
FIRM = SourceRows(
    accounts=(
        {
            "ref": "salesforce:account:A1",
            "name": "Acme",
            "country_code": "DE",
            "currency": "EUR",
            "tax_number": "DE1",
        },
    ),
    deals=(
        {
            "ref": "salesforce:opportunity:D1",
            "account_ref": "salesforce:account:A1",
            "name": "Rollout",
            "stage": "won",
            "probability": D(1),
            "amount": D("2500"),
            "currency": "EUR",
            "starts_on": "2026-09-07",
            "billing_type": "time_and_materials",
        },
        {
            "ref": "salesforce:opportunity:D2",
            "account_ref": "salesforce:account:A1",
            "name": "Next",
            "stage": "prospect",
            "probability": D("0.1"),
            "amount": D("1000"),
            "currency": "EUR",
        },
    ),
    deal_lines=(
        line("DE", "1000", "Data Platform"),
        line("DE", "500", "Advisory"),
        line("FR", "1000", "Advisory"),
    ),
    subsidiaries=(
        subsidiary(1, "DE", "DE-VAT"),
        subsidiary(2, "FR", None),
    ),
    customers=(
        {
            "erp": "netsuite",
            "id": 40,
            "externalid": CUSTOMER,
            "companyname": "Acme",
            "country": "DE",
            "currency": "EUR",
            "vatregnumber": "DE1",
        },
    ),
    jobs=(job(),),
    time_bills=(
        {
            "erp": "netsuite",
            "id": 90,
            "externalid": BILL,
            "customer": 50,
            "trandate": "2026-09-07",
            "hours": "2.00",
            "rate": "100",
            "custcol_psa_currency": "EUR",
            "custcol_psa_time_entry": "inhouse:time_entry:1",
            "custcol_psa_project": "inhouse:project:7",
        },
    ),
    people=(
        {
            "ref": "float:person:3",
            "email": "Ada@Firm.example",
            "is_placeholder": False,
            "region": None,
            "cost_rates": (("1970-01-01", D("60")),),
            "bill_rate": D("100"),
            "weeks": (("1970-01-01", (8, 8, 8, 8, 8, 0, 0)),),
            "starts_on": "2026-09-08",
            "ends_on": None,
        },
    ),
    rm_projects=(
        {
            "ref": "float:project:20",
            "project_id": IN_GERMANY,
            "name": "Rollout (DE)",
            "starts_on": "2026-09-07",
        },
    ),
    allocations=(
        {
            "ref": "float:allocation:30",
            "person_ref": "float:person:3",
            "project_ref": "float:project:20",
            "starts_on": "2026-09-07",
            "ends_on": "2026-09-13",
            "hours": D(8),
            "status": "approved",
            "is_billable": True,
        },
    ),
    projects=({"ref": "inhouse:project:7", "project_id": IN_GERMANY},),
    time_entries=(
        entry(1, "2"),
        entry(2, "3", is_billable=False),
        entry(3, "4", status="submitted"),
        entry(4, "5", project_ref="inhouse:project:999"),  # no such project yet
        entry(5, "30"),  # impossible
    ),
    expenses=(
        {
            "project_ref": "inhouse:project:7",
            "spent_on": date(2026, 9, 9),
            "amount": D("50"),
            "currency": "EUR",
            "is_billable": True,
            "status": "approved",
        },
    ),
)


def changed(rows: SourceRows, **tables: tuple[dict[str, Any], ...]) -> SourceRows:
    import dataclasses

    return dataclasses.replace(rows, **tables)


def test_margin_is_billable_hours_and_expenses_less_all_costs() -> None:
    assert measures.expected_margins(FIRM) == {
        "inhouse:project:7|2026-09|EUR": {
            "project_id": IN_GERMANY,
            "project_ref": "inhouse:project:7",
            "period": "2026-09",
            "currency": "EUR",
            "variant": "actual_approved",
            "hours": D(5),
            "seconds": 18_000,
            "revenue": D(250),  # 2 h x 100 + 50
            "revenue_reason": None,
            "cost": D(350),  # 5 h x 60 + 50
            "margin": D(-100),
            "margin_ratio": D("-0.4"),
        }
    }


FIXED_FEE = ({**FIRM.deals[0], "billing_type": "fixed_fee"},)


def test_a_fixed_price_is_earned_by_the_share_of_the_planned_hours() -> None:
    """5 of the 40 planned hours earn 187.50 of 1,500; the expense comes on top."""
    fixed = changed(FIRM, deals=FIXED_FEE)
    (row,) = measures.expected_margins(fixed).values()
    assert (row["revenue"], row["cost"], row["revenue_reason"]) == (D("237.5"), D(350), None)
    assert {row["state"]: row["amount"] for row in expected_billing(fixed).values()} == {
        "covered": D(0),
        "non_billable": D(0),
    }
    assert effects.expected_time_bills(fixed) == {}


def test_a_fixed_price_without_a_plan_has_no_revenue_yet() -> None:
    unplanned = changed(FIRM, deals=FIXED_FEE, allocations=(), jobs=())
    (row,) = measures.expected_margins(unplanned).values()
    assert (row["revenue"], row["margin"], row["revenue_reason"]) == (None, None, "no_budget")


def test_utilization_is_billable_hours_over_the_hours_of_the_days_employed() -> None:
    (row,) = measures.expected_utilization(FIRM).values()
    assert (row["resource_id"], row["iso_week"]) == (ADA, "2026-W37")
    assert (row["billable_hours"], row["total_hours"]) == (D(2), D(5))
    assert row["available_hours"] == D(32)  # employed from Tuesday: 4 days of 8 hours
    assert row["utilization_ratio"] == D("0.0625")


@pytest.mark.fault("C10", place="tables/project/planning.py")
def test_c10_a_part_timer_is_there_and_planned_on_the_days_of_her_week_of_then() -> None:
    """Three days of 6 h; from 21 September four days of 7.5 h."""
    weeks_held = (("1970-01-01", THREE_DAYS), (CHANGED_ON, FOUR_DAYS))
    paula = {**FIRM.people[0], "weeks": weeks_held, "starts_on": "2026-02-01"}
    weeks = {
        f"2026-W{week}": people.available_hours(FIRM, paula, f"2026-W{week}") for week in (38, 39)
    }
    assert weeks == {"2026-W38": D(18), "2026-W39": D(30)}
    days = people.planned_days(FIRM, paula, date(2026, 9, 7), date(2026, 10, 2))
    assert len(days) == 3 + 3 + 4 + 4


def test_pipeline_weighs_each_deal_by_its_probability() -> None:
    assert measures.expected_pipeline(FIRM)["prospect|EUR"] == {
        "stage": "prospect",
        "currency": "EUR",
        "opportunities": 1,
        "amount": D(1000),
        "weighted_amount": D(100),
    }


@pytest.mark.parametrize(
    ("tables", "state"),
    [
        ({}, "transferred"),
        ({"time_bills": ()}, "ready"),
        ({"time_bills": (), "jobs": ()}, "blocked"),
        ({"invoices": (transaction(9),), "invoice_lines": (sold(9),)}, "invoiced"),
        ({"invoices": (transaction(9, "B"),), "invoice_lines": (sold(9),)}, "invoiced"),
        ({"invoices": (transaction(9, "V"),), "invoice_lines": (sold(9),)}, "transferred"),
        ({"invoices": (transaction(9, "D"),), "invoice_lines": (sold(9),)}, "transferred"),
        ({"invoices": (transaction(9),), "invoice_lines": (sold(9, taxline="T"),)}, "transferred"),
    ],
)
def test_billing_state_follows_what_the_erp_holds(tables: dict[str, Any], state: str) -> None:
    rows = changed(FIRM, **tables)
    billing = expected_billing(rows)
    assert {row["state"]: row["hours"] for row in billing.values()} == {
        state: D(2),
        "non_billable": D(3),
    }
    assert billing_totals(billing) == expected_billing_totals(rows)


@pytest.mark.parametrize(
    ("invoiced", "credited", "expected"),
    [
        ("-2", "2", {"invoiced": (D(2), D(190)), "credited": (D(-2), D(-190))}),
        (
            "-2",
            "1.5",
            {"invoiced": (D(2), D(190)), "credited": (D("-1.5"), D("-142.5"))},
        ),
    ],
)
def test_what_is_credited_is_open_again(
    invoiced: str, credited: str, expected: dict[str, tuple[Decimal, Decimal]]
) -> None:
    memo = transaction(10, kind="CustCred")
    lines = (
        sold(9, quantity=invoiced),
        sold(10, quantity=credited, foreignamount=str(D(credited) * 95)),
    )
    rows = changed(FIRM, invoices=(transaction(9), memo), invoice_lines=lines)
    billing = expected_billing(rows)
    found = {row["state"]: (row["hours"], row["amount"]) for row in billing.values()}
    assert found == {
        **expected,
        "transferred": (D(credited), D(credited) * 100),
        "non_billable": (D(3), D(0)),
    }
    assert billing_totals(billing) == expected_billing_totals(rows)


def entry(**changes: Any) -> dict[str, Any]:
    """Entry 1: two hours at 100, invoiced with 190."""
    return {**FIRM.time_entries[0], **changes}


@pytest.mark.parametrize(
    ("changed_entry", "code", "amount"),
    [
        (entry(), None, None),
        (entry(hours=Fraction(3)), "billing.more_hours", D(110)),
        (entry(hours=Fraction(1)), "billing.fewer_hours", D(90)),
        (entry(status="submitted"), "billing.not_approved", D(190)),
        (entry(is_billable=False), "billing.not_billable", D(190)),
        (entry(bill_rate=D(120)), "billing.rate_changed", D(50)),
        (entry(project_ref="inhouse:project:8"), "billing.entry_gone", D(190)),
        (None, "billing.entry_gone", D(190)),
    ],
)
def test_what_is_invoiced_and_not_what_the_psa_says_is_told_with_its_amount(
    changed_entry: dict[str, Any] | None, code: str | None, amount: Decimal | None
) -> None:
    rest = FIRM.time_entries[1:]
    entries = rest if changed_entry is None else (changed_entry, *rest)
    billed = {"invoices": (transaction(9),), "invoice_lines": (sold(9, timebill=90),)}
    rows = changed(FIRM, time_entries=entries, **billed)
    found = expected_billing_exceptions(rows)
    assert {key: (row["error_code"], row["amount"]) for key, row in found.items()} == (
        {"billing:inhouse:time_entry:1|inhouse:project:7": (code, amount)} if code else {}
    )
    held = {BILL: effects.actual_time_bills(FIRM)[BILL]}
    assert effects.expected_time_bills(rows) == held


@pytest.mark.fault("A3", place="sandbox/books/billing.py")
def test_a3_a_credit_of_all_time_and_not_all_money_leaves_it_locked_and_told() -> None:
    memo = transaction(10, kind="CustCred")
    lines = (sold(9, timebill=90), sold(10, timebill=90, quantity="2", foreignamount="150"))
    rows = changed(FIRM, invoices=(transaction(9), memo), invoice_lines=lines)
    assert effects.expected_time_bills(rows).keys() == {BILL}, "nothing is billed anew"
    ((key, told),) = expected_billing_exceptions(rows).items()
    assert key == "billing:inhouse:time_entry:1|inhouse:project:7"
    assert (told["error_code"], told["amount"]) == ("billing.no_hours", D(40))
    states = {row["state"]: row["hours"] for row in expected_billing(rows).values()}
    assert states["transferred"] == D(2)
    assert billing_totals(expected_billing(rows)) == expected_billing_totals(rows)


def test_what_is_credited_is_billed_anew_and_the_used_time_bill_stays() -> None:
    memo = transaction(10, kind="CustCred")
    lines = (sold(9, timebill=90), sold(10, timebill=90, quantity="2", foreignamount="190"))
    rows = changed(FIRM, invoices=(transaction(9), memo), invoice_lines=lines)
    anew = time_bill_id("inhouse:time_entry:1", "inhouse:project:7#1")
    expected = effects.expected_time_bills(rows)
    assert expected.keys() == {BILL, anew}
    assert expected[anew] == expected[BILL]


def test_projects_follow_the_lines_of_won_deals() -> None:
    german = status.expected_projects(FIRM)[IN_GERMANY]
    assert (german["status"], german["name"]) == ("active", "Rollout (DE)")
    assert german["contract_value"] == D(1500)
    assert (german["budget_hours"], german["budget_cost"]) == (D(40), D(2400))
    french = status.expected_projects(FIRM)[IN_FRANCE]
    assert (french["status"], french["reason"]) == (
        "rejected",
        "Please enter value(s) for: Tax Code",
    )


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({"customers": ()}, "waiting_customer"),
        ({"subsidiaries": ()}, "waiting_legal_entity"),
        ({"deal_lines": ()}, "needs_finance"),
        (
            {"subsidiaries": (subsidiary(1, "DE", "X"),)},
            "requested",
        ),
    ],
)
def test_a_project_says_what_it_waits_for(tables: dict[str, Any], expected: str) -> None:
    jobs = (job(),) if expected == "needs_finance" else ()
    rows = changed(FIRM, jobs=jobs, **tables)
    assert status.expected_projects(rows)[IN_GERMANY]["status"] == expected


def test_a_missing_tax_code_is_an_open_exception_with_its_money() -> None:
    (exception,) = status.expected_exceptions(FIRM).values()
    assert exception["natural_key"] == f"netsuite:project:{IN_FRANCE}"
    assert (exception["amount"], exception["currency"]) == (D(1000), "EUR")


def test_tentative_allocations_plan_nothing_but_ask_for_a_budget_of_nothing() -> None:
    tentative = ({**FIRM.allocations[0], "status": "tentative"},)
    rows = changed(FIRM, allocations=tentative)
    assert projects.project_plan(rows, rows.rm_projects[0]) == projects.Plan(D(0), D(0), D(0), None)
    empty = changed(FIRM, allocations=())
    assert projects.project_plan(empty, empty.rm_projects[0]) is None


def test_targets_hold_what_the_books_ask_for() -> None:
    assert compare(expected_targets(FIRM), actual_targets(FIRM)) == []


@pytest.mark.parametrize(
    ("tables", "table"),
    [
        ({"jobs": (job(estimatedcost="2401"),)}, "jobs"),
        ({"jobs": (job(custentity_psa_tax_code="FR-VAT"),)}, "jobs"),
        ({"time_bills": ()}, "bills"),
        ({"time_bills": ({**FIRM.time_bills[0], "hours": "2.01"},)}, "bills"),
        (
            {"time_bills": (*FIRM.time_bills, {**FIRM.time_bills[0], "externalid": "tb-other"})},
            "bills",
        ),
        (
            {
                "rm_projects": (
                    FIRM.rm_projects[0],
                    {**FIRM.rm_projects[0], "ref": "float:project:21"},
                )
            },
            "rm",
        ),
        ({"customers": ({**FIRM.customers[0], "companyname": "Other"},)}, "debtors"),
    ],
)
def test_a_planted_error_in_a_target_is_found(tables: dict[str, Any], table: str) -> None:
    rows = changed(FIRM, **tables)
    found = compare(expected_targets(rows), actual_targets(rows))
    assert {difference.table for difference in found} == {table}


def test_a_repeated_creation_is_found_in_the_log() -> None:
    log = [written("create"), written("update")]
    assert effects.actual_log(log) == {
        f"netsuite time bill {BILL}": {"creations_less_deletions": 1}
    }
    twice = effects.actual_log([*log, written("create")])
    assert twice[f"netsuite time bill {BILL}"] == {"creations_less_deletions": 2}
    assert effects.actual_log([*log, written("delete")]) == {}


def test_every_field_of_a_published_row_is_compared() -> None:
    for topic in PUBLISHED.keys() - {"psa.exception"}:
        record = BY_NAME[topic].record
        assert record is not None
        fields = {field["name"] for field in record_schema(record).parsed["fields"]}
        rows = PUBLISHED[topic](FIRM)
        assert rows, topic
        for row in rows.values():
            assert fields - NOT_COMPARED == row.keys(), topic


def test_a_planted_difference_in_any_field_of_any_topic_is_found() -> None:
    evidence = Evidence(FIRM, {topic: expect(FIRM) for topic, expect in PUBLISHED.items()}, [], [])
    agreed = {each.table for each in audit(evidence, dead_letters=0).differences}
    assert agreed == {"writes, each once"}  # rows are there that the empty log does not know
    for topic, rows in evidence.published.items():
        for key, row in rows.items():
            for field in row.keys() - {"status"}:
                planted = {**evidence.published, topic: {**rows, key: {**row, field: "planted"}}}
                found = compare({topic: rows}, {topic: planted[topic]})
                assert [(each.table, each.key, each.field) for each in found] == [
                    (topic, key, field)
                ]


def test_missing_and_surplus_rows_are_found() -> None:
    rows = {"a": {"hours": D(1)}}
    assert [each.actual for each in compare({"t": rows}, {"t": {}})] == ["absent"]
    assert [each.expected for each in compare({"t": {}}, {"t": rows})] == ["absent"]


def test_resolved_exceptions_are_not_expected() -> None:
    resolved = {"x": {"status": "resolved"}}
    evidence = Evidence(FIRM, {"psa.exception": resolved}, [], [])
    assert actual_tables(evidence)["psa.exception"] == {}


def test_a_record_captured_twice_is_one_dead_letter() -> None:
    letters = ["src.inhouse.time_entries b'1'"] * 2
    evidence = Evidence(SourceRows(), {}, [], letters)
    assert audit(evidence, dead_letters=1).differences == []
    assert len(audit(evidence, dead_letters=0).differences) == 1


def written(operation: Operation) -> Effect:
    return Effect("netsuite", "timeBill", BILL, operation, "", "")


def expected_targets(rows: SourceRows) -> dict[str, status.Expected]:
    return {
        "debtors": effects.expected_debtors(rows),
        "jobs": effects.expected_jobs(rows),
        "bills": effects.expected_time_bills(rows),
        "rm": effects.expected_rm_projects(rows),
    }


def actual_targets(rows: SourceRows) -> dict[str, status.Expected]:
    return {
        "debtors": effects.actual_debtors(rows),
        "jobs": effects.actual_jobs(rows),
        "bills": effects.actual_time_bills(rows),
        "rm": effects.actual_rm_projects(rows),
    }


TWO_ERPS = changed(
    FIRM,
    erps=("netsuite", "other"),
    subsidiaries=(subsidiary(1, "DE", "DE-VAT"), subsidiary("c1", "FR", None, erp="other")),
)


def test_a_customer_is_in_each_erp_that_bills_a_project_of_it() -> None:
    assert effects.expected_debtors(TWO_ERPS).keys() == {
        f"netsuite {CUSTOMER}",
        f"other {CUSTOMER}",
    }
    (row,) = status.expected_customers(TWO_ERPS).values()
    assert (row["status"], row["erp_id"]) == ("requested", "netsuite:customer:40")
    there = {**FIRM.customers[0], "id": "k1", "erp": "other"}
    both = changed(TWO_ERPS, customers=(there, *FIRM.customers))
    (row,) = status.expected_customers(both).values()
    assert (row["status"], row["erp_id"]) == ("active", "netsuite:customer:40")
    assert row["erp_ids"] == ["netsuite:customer:40", "other:customer:k1"]


def test_a_project_is_in_the_erp_of_its_legal_entity_which_may_need_no_tax_code() -> None:
    assert status.expected_projects(TWO_ERPS)[IN_FRANCE]["status"] == "waiting_customer"
    there = {**FIRM.customers[0], "id": "k1", "erp": "other"}
    both = changed(TWO_ERPS, customers=(there, *FIRM.customers))
    assert status.expected_projects(both)[IN_FRANCE]["status"] == "requested"
    assert status.expected_exceptions(both) == {}
    jobs = effects.expected_jobs(both)
    assert [(jobs[name]["erp"], jobs[name]["legal_entity_id"]) for name in sorted(jobs)] == [
        ("netsuite", 1), ("other", "c1"),
    ]  # fmt: skip
    made = job(erp="other", id="j1", externalid=IN_FRANCE)
    found = status.expected_projects(changed(both, jobs=(job(), made)))[IN_FRANCE]
    assert (found["status"], found["erp_ref"]) == ("active", "other:project:j1")


def test_a_legal_entity_may_refuse_projects_for_anything() -> None:
    """Of Business Central it is a number series that takes no numbers of others."""
    erp = BusinessCentralBooks(VendorClock())
    for country, is_closed in (("DE", False), ("FR", True)):
        company = {"name": country, "displayName": country, "country": country}
        company |= {"currencyCode": "EUR", "_project_series_is_closed": is_closed}
        made = erp.create("companies", company)["id"]
        erp.create("customers", {"company": made, "number": CUSTOMER, "displayName": "Acme"})
    ledger = Ledger.of(("business_central",), {"business_central": erp.rows()})
    rows = changed(
        FIRM, erps=("business_central",), subsidiaries=ledger.subsidiaries,
        customers=ledger.customers, jobs=(), time_bills=(),
    )  # fmt: skip
    found = status.expected_projects(rows)
    assert found[IN_GERMANY]["status"] == "requested"
    assert (found[IN_FRANCE]["status"], found[IN_FRANCE]["reason"]) == ("rejected", SERIES_CLOSED)
    (told,) = status.expected_exceptions(rows).values()
    assert (told["detail"], told["field"]) == (SERIES_CLOSED, None)
    assert effects.expected_jobs(rows).keys() == {IN_GERMANY}


def test_a_customer_is_in_each_company_of_an_erp_and_was_made_there_once() -> None:
    companies = ("c1", "c2")
    rows = changed(
        FIRM,
        erps=("other",),
        subsidiaries=tuple(
            {**subsidiary(company, country, None, erp="other"), "company": company}
            for company, country in zip(companies, ("DE", "FR"), strict=True)
        ),
        customers=tuple(
            {**FIRM.customers[0], "erp": "other", "id": f"k{number}", "company": company}
            for number, company in enumerate(companies)
        ),
        jobs=(),
        time_bills=(),
    )
    keys = {f"other {company} {CUSTOMER}" for company in companies}
    assert effects.expected_debtors(rows).keys() == effects.actual_debtors(rows).keys() == keys
    assert effects.expected_log(rows)[f"other customer {CUSTOMER}"] == {
        "creations_less_deletions": 2
    }
    (row,) = status.expected_customers(rows).values()
    assert row["erp_ids"] == ["other:customer:k0"], "the oldest stands for it"
    one = changed(rows, customers=rows.customers[:1])
    assert f"other c2 {CUSTOMER}" in {
        each.key for each in compare(expected_targets(one), actual_targets(one))
    }


def test_the_books_of_two_erps_are_read_as_one() -> None:
    clock = VendorClock()
    erp = BusinessCentralBooks(clock)
    company = {"name": "GB", "displayName": "GB Ltd", "country": "GB", "currencyCode": "GBP"}
    gb = erp.create("companies", company)["id"]
    erp.create("customers", {"number": CUSTOMER, "displayName": "Acme", "currencyCode": "EUR"})
    values = {"number": IN_GERMANY, "description": "Rollout", "billToCustomerNumber": CUSTOMER}
    job_id = erp.create("jobs", values)["id"]
    line = {"jobNumber": IN_GERMANY, "documentNumber": BILL, "quantity": D("0.83333")}
    line |= {"unitPrice": D(120), "currencyCode": "EUR", "psaTimeEntryId": "e:1"}
    planned = erp.create("jobPlanningLines", line)["id"]
    first = finance.invoice_job(erp, IN_GERMANY)
    assert first is not None
    finance.credit_invoice(erp, first["id"])
    ledger = Ledger.of(
        ("netsuite", "business_central"),
        {"netsuite": NetSuiteBooks(clock).rows(), "business_central": erp.rows()},
    )
    (entity,), (project,), (bill,) = ledger.subsidiaries, ledger.jobs, ledger.time_bills
    assert (entity["id"], entity["currency"], entity["needs_tax_code"]) == (gb, "GBP", False)
    assert (project["externalid"], project["startdate"]) == (IN_GERMANY, None)
    assert project["custentity_psa_budget_hours"] is None
    assert project["parent"] == ledger.customers[0]["id"]
    assert (bill["externalid"], bill["customer"], bill["custcol_psa_project"]) == (
        BILL, job_id, None,
    )  # fmt: skip
    assert [(row["type"], row["status"]) for row in ledger.invoices] == [
        ("CustInvc", "A"), ("CustCred", "A"),
    ]  # fmt: skip
    assert [(row["quantity"], row["foreignamount"]) for row in ledger.invoice_lines] == [
        (D("-0.83333"), D("-100.00")), (D("0.83333"), D("100.00")),
    ]  # fmt: skip
    assert {row["timebill"] for row in ledger.invoice_lines} == {planned}
    finance.cancel_invoice(erp, first["id"])
    cancelled = Ledger.of(("business_central",), {"business_central": erp.rows()})
    assert [row["status"] for row in cancelled.invoices] == ["V", "A", "V"]


def test_a_deal_shows_the_status_of_the_project_that_is_least_far() -> None:
    """France is refused for its tax code; Germany is there."""
    assert expected_deals(FIRM) == actual_deals(FIRM) == {}, "it is told nothing"
    told = {
        "engagement_id": ENGAGEMENT,
        "project_ids": f"{IN_GERMANY},{IN_FRANCE}",
        "delivery_status": "rejected",
    }
    won, prospect = FIRM.deals
    firm = replace(FIRM, takes_status=True, deals=({**won, **told}, prospect))
    assert expected_deals(firm) == actual_deals(firm) == {"salesforce:opportunity:D1": told}
    overwritten = replace(firm, deals=({**won, **told, "delivery_status": "typed"}, prospect))
    tables = ({"crm deals": expected_deals(overwritten)}, {"crm deals": actual_deals(overwritten)})
    assert [each.field for each in compare(*tables)] == ["delivery_status"]


def test_a_deal_whose_projects_were_all_taken_back_is_not_compared() -> None:
    shown = {"engagement_id": ENGAGEMENT, "project_ids": None, "delivery_status": "cancelled"}
    won, prospect = FIRM.deals
    lost = {**won, "stage": "lost", **shown}
    firm = replace(FIRM, takes_status=True, deals=(lost, prospect), jobs=(), rm_projects=(),
                   projects=())  # fmt: skip
    assert expected_deals(firm) == actual_deals(firm) == {}
