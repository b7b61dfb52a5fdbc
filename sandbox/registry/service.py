"""The registry's operations: rules over the state, written to the log before they count.

One process writes a log. Within it changes are made one after the other, so concurrent
registrations of one schema give one id; questions are answered meanwhile, also while a change
waits for the log. HTTP is `api`'s business, Kafka is `schema_log`'s.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol

from sandbox.registry import errors
from sandbox.registry.compatibility import CompatibilityLevel, problems_with
from sandbox.registry.log_records import (
    ConfigRecord,
    DeleteSubjectRecord,
    LogRecord,
    SchemaRecord,
    decode,
)
from sandbox.registry.schema import AvroSchema, parse
from sandbox.registry.state import RegisteredVersion, RegistryState

LATEST = "latest"
_VERSION_LIMIT = 2**31


class SchemaLog(Protocol):
    """An ordered, durable log with one writer."""

    def append(self, key: bytes, value: bytes | None) -> None:
        """Return when the record is durable; otherwise raise a PsaStreamError."""

    def read_new(self, apply: Callable[[bytes, bytes | None], None]) -> None:
        """Hand every record between the last call and the log's end to `apply`, in order."""


class Registry:
    """A Confluent-compatible registry of Avro schemas over a log.

    Refusals are raised as RequestRefusedError; failures of the log pass through.
    """

    def __init__(self, log: SchemaLog, *, default_level: CompatibilityLevel) -> None:
        self._log = log
        self._default_level = default_level
        self._state = RegistryState()
        self._change_lock = Lock()  # held by a change from its first look to its last record
        self._state_lock = Lock()  # held by a question, and while one record is applied

    def load(self) -> None:
        """Read the whole log. Call once, before anything else."""
        with self._changing():
            pass

    def register(self, subject: str, text: str) -> int:
        """Make the schema a version of the subject, once, and return its id.

        Raises 42201 (invalid) and 409 (incompatible). Upholds I9.
        """
        schema = parse(text)
        with self._changing():
            present = self._find(subject, schema)
            if present is not None:
                return present.schema_id
            problems = problems_with(schema, self._live_schemas(subject), self._level(subject))
            if problems:
                raise errors.incompatible(subject, problems)
            schema_id = self._state.id_of(schema) or self._state.highest_id + 1
            every = self._state.versions(subject, with_deleted=True)
            version = every[-1].version + 1 if every else 1
            self._write(SchemaRecord(subject, version, schema_id, schema.text))
            return schema_id

    def look_up(self, subject: str, text: str, *, with_deleted: bool = False) -> RegisteredVersion:
        """The version of the subject that is this schema. Raises 40401, 40403, 42201."""
        schema = parse(text)
        with self._state_lock:
            self._require_versions(subject, with_deleted=with_deleted)
            found = self._find(subject, schema, with_deleted=with_deleted)
        if found is None:
            raise errors.schema_not_found()
        return found

    def check(self, subject: str, text: str, version: str | None) -> list[str]:
        """What forbids the schema after one version, or after all its level names (None)."""
        schema = parse(text)
        with self._state_lock:
            level = self._level(subject)
            if version is None:
                return problems_with(schema, self._live_schemas(subject), level)
            if version == LATEST and not self._state.versions(subject):
                return []  # as the first version anything goes
            against = self._version(subject, version)
            return problems_with(schema, [against.schema], level)

    def subjects(self, *, with_deleted: bool = False) -> list[str]:
        """Names of all subjects, sorted."""
        with self._state_lock:
            return self._state.subjects(with_deleted=with_deleted)

    def versions(self, subject: str, *, with_deleted: bool = False) -> list[RegisteredVersion]:
        """All versions of a subject, oldest first. Raises 40401."""
        with self._state_lock:
            return self._require_versions(subject, with_deleted=with_deleted)

    def version(
        self, subject: str, version: str, *, with_deleted: bool = False
    ) -> RegisteredVersion:
        """One version by number or 'latest'. Raises 40401, 40402, 42202."""
        with self._state_lock:
            return self._version(subject, version, with_deleted=with_deleted)

    def schema(self, schema_id: int) -> AvroSchema:
        """The schema of an id. Raises 40403."""
        with self._state_lock:
            found = self._state.schema_with_id(schema_id)
        if found is None:
            raise errors.schema_not_found(schema_id)
        return found

    def usages(self, schema_id: int, *, with_deleted: bool = False) -> list[RegisteredVersion]:
        """The versions that carry an id. Raises 40403."""
        self.schema(schema_id)
        with self._state_lock:
            return self._state.versions_with_id(schema_id, with_deleted=with_deleted)

    def highest_id(self) -> int:
        """The highest id given so far."""
        with self._state_lock:
            return self._state.highest_id

    def delete_version(self, subject: str, version: str) -> int:
        """Soft-delete one version and return its number. Raises 40401, 40402, 40406, 42202."""
        with self._changing():
            found = self._version(subject, version, with_deleted=version != LATEST)
            if found.is_deleted:
                raise errors.version_already_deleted(subject, found.version)
            self._write(
                SchemaRecord(
                    subject, found.version, found.schema_id, found.schema.text, is_deleted=True
                )
            )
            return found.version

    def delete_subject(self, subject: str) -> list[int]:
        """Soft-delete all versions and return their numbers. Raises 40401, 40404."""
        with self._changing():
            self._require_versions(subject, with_deleted=True)
            live = self._state.versions(subject)
            if not live:
                raise errors.subject_already_deleted(subject)
            self._write(DeleteSubjectRecord(subject, live[-1].version))
            return [version.version for version in live]

    def level(self, subject: str | None, *, or_global: bool = False) -> CompatibilityLevel:
        """The level of a subject, or with None the global one. Raises 40408."""
        with self._state_lock:
            if subject is not None and not or_global and self._state.level(subject) is None:
                raise errors.subject_level_not_found(subject)
            return self._level(subject)

    def set_level(self, subject: str | None, level: str) -> CompatibilityLevel:
        """Set the level of a subject, or with None the global one. Raises 42203."""
        try:
            parsed = CompatibilityLevel(level.upper())
        except ValueError as error:
            raise errors.invalid_level(level) from error
        with self._changing():
            self._write(ConfigRecord(subject, parsed.value))
        return parsed

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Exclude other changes, with everything in the log applied.

        That includes a record whose acknowledgement was lost: the repeated request then finds its
        own effect instead of making it again.
        """
        with self._change_lock:
            self._log.read_new(self._apply)
            yield

    def _write(self, record: LogRecord) -> None:
        """Append, then read back: the state only ever holds what the log holds."""
        self._log.append(*record.encode())
        self._log.read_new(self._apply)

    def _apply(self, key: bytes, value: bytes | None) -> None:
        record = decode(key, value)
        if record is not None:
            with self._state_lock:
                self._state.apply(record)

    def _level(self, subject: str | None) -> CompatibilityLevel:
        return self._state.level(subject) or self._state.level(None) or self._default_level

    def _live_schemas(self, subject: str) -> list[AvroSchema]:
        return [version.schema for version in self._state.versions(subject)]

    def _find(
        self, subject: str, schema: AvroSchema, *, with_deleted: bool = False
    ) -> RegisteredVersion | None:
        for version in reversed(self._state.versions(subject, with_deleted=with_deleted)):
            if version.schema.fingerprint == schema.fingerprint:
                return version
        return None

    def _require_versions(self, subject: str, *, with_deleted: bool) -> list[RegisteredVersion]:
        versions = self._state.versions(subject, with_deleted=with_deleted)
        if not versions:
            raise errors.subject_not_found(subject)
        return versions

    def _version(
        self, subject: str, version: str, *, with_deleted: bool = False
    ) -> RegisteredVersion:
        number = None if version == LATEST else _parse_version(version)
        versions = self._require_versions(subject, with_deleted=with_deleted)
        if number is None:
            return versions[-1]
        for candidate in versions:
            if candidate.version == number:
                return candidate
        raise errors.version_not_found(number)


def _parse_version(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) < _VERSION_LIMIT:
        return int(text[:20])
    raise errors.invalid_version(text)
