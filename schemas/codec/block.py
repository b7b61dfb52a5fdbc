"""Avro payloads of one schema as one object-container block, read by polars.

Framed values joined together ARE the body of a block once the header of each record is declared
as a field: the block's schema is the record's fields followed by a fixed field `_BOUNDARY` that
must hold the header of the next value. A record that takes more or fewer bytes than its payload
moves that field off the header, so broken records cannot shift their neighbours unnoticed.

The block's schema is wire-equivalent to the writer's, yet decodes to integers whatever a reader
might clip or coerce silently: `finish` casts those strictly.
"""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from schemas.calendar import is_in_calendar
from schemas.codec.record import Json, JsonObject
from schemas.codec.types import (
    DECIMAL_PRECISION_MAX,
    Array,
    AvroType,
    Date,
    Decimal,
    Enum,
    Fixed,
    Map,
    Nullable,
    Primitive,
    Record,
    Timestamp,
    Union,
    dtype_of,
)
from schemas.errors import DecodeError

_BOUNDARY: Final = "$boundary"  # no avro name contains a dollar sign
_HELD: Final = "$held"
_UNFRAMED_BOUNDARY: Final = b"\x00\xffEND"
# How polars reports broken bytes: by its own errors, as end of file, and by panicking.
_BROKEN_BYTES: Final = (
    pl.exceptions.ComputeError,
    pl.exceptions.InvalidOperationError,
    pl.exceptions.PanicException,
    OSError,
)
_SYNC: Final = b"\x00" * 16
_MAGIC: Final = b"Obj\x01"


class BlockReader:
    """Reads payloads of one record schema as a block."""

    def __init__(self, record: Record, columns: Sequence[str] | None = None) -> None:
        """`columns`: the top-level fields to return, by default all."""
        self._fields = [
            field for field in record.fields if columns is None or field.name in columns
        ]
        self._projection = None if columns is None else [*columns, _BOUNDARY]
        self._wire = wire_type(record)
        self._finished = [finish(pl.col(field.name), field.type) for field in self._fields]
        dates = [
            are_held
            for field in self._fields
            for are_held in _in_calendar(pl.col(field.name), field.type)
        ]
        if dates:
            self._finished.append(pl.all_horizontal(dates).alias(_HELD))
        self._has_dates = bool(dates)
        self._starts: dict[int, bytes] = {}

    def read(self, payloads: Sequence[bytes], prefix: int) -> pl.DataFrame:
        """Decode one row per payload, in order; each has a `prefix`-byte header, all the same.

        Raises DecodeError if the block as a whole cannot be read, not telling which record is bad.
        """
        if prefix:
            boundary = payloads[0][:prefix]
            body = b"".join([payloads[0][prefix:], *payloads[1:], boundary])
        else:
            boundary = _UNFRAMED_BOUNDARY
            body = boundary.join(payloads) + boundary
        start = self._start(len(boundary))
        block = b"".join([start, zigzag(len(payloads)), zigzag(len(body)), body, _SYNC])
        try:
            frame = pl.read_avro(io.BytesIO(block), columns=self._projection)
            ends = frame[_BOUNDARY] == pl.Series([boundary], dtype=pl.Binary)
            if frame.height == len(payloads) and ends.all():
                frame = frame.select(self._finished)
                if not self._has_dates or frame.drop_in_place(_HELD)[0]:
                    return frame
                raise DecodeError("a date or an instant of an avro block is none")
        except _BROKEN_BYTES as error:
            raise DecodeError(f"unreadable avro block: {type(error).__name__}") from error
        raise DecodeError("a record of an avro block does not end where its payload ends")

    def _start(self, boundary_bytes: int) -> bytes:
        """The container header of a block whose records end in `boundary_bytes` bytes."""
        start = self._starts.get(boundary_bytes)
        if start is None:
            fields = self._wire["fields"]
            assert isinstance(fields, list)
            boundary: JsonObject = {"type": "fixed", "name": "Boundary", "size": boundary_bytes}
            end: JsonObject = {"name": _BOUNDARY, "type": boundary}
            schema: JsonObject = {**self._wire, "fields": [*fields, end]}
            start = self._starts[boundary_bytes] = container_header(schema)
        return start


def container_header(schema: JsonObject) -> bytes:
    """The header of an uncompressed Avro object container."""
    text = json.dumps(schema).encode()
    meta = [(b"avro.schema", text), (b"avro.codec", b"null")]
    pairs = b"".join(zigzag(len(part)) + part for pair in meta for part in pair)
    return _MAGIC + zigzag(len(meta)) + pairs + zigzag(0) + _SYNC


