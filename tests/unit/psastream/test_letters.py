"""Dead letters as a person sees them, and rows of a topic of which some cannot be decoded."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, date, datetime
from typing import Any

from psastream.letters import UNREADABLE, Letter, LetterWatch, tell_news, told
from psastream.topic_rows import Unreadable, lines_of
from schemas.errors import BrokerUnavailableError, DecodeError
from tests.support.virtual_time import run_virtually


def letter(topic: str, code: str, minute: int | None = 0) -> Letter:
    at = None if minute is None else datetime(2026, 3, 2, 12, minute, tzinfo=UTC)
    return {"topic": topic, "error_code": code, "raised_at": at}


def test_dead_letters_are_counted_by_topic_and_code_the_most_first() -> None:
    letters = [
        letter("psa.time_entry", "record.poison", 5),
        letter("src.float.person", "record.invalid_entity", 7),
        letter("src.float.person", "record.invalid_entity", 9),
        letter("src.float.person", "record.invalid_entity", 8),
        letter("src.float.person", "record.decode", None),
        UNREADABLE,
    ]
    assert told(letters) == [
        "3 of src.float.person: record.invalid_entity, last 2026-03-02T12:09Z",
        "1 of psa.dlq: a dead letter that cannot be decoded",
        "1 of psa.time_entry: record.poison, last 2026-03-02T12:05Z",
        "1 of src.float.person: record.decode",
    ]
    assert told([]) == []


class Scripted(LetterWatch):
    """Gives what the script says, then waits for ever."""

    def __init__(self, *script: list[Letter] | Exception) -> None:
        self.script = list(script)

    def news(self) -> list[Letter]:
        if not self.script:
            threading.Event().wait()
        match self.script.pop(0):
            case Exception() as error:
                raise error
            case letters:
                return letters


def test_what_comes_in_is_told_once_whatever_the_broker_does_meanwhile() -> None:
    lines = list[str]()

    async def story() -> None:
        watch = Scripted(
            [letter("psa.project", "record.decode")],
            [],
            BrokerUnavailableError("away"),
            [letter("psa.project", "record.poison")],
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(tell_news(watch, lines.append))
            while len(lines) < 2:  # noqa: ASYNC110 - a list knows no event
                await asyncio.sleep(0.01)
            task.cancel()

    run_virtually(story())
    assert [line.partition(": ")[2].partition(",")[0] for line in lines] == [
        "1 of psa.project: record.decode",
        "1 of psa.project: record.poison",
    ]


def test_a_row_that_cannot_be_decoded_holds_up_no_other() -> None:
    def read(value: bytes) -> dict[str, Any]:
        if value == b"bad":
            raise DecodeError("no magic byte")
        return {"at": datetime(2026, 3, 2, tzinfo=UTC), "name": value.decode()}

    rows = list(lines_of({b"1": b"a", b"2": b"bad", b"3": b"c"}, read))
    assert [isinstance(row, Unreadable) for row in rows] == [False, True, False]
    assert rows[0] == '{"at": "2026-03-02T00:00:00Z", "name": "a"}'
    assert str(rows[1]) == "the row under b'2' cannot be decoded: no magic byte"


def test_what_a_dead_letter_holds_is_shown_as_what_it_says() -> None:
    records = {b"letter": {"key": b"row", "value": b"told", "headers": [b"\xff"], "note": b"so\n"}}
    records |= {b"row": {"id": 7}, b"told": {"on": date(2026, 3, 2), "of": b"plain"}}

    def read(value: bytes) -> dict[str, Any]:
        if value not in records:
            raise DecodeError("no magic byte")
        return records[value]

    [row] = lines_of({b"1": b"letter"}, read)
    assert json.loads(str(row)) == {
        "key": {"id": 7},
        "value": {"on": "2026-03-02", "of": "plain"},
        "headers": ["base64:/w=="],
        "note": "base64:c28K",
    }
