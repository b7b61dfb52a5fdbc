"""Avro schemas and the codec of single records, on fastavro.

Chunks of records go through `columnar`, which gives the same values some ten times faster.
Neither talks to a schema registry.
"""

import decimal
import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from schemas.errors import ConfigError, DecodeError, InvalidEntityError, SchemaMismatchError

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
JsonObject: TypeAlias = dict[str, Json]

# What fastavro raises on bytes or values that do not fit: it has no error base of its own.
FASTAVRO_ERRORS: Final = (
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
    struct.error,
    decimal.DecimalException,
)


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """A parsed schema; two schemas are equal if their registration texts are.

    `text` is what to register: the definition as written, with defaults, logical types and
    connector attributes, as compact JSON. `parsed` has all names resolved to full names.
    """

    text: str
    parsed: JsonObject = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """Full name of the record ("psa.TimeEntry"), or the type of a schema without a name."""
        return str(self.parsed.get("name", self.parsed.get("type")))


def load_schema(definition: str | JsonObject) -> AvroSchema:
    """Parse an Avro schema from JSON text or its parsed JSON. Raises ConfigError if it is none."""
    try:
        raw = json.loads(definition) if isinstance(definition, str) else definition
        text = json.dumps(raw, separators=(",", ":"), ensure_ascii=False)
        # fastavro marks what it parsed, so it gets a copy of its own.
        parsed = fastavro.parse_schema(json.loads(text))
        _refuse_unsound(raw)
    except (SchemaParseException, UnknownType, *FASTAVRO_ERRORS) as error:
        raise ConfigError(
            f"not an avro schema: {type(error).__name__}: {error}",
            hint="check the schema's text against the avro specification",
        ) from error
    return AvroSchema(text, parsed if isinstance(parsed, dict) else {"type": parsed})


def _refuse_unsound(definition: Any) -> None:
    """Refuse what fastavro lets pass. Raises TypeError and ValueError."""
    if isinstance(definition, list):
        for each in definition:
            _refuse_unsound(each)
    if not isinstance(definition, dict):
        return
    if definition.get("logicalType") == "decimal":
        digits = definition.get("precision"), definition.get("scale", 0)
        if any(type(each) is not int for each in digits) or not digits[0]:
            raise TypeError("precision and scale of a decimal must be integers, precision above 0")
    fields = definition.get("fields", [])
    names = [each.get("name") for each in fields if isinstance(each, dict)]
    if not all(isinstance(name, str) and name for name in names):
        raise TypeError("the name of a field must be a text")
    if twice := sorted({str(name) for name in names if names.count(name) > 1}):
        raise ValueError(f"more than one field has the name {', '.join(twice)}")
    for part in (fields, *(definition.get(name) for name in ("type", "items", "values"))):
        _refuse_unsound(part)


class RecordCodec:
    """Encodes and decodes single records of one schema, without the Confluent header.

    Values are Python's: Decimal, date, timezone-aware datetime. fastavro takes a naive datetime
    for local time and cuts a float given for an integer: callers pass neither.
    """

    def __init__(self, schema: AvroSchema) -> None:
        self.schema = schema

    def encode(self, record: Mapping[str, object]) -> bytes:
        """Encode a record; missing fields take their default.

        Raises InvalidEntityError for a missing field without default, an unknown field, or a
        value that does not fit its type.
        """
        out = io.BytesIO()
        try:
            fastavro.schemaless_writer(out, self.schema.parsed, record, strict_allow_default=True)
        except FASTAVRO_ERRORS as error:
            raise InvalidEntityError(
                f"record does not fit schema {self.schema.name}: {type(error).__name__}",
                hint=_without_payload(error),
            ) from error
        return out.getvalue()

    def decode(self, payload: bytes, reader_schema: AvroSchema | None = None) -> dict[str, object]:
        """Decode one payload, resolved to `reader_schema` if given.

        Raises DecodeError if the bytes are not exactly one record of this schema, and
        SchemaMismatchError if this schema does not resolve to `reader_schema`.
        """
        source = io.BytesIO(payload)
        reader = reader_schema.parsed if reader_schema is not None else None
        try:
            record = fastavro.schemaless_reader(source, self.schema.parsed, reader)
        except fastavro.read.SchemaResolutionError as error:
            raise SchemaMismatchError(
                f"schema {self.schema.name} does not resolve to the reader's",
                hint="register reader and writer schemas under one compatible subject",
            ) from error
        except FASTAVRO_ERRORS as error:
            raise DecodeError(
                f"not a record of schema {self.schema.name}: {type(error).__name__}"
            ) from error
        if source.tell() != len(payload):
            raise DecodeError(
                f"{len(payload) - source.tell()} bytes left after a record of {self.schema.name}"
            )
        if not isinstance(record, dict):
            raise DecodeError(f"schema {self.schema.name} is not a record")
        return record


def _without_payload(error: BaseException) -> str:
    """fastavro names the offending field, then quotes the value: keep the first part only."""
    return "field " + str(error).rsplit(" on ", 1)[-1] if " on " in str(error) else ""
