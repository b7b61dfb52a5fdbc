"""Budgets of projects in the ERP that bills them: they follow the approved assignments.

A budget lives in the ERP's project row: one made anew starts without it.
"""

from __future__ import annotations

from typing import Final

from schemas.commands import UpdateProjectBudget
from schemas.landscape import Role
from tables.engagement.view import ProjectView
from tables.flows.flow import Flow, Place
from tables.foundation.facts import ProjectLink


def _wanted(view: ProjectView, erp: str) -> UpdateProjectBudget | None:
    """Once there have been any assignments."""
    if view.biller != erp or view.rm is None or view.rm.assigned_hours is None:
        return None
    return UpdateProjectBudget(
        project_id=view.project_id,
        correlation_id=view.correlation_id,
        budget_hours=view.rm.assigned_hours,
        budget_cost=view.rm.assigned_cost,
        budget_revenue=view.rm.assigned_revenue,
        budget_currency=view.rm.assigned_currency,
    )


def _held(view: ProjectView, erp: str) -> ProjectLink | Place | None:
    row = view.held[erp]
    if row is None:
        return Place.MISSING
    return row if row.budget_hours is not None else None


PROJECT_BUDGET: Final = Flow(
    role=Role.ERP,
    noun="project_budget",
    upsert=UpdateProjectBudget,
    kept_equal=("budget_hours", "budget_cost", "budget_revenue", "budget_currency"),
    shown_by=("project",),
    wanted=_wanted,
    held=_held,
)
