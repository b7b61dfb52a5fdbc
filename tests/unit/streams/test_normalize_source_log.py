"""What a database tells of a table as a whole: that it was emptied, that its log counts anew."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec.framing import frame, unframe
from schemas.codec.record import RecordCodec
from schemas.topics import PARTITIONS
from streams.agents.normalize import TIMELINE_CHANGED, TRUNCATED, make_normalizer
from streams.agents.source_log import SourceLog
from streams.engine import Accounting, Effects, Output
from tests.support.examples import examples
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    Source,
    chunk_of,
    mapping_of,
    published,
)
from tests.unit.streams.test_normalize import ENTRIES, entry

PLACE = "streams/agents/source_log.py"
MINUTE_MS = 60_000


class Database:
    """The partitions of a captured table, a normalizer on each, and the canonical rows by key."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.source = Source(ENTRIES, self.registry)
        self.normalize = make_normalizer(mapping_of(ENTRIES), self.registry)
        self.states = [MemoryState() for _ in range(PARTITIONS)]
        self.queues: dict[int, list[tuple[bytes | None, bytes]]] = defaultdict(list)
        self.offsets: dict[int, int] = defaultdict(int)
        self.rows: dict[tuple[int, str], dict[str, Any]] = {}
        self.notices: list[str] = []

    def write(self, row_id: int, value: bytes) -> None:
        """Debezium's partitioner: by the key of the row."""
        self.queues[row_id % PARTITIONS].append((b"key", value))

    def truncate(self, position: int, partition: int = 0, **fields: int) -> None:
        """One event without a key, on whatever partition the producer picks."""
        event = self.source.change(position, None, op="t", **fields)
        self.queues[partition].append((None, event))

    def take(self, partition: int, records: int) -> Effects:
        """Have the normalizer of a partition take its next records."""
        taken, self.queues[partition] = (
            self.queues[partition][:records],
            self.queues[partition][records:],
        )
        values = [value for _, value in taken]
        chunk = chunk_of(ENTRIES, values, partition=partition, start=self.offsets[partition])
        self.offsets[partition] += len(taken)
        object.__setattr__(chunk, "keys", [key for key, _ in taken])
        effects = self.normalize(chunk, self.states[partition])
        assert effects.accounting.consumed == len(taken)
        self.states[partition].commit(effects)
        self.notices += effects.notices
        copies = [each for each in effects.outputs if isinstance(each, Output)]
        for copy in copies:
            if copy.topic == ENTRIES:
                assert copy.value is not None
                self.queues[copy.partition].append((copy.key, copy.value))
        effects.outputs = [each for each in effects.outputs if each.topic != ENTRIES]
        for record in published(effects):
            if record.value is None:
                self.rows.pop((record.partition, record.key), None)
            else:
                self.rows[record.partition, record.key] = record.value
        return effects

    def take_all(self) -> None:
        while any(self.queues.values()):
            for partition in range(PARTITIONS):
                if self.queues[partition]:
                    self.take(partition, len(self.queues[partition]))

    def ids(self) -> set[str]:
        return {row["id"].rpartition(":")[2] for row in self.rows.values()}

    def read(self, position: int, row: dict[str, Any], at_ms: int) -> bytes:
        """A row as the snapshot taken at a position and time found it."""
        schema_id, payload = unframe(self.source.change(position, row, op="r", ts_ms=at_ms))
        codec = RecordCodec(self.registry.schemas[schema_id])
        envelope = codec.decode(payload)
        block = envelope["source"]
        assert isinstance(block, dict)
        block["snapshot"] = "true"
        return frame(schema_id, codec.encode(envelope))


@pytest.mark.fault("C15", place="streams/agents/normalize.py")
def test_c15_a_truncated_table_loses_its_rows_on_every_partition() -> None:
    database = Database()
    for row_id in range(1, 9):
        database.write(row_id, database.source.change(row_id, entry(row_id), op="c"))
    database.take_all()
    assert len(database.rows) == 8

    database.truncate(100)
    database.take_all()

    assert database.rows == {}
    assert database.notices == [TRUNCATED] * PARTITIONS


@pytest.mark.fault("C15", place="streams/agents/normalize.py")
@pytest.mark.parametrize("is_one_chunk", [True, False])
def test_c15_a_truncated_row_goes_though_its_id_comes_again_and_is_refused(
    is_one_chunk: bool,
) -> None:
    database = Database()
    database.write(8, database.source.change(100, entry(8), op="c"))
    database.take_all()
    database.truncate(200)
    again = entry(8, currency="??", notes="new words")
    database.write(8, database.source.change(210, again, op="c"))
    if not is_one_chunk:
        database.take(0, 1)
    database.take_all()
    assert not [row for row in database.rows.values() if "source_position" in row]


