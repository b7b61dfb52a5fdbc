"""The engine's contract with the tables: what a chunk is, what its effects are, who handles it.

Pure values and protocols; nothing here touches Kafka, Faust or a disk.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Header = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of one partition, in offset order: the unit of work.

    `start_offset` and `end_offset` are fetch positions, so control batches and records removed by
    compaction lie between them without a record of their own; a chunk may even be empty.
    The four sequences are parallel: record i is (offsets[i], timestamps_ms[i], keys[i], values[i]).
    """

    topic: str
    partition: int
    start_offset: int
    end_offset: int
    offsets: Sequence[int]
    timestamps_ms: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    contexts: Mapping[int, str] | None = None
    """`traceparent` by offset of the records that bear one, and perhaps of others; only while
    tracing is on."""

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def last_offset(self) -> int:
        """The last offset this chunk covers: one below the position to commit."""
        return self.end_offset - 1

    def after(self, offset: int) -> "Chunk":
        """This chunk without what lies at or below `offset`. Upholds I3."""
        if offset < self.start_offset:
            return self
        at = bisect_right(self.offsets, offset)
        start = min(offset + 1, self.end_offset)
        return self._part(slice(at, None), start, self.end_offset)

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """Two chunks that cover what this one of two records or more covers."""
        first, second = self.parts([len(self) // 2])
        return first, second

    def parts(self, borders: Sequence[int]) -> "Iterator[Chunk]":
        """Chunks that cover together what this one covers, cut before the records at `borders`.

        `borders` are ascending numbers of records, the first above 0.
        """
        start, start_offset = 0, self.start_offset
        for border in borders:
            offset = self.offsets[border]
            yield self._part(slice(start, border), start_offset, offset)
            start, start_offset = border, offset
        yield self._part(slice(start, None), start_offset, self.end_offset)

    def _part(self, records: slice, start_offset: int, end_offset: int) -> "Chunk":
        return Chunk(
            self.topic,
            self.partition,
            start_offset,
            end_offset,
            self.offsets[records],
            self.timestamps_ms[records],
            self.keys[records],
            self.values[records],
            self.contexts,
        )


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """One chunk of consecutive chunks of one partition, the first one first."""
    if len(chunks) == 1:
        return chunks[0]
    first = chunks[0]
    return Chunk(
        first.topic,
        first.partition,
        first.start_offset,
        chunks[-1].end_offset,
        [offset for chunk in chunks for offset in chunk.offsets],
        [timestamp_ms for chunk in chunks for timestamp_ms in chunk.timestamps_ms],
        [key for chunk in chunks for key in chunk.keys],
        [value for chunk in chunks for value in chunk.values],
        {at: text for chunk in chunks for at, text in (chunk.contexts or {}).items()} or None,
    )


class State(Protocol):
    """Read view of the state of one group on one partition, as of the last committed chunk."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order; much cheaper than one `get` each."""
        ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All (key, value) pairs whose key starts with `prefix`, in key order."""
        ...


@dataclass(frozen=True, slots=True)
class Output:
    """One record to publish. `timestamp_ms` None: that of the newest record of the chunk."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OutputBatch:
    """Many records for one topic as parallel columns, without headers."""

    topic: str
    partitions: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Accounting:
    """What became of each record of a chunk. Upholds I5."""

    applied: int = 0
    stale: int = 0
    parked: int = 0
    dead_lettered: int = 0

    @property
    def consumed(self) -> int:
        """The number of records accounted for."""
        return self.applied + self.stale + self.parked + self.dead_lettered


@dataclass(slots=True)
class Effects:
    """What one chunk does. State, outputs and source offset become visible together or not at all.

    `state` holds the last write per key, None deletes; keys starting with `!` are the engine's.
    `notices` name what somebody should hear of; they are counted once the chunk is committed.
    """

    state: dict[bytes, bytes | None] = field(default_factory=dict)
    outputs: list[Output | OutputBatch] = field(default_factory=list)
    accounting: Accounting = field(default_factory=Accounting)
    notices: Sequence[str] = ()
    headers: Sequence[Header] = ()
    """What every output bears beside its own."""


class ChunkHandler(Protocol):
    """Pure function from a chunk and the state before it to its effects: no IO, no clock.

    Runs in a worker thread; two partitions may run at once, one partition never does. A
    TransientError makes the engine wait and call again with the same chunk, a FatalError stops
    the process without a commit. Of any other error the records are at fault: the engine calls
    again with ever smaller parts of the chunk, and dead-letters the record that fails alone.
    """

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Fold `chunk` into `state`. The accounting must cover every record of the chunk."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record could not be digested: an error code, the fact, what to do. No values."""

    code: str
    detail: str
    hint: str


DeadLetterWriter = Callable[[Chunk, Failure], Sequence[Output]]
"""Pure function from records that failed to their dead letters."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One source topic and the handler of its chunks."""

    topic: str
    handler: ChunkHandler


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """Agents that share state: same partition count, one state log, turns on each partition."""

    name: str
    partitions: int
    agents: Sequence[AgentSpec]
    state_topic: str
    output_topics: Sequence[str] = ()
    """What the handlers publish to: checked at start, so that no chunk fails on it later."""
    dead_letters: DeadLetterWriter | None = None
    """Where records go that no handler can digest. None: they stop the process."""
    layout: int = 1
    """Version of what the state holds. Raise it when state of before cannot be read any more: the
    worker then refuses it, and the group is computed anew."""
    counted: bytes | None = None
    """Prefix of the keys of state that are counted by their value (`Instruments.counted`)."""

    def handlers(self) -> Mapping[str, ChunkHandler]:
        """The handler of each source topic."""
        return {agent.topic: agent.handler for agent in self.agents}
