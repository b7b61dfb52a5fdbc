"""The chunk codec against fastavro, and versions of a schema against fastavro's resolution."""

from __future__ import annotations

import decimal
import io
import random
import struct
from typing import Any

import fastavro
import polars as pl

from sandbox.registry.compatibility import incompatibilities
from sandbox.registry.schema import parse
from schemas.codec.columnar import ChunkDecoder, ChunkEncoder, ChunkReader, frame_dtypes
from schemas.codec.framing import frame, header
from schemas.codec.record import FASTAVRO_ERRORS, AvroSchema, RecordCodec, load_schema
from schemas.errors import PsaStreamError
from tests.fuzz import values
from tests.fuzz.case import Case, Kind
from tests.support.avro_rows import (
    column_value,
    comparable,
    encoded,
    exact_row,
    expected_rows,
    holds_what_avro_has_not,
    without_instants,
)

HEADER = header(1)
Avro = Any


def flat_type(chance: random.Random, name: str) -> Avro:  # noqa: PLR0911 - one for each kind
    """A primitive, logical, enum or fixed type."""
    match chance.randrange(14):
        case 0:
            precision = chance.randrange(1, 39)
            kind: dict[str, Any] = {"logicalType": "decimal", "precision": precision}
            kind["scale"] = chance.randrange(precision + 1)
            if chance.random() < 0.5:
                return kind | {"type": "bytes"}
            size = chance.randrange((10**precision).bit_length() // 8 + 1, 17)
            return kind | {"type": "fixed", "name": name, "size": size}
        case 1:
            symbols = chance.sample(["A", "B", "C", "DE", "F_1", "_"], chance.randrange(1, 6))
            return {"type": "enum", "name": name, "symbols": symbols}
        case 2:
            return {"type": "fixed", "name": name, "size": chance.randrange(1, 20)}
        case 3:
            return {"type": "int", "logicalType": "date"}
        case 4:
            return {"type": "long", "logicalType": "timestamp-millis"}
        case 5:
            return {"type": "long", "logicalType": "timestamp-micros"}
        case 6:
            return {"type": "int", "connect.version": 1, "connect.name": "io.debezium.time.Date"}
    plain = ["string", "string", "bytes", "int", "long", "float", "double", "boolean"]
    return chance.choice(plain)


def any_type(chance: random.Random, name: str, depth: int) -> Avro:
    """A type with others inside it, perhaps null."""
    choice = chance.randrange(9) if depth else 9
    match choice:
        case 0:
            items = any_type(chance, name, depth - 1)
            return _perhaps_null(
                chance, {"type": "array", "items": "string" if items == "null" else items}
            )
        case 1:
            return _perhaps_null(
                chance, {"type": "map", "values": any_type(chance, name, depth - 1)}
            )
        case 2:
            return _perhaps_null(chance, record_type(chance, name, depth - 1))
        case 3:
            return ["null", "string", "double", "boolean"]
        case 4 if chance.random() < 0.2:
            return "null"
    return _perhaps_null(chance, flat_type(chance, name))


def record_type(chance: random.Random, name: str, depth: int) -> Avro:
    """A record of a few fields."""
    fields: list[dict[str, Any]] = []
    for position in range(chance.randrange(1, 6)):
        field = f"f{position}"
        avro = any_type(chance, f"{name}_{position}", depth)
        fields.append({"name": field, "type": avro})
        named = avro[1] if isinstance(avro, list) and isinstance(avro[1], dict) else avro
        if isinstance(named, dict) and "name" in named and chance.random() < 0.3:
            fields.append({"name": f"{field}_again", "type": ["null", f"psa.{named['name']}"]})
    return {"type": "record", "name": name, "fields": fields}


def _perhaps_null(chance: random.Random, avro: Avro) -> Avro:
    choice = chance.randrange(4)
    return avro if choice < 2 else (["null", avro] if choice == 2 else [avro, "null"])


def run_codec(case: Case) -> None:
    """Records of a random schema, sound ones and some that are damaged, read and written back."""
    chance = case.chance
    is_flat = chance.random() < 0.5
    schema = load_schema(record_type(chance, "R", 0 if is_flat else 2) | {"namespace": "psa"})
    make = values.maker(values.inlined(schema.parsed))
    rows = [make(chance) for _ in range(case.size)]
    payloads = encoded(schema, rows)
    case.step(len(payloads))
    if is_flat and chance.random() < 0.5:
        _read_damaged(case, schema, payloads)
    else:
        _read_and_write(case, schema, payloads)


def _read_and_write(case: Case, schema: AvroSchema, payloads: list[bytes]) -> None:
    decoded = ChunkDecoder(schema).decode_each(payloads, prefix=0)
    _all_there(case, len(payloads), decoded.rows, [index for index, _ in decoded.errors])
    case.expect(
        not decoded.errors,
        Kind.DISAGREEMENT,
        lambda: f"{schema.text}: {decoded.errors[:3]}",
        "refused what fastavro reads",
    )
    actual = comparable(decoded.frame.to_dicts())
    expected = expected_rows(schema, payloads)
    for row, other in zip(actual, expected, strict=True):
        if row != other:
            case.found(Kind.DISAGREEMENT, f"{schema.text}\n{row}\n{other}", signature="read")
            break
    for few in (0, len(payloads)):  # as columns, and record by record
        written = ChunkEncoder(schema, few=few).encode(decoded.frame, prefix=HEADER)
        for made, payload in zip(written, payloads, strict=True):
            if made != HEADER + payload:
                detail = f"{schema.text}\n{made.hex()}\n{(HEADER + payload).hex()}"
                case.found(Kind.DISAGREEMENT, detail, signature="written")
                break


def _read_damaged(case: Case, schema: AvroSchema, payloads: list[bytes]) -> None:
    chance = case.chance
    victims = {chance.randrange(len(payloads)) for _ in range(chance.randrange(1, 6))}
    for index in victims:
        payloads[index] = values.damaged(chance, payloads[index])
    chunk = ChunkReader(lambda _: schema).decode([HEADER + payload for payload in payloads])
    reported = {index for index, _ in chunk.errors}
    _all_there(case, len(payloads), chunk.rows, sorted(reported))
    case.expect(
        reported <= victims,
        Kind.DISAGREEMENT,
        lambda: f"{schema.text}: sound records refused: {sorted(reported - victims)[:5]}",
        "a sound record is refused",
    )
    plain = chunk.frame.with_columns(pl.selectors.temporal().to_physical())
    rows = dict(zip(chunk.rows, comparable(plain.to_dicts()), strict=True))
    strict = load_schema(without_instants(schema.parsed)).parsed
    for index, row in rows.items():
        expected = exact_row(schema, strict, payloads[index])
        is_known = index in victims and holds_what_avro_has_not(strict, payloads[index])
        if row != expected and not is_known:
            detail = f"{schema.text}\n{payloads[index].hex()}\n{row}\n{expected}"
            case.found(Kind.DISAGREEMENT, detail, signature="read of a damaged chunk")
            return


def _all_there(case: Case, count: int, rows: list[int], refused: list[int]) -> None:
    case.expect(
        sorted([*rows, *refused]) == list(range(count)),
        Kind.SILENT_DROP,
        lambda: f"{count} records, {len(rows)} rows, {len(refused)} refused",
        "records neither read nor refused",
    )


def run_resolution(case: Case) -> None:
    """Records of several versions of a schema in one chunk, read with one of ours.

    The rules of the registry say which versions resolve, fastavro what each record is.
    """
    chance = case.chance
    reader = load_schema(_reader(chance))
    schemas: dict[int, AvroSchema] = {}
    chunk: list[bytes] = []
    names: list[int] = []
    versions = chance.randrange(1, 4)
    for schema_id in range(1, versions + 1):
        schema = schemas[schema_id] = load_schema(_version(chance, reader))
        make, codec = values.maker(values.inlined(schema.parsed)), RecordCodec(schema)
        for _ in range(schema_id - 1, case.size, versions):
            try:
                chunk.append(frame(schema_id, codec.encode(make(chance))))
            except PsaStreamError:
                continue
            names.append(schema_id)
    order = list(range(len(chunk)))
    chance.shuffle(order)
    case.step(case.size)
    read = ChunkReader(schemas.__getitem__, reader=reader).decode([chunk[at] for at in order])
    _all_there(case, len(order), read.rows, [index for index, _ in read.errors])
    rows = dict(zip(read.rows, comparable(read.frame.to_dicts()), strict=True))
    dtypes = frame_dtypes(reader)
    for index, at in enumerate(order):
        expected = _resolved(schemas[names[at]], reader, chunk[at][5:], dtypes)
        row = rows.get(index)
        is_refused = row is None and expected is not _NO_TEXT
        if expected is not None and is_refused and _is_allowed(schemas[names[at]], reader):
            detail = f"{reader.text}\n{schemas[names[at]].text}\n{dict(read.errors)[index]}"
            case.found(Kind.DISAGREEMENT, detail, signature="refused what fastavro resolves")
            return
        if row is not None and expected is not None and row != expected:
            detail = f"{reader.text}\n{schemas[names[at]].text}\n{row}\n{expected}"
            case.found(Kind.DISAGREEMENT, detail, signature="resolved")
            return


_NO_TEXT: dict[str, Any] = {"bytes": "that are no text"}


def _resolved(
    writer: AvroSchema, reader: AvroSchema, payload: bytes, dtypes: Any
) -> dict[str, Any] | None:
    try:
        with decimal.localcontext(prec=60):
            record: Any = fastavro.schemaless_reader(
                io.BytesIO(payload), writer.parsed, reader.parsed
            )
    except UnicodeDecodeError:
        return _NO_TEXT
    except (fastavro.read.SchemaResolutionError, *FASTAVRO_ERRORS):
        return None
    return {
        name: column_value(_single(record[name], dtype), dtype) for name, dtype in dtypes.items()
    }


def _single(value: Any, dtype: Any) -> Any:
    """An integer promoted to a float of 32 bits, which fastavro leaves as it is.

    It also hands on what a logical type made of the integer, a day for one.
    """
    if dtype != pl.Float32 or not isinstance(value, int | float):
        return value
    return struct.unpack("<f", struct.pack("<f", value))[0]


def _is_allowed(writer: AvroSchema, reader: AvroSchema) -> bool:
    """Whether a registry takes both, and neither means another thing by the same bytes."""
    problems = incompatibilities(reader=parse(reader.text), writer=parse(writer.text))
    return not problems and not _changes_meaning(writer, reader)


def _changes_meaning(writer: AvroSchema, reader: AvroSchema) -> bool:
    """Whether a field is a day or an instant in one schema and a plain number in the other."""
    meant = {
        name: str(_logical(field["type"]))
        for field in values.inlined(reader.parsed)["fields"]
        for name in (field["name"], *field["aliases"])
    }
    return any(
        meant.get(field["name"], str(_logical(field["type"]))) != str(_logical(field["type"]))
        for field in values.inlined(writer.parsed)["fields"]
    )


def _logical(avro: Avro) -> object:
    if isinstance(avro, list):
        return next((_logical(branch) for branch in avro if branch != "null"), None)
    return avro.get("logicalType") if isinstance(avro, dict) else None


_PLAIN = ["int", "long", "float", "double", "string", "bytes", "boolean"]


def _reader(chance: random.Random) -> Avro:
    fields = []
    for position in range(chance.randrange(1, 6)):
        avro = chance.choice(
            [
                *_PLAIN,
                {"type": "int", "logicalType": "date"},
                {"type": "array", "items": "long"},
                {"type": "map", "values": "long"},
                {"type": "enum", "name": f"E{position}", "symbols": ["A", "B", "C"]},
            ]
        )
        fields.append(
            {
                "name": f"f{position}",
                "aliases": [f"old{position}"],
                "type": ["null", avro],
                "default": None,
            }
        )
    return {"type": "record", "name": "R", "fields": fields}


def _version(chance: random.Random, reader: AvroSchema) -> Avro:
    """A writer's schema: fields missing, renamed, of another type, in any order."""
    fields: list[dict[str, Any]] = []
    for field in values.inlined(reader.parsed)["fields"]:
        choice = chance.random()
        if choice < 0.15:
            continue
        name = field["name"] if choice < 0.8 else field["aliases"][0]
        avro = field["type"][1]
        if chance.random() < 0.5 and isinstance(avro, str):
            avro = chance.choice(_PLAIN)
        elif chance.random() < 0.1:
            avro = flat_type(chance, f"{name}_other")
        fields.append({"name": name, "type": _perhaps_null(chance, avro)})
    fields.append({"name": "gone", "type": _perhaps_null(chance, flat_type(chance, "gone_type"))})
    chance.shuffle(fields)
    return {"type": "record", "name": "R", "fields": fields}
