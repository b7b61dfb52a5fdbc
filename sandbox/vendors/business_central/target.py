"""Business Central as a target of the conformance suite."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from sandbox.vendors.target import TwinTarget


class BusinessCentralTarget(TwinTarget):
    """Customers, projects and planning lines of a company of the ERP."""

    vendor = "business_central"
    tables = MappingProxyType(
        {"customers": "number", "jobs": "number", "jobPlanningLines": "documentNumber"}
    )

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(url, directory)
        self.url = self.environment["BUSINESS_CENTRAL_URL"]

    async def prepare(self) -> None:
        """Found a company: it has the id that the environment names."""
        await super().prepare()
        row = {"name": "DE", "displayName": "DE GmbH", "country": "DE", "currencyCode": "EUR"}
        await self.admin("POST", "/business_central/rows/companies", row)
