"""Projects in the PSA that takes them, once the ERP that bills them holds them, or if none bills.

Only their names and first days are kept equal: the PSA is where a project is planned and changed.
"""

from __future__ import annotations

from typing import Final

from schemas.commands import UpsertProject
from schemas.landscape import Role
from tables.engagement.view import ProjectView
from tables.flows.flow import Flow
from tables.foundation.facts import ProjectLink


def _wanted(view: ProjectView, _: str) -> UpsertProject | None:
    return view.as_sold() if view.is_ready_for_work else None


def _held(view: ProjectView, psa: str) -> ProjectLink | None:
    return view.opened[psa]


OPENED_PROJECT: Final = Flow(
    role=Role.PSA,
    noun="project",
    upsert=UpsertProject,
    kept_equal=("name", "starts_on"),
    shown_by=("project",),
    wanted=_wanted,
    held=_held,
)
