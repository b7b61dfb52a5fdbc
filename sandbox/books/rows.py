"""The rows of every source system at one moment, as they are there. No rule of business here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

from sandbox.books import sales, staff, work
from sandbox.books.ledgers import Ledger
from sandbox.books.offices import Offices

Row = Mapping[str, Any]
Rows = tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Rows by system and object; rows deleted at their source are left out."""

    # CRM, as `sandbox.books.sales` has it
    accounts: Rows = ()
    deals: Rows = ()
    deal_lines: Rows = ()
    # ERPs, as `sandbox.books.ledgers` has them
    subsidiaries: Rows = ()
    customers: Rows = ()
    jobs: Rows = ()
    time_bills: Rows = ()
    invoices: Rows = ()
    invoice_lines: Rows = ()
    # resource tool, as `sandbox.books.staff` has it
    people: Rows = ()
    rm_projects: Rows = ()
    allocations: Rows = ()
    days_off: Rows = ()
    holidays: Rows = ()
    # PSA, as `sandbox.books.work` has it
    projects: Rows = ()
    time_entries: Rows = ()
    expenses: Rows = ()
    # HR, payroll and procurement: the tables of each, by system
    offices: Offices = field(default_factory=dict)
    crm: str = "salesforce"
    psa: str = "inhouse"
    erps: tuple[str, ...] = ("netsuite",)
    resource: str = "float"
    takes_status: bool = False  # of the CRM: whether it is told what becomes of its deals
    today: date = date(1990, 1, 1)

    @classmethod
    def of(
        cls,
        vendors: Mapping[str, Mapping[str, Iterable[Row]]],
        today: date = date(1990, 1, 1),
        *,
        crm: str = "salesforce",
        psa: str = "inhouse",
        erps: tuple[str, ...] = ("netsuite",),
        resource: str = "float",
        takes_status: bool = False,
        offices: Iterable[str] = (),
    ) -> Self:
        """Sort the vendors' books into one view, as of today; the systems by role.

        `offices` are those of HR, payroll and procurement.
        """
        ledger = Ledger.of(erps, vendors)
        planned = staff.READ[resource](vendors[resource], today)
        sold_in, delivered_in = sales.READ[crm], work.READ[psa]
        sold = sold_in.read(vendors[sold_in.vendor])
        delivered = delivered_in.read(vendors[delivered_in.vendor], sold.deals_are)
        return cls(
            crm=sold.system,
            psa=delivered.system,
            erps=erps,
            takes_status=takes_status,
            accounts=sold.accounts,
            deals=sold.deals,
            deal_lines=sold.deal_lines,
            subsidiaries=ledger.subsidiaries,
            customers=ledger.customers,
            jobs=ledger.jobs,
            time_bills=ledger.time_bills,
            invoices=ledger.invoices,
            invoice_lines=ledger.invoice_lines,
            resource=resource,
            people=planned.people,
            rm_projects=planned.projects,
            allocations=planned.allocations,
            days_off=planned.days_off,
            holidays=planned.holidays,
            projects=delivered.projects,
            time_entries=delivered.time_entries,
            expenses=delivered.expenses,
            offices={name: vendors[name] for name in offices},
            today=today,
        )


def number(value: object) -> Decimal:
    """Return a source's number, kept as text, integer or decimal; nothing counts as 0."""
    return Decimal(str(value)) if value is not None else Decimal(0)


def optional_number(value: object) -> Decimal | None:
    """Return a source's number, or None where there is none."""
    return None if value is None else Decimal(str(value))


def erp_hours(value: object) -> Fraction:
    """Return the ERP's hours, a number of some digits, as the whole seconds they stand for."""
    return Fraction(round(Fraction(number(value)) * 3600), 3600)


def rounded(value: Fraction, digits: int) -> Decimal:
    """Return a fraction as a decimal, half-even."""
    return Decimal(round(value * 10**digits)).scaleb(-digits)


def by_id(rows: Iterable[Row], id_field: str = "id") -> dict[Any, Row]:
    """Return the rows by their native id."""
    return {row[id_field]: row for row in rows}