@pytest.mark.fault("C15", place="streams/agents/normalize.py")
def test_c15_a_truncation_counts_as_applied_and_its_repetition_changes_nothing() -> None:
    database = Database()
    database.write(4, database.source.change(1, entry(4), op="c"))
    database.truncate(100)
    database.truncate(100)

    first = database.take(0, 3)
    again = database.take(1, 1)
    database.truncate(100)
    repeated = database.take(0, 1)

    assert first.accounting == Accounting(applied=2, stale=1)
    assert again.accounting == Accounting(applied=1)
    assert repeated.accounting == Accounting(applied=1)
    assert repeated.state == {}


@st.composite
def histories(draw: st.DrawFn) -> tuple[Database, set[str], list[tuple[int, int]]]:
    """A table written and truncated in log order, its rows at the end, and an order of taking."""
    database, alive = Database(), set()
    steps = draw(st.lists(st.sampled_from(["write", "write", "delete", "truncate"]), max_size=20))
    for position, step in enumerate(steps, start=1):
        row_id = draw(st.integers(1, 6))
        match step:
            case "write":
                row = entry(row_id, project_id=draw(st.integers(1, 5)))
                database.write(row_id, database.source.change(position * 10, row))
                alive.add(str(row_id))
            case "delete":
                row = entry(row_id)
                deletion = database.source.change(position * 10, None, op="d", before=row)
                database.write(row_id, deletion)
                alive.discard(str(row_id))
            case _:
                database.truncate(position * 10, draw(st.integers(0, PARTITIONS - 1)))
                alive.clear()
    turns = draw(st.lists(st.tuples(st.integers(0, PARTITIONS - 1), st.integers(1, 5))))
    return database, alive, turns


@pytest.mark.fault("C15", place="streams/agents/normalize.py")
@settings(deadline=None, max_examples=examples(25))
@given(history=histories())
def test_c15_rows_equal_the_table_whatever_partition_is_ahead(
    history: tuple[Database, set[str], list[tuple[int, int]]],
) -> None:
    database, alive, turns = history
    for partition, records in turns:
        if database.queues[partition]:
            database.take(partition, records)
    database.take_all()
    assert database.ids() == alive


@pytest.mark.fault("C19", place=PLACE)
def test_c19_a_database_that_moved_to_a_server_with_lower_positions_is_taken_in() -> None:
    database, moved_ms = Database(), 1_767_225_600_000 + MINUTE_MS
    database.write(4, database.source.change(9_000, entry(4, status="draft")))
    database.write(8, database.source.change(9_100, entry(8, status="draft")))
    database.take_all()

    database.write(4, database.read(70, entry(4, status="approved"), moved_ms))
    database.write(8, database.read(70, entry(8, status="draft"), moved_ms))
    database.take_all()
    database.write(8, database.source.change(90, entry(8, status="rejected"), ts_ms=moved_ms))
    database.take_all()

    statuses = {row["id"]: row["status"] for row in database.rows.values()}
    assert statuses == {"inhouse:time_entry:4": "approved", "inhouse:time_entry:8": "rejected"}
    assert database.notices == [TIMELINE_CHANGED]


@pytest.mark.fault("C19", place=PLACE)
def test_c19_a_second_move_is_taken_in_too_and_positions_never_fall() -> None:
    log, seen = SourceLog(), []
    database = Database()
    for timeline, (start, at_ms) in enumerate([(9_000, 1), (50, 2), (10, 3)]):
        database.write(4, database.read(start, entry(4), at_ms * MINUTE_MS))
        for step in range(3):
            change = database.source.change(
                start + 10 + step, entry(4, notes=str(timeline)), ts_ms=at_ms * MINUTE_MS
            )
            database.write(4, change)
        database.take_all()
        stored = database.states[0].rows[b"source|" + ENTRIES.encode()]
        log = SourceLog.from_bytes(stored)
        seen.append(log.newest)
    assert seen == sorted(set(seen))
    assert database.notices == [TIMELINE_CHANGED] * 2
    assert next(iter(database.rows.values()))["notes"] == "2"


@pytest.mark.fault("C19", place=PLACE)
def test_c19_a_read_that_is_only_repeated_begins_no_timeline() -> None:
    database = Database()
    read = database.read(70, entry(4, status="draft"), MINUTE_MS)
    database.write(4, read)
    database.write(4, database.source.change(90, entry(4), ts_ms=2 * MINUTE_MS))
    database.write(4, read)
    database.take_all()
    assert [row["status"] for row in database.rows.values()] == ["approved"]
    assert database.notices == []


