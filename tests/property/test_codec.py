"""The chunk codec against fastavro: any schema, any value, any single broken record."""

import datetime as dt
import decimal
import io
from collections.abc import Callable
from typing import Any

import fastavro
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.codec.columnar import ChunkDecoder, ChunkEncoder, ChunkReader, frame_dtypes
from schemas.codec.framing import header
from schemas.codec.record import FASTAVRO_ERRORS, AvroSchema, load_schema
from tests.support.avro_rows import (
    comparable,
    encoded,
    exact_row,
    expected_rows,
    holds_what_avro_has_not,
    without_instants,
)
from tests.support.examples import examples

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
HEADER = header(1)
Typed = tuple[Any, st.SearchStrategy[Any]]  # an avro type and its values, as fastavro takes them

# One process, two cores, wide schemas: examples differ in cost far more than hypothesis allows for.
relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck))


def integers(bits: int) -> st.SearchStrategy[int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.integers(low, high) | st.sampled_from([low, high, -1, 0, 63, 64, -64, -65])


def instants(step_us: int) -> st.SearchStrategy[dt.datetime]:
    last = int((dt.datetime.max.replace(tzinfo=dt.UTC) - EPOCH).total_seconds())
    return st.integers(-(10**9) * 60, last - 1).flatmap(
        lambda seconds: st.integers(0, 10**6 // step_us - 1).map(
            lambda part: EPOCH + dt.timedelta(seconds=seconds, microseconds=part * step_us)
        )
    )


def decimals(draw: st.DrawFn, name: str) -> Typed:
    precision = draw(st.integers(1, 38))
    scale = draw(st.integers(0, precision))
    limit = 10**precision - 1
    context = decimal.Context(prec=60)
    values = (
        st.integers(-limit, limit)
        | st.sampled_from(
            [n for n in (0, limit, -limit, 127, 128, -128, -129, 32768) if abs(n) <= limit]
        )
    ).map(lambda unscaled: context.scaleb(decimal.Decimal(unscaled), -scale))
    kind: dict[str, Any] = {"logicalType": "decimal", "precision": precision, "scale": scale}
    if draw(st.booleans()):
        return kind | {"type": "bytes"}, values
    size = draw(st.integers((10**precision).bit_length() // 8 + 1, 16))
    return kind | {"type": "fixed", "name": name, "size": size}, values


def flat_types(draw: st.DrawFn, name: str) -> Typed:
    """A primitive, logical, enum or fixed type."""
    kind = draw(
        st.sampled_from(
            [
                *("string", "bytes", "int", "long", "float", "double", "boolean"),
                *("date", "ms", "us", "connect", "enum", "fixed", "decimal"),
            ]
        )
    )
    match kind:
        case "decimal":
            return decimals(draw, name)
        case "enum":
            symbols = draw(
                st.lists(
                    st.from_regex(r"\A[A-Z][A-Z0-9_]{0,5}\Z"), min_size=1, max_size=5, unique=True
                )
            )
            return {"type": "enum", "name": name, "symbols": symbols}, st.sampled_from(symbols)
        case "fixed":
            size = draw(st.integers(1, 20))
            return {"type": "fixed", "name": name, "size": size}, st.binary(
                min_size=size, max_size=size
            )
    floats = st.floats(allow_nan=True)
    return {
        "string": ("string", st.text() | st.just("ü" * 100)),
        "bytes": ("bytes", st.binary(max_size=80)),
        "int": ("int", integers(32)),
        "long": ({"type": "long"}, integers(64)),
        "float": ("float", st.floats(width=32)),
        "double": ("double", floats),
        "boolean": ("boolean", st.booleans()),
        "date": ({"type": "int", "logicalType": "date"}, st.dates()),
        "ms": ({"type": "long", "logicalType": "timestamp-millis"}, instants(1000)),
        "us": ({"type": "long", "logicalType": "timestamp-micros"}, instants(1)),
        "connect": (
            {"type": "int", "connect.version": 1, "connect.name": "io.debezium.time.Date"},
            integers(32),
        ),
    }[kind]  # fmt: skip


def nullable(draw: st.DrawFn, typed: Typed) -> Typed:
    avro, values = typed
    if draw(st.booleans()):
        return avro, values
    return (["null", avro] if draw(st.booleans()) else [avro, "null"]), st.none() | values


def any_types(draw: st.DrawFn, name: str, depth: int) -> Typed:
    kinds = ["flat"] * 3 + (["array", "map", "record", "union", "null"] if depth else [])
    match draw(st.sampled_from(kinds)):
        case "array":
            items, values = any_types(draw, name, depth - 1)
            if items == "null":
                items, values = "string", st.text()
            return nullable(draw, ({"type": "array", "items": items}, st.lists(values, max_size=3)))
        case "map":
            items, values = any_types(draw, name, depth - 1)
            return nullable(
                draw,
                ({"type": "map", "values": items}, st.dictionaries(st.text(), values, max_size=3)),
            )
        case "record":
            return nullable(draw, records(draw, name, depth - 1, any_types))
        case "union":
            return ["null", "string", "double", "boolean"], (
                st.none() | st.text() | st.floats(allow_nan=False) | st.booleans()
            )
        case "null":
            return "null", st.none()
    return nullable(draw, flat_types(draw, name))


def records(
    draw: st.DrawFn, name: str, depth: int, types: Callable[[st.DrawFn, str, int], Typed]
) -> Typed:
    fields, values = [], {}
    for position in range(draw(st.integers(1, 5))):
        field = f"f{position}"
        avro, values[field] = types(draw, f"{name}_{position}", depth)
        fields.append({"name": field, "type": avro})
        named = avro[1] if isinstance(avro, list) and isinstance(avro[1], dict) else avro
        if isinstance(named, dict) and "name" in named and draw(st.booleans()):
            # The same named type again, by reference, as Debezium does in `after`.
            fields.append({"name": f"{field}_again", "type": ["null", f"psa.{named['name']}"]})
            own = values[field]
            values[f"{field}_again"] = st.none() | own
    return {"type": "record", "name": name, "fields": fields}, st.fixed_dictionaries(values)


@st.composite
def chunks(draw: st.DrawFn, *, flat: bool = False) -> tuple[AvroSchema, list[dict[str, Any]]]:
    """A schema and records of it."""
    types = (lambda d, name, _: nullable(d, flat_types(d, name))) if flat else any_types
    definition, values = records(draw, "R", 2, types)
    return load_schema(definition | {"namespace": "psa"}), draw(st.lists(values, max_size=6))


@relaxed
@given(chunks())
def test_chunk_decoder_reads_what_fastavro_reads(
    chunk: tuple[AvroSchema, list[dict[str, Any]]],
) -> None:
    schema, rows = chunk
    payloads = encoded(schema, rows)
    decoder = ChunkDecoder(schema)
    frame = decoder.decode([HEADER + payload for payload in payloads])
    assert dict(frame.schema) == frame_dtypes(schema)
    assert comparable(frame.to_dicts()) == expected_rows(schema, payloads)
    assert decoder.fallback_records == (0 if decoder.native else len(rows))
    unframed = decoder.decode(payloads, prefix=0)
    assert comparable(unframed.to_dicts()) == comparable(frame.to_dicts())


@relaxed
@given(chunks(flat=True))
def test_flat_chunks_are_never_left_to_the_fallback(
    chunk: tuple[AvroSchema, list[dict[str, Any]]],
) -> None:
    schema, rows = chunk
    decoder, encoder = ChunkDecoder(schema), ChunkEncoder(schema, few=0)
    encoder.encode(decoder.decode(encoded(schema, rows), prefix=0))
    assert decoder.native and encoder.native
    assert decoder.fallback_records == encoder.fallback_records == 0


@relaxed
@given(
    st.booleans().flatmap(lambda flat: chunks(flat=flat)), st.sampled_from([0, 6]), st.booleans()
)
def test_chunk_encoder_writes_what_fastavro_writes(
    chunk: tuple[AvroSchema, list[dict[str, Any]]], few: int, in_pieces: bool
) -> None:
    """As columns, and record by record, as few rows are written; of frames in several pieces."""
    schema, rows = chunk
    payloads = encoded(schema, rows)
    frame = ChunkDecoder(schema).decode(payloads, prefix=0)
    if in_pieces:
        frame = pl.concat([frame[:1], frame[1:]], rechunk=False)
    encoder = ChunkEncoder(schema, few=few)
    assert encoder.encode(frame, prefix=HEADER) == [HEADER + p for p in payloads]


@st.composite
def broken_chunks(draw: st.DrawFn) -> tuple[AvroSchema, list[bytes], int]:
    """Framed values of a flat schema of which one is damaged, and the index of that one."""
    schema, rows = draw(chunks(flat=True).filter(lambda chunk: len(chunk[1]) > 1))
    payloads = encoded(schema, rows * draw(st.integers(1, 20)))
    index = draw(st.integers(0, len(payloads) - 1))
    victim = bytearray(payloads[index])
    match draw(st.sampled_from(["flip", "truncate", "extend", "replace"])):
        case "flip" if victim:
            victim[draw(st.integers(0, len(victim) - 1))] ^= draw(st.integers(1, 255))
        case "truncate":
            del victim[draw(st.integers(0, max(0, len(victim) - 1))) :]
        case "replace":
            victim = bytearray(draw(st.binary(max_size=40)))
        case _:
            victim += draw(st.binary(min_size=1, max_size=12))
    payloads[index] = bytes(victim)
    return schema, [HEADER + payload for payload in payloads], index


FLAG_AND_NUMBER = load_schema(
    {
        "type": "record",
        "name": "psa.R",
        "fields": [{"name": "flag", "type": "boolean"}, {"name": "number", "type": "int"}],
    }
)


@settings(relaxed, max_examples=examples(100))
@given(broken_chunks())
@example((FLAG_AND_NUMBER, [HEADER + b"\1\2", HEADER + b"\x80\0\2"], 1))
def test_i5_a_broken_record_is_reported_and_harms_no_other(
    broken: tuple[AvroSchema, list[bytes], int],
) -> None:
    schema, values, index = broken
    chunk = ChunkReader(lambda _: schema).decode(values)
    frame = chunk.frame.with_columns(pl.selectors.temporal().to_physical())
    rows = dict(zip(chunk.rows, comparable(frame.to_dicts()), strict=True))
    reported = {position for position, _ in chunk.errors}
    assert reported <= {index}
    assert sorted(rows.keys() | reported) == list(range(len(values)))

    strict = load_schema(without_instants(schema.parsed)).parsed
    victim = rows.pop(index, None)
    for position, row in rows.items():
        assert row == exact_row(schema, strict, values[position][5:])
    if victim is not None and victim != exact_row(schema, strict, values[index][5:]):
        assert holds_what_avro_has_not(strict, values[index][5:])


PHYSICAL = {"type": "record", "name": "R", "fields": []}
EXTREME_INTS = [-(2**31), -719_163, -719_162, -1, 0, 2_932_896, 2_932_897, 6_661_026, 2**31 - 1]
EXTREME_LONGS = [
    *(-(2**63), -62_135_596_800_001, -62_135_596_800_000, 0, 253_402_300_799_999),
    *(253_402_300_800_000, -62_135_596_800_000_001, 253_402_300_799_999_999, 2**63 - 1),
]


@st.composite
def extremes(draw: st.DrawFn) -> tuple[AvroSchema, list[bytes]]:
    """Records whose logical types hold any value of their physical type, and their schema."""
    kinds = {
        "date": ({"type": "int"}, st.sampled_from(EXTREME_INTS) | integers(32)),
        "timestamp-millis": ({"type": "long"}, st.sampled_from(EXTREME_LONGS) | integers(64)),
        "timestamp-micros": ({"type": "long"}, st.sampled_from(EXTREME_LONGS) | integers(64)),
        "decimal": ({"type": "bytes", "precision": 5, "scale": 2}, st.binary(max_size=40)),
    }
    logical, physical, row = [], [], {}
    for position in range(draw(st.integers(1, 4))):
        name, kind = f"f{position}", draw(st.sampled_from(sorted(kinds)))
        plain, values = kinds[kind]
        typed: Any = plain | {"logicalType": kind}
        match draw(st.sampled_from(["plain", "nullable", "array", "map", "record"])):
            case "nullable":
                plain, typed, values = ["null", plain], ["null", typed], st.none() | values
            case "array":
                plain = {"type": "array", "items": plain}
                typed, values = plain | {"items": typed}, st.lists(values, max_size=2)
            case "map":
                plain = {"type": "map", "values": plain}
                typed = plain | {"values": typed}
                values = st.dictionaries(st.just("k"), values)
            case "record":
                fields = [{"name": "x", "type": plain}]
                plain = {"type": "record", "name": f"N{position}", "fields": fields}
                typed = plain | {"fields": [{"name": "x", "type": typed}]}
                values = st.fixed_dictionaries({"x": values})
        physical.append({"name": name, "type": plain})
        logical.append({"name": name, "type": typed})
        row[name] = values
    rows = draw(st.lists(st.fixed_dictionaries(row), min_size=1, max_size=6))
    writer = load_schema(PHYSICAL | {"fields": physical})
    return load_schema(PHYSICAL | {"fields": logical}), encoded(writer, rows)


@pytest.mark.fault("B1", place="schemas/codec/block.py")
@settings(max_examples=examples(25), parent=relaxed)
@given(extremes())
def test_b1_what_python_cannot_hold_is_a_record_error_and_all_else_is_read(
    chunk: tuple[AvroSchema, list[bytes]],
) -> None:
    schema, payloads = chunk
    decoded = ChunkDecoder(schema).decode_each(payloads, prefix=0)
    rows = dict(zip(decoded.rows, decoded.frame.to_dicts(), strict=True))
    refused = dict(decoded.errors)
    assert sorted([*rows, *refused]) == list(range(len(payloads)))
    for index, payload in enumerate(payloads):
        try:
            fastavro.schemaless_reader(io.BytesIO(payload), schema.parsed)
        except FASTAVRO_ERRORS:
            assert index in refused
    frame_rows = decoded.frame.rows()  # conversion to Python's values raises nothing
    assert len(frame_rows) == len(rows)
