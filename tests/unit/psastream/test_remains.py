"""What still names a person, and until when; where erasing looks."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from confluent_kafka import Message

from psastream.erasure import TOPICS
from psastream.remains import LETTERS, Remains, holder_of, remains_of, searched
from schemas.keys import encode_keys
from schemas.topics import BY_NAME, DAY_MS, STATE_LOGS
from tests.support.catalogue import CATALOGUE, SOURCES

HOLDS = holder_of({"Zoë Ångström"})
EXCEPTIONS = BY_NAME["psa.exception"]
[TIME] = [topic for topic in SOURCES if topic.name == "src.inhouse.time_entries"]
AT_MS = 20_000 * DAY_MS


def record(key: str, value: str | None, *, partition: int = 0, at_ms: int = AT_MS) -> Message:
    framed = encode_keys(1, (key,))[0]
    held = None if value is None else value.encode()
    return Message(key=framed, value=held, partition=partition, timestamp=(1, at_ms))


@pytest.mark.parametrize(
    "held", ["by Zoë Ångström", "BY ZOË ÅNGSTRÖM", json.dumps({"detail": "of Zoë Ångström"})]
)
def test_a_text_is_found_in_any_case_and_as_json(held: str) -> None:
    assert HOLDS(b"\xff\x00" + held.encode())
    assert not HOLDS(held.replace("Z", "X").encode())


def test_of_a_compacted_topic_what_was_replaced_or_deleted_counts_no_more() -> None:
    messages = [
        record("a", "for Zoë Ångström"),
        record("a", "for Zoë Ångström and others"),
        record("b", "for Zoë Ångström"),
        record("b", "for nobody"),
        record("c", "for Zoë Ångström"),
        record("c", None),
        record("c", "for Zoë Ångström", partition=1),
    ]
    found = remains_of(EXCEPTIONS, messages, Message.value, HOLDS)
    assert found == Remains("psa.exception", 2, ("a", "c"), None)
    assert str(found) == "psa.exception: 2 records, each until its next version: a, c"


def test_of_a_topic_that_keeps_records_for_a_time_the_last_day_is_told() -> None:
    messages = [record("7", "for Zoë Ångström", at_ms=AT_MS + day * DAY_MS) for day in (3, 0)]
    found = remains_of(TIME, messages, Message.value, HOLDS)
    assert found is not None
    assert found.until == datetime(2024, 11, 6, tzinfo=UTC)
    assert str(found) == "src.inhouse.time_entries: 2 records, the last until 2024-11-06"


def test_what_goes_with_the_keys_of_the_person_is_none() -> None:
    messages = [record("7", "for Zoë Ångström")]
    assert remains_of(TIME, messages, lambda _: None, HOLDS) is None


def test_what_is_not_erased_is_searched() -> None:
    personal = {topic.name for topic in CATALOGUE if topic.personal_data}
    erased = {topic.name for topic in (*TOPICS, *STATE_LOGS)} | {LETTERS}
    names = {topic.name for topic in searched(CATALOGUE)}
    assert personal - erased <= names
    assert not names & erased
    assert "src.inhouse.time_entries" in names
