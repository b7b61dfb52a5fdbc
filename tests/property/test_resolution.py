"""Several versions of a schema in one chunk: each record as fastavro resolves it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec.columnar import ChunkReader, frame_dtypes
from schemas.codec.framing import frame
from schemas.codec.record import AvroSchema, load_schema
from tests.support.examples import examples

SMALL = st.integers(-(2**20), 2**20)  # a float holds it exactly
TEXT = st.text(max_size=5)
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}


@dataclass(frozen=True)
class Change:
    """What a reader reads, what writers wrote before, with values, and a default.

    fastavro hands on a default as the schema's JSON has it; the specification makes it a value.
    """

    reader: Any
    writers: tuple[tuple[Any, st.SearchStrategy[Any]], ...]
    default: Any
    default_value: Any = None


def whole(*names: str) -> tuple[tuple[Any, st.SearchStrategy[Any]], ...]:
    return tuple((name, SMALL) for name in names)


def enum(*symbols: str) -> Any:
    return {"type": "enum", "name": "E", "symbols": list(symbols)}


HALVES = SMALL.map(lambda number: number / 2)
CHANGES = {
    "long": Change("long", whole("int", "long"), 7),
    "float": Change("float", (*whole("int", "long"), ("float", HALVES)), 0.5),
    "double": Change("double", (*whole("int", "long"), ("float", HALVES), ("double", HALVES)), 0.5),
    "bytes": Change(
        "bytes", (("string", TEXT), ("bytes", st.binary(max_size=5))), "\u00ff", b"\xff"
    ),
    "string": Change(
        "string", (("string", TEXT), ("bytes", TEXT.map(str.encode) | st.binary(max_size=3))), "x"
    ),
    "boolean": Change("boolean", (("boolean", st.booleans()),), True),
    "enum": Change(
        enum("A", "B", "C"),
        (
            (enum("A", "B", "C"), st.sampled_from("ABC")),
            (enum("C", "A"), st.sampled_from("AC")),
        ),
        "B",
    ),
    "date": Change(
        {"type": "int", "logicalType": "date"},
        (({"type": "int", "logicalType": "date"}, st.dates()),),
        0,
        date(1970, 1, 1),
    ),
    "decimal": Change(
        DECIMAL,
        ((DECIMAL, st.decimals(-999, 999, places=2, allow_nan=False)),),
        "\u0001",
        Decimal("0.01"),
    ),
    "longs": Change(
        {"type": "array", "items": "long"},
        tuple(
            ({"type": "array", "items": t}, st.lists(SMALL, max_size=2)) for t in ("int", "long")
        ),
        [1],
    ),
    "long map": Change(
        {"type": "map", "values": "long"},
        tuple(
            ({"type": "map", "values": t}, st.dictionaries(st.just("k"), SMALL))
            for t in ("int", "long")
        ),
        {"k": 1},
    ),
}


def written(draw: st.DrawFn, name: str, change: Change) -> tuple[Any, st.SearchStrategy[Any]]:
    avro, values = draw(st.sampled_from(change.writers))
    match draw(st.sampled_from(["plain", "null first", "null last"])):
        case "null first":
            return ["null", avro], st.none() | values
        case "null last":
            return [avro, "null"], st.none() | values
    return avro, values


@st.composite
def versions(
    draw: st.DrawFn,
) -> tuple[AvroSchema, list[str], list[tuple[AvroSchema, list[dict[str, Any]]]]]:
    """A reader's schema, the changes of its fields, and records of several versions of it."""
    names = draw(st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4, unique=True))
    fields: list[dict[str, Any]] = [
        {
            "name": f"f{position}",
            "aliases": [f"old{position}"],
            "type": [CHANGES[name].reader, "null"],
            "default": CHANGES[name].default,
        }
        for position, name in enumerate(names)
    ]
    reader = load_schema({"type": "record", "name": "R", "fields": fields})
    writers = []
    for _ in range(draw(st.integers(2, 3))):
        columns: list[dict[str, Any]] = []
        values: dict[str, st.SearchStrategy[Any]] = {}
        for position, name in enumerate(names):
            how = draw(st.sampled_from(["kept", "kept", "renamed", "not yet there"]))
            if how == "not yet there":
                continue
            column = f"f{position}" if how == "kept" else f"old{position}"
            avro, values[column] = written(draw, column, CHANGES[name])
            columns.append({"name": column, "type": avro})
        columns.append({"name": "gone", "type": "string"})
        values["gone"] = TEXT
        columns = draw(st.permutations(columns))
        schema = load_schema({"type": "record", "name": "R", "fields": columns})
        writers.append((schema, draw(st.lists(st.fixed_dictionaries(values), max_size=3))))
    return reader, names, writers


@pytest.mark.fault("B6", place="schemas/codec/resolution.py")
@settings(max_examples=examples(20), deadline=None, suppress_health_check=list(HealthCheck))
@given(versions(), st.randoms(use_true_random=False))
def test_b6_a_chunk_of_several_versions_is_read_as_fastavro_resolves_each(
    case: tuple[AvroSchema, list[str], list[tuple[AvroSchema, list[dict[str, Any]]]]], chance: Any
) -> None:
    reader, names, writers = case
    values: list[bytes] = []
    expected: list[dict[str, Any] | None] = []
    for schema_id, (schema, rows) in enumerate(writers):
        for row in rows:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, schema.parsed, row)
            values.append(frame(schema_id, out.getvalue()))
            payload = io.BytesIO(out.getvalue())
            try:
                resolved = fastavro.schemaless_reader(payload, schema.parsed, reader.parsed)
            except UnicodeDecodeError:
                expected.append(None)
                continue
            assert isinstance(resolved, dict)
            for position, name in enumerate(names):
                change = CHANGES[name]
                if not {f"f{position}", f"old{position}"} & row.keys() and change.default_value:
                    resolved[f"f{position}"] = change.default_value
            expected.append({field: columnar(value) for field, value in resolved.items()})
    order = list(range(len(values)))
    chance.shuffle(order)
    chunk = ChunkReader(lambda schema_id: writers[schema_id][0], reader=reader).decode(
        [values[index] for index in order]
    )
    wanted = [expected[index] for index in order]
    assert [at for at, _ in chunk.errors] == [at for at, row in enumerate(wanted) if row is None]
    assert dict(chunk.frame.schema) == frame_dtypes(reader)
    assert chunk.frame.to_dicts() == [row for row in wanted if row is not None]


def columnar(value: Any) -> Any:
    """A map as the pairs a column holds."""
    if isinstance(value, dict):
        return [{"key": key, "value": item} for key, item in value.items()]
    return value
