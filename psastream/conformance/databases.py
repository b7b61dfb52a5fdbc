"""A database under test: its changes are captured and normalized, and what is published is kept."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psastream.conformance.bench import BrokenClauseError, Sample
from psastream.conformance.debezium import Column, Debezium, Row
from psastream.conformance.documented import Database, Table
from schemas.codec.framing import unframe
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.errors import DecodeError
from schemas.keys import decode_key
from schemas.landscape import Landscape
from schemas.mapping.compiled import ObjectMapping, part_suffix
from schemas.routing import partition_of
from schemas.system import SystemBundle
from schemas.topics import BY_NAME, PARTITIONS
from streams.engine import Chunk, ChunkHandler, Output

BEGAN_MS: Final = 1_777_896_000_000
BEGAN_LSN: Final = 1_000_000
STEP: Final = 1_000
NUMBERS_FROM: Final = 7_000
DEAD_LETTERS: Final = "psa.dlq"
OF_CHANGES: Final = ("source_position", "source_at")
"""Fields of a record that tell of its last change, not of its row."""

Handlers = Callable[[Sequence[ObjectMapping], "Registry", Landscape], Mapping[str, ChunkHandler]]
Key = tuple[Any, ...]


class Registry:
    """Schemas by id."""

    def __init__(self) -> None:
        self.schemas: dict[int, AvroSchema] = {}
        self._ids: dict[str, int] = {}

    def schema(self, schema_id: int) -> AvroSchema:
        """Return the schema of an id. Raises DecodeError."""
        if schema_id not in self.schemas:
            raise DecodeError(f"unknown schema id {schema_id}")
        return self.schemas[schema_id]

    def subject_id(self, subject: str, schema: str) -> int:
        """Return the id of a schema."""
        return self.add(subject, load_schema(schema))

    def add(self, subject: str, schema: AvroSchema) -> int:
        """Register a schema; return its id."""
        name = f"{subject} {schema.text}"
        if name not in self._ids:
            self._ids[name] = len(self._ids) + 1
            self.schemas[self._ids[name]] = schema
        return self._ids[name]


@dataclass
class _State:
    """State of the group on one partition."""

    rows: dict[bytes, bytes] = field(default_factory=dict)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        return self.rows.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys."""
        return [self.rows.get(key) for key in keys]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys with a prefix, in order."""
        names = sorted(self.rows)
        for index in range(bisect_left(names, prefix), len(names)):
            if not names[index].startswith(prefix):
                return
            yield names[index], self.rows[names[index]]


@dataclass(frozen=True)
class DatabaseSubject:
    """What is tested: a system that Debezium captures, its connector file and its samples."""

    system: SystemBundle
    landscape: Landscape
    database: Database
    document: Mapping[str, Any]
    samples: Mapping[str, Sequence[Sample]]
    make_handlers: Handlers


class DatabaseBench:
    """A database with rows, its connector, and what follows for the firm's topics."""

    def __init__(
        self, subject: DatabaseSubject, table: str, like: DatabaseBench | None = None
    ) -> None:
        """`like` is one whose code works here, too: it remembers nothing but schemas."""
        self.subject = subject
        self.table = table
        self.registry: Registry = like.registry if like else Registry()
        self._handlers: Mapping[str, ChunkHandler] = like._handlers if like else self._made()
        self.debezium = Debezium(subject.document, subject.database.schema_name)
        self.fresh()

    def fresh(self) -> None:
        """Begin anew: no rows, nothing published."""
        self.rows: dict[str, dict[Key, Row]] = defaultdict(dict)
        self.told: list[tuple[str, bytes | None, bytes | None]] = []
        self._states: dict[int, _State] = defaultdict(_State)
        self._logs: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = {}
        self._read: dict[tuple[str, int], int] = defaultdict(int)
        self.lsn, self.now_ms = BEGAN_LSN, BEGAN_MS

    def _made(self) -> Mapping[str, ChunkHandler]:
        subject = self.subject
        return subject.make_handlers(subject.system.mappings, self.registry, subject.landscape)

    @property
    def documented(self) -> Table:
        """What is documented of the table."""
        return self.subject.database.tables[self.table]

    @property
    def columns(self) -> dict[str, Column]:
        """The columns of the table that are captured."""
        return self.debezium.columns(self.table, self.documented)

    @property
    def mapping(self) -> ObjectMapping | None:
        """What understands the rows of the table."""
        topic = self.subject.system.topics[self.table].name
        found = (each for each in self.subject.system.mappings if each.topic == topic)
        return next((each for each in found if each.targets), None)

    @property
    def mapping_looks_up(self) -> bool:
        """Whether rows of the table look others up that samples find."""
        lookups = self.subject.system.objects[self.table].lookups
        return bool(lookups.keys() & self.subject.samples[self.table][0].finds.keys())

    def row(self, number: int, **values: Any) -> Row:
        """Return a row of the first sample, with the key of a number."""
        row = {**self.subject.samples[self.table][0].row}
        first = self.documented.key[0]
        digits = str(NUMBERS_FROM + number)
        found = row[first]
        row[first] = int(digits) if isinstance(found, int) else str(found)[: -len(digits)] + digits
        return row | values

    def write(self, row: Row, *, table: str | None = None, op: str = "") -> None:
        """Insert a row, or update it."""
        name = table or self.table
        key = self._key(name, row)
        before = self.rows[name].get(key)
        self.rows[name][key] = row
        kind = op or ("c" if before is None else "u")
        is_full = self.subject.database.tables[name].identity == "full"
        self.tell(name, kind, before if is_full and kind == "u" else None, row)

    def remove(self, number: int) -> None:
        """Delete the row of a number."""
        key = self._key(self.table, self.row(number))
        gone = self.rows[self.table].pop(key)
        is_full = self.documented.identity == "full"
        before = gone if is_full else dict(zip(self.documented.key, key, strict=True))
        self.tell(self.table, "d", before, None)
        if self.debezium.has_tombstones:
            self.append(self.table, self._message_key(self.table, key), None)

    def read(self, marker: str, table: str | None = None) -> None:
        """Read all rows by a snapshot."""
        self.lsn += STEP
        for name in [table] if table else list(self.rows):
            for row in list(self.rows[name].values()):
                self.tell(name, "r", None, row, marker=marker, lsn=self.lsn)

    def tell(
        self,
        table: str,
        op: str,
        before: Row | None,
        after: Row | None,
        *,
        marker: str = "false",
        lsn: int | None = None,
        columns: Mapping[str, Column] | None = None,
    ) -> None:
        """Capture a change, at the end of the log or at a place of it."""
        topic = self.debezium.topic(table)
        if topic is None or not self.debezium.tells(op):
            return
        if lsn is None:
            self.lsn += STEP
            lsn = self.lsn
        self.now_ms += STEP
        documented = self.subject.database.tables[table]
        shown = columns or self.debezium.columns(table, documented)
        schema = self.debezium.envelope(topic, shown)
        source = {"ts_ms": self.now_ms, "lsn": lsn, "snapshot": marker, "table": table}
        schema_id = self.registry.add(f"{topic}-value", schema)
        value = self.debezium.event(
            schema_id, schema, shown, op=op, before=before, after=after, source=source
        )
        row = after or before
        key = None if row is None else self._message_key(table, self._key(table, row))
        self.append(table, key, value)

    def append(self, table: str, key: bytes | None, value: bytes | None) -> None:
        """Write a record to the topic of a table."""
        topic = self.debezium.topic(table)
        assert topic is not None
        self.told.append((topic, key, value))
        self._append(topic, partition_of(str(key), PARTITIONS), key, value)

    def again(self, number: int) -> None:
        """Deliver a record that was delivered before."""
        topic, key, value = self.told[number]
        self._append(topic, partition_of(str(key), PARTITIONS), key, value)

    def _append(self, topic: str, at: int, key: bytes | None, value: bytes | None) -> None:
        self._logs.setdefault((topic, at), []).append((key, value))

    def _key(self, table: str, row: Row) -> Key:
        return tuple(row[name] for name in self.subject.database.tables[table].key)

    def _message_key(self, table: str, key: Key) -> bytes:
        return f"{table}|{key}".encode()

    def run(self) -> None:
        """Work until nothing is left to read.

        Raises BrokenClauseError where a chunk fails: it would be tried for ever.
        """
        while pending := [
            place for place, log in self._logs.items()
            if place[0] in self._handlers and self._read[place] < len(log)
        ]:  # fmt: skip
            for topic, partition in pending:
                self._step(topic, partition)

    def _step(self, topic: str, partition: int) -> None:
        log, start = self._logs[topic, partition], self._read[topic, partition]
        offsets = range(start, len(log))
        keys, values = zip(*log[start:], strict=True)
        chunk = Chunk(
            topic, partition, start, len(log), offsets, [self.now_ms] * len(offsets),
            list(keys), list(values),
        )  # fmt: skip
        state = self._states[partition]
        try:
            effects = self._handlers[topic](chunk, state)
        except Exception as error:
            raise BrokenClauseError(
                f"a chunk ends by {type(error).__name__}: {error}, and is tried for ever"
            ) from error
        for name, content in effects.state.items():
            if content is None:
                state.rows.pop(name, None)
            else:
                state.rows[name] = content
        for output in effects.outputs:
            if isinstance(output, Output):
                self._append(output.topic, output.partition, output.key, output.value)
            else:
                for to, key, value in zip(
                    output.partitions, output.keys, output.values, strict=True
                ):
                    self._append(output.topic, to, key, value)
        self._read[topic, partition] = len(log)

    def published(self) -> dict[str, dict[str, Row]]:
        """Return what readers of the canonical topics hold, by topic, and part, and row id."""
        self.run()
        mapping = self.mapping
        assert mapping is not None
        found: dict[str, dict[str, Row]] = {f"psa.{each.name}": {} for each in mapping.targets}
        for (topic, _), log in sorted(self._logs.items()):
            targets = [each for each in mapping.targets if each.topic.name == topic]
            for key, value in log if targets else ():
                row_id = BY_NAME[topic].row_id(decode_key(key or b""))
                if not row_id.startswith(mapping.row_prefix):
                    continue
                target = next(each for each in targets if row_id.endswith(part_suffix(each.part)))
                row_id = row_id.removesuffix(part_suffix(target.part))
                name = f"psa.{target.name}"
                if value is None:
                    found[name].pop(row_id, None)
                else:
                    record = self._decode(value)
                    found[name][row_id] = {
                        field: content
                        for field, content in record.items()
                        if field not in OF_CHANGES
                    }
        return found

    def refused(self) -> list[Row]:
        """Return what was dead-lettered, in order."""
        self.run()
        letters = (log for (name, _), log in self._logs.items() if name == DEAD_LETTERS)
        return [self._decode(value) for log in letters for _, value in log if value is not None]

    def _decode(self, value: bytes) -> Row:
        schema_id, payload = unframe(value)
        return RecordCodec(self.registry.schema(schema_id)).decode(payload)

    def truth(self) -> dict[str, dict[str, Row]]:
        """Return what follows from the rows that are there, read once by one who knows nothing."""
        other = DatabaseBench(self.subject, self.table, self)
        other.rows = self.rows
        other.read("true")
        return other.published()

    def require_truth(self, expected: Mapping[str, Mapping[str, Row]] | None = None) -> None:
        """Raises BrokenClauseError unless what is published follows from the rows there are.

        `expected` is what follows, where it is known.
        """
        found, expected = self.published(), expected or self.truth()
        for topic, records in expected.items():
            held = found[topic]
            if lost := sorted(records.keys() - held.keys()):
                raise BrokenClauseError(f"{topic}: records are lost: {', '.join(lost)}")
            if left := sorted(held.keys() - records.keys()):
                raise BrokenClauseError(f"{topic}: records are still there: {', '.join(left)}")
            for row_id, record in records.items():
                if held[row_id] != record:
                    names = [name for name in record if held[row_id][name] != record[name]]
                    raise BrokenClauseError(f"{topic}: {row_id} has another {', '.join(names)}")
