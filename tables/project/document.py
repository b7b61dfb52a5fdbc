"""State of one source project: the row, what engagements say, what is planned on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, Field

from tables.foundation.documents import Documents
from tables.foundation.facts import Assignment, Project, ProjectContext
from tables.project.contract import Contract, contract_of


class ProjectDocument(BaseModel):
    """State of one source project."""

    project: Project | None = None
    contexts: dict[str, ProjectContext] = Field(
        default_factory=dict
    )  # canonical project id → what its engagement says of it
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
    erp: str | None = None  # that holds the project and bills its hours
    contract: Contract = field(default_factory=Contract)

    @property
    def is_in_erp(self) -> bool:
        """Whether an ERP holds the project."""
        return self.erp is not None

    def pack(self) -> bytes:
        """Return the stored form of a known project's standing."""
        parts = (self.erp or "", self.project_id or "", self.contract.pack())
        return "|".join(parts).encode()

    @classmethod
    def unpack(cls, data: bytes | None) -> Standing:
        """Read the stored form; None is a project nobody has seen."""
        if data is None:
            return cls()
        erp, project_id, contract = data.decode().split("|", 2)
        return cls(True, project_id or None, erp or None, Contract.unpack(contract))


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
    context = document.contexts.get(project.project_id or "")
    return Standing(
        is_known=True,
        project_id=project.project_id,
        erp=context.erp if context is not None and context.is_in_erp else None,
        contract=contract_of(project, context),
    )
