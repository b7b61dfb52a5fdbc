"""Rows of the CRM: objects, their fields, soft deletion, derived values. No HTTP, no queries."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

Value = str | int | bool | Decimal | datetime | None
Row = dict[str, Value]


class FieldType(Enum):
    """Type of a field, in the vendor's words."""

    ID = "id"
    STRING = "string"
    BOOLEAN = "boolean"
    NUMBER = "double"
    DATE = "date"
    DATETIME = "datetime"


_COMMON = {
    "Id": FieldType.ID,
    "IsDeleted": FieldType.BOOLEAN,
    "CreatedDate": FieldType.DATETIME,
    "LastModifiedDate": FieldType.DATETIME,
    "SystemModstamp": FieldType.DATETIME,
}

OBJECTS: dict[str, dict[str, FieldType]] = {
    "Account": {
        **_COMMON,
        "Name": FieldType.STRING,
        "ParentId": FieldType.ID,
        "BillingCountryCode": FieldType.STRING,
        "CurrencyIsoCode": FieldType.STRING,
        "Tax_Number__c": FieldType.STRING,
        "MasterRecordId": FieldType.ID,
    },
    "Opportunity": {
        **_COMMON,
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
    },
    "OpportunityLineItem": {
        **_COMMON,
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

_KEY_PREFIXES = {"Account": "001", "Opportunity": "006", "OpportunityLineItem": "00k"}
_PARENTS = {
    "Opportunity": ("AccountId", "Account"),
    "OpportunityLineItem": ("OpportunityId", "Opportunity"),
}
_FORECAST = {
    "Closed Won": "Closed",
    "Closed Lost": "Omitted",
    "Proposal/Price Quote": "BestCase",
    "Negotiation/Review": "Forecast",
}
"""Category of a stage, which an org sets for each; of the others Pipeline."""
_DELETIONS_KEPT = timedelta(days=15)
_ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


class SalesforceBooks:
    """All rows of the org. A deleted row stays, flagged, until the recycle bin is purged."""

    def __init__(self, clock: VendorClock) -> None:
        self._clock = clock
        self._tables: dict[str, dict[str, Row]] = {name: {} for name in OBJECTS}
        self._deletions: dict[str, dict[str, datetime]] = {name: {} for name in OBJECTS}
        self._lines: defaultdict[Value, list[Row]] = defaultdict(list)
        self._sequence = itertools.count(1)
        self.deletions_kept_since = clock.stamp() - _DELETIONS_KEPT

    def table(self, record_type: str) -> Iterator[Row]:
        """Rows of an object, deleted ones included. Raises UnknownRowError."""
        return iter(self._table(record_type).values())

    def deletions(self, record_type: str) -> dict[str, datetime]:
        """Deletion log of an object: id → instant."""
        return dict(self._deletions[record_type])

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {
            name: [present(row) for row in table.values()] for name, table in self._tables.items()
        }

    def create(self, record_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add a row; an explicit `SystemModstamp` in the past makes a late-visible row."""
        table = self._table(record_type)
        row: Row = dict.fromkeys(OBJECTS[record_type])
        row |= _checked(record_type, values)
        stamp = row["SystemModstamp"] or self._clock.stamp()
        row |= {
            "Id": row["Id"] or _make_id(record_type, next(self._sequence)),
            "IsDeleted": bool(row["IsDeleted"]),
            "CreatedDate": row["CreatedDate"] or stamp,
            "LastModifiedDate": row["LastModifiedDate"] or stamp,
            "SystemModstamp": stamp,
        }
        self._check_parent(record_type, row)
        table[str(row["Id"])] = row
        if record_type == "OpportunityLineItem":
            self._lines[row["OpportunityId"]].append(row)
        self._derive(record_type, row)
        return present(row)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields and move the stamp, to an explicit one where `values` has it."""
        row = self._row(record_type, row_id)
        changes = _checked(record_type, values)
        if changes.get("OpportunityId", row.get("OpportunityId")) != row.get("OpportunityId"):
            raise InvalidRowError("a line cannot move to another opportunity")
        if row.get("HasOpportunityLineItem"):
            changes.pop("Amount", None)  # derived from the lines: the vendor ignores the write
        row |= changes
        self._touch(row, changes.get("SystemModstamp"))
        self._derive(record_type, row)
        return present(row)

    def delete(self, record_type: str, row_id: str) -> None:
        """Move a row, and the lines below an opportunity, to the recycle bin."""
        row = self._row(record_type, row_id)
        if row["IsDeleted"]:
            return
        row["IsDeleted"] = True
        self._touch(row, None)
        self._deletions[record_type][row_id] = self._clock.stamp()
        if record_type == "Opportunity":
            for line in self._live_lines(row_id):
                self.delete("OpportunityLineItem", str(line["Id"]))
        self._derive(record_type, row)

    def purge(self) -> int:
        """Empty the recycle bin; the number of rows that went."""
        gone = 0
        for table in self._tables.values():
            for row_id in [row_id for row_id, row in table.items() if row["IsDeleted"]]:
                del table[row_id]
                gone += 1
        for lines in self._lines.values():
            lines[:] = [line for line in lines if not line["IsDeleted"]]
        return gone

    def prune_deletions(self) -> None:
        """Forget the deletion log, as the vendor's background job does."""
        self.deletions_kept_since = self._clock.stamp()
        for log in self._deletions.values():
            log.clear()

    def _table(self, record_type: str) -> dict[str, Row]:
        if record_type not in self._tables:
            raise UnknownRowError(f"no object {record_type}")
        return self._tables[record_type]

    def _row(self, record_type: str, row_id: str) -> Row:
        row = self._table(record_type).get(row_id)
        if row is None:
            raise UnknownRowError(f"no {record_type} {row_id}")
        return row

    def _check_parent(self, record_type: str, row: Row) -> None:
        field, parent = _PARENTS.get(record_type, ("", ""))
        if parent and row[field] not in self._tables[parent]:
            raise InvalidRowError(f"{field} {row[field]} names no {parent}")

    def _touch(self, row: Row, stamp: Value) -> None:
        row["SystemModstamp"] = row["LastModifiedDate"] = stamp or self._clock.stamp()

    def _live_lines(self, opportunity_id: Value) -> list[Row]:
        return [line for line in self._lines[opportunity_id] if not line["IsDeleted"]]

    def _derive(self, record_type: str, row: Row) -> None:
        if record_type == "Opportunity":
            row["IsWon"] = row["StageName"] == "Closed Won"
            row["IsClosed"] = row["IsWon"] or row["StageName"] == "Closed Lost"
            row["ForecastCategory"] = _FORECAST.get(str(row["StageName"]), "Pipeline")
            row["HasOpportunityLineItem"] = bool(self._live_lines(row["Id"]))
        elif record_type == "OpportunityLineItem":
            if row["TotalPrice"] is None and row["Quantity"] is not None:
                row["TotalPrice"] = _number(row["Quantity"]) * _number(row["UnitPrice"] or 0)
            self._sum_lines(self._tables["Opportunity"][str(row["OpportunityId"])])

    def _sum_lines(self, opportunity: Row) -> None:
        lines = self._live_lines(opportunity["Id"])
        opportunity["HasOpportunityLineItem"] = bool(lines)
        if opportunity["IsDeleted"]:
            return
        if lines:
            opportunity["Amount"] = sum(
                (_number(line["TotalPrice"] or 0) for line in lines), Decimal(0)
            )
        self._touch(opportunity, None)


def present(row: Row) -> dict[str, Any]:
    """A row as the API shows it."""
    return {name: _shown(value) for name, value in row.items()}


def _shown(value: Value) -> Any:
    if isinstance(value, datetime):
        return format_instant(value)
    return value


def format_instant(instant: datetime) -> str:
    """`2026-01-31T08:00:00.000+0000`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def parse_instant(text: str) -> datetime:
    """Inverse of `format_instant`, also for `Z` and other offsets. Raises ValueError."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs a zone")
    return instant


def _number(value: Value) -> Decimal:
    return Decimal(str(value))


def _checked(record_type: str, values: Mapping[str, Any]) -> Row:
    fields = OBJECTS[record_type]
    unknown = sorted(values.keys() - fields.keys())
    if unknown:
        raise InvalidRowError(f"{record_type} has no field {', '.join(unknown)}")
    try:
        return {name: _typed(fields[name], value) for name, value in values.items()}
    except (ValueError, ArithmeticError) as error:
        raise InvalidRowError(f"{record_type}: {error}") from error


def _typed(field_type: FieldType, value: Any) -> Value:
    if value is None:
        return None
    match field_type:
        case FieldType.DATETIME:
            return parse_instant(value).replace(microsecond=0)
        case FieldType.DATE:
            return date.fromisoformat(value).isoformat()
        case FieldType.NUMBER:
            return Decimal(str(value))
        case FieldType.BOOLEAN:
            return bool(value)
        case FieldType.ID | FieldType.STRING:
            return str(value)


def _make_id(record_type: str, number: int) -> str:
    return with_suffix(f"{_KEY_PREFIXES[record_type]}TW{number:010d}")


def with_suffix(core: str) -> str:
    """A record id: 15 case-sensitive characters and 3 that make it safe to compare without case."""
    suffix = "".join(
        _ID_ALPHABET[sum(core[start + bit].isupper() << bit for bit in range(5))]
        for start in (0, 5, 10)
    )
    return core + suffix
