"""Which schema texts the registry takes, and which of them it takes for the same."""

import json
from typing import Any

import pytest

from sandbox.registry.errors import RequestRefusedError
from sandbox.registry.schema import parse


def record_of(**attributes: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": "a", **attributes}]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "17",
        "unknown_type",
        '"\\ud83d"',
        json.dumps(record_of(type="int", aliases=[["b"]])),
        json.dumps(record_of(type="int", aliases="b")),
        json.dumps({"type": "record", "name": "R", "fields": {}}),
        json.dumps(record_of(type="int") | {"aliases": [1]}),
        '{"type": "string", "doc": "\\ud83d"}',
        json.dumps({"type": "record", "name": "R", "fields": [{"name": {}, "type": "int"}]}),
        json.dumps({"type": "record", "name": [], "fields": []}),
        json.dumps({"type": "enum", "name": "E", "symbols": [1]}),
        json.dumps({"type": "array"}),
        json.dumps({"type": "record", "name": "R-1", "fields": []}),
        json.dumps({"type": "record", "name": "R", "fields": 3}),
        json.dumps({"type": "error", "name": "R", "fields": []}),
        json.dumps(record_of(type="Missing")),
        json.dumps(record_of(type="int", default="x")),
        json.dumps(record_of(type="int", default=2**31)),
        json.dumps(record_of(type="boolean", default=0)),
        json.dumps(record_of(type={"type": "array", "items": "int"}, default=["x"])),
        json.dumps(record_of(type={"type": "map", "values": "int"}, default={"k": "x"})),
        json.dumps(
            {
                "type": "record",
                "name": "R",
                "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}],
            }
        ),
        json.dumps(["int", "int"]),
        json.dumps(["int", ["null"]]),
        json.dumps({"type": "enum", "name": "E", "symbols": ["A-B"]}),
        json.dumps({"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}),
        json.dumps({"type": "fixed", "name": "F", "size": "x"}),
    ],
)
def test_what_java_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(RequestRefusedError) as refusal:
        parse(text)
    assert (refusal.value.status, refusal.value.error_code) == (422, 42201)


@pytest.mark.parametrize(
    "definition",
    [
        record_of(type=["null", "int"], default=None),
        record_of(type={"type": "array", "items": "int"}, default=[1]),
        record_of(type={"type": "map", "values": "int"}, default={"k": 1}),
        record_of(type={"type": "enum", "name": "E", "symbols": ["A"]}, default="A"),
        record_of(type={"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}),
        record_of(type={"type": "int", "connect.name": "io.debezium.time.Date"}),
        record_of(
            type={
                "type": "record",
                "name": "Inner",
                "fields": [
                    {"name": "x", "type": "int"},
                    {"name": "y", "type": "int", "default": 1},
                ],
            },
            default={"x": 1},
        ),
        record_of(type=["null", "R"], default=None),
    ],
)
def test_the_text_given_back_means_what_was_sent(definition: dict[str, Any]) -> None:
    assert json.loads(parse(json.dumps(definition)).text) == definition


def test_spelling_does_not_make_another_schema() -> None:
    first = parse('{"type":"record","name":"R","namespace":"psa","fields":[]}')
    second = parse('{ "fields": [], "name": "psa.R", "type": "record" }')
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize("change", [{"doc": "d"}, {"default": 1}, {"aliases": ["b"]}, {"x": 1}])
def test_documentation_defaults_aliases_and_properties_make_another_schema(
    change: dict[str, Any],
) -> None:
    plain = parse(json.dumps(record_of(type="int")))
    changed = parse(json.dumps(record_of(type="int", **change)))
    assert plain.fingerprint != changed.fingerprint


def test_a_bare_type_name_is_a_schema() -> None:
    assert parse("string").text == '"string"'
