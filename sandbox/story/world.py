"""Everything the acts of one story share: the systems, the random numbers, what exists so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from sandbox.books.audit import Audit, Evidence, audit
from sandbox.books.comparison import Difference
from sandbox.books.ledgers import Ledger
from sandbox.books.reading import Library
from sandbox.story.crm import Crm, Deal
from sandbox.story.erps import Erp
from sandbox.story.offices import Coupa, Gusto, Hr
from sandbox.story.psa import Person, Psa, PsaProject
from sandbox.story.resource import PlannedProject, ResourceTool
from sandbox.vendors.client import VendorAdmin

IN_SECOND_ERP: Final = ("GB",)
"""Countries whose legal entity a second ERP keeps, where the firm has one."""


@dataclass(slots=True)
class Cast:
    """Who and what the acts have brought into being."""

    subsidiaries: dict[str, Any] = field(default_factory=dict)  # country → id
    accounts: dict[str, str] = field(default_factory=dict)  # name → id
    people: list[Person] = field(default_factory=list)
    deals: dict[str, Deal] = field(default_factory=dict)  # name → deal
    projects: list[PsaProject] = field(default_factory=list)
    allocations: list[int] = field(default_factory=list)
    entries: dict[str, str] = field(default_factory=dict)  # time entry id → status
    impossible_entries: list[str] = field(default_factory=list)
    timers: list[str] = field(default_factory=list)
    last_id: int = 1000

    def next_id(self) -> int:
        """Return an id that no row of the in-house PSA has yet."""
        self.last_id += 1
        return self.last_id


@dataclass(slots=True)
class World:
    """The stage of a story. `rate` is in changes a second, `entries` the volume of timesheets."""

    admin: VendorAdmin
    crm: Crm
    psa: Psa
    erps: Mapping[str, Erp]  # by the name of the system
    resource_tool: ResourceTool
    library: Library
    random: Random
    rate: int
    entries: int
    cast: Cast = field(default_factory=Cast)
    hr: Hr | None = None
    payroll: Gusto | None = None
    procurement: Coupa | None = None

    def erp_in(self, country: str) -> Erp:
        """Return the ERP that keeps the legal entity of a country."""
        first, *others = self.erps.values()
        return others[0] if others and country in IN_SECOND_ERP else first

    def ledger(self) -> Ledger:
        """Return what the ERPs hold."""
        return Ledger.of(tuple(self.erps), self.admin.books())

    def audit(self) -> Audit:
        """Compare everything with the books as of now."""
        return self._audit(self.library.evidence())

    def planned_projects(self) -> list[PlannedProject]:
        """Return the projects of the resource tool, by name.

        Their numbers, and so the order of its books, follow from which was ordered first.
        """
        return sorted(self.resource_tool.projects(), key=lambda each: each.name)

    def differences(self, table: str) -> list[Difference]:
        """Return everything in a table that is not as the books have it."""
        found = self._audit(self.library.evidence({table})).differences
        return [each for each in found if each.table == table]

    def first_difference(self, *tables: str) -> str | None:
        """Return the first difference in these tables, None where there is none."""
        found = self._audit(self.library.evidence(tables)).differences
        return next((str(each) for each in found if each.table in tables), None)

    def _audit(self, evidence: Evidence) -> Audit:
        return audit(evidence, dead_letters=len(self.cast.impossible_entries))
