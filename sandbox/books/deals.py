"""What the deals of a CRM must show of what has become of them."""

from __future__ import annotations

from typing import Final

from sandbox.books.projects import engagement_of_deal
from sandbox.books.rows import SourceRows
from sandbox.books.status import Expected, expected_projects

TOLD_FIRST: Final = (
    "needs_finance",
    "rejected",
    "waiting_legal_entity",
    "waiting_customer",
    "requested",
    "active",
    "withdrawn",
)
"""Of the statuses of several projects, the first one is told."""


def expected_deals(rows: SourceRows) -> Expected:
    """Return what is told of each deal that has a project, where the CRM takes it."""
    if not rows.takes_status:
        return {}
    projects = expected_projects(rows)
    expected: Expected = {}
    for deal in rows.deals:
        engagement = engagement_of_deal(deal)
        statuses = {
            identity: row["status"]
            for identity, row in projects.items()
            if row["engagement_id"] == engagement
        }
        if statuses:
            told = next(each for each in TOLD_FIRST if each in statuses.values())
            expected[deal["ref"]] = {
                "engagement_id": engagement,
                "project_ids": ",".join(sorted(statuses)),
                "delivery_status": told,
            }
    return expected


def actual_deals(rows: SourceRows) -> Expected:
    """Return what deals show; without those whose projects were all taken back.

    The final rows do not tell what once was.
    """
    return {
        deal["ref"]: {
            name: deal[name] for name in ("engagement_id", "project_ids", "delivery_status")
        }
        for deal in rows.deals
        if deal.get("delivery_status") not in (None, "cancelled")
    }
