"""Rows of the ERP in an in-memory SQLite database: tables, stamps, deletion log. No HTTP.

Decimals, dates and date-times are kept as text; `DATETEXT` marks the columns that an unformatted
SuiteQL selection shows in the user's date format. A column that refers to another record holds its
internal id; `currency` too, and whoever writes one may name it by its ISO symbol, as a list on a
screen does.
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
_CURRENCY: Final = "currency"

CURRENCIES: Final = ("EUR", "USD", "GBP", "SEK", "CHF", "PLN", "AUD", "BRL", "CAD", "INR", "JPY")
"""ISO symbols of the currencies an account starts with, in the order of their internal ids."""

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "currency": {
        "name": "TEXT",
        "symbol": "TEXT UNIQUE",
        "isbasecurrency": "TEXT DEFAULT 'F'",
        "isinactive": "TEXT DEFAULT 'F'",
    },
    "subsidiary": {
        "name": "TEXT",
        "country": "TEXT",
        "currency": "INTEGER",
        "custrecord_psa_tax_code": "TEXT",
        "isinactive": "TEXT DEFAULT 'F'",
    },
    "customer": {
        "externalid": "TEXT UNIQUE",
        "entityid": "TEXT",
        "companyname": "TEXT",
        "country": "TEXT",
        "currency": "INTEGER",
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
        "currency": "INTEGER",
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
        "customer": "INTEGER",  # the project
        "trandate": "DATETEXT",
        "hours": "TEXT",
        "rate": "TEXT",
        "isbillable": "TEXT",
        "timetype": "TEXT DEFAULT 'A'",
        "custcol_psa_currency": "TEXT",
        "custcol_psa_time_entry": "TEXT",
        "custcol_psa_project": "TEXT",
        "custcol_psa_correlation_id": "TEXT",
        "invoice": "INTEGER",  # the transaction that billed all of it; not to be seen from outside
        _STAMP: "DATETEXT",
    },
    "transaction": {
        "externalid": "TEXT UNIQUE",
        "tranid": "TEXT",
        "type": "TEXT",
        "trandate": "DATETEXT",
        "entity": "INTEGER",  # the customer
        "currency": "INTEGER",
        "exchangerate": "TEXT",
        "foreigntotal": "TEXT",  # with tax; negative on a credit memo
        "status": "TEXT",  # a letter, whose meaning depends on the type
        "approvalstatus": "INTEGER",
        "voided": "TEXT DEFAULT 'F'",
        _STAMP: "DATETEXT",
    },
    "transactionline": {
        "transaction": "INTEGER",
        "id": "INTEGER",  # within the transaction; 0 is the main line
        "linesequencenumber": "INTEGER",
        "mainline": "TEXT DEFAULT 'F'",
        "taxline": "TEXT DEFAULT 'F'",
        "iscogs": "TEXT",  # never set on a sale of services, so not there
        "itemtype": "TEXT",
        "entity": "INTEGER",  # the project
        "createdfrom": "INTEGER",
        "quantity": "TEXT",  # signed as the ledger: a sale is a credit
        "rate": "TEXT",
        "foreignamount": "TEXT",  # in the transaction's currency
        "netamount": "TEXT",  # in the subsidiary's
        "timebill": "INTEGER",  # what the line bills; not to be seen from outside
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
    "CustInvc": (-30, "invoice", "Invoice"),
    "CustCred": (-30, "creditmemo", "Credit Memo"),
}
"""Table, or type of transaction → (recordtypeid, scriptid, type) in the deletion log.

Lines have no entries.
"""

HIDDEN: Final = frozenset({("timebill", "invoice"), ("transactionline", "timebill")})
"""(table, column) that the account keeps to itself."""

_KEYS: Final = {"transactionline": "uniquekey"}
"""Tables whose `id` numbers rows within another record only."""


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
                f'CREATE TABLE "{table}"'
                f" ({_key(table)} INTEGER PRIMARY KEY AUTOINCREMENT, {definitions})"
            )
        for symbol in CURRENCIES:
            is_base = symbol == CURRENCIES[0]
            self.create("currency", {"name": symbol, "symbol": symbol, "isbasecurrency": is_base})

    def stamp(self) -> str:
        """The vendor's present instant as its date-time columns hold it."""
        return format_stamp(self._clock.stamp())

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {table: self.select(table) for table in TABLES}

    def select(self, table: str, **equal: object) -> list[DbRow]:
        """Rows whose columns equal the values given, by id."""
        condition = " AND ".join(f'"{name}" IS ?' for name in equal) or "1"
        query = f'SELECT * FROM "{_known(table)}" WHERE {condition} ORDER BY {_key(table)}'  # noqa: S608
        return [dict(row) for row in self._database.execute(query, tuple(equal.values()))]

    def find(self, table: str, **equal: object) -> DbRow | None:
        """The first row that matches."""
        return next(iter(self.select(table, **equal)), None)

    def create(self, record_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add a row; an explicit `lastmodifieddate` in the past makes a late-visible row."""
        row = self._checked(record_type, values)
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
        changes = self._checked(record_type, values)
        if _STAMP in TABLES[record_type]:
            changes.setdefault(_STAMP, self.stamp())
        if changes:
            assignments = ", ".join(f'"{name}" = ?' for name in changes)
            self._database.execute(
                f'UPDATE "{record_type}" SET {assignments} WHERE {_key(record_type)} = ?',  # noqa: S608
                (*changes.values(), row[_key(record_type)]),
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
        self._database.execute(
            f'DELETE FROM "{record_type}" WHERE {_key(record_type)} = ?',  # noqa: S608
            (row[_key(record_type)],),
        )
        if row.get("type", record_type) in _DELETION_TYPES:
            self._log_deletion(row.get("type", record_type), row)

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

    def _checked(self, record_type: str, values: Mapping[str, Any]) -> DbRow:
        columns = TABLES[_known(record_type)]
        unknown = sorted(values.keys() - columns.keys())
        if unknown:
            raise InvalidRowError(f"{record_type} has no column {', '.join(unknown)}")
        row = {name: _stored(value) for name, value in values.items()}
        if isinstance(symbol := row.get(_CURRENCY), str):
            row[_CURRENCY] = self.currency_id(symbol)
        return row

    def currency_id(self, symbol: str) -> int:
        """Internal id of a currency. Raises InvalidRowError where the account has none."""
        row = self.find("currency", symbol=symbol)
        if row is None:
            raise InvalidRowError(f"no currency {symbol}")
        return int(row["id"])

    def _row(self, table: str, row_id: object) -> DbRow:
        key = {_key(table): int(str(row_id))} if str(row_id).isdigit() else None
        row = self.find(table, **key) if key else None
        if row is None:
            raise UnknownRowError(f"no {table} {row_id}")
        return row


def format_stamp(instant: datetime) -> str:
    """`2026-01-31 08:00:00`, UTC."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _key(table: str) -> str:
    """The column that no two rows of the table share."""
    return _KEYS.get(table, "id")


def _known(table: str) -> str:
    if table not in TABLES:
        raise UnknownRowError(f"no record type {table}")
    return table


def _stored(value: Any) -> str | int | None:
    match value:
        case bool():
            return "T" if value else "F"
        case Decimal():
            return format(value, "f")
        case None | str() | int():
            return value
    raise InvalidRowError(f"cannot store a {type(value).__name__}")
