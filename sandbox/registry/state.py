"""What the registry knows: a pure fold of the `_schemas` log, and questions to it.

It decides nothing: rules are in `service`. Everything here can be rebuilt from the log.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from sandbox.registry.compatibility import CompatibilityLevel
from sandbox.registry.log_records import (
    ConfigRecord,
    DeleteSubjectRecord,
    LogRecord,
    SchemaRecord,
)
from sandbox.registry.schema import AvroSchema, parse


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a subject; deleted ones keep their number and still serve their id."""

    subject: str
    version: int
    schema_id: int
    schema: AvroSchema
    is_deleted: bool


class RegistryState:
    """Subjects, versions, ids and compatibility levels after the records applied so far."""

    def __init__(self) -> None:
        self._subjects: dict[str, dict[int, RegisteredVersion]] = {}
        self._schemas_by_id: dict[int, AvroSchema] = {}
        self._ids_by_fingerprint: dict[str, int] = {}
        self._levels: dict[str | None, CompatibilityLevel] = {}

    def apply(self, record: LogRecord) -> None:
        """Fold in the next record of the log."""
        match record:
            case SchemaRecord():
                self._apply_schema(record)
            case DeleteSubjectRecord():
                versions = self._subjects.get(record.subject, {})
                for version in [number for number in versions if number <= record.version]:
                    versions[version] = replace(versions[version], is_deleted=True)
            case ConfigRecord():
                self._apply_config(record)
            case _:
                assert_never(record)

    def subjects(self, *, with_deleted: bool = False) -> list[str]:
        """Names of the subjects that have versions, sorted."""
        return sorted(
            subject
            for subject in self._subjects
            if self.versions(subject, with_deleted=with_deleted)
        )

    def versions(self, subject: str, *, with_deleted: bool = False) -> list[RegisteredVersion]:
        """Versions of a subject, oldest first; empty if there is no such subject."""
        versions = self._subjects.get(subject, {})
        return [
            versions[number]
            for number in sorted(versions)
            if with_deleted or not versions[number].is_deleted
        ]

    def schema_with_id(self, schema_id: int) -> AvroSchema | None:
        """The schema of an id, also when all its versions are deleted."""
        return self._schemas_by_id.get(schema_id)

    def id_of(self, schema: AvroSchema) -> int | None:
        """The id under which any subject has registered this schema."""
        return self._ids_by_fingerprint.get(schema.fingerprint)

    def versions_with_id(
        self, schema_id: int, *, with_deleted: bool = False
    ) -> list[RegisteredVersion]:
        """Where the schema of an id is in use, by subject and version."""
        return [
            version
            for subject in sorted(self._subjects)
            for version in self.versions(subject, with_deleted=with_deleted)
            if version.schema_id == schema_id
        ]

    @property
    def highest_id(self) -> int:
        """The highest id ever given, 0 before the first."""
        return max(self._schemas_by_id, default=0)

    def level(self, subject: str | None) -> CompatibilityLevel | None:
        """The level set for a subject, or with None the global one; None if never set."""
        return self._levels.get(subject)

    def _apply_config(self, record: ConfigRecord) -> None:
        if record.level is None:
            self._levels.pop(record.subject, None)
        else:
            self._levels[record.subject] = CompatibilityLevel(record.level)

    def _apply_schema(self, record: SchemaRecord) -> None:
        if record.schema is None:
            self._subjects.get(record.subject, {}).pop(record.version, None)
            return
        schema = parse(record.schema)
        self._schemas_by_id.setdefault(record.schema_id, schema)
        self._ids_by_fingerprint.setdefault(schema.fingerprint, record.schema_id)
        self._subjects.setdefault(record.subject, {})[record.version] = RegisteredVersion(
            record.subject, record.version, record.schema_id, schema, record.is_deleted
        )
