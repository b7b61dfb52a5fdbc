"""What finance does in an ERP, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from sandbox.vendors.client import VendorAdmin


class Erp(Protocol):
    """An ERP's screens. Every method raises VendorAdminError; ids are the ERP's own."""

    system: str

    def found(self, country: str, currency: str, tax_code: str | None) -> Any:
        """Add the firm's legal entity in a country; return its id."""

    def set_tax_code(self, entity_id: Any, tax_code: str) -> None:
        """Complete a legal entity."""

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

    def set_tax_code(self, entity_id: Any, tax_code: str) -> None:
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
    """Companies, each a legal entity with books of its own; a project needs no tax code."""

    system = "business_central"

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin

    def found(self, country: str, currency: str, tax_code: str | None) -> Any:
        row = {
            "name": country,
            "displayName": f"Psastream {country}",
            "country": country,
            "currencyCode": currency,
        }
        return self._admin.create("business_central", "companies", row)["id"]

    def set_tax_code(self, entity_id: Any, tax_code: str) -> None:
        """There is nothing to complete."""

    def invoice(self, project_id: str, hours: Mapping[str, Decimal] | None = None) -> None:
        self._admin.invoice_job(project_id, hours)

    def credit(self, invoice_id: Any, lines: Sequence[Any]) -> None:
        self._admin.credit_lines(invoice_id, lines)

    def deny_time(self) -> None:
        self._admin.configure("business_central", denied_lists=("jobPlanningLines",))

    def allow_time(self) -> None:
        self._admin.configure("business_central", denied_lists=())


ERPS: Final[Mapping[str, Callable[[VendorAdmin], Erp]]] = {
    "netsuite": NetSuite,
    "business_central": BusinessCentral,
}
"""Those that a story can be told in, by the name of the system."""
