"""Rows of the ERP in an in-memory SQLite database: tables, stamps, deletion log. No HTTP.

Decimals, dates and date-times are kept as text; `DATETEXT` marks the columns that an unformatted
SuiteQL selection shows in the user's date format.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

DbRow = dict[str, Any]

_STAMP: Final = "lastmodifieddate"

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "subsidiary": {
        "name": "TEXT",
        "country": "TEXT",
        "currency": "TEXT",
        "custrecord_psa_tax_code": "TEXT",
        "isinactive": "TEXT DEFAULT 'F'",
    },
    "customer": {
        "externalid": "TEXT UNIQUE",
        "entityid": "TEXT",
        "companyname": "TEXT",
        "country": "TEXT",
        "currency": "TEXT",
        "vatregnumber": "TEXT",
        "isinactive": "TEXT DEFAULT 'F'",
        "custentity_psa_correlation_id": "TEXT",
        _STAMP: "DATETEXT",
    },
    "job": {
        "externalid": "TEXT UNIQUE",
        "entityid": "TEXT",
        "companyname": "TEXT",
        "parent": "INTEGER",
        "subsidiary": "INTEGER",
        "currency": "TEXT",
        "startdate": "DATETEXT",
        "projectexpensetype": "TEXT",
        "custentity_psa_billing_type": "TEXT",
        "custentity_psa_tax_code": "TEXT",
        "custentity_psa_service_lines": "TEXT",
        "custentity_psa_contract_value": "TEXT",
        "custentity_psa_budget_hours": "TEXT",
        "estimatedcost": "TEXT",
        "estimatedrevenue": "TEXT",
        "custentity_psa_budget_currency": "TEXT",
        "custentity_psa_correlation_id": "TEXT",
        "isinactive": "TEXT DEFAULT 'F'",
        _STAMP: "DATETEXT",
    },
    "timebill": {
        "externalid": "TEXT UNIQUE",
        "job": "INTEGER",
        "trandate": "DATETEXT",
        "hours": "TEXT",
        "rate": "TEXT",
        "currency": "TEXT",
        "custcol_psa_time_entry": "TEXT",
        "custcol_psa_project": "TEXT",
        "custcol_psa_correlation_id": "TEXT",
        "invoice": "INTEGER",  # the transaction that billed it
        _STAMP: "DATETEXT",
    },
    "transaction": {
        "externalid": "TEXT UNIQUE",
        "tranid": "TEXT",
        "type": "TEXT",
        "trandate": "DATETEXT",
        "entity": "INTEGER",  # the customer
        "job": "INTEGER",
        "currency": "TEXT",
        "foreigntotal": "TEXT",
        "status": "TEXT",
        _STAMP: "DATETEXT",
    },
    "transactionline": {
        "transaction": "INTEGER",
        "line": "INTEGER",
        "linesequencenumber": "INTEGER",
        "mainline": "TEXT DEFAULT 'F'",
        "entity": "INTEGER",  # the project
        "quantity": "TEXT",
        "rate": "TEXT",
        "netamount": "TEXT",
        "custcol_psa_time_entry": "TEXT",
        "custcol_psa_project": "TEXT",
    },
    "deletedrecord": {
        "name": "TEXT",
        "recordid": "INTEGER",
        "recordtypeid": "INTEGER",
        "scriptid": "TEXT",
        "type": "TEXT",
        "deleteddate": "DATETEXT",
        "deletedby": "TEXT",
        "context": "TEXT",
    },
}

_DELETION_TYPES: Final = {
    "customer": (-2, "customer", "Customer"),
    "job": (-7, "job", "Project"),
    "timebill": (-256, "timebill", "Time"),
    "transaction": (-30, "invoice", "Invoice"),
}
"""Table → (recordtypeid, scriptid, type) of its deletion log entries; lines have none."""


class NetSuiteBooks:
    """All rows of the account, by internal id."""

    def __init__(self, clock: VendorClock) -> None:
        self._clock = clock
        self.uri = f"file:netsuite-{uuid.uuid4()}?mode=memory&cache=shared"
        self._database = sqlite3.connect(
            self.uri, uri=True, isolation_level=None, check_same_thread=False
        )
        self._database.row_factory = sqlite3.Row
        for table, columns in TABLES.items():
            definitions = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
            self._database.execute(
                f'CREATE TABLE "{table}" (id INTEGER PRIMARY KEY AUTOINCREMENT, {definitions})'
            )

    def stamp(self) -> str:
        """The vendor's present instant as its date-time columns hold it."""
        return format_stamp(self._clock.stamp())

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {table: self.select(table) for table in TABLES}

    def select(self, table: str, **equal: object) -> list[DbRow]:
        """Rows whose columns equal the values given, by id."""
        condition = " AND ".join(f'"{name}" IS ?' for name in equal) or "1"
        query = f'SELECT * FROM "{_known(table)}" WHERE {condition} ORDER BY id'  # noqa: S608
        return [dict(row) for row in self._database.execute(query, tuple(equal.values()))]

    def find(self, table: str, **equal: object) -> DbRow | None:
        """The first row that matches."""
        return next(iter(self.select(table, **equal)), None)

    def create(self, record_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add a row; an explicit `lastmodifieddate` in the past makes a late-visible row."""
        row = _checked(record_type, values)
        if _STAMP in TABLES[record_type]:
            row.setdefault(_STAMP, self.stamp())
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        try:
            cursor = self._database.execute(
                f'INSERT INTO "{record_type}" ({names}) VALUES ({marks})'  # noqa: S608
                if row
                else f'INSERT INTO "{record_type}" DEFAULT VALUES',
                tuple(row.values()),
            )
        except sqlite3.IntegrityError as error:
            raise InvalidRowError(f"{record_type}: {error}") from error
        self._number(record_type, cursor.lastrowid)
        return self._row(record_type, cursor.lastrowid)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change columns and move the stamp, to an explicit one where `values` has it."""
        row = self._row(record_type, row_id)
        changes = _checked(record_type, values)
        if _STAMP in TABLES[record_type]:
            changes.setdefault(_STAMP, self.stamp())
        if changes:
            assignments = ", ".join(f'"{name}" = ?' for name in changes)
            self._database.execute(
                f'UPDATE "{record_type}" SET {assignments} WHERE id = ?',  # noqa: S608
                (*changes.values(), row["id"]),
            )
        return self._row(record_type, row_id)

    def delete(self, record_type: str, row_id: str) -> None:
        """Remove a row; an invoice takes its lines along and frees the time it billed."""
        row = self._row(record_type, row_id)
        if record_type == "transaction":
            self._database.execute(
                'DELETE FROM transactionline WHERE "transaction" = ?', (row["id"],)
            )
            for bill in self.select("timebill", invoice=row["id"]):
                self.update("timebill", bill["id"], {"invoice": None})
        self._database.execute(f'DELETE FROM "{record_type}" WHERE id = ?', (row["id"],))  # noqa: S608
        if record_type in _DELETION_TYPES:
            self._log_deletion(record_type, row)

    def _log_deletion(self, record_type: str, row: DbRow) -> None:
        type_id, script_id, type_name = _DELETION_TYPES[record_type]
        self.create(
            "deletedrecord",
            {
                "name": row.get("entityid") or row.get("tranid"),
                "recordid": row["id"],
                "recordtypeid": type_id,
                "scriptid": script_id,
                "type": type_name,
                "deleteddate": self.stamp(),
                "deletedby": "psastream",
                "context": "REST Web Services",
            },
        )

    def _number(self, table: str, row_id: int | None) -> None:
        """Give a new row the number shown to users, where it came without one."""
        column, prefix = {
            "customer": ("entityid", "CUST"),
            "job": ("entityid", "PRJ"),
            "transaction": ("tranid", "INV"),
        }.get(table, ("", ""))
        if column:
            self._database.execute(
                f'UPDATE "{table}" SET {column} = coalesce({column}, ?) WHERE id = ?',  # noqa: S608
                (f"{prefix}{row_id}", row_id),
            )

    def _row(self, table: str, row_id: object) -> DbRow:
        row = self.find(table, id=int(str(row_id))) if str(row_id).isdigit() else None
        if row is None:
            raise UnknownRowError(f"no {table} {row_id}")
        return row


def format_stamp(instant: datetime) -> str:
    """`2026-01-31 08:00:00`, UTC."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _known(table: str) -> str:
    if table not in TABLES:
        raise UnknownRowError(f"no record type {table}")
    return table


def _checked(record_type: str, values: Mapping[str, Any]) -> DbRow:
    columns = TABLES[_known(record_type)]
    unknown = sorted(values.keys() - columns.keys())
    if unknown:
        raise InvalidRowError(f"{record_type} has no column {', '.join(unknown)}")
    return {name: _stored(value) for name, value in values.items()}


def _stored(value: Any) -> str | int | None:
    match value:
        case bool():
            return "T" if value else "F"
        case Decimal():
            return format(value, "f")
        case None | str() | int():
            return value
    raise InvalidRowError(f"cannot store a {type(value).__name__}")
