"""An Avro schema that fastavro lets pass and no codec can work with is refused as it is read."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec.record import load_schema
from schemas.errors import ConfigError


def decimal(**digits: Any) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", **digits}


def record(*fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": list(fields)}


def test_a_sound_record_is_read() -> None:
    field = {"name": "a", "type": ["null", decimal(precision=1, scale=1)], "default": None}
    inner = {"name": "b", "type": {"type": "array", "items": decimal(precision=38)}}
    assert load_schema(record(field, inner)).name == "R"


@pytest.mark.parametrize(
    "digits",
    [
        {"precision": 0, "scale": 0},
        {"precision": True, "scale": 0},
        {"precision": 10, "scale": True},
        {"precision": 10, "scale": None},
        {"precision": 10.0, "scale": 2},
        {"scale": 2},
    ],
)
@pytest.mark.parametrize("place", ["field", "union", "items", "values", "inner"])
def test_a_decimal_whose_digits_are_no_numbers_is_refused(
    digits: dict[str, Any], place: str
) -> None:
    wrong: Any = decimal(**digits)
    kind = {
        "field": wrong,
        "union": ["null", wrong],
        "items": {"type": "array", "items": wrong},
        "values": {"type": "map", "values": wrong},
        "inner": {"type": "record", "name": "I", "fields": [{"name": "x", "type": wrong}]},
    }[place]
    with pytest.raises(ConfigError, match="not an avro schema"):
        load_schema(record({"name": "a", "type": kind}))


@pytest.mark.parametrize("name", [{"a": 1}, [1], None, 5, "", True])
def test_a_field_whose_name_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="not an avro schema"):
        load_schema(record({"name": "a", "type": "string"}, {"name": name, "type": "string"}))


def test_two_fields_of_one_name_are_refused() -> None:
    fields = [{"name": name, "type": "string"} for name in "abba"]
    with pytest.raises(ConfigError, match="more than one field has the name a, b"):
        load_schema(record(*fields))
