"""NetSuite as a target of the conformance suite."""

from __future__ import annotations

from types import MappingProxyType

from sandbox.vendors.target import TwinTarget


class NetSuiteTarget(TwinTarget):
    """Customers, projects and time bills of the ERP."""

    vendor = "netsuite"
    tables = MappingProxyType(dict.fromkeys(("customer", "job", "timebill"), "externalid"))

    async def prepare(self) -> None:
        """Found a subsidiary: it has the id 1."""
        await super().prepare()
        row = {"name": "DE GmbH", "country": "DE", "currency": "EUR"}
        await self.admin("POST", "/netsuite/rows/subsidiary", row)
