"""How source topics are read for mapping: column types, reader schema, working columns.

The reader schema is the envelope reduced to the mapped columns, so a chunk has the same columns
whatever versions of the source's schema its records were written with. A column that a database
dropped or retyped does not resolve and the records that lack it are dead-lettered, for absent is
not null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from schemas.codec.columnar import frame_dtypes
from schemas.envelope import Operation, SourceField
from schemas.mapping.casts import exact_number
from schemas.mapping.config import Capture, ObjectConfig, SystemConfig
from schemas.mapping.rules import SOURCE_PREFIX, RuleError, source_ids
from schemas.position import position_column
from schemas.topics import Topic

_AvroJson = Any  # JSON of an Avro schema

_DECLARED: Final[dict[str, tuple[_AvroJson, pl.DataType]]] = {
    "text": ("string", pl.String()),
    "long": ("long", pl.Int64()),
    "int": ("int", pl.Int32()),
    "boolean": ("boolean", pl.Boolean()),
    # Debezium's io.debezium.time.Date: days since 1970-01-01 without a logical type.
    "date": ("int", pl.Date()),
    "start_date": ("int", pl.Date()),
    "end_date": ("int", pl.Date()),
}
_UNBOUNDED: Final[dict[str, tuple[int, ...]]] = {
    # What Debezium makes of PostgreSQL's -infinity, and of infinity until and since dbz#2524, in
    # the stream; in a snapshot what is left of the driver's milliseconds in an int of days, west
    # and east of UTC.
    "start_date": (-2_147_472_691, -625_821_272, -625_821_271),
    "end_date": (-2_147_472_692, 2_146_033_979, -622_191_234, -622_191_233),
}
"""Days, since 1970-01-01, that stand for no start and for no end."""
CHANGED_AT: Final = pl.Datetime("ms", "UTC")
UNREAD_PREFIX: Final = "unread."
"""Working columns that say of a number that came as text whether it cannot be read exactly."""
_DECIMAL: Final = re.compile(r"decimal\(([0-9]{1,2}),([0-9]{1,2})\)")
_MOST_DIGITS: Final = 38


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
    return _declared(text)[1]


def reader_definition(
    topic: Topic, capture: Capture, config: ObjectConfig, used: list[str]
) -> dict[str, Any]:
    """The reader schema for the envelopes of a topic: the key before, `used` columns after."""
    columns = _column_definitions(topic, config.columns)
    source = [
        {"name": "ts_ms", "type": ["null", "long"]},
        {"name": "sequence", "type": ["null", "string"]},
    ]
    if capture is Capture.DEBEZIUM:
        source.append({"name": "lsn", "type": ["null", "long"]})
        # Beside the position itself: tells what a snapshot read from what was streamed.
        source.append({"name": SourceField.SNAPSHOT.value, "type": ["null", "string"]})
    return _record(
        "Envelope",
        [
            {"name": "before", "type": ["null", _record("Key", [columns[config.key]])]},
            {"name": "after", "type": ["null", _record("Row", [columns[name] for name in used])]},
            {"name": "source", "type": _record("Source", source)},
            {"name": "op", "type": "string"},
        ],
    )


def position(capture: Capture) -> pl.Expr:
    """The column `position` of an envelope, -1 where the source tells none."""
    has_lsn = capture is Capture.DEBEZIUM
    return position_column(pl.col("source"), has_lsn=has_lsn).alias("position")


def working_columns(
    system: SystemConfig,
    config: ObjectConfig,
    sources: Mapping[str, pl.DataType],
    used: list[str],
) -> tuple[pl.Expr, ...]:
    """Expressions from the envelope to the working frame: id, position, op, … and the columns."""
    after = pl.col("after").struct
    native = pl.coalesce(after.field(config.key), pl.col("before").struct.field(config.key))
    is_delete = pl.col("op") == Operation.DELETE.value
    if config.deleted_when is not None:
        is_delete |= after.field(config.deleted_when).fill_null(False)
    values = {
        name: _value(after.field(name), sources[name], config.columns.get(name, ""))
        for name in used
    }
    return (
        source_ids(f"{system.system}:{config.kind}", native, sources[config.key], system.ids).alias(
            "id"
        ),
        position(system.capture),
        pl.col("source").struct.field("ts_ms").cast(CHANGED_AT).alias("changed_at"),
        pl.col("op"),
        is_delete.alias("is_delete"),
        *(value.alias(SOURCE_PREFIX + name) for name, value in values.items()),
        *(
            (after.field(name).is_not_null() & values[name].is_null()).alias(UNREAD_PREFIX + name)
            for name in numbers_as_text(config, used)
        ),
    )


def numbers_as_text(config: ObjectConfig, used: list[str]) -> list[str]:
    """The used columns whose numbers come as text: the declared decimals."""
    return [name for name in used if _DECIMAL.fullmatch(config.columns.get(name, ""))]


def _value(column: pl.Expr, dtype: pl.DataType, declared: str) -> pl.Expr:
    """A source column with the dtype that rules see."""
    if declared and isinstance(dtype, pl.Decimal):
        return exact_number(column, dtype)
    if declared in _UNBOUNDED:
        return pl.when(~column.is_in(_UNBOUNDED[declared])).then(column).cast(dtype)
    return column.cast(dtype)


def _column_definitions(topic: Topic, declared: Mapping[str, str]) -> dict[str, Any]:
    if topic.contract is not None:
        contract = json.loads(topic.contract.text)
        return {field["name"]: field for field in contract["fields"]}
    return {
        # No default: a column the writer's schema lacks must not read as null.
        column: {"name": column, "type": ["null", _declared(text)[0]]}
        for column, text in declared.items()
    }


def _declared(text: str) -> tuple[_AvroJson, pl.DataType]:
    digits = _DECIMAL.fullmatch(text)
    if digits is not None:
        precision, scale = int(digits[1]), int(digits[2])
        if not max(scale, 1) <= precision <= _MOST_DIGITS:
            raise RuleError(f"{text} is no type of at most {_MOST_DIGITS} digits")
        # As text, since a schema holds one scale, and numbers of PostgreSQL may be no numbers.
        return "string", pl.Decimal(precision, scale)
    if text not in _DECLARED:
        raise RuleError(f"unknown column type {text!r}, not one of {', '.join(_DECLARED)}")
    return _DECLARED[text]


def _record(name: str, fields: list[Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": fields}
