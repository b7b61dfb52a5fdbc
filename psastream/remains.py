"""What still names a person where no key of theirs covers it, and until when it stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from confluent_kafka import Message

from schemas.errors import RecordError
from schemas.keys import decode_key
from schemas.topics import BY_NAME, SOURCE_PREFIX, STATE_LOGS, Cleanup, Topic

LETTERS: Final = "psa.dlq"
KEYS_TOLD: Final = 3

Opened = Callable[[Message], bytes | None]
"""Gives a record's value as it was before it was encrypted; None: it is gone, or goes."""


@dataclass(frozen=True, slots=True)
class Remains:
    """Records of a topic that hold a text of a person.

    `until`: the last of them is deleted then, UTC; None: a record stays until a newer one of its
    key replaces it. `keys`: of the records, sorted; those of a source's rows are none of ours.
    """

    topic: str
    count: int
    keys: tuple[str, ...]
    until: datetime | None

    def __str__(self) -> str:
        records = "1 record" if self.count == 1 else f"{self.count} records"
        if self.until is not None:
            return f"{self.topic}: {records}, the last until {self.until:%Y-%m-%d}"
        told = ", ".join(self.keys[:KEYS_TOLD])
        more = ", …" if len(self.keys) > KEYS_TOLD else ""
        return f"{self.topic}: {records}, each until its next version: {told}{more}"


def searched(topics: Iterable[Topic]) -> list[Topic]:
    """Return the topics that may hold texts of people under a key that is not theirs, or in clear.

    State holds what they hold, and is none of them.
    """
    return [
        topic
        for topic in topics
        if (topic.personal_data or topic.name.startswith(f"{SOURCE_PREFIX}."))
        and topic not in STATE_LOGS
        and topic.name != LETTERS
        and not (topic.name in BY_NAME and topic.subject is not None)
    ]


def holder_of(texts: Collection[str]) -> Callable[[bytes], bool]:
    """Return what tells whether bytes hold one of the texts, in any case, as text or as JSON."""
    wanted = {form.casefold() for text in texts for form in (text, json.dumps(text)[1:-1])}

    def holds(data: bytes) -> bool:
        held = data.decode(errors="replace").casefold()
        return any(each in held for each in wanted)

    return holds


def remains_of(
    topic: Topic, messages: Iterable[Message], opened: Opened, holds: Callable[[bytes], bool]
) -> Remains | None:
    """Return what a topic's messages hold, by partition in order of offsets; None: nothing.

    Of a compacted topic the last record of each key counts: the broker deletes earlier ones.
    """
    found = [message for message in _counting(topic, messages) if holds(opened(message) or b"")]
    if not found:
        return None
    keys = tuple(sorted({_told(message.key() or b"") for message in found}))
    until = None
    if topic.cleanup is Cleanup.DELETE and topic.retention_ms is not None:
        newest_ms = max(message.timestamp()[1] for message in found)
        kept = timedelta(milliseconds=newest_ms + topic.retention_ms)
        until = datetime(1970, 1, 1, tzinfo=UTC) + kept
    return Remains(topic.name, len(found), keys, until)


def _counting(topic: Topic, messages: Iterable[Message]) -> Iterator[Message]:
    if topic.cleanup is Cleanup.DELETE:
        yield from messages
        return
    last = {(message.partition(), message.key()): message for message in messages}
    yield from last.values()


def _told(key: bytes) -> str:
    try:
        return decode_key(key)
    except RecordError:
        return key.hex()
