"""Running totals of the project table: margin, utilization and billing status.

What a chunk contributes is added up here first; each total is then read, changed, written and
published once (`tables.measures`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.measures.billing_status import BillingStates
from tables.measures.margin import Margins
from tables.measures.measure import Amounts
from tables.measures.utilization import WorkedWeeks
from tables.project import contract_cap
from tables.project.contract import Contract
from tables.project.document import Standing
from tables.project.people import Person


class Totals:
    """What one chunk adds to the totals of a partition."""

    def __init__(self, documents: Documents, outbox: Outbox, source: str) -> None:
        self._documents = documents
        self._outbox = outbox
        self._margin = Margins(documents)
        self._billing = BillingStates(documents)
        self._worked = WorkedWeeks(documents, source)
        self._republished: set[str] = set()  # projects

    def add(self, contributions: pl.DataFrame | Sequence[Mapping[str, Any]]) -> None:
        """Take in contributions of time entries (`tables.project.hours.measured`)."""
        for fold in (self._margin, self._billing, self._worked):
            if isinstance(contributions, pl.DataFrame):
                fold.add_hours(contributions)
            else:
                fold.add_each(contributions)

    def add_billing(self, key: tuple[str, str, str], amounts: Amounts) -> None:
        """Add (seconds, money in `MONEY_UNITS`, entries) to a source project, currency, state."""
        self._billing.add("|".join(key), amounts)

    def add_margin(self, key: str, amounts: Amounts, source_position: int) -> None:
        """Add to `project_ref|period|currency`.

        `amounts`: seconds, time at its rates, billable expenses and cost in `MONEY_UNITS`.
        """
        self._margin.add(key, amounts, source_position)

    def republish(self, project_ref: str) -> None:
        """Publish all totals of a project again: its canonical id or its contract has changed."""
        self._republished.add(project_ref)
        for fold in (self._margin, self._billing):
            for key in fold.stored_keys(f"{project_ref}|"):
                fold.touch(key)

    def reassign(self, row: str, former: Person | None, now: Person | None) -> set[str]:
        """Publish the hours of addresses again that a change of a person gives to another one.

        Returns those addresses.
        """
        return self._worked.reassign(row, former, now)

    def owner(self, address: str) -> str | None:
        """Return the person whose the hours of an address are at present."""
        return self._worked.owner(address)

    def settle(self, standings: Mapping[str, Standing], timestamp_ms: int) -> None:
        """Write and publish every total the chunk changed; `standings` of `project_refs`."""
        projects = sorted(self.project_refs())
        self._margin.publish(standings, self._republished, self._outbox, timestamp_ms)
        self._billing.publish(standings, self._outbox, timestamp_ms)
        self._settle_caps(projects, standings, timestamp_ms)
        self._worked.publish(self._outbox)

    def project_refs(self) -> set[str]:
        """Return the source projects whose totals, or whose contract, the chunk changes."""
        return {
            key.partition("|")[0] for key in (*self._margin.keys(), *self._billing.keys())
        } | self._republished

    def _settle_caps(
        self, projects: list[str], standings: Mapping[str, Standing], timestamp_ms: int
    ) -> None:
        """Tell of capped contracts that are exceeded; last, for it reads the totals."""
        told = contract_cap.told(self._documents, projects)
        for project, before in zip(projects, told, strict=True):
            standing = standings[project]
            contract = standing.contract
            if before or contract.cap is not None or contract.fault is not None:
                billed = self._billed(project, contract)
                now = contract_cap.tell(
                    self._outbox, project, standing, billed, told=before, timestamp_ms=timestamp_ms
                )
                contract_cap.remember(self._documents, project, before, now)

    def _billed(self, project: str, contract: Contract) -> int:
        """Return what a capped contract bills in its currency, in `MONEY_UNITS`."""
        if contract.cap is None:
            return 0
        keys = [f"{project}|{contract.currency}|{state}" for state in contract_cap.BILLED]
        return sum(amount for _, amount, _ in self._billing.stored(keys))
