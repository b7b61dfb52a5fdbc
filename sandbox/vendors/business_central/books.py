"""Records of the ERP: companies, and what each holds. No HTTP.

Facts and their sources: connectors/vendors/business_central/README.md. A number is a Code[20]: kept
in capitals, and a key within its company. Nothing is null: what is unset is blank, 0, false or the
day 0001-01-01. An amount in the company's own currency has a blank code, shown as the ISO code. A
field whose name begins with an underscore is the ERP's own affair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

Row = dict[str, Any]

CURRENCIES: Final = ("EUR", "USD", "GBP", "SEK", "CHF", "PLN", "AUD", "BRL", "CAD", "INR", "JPY")
NO_DAY: Final = "0001-01-01"
STAMP: Final = "lastModifiedDateTime"
CODE_MAX: Final = 20
_ID: Final = "{:08x}-0000-4000-8000-00000000bc00"
FIRST_COMPANY: Final = _ID.format(1)
"""Id of the company that is founded first."""
_QUANTITY_DIGITS: Final = 5
_LINE_STEP: Final = 10_000


class Kind(Enum):
    """What a field may hold, with its value where it is unset."""

    TEXT = ""
    CODE = "code"
    CURRENCY = "currency"
    DECIMAL = "decimal"
    QUANTITY = "quantity"
    INTEGER = "integer"
    DATE = "date"
    BOOLEAN = "boolean"
    GUID = "guid"

    @property
    def unset(self) -> Any:
        match self:
            case Kind.DECIMAL | Kind.QUANTITY:
                return Decimal(0)
            case Kind.INTEGER:
                return 0
            case Kind.DATE:
                return NO_DAY
            case Kind.BOOLEAN:
                return False
            case Kind.GUID:
                return "00000000-0000-0000-0000-000000000000"
        return ""


@dataclass(frozen=True, slots=True)
class Table:
    """Fields of the records of a list; `key` holds no value twice within a company.

    `refers`: fields that hold the number of a record of another list, by its name for users.
    """

    fields: Mapping[str, Kind]
    label: str
    key: str = ""
    refers: Mapping[str, str] = field(default_factory=dict)


_DOCUMENT: Final = {
    "number": Kind.CODE,
    "status": Kind.TEXT,
    "postingDate": Kind.DATE,
    "customerNumber": Kind.CODE,
    "currencyCode": Kind.CURRENCY,
    "totalAmountExcludingTax": Kind.DECIMAL,
    "totalTaxAmount": Kind.DECIMAL,
    "totalAmountIncludingTax": Kind.DECIMAL,
}
_LINE: Final = {
    "documentId": Kind.GUID,
    "documentNumber": Kind.CODE,
    "lineNumber": Kind.INTEGER,
    "postingDate": Kind.DATE,
    "lineType": Kind.TEXT,
    "quantity": Kind.QUANTITY,
    "amount": Kind.DECIMAL,
    "billToCustomerNumber": Kind.CODE,
    "jobNumber": Kind.CODE,
    "psaTimeEntryId": Kind.TEXT,
    "psaProjectRef": Kind.TEXT,
    "_planning_line": Kind.GUID,
}
TABLES: Final[Mapping[str, Table]] = {
    "companies": Table(
        {
            "name": Kind.TEXT,
            "displayName": Kind.TEXT,
            "country": Kind.CODE,
            "currencyCode": Kind.CODE,
            "taxRegistrationNumber": Kind.TEXT,
            "_project_series_is_closed": Kind.BOOLEAN,  # to numbers that people enter
        },
        "Company",
        key="name",
    ),
    "customers": Table(
        {
            "number": Kind.CODE,
            "displayName": Kind.TEXT,
            "type": Kind.TEXT,
            "country": Kind.CODE,
            "taxRegistrationNumber": Kind.TEXT,
            "currencyCode": Kind.CURRENCY,
            "blocked": Kind.TEXT,
        },
        "Customer",
        key="number",
    ),
    "jobs": Table(
        {
            "number": Kind.CODE,
            "description": Kind.TEXT,
            "billToCustomerNumber": Kind.CODE,
            "status": Kind.TEXT,
            "startingDate": Kind.DATE,
            "currencyCode": Kind.CURRENCY,
            "psaBillingType": Kind.TEXT,
            "psaTaxCode": Kind.TEXT,
            "psaServiceLines": Kind.TEXT,
            "psaContractValue": Kind.DECIMAL,
            "psaHasBudget": Kind.BOOLEAN,
            "psaBudgetHours": Kind.DECIMAL,
            "psaBudgetCost": Kind.DECIMAL,
            "psaBudgetRevenue": Kind.DECIMAL,
            "psaBudgetCurrency": Kind.TEXT,
            "psaCorrelationId": Kind.TEXT,
        },
        "Project",
        key="number",
        refers={"billToCustomerNumber": "customers"},
    ),
    "jobPlanningLines": Table(
        {
            "jobNumber": Kind.CODE,
            "jobTaskNumber": Kind.CODE,
            "lineNumber": Kind.INTEGER,
            "lineType": Kind.TEXT,
            "type": Kind.TEXT,
            "number": Kind.CODE,
            "documentNumber": Kind.CODE,
            "planningDate": Kind.DATE,
            "quantity": Kind.QUANTITY,
            "unitPrice": Kind.DECIMAL,
            "currencyCode": Kind.CURRENCY,
            "quantityInvoiced": Kind.QUANTITY,
            "psaTimeEntryId": Kind.TEXT,
            "psaProjectRef": Kind.TEXT,
            "psaCorrelationId": Kind.TEXT,
        },
        "Project Planning Line",
        refers={"jobNumber": "jobs"},
    ),
    "salesInvoices": Table(
        {**_DOCUMENT, "invoiceDate": Kind.DATE, "remainingAmount": Kind.DECIMAL},
        "Sales Invoice",
        key="number",
    ),
    "salesCreditMemos": Table(
        {**_DOCUMENT, "creditMemoDate": Kind.DATE, "_invoice": Kind.GUID},
        "Sales Credit Memo",
        key="number",
    ),
    "postedSalesInvoiceLines": Table(_LINE, "Sales Invoice Line"),
    "postedSalesCreditMemoLines": Table(_LINE, "Sales Cr.Memo Line"),
}
"""Entity set → its table."""

NAMES_MAX: Final = {"displayName": 100, "description": 100}


class DuplicateKeyError(InvalidRowError):
    """A record of this number is there."""


class MissingRelationError(InvalidRowError):
    """A field names a record that the company does not hold."""


@dataclass(slots=True)
class BusinessCentralBooks:
    """All records, by list and id, in the order they were made."""

    clock: VendorClock
    currencies: tuple[str, ...] = CURRENCIES
    _tables: dict[str, dict[str, Row]] = field(
        default_factory=lambda: {name: {} for name in TABLES}
    )
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def rows(self) -> dict[str, list[Row]]:
        """Return everything, currencies as ISO codes; `company` names the company's id."""
        return {
            name: [self.shown(name, row) for row in table.values()]
            for name, table in self._tables.items()
        }

    def select(self, record_type: str, **equal: object) -> list[Row]:
        """Return the records whose fields equal the values given, the first made first."""
        return [
            row
            for row in self._table(record_type).values()
            if all(row[name] == value for name, value in equal.items())
        ]

    def find(self, record_type: str, **equal: object) -> Row | None:
        """Return the first record whose fields equal the values given."""
        return next(iter(self.select(record_type, **equal)), None)

    def row(self, record_type: str, row_id: str) -> Row:
        """Return the record of an id. Raises UnknownRowError."""
        found = self._table(record_type).get(row_id.lower())
        if found is None:
            raise UnknownRowError(f"no {record_type} {row_id}")
        return found

    def create(self, record_type: str, values: Mapping[str, Any]) -> Row:
        """Add a record; but for a company, `company` says where: the only one, if there is one.

        Raises InvalidRowError.
        """
        given = dict(values)
        row_id = self._new_id()
        company = row_id
        if record_type != "companies":
            company = self._company(given.pop("company", None))
        table = TABLES[_known(record_type)]
        row: Row = {"id": row_id, "company": company, "_version": 0}
        row |= {name: kind.unset for name, kind in table.fields.items()}
        row |= self._checked(record_type, company, given)
        if record_type == "customers" and not row["blocked"]:
            row["blocked"] = " "
        if record_type == "jobPlanningLines":
            lines = self.select(
                record_type,
                company=company,
                jobNumber=row["jobNumber"],
                jobTaskNumber=row["jobTaskNumber"],
            )
            last = max((line["lineNumber"] for line in lines), default=0)
            row["lineNumber"] = last + _LINE_STEP
        self._require_key(record_type, row)
        self._tables[record_type][row_id] = row
        self._touch(row)
        return self.shown(record_type, row)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> Row:
        """Change fields and move the stamp. Raises UnknownRowError, InvalidRowError."""
        row = self.row(record_type, row_id)
        changed = {**row, **self._checked(record_type, row["company"], values)}
        self._require_key(record_type, changed)
        row.update(changed)
        self._touch(row)
        return self.shown(record_type, row)

    def delete(self, record_type: str, row_id: str) -> None:
        """Remove a record without a trace. Raises UnknownRowError."""
        del self._tables[record_type][self.row(record_type, row_id)["id"]]

    def shown(self, record_type: str, row: Row) -> Row:
        """Return a record with ISO codes of currencies."""
        found = dict(row)
        for name, kind in TABLES[record_type].fields.items():
            if kind is Kind.CURRENCY:
                found[name] = row[name] or self.local_currency(row["company"])
        return found

    def local_currency(self, company: str) -> str:
        """Return the ISO code of a company's own currency."""
        return str(self._tables["companies"][company]["currencyCode"])

    def _company(self, named: object) -> str:
        known = self._tables["companies"]
        if named is None and len(known) == 1:
            return next(iter(known))
        if str(named).lower() not in known:
            raise InvalidRowError(f"no company {named}")
        return str(named).lower()

    def _checked(self, record_type: str, company: str, values: Mapping[str, Any]) -> Row:
        table = TABLES[_known(record_type)]
        unknown = sorted(values.keys() - table.fields.keys() - {STAMP})
        if unknown:
            raise InvalidRowError(f"{record_type} has no field {', '.join(unknown)}")
        checked: Row = {}
        for name, value in values.items():
            if name == STAMP:
                checked["_stamp"] = value
                continue
            checked[name] = self._stored(name, table.fields[name], company, value)
            if name in table.refers and checked[name]:
                self._require_relation(table, name, company, checked[name])
        return checked

    def _stored(self, name: str, kind: Kind, company: str, value: Any) -> Any:
        if kind is Kind.CURRENCY and isinstance(value, str):
            return self._currency(name, company, value.upper())
        return _plain(name, kind, value)

    def _currency(self, name: str, company: str, code: str) -> str:
        if code in ("", self.local_currency(company)):
            return ""
        if code not in self.currencies:
            raise MissingRelationError(f'The "{name}" does not match to a Currency.')
        return code

    def _require_relation(self, table: Table, name: str, company: str, value: str) -> None:
        other = table.refers[name]
        if self.find(other, company=company, number=value) is None:
            raise MissingRelationError(
                f"The field {name} of table {table.label} contains a value ({value}) that cannot"
                f" be found in the related table ({TABLES[other].label})."
            )

    def _require_key(self, record_type: str, row: Row) -> None:
        table = TABLES[record_type]
        if not table.key:
            return
        if not row[table.key]:
            row[table.key] = f"{table.label[0]}{next(self._numbers):06d}"
        for other in self.select(record_type, **{table.key: row[table.key]}):
            if other["id"] != row["id"] and other["company"] == row["company"]:
                raise DuplicateKeyError(
                    f"The {table.label} already exists."
                    f" Identification fields and values: No.='{row[table.key]}'"
                )

    def _touch(self, row: Row) -> None:
        row["_version"] += 1
        row[STAMP] = row.pop("_stamp", None) or stamp_text(self.clock)

    def _new_id(self) -> str:
        return _ID.format(next(self._numbers))

    def _table(self, record_type: str) -> dict[str, Row]:
        return self._tables[_known(record_type)]


