"""Dead letters on the command line: which are meant, what is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from psastream.letter_list import Chosen, lines_of_letter, newest_first, place_of, said_of
from tests.support.terminals import whole

AT = datetime(2026, 11, 28, 10, tzinfo=UTC)


def letter(offset: int = 7, **fields: Any) -> dict[str, Any]:
    return {
        "topic": "src.inhouse.time_entries",
        "partition": 0,
        "offset": offset,
        "agent": "normalize",
        "error_code": "record.invalid_entity",
        "detail": "hours are\nnegative",
        "hint": "correct it",
        "correlation_id": None,
        "raised_at": "2026-11-28T09:58:00+00:00",
        "key": {"id": 5},
        "value": {"after": {"hours": "-1", "notes": "a\x1b[2J"}},
        **fields,
    }


@pytest.mark.parametrize(
    ("chosen", "meant"),
    [
        (Chosen(), True),
        (Chosen(topic="src.inhouse.time_entries", code="record.invalid_entity"), True),
        (Chosen(topic="src.inhouse.tasks"), False),
        (Chosen(code="record.decode"), False),
    ],
)
def test_filters_name_what_is_meant(chosen: Chosen, meant: bool) -> None:
    assert chosen.matches(letter()) is meant


def test_the_newest_comes_first() -> None:
    letters = [
        letter(1, raised_at=None),
        letter(2),
        letter(3, raised_at="2026-11-28T09:59:00+00:00"),
    ]
    assert [each["offset"] for each in newest_first(letters)] == [3, 2, 1]


def test_a_line_has_code_age_and_reason() -> None:
    assert place_of(letter()) == "src.inhouse.time_entries|0|7"
    assert said_of(letter(), at=AT) == "record.invalid_entity  2m  hours are\nnegative"
    bare = letter(raised_at=None, detail=None)
    assert said_of(bare, at=AT) == "record.invalid_entity  "


def test_one_is_shown_with_its_record() -> None:
    lines = whole(lines_of_letter(letter()))
    assert all(line.isprintable() for line in lines)
    text = "\n".join(lines)
    for part in (
        "dead letter: src.inhouse.time_entries|0|7",
        "why:         record.invalid_entity: hours are negative",
        "to do:       correct it",
        '    "id": 5',
        '      "hours": "-1",',
    ):
        assert part in text
    assert "correlation" not in text
