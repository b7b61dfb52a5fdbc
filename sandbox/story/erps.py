"""What finance does in an ERP, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from sandbox.vendors.client import VendorAdmin


class Erp(Protocol):
    """An ERP's screens. Every method raises VendorAdminError; ids are the ERP's own."""

    system: str
    tells_setup: bool
    """Whether what completes a legal entity shows in its rows; else somebody must ask for another
    trial of what was refused."""

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
    tells_setup = True

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
    tells_setup = False

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


ERPS: Final[Mapping[str, Callable[[VendorAdmin], Erp]]] = {
    "netsuite": NetSuite,
    "business_central": BusinessCentral,
}
"""Those that a story can be told in, by the name of the system."""
