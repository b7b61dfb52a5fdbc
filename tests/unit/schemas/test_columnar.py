from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from schemas.codec.columnar import (
    ChunkDecoder,
    ChunkEncoder,
    ChunkReader,
    decode_chunk,
    frame_dtypes,
)
from schemas.codec.framing import frame, header
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.errors import DecodeError, RecordError, SchemaMismatchError


def record(*fields: tuple[str, Any], name: str = "Row", **defaults: Any) -> AvroSchema:
    return load_schema(
        {
            "type": "record",
            "name": name,
            "namespace": "psa",
            "fields": [
                {"name": field, "type": avro}
                | ({"default": defaults[field]} if field in defaults else {})
                for field, avro in fields
            ],
        }
    )


HOURS = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
STATUS = {"type": "enum", "name": "Status", "symbols": ["DRAFT", "APPROVED"]}
ENTRY = record(
    ("id", "string"), ("hours", ["null", HOURS]), ("status", STATUS), ("billable", "boolean")
)
ENTRIES: list[dict[str, object]] = [
    {"id": f"T-{n}", "hours": Decimal(n).scaleb(-2), "status": "APPROVED", "billable": n % 2 == 0}
    for n in range(100)
]


def values_of(schema: AvroSchema, rows: list[dict[str, object]], schema_id: int = 1) -> list[bytes]:
    codec = RecordCodec(schema)
    return [frame(schema_id, codec.encode(row)) for row in rows]


def by_id(schemas: dict[int, AvroSchema]) -> Callable[[int], AvroSchema]:
    def resolve(schema_id: int) -> AvroSchema:
        if schema_id not in schemas:
            raise DecodeError(f"schema {schema_id} is not registered")
        return schemas[schema_id]

    return resolve


@pytest.mark.parametrize("count", [0, 1, 100])
def test_a_chunk_of_any_size_comes_back_as_rows(count: int) -> None:
    decoded = ChunkDecoder(ENTRY).decode(values_of(ENTRY, ENTRIES[:count]))
    assert dict(decoded.schema) == frame_dtypes(ENTRY)
    assert decoded.to_dicts() == ENTRIES[:count]


def test_fifty_thousand_records_take_the_native_path_both_ways() -> None:
    values = values_of(ENTRY, ENTRIES) * 500
    decoder, encoder = ChunkDecoder(ENTRY), ChunkEncoder(ENTRY)
    assert encoder.encode(decoder.decode(values), prefix=header(1)) == values
    assert decoder.fallback_records == encoder.fallback_records == 0


def test_only_the_columns_asked_for_are_decoded() -> None:
    decoded = ChunkDecoder(ENTRY, columns=["hours"]).decode(values_of(ENTRY, ENTRIES[:2]))
    assert decoded.to_dicts() == [{"hours": Decimal("0.00")}, {"hours": Decimal("0.01")}]


def test_dates_that_only_carry_a_connect_name_stay_integers() -> None:
    schema = record(("on", {"type": "int", "connect.name": "io.debezium.time.Date"}))
    assert ChunkDecoder(schema).decode(values_of(schema, [{"on": 20512}])).to_dicts() == [
        {"on": 20512}
    ]


def test_a_union_of_many_types_has_a_column_for_each_and_counts_as_fallback() -> None:
    schema = record(("v", ["null", "string", "long"]))
    decoder = ChunkDecoder(schema)
    decoded = decoder.decode(values_of(schema, [{"v": "a"}, {"v": 7}, {"v": None}]))
    assert decoded["v"].to_list() == [
        {"string": "a", "long": None},
        {"string": None, "long": 7},
        {"string": None, "long": None},
    ]
    assert not decoder.native
    assert decoder.fallback_records == 3


