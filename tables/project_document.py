"""State of one source project: the row, what engagements say, what is planned on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from tables.documents import Documents
from tables.facts import Assignment, Project


class ProjectDocument(BaseModel):
    """State of one source project."""

    project: Project | None = None
    in_erp: list[str] = Field(default_factory=list)  # canonical project ids the ERP holds
    assignments: dict[str, Assignment] = Field(default_factory=dict)
    link: str = ""  # hash of the link last published
    link_route: str = ""  # engagement it went to
    published: dict[str, str] = Field(
        default_factory=dict
    )  # assignment id → hash of the row last published


@dataclass(frozen=True, slots=True)
class Standing:
    """What hours on a source project depend on; kept beside the document, cheap to read."""

    is_known: bool = False
    project_id: str | None = None
    is_in_erp: bool = False
    is_hourly: bool = True

    def pack(self) -> bytes:
        """Return the stored form of a known project's standing."""
        return (b"E" if self.is_in_erp else b"-") + (self.project_id or "").encode()

    @classmethod
    def unpack(cls, data: bytes | None) -> Standing:
        """Read the stored form; None is a project nobody has seen."""
        if data is None:
            return cls()
        return cls(is_known=True, project_id=data[1:].decode() or None, is_in_erp=data[:1] == b"E")


def load_project(documents: Documents, project_ref: str) -> ProjectDocument:
    """Return the document of a source project; an empty one where there is none."""
    return documents.get(ProjectDocument, f"p:{project_ref}") or ProjectDocument()


def load_standings(documents: Documents, project_refs: Sequence[str]) -> dict[str, Standing]:
    """Return the standing of each source project."""
    stored = documents.raw_many([f"s:{project_ref}" for project_ref in project_refs])
    return {ref: Standing.unpack(data) for ref, data in zip(project_refs, stored, strict=True)}


def store_standing(documents: Documents, project_ref: str, now: Standing) -> None:
    """Keep the standing of a source project in step with its document."""
    if now.is_known:
        documents.put_raw(f"s:{project_ref}", now.pack())
    else:
        documents.delete(f"s:{project_ref}")


def standing(document: ProjectDocument) -> Standing:
    """Return what hours on the project depend on."""
    project = document.project
    if project is None:
        return Standing()
    return Standing(
        is_known=True,
        project_id=project.project_id,
        is_in_erp=project.project_id in document.in_erp,
    )
