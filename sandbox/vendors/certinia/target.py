"""Certinia as a target of the conformance suite."""

from __future__ import annotations

from types import MappingProxyType

from sandbox.vendors.target import TwinTarget


class CertiniaTarget(TwinTarget):
    """Projects of the PSA that is a package in an org."""

    vendor = "certinia"
    tables = MappingProxyType({"pse__Proj__c": "Psastream_Project_Id__c"})

    async def prepare(self) -> None:
        """Let the package rewrite projects in the background, a moment after each write."""
        await super().prepare()
        await self.admin("PATCH", "/certinia/settings", {"rollup_s": 0.1})
