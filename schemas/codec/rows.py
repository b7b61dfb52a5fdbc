"""Avro payloads one by one with fastavro, as the same columns the block reader gives.

For schemas polars cannot read, and to tell which record of an unreadable block is broken.
"""

import decimal
import io
from collections.abc import Sequence
from typing import Final

import fastavro
import polars as pl

from schemas.calendar import DAYS_MAX, DAYS_MIN, instant_bounds
from schemas.codec.record import FASTAVRO_ERRORS, AvroSchema, Json
from schemas.codec.types import (
    Array,
    AvroType,
    Date,
    Decimal,
    Map,
    Nullable,
    Primitive,
    Record,
    Timestamp,
    Union,
    dtype_of,
    storage_dtype_of,
)
from schemas.errors import DecodeError

# Holds every decimal a column can: the default context would round after 28 digits.
_EXACT: Final = decimal.Context(prec=60)


class RowReader:
    """Reads payloads of one record schema one at a time."""

    def __init__(self, schema: AvroSchema, record: Record) -> None:
        self._name = schema.name
        self._record = record
        self._schema = fastavro.parse_schema(_physical(schema.parsed))

    def read(self, payload: bytes) -> dict[str, object]:
        """Decode one payload to a row for `frame`. Raises DecodeError unless it is one record."""
        source = io.BytesIO(payload)
        try:
            value = fastavro.schemaless_reader(
                source,
                self._schema,
                return_record_name=True,
                return_record_name_override=True,
            )
            row = _row(value, self._record)
        except FASTAVRO_ERRORS as error:
            raise DecodeError(
                f"not a record of schema {self._name}: {type(error).__name__}"
            ) from error
        if source.tell() != len(payload):
            raise DecodeError(
                f"{len(payload) - source.tell()} bytes left after a record of {self._name}"
            )
        return row

    def frame(self, rows: Sequence[dict[str, object]]) -> pl.DataFrame:
        """Rows of `read` as columns."""
        return pl.DataFrame(
            [
                pl.Series(
                    field.name,
                    [row[field.name] for row in rows],
                    dtype=storage_dtype_of(field.type),
                ).cast(dtype_of(field.type))
                for field in self._record.fields
            ]
        )


def _physical(node: Json) -> Json:
    """The schema without logical types: values as they are on the wire, nothing rounded."""
    if isinstance(node, list):
        return [_physical(item) for item in node]
    if isinstance(node, dict):
        # Defaults stay as they are: they are data, and an old reader never looks at them.
        return {
            key: item if key in {"default", "symbols", "aliases"} else _physical(item)
            for key, item in node.items()
            if key != "logicalType" and not key.startswith("__")
        }
    return node


def _row(value: object, record: Record) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError("not a record")
    return {field.name: column_value(value[field.name], field.type) for field in record.fields}


def column_value(  # noqa: PLR0911 - one return for each type
    value: object, avro: AvroType
) -> object:
    """A value as fastavro reads it from the wire, as a value of the column's storage dtype.

    Raises ValueError or TypeError if the column cannot hold it.
    """
    match avro:
        case Nullable(inner, _):
            return None if value is None else column_value(value, inner)
        case Primitive("int"):
            # fastavro reads an int as a long.
            return _bounded(value, -(2**31), 2**31 - 1)
        case Date():
            return _bounded(value, DAYS_MIN, DAYS_MAX)
        case Timestamp(unit):
            return _bounded(value, *instant_bounds(unit))
        case Decimal(precision, scale, _):
            assert isinstance(value, bytes)
            unscaled = int.from_bytes(value, "big", signed=True)
            if abs(unscaled) >= 10**precision:
                raise ValueError("a decimal of too many digits")
            return _EXACT.scaleb(decimal.Decimal(unscaled), -scale)
        case Array(items):
            assert isinstance(value, list)
            return [column_value(item, items) for item in value]
        case Map(values):
            assert isinstance(value, dict)
            return [
                {"key": key, "value": column_value(item, values)} for key, item in value.items()
            ]
        case Record():
            return _row(value, avro)
        case Union(branches):
            return _branch_value(value, branches)
    return value


def _bounded(value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"an integer outside {low} to {high}")
    return value


def _branch_value(value: object, branches: Sequence[tuple[str, AvroType]]) -> object:
    """A struct with the value under the first branch that can hold it; all null for null."""
    empty: dict[str, object] = dict.fromkeys(name for name, _ in branches)
    if value is None:
        return empty
    if isinstance(value, tuple):  # a union of several records: fastavro names the one it read
        name = str(value[0]).rpartition(".")[2]
        return empty | {name: column_value(value[1], dict(branches)[name])}
    for name, branch in branches:
        if _holds(branch, value):
            return empty | {name: column_value(value, branch)}
    raise TypeError("no branch of the union holds the value")


def _holds(avro: AvroType, value: object) -> bool:  # noqa: PLR0911 - one return for each type
    match avro:
        case Primitive("boolean"):
            return isinstance(value, bool)
        case Primitive("int") | Date():
            return type(value) is int and -(2**31) <= value < 2**31
        case Primitive("long") | Timestamp():
            return type(value) is int
        case Primitive("float" | "double"):
            return isinstance(value, float)
        case Array():
            return isinstance(value, list)
        case Map() | Record():
            return isinstance(value, dict)
        case _ if dtype_of(avro) == pl.String():
            return isinstance(value, str)
    return isinstance(value, bytes)
