"""The status row of a project, and the exception while nobody asks for one that the ERP holds."""

from __future__ import annotations

from typing import Final

from schemas.landscape import Role
from tables import exceptions
from tables.effects import Outbox, instant
from tables.facts import LegalEntity
from tables.ledger import Payload, content_hash
from tables.project_view import ProjectView

TABLE_TOPIC: Final = "psa.status.project"
NOT_ASKED: Final = "the deal no longer asks for it"


def tell_finance(view: ProjectView, outbox: Outbox, timestamp_ms: int) -> None:
    """Open an exception while the ERP holds a project that nothing asks for; resolve it after."""
    finding, erp = None, view.erp
    if view.is_unsettled and erp is not None:
        finding = exceptions.Finding(
            code="engagement.not_asked",
            detail=f"the ERP holds the project: {NOT_ASKED}",
            hint="win the deal again, or settle the project in the ERP: bill or credit what is "
            "booked, then set its contract value to 0 or delete it",
            payload={
                "project_id": view.project_id,
                "erp_ref": erp.id,
                "rm_ref": view.rm.id if view.rm else None,
                "psa_ref": view.psa.id if view.psa else None,
            },
            amount=erp.contract_value,
            currency=erp.currency,
        )
    subject = exceptions.Subject(
        exception_id=f"engagement:{view.project_id}",
        system=view.landscape.of(Role.CRM)[0],
        kind="project_not_asked",
        natural_key=view.project_id,
        correlation_id=view.correlation_id,
    )
    told = view.document.exceptions.pop(view.project_id, "")
    if now := exceptions.tell(outbox, subject, finding, told, timestamp_ms):
        view.document.exceptions[view.project_id] = now


def _status(view: ProjectView, entity: LegalEntity | None) -> tuple[str, str | None]:
    """Return the status of a project and why it waits."""
    customer = view.document.customer
    result = view.document.results.get(view.project_id)
    entry = view.document.ledgers.get(view.name_in(view.landscape.only(Role.ERP)))
    if view.wanted is None:
        return _status_of_unwanted(view), NOT_ASKED
    if view.erp is not None:
        return "active", None
    if customer is None or not customer.is_in_erp:
        return "waiting_customer", "the ERP does not hold the customer yet"
    if entity is None:
        return "waiting_legal_entity", f"no active legal entity in {view.wanted.country_code}"
    if result and entry and result.status == "rejected" and result.revision == entry.revision:
        return "rejected", result.error_detail
    return "requested", None


def _status_of_unwanted(view: ProjectView) -> str:
    if view.is_unsettled:
        return "needs_finance"
    return "withdrawn" if view.erp or view.rm or view.psa else "cancelled"


def publish(
    view: ProjectView, entity: LegalEntity | None, outbox: Outbox, timestamp_ms: int
) -> None:
    document = view.document
    is_known = view.project_id in document.asked or view.erp or view.rm or view.psa
    if not is_known:
        if document.published.pop(view.project_id, None):
            outbox.add(TABLE_TOPIC, view.project_id, None)
        return
    status, reason = _status(view, entity)
    deal, rm = document.opportunity, view.rm
    row: Payload = {
        "project_id": view.project_id,
        "engagement_id": document.engagement_id,
        "customer_id": deal.customer_id if deal else None,
        "country_code": view.project_id.rpartition("-")[2].upper(),
        "name": view.name,
        "status": status,
        "reason": reason,
        "erp_ref": view.erp.id if view.erp else None,
        "rm_ref": view.rm.id if view.rm else None,
        "psa_ref": view.psa.id if view.psa else None,
        "currency": deal.currency if deal else None,
        "contract_value": view.wanted.contract_value if view.wanted else None,
        "budget_hours": rm.assigned_hours if rm else None,
        "budget_cost": rm.assigned_cost if rm else None,
        "budget_revenue": rm.assigned_revenue if rm else None,
        "budget_currency": rm.assigned_currency if rm else None,
    }
    published = content_hash(row)
    if published != document.published.get(view.project_id):
        document.published[view.project_id] = published
        outbox.add(TABLE_TOPIC, view.project_id, {**row, "as_of": instant(timestamp_ms)})
