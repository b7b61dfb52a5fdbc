"""Records of the ERP's data entities, of all companies. No HTTP.

Facts and their sources: connectors/vendors/finance_operations/README.md. A record is of a company
(`dataAreaId`), and its key holds it; codes and keys are compared without case, and kept as they
were written. Nothing is null: what is unset is blank, 0, No or the day 1900-01-01, and days stand
at noon. A field whose name begins with an underscore is the ERP's own affair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

Row = dict[str, Any]

CURRENCIES: Final = ("EUR", "USD", "GBP", "SEK", "CHF", "PLN", "AUD", "BRL", "CAD", "INR", "JPY")
NO_DAY: Final = "1900-01-01T12:00:00Z"
NUMBER_MAX: Final = 20
HOURS_DIGITS: Final = 6
_FIRST_RECORD: Final = 5_637_144_577


class Kind(Enum):
    """What a field may hold, with its value where it is unset."""

    TEXT = ""
    CODE = "code"
    CURRENCY = "currency"
    DECIMAL = "decimal"
    HOURS = "hours"
    DAY = "day"
    NO_YES = "no yes"
    CHOICE = "choice"

    @property
    def unset(self) -> Any:
        match self:
            case Kind.DECIMAL | Kind.HOURS:
                return Decimal(0)
            case Kind.DAY:
                return NO_DAY
            case Kind.NO_YES:
                return "No"
        return ""

    @property
    def is_enum(self) -> bool:
        """Whether a filter names its values by their enumeration."""
        return self in (Kind.NO_YES, Kind.CHOICE)


@dataclass(frozen=True, slots=True)
class Table:
    """Fields of the records of an entity, and those of its key beside the company.

    `refers`: fields that hold the first key of a record of another entity, in the same company.
    `is_shared`: its records are of no company. `entity` is what it is called in an Infolog.
    """

    fields: Mapping[str, Kind]
    label: str
    key: tuple[str, ...]
    entity: str = ""
    refers: Mapping[str, str] = field(default_factory=dict)
    is_shared: bool = False
    in_capitals: bool = False


_INVOICED: Final = {
    "InvoiceNumber": Kind.CODE,
    "InvoiceDate": Kind.DAY,
    "LedgerVoucher": Kind.CODE,
}
TABLES: Final[Mapping[str, Table]] = {
    "LegalEntities": Table(
        {
            "LegalEntityId": Kind.CODE,
            "Name": Kind.TEXT,
            "AddressCountryRegionISOCode": Kind.CODE,
            "_lacks_project_groups": Kind.NO_YES,
        },
        "Legal entities",
        key=("LegalEntityId",),
        entity="CompanyInfoEntity",
        is_shared=True,
    ),
    "Ledgers": Table(
        {"LegalEntityId": Kind.CODE, "AccountingCurrency": Kind.CODE},
        "Ledger",
        key=("LegalEntityId",),
        entity="LedgerEntity",
        is_shared=True,
    ),
    "CustomersV3": Table(
        {
            "CustomerAccount": Kind.CODE,
            "PartyType": Kind.CHOICE,
            "OrganizationName": Kind.TEXT,
            "NameAlias": Kind.TEXT,
            "CustomerGroupId": Kind.CODE,
            "AddressCountryRegionISOCode": Kind.CODE,
            "SalesCurrencyCode": Kind.CURRENCY,
            "TaxExemptNumber": Kind.CODE,
            "OnHoldStatus": Kind.CHOICE,
        },
        "Customers",
        key=("CustomerAccount",),
        entity="CustCustomerV3Entity",
    ),
    "Projects": Table(
        {
            "ProjectID": Kind.CODE,
            "ProjectName": Kind.TEXT,
            "CustomerAccount": Kind.CODE,
            "ProjectGroup": Kind.CODE,
            "ProjectStage": Kind.CHOICE,
            "ProjectType": Kind.CHOICE,
            "ProjectedStartDate": Kind.DAY,
            "ProjectedEndDate": Kind.DAY,
            "ActualStartDate": Kind.DAY,
            "ActualEndDate": Kind.DAY,
            "SalesTaxGroup": Kind.CODE,
            "PsaStreamCurrency": Kind.CURRENCY,
            "PsaStreamBillingType": Kind.TEXT,
            "PsaStreamTaxCode": Kind.TEXT,
            "PsaStreamServiceLines": Kind.TEXT,
            "PsaStreamContractValue": Kind.DECIMAL,
            "PsaStreamHasBudget": Kind.NO_YES,
            "PsaStreamBudgetHours": Kind.DECIMAL,
            "PsaStreamBudgetCost": Kind.DECIMAL,
            "PsaStreamBudgetRevenue": Kind.DECIMAL,
            "PsaStreamBudgetCurrency": Kind.TEXT,
            "PsaStreamCorrelationId": Kind.TEXT,
        },
        "Projects",
        key=("ProjectID",),
        entity="ProjProjectEntity",
        refers={"CustomerAccount": "CustomersV3"},
    ),
    "JournalTables": Table(
        {
            "JournalBatchNumber": Kind.CODE,
            "JournalName": Kind.CODE,
            "Description": Kind.TEXT,
            "Posted": Kind.NO_YES,
        },
        "Project journal table",
        key=("JournalBatchNumber",),
        entity="ProjJournalTableEntity",
    ),
    "JournalTrans": Table(
        {
            "JournalId": Kind.CODE,
            "LineNumber": Kind.DECIMAL,
            "ProjectID": Kind.CODE,
            "ProjectDate": Kind.DAY,
            "ResourceId": Kind.CODE,
            "Category": Kind.CODE,
            "Hours": Kind.HOURS,
            "SalesPrice": Kind.DECIMAL,
            "CurrencyId": Kind.CURRENCY,
            "PsaStreamTimeBillId": Kind.CODE,
            "PsaStreamTimeEntryId": Kind.TEXT,
            "PsaStreamProjectRef": Kind.TEXT,
            "PsaStreamCorrelationId": Kind.TEXT,
            "_invoiced": Kind.DECIMAL,
        },
        "Journal lines",
        key=("JournalId", "LineNumber"),
        entity="ProjJournalTransEntity",
        refers={"JournalId": "JournalTables", "ProjectID": "Projects"},
        in_capitals=True,
    ),
    "SalesInvoiceHeadersV2": Table(
        {
            **_INVOICED,
            "InvoiceCustomerAccountNumber": Kind.CODE,
            "TotalInvoiceAmount": Kind.DECIMAL,
        },
        "Invoice",
        key=tuple(_INVOICED),
    ),
    "SalesInvoiceV2Lines": Table(
        {
            **_INVOICED,
            "LineCreationSequenceNumber": Kind.DECIMAL,
            "LineAmount": Kind.DECIMAL,
            "CurrencyCode": Kind.CURRENCY,
        },
        "Invoice lines",
        key=(*_INVOICED, "LineCreationSequenceNumber"),
    ),
    "PsaProjectInvoiceLines": Table(
        {
            "ProjInvoiceId": Kind.CODE,
            "TransId": Kind.CODE,
            "InvoiceDate": Kind.DAY,
            "InvoiceAccount": Kind.CODE,
            "ProjId": Kind.CODE,
            "Qty": Kind.DECIMAL,
            "LineAmount": Kind.DECIMAL,
            "CurrencyId": Kind.CURRENCY,
            "PsaStreamTimeEntryId": Kind.TEXT,
            "PsaStreamProjectRef": Kind.TEXT,
            "_line": Kind.TEXT,
        },
        "Project invoice lines",
        key=("ProjInvoiceId", "TransId"),
    ),
}
"""Entity set → its table. The last is the firm's own."""

