"""What is ordered for the projects an engagement should have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.landscape import Landscape, Role
from tables.effects import Outbox
from tables.facts import LegalEntity
from tables.ledger import Payload, forget, send_withdrawal, withdraw
from tables.project_status import publish, tell_finance
from tables.project_view import EngagementDocument, ProjectView, wanted_countries

UPSERT: Final = "upsert_project"
DELETE: Final = "delete_project"
BUDGET: Final = "update_project_budget"


def settle_projects(
    document: EngagementDocument,
    landscape: Landscape,
    legal_entities: Mapping[str, Sequence[LegalEntity]],
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
        view = ProjectView(document, landscape, identity, wanted.get(identity))
        entity = view.legal_entity(legal_entities)
        _order_erp_project(view, entity, outbox, timestamp_ms)
        _order_rm_project(view, outbox, timestamp_ms)
        _order_budget(view, outbox, timestamp_ms)
        tell_finance(view, outbox, timestamp_ms)
        publish(view, entity, outbox, timestamp_ms)


def _order_erp_project(
    view: ProjectView, entity: LegalEntity | None, outbox: Outbox, timestamp_ms: int
) -> None:
    deal, customer = view.document.opportunity, view.document.customer
    desired: Payload | None = None
    is_possible = customer is not None and customer.is_in_erp and entity is not None
    if is_possible and view.wanted and deal and customer and entity:
        desired = {
            "customer_id": customer.customer_id,
            "name": view.name,
            "legal_entity_id": entity.native_id,
            "currency": deal.currency,
            "starts_on": deal.starts_on,
            "billing_type": deal.billing_type,
            "tax_code": entity.tax_code,
            "service_lines": view.wanted.service_lines,
            "contract_value": view.wanted.contract_value,
        }
    observed: Payload | None = None
    if view.erp is not None:
        observed = {
            "customer_id": view.erp.customer_id,
            "name": view.erp.name,
            "legal_entity_id": view.erp.legal_entity_id,
            "currency": view.erp.currency,
            "starts_on": view.erp.starts_on,
            "billing_type": view.erp.billing_type,
            "tax_code": view.erp.tax_code,
            "service_lines": view.erp.service_lines,
            "contract_value": view.erp.contract_value,
        }
    if view.wanted is None and view.erp is None:
        # Ordered and not seen yet: nothing can be booked on it. What was never ordered is not
        # ours to delete.
        order = view.order(Role.ERP, DELETE, "project")
        if view.decide(outbox, order, {}, None, timestamp_ms):
            view.document.entities.pop(view.project_id, None)
        return
    amount = view.wanted.contract_value if view.wanted else None
    order = view.order(Role.ERP, UPSERT, "project", amount)
    if view.decide(outbox, order, desired, observed, timestamp_ms) and entity:
        view.document.entities[view.project_id] = entity.native_id


def _order_rm_project(view: ProjectView, outbox: Outbox, timestamp_ms: int) -> None:
    deal = view.document.opportunity
    desired: Payload | None = None
    if view.wanted and deal and view.erp is not None:
        desired = {"name": view.name, "starts_on": deal.starts_on}
    observed: Payload | None = None
    if view.rm is not None:
        observed = {"name": view.rm.name, "starts_on": view.rm.starts_on}
    order = view.order(Role.RESOURCE, UPSERT, "project")
    view.decide(outbox, order, desired, observed, timestamp_ms)


def _order_budget(view: ProjectView, outbox: Outbox, timestamp_ms: int) -> None:
    """The budget follows the approved assignments, once there have been any."""
    desired: Payload | None = None
    if view.erp and view.rm and view.rm.assigned_hours is not None:
        desired = {
            "budget_hours": view.rm.assigned_hours,
            "budget_cost": view.rm.assigned_cost,
            "budget_revenue": view.rm.assigned_revenue,
            "budget_currency": view.rm.assigned_currency,
        }
    observed: Payload | None = None
    if view.erp is not None and view.erp.budget_hours is not None:
        observed = {
            "budget_hours": view.erp.budget_hours,
            "budget_cost": view.erp.budget_cost,
            "budget_revenue": view.erp.budget_revenue,
            "budget_currency": view.erp.budget_currency,
        }
    order = view.order(Role.ERP, BUDGET, "project_budget")
    if view.erp is None:
        # The budget lives in the ERP's project row: one made anew starts without it.
        known = view.document.ledgers.get(order.natural_key)
        if known is not None:
            known, is_open = withdraw(known, timestamp_ms)
            if is_open:
                send_withdrawal(outbox, order, revision=known.revision, timestamp_ms=timestamp_ms)
            view.document.ledgers[order.natural_key] = forget(known)
        return
    view.decide(outbox, order, desired, observed, timestamp_ms)
