"""What has become of a deal, in the CRM that it comes from and that takes it.

That are the ids of its engagement and its projects, and how far those are. It lives in the deal's
row. The id of the engagement never changes, and is not compared: ids of projects begin with it.
"""

from __future__ import annotations

from typing import Final

from schemas.commands import UpdateDealStatus
from schemas.landscape import Role
from tables.engagement.view import DealView
from tables.flows.flow import Flow, Place
from tables.foundation.facts import Opportunity


def _wanted(view: DealView, crm: str) -> UpdateDealStatus | None:
    """Once there has been any project."""
    deal = view.in_crm(crm)
    if deal is None or view.delivery_status is None:
        return None
    return UpdateDealStatus(
        deal_id=deal.native_id,
        correlation_id=view.correlation_id,
        engagement_id=view.identity,
        project_ids=view.project_ids,
        delivery_status=view.delivery_status,
    )


def _held(view: DealView, crm: str) -> Opportunity | Place | None:
    deal = view.in_crm(crm)
    if deal is None:
        return Place.MISSING
    return deal if deal.project_ids is not None or deal.delivery_status is not None else None


DEAL_STATUS: Final = Flow(
    role=Role.CRM,
    noun="deal_status",
    upsert=UpdateDealStatus,
    kept_equal=("project_ids", "delivery_status"),
    shown_by=("opportunity",),
    wanted=_wanted,
    held=_held,
)
