"""Low-water offsets: what may be committed while commands finish out of order. Upholds I1."""

from __future__ import annotations

from collections.abc import Iterator

TopicPartition = tuple[str, int]


class OffsetTracker:
    """Offsets taken in and not yet finished, per partition.

    Offsets of one partition are taken in ascending order; compaction may leave gaps between them.
    """

    def __init__(self) -> None:
        # A dict keeps the order of insertion: its first key is the lowest unfinished offset.
        self._open: dict[TopicPartition, dict[int, None]] = {}
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}

    def take(self, partition: TopicPartition, offset: int) -> None:
        """Note that the record at `offset` has been read."""
        self._open.setdefault(partition, {})[offset] = None
        self._next[partition] = offset + 1

    def finish(self, partition: TopicPartition, offset: int) -> None:
        """Note that nothing more will happen to the record at `offset`."""
        self._open[partition].pop(offset)

    def committable(self) -> Iterator[tuple[TopicPartition, int]]:
        """Yield partition and offset to commit, where it is ahead of what was committed."""
        for partition, upper in self._next.items():
            offset = next(iter(self._open[partition]), upper)
            if offset > self._committed.get(partition, -1):
                yield partition, offset

    def committed(self, partition: TopicPartition, offset: int) -> None:
        """Note that the broker acknowledged the commit."""
        self._committed[partition] = offset