@pytest.mark.fault("C19", place=PLACE)
@pytest.mark.parametrize("position", [2**63 - 1, 2**62, 2**62 + 1])
def test_c19_positions_at_the_end_of_their_range_do_not_overflow(position: int) -> None:
    database = Database()
    database.write(4, database.source.change(position, entry(4), ts_ms=MINUTE_MS))
    database.write(4, database.read(5, entry(4), 2 * MINUTE_MS))
    database.write(4, database.source.change(position, entry(4), ts_ms=3 * MINUTE_MS))
    database.take_all()
    assert len(database.rows) == 1


def streamed(
    database: Database, position: int, row_id: int, at_ms: int, *, commit: int | None, op: str = "c"
) -> bytes:
    """A streamed change as Debezium tells it: with the last commit before it."""
    value = database.source.change(
        position,
        entry(row_id) if op == "c" else None,
        op=op,
        before=entry(row_id) if op == "d" else None,
        ts_ms=at_ms,
    )
    schema_id, payload = unframe(value)
    codec = RecordCodec(database.registry.schemas[schema_id])
    envelope = codec.decode(payload)
    block = envelope["source"]
    assert isinstance(block, dict)
    block["sequence"] = json.dumps([None if commit is None else str(commit), str(position)])
    return frame(schema_id, codec.encode(envelope))


MOVED_MS = 1_767_225_600_000 + 10 * MINUTE_MS


@pytest.mark.fault("C19", place=PLACE)
@pytest.mark.parametrize("commit", [None, 60])
def test_c19_a_partition_without_a_row_of_the_snapshot_sees_the_move_too(
    commit: int | None,
) -> None:
    """Else what is streamed there is stale, the cure of the runbook included."""
    database, before_ms = Database(), MOVED_MS - 5 * MINUTE_MS
    for row_id in (4, 5, 8):
        change = streamed(database, 9_000 + row_id, row_id, before_ms, commit=9_000)
        database.write(row_id, change)
    database.truncate(9_500, ts_ms=before_ms)
    database.write(4, streamed(database, 9_600, 4, before_ms, commit=9_550))
    database.take_all()
    assert database.ids() == {"4"}

    database.write(5, database.read(70, entry(5), MOVED_MS))  # 4 is gone from the new server
    database.write(8, streamed(database, 80, 8, MOVED_MS + 1, commit=commit))
    database.write(8, streamed(database, 75, 12, MOVED_MS + 2, commit=85))  # a long transaction
    database.write(4, streamed(database, 90, 4, MOVED_MS + 3, commit=88, op="d"))
    database.take_all()

    assert database.ids() == {"5", "8", "12"}
    assert set(database.notices) == {TRUNCATED, TIMELINE_CHANGED}


@pytest.mark.fault("C19", place=PLACE)
@pytest.mark.parametrize("origin", [0, 1, 3])
@pytest.mark.parametrize("is_emptied_before", [False, True])
def test_c19_a_truncation_is_the_first_that_partitions_hear_of_a_new_server(
    origin: int, *, is_emptied_before: bool
) -> None:
    """Partitions 0 and 1 hold rows of the former server, 3 nothing; none saw the new snapshot."""
    database, before_ms = Database(), MOVED_MS - 10 * MINUTE_MS
    if is_emptied_before:
        database.truncate(8_000, 0, ts_ms=before_ms - 1)
    database.write(4, database.read(9_000, entry(4), before_ms))
    database.write(1, database.source.change(9_100, entry(1), ts_ms=before_ms))
    database.take_all()
    assert database.ids() == {"4", "1"}

    database.truncate(80, origin, ts_ms=MOVED_MS)
    database.take_all()
    assert database.ids() == set()

    database.write(4, database.read(70, entry(4), MOVED_MS - 1))  # taken before the truncation
    database.write(1, database.source.change(90, entry(1), ts_ms=MOVED_MS + 1))
    database.take_all()
    assert database.ids() == {"1"}


@pytest.mark.fault("C19", place=PLACE)
def test_c19_a_copied_truncation_that_was_overtaken_begins_no_timeline() -> None:
    """The clock of the server went back a little after the truncation."""
    database = Database()
    database.truncate(80, 1, ts_ms=MOVED_MS)
    database.take(1, 1)
    copy = database.queues[0].pop(0)
    database.write(4, database.source.change(90, entry(4), ts_ms=MOVED_MS - 5_000))
    database.queues[0].append(copy)
    database.take_all()
    assert database.ids() == {"4"}
    assert TIMELINE_CHANGED not in database.notices


