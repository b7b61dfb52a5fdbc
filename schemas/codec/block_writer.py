"""Columns to Avro values: polars writes one block, arithmetic cuts it into records.

polars writes every column as a union of null and its type, so where the schema has no union the
tag bytes are taken out of the block, at positions known from the lengths of the values.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import fastavro
import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.codec.record import AvroSchema, RecordCodec
from schemas.codec.resolution import default_of
from schemas.codec.types import (
    Array,
    AvroType,
    Date,
    Decimal,
    Enum,
    Field,
    Fixed,
    Map,
    Nullable,
    Primitive,
    Record,
    Timestamp,
    Union,
    dtype_of,
    frame_schema,
    record_type,
)
from schemas.errors import InvalidEntityError, SchemaMismatchError

Lengths: TypeAlias = npt.NDArray[np.int64]

_ZERO: Final = np.int64(0)
_INT64_MAX: Final = 2**63 - 1
FEW_RECORDS: Final = 32
"""Up to so many records of any schema are made faster one by one."""
_FEW_DECIMALS: Final = 600
"""Up to so many, the bytes of decimals are made faster one by one."""
_PRESENT: Final = "is present: "


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as polars writes it, and what of that the schema wants."""

    series: pl.Series
    nullable: Nullable | None
    # Bytes of polars' length in front of a value of fixed size, which Avro does not write.
    surplus_bytes: int


