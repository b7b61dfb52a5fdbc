"""Runs agent groups over topics in memory: the handlers of the worker without a broker.

Deterministic: a seed picks which partition goes next and how long its chunks are. State, outputs
and positions move together after each chunk, as the engine makes them.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.codec.framing import frame, unframe
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.contracts import record_of, value_schema
from schemas.errors import DecodeError
from schemas.keys import KEY_SCHEMA, decode_key, encode_keys
from schemas.routing import partition_of
from schemas.topics import COMMAND_PREFIX, Route, Topic
from streams.engine import Chunk, GroupSpec, Output
from tables.foundation.effects import instant
from tables.foundation.exceptions import TOPIC as EXCEPTIONS
from tables.foundation.exceptions import take_back
from tests.support.catalogue import BY_NAME

START_MS = 1_798_800_000_000  # 2027-01-01, in ISO week 2026-W53
STEP_MS = 1_000


class FixedRegistry:
    """Schemas of the catalogue under fixed ids; more can be added. No server behind it."""

    def __init__(self) -> None:
        self._schemas: dict[int, AvroSchema] = {}
        self._ids: dict[str, int] = {}
        for topic in BY_NAME.values():
            if record_of(topic) is not None:
                self.add_topic(topic)

    def add_topic(self, topic: Topic) -> None:
        """Register the schemas of a topic that has a record."""
        self.add(f"{topic.name}-key", load_schema(KEY_SCHEMA))
        self.add(f"{topic.name}-value", value_schema(topic))

    def add(self, subject: str, schema: AvroSchema) -> int:
        """Register a schema and return its id."""
        schema_id = len(self._schemas) + 1
        self._schemas[schema_id] = schema
        self._ids[subject] = schema_id
        return schema_id

    def schema(self, schema_id: int) -> AvroSchema:
        """Return the schema of an id."""
        try:
            return self._schemas[schema_id]
        except KeyError:
            raise DecodeError(f"unknown schema id {schema_id}") from None

    def subject_id(self, subject: str, schema: str = "") -> int:
        """Return the id of a subject."""
        return self._ids[subject]


@dataclass
class MemoryState:
    """State of one group on one partition."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    _names: list[bytes] | None = None  # in order, until the next write

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        return self.rows.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys."""
        return [self.rows.get(key) for key in keys]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys with a prefix, in order."""
        if self._names is None:
            self._names = sorted(self.rows)
        names = self._names
        for index in range(bisect_left(names, prefix), len(names)):
            if not names[index].startswith(prefix):
                return
            yield names[index], self.rows[names[index]]

    def commit(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply what a chunk wrote."""
        for key, value in changes.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value
        self._names = None


Message = tuple[int, bytes | None, bytes | None]  # timestamp_ms, key, value


class Topology:
    """Topics and group state in memory."""

    def __init__(
        self,
        groups: Sequence[GroupSpec],
        registry: FixedRegistry,
        *,
        seed: int = 0,
        chunk_max: int = 50,
        own: Sequence[Topic] = (),
    ) -> None:
        """`own` are topics of the firm's own, which are in no catalogue."""
        self._by_name = BY_NAME | {topic.name: topic for topic in own}
        self.registry = registry
        self.topics: dict[str, list[list[Message]]] = {}
        self._groups = groups
        self._random = random.Random(seed)
        self._chunk_max = chunk_max
        self._state: dict[tuple[str, int], MemoryState] = {}
        self._read: dict[tuple[str, int], int] = {}
        self._compacted: dict[tuple[str, int], set[int]] = {}
        self._floor_ms: dict[str, int] = {}
        self._codecs: dict[str, RecordCodec] = {}
        self._commands: list[bytes] = []  # in the order in which they were given
        self.now_ms = START_MS
        self.consumed = 0
        self.outcomes = {"applied": 0, "stale": 0, "parked": 0, "dead_lettered": 0}

    def put(self, topic: str, key: str, record: Mapping[str, object] | None, route: str) -> None:
        """Append a record of the row `key` to the partition its route hashes to (or to all)."""
        self.now_ms += STEP_MS
        definition = self._by_name[topic]
        schema_id = self.registry.subject_id(f"{topic}-value")
        codec = self._codecs.setdefault(topic, RecordCodec(self.registry.schema(schema_id)))
        value = None if record is None else frame(schema_id, codec.encode(record))
        message_key = definition.message_key(route, key)
        name = encode_keys(self.registry.subject_id(f"{topic}-key"), [message_key])[0]
        if definition.route is Route.BROADCAST:
            partitions = range(definition.partitions)
        else:
            start = partition_of(route, definition.partitions)
            partitions = range(start, start + 1)
        for partition in partitions:
            self.append(topic, partition, name, value)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Append raw bytes to a partition."""
        log = self.topics.setdefault(topic, [[] for _ in range(self._by_name[topic].partitions)])
        log[partition].append((self.now_ms, key, value))
        if topic.startswith(COMMAND_PREFIX) and value is not None:
            self._commands.append(value)

    def commands(self) -> list[dict[str, object]]:
        """Return the commands to all targets, in the order in which they were given."""
        return [self.decode(value) for value in self._commands]

    def run(self) -> None:
        """Work until nothing is left to read, in an order the seed decides."""
        while pending := self._pending():
            self._step(*self._random.choice(pending))

    def replay(self, topic: str) -> None:
        """Deliver a topic again from its start, as new records at its end."""
        for partition, log in enumerate(self.topics.get(topic, [])):
            for _, key, value in list(log):
                self.append(topic, partition, key, value)

    def sources(self) -> list[str]:
        """Return the topics that a group reads and that hold something."""
        read = [agent.topic for group in self._groups for agent in group.agents]
        return [topic for topic in read if topic in self.topics]

    def reread(self, topic: str, *, is_compacted: bool) -> None:
        """Have a topic read from its first record, as `psastream reread` does.

        `is_compacted`: of each key only the last record is there by then.
        """
        for partition, log in enumerate(self.topics[topic]):
            self._read[topic, partition] = 0
            if is_compacted:
                last = {key: offset for offset, (_, key, _) in enumerate(log)}
                self._compacted[topic, partition] = set(range(len(log))) - set(last.values())

    def replace_groups(self, groups: Sequence[GroupSpec]) -> None:
        """Go on with other groups, as another version of the worker does."""
        self._groups = groups

    def rebuild(self, name: str, first: Sequence[str] = ()) -> None:
        """Compute a group anew as `psastream rebuild` does; topics of `first` are read first."""
        [group] = [each for each in self._groups if each.name == name]
        self.now_ms += STEP_MS
        self._floor_ms[name] = self.now_ms
        self._state = {key: state for key, state in self._state.items() if key[0] != name}
        for record in take_back(self.table(EXCEPTIONS).values(), name, instant(self.now_ms)):
            identity = str(record["exception_id"])
            self.put(EXCEPTIONS, identity, record, identity)
        topics = [agent.topic for agent in group.agents]
        for topic in topics:
            if topic in self.topics:
                self.reread(topic, is_compacted=True)
        for topic in first:
            for partition, log in enumerate(self.topics[topic]):
                while self._read[topic, partition] < len(log):
                    self._step(group, topics.index(topic), partition)
        self.run()

    def _pending(self) -> list[tuple[GroupSpec, int, int]]:
        found = []
        for group in self._groups:
            for index, agent in enumerate(group.agents):
                for partition, log in enumerate(self.topics.get(agent.topic, [])):
                    if self._read.get((agent.topic, partition), 0) < len(log):
                        found.append((group, index, partition))
        return found

    def _step(self, group: GroupSpec, index: int, partition: int) -> None:
        agent = group.agents[index]
        log = self.topics[agent.topic][partition]
        start = self._read.get((agent.topic, partition), 0)
        end = min(len(log), start + self._random.randint(1, self._chunk_max))
        gone = self._compacted.get((agent.topic, partition), set())
        offsets = [offset for offset in range(start, end) if offset not in gone]
        messages = [log[offset] for offset in offsets]
        floor_ms = self._floor_ms.get(group.name, 0)
        chunk = Chunk(
            agent.topic,
            partition,
            start,
            end,
            offsets,
            [max(floor_ms, message[0]) for message in messages],
            [message[1] for message in messages],
            [message[2] for message in messages],
        )
        state = self._state.setdefault((group.name, partition), MemoryState())
        effects = agent.handler(chunk, state)
        assert effects.accounting.consumed == len(chunk), (agent.topic, effects.accounting)
        self.consumed += len(chunk)
        for name in self.outcomes:
            self.outcomes[name] += getattr(effects.accounting, name)
        state.commit(effects.state)
        for output in effects.outputs:
            if isinstance(output, Output):
                self.append(output.topic, output.partition, output.key, output.value)
            else:
                columns = zip(output.partitions, output.keys, output.values, strict=True)
                for to, key, value in columns:
                    self.append(output.topic, to, key, value)
        self._read[agent.topic, partition] = end

    def kept(self, prefix: bytes) -> dict[bytes, bytes]:
        """Return what the state of all groups holds under a prefix, without it."""
        return {
            key.removeprefix(prefix): value
            for state in self._state.values()
            for key, value in state.scan(prefix)
        }

    def states(self) -> dict[tuple[str, int], dict[bytes, bytes]]:
        """Return what the state of each group holds on each partition."""
        return {place: state.rows for place, state in self._state.items()}

    def table(self, topic: str) -> dict[str, dict[str, object]]:
        """Return what compaction would leave of a topic: the last record of each key."""
        rows: dict[str, dict[str, object]] = {}
        for log in self.topics.get(topic, []):
            for _, key, value in log:
                name = decode_key(key or b"")
                if value is None:
                    rows.pop(name, None)
                else:
                    rows[name] = self.decode(value)
        return rows

    def records(self, topic: str) -> list[tuple[str, dict[str, object] | None]]:
        """Return every record of a topic, partition by partition, in order."""
        logs = self.topics.get(topic, [])
        return [self.message(key, value) for log in logs for _, key, value in log]

    def message(
        self, key: bytes | None, value: bytes | None
    ) -> tuple[str, dict[str, object] | None]:
        """Return the key and the decoded record of a message."""
        return decode_key(key or b""), None if value is None else self.decode(value)

    def decode(self, value: bytes) -> dict[str, object]:
        """Decode a framed record."""
        schema_id, payload = unframe(value)
        return RecordCodec(self.registry.schema(schema_id)).decode(payload)
