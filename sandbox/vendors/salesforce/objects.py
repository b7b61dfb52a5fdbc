"""Rows of the CRM: accounts, opportunities and their lines, derived values. No HTTP, no queries."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.salesforce.org import (
    COMMON,
    FieldType,
    OrgBooks,
    OrgSchema,
    Row,
    Value,
    number,
)
from sandbox.vendors.site import InvalidRowError

OBJECTS: dict[str, dict[str, FieldType]] = {
    "Account": {
        **COMMON,
        "Name": FieldType.STRING,
        "ParentId": FieldType.ID,
        "BillingCountryCode": FieldType.STRING,
        "CurrencyIsoCode": FieldType.STRING,
        "Tax_Number__c": FieldType.STRING,
        "MasterRecordId": FieldType.ID,
    },
    "Opportunity": {
        **COMMON,
        "AccountId": FieldType.ID,
        "Name": FieldType.STRING,
        "StageName": FieldType.STRING,
        "Probability": FieldType.NUMBER,
        "IsClosed": FieldType.BOOLEAN,
        "IsWon": FieldType.BOOLEAN,
        "ForecastCategory": FieldType.STRING,
        "HasOpportunityLineItem": FieldType.BOOLEAN,
        "Amount": FieldType.NUMBER,
        "CurrencyIsoCode": FieldType.STRING,
        "CloseDate": FieldType.DATE,
        "Project_Start__c": FieldType.DATE,
        "Billing_Type__c": FieldType.STRING,
        "PSA_Engagement_Id__c": FieldType.STRING,
        "PSA_Project_Ids__c": FieldType.STRING,
        "PSA_Delivery_Status__c": FieldType.STRING,
    },
    "OpportunityLineItem": {
        **COMMON,
        "OpportunityId": FieldType.ID,
        "Product2Id": FieldType.ID,
        "Quantity": FieldType.NUMBER,
        "UnitPrice": FieldType.NUMBER,
        "TotalPrice": FieldType.NUMBER,
        "Service_Line__c": FieldType.STRING,
        "Delivery_Country__c": FieldType.STRING,
        "Description": FieldType.STRING,
    },
}

SCHEMA = OrgSchema(
    objects=OBJECTS,
    key_prefixes={"Account": "001", "Opportunity": "006", "OpportunityLineItem": "00k"},
    parents={
        "Opportunity": {"AccountId": "Account"},
        "OpportunityLineItem": {"OpportunityId": "Opportunity"},
    },
    described={
        "Amount": "currency",
        "UnitPrice": "currency",
        "TotalPrice": "currency",
        "Probability": "percent",
        "StageName": "picklist",
        "Billing_Type__c": "picklist",
        "BillingCountryCode": "picklist",
        "CurrencyIsoCode": "picklist",
    },
    never_null=frozenset(
        {"Id", "Name", "StageName", "CloseDate", "OpportunityId"}
        | {"CreatedDate", "LastModifiedDate", "SystemModstamp"}
    ),
    required={
        "Account": ("Name",),
        "Opportunity": ("Name", "StageName", "CloseDate"),
        "OpportunityLineItem": ("OpportunityId",),
    },
    derived={
        "Account": frozenset({"MasterRecordId"}),
        "Opportunity": frozenset({"IsClosed", "IsWon", "HasOpportunityLineItem"}),
    },
)
_FORECAST = {
    "Closed Won": "Closed",
    "Closed Lost": "Omitted",
    "Proposal/Price Quote": "BestCase",
    "Negotiation/Review": "Forecast",
}
"""Category of a stage, which an org sets for each; of the others Pipeline."""


class SalesforceBooks(OrgBooks):
    """All rows of the CRM."""

    schema = SCHEMA

    def __init__(self, clock: VendorClock) -> None:
        super().__init__(clock)
        self._lines: defaultdict[Value, list[Row]] = defaultdict(list)

    def purge(self) -> int:
        """See OrgBooks."""
        gone = super().purge()
        for lines in self._lines.values():
            lines[:] = [line for line in lines if not line["IsDeleted"]]
        return gone

    def _changes(self, row: Row, changes: Row) -> Row:
        if changes.get("OpportunityId", row.get("OpportunityId")) != row.get("OpportunityId"):
            raise InvalidRowError("a line cannot move to another opportunity")
        if row.get("HasOpportunityLineItem"):
            changes.pop("Amount", None)  # derived from the lines: the vendor ignores the write
        return changes

    def _delete_below(self, record_type: str, row_id: str) -> None:
        if record_type == "Opportunity":
            for line in self._live_lines(row_id):
                self.delete("OpportunityLineItem", str(line["Id"]))

    def _live_lines(self, opportunity_id: Value) -> list[Row]:
        return [line for line in self._lines[opportunity_id] if not line["IsDeleted"]]

    def _derive(self, record_type: str, row: Row) -> None:
        if record_type == "Opportunity":
            row["IsWon"] = row["StageName"] == "Closed Won"
            row["IsClosed"] = row["IsWon"] or row["StageName"] == "Closed Lost"
            row["ForecastCategory"] = _FORECAST.get(str(row["StageName"]), "Pipeline")
            row["HasOpportunityLineItem"] = bool(self._live_lines(row["Id"]))
        elif record_type == "OpportunityLineItem":
            lines = self._lines[row["OpportunityId"]]
            if not any(line is row for line in lines):
                lines.append(row)
            if row["TotalPrice"] is None and row["Quantity"] is not None:
                row["TotalPrice"] = number(row["Quantity"]) * number(row["UnitPrice"] or 0)
            self._sum_lines(self._tables["Opportunity"][str(row["OpportunityId"])])

    def _sum_lines(self, opportunity: Row) -> None:
        lines = self._live_lines(opportunity["Id"])
        opportunity["HasOpportunityLineItem"] = bool(lines)
        if opportunity["IsDeleted"]:
            return
        if lines:
            opportunity["Amount"] = sum(
                (number(line["TotalPrice"] or 0) for line in lines), Decimal(0)
            )
        self._touch(opportunity, None)
