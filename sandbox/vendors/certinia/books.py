"""Rows of Certinia PSA in its org: projects, plans, weeks of time, and the roll-ups of its package.

Facts and their sources: connectors/vendors/certinia/README.md. A roll-up rewrites a project in the
background some time after the project or time on it was written, so its stamp moves once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from pydantic import Field

from sandbox.vendors.salesforce.org import COMMON, FieldType, OrgBooks, OrgSchema, Row
from sandbox.vendors.salesforce.settings import SalesforceSettings
from sandbox.vendors.site import InvalidRowError, Site

PROJECT: Final = "pse__Proj__c"
TIMECARD: Final = "pse__Timecard_Header__c"
EXTERNAL_ID: Final = "Psastream_Project_Id__c"
"""The custom field that the firm has made."""
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOURS: Final = tuple(f"pse__{day}_Hours__c" for day in DAYS)
_TEXT, _FLAG, _NUMBER = FieldType.STRING, FieldType.BOOLEAN, FieldType.NUMBER
_DATE, _ID = FieldType.DATE, FieldType.ID
_WEEK: Final = timedelta(days=6)

OBJECTS: Final[Mapping[str, Mapping[str, FieldType]]] = {
    "Contact": {
        **COMMON, "Name": _TEXT, "Email": _TEXT, "CurrencyIsoCode": _TEXT,
        "pse__Is_Resource__c": _FLAG, "pse__Is_Resource_Active__c": _FLAG,
        "pse__External_Resource__c": _FLAG, "pse__Start_Date__c": _DATE,
        "pse__Last_Date__c": _DATE, "pse__Default_Cost_Rate__c": _NUMBER,
        "pse__Daily_Default_Cost_Rate__c": _FLAG,
    },
    PROJECT: {
        **COMMON, "Name": _TEXT, "CurrencyIsoCode": _TEXT, "pse__Is_Active__c": _FLAG,
        "pse__Is_Billable__c": _FLAG, "pse__Is_Template__c": _FLAG, "pse__Stage__c": _TEXT,
        "pse__Start_Date__c": _DATE, "pse__End_Date__c": _DATE, "pse__Billing_Type__c": _TEXT,
        "pse__Region__c": _ID, "pse__Actuals_Last_Update_Date__c": FieldType.DATETIME,
        EXTERNAL_ID: _TEXT,
    },
    "pse__Milestone__c": {
        **COMMON, "Name": _TEXT, "CurrencyIsoCode": _TEXT, "pse__Project__c": _ID,
        "pse__Status__c": _TEXT, "pse__Target_Date__c": _DATE, "pse__Actual_Date__c": _DATE,
        "pse__Milestone_Amount__c": _NUMBER,
    },
    "pse__Schedule__c": {
        **COMMON, **dict.fromkeys(_HOURS, _NUMBER), "pse__Start_Date__c": _DATE,
        "pse__End_Date__c": _DATE,
    },
    "pse__Assignment__c": {
        **COMMON, "CurrencyIsoCode": _TEXT, "pse__Resource__c": _ID, "pse__Project__c": _ID,
        "pse__Schedule__c": _ID, "pse__Start_Date__c": _DATE, "pse__End_Date__c": _DATE,
        "pse__Status__c": _TEXT, "pse__Is_Billable__c": _FLAG,
    },
    TIMECARD: {
        **COMMON, "CurrencyIsoCode": _TEXT, "pse__Resource__c": _ID, "pse__Project__c": _ID,
        "pse__Milestone__c": _ID, "pse__Start_Date__c": _DATE, "pse__End_Date__c": _DATE,
        **dict.fromkeys(_HOURS, _NUMBER), **{f"pse__{day}_Notes__c": _TEXT for day in DAYS},
        "pse__Total_Hours__c": _NUMBER, "pse__Status__c": _TEXT, "pse__Submitted__c": _FLAG,
        "pse__Approved__c": _FLAG, "pse__Billable__c": _FLAG, "pse__Bill_Rate__c": _NUMBER,
        "pse__Daily_Bill_Rate__c": _FLAG, "pse__Cost_Rate_Amount__c": _NUMBER,
        "pse__Cost_Rate_Currency_Code__c": _TEXT, "pse__Daily_Cost_Rate__c": _FLAG,
    },
    "pse__Expense__c": {
        **COMMON, "CurrencyIsoCode": _TEXT, "pse__Resource__c": _ID, "pse__Project__c": _ID,
        "pse__Expense_Date__c": _DATE, "pse__Amount__c": _NUMBER, "pse__Type__c": _TEXT,
        "pse__Status__c": _TEXT, "pse__Submitted__c": _FLAG, "pse__Approved__c": _FLAG,
        "pse__Billable__c": _FLAG,
    },
}  # fmt: skip

SCHEMA: Final = OrgSchema(
    objects=OBJECTS,
    key_prefixes={
        "Contact": "003", PROJECT: "a0B", "pse__Milestone__c": "a0M", "pse__Schedule__c": "a0C",
        "pse__Assignment__c": "a0A", TIMECARD: "a0D", "pse__Expense__c": "a0E",
    },
    parents={
        "pse__Milestone__c": {"pse__Project__c": PROJECT},
        "pse__Assignment__c": {
            "pse__Project__c": PROJECT, "pse__Resource__c": "Contact",
            "pse__Schedule__c": "pse__Schedule__c",
        },
        TIMECARD: {"pse__Project__c": PROJECT, "pse__Resource__c": "Contact"},
        "pse__Expense__c": {"pse__Project__c": PROJECT, "pse__Resource__c": "Contact"},
    },
    described={
        "CurrencyIsoCode": "picklist", "pse__Stage__c": "picklist", "pse__Status__c": "picklist",
        "pse__Billing_Type__c": "picklist", "pse__Type__c": "picklist",
    },
    never_null=frozenset({*COMMON, "Name", "CurrencyIsoCode"}),
    external_ids={PROJECT: (EXTERNAL_ID,)},
    required={"Contact": ("Name",), PROJECT: ("Name",), "pse__Milestone__c": ("Name",)},
    derived={
        PROJECT: frozenset({"pse__Actuals_Last_Update_Date__c"}),
        TIMECARD: frozenset({"pse__Total_Hours__c"}),
    },
)  # fmt: skip


class CertiniaSettings(SalesforceSettings):
    """Adjustable behaviour of the org."""

    rollup_s: float = Field(default=0, ge=0)
    """How long after a write the package rewrites the project in the background; 0: never."""


class CertiniaBooks(OrgBooks):
    """All rows of the org."""

    schema = SCHEMA

    def __init__(self, site: Site[CertiniaSettings]) -> None:
        super().__init__(site.clock)
        self._site = site
        self._due: dict[str, datetime] = {}

    def defaults(self, record_type: str) -> Row:
        """No checkbox is empty, nor a currency, nor the hours of a day."""
        fields = self.schema.objects[record_type]
        flags: Row = {name: False for name, kind in fields.items() if kind is FieldType.BOOLEAN}
        hours: Row = {name: 0 for name in _HOURS if name in fields}
        currency: Row = {"CurrencyIsoCode": "USD"} if "CurrencyIsoCode" in fields else {}
        return flags | hours | currency

    def settle(self) -> None:
        """Roll up the projects whose time has come."""
        now = self._clock.now()
        for project in [each for each, at in self._due.items() if at <= now]:
            del self._due[project]
            row = self.row(PROJECT, project)
            if not row["IsDeleted"]:
                row["pse__Actuals_Last_Update_Date__c"] = self._clock.stamp()
                self._touch(row, None)

    def _derive(self, record_type: str, row: Row) -> None:
        if record_type == TIMECARD:
            row["pse__Total_Hours__c"] = sum((row[name] or 0 for name in _HOURS), 0)
            row["pse__End_Date__c"] = (_day(row["pse__Start_Date__c"]) + _WEEK).isoformat()
        project = row["Id"] if record_type == PROJECT else row.get("pse__Project__c")
        rollup_s = self._site.settings.rollup_s
        if rollup_s and project is not None:
            due = self._clock.now() + timedelta(seconds=rollup_s)
            self._due.setdefault(str(project), due)


def _day(value: object) -> date:
    if not isinstance(value, str):
        raise InvalidRowError("a timecard needs its first day")
    return date.fromisoformat(value)
