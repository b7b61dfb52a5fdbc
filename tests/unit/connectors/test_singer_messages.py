"""What a tap writes: which message a line is, whether its schema fits, what a catalog selects."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from connectors.polled.conversion import converter
from connectors.singer.catalog import new_properties, select
from connectors.singer.declaration import Replication, StreamConfig
from connectors.singer.fit import ANY, json_types, misfits
from connectors.singer.lines import HEAD_BYTES, Line, Lines
from connectors.singer.messages import (
    TOKEN_CHARACTERS_MAX,
    BrokenRecord,
    Ignored,
    Message,
    Record,
    Schema,
    State,
    TapOutputError,
    read_message,
)
from connectors.singer.rows import joined, shaped
from connectors.toolkit.body import SEVERAL
from schemas.codec.record import load_schema
from tests.support.singer import CONTRACT, SCHEMA


def said(message: object) -> Message:
    text = message if isinstance(message, str) else json.dumps(message)
    return read_message(Line(text.encode()))


def test_messages_are_read_by_their_type_in_any_case() -> None:
    record = said('{"type": "record", "stream": "s", "record": {"a": 1.10}, "time_extracted": "x"}')
    assert record == Record("s", {"a": Decimal("1.10")})
    assert str(record.row["a"]) == "1.10"  # type: ignore[index]
    assert said({"type": "SCHEMA", "stream": "s", "schema": {}, "key_properties": ["a"]}) == Schema(
        "s", {}, frozenset({"a"})
    )
    assert said({"type": "SCHEMA", "stream": "s", "schema": {}}) == Schema("s", {}, frozenset())
    assert said({"type": "ACTIVATE_VERSION", "stream": "s", "version": 1}) == Ignored(
        "ACTIVATE_VERSION"
    )
    assert said({"type": "x" * 100}) == Ignored("X" * 40)
    assert said({"type": "RECORD", "stream": "s", "record": None}) == Record("s", None)


def test_a_name_that_is_there_twice_is_a_problem_of_its_row() -> None:
    assert said('{"type": "RECORD", "stream": "s", "record": {"a": 1, "a": 2}}') == Record(
        "s", {"a": SEVERAL}
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("INFO starting", "a line that is not JSON"),
        ("[1]", "no message of Singer"),
        ("null", "no message of Singer"),
        ("{}", "no message of Singer"),
        ('{"type": 1}', "no message of Singer"),
        ('{"type": "RECORD", "type": "RECORD"}', "no message of Singer"),
        ('{"type": "RECORD", "stream": "s"}', "a 'RECORD' of the tap has no record"),
        ('{"type": "RECORD", "record": {}}', "has no stream"),
        ('{"type": "RECORD", "stream": null, "record": {}}', "the stream of a message is null"),
        ('{"type": "SCHEMA", "stream": "s"}', "has no schema"),
        ('{"type": "SCHEMA", "stream": "s", "schema": []}', "a schema is a list, not an object"),
        ('{"type": "SCHEMA", "stream": "s", "schema": {}, "key_properties": "a"}', "no list of"),
        ('{"type": "SCHEMA", "stream": "s", "schema": {}, "key_properties": [1]}', "no list of"),
        ('{"type": "STATE"}', "has no value"),
        ('{"type": "STATE", "value": null}', "STATE is null, not an object"),
        ('{"type": "STATE", "value": "now"}', "STATE is a text, not an object"),
        ('{"type": "STATE", "value": {"a": {"b": 1, "b": 2}}}', "a name is there twice"),
        ('{"type": "STATE", "value": {"a": ' + "9" * 5_000 + "}}", "cannot be given back"),
        ('{"type": "BATCH", "stream": "s", "manifest": []}', "hands over files"),
        ('{"type": "SCHEMA", "stream": "s", "schema": {"a": ' + "[" * 40, "is not JSON"),
    ],
)
def test_what_is_no_message_is_told(text: str, why: str) -> None:
    with pytest.raises(TapOutputError, match=why):
        said(text)


def test_a_state_that_no_record_of_a_topic_holds_is_told() -> None:
    room = TOKEN_CHARACTERS_MAX - len('{"a":""}')
    assert said({"type": "STATE", "value": {"a": "x" * room}})
    with pytest.raises(TapOutputError, match="longer than"):
        said({"type": "STATE", "value": {"a": "x" * (room + 1)}})


@pytest.mark.parametrize("number", ["1.10", "1" * 99, f"0.{'3' * 99}", "1E+2", "1E+999", "-0.5"])
def test_a_state_is_given_back_as_it_came(number: str) -> None:
    value = f'{{"a":[{number},1,null,true,"\\u00e9"],"b":{{}}}}'
    message = said(f'{{"type": "STATE", "value": {value}}}')
    assert isinstance(message, State) and message.token == value


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (Line(b'{"type": "RECORD", "stream": "s", "record": {"a', is_cut=True), "more than"),
        (Line(b' { "type" : "record" , "stream" : "s", "record": {"a": 1}'), "not JSON"),
        (Line(b'{"type": "RECORD", "stream": "s", "record": ' + b"[" * 40 + b"]" * 40 + b"}"),
         "nested"),
        (Line(b'{"type": "RECORD", "stream": "s", "record": {"a": "\xff"}}'), "not JSON"),
    ],
)  # fmt: skip
def test_a_row_that_nobody_can_read_is_one_row(line: Line, why: str) -> None:
    broken = read_message(line)
    assert isinstance(broken, BrokenRecord) and broken.stream == "s"
    assert why in broken.detail and broken.head.encode()[:20] == line.data[:20]


def test_of_a_row_that_nobody_can_read_the_head_is_kept() -> None:
    begin = '{"type": "RECORD", "stream": "s", "record": {"a": "'
    broken = read_message(Line(begin.encode() + b"x" * 900, is_cut=True))
    assert isinstance(broken, BrokenRecord)
    assert broken.head == begin + "x" * (200 - len(begin))


def test_a_cut_line_of_another_kind_is_no_message() -> None:
    with pytest.raises(TapOutputError, match="more than 16777216 bytes"):
        read_message(Line(b'{"type": "STATE", "value": {', is_cut=True))


def test_a_long_line_is_kept_by_its_head_and_the_next_whole() -> None:
    lines = Lines(line_bytes_max=5_000)
    pieces = [b"a" * 3_000, b"a" * 3_000, b"a" * 9_000, b"a\nb\n\n  \nc" + b"c" * 4_999]
    found = [line for piece in pieces for line in lines.feed(piece)]
    assert found == [Line(b"a" * HEAD_BYTES, is_cut=True), Line(b"b")]
    assert [*lines.end()] == [Line(b"c" * 5_000)]
    assert [*lines.end()] == []


def stream(**words: object) -> StreamConfig:
    return StreamConfig.model_validate({"stream": "visits", **words})


def properties(**changed: object) -> dict[str, Any]:
    found = {**SCHEMA["properties"], **changed}  # type: ignore[dict-item]
    return {"properties": {name: each for name, each in found.items() if each is not None}}


@pytest.mark.parametrize(
    ("schema", "of", "told"),
    [
        (SCHEMA, stream(), []),
        ({}, stream(), []),
        ({"properties": {}}, stream(), []),
        ({"properties": None}, stream(), []),
        (properties(more={"type": "object"}), stream(), []),
        (properties(text=None), stream(), ["there is no property text"]),
        (properties(text=None), stream(optional=["text"]), []),
        (properties(text=None, body={"type": "string"}), stream(columns={"text": "body"}), []),
        (properties(text=None, at={"type": "object"}), stream(columns={"text": "at.name"}), []),
        (properties(text=None), stream(columns={"text": "at.name"}), ["there is no property at"]),
        (
            properties(text={"type": ["null", "object"]}),
            stream(),
            ["text is object, and string in the contract"],
        ),
        (
            properties(rate={"anyOf": [{"type": "boolean"}, {"type": "null"}]}),
            stream(),
            ["rate is boolean, and decimal in the contract"],
        ),
        (properties(rate={"type": ["null", "string"], "format": "singer.decimal"}), stream(), []),
        (properties(id={"type": "array"}), stream(), ["id is array, and long in the contract"]),
        (properties(text={"type": ["object", "string"]}), stream(), []),
        (properties(text={"type": "null"}), stream(), []),
    ],
)
def test_a_schema_is_held_against_the_contract(
    schema: dict[str, Any], of: StreamConfig, told: list[str]
) -> None:
    assert [*misfits(load_schema(CONTRACT), of, "id", schema)] == told


def test_a_key_of_several_properties_needs_each_of_them() -> None:
    fields = [{"name": "key", "type": ["null", "string"], "default": None}]
    contract = load_schema({"type": "record", "name": "Line", "fields": fields})
    of = stream(key_properties=["order", "line"])
    whole = {"properties": {"order": {}, "line": {}}}
    assert [*misfits(contract, of, "key", whole)] == []
    assert [*misfits(contract, of, "key", {"properties": {"order": {}}})] == [
        "there is no property line"
    ]


KINDS: dict[str, Any] = {
    "string": {"string", "integer"},
    "boolean": {"boolean", "string"},
    "int": {"integer", "number", "string"},
    "long": {"integer", "number", "string"},
    "date": {"string"},
    "decimal": {"number", "integer", "string"},
    "array": {"array"},
    "map": {"object", "array"},
    "record": {"object"},
}
TYPES: dict[str, Any] = {
    "date": {"type": "int", "logicalType": "date"},
    "decimal": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    "array": {"type": "array", "items": "string"},
    "map": {"type": "map", "values": "string"},
    "record": {"type": "record", "name": "Part", "fields": []},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("told", sorted(ANY))
def test_a_type_of_which_some_value_converts_fits(kind: str, told: str) -> None:
    """Shown by the conversion itself: a value of each JSON type."""
    avro = ["null", TYPES.get(kind, kind)]
    fields = [{"name": "a", "type": avro, "default": None}]
    contract = load_schema({"type": "record", "name": "Row", "fields": fields})
    fits = not [*misfits(contract, stream(), "id", {"properties": {"a": {"type": told}}})]
    values: dict[str, list[Any]] = {
        "string": ["T", "1", "2026-01-02", "x"],
        "boolean": [True],
        "integer": [1],
        "number": [1, Decimal("1.5")],
        "array": [[], ["x"]],
        "object": [{}],
    }
    convert = converter(avro)

    def converts(value: Any) -> bool:
        try:
            convert(value)
        except ValueError:
            return False
        return True

    # A number is announced where texts are told too: whole ones fit them.
    assert fits == (any(map(converts, values[told])) and (kind, told) != ("string", "number"))


def test_types_that_a_schema_leaves_open_are_all() -> None:
    assert json_types({}) == json_types(True) == json_types({"anyOf": []}) == ANY
    assert json_types({"anyOf": [{"type": "string"}, {}]}) == ANY
    assert json_types({"oneOf": [{"type": ["null", "string"]}, {"type": "integer"}]}) == {
        "string",
        "integer",
    }


ENTRY: dict[str, Any] = {
    "tap_stream_id": "db-visits",
    "stream": "visits",
    "schema": {"properties": {"id": {}, "text": {}, "wage": {}}},
    "replication_method": "LOG_BASED",
    "metadata": [
        {"breadcrumb": ["properties", "wage"], "metadata": {"inclusion": "available"}},
        {"breadcrumb": [], "metadata": {"selected": False, "table-key-properties": ["id"]}},
        {"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "automatic"}},
        {"breadcrumb": ["properties", "text", "properties", "x"], "metadata": {}},
        "odd",
    ],
}
OTHER: dict[str, Any] = {"stream": "others", "selected": True}


def test_one_stream_is_selected_and_of_it_what_the_contract_takes() -> None:
    of = stream(
        tap_stream_id="db-visits", replication_method="INCREMENTAL", replication_key="changed_at"
    )
    catalog = {"streams": [OTHER, ENTRY], "version": 1}
    chosen, other = select(catalog, of, Replication.INCREMENTAL, frozenset({"id", "text"}))[
        "streams"
    ]
    assert chosen["selected"] is True
    assert (chosen["replication_method"], chosen["replication_key"]) == (
        "INCREMENTAL",
        "changed_at",
    )
    assert chosen["schema"] == {**ENTRY["schema"], "selected": True}
    assert chosen["metadata"] == [
        {
            "breadcrumb": [],
            "metadata": {
                "selected": True,
                "table-key-properties": ["id"],
                "replication-method": "INCREMENTAL",
                "replication-key": "changed_at",
            },
        },
        {
            "breadcrumb": ["properties", "wage"],
            "metadata": {"inclusion": "available", "selected": False},
        },
        {
            "breadcrumb": ["properties", "id"],
            "metadata": {"inclusion": "automatic", "selected": True},
        },
        {"breadcrumb": ["properties", "text", "properties", "x"], "metadata": {}},
    ]
    assert other == {
        **OTHER,
        "selected": False,
        "metadata": [{"breadcrumb": [], "metadata": {"selected": False}}],
    }
    assert ENTRY["replication_method"] == "LOG_BASED", "the discovered catalog is left as it is"
    assert "selected" not in ENTRY["schema"]
    [also, _] = select({"streams": [ENTRY, OTHER]}, stream(stream="others"),
                       Replication.FULL_TABLE, frozenset())["streams"][::-1]  # fmt: skip
    assert also["schema"]["selected"] is False


def test_all_rows_are_asked_for_without_a_replication_key_of_ours() -> None:
    [chosen] = select({"streams": [OTHER]}, stream(stream="others"), Replication.FULL_TABLE,
                      frozenset())["streams"]  # fmt: skip
    assert chosen["replication_method"] == "FULL_TABLE"
    assert "replication_key" not in chosen
    assert chosen["metadata"][0]["metadata"] == {
        "selected": True,
        "replication-method": "FULL_TABLE",
    }


@pytest.mark.parametrize(
    ("catalog", "why"),
    [
        (None, "no catalog"),
        ([], "no catalog"),
        ({"streams": {}}, "no catalog"),
        ({"streams": [1]}, "no catalog"),
        ({"streams": []}, "has 0 streams db-visits"),
        ({"streams": [OTHER]}, "one of: others"),
        ({"streams": [ENTRY, ENTRY]}, "has 2 streams db-visits"),
    ],
)
def test_a_catalog_without_the_stream_is_told(catalog: object, why: str) -> None:
    of = stream(tap_stream_id="db-visits")
    with pytest.raises(TapOutputError) as told:
        select(catalog, of, Replication.FULL_TABLE, frozenset())
    assert why in str(told.value)


def test_properties_that_nobody_takes_are_named() -> None:
    of = stream(tap_stream_id="db-visits", unused=["text"])
    catalog = {"streams": [ENTRY]}
    assert new_properties(catalog, of, frozenset({"id"})) == ("wage",)
    assert new_properties({"streams": [OTHER]}, stream(stream="others"), frozenset()) == ()


def test_a_key_made_of_several_tells_rows_apart() -> None:
    assert joined(["a:b", "c"]) != joined(["a", "b:c"])
    assert joined(["a%3Ab", "c"]) != joined(["a:b", "c"])
    assert joined([7, "x"]) == "7:x"
    of = stream(key_properties=["order", "line"], columns={"name": "of.name"})
    row = {"order": 7, "line": "x", "of": {"name": "n"}}
    assert shaped(row, of, "key") == {**row, "name": "n", "key": "7:x"}
    # A part that is missing leaves no key: the row is refused, and no other is taken for it.
    assert "key" not in shaped({"order": 7, "line": None, "key": "7:"}, of, "key")
    assert shaped([1], of, "key") == [1]
