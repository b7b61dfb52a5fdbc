"""One partition of one group without Kafka or a disk: what a processor works with, in memory.

`FakePartition` is the truth of the broker: committed transactions, the epoch that fences, the log.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.engine import Chunk, Effects
from streams.engine.batches import TopicPartition as Target
from streams.engine.errors import FencedError
from streams.engine.membership import Member
from streams.engine.state_log import LogBounds, SourcePosition
from streams.engine.state_store import FLOOR_KEY, LAYOUT_KEY, fence_key, source_key
from streams.engine.tally import Tally, tally_key

Changes = Mapping[bytes, bytes | None]


@dataclass
class FakePartition:
    """What the broker knows of a partition."""

    epoch: int = 0
    log: list[dict[bytes, bytes | None]] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    stamps: list[int | None] = field(default_factory=list)
    """The time given to the records of each commit, in milliseconds."""
    committed: dict[str, int] = field(default_factory=dict)
    start: int = 0
    """First offset of every source topic."""
    end: int = 1 << 60
    """One past the last offset of every source topic."""
    topic_id: str = "topic-1"
    """Of every source topic."""
    anew: set[str] = field(default_factory=set)
    """Source topics whose committed position an operator has set."""
    before_commit: Callable[[Chunk], None] = lambda chunk: None
    after_commit: Callable[[Chunk], None] = lambda chunk: None
    before_end: Callable[[], None] = lambda: None
    """Before the end of the log is told."""
    during_catch_up: Callable[[threading.Event], None] = lambda stop: None
    after_catch_up: Callable[[], None] = lambda: None

    def commit(self, chunk: Chunk, changes: Changes, effects: Effects) -> int:
        self.log.append(dict(changes))
        self.outputs += effects.outputs
        self.committed[chunk.topic] = chunk.end_offset
        self.anew.discard(chunk.topic)
        return len(self.log) - 1

    def writer(self, *_: Any) -> "FakeWriter":
        return FakeWriter(self)

    def state_log(self) -> "FakeStateLog":
        return FakeStateLog(self)


class FakeWriter:
    """In the place of `TransactionalWriter`."""

    def __init__(self, partition: FakePartition) -> None:
        self._partition = partition
        self._epoch = -1
        self._is_usable = False

    async def open(self) -> None:
        self._partition.epoch += 1
        self._epoch = self._partition.epoch
        self._is_usable = True

    async def abort(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def encode(
        self, log: Target, state: Changes, effects: Effects, timestamp_ms: int | None
    ) -> tuple[Changes, Effects]:
        self._partition.stamps.append(timestamp_ms)
        return state, effects

    async def commit(self, parts: Sequence[Any], member: Member) -> list[int]:
        assert self._is_usable, "a transaction has failed: open it first"
        self._is_usable = False
        offsets = []
        for part in parts:
            self._partition.before_commit(part.chunk)
            if self._epoch != self._partition.epoch:
                raise FencedError("another worker owns this partition now")
            offsets.append(self._partition.commit(part.chunk, *part.encoded))
            self._partition.after_commit(part.chunk)
        self._is_usable = True
        return offsets


class FakeStateLog:
    """In the place of `StateLog`."""

    def __init__(self, partition: FakePartition) -> None:
        self._partition = partition

    def identities(self, sources: Sequence[str]) -> dict[str, str]:
        return {"log": "log-1", **dict.fromkeys(sources, self._partition.topic_id)}

    def source_ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        return dict.fromkeys(topics, self._partition.end)

    def end(self, partition: int) -> int:
        self._partition.before_end()
        return len(self._partition.log)

    def bounds(self, partition: int) -> LogBounds:
        return LogBounds(0, len(self._partition.log))

    def source_positions(self, topics: Sequence[str], partition: int) -> dict[str, SourcePosition]:
        found = self._partition
        return {
            t: SourcePosition(found.committed.get(t), found.start, t in found.anew) for t in topics
        }

    def catch_up(
        self,
        partition: int,
        store: "MemoryStore",
        *,
        stop: threading.Event,
        progress: Callable[[int, float], None],
    ) -> int:
        self._partition.during_catch_up(stop)
        start = 0 if store.log_offset is None else store.log_offset + 1
        for offset in range(start, len(self._partition.log)):
            if stop.is_set():
                break
            store.apply(self._partition.log[offset], offset)
            progress(offset, 0.0)
        records = len(self._partition.log) - start
        self._partition.after_catch_up()
        return records


class MemoryStore:
    """In the place of `StateStore`."""

    def __init__(self, path: Path, _: Any) -> None:
        self.path = path
        self.log_offset: int | None = None
        self._held: dict[bytes, bytes] = {}
        self.rebuilds = 0

    def open(self, log_id: str) -> None:
        pass

    def close(self) -> None:
        pass

    def reset(self, reason: str) -> None:
        self._held.clear()
        self.log_offset = None
        self.rebuilds += 1

    def fence(self, topic: str) -> int | None:
        stored = self.get(fence_key(topic))
        return None if stored is None else int(stored)

    def tally(self, topic: str) -> Tally | None:
        stored = self.get(tally_key(topic))
        return None if stored is None else Tally.from_bytes(stored)

    def layout(self) -> bytes | None:
        return self.get(LAYOUT_KEY)

    def floor_ms(self) -> int:
        return int(self.get(FLOOR_KEY) or 0)

    def source_id(self, topic: str) -> str | None:
        stored = self.get(source_key(topic))
        return None if stored is None else stored.decode()

    def get(self, key: bytes) -> bytes | None:
        return self._held.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._held.get(key) for key in keys]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(kv for kv in self._held.items() if kv[0].startswith(prefix)))

    def apply(self, changes: Changes, log_offset: int) -> None:
        for key, value in changes.items():
            if value is None:
                self._held.pop(key, None)
            else:
                self._held[key] = value
        self.log_offset = log_offset
