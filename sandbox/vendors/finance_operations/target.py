"""Finance & Operations as a target of the conformance suite."""

from __future__ import annotations

from types import MappingProxyType

from sandbox.vendors.target import TwinTarget


class FinanceOperationsTarget(TwinTarget):
    """Customers, projects and lines of hours of a company of the ERP."""

    vendor = "finance_operations"
    tables = MappingProxyType(
        {
            "CustomersV3": "CustomerAccount",
            "Projects": "ProjectID",
            "JournalTrans": "PsaStreamTimeBillId",
        }
    )

    async def prepare(self) -> None:
        """Found two companies, each with a ledger and an open journal of hours."""
        await super().prepare()
        for company, country, currency in (("demf", "DE", "EUR"), ("usmf", "US", "USD")):
            names = {"LegalEntityId": company, "Name": company.upper()}
            entity = {**names, "AddressCountryRegionISOCode": country}
            ledger = {"LegalEntityId": company, "AccountingCurrency": currency}
            journal = {"dataAreaId": company, "JournalName": "PSASTREAM"}
            for name, row in (
                ("LegalEntities", entity), ("Ledgers", ledger), ("JournalTables", journal),
            ):  # fmt: skip
                await self.admin("POST", f"/finance_operations/rows/{name}", row)
