"""What the contract of a PSA project pays, from the deal, the ERP's project and the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from sandbox.books.projects import project_files, project_plan
from sandbox.books.rows import Row, SourceRows, optional_number, rounded

BY_THE_HOUR = ("time_and_materials", None)


@dataclass(frozen=True, slots=True)
class Contract:
    """What was agreed for a project; None where nobody has said it."""

    billing_type: str | None = None
    value: Decimal | None = None
    currency: str | None = None
    budget_hours: Decimal | None = None

    @property
    def is_hourly(self) -> bool:
        return self.billing_type in BY_THE_HOUR


def contracts(rows: SourceRows) -> dict[str, Contract]:
    """Return the contract of each PSA project, by its ref; internal ones have none."""
    files = project_files(rows)
    found: dict[str, Contract] = {}
    for project in rows.projects:
        identity = project["project_id"]
        file = files.get(identity) if identity else None
        if file is None:
            found[project["ref"]] = Contract()
            continue
        job: Row = file.erp or {}
        deal_type = file.deal["billing_type"] if file.deal else None
        plan = project_plan(rows, file.rm)
        is_sold = file.is_wanted and file.deal is not None
        found[project["ref"]] = Contract(
            billing_type=deal_type or job.get("custentity_psa_billing_type"),
            value=file.contract_value
            if is_sold
            else optional_number(job.get("custentity_psa_contract_value")),
            currency=file.deal["currency"] if is_sold and file.deal else job.get("currency"),
            budget_hours=plan.hours
            if plan
            else optional_number(job.get("custentity_psa_budget_hours")),
        )
    return found


def fixed_fees(
    contract: Contract, hours: Mapping[str, Fraction]
) -> tuple[dict[str, Fraction], str | None]:
    """Return the part of a fixed price earned in each month, or why nobody can tell it.

    By the end of a month that part is earned which the hours so far are of the budgeted ones.
    """
    if contract.value is not None and contract.value < 0:
        return {}, "negative_contract_value"
    if contract.budget_hours is not None and contract.budget_hours < 0:
        return {}, "negative_budget"
    if not contract.value:
        return {}, "no_contract_value"
    if not contract.budget_hours:
        return {}, "no_budget"
    found: dict[str, Fraction] = {}
    earned = Fraction()
    for month in sorted(hours):
        so_far = sum((each for other, each in hours.items() if other <= month), Fraction())
        share = max(Fraction(), min(Fraction(1), so_far / Fraction(contract.budget_hours)))
        by_now = Fraction(rounded(share * Fraction(contract.value), 6))
        found[month] = by_now - earned
        earned = by_now
    return found, None
