"""Whose a source row is: a tombstone names the row alone, and a row may move to another owner."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, Field

from tables.foundation.documents import Documents


class Owner(BaseModel):
    """The key of the document that a source row belongs to, under each name it has in state."""

    of: str = Field(validation_alias=AliasChoices("of", "customer_id", "engagement_id"))


def move(documents: Documents, name: str, owner: str | None) -> list[str]:
    """Give the row that state knows by `name` to an owner, None: to nobody.

    Returns whom that touches: a former owner first, then the owner.
    """
    former = documents.get(Owner, name)
    if former is not None and former.of == owner:
        return [former.of]
    touched = [] if former is None else [former.of]
    if owner is not None:
        documents.put(name, Owner(of=owner))
        touched.append(owner)
    elif former is not None:
        documents.delete(name)
    return touched