@pytest.mark.fault("C19", place=PLACE)
@pytest.mark.parametrize("former", [9_000, 60])
@pytest.mark.parametrize("is_known", [True, False])
def test_c19_a_truncation_on_the_former_server_empties_nothing_of_the_new_one(
    former: int, *, is_known: bool
) -> None:
    """Workers stood still meanwhile: its copies come behind the snapshot of the new server."""
    database, before_ms = Database(), MOVED_MS - 10 * MINUTE_MS
    if is_known:
        for row_id in (4, 5, 8):
            row = database.source.change(former + row_id, entry(row_id), ts_ms=before_ms)
            database.write(row_id, row)
    database.truncate(former + 500, 1, ts_ms=before_ms + 1)
    for row_id in (4, 5):
        database.write(row_id, database.read(70, entry(row_id), MOVED_MS))
    database.take_all()
    # Where the positions of both logs overlap, nothing tells that 8 is of the former one.
    left_over = {"8"} if is_known and former == 60 else set()
    assert database.ids() == {"4", "5"} | left_over

    for row_id in (4, 5):
        change = database.source.change(90, entry(row_id, notes="new"), ts_ms=MOVED_MS + 1)
        database.write(row_id, change)
    database.take_all()
    notes = {row["id"].rpartition(":")[2]: row["notes"] for row in database.rows.values()}
    assert (notes["4"], notes["5"]) == ("new", "new")


@pytest.mark.fault("C19", place=PLACE)
@pytest.mark.parametrize("moves", [1, 2])
def test_c19_a_topic_read_again_into_the_state_brings_no_former_server_back(moves: int) -> None:
    database, at_ms = Database(), MOVED_MS
    records = [
        (4, database.source.change(9_000, entry(4, notes="former"), ts_ms=at_ms)),
        (8, database.source.change(9_001, entry(8), ts_ms=at_ms)),
    ]
    for _ in range(moves):
        at_ms += 10 * MINUTE_MS
        records.append((4, database.read(70, entry(4, notes="read"), at_ms)))
        change = database.source.change(90, entry(4, notes="newest"), ts_ms=at_ms + 1)
        records.append((4, change))
    for _ in range(2):
        database.offsets.clear()
        for row_id, value in records:
            database.write(row_id, value)
        database.truncate(9_500, 1, ts_ms=MOVED_MS + 1)
        database.take_all()
        assert [row["notes"] for row in database.rows.values()][-1] == "newest"

    later = database.source.change(200, entry(4, notes="later"), ts_ms=at_ms + 10 * MINUTE_MS)
    database.write(4, later)
    database.take_all()
    assert [row["notes"] for row in database.rows.values()] == ["later"]
    assert database.notices.count(TIMELINE_CHANGED) == 1  # one chunk


@pytest.mark.fault("C19", place=PLACE)
def test_c19_a_change_written_before_the_snapshot_of_the_new_server_comes_after_it() -> None:
    database = Database()
    database.write(4, database.source.change(9_000, entry(4), ts_ms=MOVED_MS - MINUTE_MS))
    database.write(4, database.read(70, entry(4, status="draft"), MOVED_MS))
    database.write(4, database.source.change(60, entry(4, status="rejected"), ts_ms=MOVED_MS + 1))
    database.take_all()
    assert [row["status"] for row in database.rows.values()] == ["rejected"]


@pytest.mark.fault("C19", place=PLACE)
def test_c19_long_transactions_and_repetitions_begin_no_timeline() -> None:
    database = Database()
    later_ms = MOVED_MS + 5 * MINUTE_MS
    changes = [
        streamed(database, 9_000, 4, MOVED_MS, commit=8_990),
        streamed(database, 100, 8, later_ms, commit=9_001),  # written early, committed late
        streamed(database, 9_200, 12, later_ms + 1, commit=9_100),
    ]
    for change in [*changes, *changes]:  # Connect was restarted
        database.write(4, change)
    database.take_all()
    assert database.ids() == {"4", "8", "12"}
    assert database.notices == []


@pytest.mark.fault("C19", place=PLACE)
def test_c19_a_move_from_the_end_of_the_range_is_taken_in_without_overflow() -> None:
    database, end = Database(), 2**63 - 1
    database.write(4, streamed(database, end, 4, 1, commit=end))
    database.write(4, streamed(database, 5, 8, 5 * MINUTE_MS, commit=4))
    database.take_all()
    assert database.ids() == {"4", "8"}


def test_a_memory_of_fewer_numbers_is_read() -> None:
    log = SourceLog(1, 2, 3, 4, 5, 6, 7)
    assert SourceLog.from_bytes(log.to_bytes()) == log
    assert SourceLog.from_bytes(log.to_bytes()[:32]) == SourceLog(1, 2, 3, 4)
