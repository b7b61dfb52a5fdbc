"""Salesforce as a target of the conformance suite."""

from __future__ import annotations

from types import MappingProxyType

from sandbox.vendors.target import TwinTarget


class SalesforceTarget(TwinTarget):
    """Opportunities of the CRM, which people have made."""

    vendor = "salesforce"
    tables = MappingProxyType(dict.fromkeys(("Account", "Opportunity")))
    given = (
        "Opportunity",
        MappingProxyType(
            {"AccountId": "001TW0000000001YAA", "Name": "Tern", "StageName": "Closed Won"}
        ),
        "Id",
    )

    async def prepare(self) -> None:
        """Win a deal: it is the org's second record."""
        await super().prepare()
        account = await self.admin("POST", "/salesforce/rows/Account", {"Name": "Tern Ltd"})
        deal = {"AccountId": account["Id"], "Name": "Tern", "StageName": "Closed Won"}
        await self.admin("POST", "/salesforce/rows/Opportunity", deal)
