"""Records of any Avro schema beside the frames our codec makes of them: what fastavro reads."""

from __future__ import annotations

import decimal
import io
import math
from typing import Any

import fastavro
import polars as pl

from schemas.codec.columnar import frame_dtypes
from schemas.codec.record import FASTAVRO_ERRORS, AvroSchema

UNION: dict[str, type] = {"string": str, "double": float, "boolean": bool}


def column_value(value: Any, dtype: Any) -> Any:
    """What fastavro decoded, as polars gives it in a row."""
    match dtype:
        case pl.Struct(fields=fields) if [field.name for field in fields] == list(UNION):
            return {
                name: comparable(value) if type(value) is kind else None
                for name, kind in UNION.items()
            }
        case pl.Struct(fields=fields) if value is not None:
            return {field.name: column_value(value[field.name], field.dtype) for field in fields}
        case pl.List(inner=pl.Struct(fields=[_, pair])) if isinstance(value, dict):
            return [{"key": k, "value": column_value(v, pair.dtype)} for k, v in value.items()]
        case pl.List(inner=inner) if value is not None:
            return [column_value(item, inner) for item in value]
    return comparable(value)


def comparable(value: Any) -> Any:
    """Rows of a frame with NaN as a value that equals itself."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def expected_rows(schema: AvroSchema, payloads: list[bytes]) -> list[dict[str, Any]]:
    dtypes = frame_dtypes(schema)
    with decimal.localcontext(prec=60):
        decoded = [fastavro.schemaless_reader(io.BytesIO(p), schema.parsed) for p in payloads]
    return [
        {name: column_value(record[name], dtype) for name, dtype in dtypes.items()}
        for record in decoded
    ]


def encoded(schema: AvroSchema, rows: list[dict[str, Any]]) -> list[bytes]:
    out = []
    for row in rows:
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, schema.parsed, row)
        out.append(buffer.getvalue())
    return out


def without_instants(node: Any) -> Any:
    """The schema with dates and instants as integers, whose range Python's do not cover."""
    if isinstance(node, list):
        return [without_instants(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = str(node.get("logicalType")) in {"date", "timestamp-millis", "timestamp-micros"}
    return {
        key: without_instants(item)
        for key, item in node.items()
        if not (key.startswith("__") or (plain and key == "logicalType"))
    }


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned varint and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def end_of(kind: Any, data: bytes, at: int) -> int:
    """Where a value of a primitive, enum or fixed type ends."""
    match kind["type"] if isinstance(kind, dict) else kind:
        case "null" | "boolean" | "float" | "double" as name:
            return at + {"null": 0, "boolean": 1, "float": 4, "double": 8}[name]
        case "fixed":
            return at + int(kind["size"])
        case "string" | "bytes":
            size, at = varint(data, at)
            return at + (size >> 1)
        case _:
            return varint(data, at)[1]


def holds_what_avro_has_not(record: Any, payload: bytes) -> bool:
    """Whether a flat record's payload names no branch of a union, or no value of a boolean.

    polars takes any such index for a branch, and reads a boolean as a number that may have
    several bytes: this damage alone can go unreported, and is confined to the record itself.
    """
    at = 0
    for field in record["fields"]:
        kind = field["type"]
        if isinstance(kind, list):
            index, end = varint(payload, at)
            if index not in (0, 2) or end - at > 1:
                return True
            kind, at = kind[index // 2], end
        if kind == "boolean" and payload[at] > 0x7F:
            return True
        at = end_of(kind, payload, at)
    return False


def exact_row(schema: AvroSchema, parsed: Any, payload: bytes) -> dict[str, Any] | None:
    """What fastavro reads if it reads exactly the payload, else None."""
    source = io.BytesIO(payload)
    try:
        with decimal.localcontext(prec=60):
            record = fastavro.schemaless_reader(source, parsed)
    except FASTAVRO_ERRORS:
        return None
    if source.tell() != len(payload):
        return None
    dtypes = frame_dtypes(schema)
    return {name: column_value(record[name], dtype) for name, dtype in dtypes.items()}
