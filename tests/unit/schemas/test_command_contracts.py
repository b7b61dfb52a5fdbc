"""The contract of what each kind of command says holds what its model holds, and no less."""

from __future__ import annotations

import types
import typing
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.dispatch.commands import Command
from connectors.systems import Systems
from sandbox.registry.compatibility import incompatibilities
from sandbox.registry.schema import parse
from schemas.canonical_json import canonical_json
from schemas.codec.columnar import ChunkDecoder
from schemas.codec.record import AvroSchema, RecordCodec
from schemas.commands import CONTENTS, CommandContent
from schemas.contracts import content_schema, record_of, record_schema
from schemas.errors import InvalidEntityError
from schemas.topics import command_topic
from tables.flows.catalogue import FLOWS
from tests.support.avro_rows import comparable
from tests.unit.schemas.test_commands import CONTENTS as SAMPLES

BEFORE: Final = record_schema("command/command")
"""The contract of a command topic without the contents of any kind."""
NAMED: Final = {
    "command_id": "c",
    "target": "t",
    "natural_key": "t:x:1",
    "revision": 1,
    "origin_key": "o",
}
KINDS: Final = pytest.mark.parametrize("kind", CONTENTS)


def whole() -> AvroSchema:
    found = record_of(command_topic("t"))
    assert found is not None
    return found


def fields_of(kind: str) -> dict[str, dict[str, Any]]:
    fields: Any = content_schema(kind).parsed["fields"]
    return {each["name"]: each for each in fields}


def held_by(avro: Any) -> tuple[Any, bool]:
    """The Python type of an Avro type, and whether it may be null."""
    if isinstance(avro, list):
        null, inner = avro
        assert null == "null"
        return held_by(inner)[0], True
    if isinstance(avro, dict):
        return {"decimal": Decimal, "date": date}[avro["logicalType"]], False
    return {"string": str, "long": int}[avro], False


def said_by(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        inner, none = typing.get_args(annotation)
        assert none is type(None)
        return said_by(inner)[0], True
    if typing.get_origin(annotation) is typing.Annotated:
        return said_by(typing.get_args(annotation)[0])
    return annotation, False


@KINDS
def test_a_contract_has_the_fields_of_its_model_of_the_same_types(kind: str) -> None:
    hints = typing.get_type_hints(CONTENTS[kind], include_extras=True)
    said = {name: said_by(hints[name]) for name in CONTENTS[kind].model_fields}
    fields = fields_of(kind)
    assert {name: held_by(each["type"]) for name, each in fields.items()} == said
    assert content_schema(kind).name == f"psa.command.{CONTENTS[kind].__name__}"
    assert all(each["doc"] for each in fields.values())


@KINDS
def test_what_must_be_said_has_no_default(kind: str) -> None:
    """A writer that leaves it out is refused: it would be an order to clear it."""
    must = {name for name, info in CONTENTS[kind].model_fields.items() if info.is_required()}
    assert {name for name, each in fields_of(kind).items() if "default" not in each} == must


def test_each_flow_sends_contents_that_have_a_contract() -> None:
    sent = {content for flow in FLOWS for content in flow.contents}
    assert sent == set(CONTENTS.values())


def values_of(avro: Any) -> st.SearchStrategy[Any]:
    """Everything that an Avro type of a content holds, as the model holds it."""
    if isinstance(avro, list):
        return st.none() | values_of(avro[1])
    if isinstance(avro, str):
        texts = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=9)
        return texts if avro == "string" else st.integers(-(2**63), 2**63 - 1)
    if avro["logicalType"] == "date":
        return st.dates(date(1, 1, 1), date(9999, 12, 31))
    limit, scale = 10 ** avro["precision"] - 1, avro["scale"]
    unscaled = st.integers(-limit, limit) | st.sampled_from([0, 1, -1, limit, -limit])
    return unscaled.map(lambda n: Decimal(f"{n}E-{scale}"))


def extremes_of(avro: Any) -> list[Any]:
    """The least and the greatest that an Avro type of a content holds."""
    match avro:
        case [_, inner]:
            return [None, extremes_of(inner)[1]]
        case "long":
            return [-(2**63), 2**63 - 1]
        case {"logicalType": "date"}:
            return [date.min, date.max]
        case {"logicalType": "decimal", "precision": precision, "scale": scale}:
            greatest = Decimal(f"{'9' * precision}E-{scale}")
            return [greatest.copy_negate(), greatest]
    return ["a", "ÄÖ€😀" * 1_000]


@st.composite
def contents(draw: st.DrawFn) -> CommandContent:
    kind = draw(st.sampled_from(sorted(CONTENTS)))
    fields = fields_of(kind).items()
    return CONTENTS[kind](**{name: draw(values_of(each["type"])) for name, each in fields})


