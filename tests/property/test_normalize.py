"""Cut into any chunks, with any repeats, the canonical topic compacts to what an oracle says.

The oracle is plain Python over single records: fastavro, dictionaries, one change at a time.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import identity
from schemas.codec.framing import frame, unframe
from schemas.codec.record import RecordCodec
from schemas.envelope import UNAVAILABLE
from schemas.mapping.compiled import ObjectMapping
from schemas.routing import partition_of
from schemas.topics import PARTITIONS
from streams.agents.normalize import make_normalizer
from streams.engine import Accounting
from tests.support.examples import examples
from tests.support.oracle import rounded
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    Source,
    chunk_of,
    debezium_schema,
    mapping_of,
    published,
)

TOPIC = "src.inhouse.time_entries"
EPOCH = date(1970, 1, 1)
APART = 1_000  # records of a log are long, so their positions are not next to each other

Record = dict[str, Any]
Compacted = dict[tuple[int, str], Record]


@dataclass
class Oracle:
    """One change at a time, with everything spelled out."""

    topic: Compacted = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    notes: dict[int, str | None] = field(default_factory=dict)
    applied: int = 0
    stale: int = 0
    dead_lettered: int = 0

    def read(self, value: bytes | None) -> None:
        if value is None:
            self.stale += 1
            return
        try:
            envelope = RecordCodec(debezium_schema_cached()).decode(value[5:])
        except Exception:  # whatever is wrong with the bytes
            self.dead_lettered += 1
            return
        source, before, after = envelope["source"], envelope["before"], envelope["after"]
        assert isinstance(source, dict)
        row = before if envelope["op"] == "d" else after
        assert isinstance(row, dict)
        row_id, position = row["id"], source["lsn"]
        last = self.positions.get(row_id, -1)
        row = numbers_of_text(row)
        is_stale = position <= last
        if source["snapshot"] == "true":
            position = max(last, 0) + 1
        if is_stale:
            self.stale += 1
        elif envelope["op"] == "d":
            self.forget(row_id, position)
            self.notes[row_id] = None
        elif not -744 <= worked_hours(row) <= 24 or row["status"] not in ("draft", "approved"):
            self.dead_lettered += 1
            if row["notes"] != UNAVAILABLE:
                self.notes[row_id] = row["notes"]
        else:
            self.forget(row_id, position)
            if row["notes"] != UNAVAILABLE:
                self.notes[row_id] = row["notes"]
            record = self.record(row, position, source["ts_ms"])
            partition = partition_of(record["project_ref"], PARTITIONS)
            self.topic[partition, f"{record['project_ref']}|{record['id']}"] = record

    def forget(self, row_id: int, position: int) -> None:
        self.applied += 1
        self.positions[row_id] = position
        own = f"inhouse:time_entry:{row_id}"
        for place in [each for each, row in self.topic.items() if row["id"] == own]:
            del self.topic[place]

    def record(self, row: Record, position: int, ts_ms: int) -> Record:
        own = f"inhouse:time_entry:{row['id']}"
        task = row["task_id"]
        return {
            "id": own,
            "project_ref": f"inhouse:project:{row['project_id']}",
            "task_ref": None if task is None else f"inhouse:task:{task}",
            "resource_id": identity.resource_id(row["worker_email"]),
            "work_on": EPOCH + timedelta(days=row["work_on"]),
            "hours": rounded(worked_hours(row), 2),
            "seconds": int(worked_hours(row) * 3600),
            "bill_rate": row["bill_rate"],
            "cost_rate": row["cost_rate"],
            "currency": row["currency"],
            "status": row["status"],
            "is_billable": row["is_billable"],
            "notes": self.notes.get(row["id"]),
            "source_position": streamed_position(position),
            "source_at_ms": ts_ms,
            "correlation_id": identity.correlation_id(own),
            "sealed": None,
        }


def worked_hours(row: Record) -> Fraction:
    return Fraction(row["hours"]) if row["minutes"] is None else Fraction(row["minutes"], 60)


def numbers_of_text(row: Record) -> Record:
    texts = ("hours", "bill_rate", "cost_rate")
    return row | {name: Decimal(row[name]) for name in texts if row[name] is not None}


def streamed_position(position: int) -> int | None:
    """A position as the source told it; how far above it a read stands depends on the chunks."""
    return None if position % APART else position


@cache
def debezium_schema_cached() -> Any:
    return debezium_schema(TOPIC)


@cache
def mapping() -> ObjectMapping:
    return mapping_of(TOPIC)


def hours_of(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda hundredths: Decimal(hundredths).scaleb(-2))


rates = st.none() | st.integers(0, 10**9).map(lambda units: Decimal(units).scaleb(-4))
rows = st.fixed_dictionaries(
    {
        "id": st.integers(1, 4),
        "project_id": st.integers(1, 6),
        "task_id": st.none() | st.integers(1, 3),
        "worker_email": st.sampled_from(["ada@example.com", "Bob@Example.com "]),
        "work_on": st.integers(-1_000, 30_000),
        "hours": hours_of(0, 2_400) | hours_of(-75_000, 2_500),
        "minutes": st.none() | st.none() | st.integers(0, 600),
        "is_billable": st.booleans(),
        "status": st.sampled_from(["draft", "approved", "approved", "lost"]),
        "bill_rate": rates,
        "cost_rate": rates,
        "currency": st.sampled_from(["EUR", "JPY", None]),
        "notes": st.none() | st.just(UNAVAILABLE) | st.text(max_size=5),
        "updated_at": st.just("2026-01-01T00:00:00.000000Z"),
    }
)
changes = st.tuples(st.sampled_from("cuuudr"), rows)


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Changes in source order with tombstones and garbage, and any of them repeated later on."""
    fresh = draw(st.lists(changes, max_size=14))
    stream: list[tuple[str, Any]] = []
    for position, (op, row) in enumerate(fresh):
        stream.append(("change", (position, op, row)))
        for _ in range(draw(st.integers(0, 2))):
            stream.append(draw(st.sampled_from([*stream, ("tombstone", None), ("garbage", None)])))
    return stream