def test_debezium_rows_with_a_named_reference_decode_natively() -> None:
    value = {"type": "record", "name": "Value", "fields": [{"name": "s", "type": STATUS}]}
    schema = record(("before", ["null", value]), ("after", ["null", "psa.Value"]))
    rows: list[dict[str, object]] = [
        {"before": None, "after": {"s": "DRAFT"}},
        {"before": {"s": "DRAFT"}, "after": None},
    ]
    decoder = ChunkDecoder(schema)
    assert decoder.decode(values_of(schema, rows)).to_dicts() == rows
    assert decoder.native


@pytest.mark.parametrize(
    "avro",
    [
        {
            "type": "record",
            "name": "Node",
            "fields": [{"name": "next", "type": ["null", "psa.Node"]}],
        },
        {"type": "array", "items": "null"},
        {"type": "record", "name": "Empty", "fields": []},
        {"type": "bytes", "logicalType": "decimal", "precision": 39, "scale": 2},
    ],
)
def test_a_type_no_column_holds_is_refused_at_once(avro: Any) -> None:
    with pytest.raises(SchemaMismatchError, match="does not fit columns"):
        ChunkDecoder(record(("x", avro)))


def test_i5_every_value_of_a_chunk_is_a_row_a_tombstone_or_an_error() -> None:
    values: list[bytes | None] = list(values_of(ENTRY, ENTRIES))
    values[3] = None
    values[10] = b"\x00\x00"
    values[50] = (values[50] or b"")[:-1]
    values[51] = (values[51] or b"") + b"\x00"
    values[99] = frame(9, b"")
    chunk = decode_chunk(values, by_id({1: ENTRY}))
    assert chunk.tombstones == [3]
    assert [index for index, _ in chunk.errors] == [10, 50, 51, 99]
    assert chunk.rows == [n for n in range(100) if n not in {3, 10, 50, 51, 99}]
    assert chunk.frame.to_dicts() == [ENTRIES[n] for n in chunk.rows]


def test_a_record_split_in_two_does_not_shift_its_neighbours() -> None:
    values = values_of(ENTRY, ENTRIES)
    values[20:22] = [values[20] + values[21][5:], values[22]]
    chunk = decode_chunk(values, by_id({1: ENTRY}))
    assert [index for index, _ in chunk.errors] == [20]
    assert chunk.frame.to_dicts() == [*ENTRIES[:20], *ENTRIES[22:23], *ENTRIES[22:]]


@pytest.mark.parametrize("unscaled", [10**9, -(10**9)])
def test_a_decimal_of_too_many_digits_is_an_error_not_a_rounded_amount(unscaled: int) -> None:
    wide = record(("hours", HOURS | {"precision": 18}))
    narrow = record(("hours", HOURS))
    values = values_of(wide, [{"hours": Decimal(unscaled).scaleb(-2)}])
    chunk = decode_chunk(values, by_id({1: narrow}))
    assert [index for index, _ in chunk.errors] == [0]


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1])
def test_an_int_of_more_than_32_bits_is_an_error_not_a_cut_number(number: int) -> None:
    values = values_of(record(("n", "long")), [{"n": number}])
    chunk = decode_chunk(values, by_id({1: record(("n", "int"))}))
    assert [index for index, _ in chunk.errors] == [0]


def test_a_chunk_of_two_schema_versions_is_one_frame_of_the_reader_in_order() -> None:
    old = record(("id", "string"), ("n", "int"), ("gone", "boolean"))
    new = record(
        ("id", "string"),
        ("n", "long"),
        ("status", STATUS),
        ("on", ["null", {"type": "int", "logicalType": "date"}]),
        status="DRAFT",
        on=None,
    )
    first = values_of(old, [{"id": "a", "n": 1, "gone": True}, {"id": "c", "n": 3, "gone": True}])
    second = values_of(
        new, [{"id": "b", "n": 2**40, "status": "APPROVED", "on": date(2026, 1, 2)}], 2
    )
    reader = ChunkReader(by_id({1: old, 2: new}), reader=new)
    chunk = reader.decode([first[0], second[0], None, first[1]])
    assert chunk.rows == [0, 1, 3]
    assert dict(chunk.frame.schema) == frame_dtypes(new)
    assert chunk.frame.to_dicts() == [
        {"id": "a", "n": 1, "status": "DRAFT", "on": None},
        {"id": "b", "n": 2**40, "status": "APPROVED", "on": date(2026, 1, 2)},
        {"id": "c", "n": 3, "status": "DRAFT", "on": None},
    ]


