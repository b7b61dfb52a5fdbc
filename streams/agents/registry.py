"""The schema registry as the agents need it. It is not a client: that is the caller's to give."""

from __future__ import annotations

from typing import Protocol

from schemas.codec.record import AvroSchema


class SubjectIds(Protocol):
    """Where the schema ids to write with come from."""

    def subject_id(self, subject: str, schema: str) -> int:
        """The id of the text of a schema we write a subject with.

        Raises RegistryUnavailableError, ConfigError.
        """
        ...


class SchemaSource(SubjectIds, Protocol):
    """Where the schemas that were written with come from, too."""

    def schema(self, schema_id: int) -> AvroSchema:
        """The schema of an id. Raises RegistryUnavailableError, DecodeError for an unknown id."""
        ...
