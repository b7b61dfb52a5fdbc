"""Turns the effects of a chunk into record batches of bounded size. No network."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from streams.engine.contract import Effects, Header, Output

Record = tuple[bytes | None, bytes | None, int | None, list[Header]]
"""Key, value, timestamp in milliseconds, headers."""

TopicPartition = tuple[str, int]


_NO_HEADERS: Final[list[Header]] = []  # one for all: a list a record is work for the collector


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A closed batch builder of the producer, and where it goes."""

    topic: str
    partition: int
    builder: Any
    records: int


def group_outputs(effects: Effects, timestamp_ms: int | None) -> dict[TopicPartition, list[Record]]:
    """Records by topic and partition, keeping their order within each."""
    grouped: dict[TopicPartition, list[Record]] = {}
    for output in effects.outputs:
        if isinstance(output, Output):
            stamp = timestamp_ms if output.timestamp_ms is None else output.timestamp_ms
            record = (output.key, output.value, stamp, list(output.headers))
            grouped.setdefault((output.topic, output.partition), []).append(record)
            continue
        lists = {
            partition: grouped.setdefault((output.topic, partition), [])
            for partition in set(output.partitions)
        }
        columns = zip(output.partitions, output.keys, output.values, strict=True)
        for partition, key, value in columns:
            lists[partition].append((key, value, timestamp_ms, _NO_HEADERS))
    return grouped


def encode_batches(
    target: TopicPartition, records: Iterable[Record], new_builder: Callable[[], Any]
) -> Iterator[EncodedBatch]:
    """Fill builders in order, closing one when the next record does not fit.

    A single record above the batch size gets a batch of its own; the broker judges its size.
    """
    topic, partition = target
    builder = new_builder()
    for key, value, timestamp_ms, headers in records:
        if builder.append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
            yield _close(topic, partition, builder)
            builder = new_builder()
            builder.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)
    if builder.record_count():
        yield _close(topic, partition, builder)


def _close(topic: str, partition: int, builder: Any) -> EncodedBatch:
    builder.close()
    return EncodedBatch(topic, partition, builder, builder.record_count())