NAMES_MAX: Final = {"OrganizationName": 100, "ProjectName": 60}
_NUMBERED: Final = {"CustomersV3": "C", "Projects": "P", "JournalTables": "J"}


class DuplicateKeyError(InvalidRowError):
    """A record of this key is there."""


class MissingRelationError(InvalidRowError):
    """A field names a record that the company does not hold."""


@dataclass(slots=True)
class FinanceOperationsBooks:
    """All records, by entity set and id, in the order they were made."""

    clock: VendorClock
    currencies: tuple[str, ...] = CURRENCIES
    hours_digits: int = HOURS_DIGITS
    _tables: dict[str, dict[str, Row]] = field(
        default_factory=lambda: {name: {} for name in TABLES}
    )
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def rows(self) -> dict[str, list[Row]]:
        """Return everything."""
        return {name: [dict(row) for row in table.values()] for name, table in self._tables.items()}

    def select(self, record_type: str, **equal: object) -> list[Row]:
        """Return the records whose fields equal the values given, the first made first."""
        return [
            row
            for row in self._table(record_type).values()
            if all(_folded(row[name]) == _folded(value) for name, value in equal.items())
        ]

    def find(self, record_type: str, **equal: object) -> Row | None:
        """Return the first record whose fields equal the values given."""
        return next(iter(self.select(record_type, **equal)), None)

    def row(self, record_type: str, row_id: str) -> Row:
        """Return the record of an id. Raises UnknownRowError."""
        found = self._table(record_type).get(row_id)
        if found is None:
            raise UnknownRowError(f"no {record_type} {row_id}")
        return found

    def create(self, record_type: str, values: Mapping[str, Any]) -> Row:
        """Add a record; `dataAreaId` says of which company: the only one, if there is one.

        Raises InvalidRowError.
        """
        table = TABLES[_known(record_type)]
        given = dict(values)
        company = "" if table.is_shared else self._company(given.pop("dataAreaId", None))
        number = next(self._numbers)
        row: Row = {"id": str(_FIRST_RECORD + number), "dataAreaId": company, "_version": 0}
        row |= {name: kind.unset for name, kind in table.fields.items()}
        row |= self._checked(record_type, company, given)
        self._default(record_type, row, number, given)
        self._require_key(record_type, row)
        self._tables[record_type][row["id"]] = row
        row["_version"] += 1
        return dict(row)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> Row:
        """Change fields. Raises UnknownRowError, InvalidRowError."""
        row = self.row(record_type, row_id)
        changed = {**row, **self._checked(record_type, row["dataAreaId"], values)}
        self._require_key(record_type, changed)
        row.update(changed)
        row["_version"] += 1
        return dict(row)

    def delete(self, record_type: str, row_id: str) -> None:
        """Remove a record without a trace. Raises UnknownRowError."""
        del self._tables[record_type][self.row(record_type, row_id)["id"]]

    def local_currency(self, company: str) -> str:
        """Return the currency that a company keeps its books in; blank without a ledger."""
        ledger = self.find("Ledgers", LegalEntityId=company)
        return str(ledger["AccountingCurrency"]) if ledger else ""

    def _company(self, named: object) -> str:
        known = [row["LegalEntityId"].lower() for row in self.select("LegalEntities")]
        if named is None and len(known) == 1:
            return str(known[0])
        if str(named).lower() not in known:
            raise InvalidRowError(f"no company {named}")
        return str(named).lower()

    def _default(self, record_type: str, row: Row, number: int, given: Row) -> None:
        """Fill in what the ERP fills in of a record that is made."""
        company = row["dataAreaId"]
        if record_type in _NUMBERED and not row[key := TABLES[record_type].key[0]]:
            row[key] = f"{company.upper()}-{_NUMBERED[record_type]}{number:06d}"
        match record_type:
            case "CustomersV3":
                row["SalesCurrencyCode"] = row["SalesCurrencyCode"] or self.local_currency(company)
                row["NameAlias"] = row["NameAlias"] or row["OrganizationName"][:20]
                row["OnHoldStatus"] = row["OnHoldStatus"] or "No"
            case "Projects":
                row["PsaStreamCurrency"] = row["PsaStreamCurrency"] or self.local_currency(company)
            case "JournalTrans" if "LineNumber" not in given:
                lines = self.select(record_type, dataAreaId=company, JournalId=row["JournalId"])
                row["LineNumber"] = max((line["LineNumber"] for line in lines), default=0) + 1

    def _checked(self, record_type: str, company: str, values: Mapping[str, Any]) -> Row:
        table = TABLES[_known(record_type)]
        if unknown := sorted(values.keys() - table.fields.keys()):
            raise InvalidRowError(f"{record_type} has no field {', '.join(unknown)}")
        checked: Row = {}
        for name, value in values.items():
            checked[name] = self._stored(table, name, value)
            if name in table.refers and checked[name]:
                self._require_relation(table, name, company, checked[name])
        return checked

    def _stored(self, table: Table, name: str, value: Any) -> Any:
        kind = table.fields[name]
        stored = _plain(name, kind, value, self.hours_digits)
        if kind is Kind.CURRENCY and stored and stored not in self.currencies:
            raise _unrelated(table, name, stored, "Currencies")
        return stored

    def _require_relation(self, table: Table, name: str, company: str, value: str) -> None:
        other = table.refers[name]
        if self.find(other, dataAreaId=company, **{TABLES[other].key[0]: value}) is None:
            raise _unrelated(table, name, value, TABLES[other].label)

    def _require_key(self, record_type: str, row: Row) -> None:
        table = TABLES[record_type]
        key = {name: row[name] for name in ("dataAreaId", *table.key)}
        for other in self.select(record_type, **key):
            if other["id"] != row["id"]:
                told = ", ".join(str(row[name]) for name in table.key)
                raise DuplicateKeyError(
                    f"Error: Cannot create a record in {table.label} ({table.entity}). {told}. The"
                    " record already exists."
                )

    def _table(self, record_type: str) -> dict[str, Row]:
        return self._tables[_known(record_type)]


