"""What a command names, and what a captured record is named by. Pure.

A refusal may end when one of the records changes that its command names: the customer, the legal
entity, the project, the hours. Names are `<field of a payload>:<id>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from connectors.dispatch.commands import Command
from schemas.errors import InvalidEntityError
from schemas.identity import engagement_of, is_project_id

NAMING: Final = ("customer_id", "legal_entity_id", "project_id", "project_ref")
"""Fields of payloads that name a record."""

RECORD_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "psa.customer": {"customer_id": "customer_id"},
    "psa.legal_entity": {"native_id": "legal_entity_id"},
    "psa.project": {"project_id": "project_id", "id": "project_ref"},
    "psa.opportunity": {"engagement_id": "engagement_id", "customer_id": "customer_id"},
}
"""By topic that is watched: its field, and the field of a payload that names its record."""


def references(command: Command) -> Iterator[str]:
    """Yield the names of what a command is about; nothing where its payload cannot be read."""
    try:
        content = command.content()
    except InvalidEntityError:
        return
    for name in NAMING:
        if content.get(name):
            yield f"{name}:{content[name]}"
    project_id = str(content.get("project_id"))
    if is_project_id(project_id):
        yield f"engagement_id:{engagement_of(project_id)}"


def names_of(topic: str, record: Mapping[str, Any]) -> list[str]:
    """Return the names by which commands refer to a captured record."""
    return [
        f"{named}:{record[name]}"
        for name, named in RECORD_NAMES[topic].items()
        if record.get(name) is not None
    ]
