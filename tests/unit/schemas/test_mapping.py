"""Each source object: one full row as its vendor writes it, and the canonical record it makes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas import identity
from tests.support.source_events import canonical

Row = dict[str, Any]

CUSTOMER = identity.customer_id("salesforce:account:001A")
ENGAGEMENT = identity.engagement_id("salesforce:opportunity:006A")
PROJECT = identity.project_id(ENGAGEMENT, "DE")
DEAL = identity.correlation_id("salesforce:opportunity:006A")
TIME_BILL = identity.time_bill_id("inhouse:time_entry:9", "inhouse:project:4")
ADA = identity.resource_id("ada@example.com")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


CASES: list[tuple[str, Row, dict[str, Row]]] = [
    (
        "src.salesforce.account",
        {
            "Id": "001A",
            "Name": " Acme ",
            "ParentId": "001P",
            "BillingCountryCode": "de",
            "CurrencyIsoCode": "EUR",
            "Tax_Number__c": "DE123",
            "IsDeleted": False,
            "SystemModstamp": "2026-01-01T00:00:00.000+0000",
        },
        {
            "customer": {
                "id": "salesforce:account:001A",
                "source_system": "salesforce",
                "customer_id": CUSTOMER,
                "name": "Acme",
                "country_code": "DE",
                "currency": "EUR",
                "tax_number": "DE123",
                "parent_id": "salesforce:account:001P",
                "is_active": True,
                "correlation_id": identity.correlation_id("salesforce:account:001A"),
            }
        },
    ),
    (
        "src.salesforce.opportunity",
        {
            "Id": "006A",
            "AccountId": "001A",
            "Name": "Data platform",
            "StageName": "Negotiation/Review",
            "Probability": Decimal("37.5000"),
            "Amount": Decimal("120000.5000"),
            "CurrencyIsoCode": "EUR",
            "CloseDate": date(2026, 2, 28),
            "Project_Start__c": date(2026, 3, 29),
            "Billing_Type__c": "Time & Materials",
            "IsDeleted": False,
            "SystemModstamp": "2026-01-01T00:00:00.000+0000",
        },
        {
            "opportunity": {
                "id": "salesforce:opportunity:006A",
                "source_system": "salesforce",
                "engagement_id": ENGAGEMENT,
                "customer_id": CUSTOMER,
                "name": "Data platform",
                "stage": "negotiating",
                "probability_ratio": Decimal("0.375000"),
                "amount": Decimal("120000.5000"),
                "currency": "EUR",
                "closes_on": date(2026, 2, 28),
                "starts_on": date(2026, 3, 29),
                "billing_type": "time_and_materials",
                "correlation_id": DEAL,
            }
        },
    ),
    (
        "src.salesforce.opportunity_line_item",
        {
            "Id": "00kA",
            "OpportunityId": "006A",
            "Quantity": Decimal("2.0000"),
            "TotalPrice": Decimal("60000.2500"),
            "Service_Line__c": "Cloud & Data",
            "Delivery_Country__c": "DE",
            "SystemModstamp": "2026-01-01T00:00:00.000+0000",
        },
        {
            "opportunity_line": {
                "id": "salesforce:opportunity_line_item:00kA",
                "source_system": "salesforce",
                "engagement_id": ENGAGEMENT,
                "service_line": "cloud_data",
                "country_code": "DE",
                "quantity": Decimal("2.0000"),
                "amount": Decimal("60000.2500"),
                "correlation_id": DEAL,
            }
        },
    ),
    (
        "src.netsuite.subsidiary",
        {
            "id": "3",
            "name": "Firm GmbH",
            "country": "DE",
            "currency": "EUR",
            "custrecord_psa_tax_code": "VAT-19",
            "isinactive": False,
        },
        {
            "legal_entity": {
                "id": "netsuite:subsidiary:3",
                "source_system": "netsuite",
                "native_id": "3",
                "name": "Firm GmbH",
                "country_code": "DE",
                "currency": "EUR",
                "tax_code": "VAT-19",
                "is_active": True,
                "correlation_id": identity.correlation_id("netsuite:subsidiary:3"),
            }
        },
    ),
    (
        "src.netsuite.customer",
        {
            "id": "55",
            "companyname": "Acme",
            "externalid": CUSTOMER,
            "country": "DE",
            "currency": "EUR",
            "vatregnumber": "DE123",
            "isinactive": True,
            "lastmodifieddate": "2026-01-01 00:00:00",
        },
        {
            "customer": {
                "id": "netsuite:customer:55",
                "source_system": "netsuite",
                "customer_id": CUSTOMER,
                "name": "Acme",
                "country_code": "DE",
                "currency": "EUR",
                "tax_number": "DE123",
                "is_active": False,
                "correlation_id": identity.correlation_id("netsuite:customer:55"),
            }
        },
    ),
    (
        "src.netsuite.project",
        {
            "id": "70",
            "companyname": "Data platform DE",
            "externalid": PROJECT,
            "customer_externalid": CUSTOMER,
            "subsidiary": "3",
            "currency": "EUR",
            "startdate": date(2026, 3, 29),
            "billing_type": "TM",
            "custentity_psa_tax_code": "VAT-19",
            "custentity_psa_service_lines": "cloud_data,strategy",
            "custentity_psa_contract_value": Decimal("60000.250000"),
            "custentity_psa_budget_hours": Decimal("400.50"),
            "estimatedcost": Decimal("32000.100000"),
            "estimatedrevenue": Decimal("60000.200000"),
            "custentity_psa_budget_currency": "EUR",
            "custentity_psa_correlation_id": DEAL,
            "lastmodifieddate": "2026-01-01 00:00:00",
        },
        {
            "project": {
                "id": "netsuite:project:70",
                "source_system": "netsuite",
                "project_id": PROJECT,
                "engagement_id": ENGAGEMENT,
                "customer_id": CUSTOMER,
                "name": "Data platform DE",
                "status": "active",
                "currency": "EUR",
                "starts_on": date(2026, 3, 29),
                "legal_entity_id": "3",
                "tax_code": "VAT-19",
                "billing_type": "time_and_materials",
                "service_lines": "cloud_data,strategy",
                "contract_value": Decimal("60000.250000"),
                "budget_hours": Decimal("400.50"),
                "budget_cost": Decimal("32000.100000"),
                "budget_revenue": Decimal("60000.200000"),
                "budget_currency": "EUR",
                "correlation_id": DEAL,
            }
        },
    ),
    (
        "src.netsuite.time_bill",
        {
            "id": "801",
            "externalid": TIME_BILL,
            "job_externalid": PROJECT,
            "trandate": date(2026, 3, 31),
            "hours": Decimal("7.50"),
            "seconds": 27_000,
            "isbillable": True,
            "rate": Decimal("150.1234"),
            "currency": "EUR",
            "custcol_psa_time_entry": "inhouse:time_entry:9",
            "custcol_psa_project": "inhouse:project:4",
            "custcol_psa_correlation_id": DEAL,
            "lastmodifieddate": "2026-01-01 00:00:00",
        },
        {
            "time_bill": {
                "id": "netsuite:time_bill:801",
                "time_bill_id": TIME_BILL,
                "project_ref": "inhouse:project:4",
                "time_entry_id": "inhouse:time_entry:9",
                "project_id": PROJECT,
                "work_on": date(2026, 3, 31),
                "hours": Decimal("7.50"),
                "seconds": 27_000,
                "is_billable": True,
                "bill_rate": Decimal("150.1234"),
                "currency": "EUR",
                "correlation_id": DEAL,
            }
        },
    ),
    (
        "src.netsuite.invoice",
        {
            "id": "900-2",
            "transaction": "900",
            "line": "2",
            "tranid": "INV-900",
            "trandate": date(2026, 4, 1),
            "type": "CustInvc",
            "status": "B",
            "voided": False,
            "customer_externalid": CUSTOMER,
            "job_externalid": PROJECT,
            "currency": "EUR",
            "quantity": Decimal("-7.50"),
            "seconds": -27_000,
            "netamount": Decimal("-1407.410000"),
            "foreignamount": Decimal("-1125.925500"),
            "custcol_psa_time_entry": "inhouse:time_entry:9",
            "custcol_psa_project": "inhouse:project:4",
            "lastmodifieddate": "2026-01-01 00:00:00",
        },
        {
            "invoice": {
                "id": "netsuite:invoice:900-2",
                "invoice_id": "netsuite:invoice:900",
                "number": "INV-900",
                "invoiced_on": date(2026, 4, 1),
                "kind": "invoice",
                "status": "paid",
                "customer_id": CUSTOMER,
                "project_id": PROJECT,
                "project_ref": "inhouse:project:4",
                "time_entry_id": "inhouse:time_entry:9",
                "hours": Decimal("7.50"),
                "seconds": 27_000,
                "amount": Decimal("1125.925500"),
                "currency": "EUR",
                "correlation_id": identity.correlation_id("netsuite:invoice:900"),
            }
        },
    ),
    (
        "src.float.person",
        {
            "people_id": 12,
            "name": "Ada",
            "email": " Ada@Example.com ",
            "role_id": 4,
            "cost_rate": Decimal("80.5000"),
            "default_hourly_rate": Decimal("150.0000"),
            "work_days_hours": [Decimal(f"{day}.00") for day in range(7)],
            "work_days_hours_history": {
                "1970-01-01": [Decimal("8.00")] * 7,
                "2026-09-01": [Decimal("0.25"), *[Decimal(f"{day}.00") for day in range(1, 7)]],
            },
            "contracts": [
                {"effective_date": date(2026, 1, 1), "cost_rate": Decimal("70.0000")},
                {"effective_date": None, "cost_rate": None},
            ],
            "region_id": 2,
            "people_type_id": 1,
            "start_date": date(2025, 1, 1),
            "active": 1,
            "created": "2026-01-01 00:00:00",
            "modified": None,
        },
        {
            "resource": {
                "id": "float:person:12",
                "source_system": "float",
                "resource_id": identity.resource_id("float:person:12"),
                "address_id": ADA,
                "kind": "employee",
                "region_ref": "float:region:2",
                "work_patterns": [
                    {"starts_on": date(1970, 1, 1), "seconds": [28_800] * 7},
                    {
                        "starts_on": date(2026, 9, 1),
                        "seconds": [3_600, 7_200, 10_800, 14_400, 18_000, 21_600, 900],
                    },
                ],
                "name": "Ada",
                "role_ref": "float:role:4",
                "work_hours": [Decimal(f"{day}.00") for day in (1, 2, 3, 4, 5, 6, 0)],
                "starts_on": date(2025, 1, 1),
                "is_active": True,
                "correlation_id": identity.correlation_id("float:person:12"),
            },
            "rate_card": {
                "id": "float:person:12",
                "source_system": "float",
                "resource_id": identity.resource_id("float:person:12"),
                "cost_rate": Decimal("80.5000"),
                "cost_rates": [{"starts_on": date(2026, 1, 1), "rate": Decimal("70.0000")}],
                "bill_rate": Decimal("150.0000"),
                "currency": "EUR",
                "correlation_id": identity.correlation_id("float:person:12"),
            },
        },
    ),
    (
        "src.float.timeoff",
        {
            "timeoff_id": 5,
            "people_ids": [7, 8],
            "start_date": date(2026, 3, 9),
            "end_date": date(2026, 3, 10),
            "full_day": 0,
            "hours": Decimal("3.50"),
            "status": 2,
            "repeat_state": 0,
            "created": "2026-01-01 00:00:00",
            "modified": None,
        },
        {
            "absence": {
                "id": "float:timeoff:5",
                "source_system": "float",
                "kind": "leave",
                "resource_refs": ["float:person:7", "float:person:8"],
                "starts_on": date(2026, 3, 9),
                "ends_on": date(2026, 3, 10),
                "is_whole_day": False,
                "seconds_per_day": 12_600,
                "status": "approved",
                "correlation_id": identity.correlation_id("float:timeoff:5"),
            }
        },
    ),
    (
        "src.float.public_holiday",
        {"id": 14, "name": "Spring Day", "dates": [date(2026, 5, 1)], "region": 2},
        {
            "absence": {
                "id": "float:public_holiday:14",
                "source_system": "float",
                "kind": "holiday",
                "region_ref": "float:region:2",
                "dates": [date(2026, 5, 1)],
                "status": "approved",
                "correlation_id": identity.correlation_id("float:public_holiday:14"),
            }
        },
    ),
    (
        "src.float.team_holiday",
        {"holiday_id": 9, "name": "Outing", "date": date(2026, 6, 5), "end_date": None},
        {
            "absence": {
                "id": "float:team_holiday:9",
                "source_system": "float",
                "kind": "holiday",
                "starts_on": date(2026, 6, 5),
                "ends_on": date(2026, 6, 5),
                "status": "approved",
                "correlation_id": identity.correlation_id("float:team_holiday:9"),
            }
        },
    ),
    (
        "src.float.role",
        {"id": 4, "name": "Engineer"},
        {
            "role": {
                "id": "float:role:4",
                "source_system": "float",
                "name": "Engineer",
                "correlation_id": identity.correlation_id("float:role:4"),
            }
        },
    ),
    (
        "src.float.project",
        {
            "project_id": 31,
            "name": "Data platform DE",
            "project_code": PROJECT,
            "start_date": date(2026, 3, 29),
            "active": 0,
            "notes": f"psastream {DEAL}",
            "created": "2025-12-01 00:00:00",
            "modified": "2026-01-01 00:00:00",
        },
        {
            "project": {
                "id": "float:project:31",
                "source_system": "float",
                "project_id": PROJECT,
                "engagement_id": ENGAGEMENT,
                "name": "Data platform DE",
                "status": "closed",
                "starts_on": date(2026, 3, 29),
                "correlation_id": DEAL,
            }
        },
    ),
    (
        "src.float.allocation",
        {
            "task_id": 61,
            "people_id": 12,
            "project_id": 31,
            "start_date": date(2026, 3, 30),
            "end_date": date(2026, 4, 3),
            "hours": Decimal("7.50"),
            "status": 2,
            "billable": 1,
            "repeat_state": 0,
            "created": "2026-01-01 00:00:00",
        },
        {
            "assignment": {
                "id": "float:allocation:61",
                "source_system": "float",
                "project_ref": "float:project:31",
                "resource_ref": "float:person:12",
                "starts_on": date(2026, 3, 30),
                "ends_on": date(2026, 4, 3),
                "hours_per_day": Decimal("7.50"),
                "seconds_per_day": 27_000,
                "status": "approved",
                "is_billable": True,
                "correlation_id": identity.correlation_id("float:allocation:61"),
            }
        },
    ),
    (
        "src.inhouse.projects",
        {
            "id": 4,
            "name": "Data platform",
            "opportunity_ref": "006A",
            "country_code": "DE",
            "currency": "EUR",
            "status": "active",
            "starts_on": 20_541,  # days: Debezium's date
            "ends_on": None,
            "updated_at": "2026-01-01T00:00:00.000000Z",
        },
        {
            "project": {
                "id": "inhouse:project:4",
                "source_system": "inhouse",
                "project_id": PROJECT,
                "engagement_id": ENGAGEMENT,
                "name": "Data platform",
                "status": "active",
                "country_code": "DE",
                "currency": "EUR",
                "starts_on": date(2026, 3, 29),
                "correlation_id": DEAL,
            }
        },
    ),
    (
        "src.inhouse.tasks",
        {
            "id": 5,
            "project_id": 4,
            "name": "Build",
            "is_billable": True,
            "updated_at": "2026-01-01T00:00:00.000000Z",
        },
        {
            "task": {
                "id": "inhouse:task:5",
                "source_system": "inhouse",
                "project_ref": "inhouse:project:4",
                "name": "Build",
                "is_billable": True,
                "correlation_id": identity.correlation_id("inhouse:task:5"),
            }
        },
    ),
    (
        "src.inhouse.time_entries",
        {
            "id": 9,
            "project_id": 4,
            "task_id": 5,
            "worker_email": "ADA@example.com",
            "work_on": 20_543,
            "hours": Decimal("7.50"),
            "is_billable": True,
            "status": "approved",
            "bill_rate": Decimal("150.1234"),
            "cost_rate": Decimal("80.5000"),
            "currency": "EUR",
            "notes": "",
            "updated_at": "2026-01-01T00:00:00.000000Z",
        },
        {
            "time_entry": {
                "id": "inhouse:time_entry:9",
                "project_ref": "inhouse:project:4",
                "task_ref": "inhouse:task:5",
                "resource_id": ADA,
                "work_on": date(2026, 3, 31),
                "hours": Decimal("7.50"),
                "seconds": 27_000,
                "bill_rate": Decimal("150.1234"),
                "cost_rate": Decimal("80.5000"),
                "currency": "EUR",
                "status": "approved",
                "is_billable": True,
                "notes": "",
                "correlation_id": identity.correlation_id("inhouse:time_entry:9"),
            }
        },
    ),
    (
        "src.inhouse.expenses",
        {
            "id": 2,
            "project_id": 4,
            "worker_email": "ada@example.com",
            "spent_on": 20_543,
            "amount": Decimal("-12.3400"),
            "currency": "JPY",
            "is_billable": False,
            "status": "draft",
            "category": "Travel & Hotel",
            "updated_at": "2026-01-01T00:00:00.000000Z",
        },
        {
            "expense": {
                "id": "inhouse:expense:2",
                "project_ref": "inhouse:project:4",
                "resource_id": ADA,
                "spent_on": date(2026, 3, 31),
                "amount": Decimal("-12.3400"),
                "currency": "JPY",
                "status": "draft",
                "is_billable": False,
                "category": "travel_hotel",
                "correlation_id": identity.correlation_id("inhouse:expense:2"),
            }
        },
    ),
]


@pytest.mark.parametrize(("topic", "row", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_full_row_makes_its_canonical_records(
    topic: str, row: Row, expected: dict[str, Row]
) -> None:
    common = {"source_position": 77, "source_at": NEW_YEAR}
    assert canonical(topic, row) == {
        entity: {**record, **common} for entity, record in expected.items()
    }


def test_a_netsuite_customer_made_by_a_person_gets_an_id_of_its_own() -> None:
    row = {"id": "55", "companyname": "Acme", "externalid": "ACME-7", "country": "DE"}
    made = canonical("src.netsuite.customer", row)["customer"]
    assert made["customer_id"] == identity.customer_id("netsuite:customer:55")


@pytest.mark.parametrize("external_id", ["P-100", "eng-short-de", f"{PROJECT}x", None])
def test_a_project_of_somebody_else_has_no_canonical_id(external_id: str | None) -> None:
    row = {"id": "70", "companyname": "Own", "externalid": external_id, "currency": "EUR"}
    made = canonical("src.netsuite.project", row)["project"]
    assert "project_id" not in made
    assert "engagement_id" not in made


def test_a_project_of_the_psa_without_an_opportunity_keeps_a_trace_of_its_own() -> None:
    rows = {topic: row for topic, row, _ in CASES}
    row = rows["src.inhouse.projects"] | {"opportunity_ref": None}
    made = canonical("src.inhouse.projects", row)["project"]
    assert "project_id" not in made
    assert made["correlation_id"] == identity.correlation_id("inhouse:project:4")


@pytest.mark.fault("C21", place="schemas/mapping/durations.py")
def test_c21_fifty_minutes_of_a_timer_are_three_thousand_seconds() -> None:
    entry = next(row for topic, row, _ in CASES if topic == "src.inhouse.time_entries")
    record = canonical(
        "src.inhouse.time_entries", {**entry, "hours": Decimal("0.83"), "minutes": 50}
    )
    assert record["time_entry"]["seconds"] == 3_000
    assert record["time_entry"]["hours"] == Decimal("0.83")