def zigzag(number: int) -> bytes:
    """Avro's variable-length encoding of a long."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest & ~0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def is_readable(avro: AvroType) -> bool:
    """Whether polars reads this type.

    It reads no null fields, no unions of many branches and no decimals wider than it holds.
    """
    match avro:
        case Decimal(_, _, int(size)):
            return size <= 16
        case Primitive("null") | Union():
            return False
        case Array(inner) | Map(inner) | Nullable(inner, _):
            return is_readable(inner)
        case Record(_, fields):
            # A frame without columns cannot tell its number of rows.
            return bool(fields) and all(is_readable(field.type) for field in fields)
    return True


def wire_type(record: Record) -> JsonObject:
    """The wire-equivalent schema of a readable record, see the module's docstring."""
    fields: list[Json] = [
        {"name": field.name, "type": _wire(field.type)} for field in record.fields
    ]
    return {"type": "record", "name": "Wire", "fields": fields}


def _wire(avro: AvroType) -> Json:  # noqa: PLR0911 - one return for each type
    match avro:
        case Primitive("boolean" | "int") | Date() | Timestamp() | Enum():
            # polars reads any byte but 1 as false and cuts an int to 32 bits: read longs instead.
            return "long"
        case Primitive(name):
            return name
        case Decimal(_, scale, size):
            kind: JsonObject = {
                "logicalType": "decimal",
                "precision": DECIMAL_PRECISION_MAX,
                "scale": scale,
            }
            if size is None:
                return kind | {"type": "bytes"}
            return kind | {"type": "fixed", "name": "Decimal", "size": size}
        case Fixed(size):
            return {"type": "fixed", "name": "Fixed", "size": size}
        case Array(items):
            return {"type": "array", "items": _wire(items)}
        case Map(values):
            pair: list[Json] = [
                {"name": "key", "type": "string"},
                {"name": "value", "type": _wire(values)},
            ]
            return {
                "type": "array",
                "items": {"type": "record", "name": "Pair", "fields": pair},
            }
        case Nullable(inner, null_first):
            return ["null", _wire(inner)] if null_first else [_wire(inner), "null"]
        case Record():
            return wire_type(avro)
    raise AssertionError(f"not readable: {avro}")


def finish(column: pl.Expr, avro: AvroType) -> pl.Expr:  # noqa: PLR0911 - likewise
    """From the dtype a wire type is read as to the dtype of the Avro type.

    Strict: a code without a symbol, an int of more than 32 bits or a decimal of too many digits
    raises when the expression runs.
    """
    match avro:
        case Primitive("string" | "bytes" | "long" | "float" | "double") | Fixed():
            return column
        case Enum(symbols):
            codes = column.cast(pl.UInt8 if len(symbols) < 256 else pl.UInt16)
            return codes.cat.to(pl.Enum(symbols)).cast(pl.String)
        case Nullable(inner, _):
            return finish(column, inner)
        case Array() | Map() | Record() if not _holds_enum(avro):
            return column.cast(dtype_of(avro))
        case Array(items):
            return column.list.eval(finish(pl.element(), items))
        case Map(values):
            value = finish(pl.field("value"), values)
            return column.list.eval(pl.element().struct.with_fields(value))
        case Record(_, fields):
            return column.struct.with_fields(
                finish(pl.field(field.name), field.type) for field in fields
            )
    return column.cast(dtype_of(avro))


def _in_calendar(column: pl.Expr, avro: AvroType) -> Iterator[pl.Expr]:
    """For each date and instant in a column as it is on the wire: whether all may be held."""
    match avro:
        case Date() | Timestamp():
            yield is_in_calendar(column, dtype_of(avro)).all()
        case Nullable(inner, _):
            yield from _in_calendar(column, inner)
        case Array(items):
            yield from _in_calendar(column.list.explode(), items)
        case Map(values):
            yield from _in_calendar(column.list.explode().struct.field("value"), values)
        case Record(_, fields):
            for field in fields:
                yield from _in_calendar(column.struct.field(field.name), field.type)


def _holds_enum(avro: AvroType) -> bool:
    match avro:
        case Enum():
            return True
        case Array(inner) | Map(inner) | Nullable(inner, _):
            return _holds_enum(inner)
        case Record(_, fields):
            return any(_holds_enum(field.type) for field in fields)
    return False
