"""The records of the `_schemas` topic, in Confluent's format.

Keys are written byte for byte as Confluent's registry writes them, since compaction goes by the
bytes; a topic written here can be taken over by a real registry and the other way round. What the
records mean together is `state`'s business.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

from schemas.errors import TableCorruptedError


@dataclass(frozen=True, slots=True)
class SchemaRecord:
    """One version of a subject. `schema` None: the version was deleted for good."""

    subject: str
    version: int
    schema_id: int
    schema: str | None
    is_deleted: bool = False

    def encode(self) -> tuple[bytes, bytes | None]:
        """Key and value."""
        key = {"keytype": "SCHEMA", "subject": self.subject, "version": self.version, "magic": 1}
        if self.schema is None:
            return _to_bytes(key), None
        return _to_bytes(key), _to_bytes(
            {
                "subject": self.subject,
                "version": self.version,
                "id": self.schema_id,
                "schema": self.schema,
                "deleted": self.is_deleted,
            }
        )


@dataclass(frozen=True, slots=True)
class DeleteSubjectRecord:
    """All versions of a subject up to and including `version` are deleted."""

    subject: str
    version: int

    def encode(self) -> tuple[bytes, bytes | None]:
        """Key and value."""
        return (
            _to_bytes({"keytype": "DELETE_SUBJECT", "subject": self.subject, "magic": 0}),
            _to_bytes({"subject": self.subject, "version": self.version}),
        )


@dataclass(frozen=True, slots=True)
class ConfigRecord:
    """The compatibility level of a subject (None: global). `level` None: back to the default."""

    subject: str | None
    level: str | None

    def encode(self) -> tuple[bytes, bytes | None]:
        """Key and value."""
        key = _to_bytes({"keytype": "CONFIG", "subject": self.subject, "magic": 0})
        return key, None if self.level is None else _to_bytes({"compatibilityLevel": self.level})


LogRecord = SchemaRecord | DeleteSubjectRecord | ConfigRecord


def decode(key: bytes, value: bytes | None) -> LogRecord | None:
    """The record, or None for kinds that change nothing here (NOOP, MODE, spent markers).

    Raises TableCorruptedError on records this registry cannot represent.
    """
    try:
        key_fields: dict[str, Any] = json.loads(key)
        fields: dict[str, Any] | None = None if value is None else json.loads(value)
        kind: Literal["SCHEMA", "DELETE_SUBJECT", "CONFIG", "NOOP", "MODE"] = key_fields["keytype"]
        if kind == "SCHEMA":
            return _decode_schema(key_fields, fields)
        if kind == "CONFIG":
            level = None if fields is None else fields["compatibilityLevel"]
            return ConfigRecord(key_fields["subject"], level)
        if kind == "DELETE_SUBJECT" and fields is not None:
            return DeleteSubjectRecord(fields["subject"], fields["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise TableCorruptedError(
            f"a record of the schema log is malformed: {type(error).__name__}",
            hint="the topic was written by something that is no schema registry; use another topic",
        ) from error
    return None


def _decode_schema(key: dict[str, Any], fields: dict[str, Any] | None) -> SchemaRecord:
    if fields is None:
        return SchemaRecord(key["subject"], key["version"], schema_id=0, schema=None)
    if fields.get("schemaType", "AVRO") != "AVRO" or fields.get("references"):
        raise TableCorruptedError(
            "the schema log holds a schema that is not Avro or has references",
            hint="run the registry that wrote it, and point psastream to its url",
            context={"subject": fields["subject"], "version": fields["version"]},
        )
    return SchemaRecord(
        fields["subject"],
        fields["version"],
        fields["id"],
        fields["schema"],
        is_deleted=fields.get("deleted", False),
    )


def _to_bytes(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