def total(rows: Sequence[Row], name: str) -> Decimal:
    """Return the sum of a field."""
    return sum((row[name] for row in rows), Decimal(0))


def noon(day: date) -> str:
    """Return a day as the ERP has it."""
    return f"{day.isoformat()}T12:00:00Z"


def _unrelated(table: Table, name: str, value: str, other: str) -> MissingRelationError:
    return MissingRelationError(
        f"Warning: The value '{value}' in field '{name}' is not found in the related table"
        f" '{other}'.; Warning: validateField failed on field '{table.entity}.{name}'."
    )


def _folded(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _plain(name: str, kind: Kind, value: Any, hours_digits: int) -> Any:
    match kind:
        case Kind.DECIMAL | Kind.HOURS:
            number = _number(name, value)
            return round(number, hours_digits) if kind is Kind.HOURS else number
        case Kind.DAY if isinstance(value, str):
            return _day(name, value)
        case Kind.NO_YES if value in ("No", "Yes"):
            return value
        case Kind.TEXT | Kind.CODE | Kind.CURRENCY | Kind.CHOICE if isinstance(value, str):
            text = value if kind is Kind.TEXT else value.strip()
            if len(text) > NAMES_MAX.get(name, NUMBER_MAX if name in _KEYS else len(text)):
                raise InvalidRowError(f"the length of {name} is {len(text)}")
            return text
    raise InvalidRowError(f"{name} cannot be {value!r}")


_KEYS: Final = {name for table in TABLES.values() for name in table.key}


def _number(name: str, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise InvalidRowError(f"{name} cannot be {value!r}")
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise InvalidRowError(f"{name} cannot be {value!r}") from error
    if not number.is_finite():
        raise InvalidRowError(f"{name} cannot be {value!r}")
    return number


def _day(name: str, value: str) -> str:
    try:
        return noon(datetime.fromisoformat(value).date())
    except ValueError as error:
        raise InvalidRowError(f"{name} cannot be {value!r}") from error


def _known(record_type: str) -> str:
    if record_type not in TABLES:
        raise UnknownRowError(f"no entity {record_type}")
    return record_type