def test_rows_inside_rows_resolve_to_the_reader_too() -> None:
    def envelope(*fields: dict[str, Any]) -> AvroSchema:
        return record(("after", ["null", {"type": "record", "name": "V", "fields": list(fields)}]))

    writer = envelope({"name": "id", "type": "int"})
    reader = envelope(
        {"name": "key", "aliases": ["id"], "type": "long"},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["x"]},
        {"name": "rate", "type": HOURS, "default": "\u0001\u0000"},
    )
    values = values_of(writer, [{"after": {"id": 1}}, {"after": None}])
    chunk = decode_chunk(values, by_id({1: writer}), reader)
    assert chunk.frame.to_dicts() == [
        {"after": {"key": 1, "tags": ["x"], "rate": Decimal("2.56")}},
        {"after": None},
    ]


def in_a_record(avro: Any) -> Any:
    return {"type": "record", "name": "Inner", "fields": [{"name": "v", "type": avro}]}


@pytest.mark.fault("B6", place="schemas/codec/resolution.py")
@pytest.mark.parametrize(
    ("around", "value"),
    [
        (lambda avro: avro, lambda text: text),
        (lambda avro: ["null", avro], lambda text: text),
        (lambda avro: {"type": "array", "items": ["null", avro]}, lambda text: [None, b"a", text]),
        (lambda avro: {"type": "map", "values": avro}, lambda text: {"a": b"a", "b": text}),
        (in_a_record, lambda text: {"v": text}),
        (
            lambda avro: ["null", {"type": "array", "items": in_a_record([avro, "null"])}],
            lambda text: [{"v": None}, {"v": text}],
        ),
    ],
    ids=["plain", "nullable", "array", "map", "record", "array of records"],
)
def test_b6_bytes_that_are_no_text_are_an_error_of_their_record_alone(
    around: Callable[[Any], Any], value: Callable[[bytes], Any]
) -> None:
    writer, reader = record(("f", around("bytes"))), record(("f", around("string")))
    texts = [b"", b"\xff", "ä€😀".encode(), b"\xed\xa0\x80", b"a\x00"]
    values = values_of(writer, [{"f": value(text)} for text in texts])
    other = values_of(reader, [{"f": _decoded(value(b"x"))}], schema_id=2)
    chunk = decode_chunk([*values, *other], by_id({1: writer, 2: reader}), reader)
    assert chunk.rows == [0, 2, 4, 5]
    assert [(index, type(error)) for index, error in chunk.errors] == [
        (1, DecodeError),
        (3, DecodeError),
    ]
    sound = [{"f": _decoded(value(text))} for text in (*texts[0::2], b"x")]
    assert chunk.frame.equals(decode_chunk(values_of(reader, sound), by_id({1: reader})).frame)


def _decoded(value: Any) -> Any:
    match value:
        case bytes():
            return value.decode()
        case list():
            return [_decoded(item) for item in value]
        case dict():
            return {key: _decoded(item) for key, item in value.items()}
    return value


def test_i5_no_record_is_lost_where_all_bytes_of_a_chunk_are_no_text() -> None:
    writer, reader = record(("f", "bytes")), record(("f", "string"))
    chunk = decode_chunk(values_of(writer, [{"f": b"\xff"}] * 3), by_id({1: writer}), reader)
    assert (chunk.rows, [index for index, _ in chunk.errors]) == ([], [0, 1, 2])
    assert dict(chunk.frame.schema) == frame_dtypes(reader)


