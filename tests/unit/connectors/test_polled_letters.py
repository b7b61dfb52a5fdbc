"""Dead letters of polled rows: a refused row is kept whole as far as a message can hold it."""

from __future__ import annotations

import json

import pytest

from connectors.polled.conversion import ROW_CHARACTERS_MAX, Layout, RowReader
from connectors.polled.kafka_log import LETTER_BYTES_MAX, as_read
from runtime.kafka import MAX_MESSAGE_BYTES
from schemas.codec.record import load_schema

ROW = RowReader(
    load_schema(
        {
            "type": "record",
            "name": "Row",
            "fields": [
                {"name": "id", "type": "long"},
                {"name": "days", "type": ["null", {"type": "array", "items": "string"}]},
                {"name": "hours", "type": ["null", {"type": "map", "values": "long"}]},
                {"name": "words", "type": ["null", {"type": "map", "values": "string"}]},
            ],
        }
    ),
    Layout("id"),
)
NOTHING = {"id": 1, "days": None, "hours": None, "words": None}
LONG = "x" * ROW_CHARACTERS_MAX


@pytest.mark.fault("B3", place="connectors/polled/kafka_log.py")
@pytest.mark.parametrize("text", ["\N{GRINNING FACE}" * 1_400_000, "\u0436" * 2_700_000])
def test_b3_a_refused_row_that_no_message_holds_leaves_its_letter_without_it(text: str) -> None:
    assert len(text.encode()) < 16 * 1024 * 1024  # as an answer it passes
    assert as_read({"Name": text}) is None


@pytest.mark.fault("B3", place="connectors/polled/kafka_log.py")
def test_b3_a_refused_row_is_kept_as_it_was_read() -> None:
    raw = {"Name": "x" * (LETTER_BYTES_MAX - 100), "Id": None}
    kept = as_read(raw)
    assert kept is not None
    assert json.loads(kept) == raw
    assert len(kept) < MAX_MESSAGE_BYTES


@pytest.mark.fault("B3", place="connectors/polled/conversion.py")
@pytest.mark.parametrize(
    "values",
    [
        {"days": [LONG, "y"]},
        {"hours": {LONG + "y": 1}},
        {"words": {"y": LONG}},
        {"words": {LONG: "y"}},
        {"days": ["y"], "words": {"": LONG}},
    ],
)
def test_b3_text_counts_wherever_in_a_row_it_stands(values: dict[str, object]) -> None:
    rows, unreadable = ROW.read([NOTHING | values])
    assert rows == []
    assert "characters of text" in unreadable[0].detail
    assert unreadable[0].is_oversize


@pytest.mark.parametrize("values", [{"days": [LONG]}, {"hours": {LONG: 1}}, {"words": {LONG: ""}}])
def test_numbers_are_no_text(values: dict[str, object]) -> None:
    [row], _ = ROW.read([NOTHING | values])
    assert row.id == "1"


@pytest.mark.fault("B3", place="connectors/polled/kafka_log.py")
def test_b3_the_largest_row_that_a_letter_holds_is_kept() -> None:
    around = len(json.dumps({"Name": ""}))
    assert as_read({"Name": "x" * (LETTER_BYTES_MAX - around)}) is not None
    assert as_read({"Name": "x" * (LETTER_BYTES_MAX - around + 1)}) is None
