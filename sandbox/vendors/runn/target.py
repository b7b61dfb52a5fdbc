"""Runn as a target of the conformance suite."""

from __future__ import annotations

from types import MappingProxyType

from sandbox.vendors.target import TwinTarget


class RunnTarget(TwinTarget):
    """Projects and milestones of the resource planner."""

    vendor = "runn"
    tables = MappingProxyType({"projects": "references.externalId", "milestones": "note"})

    async def prepare(self) -> None:
        """Make two clients, the second that of a customer."""
        await super().prepare()
        named = [{"referenceName": "psastream", "externalId": "cus-abcdefghijkl"}]
        rows = [{"name": "Others"}, {"name": "Tern Ltd", "references": named}]
        await self.admin("POST", "/runn/rows/clients", rows)
