"""The ERP's record service: upsert, patch, read and delete by id, with its business rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

from sandbox.vendors.netsuite.errors import (
    NetSuiteError,
    invalid_content,
    permission_violation,
    standard_error,
    user_error,
)
from sandbox.vendors.netsuite.tables import CURRENCIES, DbRow, NetSuiteBooks
from sandbox.vendors.netsuite.tba import AccessToken
from sandbox.vendors.site import Site, SiteSettings

_EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9_-]+\Z")

_CLOCK: Final = re.compile(r"([0-9]{1,4}):([0-5][0-9])")
_HOURS_DIGITS: Final = 10


class Kind(Enum):
    """Form of a field's value in JSON."""

    TEXT = "text"
    DECIMAL = "decimal"
    DATE = "date"
    BOOLEAN = "boolean"
    CURRENCY = "currency"  # {"id": …} of one the account has switched on
    DURATION = "duration"  # "h:mm", or a number of hours
    CHOICE = "choice"  # {"id": …} of a fixed list
    REFERENCE = "reference"  # {"id": …} or {"externalId": …}


@dataclass(frozen=True, slots=True)
class RecordField:
    """A field of a record; `target` is the table a reference points into."""

    name: str
    kind: Kind = Kind.TEXT
    target: str = ""

    @property
    def column(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class RecordType:
    """A record type of the REST service. `required` are (field, label) pairs."""

    name: str
    fields: tuple[RecordField, ...]
    required: tuple[tuple[str, str], ...]

    @property
    def table(self) -> str:
        return self.name.lower()

    def field(self, name: str) -> RecordField | None:
        return next((field for field in self.fields if field.name == name), None)


RECORD_TYPES: Final = {
    record_type.name: record_type
    for record_type in (
        RecordType(
            name="customer",
            fields=(
                RecordField("companyName"),
                RecordField("country"),
                RecordField("currency", Kind.CURRENCY, "currency"),
                RecordField("vatRegNumber"),
                RecordField("isInactive", Kind.BOOLEAN),
                RecordField("custentity_psa_correlation_id"),
            ),
            required=(("companyName", "Company Name"),),
        ),
        RecordType(
            name="job",
            fields=(
                RecordField("companyName"),
                RecordField("parent", Kind.REFERENCE, "customer"),
                RecordField("subsidiary", Kind.REFERENCE, "subsidiary"),
                RecordField("currency", Kind.CURRENCY, "currency"),
                RecordField("startDate", Kind.DATE),
                RecordField("projectExpenseType", Kind.CHOICE),
                RecordField("isInactive", Kind.BOOLEAN),
                RecordField("estimatedCost", Kind.DECIMAL),
                RecordField("estimatedRevenue", Kind.DECIMAL),
                RecordField("custentity_psa_billing_type"),
                RecordField("custentity_psa_tax_code"),
                RecordField("custentity_psa_service_lines"),
                RecordField("custentity_psa_contract_value", Kind.DECIMAL),
                RecordField("custentity_psa_budget_hours", Kind.DECIMAL),
                RecordField("custentity_psa_budget_currency"),
                RecordField("custentity_psa_correlation_id"),
            ),
            required=(
                ("companyName", "Project Name"),
                ("parent", "Customer"),
                ("subsidiary", "Subsidiary"),
                ("custentity_psa_tax_code", "Tax Code"),
            ),
        ),
        RecordType(
            name="timeBill",
            fields=(
                RecordField("customer", Kind.REFERENCE, "job"),
                RecordField("tranDate", Kind.DATE),
                RecordField("hours", Kind.DURATION),
                RecordField("rate", Kind.DECIMAL),
                RecordField("isBillable", Kind.BOOLEAN),
                RecordField("custcol_psa_currency"),
                RecordField("custcol_psa_time_entry"),
                RecordField("custcol_psa_project"),
                RecordField("custcol_psa_correlation_id"),
            ),
            required=(("customer", "Project"), ("tranDate", "Date"), ("hours", "Duration")),
        ),
    )
}


class NetSuiteSettings(SiteSettings):
    """Adjustable behaviour of the ERP."""

    page_size: int = 1_000
    token_lifetime_s: float = 3_600
    concurrency: int = 5
    currencies: tuple[str, ...] = CURRENCIES
    access_tokens: tuple[AccessToken, ...] = ()
    denied_records: tuple[str, ...] = ()  # record types the integration's role has no right on


class RecordService:
    """Executes record requests. Raises NetSuiteError for everything the vendor would refuse."""

    def __init__(self, site: Site[NetSuiteSettings], books: NetSuiteBooks) -> None:
        self._site = site
        self._books = books

    def upsert(self, type_name: str, key: str, body: Mapping[str, Any]) -> int:
        """Create or change the record with this external id; its internal id."""
        record_type = self._record_type(type_name)
        external_id = _external_id(key)
        row = self._books.find(record_type.table, externalid=external_id)
        if row is not None:
            return self._change(record_type, row, body)
        values = self._values(record_type, body)
        self._check(record_type, values)
        created = self._books.create(record_type.table, {**values, "externalid": external_id})
        self._site.record_effect("create", record_type.name, external_id, body)
        return int(created["id"])

    def patch(self, type_name: str, key: str, body: Mapping[str, Any]) -> int:
        """Change fields of an existing record; its internal id."""
        record_type = self._record_type(type_name)
        return self._change(record_type, self._find(record_type, key), body)

    def get(self, type_name: str, key: str) -> dict[str, Any]:
        """The record as the REST service shows it."""
        record_type = self._record_type(type_name)
        row = self._find(record_type, key)
        record: dict[str, Any] = {"links": [], "id": str(row["id"])}
        if row["externalid"] is not None:
            record["externalId"] = row["externalid"]
        for field in record_type.fields:
            if self._site.drift.is_removed(record_type.table, field.column):
                continue
            value = self._shown(field, row[field.column])
            if value is not None:
                record[field.name] = value
        record["lastModifiedDate"] = row["lastmodifieddate"].replace(" ", "T") + "Z"
        return record | self._site.drift.added(record_type.table)

    def delete(self, type_name: str, key: str) -> None:
        """Remove a record."""
        record_type = self._record_type(type_name)
        row = self._find(record_type, key)
        _refuse_invoiced(record_type, row)
        self._refuse_referenced(record_type, row)
        self._books.delete(record_type.table, row["id"])
        self._site.record_effect("delete", record_type.name, row["externalid"])

    def _record_type(self, name: str) -> RecordType:
        if name in self._site.settings.denied_records:
            raise permission_violation(name)
        return _record_type(name)

    def _change(self, record_type: RecordType, row: DbRow, body: Mapping[str, Any]) -> int:
        _refuse_invoiced(record_type, row)
        values = self._values(record_type, body)
        self._check(record_type, {**row, **values})
        self._books.update(record_type.table, row["id"], values)
        self._site.record_effect("update", record_type.name, row["externalid"], body)
        return int(row["id"])

    def _find(self, record_type: RecordType, key: str) -> DbRow:
        if key.startswith("eid:"):
            row = self._books.find(record_type.table, externalid=_external_id(key))
        else:
            row = self._books.find(record_type.table, id=int(key)) if key.isdigit() else None
        if row is None:
            raise standard_error(404)
        return row

    def _check(self, record_type: RecordType, values: Mapping[str, Any]) -> None:
        for name, label in record_type.required:
            if values.get(name.lower()) in (None, ""):
                raise user_error(f"Please enter value(s) for: {label}", name)

    def _values(self, record_type: RecordType, body: Mapping[str, Any]) -> dict[str, Any]:
        values = {}
        for name, value in body.items():
            field = record_type.field(name)
            if field is None:
                raise NetSuiteError(
                    400,
                    "NONEXISTENT_FIELD",
                    f"Unknown reference or field '{name}' in record {record_type.name}.",
                    locator="o:errorPath",
                    place=name,
                )
            values[field.column] = None if value is None else self._stored(field, value)
        return values

    def _stored(self, field: RecordField, value: Any) -> Any:
        match field.kind:
            case Kind.REFERENCE:
                return self._referenced(field, value)
            case Kind.CURRENCY:
                return self._currency(field, value)
            case _:
                return _plain(field, value)

    def _referenced(self, field: RecordField, value: Any) -> int:
        row = None
        if isinstance(value, Mapping) and "externalId" in value:
            row = self._books.find(field.target, externalid=str(value["externalId"]))
        elif isinstance(value, Mapping) and str(value.get("id", "")).isdigit():
            row = self._books.find(field.target, id=int(str(value["id"])))
        else:
            raise _invalid_value(field, value)
        if row is None:
            shown = value.get("externalId") or value.get("id")
            raise user_error(f"Invalid reference key {shown} for {field.name}.", field.name)
        return int(row["id"])

    def _currency(self, field: RecordField, value: Any) -> int:
        row_id = self._referenced(field, value)
        row = self._books.find(field.target, id=row_id) or {}
        if row["symbol"] not in self._site.settings.currencies:
            raise _invalid_value(field, row["symbol"])
        return row_id

    def _shown(self, field: RecordField, value: Any) -> Any:
        if value is None:
            return None
        match field.kind:
            case Kind.REFERENCE | Kind.CURRENCY:
                return self._reference(field, value)
            case Kind.CHOICE:
                return {"id": value}
            case Kind.DECIMAL | Kind.DURATION:
                return _number_shown(field, Decimal(value))
            case Kind.BOOLEAN:
                return value == "T"
            case Kind.DATE | Kind.TEXT:
                return value

    def _reference(self, field: RecordField, row_id: int) -> dict[str, str]:
        row = self._books.find(field.target, id=row_id) or {}
        reference = {"id": str(row_id)}
        if row.get("externalid"):
            reference["externalId"] = row["externalid"]
        if row.get("symbol"):
            reference["refName"] = row["name"]
        return reference

    def _refuse_referenced(self, record_type: RecordType, row: DbRow) -> None:
        table, column = {"customer": ("job", "parent"), "job": ("timebill", "customer")}.get(
            record_type.name, ("", "")
        )
        if table and self._books.find(table, **{column: row["id"]}):
            raise user_error(
                "This record cannot be deleted because it has dependent records.", "id"
            )


def _record_type(name: str) -> RecordType:
    if name not in RECORD_TYPES:
        raise NetSuiteError(
            404,
            "NOT_FOUND",
            f"Record type '{name}' does not exist.",
            locator="o:errorUrl",
            place=name,
        )
    return RECORD_TYPES[name]


def _external_id(key: str) -> str:
    external_id = key.removeprefix("eid:")
    if not key.startswith("eid:") or not _EXTERNAL_ID.match(external_id):
        raise NetSuiteError(
            400,
            "INVALID_CONTENT",
            "External ids hold letters, digits, '_' and '-'.",
            locator="o:urlPath",
            place=key,
        )
    return external_id


def _refuse_invoiced(record_type: RecordType, row: DbRow) -> None:
    if record_type.name == "timeBill" and row["invoice"] is not None:
        raise user_error("This time entry has been billed and cannot be changed.", "id")


def _invalid_value(field: RecordField, value: object) -> NetSuiteError:
    return invalid_content(
        "Error while accessing resource: You have entered an Invalid Field Value"
        f" {value} for the following field: {field.name}",
        field.name,
    )


def _number_shown(field: RecordField, value: Decimal) -> Decimal | str:
    if field.kind is Kind.DECIMAL:
        return value
    minutes = round(value * 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


def _plain(field: RecordField, value: Any) -> Any:
    match field.kind:
        case Kind.CHOICE:
            return _choice(field, value)
        case Kind.DECIMAL:
            return _decimal(field, value)
        case Kind.DATE:
            return _day(field, value)
        case Kind.DURATION:
            return _hours(field, value)
        case Kind.BOOLEAN if isinstance(value, bool):
            return value
        case Kind.TEXT if isinstance(value, str):
            return value
    raise _invalid_value(field, value)


def _choice(field: RecordField, value: Any) -> str:
    if not isinstance(value, Mapping) or "id" not in value:
        raise _invalid_value(field, value)
    return str(value["id"])


def _decimal(field: RecordField, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise _invalid_value(field, value)
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise _invalid_value(field, value) from error
    if not number.is_finite():
        raise _invalid_value(field, value)
    return number


def _hours(field: RecordField, value: Any) -> Decimal:
    clock = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if clock is None:
        return _decimal(field, value)
    hours = Decimal(clock[1]) + Decimal(clock[2]) / 60
    return round(hours, _HOURS_DIGITS)


def _day(field: RecordField, value: Any) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError) as error:
        raise _invalid_value(field, value) from error
