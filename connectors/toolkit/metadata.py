"""What a vendor says of the fields of an object, where its API describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable


class Kind(Enum):
    """What the values of a field are in JSON, by the type that its vendor gives it."""

    TEXT = "text"
    NUMBER = "a number"
    BOOLEAN = "a boolean"
    DATE = "a date"


@dataclass(frozen=True, slots=True)
class Described:
    """A field. `type` is in the vendor's words; `values` are all it may hold, None: any.

    `kind` is None where the type does not tell what its values are in JSON.
    `label` is what people read in place of the name; it stays when a field is renamed.
    """

    type: str
    kind: Kind | None
    values: frozenset[str] | None = None
    label: str | None = None


@runtime_checkable
class Describes(Protocol):
    """A source whose vendor describes what it has."""

    async def describe(self, obj: str) -> Mapping[str, Described | None] | None:
        """Return the fields of an object that our user may see, by name; None: nothing tells.

        A field that is None is not there, and need not be.
        Raises the errors of `connectors.toolkit.http`, and SchemaMismatchError.
        """
        ...
