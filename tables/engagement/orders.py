"""What is ordered for the projects an engagement should have."""

from __future__ import annotations

from typing import Final

from schemas.commands import DeleteProject, UpdateProjectBudget, UpsertProject
from schemas.landscape import Landscape, Role
from tables.engagement.status import publish, tell_finance, tell_unclear_entity
from tables.engagement.view import EngagementDocument, LegalEntities, ProjectView, wanted_countries
from tables.foundation.effects import Outbox
from tables.foundation.facts import LegalEntity
from tables.foundation.ledger import forget, send_withdrawal, withdraw

UPSERT: Final = UpsertProject.kind
DELETE: Final = DeleteProject.kind
BUDGET: Final = UpdateProjectBudget.kind

# Fields that psastream keeps equal: those the target shows back.
IN_ERP: Final = (
    "customer_id", "name", "legal_entity_id", "currency", "starts_on", "billing_type", "tax_code",
    "service_lines", "contract_value",
)  # fmt: skip
IN_RESOURCE_TOOL: Final = ("name", "starts_on")
IN_BUDGET: Final = ("budget_hours", "budget_cost", "budget_revenue", "budget_currency")


def settle_projects(
    document: EngagementDocument,
    landscape: Landscape,
    legal_entities: LegalEntities,
    outbox: Outbox,
    timestamp_ms: int,
) -> None:
    """Order what the systems lack, and publish the status of every project."""
    wanted = {
        project.project_id: project for project in wanted_countries(document, landscape).values()
    }
    linked = {link.project_id for link in document.links.values() if link.project_id}
    document.asked = sorted({*document.asked, *wanted})
    for identity in sorted({*document.asked, *linked, *document.published}):
        view = ProjectView(document, landscape, identity, wanted.get(identity), legal_entities)
        for erp in landscape.erps:
            _order_erp_project(view, erp, outbox, timestamp_ms)
        _order_rm_project(view, outbox, timestamp_ms)
        for erp in landscape.erps:
            _order_budget(view, erp, outbox, timestamp_ms)
        tell_finance(view, outbox, timestamp_ms)
        tell_unclear_entity(view, outbox, timestamp_ms)
        publish(view, outbox, timestamp_ms)


def _order_erp_project(view: ProjectView, erp: str, outbox: Outbox, timestamp_ms: int) -> None:
    customer, entity, held = view.document.customer, view.entity, view.held[erp]
    is_of_another = entity is not None and view.biller != erp
    if held is None and (view.wanted is None or is_of_another):
        # Ordered and not seen yet: nothing can be booked on it. What was never ordered is not
        # ours to delete.
        order = view.order(erp, DELETE, "project")
        gone = DeleteProject(project_id=view.project_id, correlation_id=order.correlation_id)
        is_sent = view.decide(outbox, order, gone, None, (), timestamp_ms=timestamp_ms)
        if is_sent and view.document.entities.get(view.project_id, "").startswith(f"{erp}:"):
            del view.document.entities[view.project_id]
        return
    amount = view.wanted.contract_value if view.wanted else None
    order = view.order(erp, UPSERT, "project", amount)
    is_possible = customer is not None and customer.is_in(erp) and not is_of_another
    wanted = _project(view, entity) if entity is not None and is_possible else None
    if view.decide(outbox, order, wanted, held, IN_ERP, timestamp_ms=timestamp_ms) and entity:
        view.document.entities[view.project_id] = view.name_of(entity)


def _order_rm_project(view: ProjectView, outbox: Outbox, timestamp_ms: int) -> None:
    # The resource tool is searched by a code that people type: the table has found it.
    seen_id = view.rm.native_id if view.rm else None
    wanted = _project(view, None, seen_id) if view.erp is not None else None
    order = view.order(view.landscape.only(Role.RESOURCE), UPSERT, "project")
    view.decide(outbox, order, wanted, view.rm, IN_RESOURCE_TOOL, timestamp_ms=timestamp_ms)


def _project(
    view: ProjectView, entity: LegalEntity | None, seen_id: str | None = None
) -> UpsertProject | None:
    """Return the project as it was sold; `entity` is who delivers, where the target knows it."""
    deal = view.document.opportunity
    if view.wanted is None or deal is None:
        return None
    return UpsertProject(
        project_id=view.project_id,
        correlation_id=view.correlation_id,
        seen_id=seen_id,
        customer_id=deal.customer_id,
        name=view.name,
        legal_entity_id=entity.native_id if entity else None,
        currency=deal.currency,
        starts_on=deal.starts_on,
        billing_type=deal.billing_type,
        tax_code=entity.tax_code if entity else None,
        service_lines=view.wanted.service_lines,
        contract_value=view.wanted.contract_value,
    )


def _order_budget(view: ProjectView, erp: str, outbox: Outbox, timestamp_ms: int) -> None:
    """The budget follows the approved assignments, once there have been any."""
    order, held = view.order(erp, BUDGET, "project_budget"), view.held[erp]
    wanted: UpdateProjectBudget | None = None
    if view.biller == erp and view.rm and view.rm.assigned_hours is not None:
        wanted = UpdateProjectBudget(
            project_id=view.project_id,
            correlation_id=order.correlation_id,
            budget_hours=view.rm.assigned_hours,
            budget_cost=view.rm.assigned_cost,
            budget_revenue=view.rm.assigned_revenue,
            budget_currency=view.rm.assigned_currency,
        )
    if held is None:
        # The budget lives in the ERP's project row: one made anew starts without it.
        known = view.document.ledgers.get(order.natural_key)
        if known is not None:
            known, is_open = withdraw(known, timestamp_ms)
            if is_open:
                send_withdrawal(outbox, order, revision=known.revision, timestamp_ms=timestamp_ms)
            view.document.ledgers[order.natural_key] = forget(known)
        return
    shown = held if held.budget_hours is not None else None
    view.decide(outbox, order, wanted, shown, IN_BUDGET, timestamp_ms=timestamp_ms)
