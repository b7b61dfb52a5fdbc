"""What finance does in an ERP, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from sandbox.vendors.client import VendorAdmin


class Erp(Protocol):
    """An ERP's screens. Every method raises VendorAdminError; ids are the ERP's own."""

    system: str
    retried_as: str | None
    """Why it refused what somebody must ask for another trial of once a legal entity is complete;
    None where that shows in its rows."""

    def found(self, country: str, currency: str, tax_code: str | None) -> Any:
        """Add the firm's legal entity in a country; return its id.

        One without a tax code is not set up whole: the ERP refuses its projects.
        """

    def complete(self, entity_id: Any, tax_code: str) -> None:
        """Set up the rest of a legal entity."""

    def invoice(self, project_id: str, hours: Mapping[str, Decimal] | None = None) -> None:
        """Bill the time of a project of ours: `hours` by time bill, or all that is left."""

    def credit(self, invoice_id: Any, lines: Sequence[Any]) -> None:
        """Credit lines of an invoice."""

    def deny_time(self) -> None:
        """Take the right to time bills from the integration."""

    def allow_time(self) -> None:
        """Give it back."""


class NetSuite:
    """An account whose subsidiaries have a tax code, which projects need."""

    system = "netsuite"
    retried_as: str | None = None

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin

    def found(self, country: str, currency: str, tax_code: str | None) -> Any:
        row = {
            "name": f"Psastream {country}",
            "country": country,
            "currency": currency,
            "custrecord_psa_tax_code": tax_code,
        }
        return self._admin.create("netsuite", "subsidiary", row)["id"]

    def complete(self, entity_id: Any, tax_code: str) -> None:
        changes = {"custrecord_psa_tax_code": tax_code}
        self._admin.update("netsuite", "subsidiary", entity_id, changes)

    def invoice(self, project_id: str, hours: Mapping[str, Decimal] | None = None) -> None:
        self._admin.invoice(project_id, hours)

    def credit(self, invoice_id: Any, lines: Sequence[Any]) -> None:
        self._admin.credit(invoice_id, lines)

    def deny_time(self) -> None:
        self._admin.configure("netsuite", denied_records=("timeBill",))

    def allow_time(self) -> None:
        self._admin.configure("netsuite", denied_records=())


class BusinessCentral:
    """Companies, each a legal entity with books of its own; a project needs no tax code.

    What may be missing is a number series for projects that takes numbers from outside.
    """

    system = "business_central"
    retried_as: str | None = "setting"

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin

    def found(self, country: str, currency: str, tax_code: str | None) -> Any:
        row = {
            "name": country,
            "displayName": f"Psastream {country}",
            "country": country,
            "currencyCode": currency,
            "_project_series_is_closed": tax_code is None,
        }
        return self._admin.create("business_central", "companies", row)["id"]

    def complete(self, entity_id: Any, tax_code: str) -> None:
        opened = {"_project_series_is_closed": False}
        self._admin.update("business_central", "companies", entity_id, opened)

    def invoice(self, project_id: str, hours: Mapping[str, Decimal] | None = None) -> None:
        self._admin.invoice_job(project_id, hours)

    def credit(self, invoice_id: Any, lines: Sequence[Any]) -> None:
        self._admin.credit_lines(invoice_id, lines)

    def deny_time(self) -> None:
        self._admin.configure("business_central", denied_lists=("jobPlanningLines",))

    def allow_time(self) -> None:
        self._admin.configure("business_central", denied_lists=())


class FinanceOperations:
    """Companies of one environment, each a legal entity; finance has a journal of hours open.

    What may be missing in a company is the groups of projects, which each project names one of.
    """

    system = "finance_operations"
    retried_as: str | None = "reference"

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin

    def found(self, country: str, currency: str, tax_code: str | None) -> Any:
        company = company_of(country)
        entity = {
            "LegalEntityId": company,
            "Name": f"Psastream {country}",
            "AddressCountryRegionISOCode": country,
            "_lacks_project_groups": "Yes" if tax_code is None else "No",
        }
        founded = self._admin.create("finance_operations", "LegalEntities", entity)
        ledger = {"LegalEntityId": company, "AccountingCurrency": currency}
        self._admin.create("finance_operations", "Ledgers", ledger)
        journal = {"dataAreaId": company, "JournalName": "PSASTREAM"}
        self._admin.create("finance_operations", "JournalTables", journal)
        return founded["id"]

    def complete(self, entity_id: Any, tax_code: str) -> None:
        made = {"_lacks_project_groups": "No"}
        self._admin.update("finance_operations", "LegalEntities", entity_id, made)

    def invoice(self, project_id: str, hours: Mapping[str, Decimal] | None = None) -> None:
        self._admin.invoice_hours(project_id, hours)

    def credit(self, invoice_id: Any, lines: Sequence[Any]) -> None:
        self._admin.credit_hours(invoice_id, lines)

    def deny_time(self) -> None:
        self._admin.configure("finance_operations", denied_lists=("JournalTrans",))

    def allow_time(self) -> None:
        self._admin.configure("finance_operations", denied_lists=())


def company_of(country: str) -> str:
    """Return the id of the firm's company in a country, in Finance & Operations.

    >>> company_of("DE")
    'DEMF'
    """
    return f"{country}MF"


ERPS: Final[Mapping[str, Callable[[VendorAdmin], Erp]]] = {
    "netsuite": NetSuite,
    "business_central": BusinessCentral,
    "finance_operations": FinanceOperations,
}
"""Those that a story can be told in, by the name of the system."""
