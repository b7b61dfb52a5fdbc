"""What salespeople do in the CRM, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

from sandbox.vendors.client import VendorAdmin


@dataclass(frozen=True, slots=True)
class Account:
    """A customer to be."""

    name: str
    country_code: str
    currency: str
    tax_number: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A deal as sales opens it; stage and billing type in canonical words."""

    account_id: str
    name: str
    stage: str
    percent: int
    amount: int | None
    currency: str
    closes_on: str
    starts_on: str
    billing_type: str


@dataclass(slots=True)
class Deal:
    """A deal of the story; `lines` by delivery country."""

    id: str
    ref: str  # as sources tell it
    account_id: str
    name: str
    currency: str
    lines: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OfferLine:
    """A line of a deal: work to be delivered from a country."""

    deal_id: str
    quantity: int
    unit_price: Decimal
    service_line: str
    country_code: str


class Crm(Protocol):
    """A CRM's screens. Every method raises VendorAdminError; ids are the CRM's own."""

    deals_are: str
    """How ids of deals begin as sources tell them: `<system>:<kind>`."""

    def open_account(self, account: Account) -> str:
        """Add a customer; return its id."""

    def open_deal(self, offer: Offer) -> str:
        """Add a deal; return its id."""

    def add_line(self, line: OfferLine) -> str:
        """Add a line to a deal; return its id."""

    def move_deal(self, deal_id: str, stage: str, percent: int) -> None:
        """Move a deal to a stage, with its probability."""

    def rename_account(self, account_id: str, name: str) -> None:
        """Give a customer another name."""

    def remove_line(self, line_id: str) -> None:
        """Take a line out of its deal."""


class Salesforce:
    """An org with fields of its own for a project's start, billing type, country and service."""

    deals_are = "salesforce:opportunity"
    STAGES: Final = {
        "prospect": "Prospecting",
        "qualified": "Qualification",
        "proposed": "Proposal/Price Quote",
        "negotiating": "Negotiation/Review",
        "won": "Closed Won",
        "lost": "Closed Lost",
    }
    BILLING_TYPES: Final = {"time_and_materials": "Time & Materials", "fixed_fee": "Fixed Fee"}

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin

    def open_account(self, account: Account) -> str:
        row = {
            "Name": account.name,
            "BillingCountryCode": account.country_code,
            "CurrencyIsoCode": account.currency,
            "Tax_Number__c": account.tax_number,
        }
        return str(self._admin.create("salesforce", "Account", row)["Id"])

    def open_deal(self, offer: Offer) -> str:
        row = {
            "AccountId": offer.account_id,
            "Name": offer.name,
            "StageName": self.STAGES[offer.stage],
            "Probability": offer.percent,
            "Amount": offer.amount,
            "CurrencyIsoCode": offer.currency,
            "CloseDate": offer.closes_on,
            "Project_Start__c": offer.starts_on,
            "Billing_Type__c": self.BILLING_TYPES[offer.billing_type],
        }
        return str(self._admin.create("salesforce", "Opportunity", row)["Id"])

    def add_line(self, line: OfferLine) -> str:
        row = {
            "OpportunityId": line.deal_id,
            "Quantity": line.quantity,
            "UnitPrice": line.unit_price,
            "Service_Line__c": line.service_line,
            "Delivery_Country__c": line.country_code,
        }
        return str(self._admin.create("salesforce", "OpportunityLineItem", row)["Id"])

    def move_deal(self, deal_id: str, stage: str, percent: int) -> None:
        changes = {"StageName": self.STAGES[stage], "Probability": percent}
        self._admin.update("salesforce", "Opportunity", deal_id, changes)

    def rename_account(self, account_id: str, name: str) -> None:
        self._admin.update("salesforce", "Account", account_id, {"Name": name})

    def remove_line(self, line_id: str) -> None:
        self._admin.delete("salesforce", "OpportunityLineItem", line_id)


class HubSpot:
    """An account with properties of its own; its stages have their probability from the account."""

    deals_are = "hubspot_custom:deal"
    STAGES: Final = {
        "prospect": "appointmentscheduled",
        "qualified": "qualifiedtobuy",
        "proposed": "decisionmakerboughtin",
        "negotiating": "contractsent",
        "won": "closedwon",
        "lost": "closedlost",
    }
    BILLING_TYPES: Final = {"time_and_materials": "by_the_hour", "fixed_fee": "fixed_price"}

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin

    def open_account(self, account: Account) -> str:
        row = {
            "name": account.name,
            "country_code": account.country_code,
            "currency_code": account.currency,
            "tax_number": account.tax_number,
        }
        return str(self._admin.create("hubspot", "companies", row)["id"])

    def open_deal(self, offer: Offer) -> str:
        row = {
            "hs_primary_associated_company": offer.account_id,
            "dealname": offer.name,
            "dealstage": self.STAGES[offer.stage],
            "amount": offer.amount,
            "deal_currency_code": offer.currency,
            "project_start": offer.starts_on,
            "billing_type": self.BILLING_TYPES[offer.billing_type],
        }
        return str(self._admin.create("hubspot", "deals", row)["id"])

    def add_line(self, line: OfferLine) -> str:
        row = {
            "deal_id": line.deal_id,
            "quantity": line.quantity,
            "price": line.unit_price,
            "service_line": line.service_line,
            "delivery_country": line.country_code,
        }
        return str(self._admin.create("hubspot", "line_items", row)["id"])

    def move_deal(self, deal_id: str, stage: str, percent: int) -> None:
        self._admin.update("hubspot", "deals", deal_id, {"dealstage": self.STAGES[stage]})

    def rename_account(self, account_id: str, name: str) -> None:
        self._admin.update("hubspot", "companies", account_id, {"name": name})

    def remove_line(self, line_id: str) -> None:
        self._admin.delete("hubspot", "line_items", line_id)


CRMS: Final[Mapping[str, Callable[[VendorAdmin], Crm]]] = {
    "salesforce": Salesforce,
    "hubspot_custom": HubSpot,
}
"""Those that a story can be told in, by the name of the system."""