def encoded(source: Source, kind: str, content: Any) -> bytes | None:
    if kind == "tombstone":
        return None
    if kind == "garbage":
        return b"\0\0\0\0\1\xff"
    index, op, row = content
    position = (index + 1) * APART
    if op == "d":
        return source.change(position, None, op="d", before=row)
    if op == "r":
        return snapshot_read(source, position, row)
    return source.change(position, row, op=op)


def snapshot_read(source: Source, position: int, row: Record) -> bytes:
    """A row as the initial snapshot taken at a position found it."""
    schema_id, payload = unframe(source.change(position, row, op="r"))
    codec = RecordCodec(debezium_schema_cached())
    envelope = codec.decode(payload)
    block = envelope["source"]
    assert isinstance(block, dict)
    block["snapshot"] = "true"
    return frame(schema_id, codec.encode(envelope))


def normalized(
    source_values: list[bytes | None], registry: FakeRegistry, cuts: list[int]
) -> tuple[Compacted, Accounting]:
    normalize, state = make_normalizer(mapping(), registry), MemoryState()
    topic: Compacted = {}
    newest: dict[str, int] = {}
    parts = []
    bounds = [0, *sorted(cut % (len(source_values) + 1) for cut in cuts), len(source_values)]
    for low, high in itertools.pairwise(bounds):
        effects = normalize(chunk_of(TOPIC, source_values[low:high], start=low), state)
        assert effects.accounting.consumed == high - low
        parts.append(effects.accounting)
        state.commit(effects)
        for record in published(effects):
            if record.topic == "psa.dlq":
                continue
            if record.value is None:
                topic.pop((record.partition, record.key), None)
            else:
                at, position = record.value.pop("source_at"), record.value["source_position"]
                # Readers of the canonical topic skip what is not newer than what they have.
                row_id = record.value["id"]
                assert position > newest.get(row_id, 0)
                newest[row_id] = position
                topic[record.partition, record.key] = record.value | {
                    "source_at_ms": int(at.timestamp() * 1000),
                    "source_position": streamed_position(position),
                }
    return topic, Accounting(
        applied=sum(part.applied for part in parts),
        stale=sum(part.stale for part in parts),
        dead_lettered=sum(part.dead_lettered for part in parts),
    )