def stamp_text(clock: VendorClock) -> str:
    """Return the vendor's instant as it writes one: the fraction without its last zeros."""
    text = clock.now().isoformat(timespec="milliseconds").replace("+00:00", "")
    return f"{text.rstrip('0').rstrip('.')}Z"


def total(rows: Sequence[Row], name: str) -> Decimal:
    """Return the sum of a field."""
    return sum((row[name] for row in rows), Decimal(0))


def _plain(name: str, kind: Kind, value: Any) -> Any:
    match kind:
        case Kind.TEXT | Kind.GUID | Kind.CODE if isinstance(value, str):
            return _text(name, kind, value)
        case Kind.DECIMAL | Kind.QUANTITY:
            return _number(name, kind, value)
        case Kind.DATE if isinstance(value, str):
            return _day(name, value)
        case Kind.INTEGER | Kind.BOOLEAN if type(value) is type(kind.unset):
            return value
    raise InvalidRowError(f"{name} cannot be {value!r}")


def _text(name: str, kind: Kind, value: str) -> str:
    text = value.strip().upper() if kind is Kind.CODE else value
    if len(text) > (CODE_MAX if kind is Kind.CODE else NAMES_MAX.get(name, len(text))):
        raise InvalidRowError(f"the length of {name} is {len(text)}")
    return text


def _number(name: str, kind: Kind, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise InvalidRowError(f"{name} cannot be {value!r}")
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise InvalidRowError(f"{name} cannot be {value!r}") from error
    if not number.is_finite():
        raise InvalidRowError(f"{name} cannot be {value!r}")
    return round(number, _QUANTITY_DIGITS) if kind is Kind.QUANTITY else number


def _day(name: str, value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise InvalidRowError(f"{name} cannot be {value!r}") from error


def _known(record_type: str) -> str:
    if record_type not in TABLES:
        raise UnknownRowError(f"no list {record_type}")
    return record_type


def companies_filter(count: int) -> str:
    """Return how connector files name so many companies, founded first."""
    return " or ".join(f"id eq {_ID.format(number)}" for number in range(1, count + 1))
