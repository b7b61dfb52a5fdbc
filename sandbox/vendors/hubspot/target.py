"""HubSpot as a target of the conformance suite."""

from __future__ import annotations

from types import MappingProxyType

from sandbox.vendors.target import TwinTarget


class HubSpotTarget(TwinTarget):
    """Deals of the CRM, which people have made."""

    vendor = "hubspot"
    tables = MappingProxyType(dict.fromkeys(("companies", "deals")))
    given = ("deals", MappingProxyType({"dealname": "Tern", "dealstage": "closedwon"}), "id")

    async def prepare(self) -> None:
        """Win a deal: it is the account's first record."""
        await super().prepare()
        deal = {"dealname": "Tern", "dealstage": "closedwon"}
        await self.admin("POST", "/hubspot/rows/deals", deal)
