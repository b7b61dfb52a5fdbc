"""Projects in the resource tool, once the ERP that bills them holds them, or if none bills."""

from __future__ import annotations

from typing import Final

from schemas.commands import UpsertProject
from schemas.landscape import Role
from tables.engagement.view import ProjectView
from tables.flows.flow import Flow
from tables.foundation.facts import ProjectLink


def _wanted(view: ProjectView, _: str) -> UpsertProject | None:
    if not view.is_ready_for_work:
        return None
    # The resource tool is searched by a code that people type: the table has found it.
    return view.as_sold(seen_id=view.rm.native_id if view.rm else None)


def _held(view: ProjectView, _: str) -> ProjectLink | None:
    return view.rm


STAFFED_PROJECT: Final = Flow(
    role=Role.RESOURCE,
    noun="project",
    upsert=UpsertProject,
    kept_equal=("name", "starts_on"),
    shown_by=("project",),
    wanted=_wanted,
    held=_held,
)
