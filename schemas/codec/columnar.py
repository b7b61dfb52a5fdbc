"""The chunk codec: many Avro values to columns and back, equal to fastavro value for value.

`ChunkReader` takes the values of one fetch as they come (several schemas, tombstones, broken
records); `ChunkDecoder` and `ChunkEncoder` work on one schema. Decoded columns have the dtype
the schema says, whichever way they were decoded:

    int Int32 · long Int64 · float Float32 · double Float64 · boolean Boolean · string String
    bytes, fixed Binary · enum String · date Date · timestamp-millis/-micros Datetime(ms/us, UTC)
    decimal Decimal(precision, scale) · array List · map List(Struct{key, value}) · record Struct
    union of several types Struct with one nullable field a branch

Other logical types are ignored: Debezium's dates, which carry only a `connect.name`, stay ints.

Two things a native chunk tolerates where fastavro refuses: a union index beyond the second
branch of a nullable field means not null, and a map may repeat a key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from schemas.codec.block import BlockReader, is_readable
from schemas.codec.block_writer import FEW_RECORDS, ChunkEncoder
from schemas.codec.framing import HEADER_BYTES, schema_id_of
from schemas.codec.record import AvroSchema
from schemas.codec.resolution import Resolution
from schemas.codec.rows import RowReader
from schemas.codec.types import dtype_of, frame_schema, record_type
from schemas.errors import DecodeError, RecordError, SchemaMismatchError

__all__ = [
    "FEW_RECORDS",
    "ChunkDecoder",
    "ChunkEncoder",
    "ChunkReader",
    "DecodedChunk",
    "DecodedRecords",
    "decode_chunk",
    "frame_dtypes",
]

# Below this many records it is cheaper to read one by one than to halve an unreadable block.
_HALVING_MIN: Final = 16


@dataclass(frozen=True, slots=True)
class DecodedRecords:
    """Values of one schema: `frame` row i is the value at index `rows[i]`, in order."""

    frame: pl.DataFrame
    rows: list[int]
    errors: list[tuple[int, RecordError]]


@dataclass(frozen=True, slots=True)
class DecodedChunk:
    """All values of a chunk: every index is in exactly one of rows, tombstones, errors.

    Upholds I5: no value disappears. Row i of `frame` is the value at index `rows[i]`, ascending.
    """

    frame: pl.DataFrame
    rows: list[int]
    tombstones: list[int]
    errors: list[tuple[int, RecordError]]
    fallback_records: int


def frame_dtypes(schema: AvroSchema) -> dict[str, pl.DataType]:
    """Column names and dtypes of frames decoded with, or to be encoded with, `schema`."""
    return frame_schema(record_type(schema))


class ChunkDecoder:
    """Decodes values of ONE writer schema; reusable, not thread-safe.

    `native` tells whether polars reads the schema; if not, and for records near a broken one,
    fastavro does, and `fallback_records` counts them.
    """

    def __init__(self, schema: AvroSchema, *, columns: Sequence[str] | None = None) -> None:
        """`columns`: top-level fields to decode, by default all, in the schema's order.

        Raises SchemaMismatchError if the schema does not fit columns.
        """
        record = record_type(schema)
        self.schema = schema
        self.native = is_readable(record)
        self.fallback_records = 0
        self.dtypes = {
            field.name: dtype_of(field.type)
            for field in record.fields
            if columns is None or field.name in columns
        }
        self._block = BlockReader(record, columns) if self.native else None
        self._row_reader = RowReader(schema, record)

    def decode(self, payloads: Sequence[bytes], *, prefix: int = HEADER_BYTES) -> pl.DataFrame:
        """Decode one row per payload, in order. Each starts with a `prefix`-byte header to skip,
        the same in all of them.

        Raises DecodeError if any payload is not exactly one record.
        """
        decoded = self.decode_each(payloads, prefix=prefix)
        if decoded.errors:
            raise decoded.errors[0][1]
        return decoded.frame

    def decode_each(
        self, payloads: Sequence[bytes], *, prefix: int = HEADER_BYTES
    ) -> DecodedRecords:
        """As decode, with the records that cannot be read set aside as errors."""
        frames: list[pl.DataFrame] = []
        rows: list[int] = []
        errors: list[tuple[int, RecordError]] = []
        spans = [(0, len(payloads))] if payloads else []
        while spans:
            low, high = spans.pop()
            frame = self._read_block(payloads[low:high], prefix)
            if frame is not None:
                rows.extend(range(low, high))
            elif self.native and high - low > _HALVING_MIN:
                middle = (low + high) // 2
                spans += [(middle, high), (low, middle)]  # the lower half is taken first
                continue
            else:
                frame = self._read_rows(payloads, range(low, high), prefix, rows, errors)
            frames.append(frame)
        frame = pl.concat(frames) if frames else pl.DataFrame(schema=self.dtypes)
        return DecodedRecords(frame, rows, errors)

    def _read_block(self, payloads: Sequence[bytes], prefix: int) -> pl.DataFrame | None:
        if self._block is None:
            return None
        try:
            return self._block.read(payloads, prefix)
        except DecodeError:
            return None  # decode_each finds out which record it is

    def _read_rows(
        self,
        payloads: Sequence[bytes],
        span: range,
        prefix: int,
        rows: list[int],
        errors: list[tuple[int, RecordError]],
    ) -> pl.DataFrame:
        values = []
        for index in span:
            try:
                values.append(self._row_reader.read(payloads[index][prefix:]))
                rows.append(index)
            except DecodeError as error:
                errors.append((index, error))
        self.fallback_records += len(span)
        return self._row_reader.frame(values).select(list(self.dtypes))


class ChunkReader:
    """Decodes chunks of Confluent-framed values to frames of one schema; not thread-safe."""

    def __init__(
        self,
        resolve: Callable[[int], AvroSchema],
        *,
        reader: AvroSchema | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        """`resolve` gives the schema of an id; it is asked once for each.

        With a `reader` every frame has that schema's columns (or those in `columns`); without,
        the columns of whatever the chunk's values were written with.
        """
        self._resolve = resolve
        self._reader = record_type(reader) if reader is not None else None
        self._columns = columns
        self._decoders: dict[int, tuple[ChunkDecoder, Resolution | None]] = {}

    def decode(self, values: Sequence[bytes | None]) -> DecodedChunk:
        """Decode a chunk; broken values, and those of unusable schemas, become its errors.

        Errors of `resolve` other than RecordError pass through.
        """
        tombstones, errors, groups = _grouped(values)
        parts: list[tuple[pl.DataFrame, list[int]]] = []
        fallback_records = 0
        for schema_id, indices in groups.items():
            try:
                decoder, resolution = self._decoder(schema_id)
            except RecordError as error:
                errors.extend((index, error) for index in indices)
                continue
            before = decoder.fallback_records
            # Indices of a group point at values that start with a header, so none is None.
            decoded = decoder.decode_each([values[index] or b"" for index in indices])
            fallback_records += decoder.fallback_records - before
            if resolution is not None:
                decoded = _resolved(decoded, resolution, decoder.schema.name)
            errors.extend((indices[row], error) for row, error in decoded.errors)
            parts.append((decoded.frame, [indices[row] for row in decoded.rows]))
        frame, rows = self._in_order(parts)
        errors.sort(key=lambda item: item[0])
        return DecodedChunk(frame, rows, tombstones, errors, fallback_records)

    def _decoder(self, schema_id: int) -> tuple[ChunkDecoder, Resolution | None]:
        known = self._decoders.get(schema_id)
        if known is None:
            schema = self._resolve(schema_id)
            resolution = None
            columns = self._columns
            if self._reader is not None:
                resolution = Resolution(record_type(schema), self._reader, columns)
                columns = resolution.columns
            known = self._decoders[schema_id] = ChunkDecoder(schema, columns=columns), resolution
        return known

    def _in_order(
        self, parts: list[tuple[pl.DataFrame, list[int]]]
    ) -> tuple[pl.DataFrame, list[int]]:
        if not parts:
            schema = frame_schema(self._reader) if self._reader is not None else {}
            columns = self._columns or list(schema)
            return pl.DataFrame(
                schema={name: schema[name] for name in columns if name in schema}
            ), []
        if len(parts) == 1:
            return parts[0]
        rows = [row for _, part_rows in parts for row in part_rows]
        try:
            frame = pl.concat([frame for frame, _ in parts], how="diagonal")
        except pl.exceptions.SchemaError as error:
            raise SchemaMismatchError(
                "a chunk holds a field with two types", hint="decode it with a reader schema"
            ) from error
        order = sorted(range(len(rows)), key=rows.__getitem__)
        return frame[order], [rows[position] for position in order]


def decode_chunk(
    values: Sequence[bytes | None],
    resolve: Callable[[int], AvroSchema],
    reader: AvroSchema | None = None,
) -> DecodedChunk:
    """Decode one chunk with a ChunkReader of its own; keep a ChunkReader to decode many."""
    return ChunkReader(resolve, reader=reader).decode(values)


def _resolved(decoded: DecodedRecords, resolution: Resolution, name: str) -> DecodedRecords:
    """The records as the reader has them; those with a value it cannot hold become errors."""
    frame, rows, errors = decoded.frame, decoded.rows, decoded.errors
    refused = set(resolution.refused(frame))
    if refused:
        kept = [place for place in range(len(rows)) if place not in refused]
        errors = errors + [
            (rows[place], DecodeError(f"a record of schema {name} has bytes for text, not UTF-8"))
            for place in sorted(refused)
        ]
        frame, rows = frame[kept], [rows[place] for place in kept]
    return DecodedRecords(resolution.apply(frame), rows, errors)


def _grouped(
    values: Sequence[bytes | None],
) -> tuple[list[int], list[tuple[int, RecordError]], dict[int, Sequence[int]]]:
    """Tombstones, values without a header, and the rest by schema id, each as indices."""
    tombstones: list[int] = []
    errors: list[tuple[int, RecordError]] = []
    headers = [value and value[:HEADER_BYTES] for value in values]
    by_header: dict[bytes, Sequence[int]] = {}
    if headers and headers[0] and headers.count(headers[0]) == len(headers):
        by_header[headers[0]] = range(len(headers))  # one schema, no tombstone: as a rule
    else:
        lists: dict[bytes, list[int]] = {}
        for index, header in enumerate(headers):
            if header is None:
                tombstones.append(index)
            else:
                lists.setdefault(header, []).append(index)
        by_header.update(lists)
    groups: dict[int, Sequence[int]] = {}
    for header, indices in by_header.items():
        try:
            groups[schema_id_of(header)] = indices
        except DecodeError as error:
            errors.extend((index, error) for index in indices)
    return tombstones, errors, groups
