"""Avro schema resolution as the registry judges it, rule by rule and against fastavro."""

import io
import json
import random
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_one
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.registry.compatibility import CompatibilityLevel, incompatibilities, problems_with
from sandbox.registry.schema import AvroSchema, parse
from tests.support.examples import examples

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
PROMOTED = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}


def avro(definition: Any) -> AvroSchema:
    return parse(json.dumps(definition))


def record(name: str, *fields: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **attributes}


def a_field(name: str, kind: Any, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **attributes}


def enum(*symbols: str, **attributes: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "Status", "symbols": list(symbols), **attributes}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def findings(*, reader: Any, writer: Any) -> list[str]:
    return [str(each) for each in incompatibilities(reader=avro(reader), writer=avro(writer))]


@pytest.mark.parametrize("writer", PRIMITIVES)
@pytest.mark.parametrize("reader", PRIMITIVES)
def test_primitives_resolve_to_themselves_and_along_promotions_only(
    reader: str, writer: str
) -> None:
    resolves = reader == writer or (writer, reader) in PROMOTED
    assert (findings(reader=reader, writer=writer) == []) is resolves


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        pytest.param(["null", "int"], "int", id="union reads a branch"),
        pytest.param(["null", "long"], "int", id="union reads by promotion"),
        pytest.param("int", ["int"], id="every branch of the writer is read"),
        pytest.param(["string", "null", "int"], ["null", "int"], id="union may grow"),
        pytest.param(record("R", a_field("a", "int", default=0)), record("R"), id="default"),
        pytest.param(
            record("R", a_field("a", ["null", "int"], default=None)), record("R"), id="null default"
        ),
        pytest.param(record("R"), record("R", a_field("a", "int")), id="field dropped"),
        pytest.param(
            record("R", a_field("new", "int", aliases=["old"])),
            record("R", a_field("old", "int")),
            id="field alias",
        ),
        pytest.param(
            record("New", namespace="psa", aliases=["Old"]),
            record("Old", namespace="psa"),
            id="alias in the reader's namespace",
        ),
        pytest.param(
            record("New", namespace="psa", aliases=["other.Old"]),
            record("Old", namespace="other"),
            id="alias with a namespace",
        ),
        pytest.param(
            record("R", namespace="a"), record("R", namespace="b"), id="unqualified names count"
        ),
        pytest.param(enum("A", "B"), enum("A"), id="enum may grow"),
        pytest.param(enum("A", default="A"), enum("A", "B"), id="enum default"),
        pytest.param(decimal(19, 4), decimal(9, 4), id="wider precision"),
        pytest.param("bytes", decimal(9, 2), id="logical type ignored by the reader"),
        *(  # all that the parser lets in beside numbers
            pytest.param(*pair, id=f"a {name} that is null is none")
            for name in ("precision", "scale")
            for bad in [{**decimal(9, 2), name: None}]
            for pair in ((bad, decimal(12, 4)), (decimal(4, 1), bad), (bad, bad))
        ),
    ],
)
def test_resolves(reader: Any, writer: Any) -> None:
    assert findings(reader=reader, writer=writer) == []


@pytest.mark.parametrize(
    ("reader", "writer", "expected"),
    [
        (
            record("R", a_field("a", "int")),
            record("R"),
            "R.a: the reader's field is not written and has no default",
        ),
        (
            record("R", a_field("a", "int")),
            record("R", a_field("a", ["null", "int"])),
            "R.a: reader type int cannot read null",
        ),
        (
            record("R", a_field("new", "int", aliases=["old"])),
            record("R", a_field("new", "int"), a_field("old", "int")),
            "R.new: the reader's field is written as new, old",
        ),
        (
            record("R", a_field("new", "int", aliases=["old", "older"])),
            record("R", a_field("older", "int"), a_field("old", "int")),
            "R.new: the reader's field is written as old, older",
        ),
        (
            record("R", a_field("a", ["null", "int"])),
            record("R", a_field("a", ["null", "int", "string"])),
            "R.a: no branch of the reader's union (null, int) reads string",
        ),
        (
            record("R", a_field("rows", {"type": "array", "items": "int"})),
            record("R", a_field("rows", {"type": "array", "items": "string"})),
            "R.rows[]: reader type int cannot read string",
        ),
        (
            record("R", a_field("tags", {"type": "map", "values": "int"})),
            record("R", a_field("tags", {"type": "map", "values": "long"})),
            "R.tags{}: reader type int cannot read long",
        ),
        (record("R"), record("S"), "the schema: reader record R is not S"),
        (enum("A"), enum("A", "B"), "Status: reader enum lacks B and has no default"),
        (
            {"type": "fixed", "name": "F", "size": 4},
            {"type": "fixed", "name": "F", "size": 8},
            "the schema: reader size 4 is not 8 bytes",
        ),
        (decimal(9, 4), decimal(9, 2), "the schema: decimal scale 4 is not 2"),
        (decimal(9, 2), decimal(12, 2), "the schema: decimal precision 9 cannot hold 12 digits"),
    ],
)
def test_does_not_resolve_and_says_where(reader: Any, writer: Any, expected: str) -> None:
    assert findings(reader=reader, writer=writer) == [expected]


