"""What the CRM holds, whichever it is: its accounts, deals and lines in one form.

Rows of an account: `ref`, `name`, `country_code`, `currency`, `tax_number`. Of a deal: `ref`,
`account_ref`, `name`, `stage` and `billing_type` in canonical words, `probability` (0 to 1),
`amount`, `currency`, `starts_on` (text of a day), and what psastream has written to it:
`engagement_id`, `project_ids`, `delivery_status`. Of a line: `deal_ref`, `amount`, `service_line`,
`country_code`. A `ref` is `<system>:<kind>:<id>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

Row = Mapping[str, Any]
Tables = Mapping[str, Iterable[Row]]

STAGES: Final = {
    "Prospecting": "prospect",
    "Qualification": "qualified",
    "Proposal/Price Quote": "proposed",
    "Negotiation/Review": "negotiating",
    "Closed Won": "won",
    "Closed Lost": "lost",
}
BILLING_TYPES: Final = {
    "Time & Materials": "time_and_materials",
    "Fixed Fee": "fixed_fee",
    None: None,
}
HUBSPOT_STAGES: Final = {
    "appointmentscheduled": "prospect",
    "qualifiedtobuy": "qualified",
    "decisionmakerboughtin": "proposed",
    "contractsent": "negotiating",
    "closedwon": "won",
    "closedlost": "lost",
}
HUBSPOT_BILLING_TYPES: Final = {"by_the_hour": "time_and_materials", "fixed_price": "fixed_fee"}


@dataclass(frozen=True, slots=True)
class Sales:
    """The rows of a CRM that are not deleted; `deals_are` is how a deal's ref begins."""

    system: str
    deals_are: str
    accounts: tuple[Row, ...]
    deals: tuple[Row, ...]
    deal_lines: tuple[Row, ...]


def of_salesforce(tables: Tables) -> Sales:
    """Read the tables of Salesforce by their API names."""
    return Sales(
        system="salesforce",
        deals_are="salesforce:opportunity",
        accounts=tuple(
            {
                "ref": f"salesforce:account:{row['Id']}",
                "name": row["Name"],
                "country_code": row["BillingCountryCode"],
                "currency": row["CurrencyIsoCode"],
                "tax_number": row["Tax_Number__c"],
            }
            for row in _not_deleted(tables["Account"])
        ),
        deals=tuple(
            {
                "ref": f"salesforce:opportunity:{row['Id']}",
                "account_ref": f"salesforce:account:{row['AccountId']}",
                "name": row["Name"],
                "stage": STAGES[row["StageName"]],
                "probability": Decimal(str(row["Probability"])) / 100,
                "amount": row["Amount"],
                "currency": row["CurrencyIsoCode"],
                "starts_on": row["Project_Start__c"],
                "billing_type": BILLING_TYPES[row["Billing_Type__c"]],
                "engagement_id": row["PSA_Engagement_Id__c"],
                "project_ids": row["PSA_Project_Ids__c"],
                "delivery_status": row["PSA_Delivery_Status__c"],
            }
            for row in _not_deleted(tables["Opportunity"])
        ),
        deal_lines=tuple(
            {
                "deal_ref": f"salesforce:opportunity:{row['OpportunityId']}",
                "amount": row["TotalPrice"],
                "service_line": row["Service_Line__c"],
                "country_code": row["Delivery_Country__c"],
            }
            for row in _not_deleted(tables["OpportunityLineItem"])
        ),
    )


def of_hubspot(tables: Tables) -> Sales:
    """Read the objects of HubSpot, with the properties that the firm of the story has."""
    deal, company = "hubspot_custom:deal", "hubspot_custom:company"
    return Sales(
        system="hubspot_custom",
        deals_are=deal,
        accounts=tuple(
            {
                "ref": f"{company}:{row['id']}",
                "name": row["name"],
                "country_code": row["country_code"],
                "currency": row["currency_code"],
                "tax_number": row["tax_number"],
            }
            for row in tables["companies"]
        ),
        deals=tuple(
            {
                "ref": f"{deal}:{row['id']}",
                "account_ref": f"{company}:{row['hs_primary_associated_company']}",
                "name": row["dealname"],
                "stage": HUBSPOT_STAGES[row["dealstage"]],
                "probability": Decimal(row["hs_deal_stage_probability"]),
                "amount": row["amount"],
                "currency": row["deal_currency_code"],
                "starts_on": row["project_start"],
                "billing_type": HUBSPOT_BILLING_TYPES[row["billing_type"]],
                "engagement_id": row["psa_engagement_id"],
                "project_ids": row["psa_project_ids"],
                "delivery_status": row["psa_delivery_status"],
            }
            for row in tables["deals"]
        ),
        deal_lines=tuple(
            {
                "deal_ref": f"{deal}:{row['deal_id']}",
                "amount": row["amount"],
                "service_line": row["service_line"],
                "country_code": row["delivery_country"],
            }
            for row in tables["line_items"]
        ),
    )


@dataclass(frozen=True, slots=True)
class CrmTables:
    """Where the tables of a CRM are found in the vendors' books, and how they are read."""

    vendor: str
    read: Callable[[Tables], Sales]


READ: Final[Mapping[str, CrmTables]] = {
    "salesforce": CrmTables("salesforce", of_salesforce),
    "hubspot_custom": CrmTables("hubspot", of_hubspot),
}
"""By the name of the system."""


def _not_deleted(rows: Iterable[Row]) -> Iterable[Row]:
    return (row for row in rows if not row["IsDeleted"])