class ChunkEncoder:
    """Encodes frames as values of one record schema; reusable.

    A flat record, every field T or ["null", T], goes through polars (`native`); wider schemas
    through fastavro, record by record, counted by `fallback_records`. So do up to `few` rows of any
    schema, for which columns take longer; the bytes are the same.
    """

    def __init__(self, schema: AvroSchema, *, few: int = FEW_RECORDS) -> None:
        """Raises SchemaMismatchError if the schema does not fit columns."""
        self._record = record_type(schema)
        self._few = few
        self._dtypes = frame_schema(self._record)
        self._required = [field for field in self._record.fields if not _may_be_null(field.type)]
        self._codec = RecordCodec(schema)
        self.native = bool(self._record.fields) and all(
            _is_flat(field.type) for field in self._record.fields
        )
        self.fallback_records = 0

    def encode(self, frame: pl.DataFrame, *, prefix: bytes = b"") -> list[bytes]:
        """One value per row, `prefix` in front of each; missing columns take their default.

        Columns have the dtypes of `frame_dtypes`, a narrower integer, or no value at all.
        Raises SchemaMismatchError for any other dtype, for an unknown column, for a missing one
        without default, and for values the schema cannot hold.
        """
        frame = self._complete(frame)
        if frame.is_empty():
            return []
        if not self.native:
            self.fallback_records += frame.height
            return [prefix + self._codec.encode(row) for row in _rows(frame, self._record)]
        if frame.height <= self._few:
            try:
                return [prefix + self._codec.encode(row) for row in frame.to_dicts()]
            except (InvalidEntityError, ValueError, OverflowError):
                pass  # what does not fit the schema, columns tell; they hold days of any year
        fields, tail = _without_empty_end(self._record.fields, frame)
        return _cut([_written_column(field, frame[field.name]) for field in fields], prefix, tail)

    def _complete(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The schema's columns in its order and dtypes."""
        if frame.schema == self._dtypes:
            for field in self._required:
                _require_values(field, frame[field.name])
            return frame
        names = [field.name for field in self._record.fields]
        if unknown := sorted(set(frame.columns) - set(names)):
            raise SchemaMismatchError(
                f"columns {', '.join(unknown)} are not in schema {self._record.name}",
                hint="select the schema's columns before encoding",
            )
        missing = [field for field in self._record.fields if field.name not in frame.columns]
        if missing:
            frame = frame.with_columns(default_of(field) for field in missing)
        return frame.select(_as_dtype(frame[field.name], field) for field in self._record.fields)


def _is_flat(avro: AvroType) -> bool:
    match avro:
        case Nullable(inner, _):
            return _is_flat(inner)
        case Primitive("null") | Array() | Map() | Record() | Union():
            return False
        case Fixed(size) | Decimal(_, _, int(size)):
            return 0 < size < 64  # polars' length in front of it takes one byte
    return True


def _as_dtype(series: pl.Series, field: Field) -> pl.Series:
    """`series` in the field's dtype where that loses nothing, with nulls only where allowed."""
    dtype = dtype_of(field.type)
    try:
        if series.dtype != dtype:
            if not _is_lossless(series.dtype, dtype):
                raise _misfit(field, f"holds {series.dtype}, the schema wants {dtype}")
            series = series.cast(dtype)
    except pl.exceptions.InvalidOperationError as error:
        raise _misfit(field, f"holds values beyond {dtype}") from error
    if not _may_be_null(field.type):
        _require_values(field, series)
    return series


def _may_be_null(avro: AvroType) -> bool:
    return isinstance(avro, Nullable | Union) or avro == Primitive("null")


def _require_values(field: Field, series: pl.Series) -> None:
    if series.null_count():
        raise _misfit(field, f"holds {series.null_count()} nulls, the schema allows none")


def _is_lossless(source: pl.DataType, target: pl.DataType) -> bool:
    """Whether a strict cast keeps every value or raises."""
    match source, target:
        case pl.Null(), _:
            return True
        case pl.Decimal(scale=scale), pl.Decimal(scale=wanted):
            return scale == wanted
        case ((pl.Enum() | pl.Categorical()), pl.String()):
            return True
    return source.is_integer() and target in (pl.Int32(), pl.Int64())


def _misfit(field: Field, what: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"column {field.name} {what}", hint="cast, round or filter the column before encoding"
    )


def _written_column(field: Field, series: pl.Series) -> _Column:
    """The column in a dtype polars writes with the bytes Avro wants."""
    nullable = field.type if isinstance(field.type, Nullable) else None
    match nullable.inner if nullable else field.type:
        case Date():
            return _Column(series.cast(pl.Int32), nullable, 0)
        case Timestamp():
            return _Column(series.cast(pl.Int64), nullable, 0)
        case Enum(symbols):
            codes = {symbol: code for code, symbol in enumerate(symbols)}
            try:
                written = series.replace_strict(codes, return_dtype=pl.Int32)
            except pl.exceptions.InvalidOperationError as error:
                raise _misfit(field, "holds symbols the schema does not list") from error
            return _Column(written, nullable, 0)
        case Decimal(_, _, size):
            return _Column(_decimal_bytes(series, size), nullable, 0 if size is None else 1)
        case Fixed(size):
            if (series.bin.size() != size).any():
                raise _misfit(field, f"holds values that are not {size} bytes long")
            return _Column(series, nullable, 1)
    return _Column(series, nullable, 0)


def _decimal_bytes(series: pl.Series, size: int | None) -> pl.Series:
    """Unscaled values as big-endian two's complement of `size` bytes, or as few as fastavro writes.

    Not polars' own way to write decimals: that one drops the sign byte of some positive values.
    """
    unscaled = series.to_physical()
    # Plain Python where columns take longer, and beyond 64 bits, which is rare.
    if len(unscaled) <= _FEW_DECIMALS or not _is_narrow(unscaled):
        values = [None if item is None else _to_bytes(item, size) for item in unscaled.to_list()]
        return pl.Series(series.name, values, dtype=pl.Binary)
    numbers = _numbers(unscaled)
    octets = numbers.astype(">i8").view(np.uint8).reshape(-1, 8)
    width = size if size is not None else 8
    if width > 8:
        sign = np.where(numbers < 0, 255, 0).astype(np.uint8)
        octets = np.hstack([np.repeat(sign[:, None], width - 8, axis=1), octets])
    whole = pl.Series(series.name, octets, dtype=pl.Array(pl.UInt8, octets.shape[1]))
    binary = whole.cast(pl.List(pl.UInt8)).cast(pl.Binary)
    if size is None:
        magnitude = np.abs(numbers).view(np.uint64)
        needed = np.ones(len(numbers), np.uint32)
        for used in range(1, 8):
            needed += magnitude >= np.uint64(1 << (8 * used - 1))
        used_octets = pl.col(series.name).bin.tail(pl.lit(pl.Series(needed)))
        binary = binary.to_frame().select(used_octets).to_series()
    elif size < 8:
        binary = binary.bin.tail(size)
    return binary if not series.null_count() else binary.set(series.is_null(), None)


def _is_narrow(unscaled: pl.Series) -> bool:
    """Whether fastavro would count at most eight bytes for each value: one more for -2**63."""
    lowest, highest = unscaled.min(), unscaled.max()
    if lowest is None or highest is None:
        return True
    assert isinstance(lowest, int)
    assert isinstance(highest, int)
    return lowest >= -_INT64_MAX and highest <= _INT64_MAX


def _to_bytes(unscaled: int, size: int | None) -> bytes:
    width = size if size is not None else (unscaled.bit_length() + 8) // 8
    return unscaled.to_bytes(width, "big", signed=True)


def _without_empty_end(fields: Sequence[Field], frame: pl.DataFrame) -> tuple[list[Field], bytes]:
    """The fields but for those at the end that hold nothing, and how each value ends without them.

    A field that is seldom set costs what a byte does, not what a column does.
    """
    kept = [*fields]
    while len(kept) > 1:
        avro = kept[-1].type
        is_empty = frame[kept[-1].name].null_count() == frame.height
        if not (is_empty and isinstance(avro, Nullable) and avro.null_first):
            break
        kept.pop()
    return kept, bytes(len(fields) - len(kept))


def _cut(columns: Sequence[_Column], prefix: bytes, tail: bytes) -> list[bytes]:
    """Write the columns as a block, drop what the schema does not want, cut it into values."""
    # polars panics where columns lie in pieces of different lengths.
    frame = pl.DataFrame([column.series for column in columns]).rechunk()
    body = _block_body(frame)
    measured = _measured(frame)
    lengths = [_lengths(column.series, measured) for column in columns]
    offset = np.concatenate([[_ZERO], np.cumsum(np.sum(lengths, axis=0))])
    assert offset[-1] == len(body), "polars writes what the arithmetic says"
    keep = np.ones(len(body), np.bool_)
    sizes = np.diff(offset)
    start = offset[:-1].copy()
    for column, length in zip(columns, lengths, strict=True):
        if column.nullable is None:
            keep[start] = False
            sizes -= 1
        elif not column.nullable.null_first:
            body[start] = 2 - body[start]  # index 0 is now the value, index 1 (written 2) null
        if column.surplus_bytes:
            is_present = _is_present(column.series, measured)
            keep[start[is_present] + 1] = False
            sizes -= is_present
        start += length
    data = (body if keep.all() else body[keep]).tobytes()
    ends = np.cumsum(sizes).tolist()
    pairs = zip([0, *ends], ends, strict=False)
    if tail:
        return [prefix + data[low:high] + tail for low, high in pairs]
    return [prefix + data[low:high] for low, high in pairs]


def _block_body(frame: pl.DataFrame) -> npt.NDArray[np.uint8]:
    out = io.BytesIO()
    frame.write_avro(out, compression="uncompressed", name="Chunk")
    out.seek(0)
    blocks = [block.bytes_.getvalue() for block in fastavro.block_reader(out)]
    return np.frombuffer(bytearray().join(blocks), np.uint8)


def _measured(frame: pl.DataFrame) -> pl.DataFrame:
    """The sizes of texts and bytes and the integers of the others, as 64 bits and zero for null.

    Where a column has nulls, `_PRESENT` and its name tell which values are there. All at once: an
    expression costs a small chunk more than its rows do.
    """
    found: list[pl.Expr] = []
    for series in frame:
        column = pl.col(series.name)
        number: pl.Expr | None = column
        match series.dtype:
            case pl.String():
                number = column.str.len_bytes()
            case pl.Binary():
                number = column.bin.size()
            case pl.Boolean() | pl.Float32() | pl.Float64():
                number = None
        if number is not None:
            found.append((number.fill_null(0) if series.null_count() else number).cast(pl.Int64))
        if series.null_count():
            found.append(column.is_not_null().alias(_PRESENT + series.name))
    return frame.select_seq(found)


def _lengths(series: pl.Series, measured: pl.DataFrame) -> Lengths:
    """Bytes polars writes for each value of the column, its union tag included."""
    match series.dtype:
        case pl.String() | pl.Binary():
            sizes: Lengths = measured[series.name].to_numpy()
            content = _varint_lengths(sizes) + sizes
        case pl.Boolean():
            content = np.ones(len(series), np.int64)
        case pl.Float32():
            content = np.full(len(series), 4, np.int64)
        case pl.Float64():
            content = np.full(len(series), 8, np.int64)
        case _:
            content = _varint_lengths(measured[series.name].to_numpy())
    if series.null_count():
        content = np.where(_is_present(series, measured), content, 0)
    return content + 1


def _is_present(series: pl.Series, measured: pl.DataFrame) -> npt.NDArray[np.bool_]:
    if not series.null_count():
        return np.ones(len(series), np.bool_)
    present: npt.NDArray[np.bool_] = measured[_PRESENT + series.name].to_numpy()
    return present


def _numbers(series: pl.Series) -> Lengths:
    """The integers of a column, zero for null."""
    known = series.fill_null(0) if series.null_count() else series
    return known.cast(pl.Int64).to_numpy()


def _varint_lengths(numbers: Lengths) -> Lengths:
    """Bytes of Avro's variable-length encoding of each number."""
    rest = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64) >> np.uint64(7)
    lengths = np.ones(len(numbers), np.int64)
    while (more := rest > 0).any():
        lengths += more
        rest >>= np.uint64(7)
    return lengths


def _rows(frame: pl.DataFrame, record: Record) -> list[dict[str, object]]:
    """The frame's rows as fastavro takes them."""
    return [
        {field.name: _record_value(row[field.name], field.type) for field in record.fields}
        for row in frame.to_dicts()
    ]


def _record_value(  # noqa: PLR0911 - one return for each type
    value: object, avro: AvroType
) -> object:
    match avro:
        case _ if value is None:
            return None
        case Nullable(Record(name) as inner, _):
            # Named, so that fastavro need not validate the record to find its branch.
            return name, _record_value(value, inner)
        case Nullable(inner, _):
            return _record_value(value, inner)
        case Array(items):
            assert isinstance(value, list)
            return [_record_value(item, items) for item in value]
        case Map(values):
            assert isinstance(value, list)
            return {pair["key"]: _record_value(pair["value"], values) for pair in value}
        case Record(_, fields):
            assert isinstance(value, dict)
            return {field.name: _record_value(value[field.name], field.type) for field in fields}
        case Union(branches):
            assert isinstance(value, dict)
            taken = [item for item in branches if value[item[0]] is not None]
            return _record_value(value[taken[0][0]], taken[0][1]) if taken else None
    return value
