"""Everything the acts of one story share: the systems, the random numbers, what exists so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from sandbox.books.audit import Audit, Evidence, audit
from sandbox.books.reading import Library
from sandbox.story.crm import Crm
from sandbox.story.psa import PsaDatabase
from sandbox.vendors.client import VendorAdmin


@dataclass(slots=True)
class Deal:
    """A deal of the story; `lines` by delivery country."""

    id: str
    ref: str  # as sources tell it
    account_id: str
    name: str
    currency: str
    lines: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class PsaProject:
    """A project in the PSA and the task hours are booked on; internal ones have no deal."""

    id: int
    task_id: int
    currency: str
    deal: Deal | None = None
    country_code: str | None = None


@dataclass(slots=True)
class Person:
    """A person of the firm; rates are what the PSA puts on their hours."""

    id: int
    email: str
    bill_rate: int
    cost_rate: int


@dataclass(slots=True)
class Cast:
    """Who and what the acts have brought into being."""

    subsidiaries: dict[str, int] = field(default_factory=dict)  # country → id
    accounts: dict[str, str] = field(default_factory=dict)  # name → id
    people: list[Person] = field(default_factory=list)
    deals: dict[str, Deal] = field(default_factory=dict)  # name → deal
    projects: list[PsaProject] = field(default_factory=list)
    allocations: list[int] = field(default_factory=list)
    entries: dict[int, str] = field(default_factory=dict)  # time entry id → status
    impossible_entries: list[int] = field(default_factory=list)
    last_id: int = 1000

    def next_id(self) -> int:
        """Return an id no PSA row has yet."""
        self.last_id += 1
        return self.last_id


@dataclass(slots=True)
class World:
    """The stage of a story. `rate` is in changes a second, `entries` the volume of timesheets."""

    admin: VendorAdmin
    crm: Crm
    psa: PsaDatabase
    library: Library
    random: Random
    rate: int
    entries: int
    cast: Cast = field(default_factory=Cast)

    def audit(self) -> Audit:
        """Compare everything with the books as of now."""
        return self._audit(self.library.evidence())

    def first_difference(self, *tables: str) -> str | None:
        """Return the first difference in these tables, None where there is none."""
        found = self._audit(self.library.evidence(tables)).differences
        return next((str(each) for each in found if each.table in tables), None)

    def _audit(self, evidence: Evidence) -> Audit:
        return audit(evidence, dead_letters=len(self.cast.impossible_entries))