def test_i5_records_of_a_schema_without_fields_are_errors() -> None:
    reader = record(("n", "int"), n=3)
    chunk = decode_chunk([frame(1, b"")] * 2, by_id({1: record()}), reader)
    assert (chunk.rows, [index for index, _ in chunk.errors]) == ([], [0, 1])
    assert dict(chunk.frame.schema) == frame_dtypes(reader)


def test_records_of_a_schema_the_reader_cannot_follow_are_errors() -> None:
    writer, reader = record(("id", "boolean")), record(("id", "string"))
    chunk = decode_chunk(values_of(writer, [{"id": True}]), by_id({1: writer}), reader)
    assert isinstance(chunk.errors[0][1], SchemaMismatchError)
    assert dict(chunk.frame.schema) == {"id": pl.String()}


def test_a_column_that_its_source_dropped_is_to_leave_the_mapping() -> None:
    writer, reader = record(("id", "long")), record(("id", "long"), ("note", "string"))
    chunk = decode_chunk(values_of(writer, [{"id": 1}]), by_id({1: writer}), reader)
    [(_, error)] = chunk.errors
    assert isinstance(error, SchemaMismatchError)
    assert "field note is missing" in str(error)
    assert "take it out of `columns` of mapping.yaml" in error.hint


@pytest.mark.fault("B6", place="schemas/codec/resolution.py")
@pytest.mark.parametrize("inside", [lambda it: it, lambda it: ["null", it]])
def test_b6_a_field_that_is_written_under_two_of_its_names_is_not_guessed(
    inside: Callable[[Any], Any],
) -> None:
    def row(name: str, *fields: dict[str, Any]) -> AvroSchema:
        return record(("row", inside({"type": "record", "name": name, "fields": list(fields)})))

    reader = row("Read", {"name": "key", "aliases": ["id", "old"], "type": "long"})
    fields = [{"name": name, "type": "long"} for name in ("old", "key", "id")]
    for written in ([fields[0]], [fields[1]], [fields[2]]):
        writer = row("server.table.Value", *written)  # names of records do not matter
        values = values_of(writer, [{"row": {written[0]["name"]: 1}}])
        chunk = decode_chunk(values, by_id({1: writer}), reader)
        assert chunk.frame.to_dicts() == [{"row": {"key": 1}}]
    for several in (fields[:2], fields[::2]):
        writer = row("Read", *several)
        values = values_of(writer, [{"row": {field["name"]: 1 for field in several}}])
        [(_, error)] = decode_chunk(values, by_id({1: writer}), reader).errors
        assert isinstance(error, SchemaMismatchError)
        assert "field key is written as old, " in str(error)


def test_the_schema_of_an_id_is_looked_up_once() -> None:
    asked: list[int] = []

    def resolve(schema_id: int) -> AvroSchema:
        asked.append(schema_id)
        return ENTRY

    reader = ChunkReader(resolve)
    for _ in range(3):
        reader.decode(list(values_of(ENTRY, ENTRIES[:2])))
    assert asked == [1]


def test_missing_columns_are_encoded_as_their_default() -> None:
    schema = record(("id", "string"), ("note", ["null", "string"]), ("n", "int"), note=None, n=5)
    value = ChunkEncoder(schema).encode(pl.DataFrame({"id": ["a"]}))
    assert value == [RecordCodec(schema).encode({"id": "a"})]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pl.Series("hours", [Decimal("1.234")]), "Decimal"),
        (pl.Series("hours", [1.5]), "Float64"),
        (pl.Series("status", ["REJECTED"]), "symbols"),
        (pl.Series("id", [None], dtype=pl.String), "nulls"),
        (pl.Series("colour", ["red"]), "not in schema"),
    ],
)
def test_a_column_that_would_lose_something_is_refused(column: pl.Series, reason: str) -> None:
    row = ChunkDecoder(ENTRY).decode(values_of(ENTRY, ENTRIES[:1]))
    with pytest.raises(SchemaMismatchError, match=reason):
        ChunkEncoder(ENTRY).encode(row.with_columns(column))


