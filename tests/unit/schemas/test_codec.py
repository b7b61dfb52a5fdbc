from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from schemas.codec.record import RecordCodec, load_schema
from schemas.errors import ConfigError, DecodeError, InvalidEntityError, SchemaMismatchError

SCHEMA = load_schema(
    """{"type": "record", "name": "Line", "namespace": "psa", "doc": "kept", "fields": [
        {"name": "id", "type": "string"},
        {"name": "on", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "rate", "type": {"type": "bytes", "logicalType": "decimal",
                                  "precision": 9, "scale": 2}},
        {"name": "note", "type": ["null", "string"], "default": null}]}"""
)
LINE = {
    "id": "L-1",
    "on": date(2026, 2, 28),
    "at": datetime(2026, 2, 28, 23, 59, 59, 999000, tzinfo=UTC),
    "rate": Decimal("-0.01"),
    "note": "é",
}


def test_a_record_comes_back_as_it_was() -> None:
    codec = RecordCodec(SCHEMA)
    assert codec.decode(codec.encode(LINE)) == LINE


def test_a_missing_field_takes_its_default() -> None:
    codec = RecordCodec(SCHEMA)
    unset = {name: value for name, value in LINE.items() if name != "note"}
    assert codec.decode(codec.encode(unset)) == LINE | {"note": None}


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"rate": Decimal("0.001")},
        {"rate": Decimal("12345678.00")},
        {"colour": "red"},
        {"on": "2026-02-28T"},
    ],
)
def test_a_record_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidEntityError):
        RecordCodec(SCHEMA).encode(LINE | change)


def test_the_message_of_a_refused_record_holds_no_payload() -> None:
    with pytest.raises(InvalidEntityError) as caught:
        RecordCodec(SCHEMA).encode(LINE | {"id": 4711})
    assert "4711" not in str(caught.value)


def test_bytes_before_or_after_a_record_are_a_decode_error() -> None:
    codec = RecordCodec(SCHEMA)
    payload = codec.encode(LINE)
    for broken in (payload + b"\x00", payload[:-1], b""):
        with pytest.raises(DecodeError):
            codec.decode(broken)


def test_a_reader_schema_adds_defaults_and_drops_fields() -> None:
    reader = load_schema(
        {
            "type": "record",
            "name": "Line",
            "namespace": "psa",
            "fields": [
                {"name": "id", "type": "string"},
                {"name": "currency", "type": "string", "default": "EUR"},
            ],
        }
    )
    codec = RecordCodec(SCHEMA)
    assert codec.decode(codec.encode(LINE), reader) == {"id": "L-1", "currency": "EUR"}


def test_a_reader_schema_that_does_not_resolve_is_a_mismatch() -> None:
    reader = load_schema(
        {"type": "record", "name": "Line", "fields": [{"name": "id", "type": "boolean"}]}
    )
    codec = RecordCodec(SCHEMA)
    with pytest.raises(SchemaMismatchError):
        codec.decode(codec.encode(LINE), reader)


def test_registration_text_keeps_docs_defaults_and_logical_types() -> None:
    assert '"doc":"kept"' in SCHEMA.text
    assert '"default":null' in SCHEMA.text
    assert '"logicalType":"date"' in SCHEMA.text
    assert load_schema(SCHEMA.text) == SCHEMA


@pytest.mark.parametrize("text", ["", "{", '{"type":"record"}', '{"type":"nonsense"}', "[1]"])
def test_text_that_is_no_schema_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        load_schema(text)
