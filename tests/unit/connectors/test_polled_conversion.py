"""Vendor values to Avro types: exactly, or an error of the row; absent is not null."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.polled.answers import read_instant
from connectors.polled.conversion import Layout, RowReader, converter
from connectors.polled.ledger import digest_of
from schemas.codec.record import load_schema
from schemas.errors import SchemaMismatchError
from schemas.identity import IdForm
from schemas.mapping.rules import row_ids
from tests.support.catalogue import SOURCES

MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
DATE = {"type": "int", "logicalType": "date"}
HOURS = {"type": "map", "values": "long"}
PERSON = {
    "type": "record",
    "name": "Person",
    "fields": [
        {"name": "name", "type": ["null", "string"]},
        {"name": "age", "type": ["null", "int"]},
    ],
}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ("string", "x", "x"),
        ("string", 12, "12"),
        ("boolean", "T", True),
        ("boolean", "F", False),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("boolean", False, False),
        ("boolean", True, True),
        ("int", "7", 7),
        ("long", 2**40, 2**40),
        (MONEY, "10", Decimal("10.00")),
        (MONEY, 10, Decimal("10.00")),
        (MONEY, Decimal("0.10"), Decimal("0.10")),
        (MONEY, "1.5000", Decimal("1.50")),
        (DATE, "2026-02-28", date(2026, 2, 28)),
        (["null", DATE], "2026-02-28", date(2026, 2, 28)),
        ({"type": "array", "items": MONEY}, ["0", 8], [Decimal("0.00"), Decimal("8.00")]),
        (HOURS, {"mon": 8, "tue": "7"}, {"mon": 8, "tue": 7}),
        (HOURS, [], {}),  # as PHP writes an empty map
        (PERSON, {"name": "Ada", "x": 1}, {"name": "Ada", "age": None}),
        (PERSON, {"name": None, "age": 36}, {"name": None, "age": 36}),
    ],
)
def test_values_are_typed_by_the_contract(schema: Any, value: Any, expected: object) -> None:
    assert converter(schema)(value) == expected


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("string", True),
        ("string", Decimal(1)),
        ("boolean", "yes"),
        ("boolean", 1),
        ("int", 2**31),
        ("int", "7.5"),
        ("long", True),
        (MONEY, "0.001"),
        (MONEY, "12345.67"),
        (MONEY, "NaN"),
        (MONEY, "Infinity"),
        (MONEY, 0.5),
        (MONEY, "ten"),
        (DATE, "2026-02-30"),
        (DATE, 5),
        ({"type": "array", "items": MONEY}, "0"),
        ("int", Decimal("1.5")),
        ("int", []),
        ("long", {}),
        (MONEY, True),
        (MONEY, []),
        (MONEY, Decimal("NaN")),
        (MONEY, Decimal("Infinity")),
        (DATE, "20260228"),
        (HOURS, [8]),
        (HOURS, "mon"),
        (PERSON, []),
        (PERSON, "Ada"),
    ],
)
def test_values_that_do_not_fit_are_refused(schema: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        converter(schema)(value)


@given(st.decimals(min_value=-9999, max_value=9999, places=2))
def test_i7_amounts_keep_their_value(amount: Decimal) -> None:
    assert converter(MONEY)(str(amount)) == amount


@pytest.mark.parametrize(
    "topic", [topic for topic in SOURCES if topic.contract], ids=lambda topic: topic.name
)
def test_every_source_contract_can_be_read(topic: Any) -> None:
    schema: Any = topic.contract
    names = [field["name"] for field in schema.parsed["fields"]]
    assert list(RowReader(schema, Layout("id")).fields) == names


SCHEMA = load_schema(
    {
        "type": "record",
        "name": "Row",
        "fields": [
            {"name": "id", "type": ["null", "long"], "default": None},
            {"name": "rate", "type": ["null", MONEY], "default": None},
            {"name": "modified", "type": ["null", "string"], "default": None},
            {"name": "created", "type": ["null", "string"], "default": None},
        ],
    }
)
LAYOUT = Layout("id", modified_fields=("modified", "created"))
RAW = {"id": 1, "rate": "2", "modified": None, "created": "2026-01-01 10:00:00"}


def test_a_row_without_an_edit_counts_as_changed_when_created() -> None:
    ((row,), _) = RowReader(SCHEMA, LAYOUT).read([RAW])
    assert (row.id, row.modified_at) == ("1", datetime(2026, 1, 1, 10, tzinfo=UTC))


def test_a_missing_field_is_an_error_of_the_object() -> None:
    raw = {name: value for name, value in RAW.items() if name != "rate"}
    with pytest.raises(SchemaMismatchError, match="rate"):
        RowReader(SCHEMA, LAYOUT).read([raw])


def test_where_null_is_absent_only_the_id_is_required() -> None:
    reader = RowReader(SCHEMA, Layout("id", null_is_absent=True))
    ((row,), _) = reader.read([{"id": "1"}])
    assert row.values == {"id": 1, "rate": None, "modified": None, "created": None}
    with pytest.raises(SchemaMismatchError):
        reader.read([{"rate": "1"}, {"rate": "2"}])


def test_a_bad_value_is_an_error_of_its_row_only() -> None:
    rows, unreadable = RowReader(SCHEMA, LAYOUT).read([RAW, RAW | {"id": 2, "rate": "x"}])
    assert [row.id for row in rows] == ["1"]
    assert [(row.id, row.detail.partition(":")[0]) for row in unreadable] == [("2", "rate")]


@pytest.mark.fault("B5", place="connectors/polled/conversion.py")
@pytest.mark.parametrize("value", [None, "", " ", "a b", "a ", True, [], {}, Decimal("1.5"), 2**70])
def test_b5_a_row_without_a_usable_id_is_refused(value: object) -> None:
    rows, unreadable = RowReader(SCHEMA, LAYOUT).read([RAW, RAW | {"id": value}])
    assert [row.id for row in rows] == ["1"]
    assert [(row.is_nameless, row.raw) for row in unreadable] == [(True, RAW | {"id": value})]
    is_text = isinstance(value, str | int) and not isinstance(value, bool)
    assert ("not a key" in unreadable[0].detail) is not is_text


LINE = load_schema(
    {
        "type": "record",
        "name": "Line",
        "fields": [
            {"name": "company", "type": ["null", "string"], "default": None},
            {"name": "invoice", "type": ["null", "string"], "default": None},
            {"name": "line", "type": ["null", "long"], "default": None},
        ],
    }
)
LINES = RowReader(LINE, Layout(("company", "invoice", "line")))


@given(
    company=st.text("ab,%2C", min_size=1),
    invoice=st.text("a ,%25", min_size=1).filter(lambda text: text == text.strip()),
    line=st.integers(0, 99),
)
def test_a_key_of_several_columns_is_one_id_that_its_record_bears_too(
    company: str, invoice: str, line: int
) -> None:
    raw = {"company": company, "invoice": invoice, "line": line}
    ((row,), _) = LINES.read([raw])
    keys = [(pl.lit(company), pl.String()), (pl.lit(invoice), pl.String())]
    keys.append((pl.lit(line, pl.Int64), pl.Int64()))
    assert pl.select(row_ids("firm:line", keys, IdForm.PLAIN)).item() == f"firm:line:{row.id}"
    assert LINES.key(row.id) == raw


@pytest.mark.parametrize("value", [None, "", " ", "?", "a ", " a", "a\nb", True, [], 2**70])
def test_a_row_without_a_part_of_its_key_is_refused_alone(value: object) -> None:
    raw = {"company": "usmf", "invoice": "I-1", "line": 2}
    rows, unreadable = LINES.read([raw, raw | {"invoice": value}])
    assert [row.id for row in rows] == ["usmf,I-1,2"]
    assert [(row.is_nameless, row.detail[:9]) for row in unreadable] in (
        [(True, "invoice: ")],
        [(True, "company, ")],
    )


@pytest.mark.parametrize("value", ["x", "1.5", Decimal("1.5"), 2**62 * 2])
def test_a_part_of_a_key_has_the_type_of_its_column(value: object) -> None:
    rows, unreadable = LINES.read([{"company": "usmf", "invoice": "I-1", "line": value}])
    assert (rows, [row.is_nameless for row in unreadable]) == ([], [True])


def test_a_key_of_several_columns_has_a_length() -> None:
    raw = {"company": "c" * 126, "invoice": "i" * 126, "line": 1}
    rows, unreadable = LINES.read([raw, raw | {"line": 10}])
    assert [len(row.id) for row in rows] == [255]
    assert [row.detail for row in unreadable] == ["company, invoice, line: the key is too long"]


def test_without_a_part_of_the_key_nothing_is_read() -> None:
    raws = [{"company": "usmf", "line": 1}, {"company": "usmf", "line": 2}]
    with pytest.raises(SchemaMismatchError, match="invoice"):
        LINES.read(raws)
    rows, unreadable = LINES.read(raws[:1])
    assert (rows, len(unreadable)) == ([], 1)
    sparse = RowReader(LINE, Layout(("company", "line"), null_is_absent=True))
    rows, _ = sparse.read(raws)
    assert [row.id for row in rows] == ["usmf,1", "usmf,2"]
    with pytest.raises(SchemaMismatchError, match="line"):
        sparse.read([{"company": "usmf"}, {"company": "demf"}])


@pytest.mark.fault("B4", place="connectors/polled/conversion.py")
def test_b4_half_an_emoji_is_an_error_of_its_row_only() -> None:
    half = RAW | {"id": 2, "modified": "\ud83d"}
    rows, unreadable = RowReader(SCHEMA, LAYOUT).read([RAW, half])
    assert [row.id for row in rows] == ["1"]
    ((refused),) = unreadable
    assert (refused.id, refused.detail.encode().decode()) == ("2", refused.detail)


def test_a_row_without_a_field_that_others_have_is_an_error_of_its_row_only() -> None:
    without = {name: value for name, value in RAW.items() if name != "rate"} | {"id": 2}
    rows, unreadable = RowReader(SCHEMA, LAYOUT).read([RAW, without])
    assert [row.id for row in rows] == ["1"]
    assert [(row.id, row.detail) for row in unreadable] == [("2", "the row came without rate")]


def test_a_row_of_more_text_than_a_message_may_hold_is_refused() -> None:
    reader = RowReader(load_schema(NOTE), Layout("id"))
    rows, unreadable = reader.read([{"id": "1", "text": "x"}, {"id": "2", "text": "x" * 1_000_001}])
    assert ([row.id for row in rows], [row.id for row in unreadable]) == (["1"], ["2"])


NOTE = {
    "type": "record",
    "name": "Note",
    "fields": [
        {"name": "id", "type": ["null", "string"], "default": None},
        {"name": "text", "type": ["null", "string"], "default": None},
    ],
}


PAGES = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from([1, "2", "x y", None, True, 2**70, "7" * 300]),
            "rate": st.sampled_from([None, "2", 3, Decimal("1.5"), Decimal("1.00001"), "x", True]),
            "modified": st.sampled_from(
                [None, "", "2026-01-01T10:00:00Z", "2026-13-01", 7, "\ud83d", "\ude00"]
            ),
            "created": st.sampled_from(["2026-01-01 10:00:00", None, [], {}]),
        },
        optional={"mood": st.just("good")},
    ),
    max_size=4,
)


@given(PAGES)
@example([RAW, RAW | {"id": 2}])
@example([RAW | {"modified": "2026-01-01T10:00:00Z", "id": place} for place in (1, 2)])
def test_rows_that_are_read_at_once_are_those_that_are_read_one_by_one(
    raws: list[dict[str, Any]],
) -> None:
    reader = RowReader(SCHEMA, LAYOUT)
    rows, unreadable = reader.read(raws)
    beside, refused = reader.read([*raws, 7])  # what is no row has each read by itself
    assert (rows, unreadable) == (beside, refused[:-1])


def test_rows_of_much_text_together_are_read() -> None:
    reader = RowReader(load_schema(NOTE), Layout("id"))
    rows, unreadable = reader.read([{"id": str(at), "text": "x" * 600_000} for at in range(3)])
    assert ([row.id for row in rows], unreadable) == (["0", "1", "2"], [])


def test_new_fields_are_ignored_and_reported_once() -> None:
    reader = RowReader(SCHEMA, LAYOUT)
    assert reader.page([RAW | {"mood": "good"}], None).new_fields == ("mood",)
    assert reader.page([RAW | {"mood": "bad"}], None).new_fields == ()


@pytest.mark.parametrize(
    "text",
    ["2026-01-01T10:00:00.000+0000", "2026-01-01 10:00:00", "2026-01-01T12:00:00+02:00"],
)
def test_instants_are_utc(text: str) -> None:
    assert read_instant(text) == datetime(2026, 1, 1, 10, tzinfo=UTC)


def test_the_digest_depends_on_content_not_on_order() -> None:
    assert digest_of({"a": 1, "b": None}) == digest_of({"b": None, "a": 1})
    assert digest_of({"a": None}) != digest_of({"a": "None"})
    assert digest_of({"a": Decimal("1.00")}) != digest_of({"a": Decimal("1.01")})


@pytest.mark.parametrize(("schema", "bits"), [("int", 32), ("long", 64)])
def test_integers_have_just_the_bits_of_their_type(schema: str, bits: int) -> None:
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    assert [converter(schema)(value) for value in (least, most)] == [least, most]
    for value in (least - 1, most + 1):
        with pytest.raises(ValueError, match=f"more than {bits} bits"):
            converter(schema)(value)


@pytest.mark.parametrize(
    ("schema", "sized"),
    [
        ({"type": "array", "items": "string"}, lambda count: ["x"] * count),
        (
            {"type": "map", "values": "string"},
            lambda count: dict.fromkeys(map(str, range(count)), "x"),
        ),
    ],
)
def test_lists_and_maps_have_up_to_a_thousand_items(schema: Any, sized: Any) -> None:
    assert converter(schema)(sized(1_000)) == sized(1_000)
    with pytest.raises(ValueError, match="more than 1000 items"):
        converter(schema)(sized(1_001))


def test_a_key_has_up_to_255_characters() -> None:
    reader = RowReader(load_schema(NOTE), Layout("id"))
    raws = [{"id": "k" * length, "text": "x"} for length in (255, 256)]
    rows, unreadable = reader.read(raws)
    assert [len(row.id) for row in rows] == [255]
    assert [row.is_nameless for row in unreadable] == [True]


def test_a_row_may_have_a_million_characters() -> None:
    reader = RowReader(load_schema(NOTE), Layout("id"))
    raws = [{"id": "1", "text": "x" * 999_999}, {"id": "2", "text": "x" * 1_000_000}]
    rows, unreadable = reader.read(raws)
    assert ([row.id for row in rows], [row.id for row in unreadable]) == (["1"], ["2"])


def test_twenty_new_fields_are_reported_at_once() -> None:
    reader = RowReader(SCHEMA, LAYOUT)
    page = reader.page([RAW | {f"new{number:02d}": 1 for number in range(30)}], None)
    assert page.new_fields == tuple(f"new{number:02d}" for number in range(20))


@pytest.mark.parametrize("raws", [[{}], [{"x": 1}, {"y": 2}], [{"rate": "1"}]])
def test_rows_that_say_nothing_of_the_contract_are_refused_one_by_one(raws: list[Any]) -> None:
    reader = RowReader(SCHEMA, Layout("id", null_is_absent=True))
    rows, unreadable = reader.read(raws)
    assert (rows, [row.is_nameless for row in unreadable]) == ([], [True] * len(raws))


@pytest.mark.fault("B5", place="connectors/polled/conversion.py")
def test_b5_a_number_of_64_bits_may_be_a_key_and_a_larger_one_is_none() -> None:
    reader = RowReader(SCHEMA, LAYOUT)
    numbers = [2**63 - 1, 2**63, -(2**63) + 1, -(2**63)]
    rows, unreadable = reader.read([RAW | {"id": number} for number in numbers])
    assert [row.id for row in rows] == [str(numbers[0]), str(numbers[2])]
    assert [row.detail for row in unreadable] == ["id: the number is too large for a key"] * 2


@pytest.mark.parametrize(("flag", "is_deleted"), [("T", True), ("F", False), (None, False)])
def test_a_row_is_deleted_where_its_flag_says_so(flag: str | None, is_deleted: bool) -> None:
    fields = [{"name": "id", "type": "long"}, {"name": "gone", "type": ["null", "boolean"]}]
    schema = load_schema({"type": "record", "name": "Flagged", "fields": fields})
    raw = {"id": 1, "gone": flag}
    [row], _ = RowReader(schema, Layout("id", deleted_field="gone")).read([raw])
    assert row.is_deleted is is_deleted
    [row], _ = RowReader(schema, Layout("id")).read([raw])
    assert not row.is_deleted


@pytest.mark.parametrize("stamp", ["yesterday", "0000-01-01", 5, []])
def test_a_time_of_change_that_is_none_is_an_error_of_its_row_only(stamp: object) -> None:
    rows, unreadable = RowReader(load_schema(STAMPED), LAYOUT).read([STAMP, STAMP | {"id": 2}])
    assert (len(rows), unreadable) == (2, [])
    raws = [STAMP, STAMP | {"id": 2, "modified": stamp}]
    rows, unreadable = RowReader(load_schema(STAMPED), LAYOUT).read(raws)
    assert [row.id for row in rows] == ["1"]
    [(row_id, field)] = [(row.id, row.detail.partition(":")[0]) for row in unreadable]
    assert (row_id, field) == ("2", "modified")


STAMPED = {"type": "record", "name": "Row", "fields": [{"name": "id", "type": "long"}]}
STAMP = {"id": 1, "modified": "2026-01-01 10:00:00"}
