"""Projects in the ERP that bills them: as they were sold, once their customer is there."""

from __future__ import annotations

from typing import Final

from schemas.commands import DeleteProject, UpsertProject
from schemas.landscape import Role
from tables.engagement.view import ProjectView
from tables.flows.flow import Flow, Worth
from tables.foundation.facts import ProjectLink
from tables.project.hours import MONEY


def _wanted(view: ProjectView, erp: str) -> UpsertProject | DeleteProject | None:
    customer, entity = view.document.customer, view.entity
    is_of_another = entity is not None and view.biller != erp
    if view.held[erp] is None and (view.wanted is None or is_of_another):
        # Ordered and not seen yet: nothing can be booked on it. What was never ordered is not
        # ours to delete.
        return DeleteProject(project_id=view.project_id, correlation_id=view.correlation_id)
    is_possible = customer is not None and customer.is_in(erp) and not is_of_another
    return view.as_sold(entity) if entity is not None and is_possible else None


def _held(view: ProjectView, erp: str) -> ProjectLink | None:
    return view.held[erp]


def _worth(view: ProjectView) -> Worth:
    deal = view.document.opportunity
    if view.wanted is None or deal is None:
        return None, None
    return view.wanted.contract_value.quantize(MONEY), deal.currency


ERP_PROJECT: Final = Flow(
    role=Role.ERP,
    noun="project",
    upsert=UpsertProject,
    delete=DeleteProject,
    kept_equal=(
        "customer_id", "name", "legal_entity_id", "currency", "starts_on", "billing_type",
        "tax_code", "service_lines", "contract_value",
    ),
    shown_by=("project",),
    wanted=_wanted,
    held=_held,
    worth=_worth,
)  # fmt: skip
