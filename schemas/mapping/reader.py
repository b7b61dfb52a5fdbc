"""How source topics are read for mapping: column types, reader schema, working columns.

The reader schema is the envelope reduced to the mapped columns, so a chunk has the same columns
whatever versions of the source's schema its records were written with. A column that a database
dropped or retyped does not resolve and the records that lack it are dead-lettered, for absent is
not null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from schemas.codec.columnar import frame_dtypes
from schemas.envelope import Operation, SourceField
from schemas.mapping.config import Capture, ObjectConfig, SystemConfig
from schemas.mapping.declared import ColumnType, DeclaredTypeError, column_type
from schemas.mapping.rules import SOURCE_PREFIX, RuleError, row_ids
from schemas.position import binlog_source, change_table_source, position_column, unplaced_read
from schemas.topics import Topic

_AvroJson = Any  # JSON of an Avro schema

CHANGED_AT: Final = pl.Datetime("ms", "UTC")
TOLD_PREFIX: Final = "told."
"""Working columns that say whether the source told a value, be it none of its declared type."""

_PLACE: Final[Mapping[Capture, Mapping[str, str]]] = {
    Capture.POLLED: {"sequence": "string"},
    Capture.DEBEZIUM: {"sequence": "string", "lsn": "long"},
    Capture.MYSQL: {"file": "string", "pos": "long", "row": "long"},
    Capture.SQL_SERVER: {"change_lsn": "string", "commit_lsn": "string", "event_serial_no": "long"},
}
"""Fields of the source block that say where a change stands."""
_PLACED: Final = {Capture.MYSQL: binlog_source, Capture.SQL_SERVER: change_table_source}


def source_dtypes(topic: Topic, declared: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """The source columns and their dtypes as rules see them.

    From the topic's contract, or as `declared` where another system owns the schema. Raises
    RuleError where both say them.
    """
    if topic.contract is None:
        return dict(declared)
    if declared:
        raise RuleError("columns are declared by the topic's contract already")
    return dict(frame_dtypes(topic.contract))


def declared_dtype(text: str) -> pl.DataType:
    """The dtype of a declared column as rules see it. Raises RuleError for an unknown type."""
    try:
        return column_type(text).dtype
    except DeclaredTypeError as error:
        raise RuleError(str(error)) from error


def reader_definition(
    topic: Topic, capture: Capture, config: ObjectConfig, used: list[str]
) -> dict[str, Any]:
    """The reader schema for the envelopes of a topic: the key before, `used` columns after."""
    columns = _column_definitions(topic, config.columns)
    source = [{"name": "ts_ms", "type": ["null", "long"]}]
    source += [{"name": name, "type": ["null", avro]} for name, avro in _PLACE[capture].items()]
    if capture.is_database:
        # Beside the position itself: tells what a snapshot read from what was streamed.
        source.append({"name": SourceField.SNAPSHOT.value, "type": ["null", "string"]})
    return _record(
        "Envelope",
        [
            {
                "name": "before",
                "type": ["null", _record("Key", [columns[name] for name in config.keys])],
            },
            {"name": "after", "type": ["null", _record("Row", [columns[name] for name in used])]},
            {"name": "source", "type": _record("Source", source)},
            {"name": "op", "type": "string"},
        ],
    )


def placed_source(capture: Capture) -> pl.Expr | None:
    """The column `source` as PostgreSQL's envelopes have it, None where it is as it should be."""
    made = _PLACED.get(capture)
    return None if made is None else made(pl.col("source"))


def position(capture: Capture) -> pl.Expr:
    """The column `position` of an envelope, -1 where the source tells none."""
    has_lsn = capture.is_database
    return position_column(pl.col("source"), has_lsn=has_lsn).alias("position")


def needs_no_position(capture: Capture) -> pl.Expr:
    """The column `needs_no_position` of an envelope: it is as new as where it stands."""
    is_read = unplaced_read(pl.col("source")) if capture.is_database else pl.lit(False)
    return is_read.alias("needs_no_position")


def working_columns(
    system: SystemConfig,
    config: ObjectConfig,
    sources: Mapping[str, pl.DataType],
    used: list[str],
) -> tuple[pl.Expr, ...]:
    """Expressions from the envelope with its position to the working frame: id, op, … and the
    columns.
    """
    after, before = pl.col("after").struct, pl.col("before").struct
    is_delete = pl.col("op") == Operation.DELETE.value
    if config.deleted_when is not None:
        is_delete |= after.field(config.deleted_when).fill_null(False)

    def value(column: pl.Expr, name: str) -> pl.Expr:
        return column_value(column, sources[name], config.columns.get(name, ""))

    values = {name: value(after.field(name), name) for name in used}
    keys = [
        (value(pl.coalesce(after.field(name), before.field(name)), name), sources[name])
        for name in config.keys
    ]
    return (
        row_ids(f"{system.system}:{config.kind}", keys, system.ids).alias("id"),
        pl.col("position"),
        needs_no_position(system.capture),
        pl.col("source").struct.field("ts_ms").cast(CHANGED_AT).alias("changed_at"),
        pl.col("op"),
        is_delete.alias("is_delete"),
        *(made.alias(SOURCE_PREFIX + name) for name, made in values.items()),
        *(
            after.field(name).is_not_null().alias(TOLD_PREFIX + name)
            for name in may_be_unread(config, used)
        ),
    )


def may_be_unread(config: ObjectConfig, used: Iterable[str]) -> list[str]:
    """The used columns that may come with what is no value of their declared type."""
    return [name for name in used if name in config.columns and _declared(config, name).refuses]


def column_value(column: pl.Expr, dtype: pl.DataType, declared: str) -> pl.Expr:
    """A source column with the dtype that rules see."""
    return column_type(declared).value(column) if declared else column.cast(dtype)


def _declared(config: ObjectConfig, name: str) -> ColumnType:
    return column_type(config.columns[name])


def _column_definitions(topic: Topic, declared: Mapping[str, str]) -> dict[str, Any]:
    if topic.contract is not None:
        contract = json.loads(topic.contract.text)
        return {field["name"]: field for field in contract["fields"]}
    return {
        # No default: a column the writer's schema lacks must not read as null.
        column: {"name": column, "type": ["null", column_type(text).avro]}
        for column, text in declared.items()
    }


def _record(name: str, fields: list[Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": fields}
