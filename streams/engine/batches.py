"""Turns the effects of a chunk into record batches of bounded size. No network."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from streams.engine.contract import Effects, Header, Output, OutputBatch

Record = tuple[bytes | None, bytes | None, int | None, list[Header]]
"""Key, value, timestamp in milliseconds, headers."""

TopicPartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A closed batch builder of the producer, and where it goes."""

    topic: str
    partition: int
    builder: Any
    records: int


def plain_records(
    keys: Iterable[bytes | None],
    values: Iterable[bytes | None],
    timestamp_ms: int | None,
    headers: Sequence[Header] = (),
) -> Iterator[Record]:
    """Records of parallel columns, with the same headers."""
    # One list for all: a list a record is work for the collector.
    return zip(keys, values, repeat(timestamp_ms), repeat(list(headers)))


def group_outputs(effects: Effects, timestamp_ms: int | None) -> dict[TopicPartition, list[Record]]:
    """Records by topic and partition, keeping their order within each."""
    grouped: dict[TopicPartition, list[Record]] = {}
    for output in effects.outputs:
        if isinstance(output, Output):
            stamp = timestamp_ms if output.timestamp_ms is None else output.timestamp_ms
            record = (output.key, output.value, stamp, [*output.headers, *effects.headers])
            grouped.setdefault((output.topic, output.partition), []).append(record)
            continue
        _check_columns(output)
        lists = {
            partition: grouped.setdefault((output.topic, partition), [])
            for partition in set(output.partitions)
        }
        records = plain_records(output.keys, output.values, timestamp_ms, effects.headers)
        if len(lists) == 1:
            next(iter(lists.values())).extend(records)
            continue
        for partition, record in zip(output.partitions, records, strict=True):
            lists[partition].append(record)
    return grouped


def _check_columns(output: OutputBatch) -> None:
    if not len(output.partitions) == len(output.keys) == len(output.values):
        raise ValueError(f"columns of unequal length for {output.topic}")


def encode_batches(
    target: TopicPartition, records: Iterable[Record], new_builder: Callable[[], Any]
) -> Iterator[EncodedBatch]:
    """Fill builders in order, closing one when the next record does not fit.

    A single record above the batch size gets a batch of its own; the broker judges its size.
    """
    topic, partition = target
    builder = new_builder()
    append = builder.append
    for key, value, timestamp_ms, headers in records:
        if append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
            yield _close(topic, partition, builder)
            builder = new_builder()
            append = builder.append
            append(timestamp=timestamp_ms, key=key, value=value, headers=headers)
    if builder.record_count():
        yield _close(topic, partition, builder)


def _close(topic: str, partition: int, builder: Any) -> EncodedBatch:
    builder.close()
    return EncodedBatch(topic, partition, builder, builder.record_count())
