"""The status row of a project, and exceptions: nobody asks for it, or nobody knows who bills it."""

from __future__ import annotations

from typing import Final

from schemas.canonical_json import Payload
from schemas.landscape import Role
from tables.engagement.view import ProjectView
from tables.foundation import exceptions
from tables.foundation.effects import Outbox
from tables.foundation.told import remember, tell

TABLE_TOPIC: Final = "psa.status.project"
NOT_ASKED: Final = "the deal no longer asks for it"
NOT_ASKED_FOR: Final = ("engagement", "project_not_asked")
NO_ERP: Final = ("biller", "project_without_erp")
"""Prefix of the id and kind of each exception."""
_ASKED_NOWHERE: Final = ("engagement.not_asked", NOT_ASKED, "win the deal again")
_ASKED_ELSEWHERE: Final = (
    "engagement.other_erp",
    "its legal entity is another ERP's by now",
    "make its legal entity in this ERP active again",
)
"""Code, reason and a way out of a project that an ERP holds and nobody asks of it."""


def tell_finance(view: ProjectView, outbox: Outbox, timestamp_ms: int) -> None:
    """Open an exception while the ERP holds a project that nothing asks for; resolve it after."""
    finding, row = None, view.unsettled
    if row is not None:
        code, reason, way_out = _ASKED_NOWHERE
        if view.wanted is not None:
            code, reason, way_out = _ASKED_ELSEWHERE
        finding = exceptions.Finding(
            code=code,
            detail=f"the ERP holds the project: {reason}",
            hint=f"{way_out}, or settle the project in the ERP: bill or credit what is "
            "booked, then set its contract value to 0 or delete it",
            payload={
                "project_id": view.project_id,
                "erp_ref": row.id,
                "rm_ref": view.rm.id if view.rm else None,
                "psa_ref": view.psa.id if view.psa else None,
            },
            amount=row.contract_value,
            currency=row.currency,
        )
    _tell(view, NOT_ASKED_FOR, finding, outbox, timestamp_ms)


def tell_unclear_entity(view: ProjectView, outbox: Outbox, timestamp_ms: int) -> None:
    """Open an exception while a project waits for the ERP that bills it; resolve it after.

    Of one ERP the status says that a legal entity is missing. Of several nobody else would see
    which of them somebody waits for.
    """
    finding, deal = None, view.document.opportunity
    if view.wanted is not None and view.biller is None and view.landscape.erps:
        finding = exceptions.Finding(
            code="engagement.no_erp",
            detail=f"nobody knows which ERP bills the project: {_missing_entity(view)}",
            hint=f"let the legal entity that delivers in {view.wanted.country_code} be active in "
            "one ERP alone, or list in landscape.yaml the legal entities that each ERP bills for",
            payload={"project_id": view.project_id, "country_code": view.wanted.country_code},
            amount=view.wanted.contract_value,
            currency=deal.currency if deal else None,
        )
    _tell(view, NO_ERP, finding, outbox, timestamp_ms)


def _tell(
    view: ProjectView,
    about: tuple[str, str],
    finding: exceptions.Finding | None,
    outbox: Outbox,
    timestamp_ms: int,
) -> None:
    prefix, kind = about
    exception_id = f"{prefix}:{view.project_id}"
    told = view.document.exceptions
    subject = exceptions.Subject(
        exception_id=exception_id,
        system=view.document.system(view.landscape),
        kind=kind,
        natural_key=view.project_id,
        correlation_id=view.correlation_id,
    )
    now = exceptions.tell(outbox, subject, finding, told.get(exception_id, ""), timestamp_ms)
    remember(told, exception_id, now)


def _missing_entity(view: ProjectView) -> str:
    country = view.wanted.country_code if view.wanted else ""
    if view.has_several_billers:
        return f"more than one has an active legal entity in {country}"
    return f"no active legal entity in {country}"


def _status(view: ProjectView) -> tuple[str, str | None]:
    """Return the status of a project and why it waits."""
    customer = view.document.customer
    if view.wanted is None and view.landscape.of(Role.CRM):
        return _status_of_unwanted(view), NOT_ASKED
    is_there = view.erp if view.landscape.erps else view.rm or view.psa
    if view.wanted is None or is_there is not None:
        return "active", None
    if view.biller and (customer is None or not customer.is_in(view.biller)):
        return "waiting_customer", "the ERP does not hold the customer yet"
    if view.landscape.erps and (view.biller is None or view.entity is None):
        return "waiting_legal_entity", _missing_entity(view)
    asked = view.name_in(view.biller or "")
    result, entry = view.document.results.get(asked), view.document.ledgers.get(asked)
    if result and entry and result.status == "rejected" and result.revision == entry.revision:
        return "rejected", result.error_detail
    return "requested", None


def _status_of_unwanted(view: ProjectView) -> str:
    if view.unsettled is not None:
        return "needs_finance"
    return "withdrawn" if view.erp or view.rm or view.psa else "cancelled"


def publish(view: ProjectView, outbox: Outbox, timestamp_ms: int) -> str | None:
    """Publish the status row of a project; return its status, None where it has no row."""
    told, project_id = view.document.published, view.project_id
    status, row = _row(view)
    now = tell(
        outbox,
        TABLE_TOPIC,
        project_id,
        row,
        told.get(project_id, ""),
        as_of_ms=timestamp_ms,
    )
    remember(told, project_id, now)
    return status


def _row(view: ProjectView) -> tuple[str, Payload] | tuple[None, None]:
    """Return status and row; None of a project that nobody asked for and no system holds."""
    document = view.document
    if not (view.project_id in document.asked or view.erp or view.rm or view.psa):
        return None, None
    status, reason = _status(view)
    deal, rm = document.opportunity, view.rm
    return status, {
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