@settings(deadline=None, max_examples=examples(20))
@given(stream=streams(), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_i3_i5_any_chunks_and_repeats_compact_to_what_the_oracle_says(
    stream: list[tuple[str, Any]], cuts: list[int]
) -> None:
    registry = FakeRegistry()
    source = Source(TOPIC, registry)
    values = [encoded(source, kind, content) for kind, content in stream]
    oracle = Oracle()
    for value in values:
        oracle.read(value)
    topic, accounting = normalized(values, registry, cuts)
    assert topic == oracle.topic
    assert accounting == Accounting(oracle.applied, oracle.stale, 0, oracle.dead_lettered)


@dataclass(frozen=True)
class Captured:
    """An event as a database's connector writes it; the row holds which write was its last."""

    is_read: bool
    position: int
    row: int
    written: int


@dataclass
class Database:
    """Transactions over a few rows, the log they share, and what a connector captures of them."""

    captured: list[Captured] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)
    running: dict[int, dict[int, int]] = field(default_factory=dict)
    position: int = 0
    is_capturing: bool = False

    def do(self, step: tuple[str, int, int]) -> None:
        action, transaction, row = step
        self.position += APART
        if action == "write":
            self.write(transaction, row)
        elif action == "commit":
            self.commit(transaction)
        elif action == "snapshot":
            self.snapshot()
        else:
            self.is_capturing = False

    def write(self, transaction: int, row: int) -> None:
        locks = (rows for other, rows in self.running.items() if other != transaction)
        if not any(row in rows for rows in locks):
            self.running.setdefault(transaction, {})[row] = self.position

    def commit(self, transaction: int) -> None:
        writes = self.running.pop(transaction, {})
        self.committed |= writes
        if self.is_capturing:
            self.captured += [Captured(False, at, row, at) for row, at in writes.items()]

    def snapshot(self) -> None:
        self.is_capturing = True
        self.captured += [
            Captured(True, self.position, row, written) for row, written in self.committed.items()
        ]


@st.composite
def databases(draw: st.DrawFn) -> Database:
    """A database that was captured to its present state, from a last snapshot on at least."""
    # Few rows and transactions, so that they meet.
    action = st.sampled_from(["write"] * 4 + ["commit"] * 3 + ["snapshot", "lose the slot"])
    step = st.tuples(action, st.integers(1, 2), st.integers(1, 2))
    database = Database()
    for item in draw(st.lists(step, min_size=4, max_size=24)):
        database.do(item)
    if not database.is_capturing:
        database.do(("snapshot", 0, 0))
    for transaction in list(database.running):
        database.do(("commit", transaction, 0))
    return database


def entry_written(row: int, position: int) -> Record:
    return {
        "id": row,
        "project_id": 4,
        "task_id": None,
        "worker_email": "ada@example.com",
        "work_on": 20_000,
        "hours": Decimal(position // APART).scaleb(-2),
        "minutes": None,
        "is_billable": True,
        "status": "approved",
        "bill_rate": None,
        "cost_rate": None,
        "currency": "EUR",
        "notes": None,
        "updated_at": "2026-01-01T00:00:00.000000Z",
    }


@settings(deadline=None, max_examples=examples(20))
@given(database=databases(), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_i3_snapshots_and_changes_around_them_compact_to_the_database(
    database: Database, cuts: list[int]
) -> None:
    registry = FakeRegistry()
    source = Source(TOPIC, registry)
    values: list[bytes | None] = []
    for event in database.captured:
        row = entry_written(event.row, event.written)
        values.append(
            snapshot_read(source, event.position, row)
            if event.is_read
            else source.change(event.position, row)
        )
    topic, _ = normalized(values, registry, cuts)
    hours = {record["id"]: record["hours"] for record in topic.values()}
    assert hours == {
        f"inhouse:time_entry:{row}": entry_written(row, written)["hours"]
        for row, written in database.committed.items()
    }
