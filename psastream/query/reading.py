"""The rows of topics as they stand: read once whole, then what has come since."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from psastream.topic_rows import Unreadable
from runtime.kafka import (
    KafkaSettings,
    Place,
    Span,
    absent_topics,
    read_spans,
    require_broker,
    spans_of,
)
from runtime.sealing import Opened, as_it_is
from schemas.codec.columnar import ChunkReader
from schemas.codec.record import AvroSchema
from schemas.contracts import value_schema
from schemas.errors import ConfigError
from schemas.sealing import FIELD
from schemas.topics import Topic

WHOLE_AFTER_S: Final = 3_600.0
"""Reading is begun anew after that long: compaction takes tombstones away in the end."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """Up to where a topic was read: by partition, the offset behind the last record."""

    topic: str
    ends: Mapping[int, int]


@dataclass(slots=True)
class _Standing:
    """The last value of each key of a topic, and up to where it was read."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    begun_s: float = 0.0
    is_given: bool = False


class LiveTopics:
    """Gives the rows of topics of a broker, each topic up to its end as of the asking.

    A row is the last committed value of a key. Values that cannot be decoded are told one by one,
    each once, and are no rows.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        schema: Callable[[int], AvroSchema],
        topics: Mapping[str, Topic],
        tell: Callable[[Unreadable], None],
        opened: Opened = as_it_is,
        *,
        tell_sealed: Callable[[Topic], None] = lambda _: None,
    ) -> None:
        """`schema` gives the writer's schema of an id; `opened` opens what is encrypted.

        `tell_sealed` is called for a topic with rows whose personal fields were not opened.
        """
        self._opened = opened
        self._tell_sealed = tell_sealed
        self._kafka = kafka
        self._schema = schema
        self._topics = topics
        self._tell = tell
        self._standing: dict[str, _Standing] = {}
        self._readers: dict[str, ChunkReader] = {}

    def __call__(self, names: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the rows of those topics that have others than when they were taken last.

        Raises BrokerUnavailableError, RegistryUnavailableError, and ConfigError where the broker
        has no such topic.
        """
        if not names:
            return
        require_broker(self._kafka.client())
        if absent := absent_topics(self._kafka, names):
            self._forget(absent)
            raise ConfigError(
                f"the broker has no topic {', '.join(absent)} yet",
                hint="psastream topics apply makes it; what psastream up starts fills it",
            )
        self._catch_up(spans_of(self._kafka, names))
        for name in names:
            if not self._standing[name].is_given:
                yield name, self._frame(name)
                self._standing[name].is_given = True

    def offsets(self) -> list[Offsets]:
        """Return up to where each topic was read."""
        return [Offsets(name, dict(each.ends)) for name, each in self._standing.items()]

    def _catch_up(self, spans: Mapping[Place, Span]) -> None:
        """Read what has come since."""
        now_s = time.monotonic()
        for name in {topic for topic, _ in spans}:
            known = self._standing.get(name)
            ends = {number: end for (topic, number), (_, end) in spans.items() if topic == name}
            if known is None or now_s - known.begun_s > WHOLE_AFTER_S or _is_other(known, ends):
                self._standing[name] = _Standing(begun_s=now_s)
        todo = {
            (topic, number): (max(start, self._standing[topic].ends.get(number, start)), end)
            for (topic, number), (start, end) in spans.items()
        }
        try:
            for message in read_spans(self._kafka, todo):
                standing = self._standing[message.topic()]
                key, value = message.key(), message.value()
                standing.is_given = False
                if value is None:
                    standing.values.pop(key, None)
                else:
                    standing.values[key] = value
        except BaseException:
            self._forget(topic for topic, _ in todo)  # no end is known that it holds up to
            raise
        for (topic, number), (_, end) in spans.items():
            self._standing[topic].ends[number] = end

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._standing.pop(name, None)

    def _frame(self, name: str) -> pl.DataFrame:
        if name not in self._readers:
            contract = value_schema(self._topics[name])
            self._readers[name] = ChunkReader(self._schema, reader=contract)
        kept = self._standing[name].values
        opened = zip(kept, self._opened([*kept.values()]), strict=True)
        values = {key: value for key, value in opened if value is not None}
        frame, unreadable = decode_rows(name, values, self._readers[name])
        for each in unreadable:
            self._tell(each)
            self._standing[name].values.pop(each.key)
        if FIELD in frame.columns and frame[FIELD].null_count() < len(frame):
            self._tell_sealed(self._topics[name])
        return frame.drop(FIELD, strict=False)


def decode_rows(
    topic: str, values: Mapping[bytes, bytes], reader: ChunkReader
) -> tuple[pl.DataFrame, list[Unreadable]]:
    """Return values by key as rows, and those that cannot be decoded."""
    keys = list(values)
    decoded = reader.decode(list(values.values()))
    return decoded.frame, [Unreadable(keys[row], error, topic) for row, error in decoded.errors]


def _is_other(known: _Standing, ends: Mapping[int, int]) -> bool:
    """Whether a topic is not the one that was read: it ends before that."""
    return any(ends.get(number, 0) < end for number, end in known.ends.items())
