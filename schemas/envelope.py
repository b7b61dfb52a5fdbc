"""The change event envelope: Debezium's words and shape, for databases and polled sources alike.

Databases' envelopes are written by Debezium with its own, wider schemas; `envelope_schema` makes
the one polled sources write. What both share has the same names, types and nullability, so one
reader schema reads both.
"""

import json
from enum import StrEnum
from typing import Final

from schemas.codec.record import AvroSchema, Json, JsonObject, load_schema

# What Debezium writes for a column the database did not send because it is unchanged: not a
# value, and not null either. It must not overwrite state.
UNAVAILABLE: Final = "__debezium_unavailable_value"


class EnvelopeField(StrEnum):
    """Fields of the envelope."""

    BEFORE = "before"  # the row before the change, null for inserts and where unknown
    AFTER = "after"  # the row after the change, null for deletes
    SOURCE = "source"  # where the change comes from, see SourceField
    TRANSACTION = "transaction"  # the source transaction, null where unknown
    OP = "op"  # an Operation
    TS_MS = "ts_ms"  # when the connector saw the change


class SourceField(StrEnum):
    """Fields of the source block that databases and polled sources share."""

    VERSION = "version"
    CONNECTOR = "connector"
    NAME = "name"
    TS_MS = "ts_ms"  # when the change was made in the source
    SNAPSHOT = "snapshot"
    DB = "db"
    SEQUENCE = "sequence"  # see schemas.position
    SCHEMA = "schema"
    TABLE = "table"


class Operation(StrEnum):
    """What happened to the row."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"  # the row as a snapshot found it
    TRUNCATE = "t"  # all rows of the table are gone; names none of them


# Debezium's annotation of the snapshot marker, which the Avro converter repeats in the schema.
_SNAPSHOT: Final[JsonObject] = {
    "type": "string",
    "connect.version": 1,
    "connect.parameters": {
        "allowed": (
            "first,first_in_data_collection,last_in_data_collection,last,true,false,incremental"
        )
    },
    "connect.default": "false",
    "connect.name": "io.debezium.data.Enum",
}


def envelope_schema(value: AvroSchema) -> AvroSchema:
    """The envelope of rows of the record schema `value`: the record `<name of value>.Envelope`."""
    row = json.loads(value.text)
    namespace = value.name
    return load_schema(
        {
            "type": "record",
            "name": "Envelope",
            "namespace": namespace,
            "fields": [
                # Defined once, referred to by its full name after that.
                _optional(EnvelopeField.BEFORE, {"namespace": "", **row}),
                _optional(EnvelopeField.AFTER, value.name),
                {"name": EnvelopeField.SOURCE.value, "type": _source_schema(namespace)},
                _optional(EnvelopeField.TRANSACTION, _transaction_schema()),
                _field(EnvelopeField.OP, "string"),
                _optional(EnvelopeField.TS_MS, "long"),
            ],
        }
    )


def _source_schema(namespace: str) -> JsonObject:
    return {
        "type": "record",
        "name": "Source",
        "namespace": namespace,
        "fields": [
            _field(SourceField.VERSION, "string"),
            _field(SourceField.CONNECTOR, "string"),
            _field(SourceField.NAME, "string"),
            _field(SourceField.TS_MS, "long"),
            {
                "name": SourceField.SNAPSHOT.value,
                "type": [_SNAPSHOT, "null"],
                "default": "false",
            },
            _field(SourceField.DB, "string"),
            _optional(SourceField.SEQUENCE, "string"),
            _optional(SourceField.SCHEMA, "string"),
            _field(SourceField.TABLE, "string"),
        ],
    }


def _transaction_schema() -> JsonObject:
    return {
        "type": "record",
        "name": "block",
        "namespace": "event",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "total_order", "type": "long"},
            {"name": "data_collection_order", "type": "long"},
        ],
        "connect.version": 1,
        "connect.name": "event.block",
    }


def _field(name: StrEnum, avro: Json) -> JsonObject:
    return {"name": name.value, "type": avro}


def _optional(name: StrEnum, avro: Json) -> JsonObject:
    return {"name": name.value, "type": ["null", avro], "default": None}