@pytest.mark.parametrize("size", [None, 4, 12])
@pytest.mark.parametrize("bits_max", [62, 64])  # one amount beyond 64 bits changes the method
def test_i7_decimals_around_every_byte_boundary_are_written_exactly(
    bits_max: int, size: int | None
) -> None:
    digits = 9 if size == 4 else 20
    kind = {"logicalType": "decimal", "precision": digits, "scale": 2}
    avro = kind | ({"type": "fixed", "name": "F", "size": size} if size else {"type": "bytes"})
    powers = [2**bits + step for bits in range(bits_max + 1) for step in (-1, 0, 1)]
    edges = powers + [-power for power in powers]
    amounts = [Decimal(edge).scaleb(-2) for edge in edges if abs(edge) < 10**digits]
    schema = record(("amount", avro))
    values = ChunkEncoder(schema).encode(
        pl.DataFrame({"amount": amounts}, schema={"amount": pl.Decimal(digits, 2)})
    )
    codec = RecordCodec(schema)
    assert [codec.decode(value)["amount"] for value in values] == amounts
    assert values == [codec.encode({"amount": amount}) for amount in amounts]


def test_decimals_wider_than_a_column_reads_natively_fall_back() -> None:
    wide = {"type": "fixed", "name": "F", "size": 17, "logicalType": "decimal"}
    schema = record(("amount", wide | {"precision": 38, "scale": 2}))
    rows: list[dict[str, object]] = [{"amount": Decimal("-1.28")}, {"amount": Decimal("1.28")}]
    decoder = ChunkDecoder(schema)
    decoded = decoder.decode(values_of(schema, rows))
    assert decoded.to_dicts() == rows
    assert decoder.fallback_records == 2
    assert ChunkEncoder(schema).encode(decoded, prefix=header(1)) == values_of(schema, rows)


def test_instants_keep_their_unit() -> None:
    at = datetime(2026, 11, 23, 15, 0, 0, 123000, tzinfo=UTC)
    schema = record(("at", {"type": "long", "logicalType": "timestamp-millis"}))
    rows = pl.DataFrame({"at": [at]}, schema={"at": pl.Datetime("us", "UTC")})
    with pytest.raises(SchemaMismatchError, match="Datetime"):
        ChunkEncoder(schema).encode(rows)
    value = ChunkEncoder(schema).encode(rows.cast(pl.Datetime("ms", "UTC")))
    assert RecordCodec(schema).decode(value[0]) == {"at": at}


def test_errors_of_a_chunk_are_record_errors() -> None:
    chunk = decode_chunk([b""], by_id({}))
    assert [isinstance(error, RecordError) for _, error in chunk.errors] == [True]
    assert chunk.frame.height == 0


@pytest.mark.parametrize("first", ["null", "bytes"])
@pytest.mark.parametrize("names", [(), ("note",), ("note", "sealed")])
def test_fields_at_the_end_that_hold_nothing_are_written_as_nothing(
    first: str, names: tuple[str, ...]
) -> None:
    union = ["null", "bytes"] if first == "null" else ["bytes", "null"]
    schema = record(("id", "long"), ("note", ["null", "string"]), ("sealed", union))
    texts: dict[str, object] = {"note": "x", "sealed": b"y"}
    rows: list[dict[str, object]] = [
        {"id": n, **{name: None if name in names else text for name, text in texts.items()}}
        for n in range(50)
    ]
    chunk = ChunkDecoder(schema).decode(values_of(schema, rows))
    assert ChunkEncoder(schema).encode(chunk, prefix=header(1)) == values_of(schema, rows)
    nothing = record(("note", ["null", "string"]), ("sealed", ["null", "bytes"]))
    empty: list[dict[str, object]] = [{"note": None, "sealed": None}] * 50
    frame_of = ChunkDecoder(nothing).decode(values_of(nothing, empty))
    assert ChunkEncoder(nothing).encode(frame_of) == [b"\0\0"] * 50