def record(content: CommandContent, **fields: Any) -> dict[str, Any]:
    said = content.model_dump()
    return {
        **NAMED,
        "kind": content.kind,
        "payload": canonical_json(said),
        content.kind: said,
        **fields,
    }


def carried(command: dict[str, Any], contract: AvroSchema) -> dict[str, Any]:
    codec = RecordCodec(contract)
    return codec.decode(codec.encode(command))


@given(contents())
def test_i7_what_a_contract_carries_is_what_was_said(content: CommandContent) -> None:
    assert_carried(content)


@KINDS
@pytest.mark.parametrize("end", [0, 1])
def test_i7_the_widest_values_are_carried_to_the_last_digit(kind: str, end: int) -> None:
    fields = fields_of(kind).items()
    assert_carried(CONTENTS[kind](**{name: extremes_of(it["type"])[end] for name, it in fields}))


def assert_carried(content: CommandContent) -> None:
    said = content.model_dump()
    read = carried(record(content), whole())
    assert read[content.kind] == said
    assert [type(value) for value in read[content.kind].values()] == [
        type(value) for value in said.values()
    ]
    others = CONTENTS.keys() - {content.kind}
    assert all(read[kind] is None for kind in others)
    command = Command.from_record(read)
    assert command.read(type(content)) == content
    assert command == Command.from_record(carried(without(read), BEFORE)), "as it was read before"


def without(command: dict[str, Any]) -> dict[str, Any]:
    """A command as it was written before contents had contracts."""
    return {name: value for name, value in command.items() if name not in CONTENTS}


WRONG: Final[tuple[Any, ...]] = (
    None, 7, "eight", [], {}, Decimal("NaN"), Decimal("Infinity"), timedelta(days=1),
)  # fmt: skip
"""Of each field that its model refuses; no blank ids, for which avro has no word."""


@pytest.mark.parametrize("content", SAMPLES, ids=lambda content: content.kind)
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_contract_refuses_what_its_model_refuses(content: CommandContent, wrong: Any) -> None:
    codec = RecordCodec(content_schema(content.kind))
    said = content.model_dump()
    for name in said:
        changed = {**said, name: wrong}
        is_day_in_avro = name.endswith("_on") and wrong == 7
        if is_day_in_avro or not refused_by_model(content, changed):
            continue
        with pytest.raises(InvalidEntityError, match=f"psa.command.{type(content).__name__}"):
            codec.encode(changed)


@pytest.mark.parametrize("content", SAMPLES, ids=lambda content: content.kind)
def test_a_contract_refuses_what_lacks_a_field_and_what_has_one_more(
    content: CommandContent,
) -> None:
    codec = RecordCodec(content_schema(content.kind))
    said = content.model_dump()
    for name in said:
        less = {other: value for other, value in said.items() if other != name}
        if refused_by_model(content, less):
            with pytest.raises(InvalidEntityError):
                codec.encode(less)
        else:
            assert codec.decode(codec.encode(less))[name] is None


def refused_by_model(content: CommandContent, said: dict[str, Any]) -> bool:
    try:
        type(content).model_validate(said)
    except ValidationError:
        return True
    return False


def problems(reader: AvroSchema, writer: AvroSchema) -> list[str]:
    found = incompatibilities(reader=parse(reader.text), writer=parse(writer.text))
    return [str(each) for each in found]


@pytest.mark.parametrize("count", range(len(CONTENTS)))
def test_i9_a_kind_more_breaks_no_reader(count: int) -> None:
    """Neither a new reader of old commands, nor an old one of new commands."""
    fewer = record_of(replace(command_topic("t"), contents=tuple(CONTENTS)[:count]))
    assert fewer is not None
    assert (count == 0) == (fewer == BEFORE)
    assert problems(whole(), fewer) == problems(fewer, whole()) == []


def test_commands_are_columns_to_who_reads_them_so() -> None:
    """Records inside of records, each null but one: what BI reads is what dispatch reads."""
    commands = [record(content) for content in SAMPLES]
    codec = RecordCodec(whole())
    payloads = [codec.encode(command) for command in commands]
    decoded = ChunkDecoder(whole()).decode_each(payloads, prefix=0)
    assert decoded.errors == []
    rows = comparable(decoded.frame.to_dicts())
    assert rows == comparable([codec.decode(payload) for payload in payloads])


@pytest.mark.parametrize(
    "system", [name for name in Systems().names() if Systems().vendor(name).commands]
)
def test_what_a_sink_reads_is_part_of_what_a_command_says(system: str) -> None:
    for content in Systems().vendor(system).commands:
        assert issubclass(CONTENTS[content.kind], content)