def test_a_change_envelope_names_the_path_inside_a_nullable_record() -> None:
    def envelope(kind: str) -> dict[str, Any]:
        row = record("Row", a_field("amount", kind))
        before = a_field("before", ["null", row], default=None)
        return record("Envelope", before, a_field("after", ["null", "Row"], default=None))

    assert findings(reader=envelope("int"), writer=envelope("string")) == [
        "Envelope.before.amount: reader type int cannot read string",
        "Envelope.after.amount: reader type int cannot read string",
    ]


def test_all_findings_are_reported() -> None:
    reader = record("R", a_field("a", "int"), a_field("b", "int"), a_field("c", "int"))
    writer = record("R", a_field("a", "string"), a_field("b", "int"))
    assert len(findings(reader=reader, writer=writer)) == 2


def test_recursive_types_end_and_still_show_their_difference() -> None:
    def node(kind: str) -> dict[str, Any]:
        return record(
            "Node", a_field("value", kind), a_field("next", ["null", "Node"], default=None)
        )

    assert findings(reader=node("long"), writer=node("int")) == []
    assert findings(reader=node("int"), writer=node("long")) == [
        "Node.value: reader type int cannot read long"
    ]


V1 = record("R", a_field("a", "int"))
V2_ADDED = record("R", a_field("a", "int"), a_field("b", "int", default=0))
V2_REQUIRED = record("R", a_field("a", "int"), a_field("b", "int"))
V2_DROPPED = record("R")


@pytest.mark.parametrize("level", CompatibilityLevel)
def test_levels_check_their_direction(level: CompatibilityLevel) -> None:
    allowed = {
        "NONE": {"added", "required", "dropped"},
        "BACKWARD": {"added", "dropped"},
        "FORWARD": {"added", "required"},
        "FULL": {"added"},
    }
    candidates = {"added": V2_ADDED, "required": V2_REQUIRED, "dropped": V2_DROPPED}
    accepted = {
        name
        for name, candidate in candidates.items()
        if not problems_with(avro(candidate), [avro(V1)], level)
    }
    assert accepted == allowed[level.removesuffix("_TRANSITIVE")]


def test_only_transitive_levels_look_behind_the_latest_version() -> None:
    history = [avro(V2_DROPPED), avro(V2_ADDED)]
    candidate = avro(V2_REQUIRED)  # reads the latest, not the first
    assert problems_with(candidate, history, CompatibilityLevel.BACKWARD) == []
    assert problems_with(candidate, history, CompatibilityLevel.BACKWARD_TRANSITIVE) == [
        "the new schema cannot read earlier data: "
        "R.a: the reader's field is not written and has no default",
        "the new schema cannot read earlier data: "
        "R.b: the reader's field is not written and has no default",
    ]


DEFAULTS = {
    "null": None,
    "boolean": True,
    "int": 1,
    "long": 2,
    "float": 0.5,
    "double": 0.5,
    "bytes": "x",
    "string": "x",
}


@st.composite
def field_types(draw: st.DrawFn) -> Any:
    """A type from a small pool, so that a reader and a writer often nearly agree."""
    kind = draw(st.sampled_from(["primitive", "union", "array", "map"]))
    primitive = draw(st.sampled_from(PRIMITIVES))
    if kind == "union":
        return draw(st.lists(st.sampled_from(PRIMITIVES), min_size=1, max_size=3, unique=True))
    if kind == "array":
        return {"type": "array", "items": primitive}
    if kind == "map":
        return {"type": "map", "values": primitive}
    return primitive


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from("abc"), unique=True, max_size=3))
    fields = []
    for name in names:
        kind = draw(field_types())
        has_default = isinstance(kind, str) and draw(st.booleans())
        fields.append(a_field(name, kind, **({"default": DEFAULTS[kind]} if has_default else {})))
    if draw(st.booleans()):
        symbols = draw(st.lists(st.sampled_from("XYZ"), unique=True, min_size=1))
        default = {"default": symbols[0]} if draw(st.booleans()) else {}
        fields.append(a_field("status", enum(*symbols, **default)))
    return record("R", *fields)


@given(records())
def test_every_schema_reads_its_own_data(definition: dict[str, Any]) -> None:
    assert findings(reader=definition, writer=definition) == []


@settings(max_examples=examples(100))
@given(reader=records(), writer=records(), seed=st.integers(0, 2**16))
def test_what_is_called_compatible_fastavro_can_read(
    reader: dict[str, Any], writer: dict[str, Any], seed: int
) -> None:
    if findings(reader=reader, writer=writer):
        return
    random.seed(seed)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, writer, generate_one(writer))
    buffer.seek(0)
    try:
        decoded = fastavro.schemaless_reader(buffer, writer, reader)
    except UnicodeDecodeError:
        return  # bytes promote to string, but only those that are text
    assert set(decoded) == {field["name"] for field in reader["fields"]}
