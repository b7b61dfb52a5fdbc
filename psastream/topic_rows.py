"""What stands in a topic, as lines of JSON: its rows, or its records as they came."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

import polars as pl
from confluent_kafka import Message

from psastream.exceptions import parse_age
from psastream.landscape import read_firm
from psastream.lines import instant
from runtime.kafka import (
    KafkaSettings,
    absent_topics,
    follow_places,
    read_compacted,
    read_spans,
    require_broker,
    spans_of,
    starts_at,
)
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.codec.columnar import ChunkReader
from schemas.contracts import record_of, value_schema
from schemas.errors import ConfigError, RecordError
from schemas.mapping.sql_text import suggestion
from schemas.topics import Topic

BEGINNING: Final = "beginning"
END: Final = "end"
BATCH: Final = 10_000
_AGE: Final = re.compile(r"\d+[mhd]")

Read = Callable[[bytes], Mapping[str, Any]]
Start = datetime | str
"""Where reading begins: an instant, `BEGINNING` or `END`."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value of a topic that cannot be decoded."""

    key: bytes
    error: RecordError
    topic: str = ""

    def __str__(self) -> str:
        where = f" of {self.topic}" if self.topic else ""
        return f"the row under {self.key!r}{where} cannot be decoded: {self.error.detail}"


class Condition(Protocol):
    """Which rows are meant."""

    def keep(self, frame: pl.DataFrame) -> list[int]:
        """Return the numbers of the rows that are. Raises ConfigError."""
        ...


def parse_start(text: str, now: datetime) -> Start:
    """Read where to begin: `beginning`, `end`, an age such as `2h`, or an instant of ISO 8601.

    Raises ConfigError.
    """
    if text in (BEGINNING, END):
        return text
    if _AGE.fullmatch(text):
        return now - min(parse_age(text), now - datetime(1970, 1, 1, tzinfo=UTC))
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"not where to begin: {text}",
            hint="beginning, end, an age as in 30m, 2h or 7d, or an instant: 2026-03-01T08:00Z",
        ) from error
    if at.tzinfo is None:
        raise ConfigError(f"an instant without a zone: {text}", hint=f"{text}Z is UTC")
    return at


class TopicReader:
    """Gives a topic of the firm as lines of JSON: times as ISO 8601, decimals as texts, the records
    and keys that a dead letter holds as what they say.
    """

    def __init__(self, settings: Settings, topic: str, where: Condition | None = None) -> None:
        """Raises ConfigError where the firm has no such topic with rows, or the broker has not."""
        known = {each.name: each for each in read_firm(settings).topics if _has_rows(each)}
        if topic not in known:
            raise ConfigError(
                f"there is no topic {topic} with rows{suggestion(topic, known)}",
                hint="psastream topics list",
            )
        self._kafka: KafkaSettings = settings.kafka
        self._topic = known[topic]
        self._serde = Serde.of(settings)
        record = record_of(self._topic)
        contract = value_schema(self._topic) if record is not None else None
        self._chunks = ChunkReader(self._serde.schema, reader=contract)
        self._where = where
        self._meant([])  # a condition that does not fit is told before anything is read
        require_broker(self._kafka.client())
        if absent_topics(self._kafka, [topic]):
            raise ConfigError(
                f"the broker has no topic {topic} yet",
                hint="psastream topics apply makes it; what psastream up starts fills it",
            )

    def rows(self) -> Iterator[str | Unreadable]:
        """Yield the last value of every key.

        Raises ConfigError for a condition that does not fit, BrokerUnavailableError and
        RegistryUnavailableError.
        """
        values = read_compacted(self._kafka, self._topic.name)
        kept = self._meant(list(values.values()))
        meant = [item for item, is_kept in zip(values.items(), kept, strict=True) if is_kept]
        yield from lines_of(dict(meant), self._serde.read)

    def records(self, start: Start, *, is_followed: bool) -> Iterator[str | Unreadable]:
        """Yield the records from a place on, in the order of each partition, with where they stand.

        A record that deletes its key has null for its value. `is_followed`: also what comes, so
        without an end. Raises as `rows` does.
        """
        name = self._topic.name
        spans = spans_of(self._kafka, [name])
        starts = {place: first for place, (first, _) in spans.items()}
        if start == END:
            starts = {place: end for place, (_, end) in spans.items()}
        elif isinstance(start, datetime):
            starts = starts_at(self._kafka, spans, int(start.timestamp() * 1_000))
        ends = {place: end for place, (_, end) in spans.items()}
        # Before anything is printed: confluent_kafka takes a Ctrl-C while it makes a consumer for
        # a wrong setting.
        following = follow_places(self._kafka, ends) if is_followed else ()
        messages = read_spans(self._kafka, {each: (starts[each], ends[each]) for each in spans})
        while batch := list(islice(messages, BATCH)):
            yield from self._lines(batch)
        for batch in following:
            yield from self._lines(batch)

    def _lines(self, messages: Sequence[Message]) -> Iterator[str | Unreadable]:
        kept = self._meant([message.value() for message in messages])
        for message, is_kept in zip(messages, kept, strict=True):
            if not is_kept:
                continue
            value, key = message.value(), message.key()
            try:
                row = None if value is None else self._serde.read(value)
            except RecordError as error:
                yield Unreadable(key, error)
                continue
            _, at_ms = message.timestamp()
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
            line = {
                "partition": message.partition(),
                "offset": message.offset(),
                "at": at,
                "key": None if key is None else self._key(key),
                "value": row,
            }
            yield json.dumps(line, default=partial(_shown, self._serde.read))

    def _key(self, key: bytes) -> object:
        with suppress(RecordError):
            return self._serde.read_key(key)
        return _shown(self._serde.read, key)

    def _meant(self, values: Sequence[bytes | None]) -> list[bool]:
        """Return which values are meant: where there is a condition, no tombstone is.

        What cannot be decoded is, so that it is told.
        """
        if self._where is None:
            return [True] * len(values)
        decoded = self._chunks.decode(self._serde.opened(values))
        kept = [False] * len(values)
        if decoded.frame.width:
            for number in self._where.keep(decoded.frame):
                kept[decoded.rows[number]] = True
        for number, _ in decoded.errors:
            kept[number] = True
        return kept


def lines_of(values: Mapping[bytes, bytes], read: Read) -> Iterator[str | Unreadable]:
    """Yield values by key as lines of JSON; one that `read` cannot decode holds up no other."""
    for key, value in values.items():
        try:
            yield json.dumps(read(value), default=partial(_shown, read))
        except RecordError as error:
            yield Unreadable(key, error)


def text_of(data: bytes) -> str:
    """Return bytes as what they say, or as `base64:…` where that is no text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"base64:{b64encode(data).decode()}"
    return text if text.isprintable() else f"base64:{b64encode(data).decode()}"


def _has_rows(topic: Topic) -> bool:
    """Whether it holds records of a schema: ours, or that of a database's connector."""
    return topic.is_envelope or record_of(topic) is not None


def _shown(read: Callable[[bytes], object], value: object) -> object:
    if not isinstance(value, bytes):
        if isinstance(value, datetime):
            return instant(value)
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    with suppress(RecordError):
        return read(value)
    return text_of(value)
