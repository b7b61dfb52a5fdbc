"""State of one source project: the row, what its engagement says, what is planned on it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from tables.documents import Documents
from tables.facts import Assignment, Project, ProjectContext


class ProjectDocument(BaseModel):
    """State of one source project."""

    project: Project | None = None
    context: ProjectContext | None = None
    assignments: dict[str, Assignment] = {}
    link: str = ""  # hash of the link last published
    link_route: str = ""  # engagement it went to
    published: dict[str, str] = {}  # assignment id → hash of the row last published


@dataclass(frozen=True, slots=True)
class Standing:
    """What hours on a source project depend on."""

    is_known: bool = False
    project_id: str | None = None
    is_in_erp: bool = False


def load_project(documents: Documents, project_ref: str) -> ProjectDocument:
    """Return the document of a source project; an empty one where there is none."""
    return documents.get(ProjectDocument, f"p:{project_ref}") or ProjectDocument()


def standing(document: ProjectDocument) -> Standing:
    """Return what hours on the project depend on."""
    project, context = document.project, document.context
    if project is None:
        return Standing()
    return Standing(
        is_known=True,
        project_id=project.project_id,
        is_in_erp=(
            context is not None and context.project_id == project.project_id and context.is_in_erp
        ),
    )
