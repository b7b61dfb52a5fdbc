"""Every compacted topic is a table to whoever reads it by key, whatever rows do.

Two readers: one keeps a table a partition and takes them together, as a KTable does; one keeps a
single table and upserts and deletes by key, taking the partitions in any interleaving, as sink
connectors do. Both must hold the rows that stand, each once.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import CANONICAL, Cleanup, Route
from streams.agents.normalize import make_normalizer
from streams.engine import ChunkHandler
from tests.property.test_tables_oracle import any_history, chunk_sizes, play, seeds, unhurried
from tests.support.catalogue import BY_NAME
from tests.support.examples import examples
from tests.support.firms import oracle_of
from tests.support.histories import Change
from tests.support.oracle import OUTPUTS, comparable
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    Published,
    Source,
    chunk_of,
    mapping_of,
    published,
)
from tests.unit.streams.test_normalize import entry

Rows = dict[str, dict[str, Any]]
Log = list[tuple[str, dict[str, Any] | None]]
PLACE = "schemas/topics.py"
DAY = 20_543

MOVERS: dict[str, tuple[str, dict[str, Any], str, tuple[Any, ...]]] = {
    # canonical topic: source topic, a sound row, the column that moves it, its values
    "psa.time_entry": ("src.inhouse.time_entries", entry(), "project_id", (1, 2, 3, 4, 5)),
    "psa.task": (
        "src.inhouse.tasks",
        {"name": "Build", "is_billable": True, "updated_at": "2026-01-01T00:00:00.000000Z"},
        "project_id",
        (1, 2, 3, 4, 5),
    ),
    "psa.customer": (
        "src.netsuite.customer",
        {"companyname": "Acme", "isinactive": False},
        "externalid",
        (None, *(f"cus-{letter * 16}" for letter in "abcd")),
    ),
    "psa.opportunity_line": ("src.salesforce.opportunity_line_item", {}, "OpportunityId", "abcde"),
    "psa.time_bill": (
        "src.netsuite.time_bill",
        {"seconds": 3_600},
        "custcol_psa_project",
        (None, "a", "b|c", "d", "e"),
    ),
    "psa.assignment": (
        "src.float.allocation",
        {
            "people_id": 1,
            "start_date": DAY,
            "end_date": DAY,
            "hours": Decimal("8.00"),
            "status": 2,
            "billable": 1,
            "repeat_state": 0,
        },
        "project_id",
        (1, 2, 3, 4, 5),
    ),
}


def ktable(log: Sequence[Log]) -> dict[int, Rows]:
    """The table of each partition."""
    tables: dict[int, Rows] = defaultdict(dict)
    for partition, records in enumerate(log):
        for key, value in records:
            upsert(tables[partition], key, value)
    return tables


def interleaved(log: Sequence[Log], seed: int) -> Rows:
    """One table, the partitions read as a seed has it."""
    chances, table = random.Random(seed), Rows()
    rest = [iter(records) for records in log]
    turns = [partition for partition, records in enumerate(log) for _ in records]
    chances.shuffle(turns)
    for partition in turns:
        upsert(table, *next(rest[partition]))
    return table


def upsert(table: Rows, key: str, value: dict[str, Any] | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def assert_reads_as(topic: str, log: Sequence[Log], rows: Rows, seed: int) -> None:
    """Both readers hold these rows (by row id); a broadcast topic once a partition."""
    tables, single = ktable(log), interleaved(log, seed)
    if BY_NAME[topic].route is Route.BROADCAST:
        assert all(table == single for table in tables.values()), topic
    else:
        assert sum(map(len, tables.values())) == len(single), topic
        assert {key: row for table in tables.values() for key, row in table.items()} == single
    assert len(single) == len(rows), topic
    assert {BY_NAME[topic].row_id(key): row for key, row in single.items()} == rows, topic


@cache
def bench(source_topic: str) -> tuple[ChunkHandler, Source, FakeRegistry]:
    registry = FakeRegistry()
    return (
        make_normalizer(mapping_of(source_topic), registry),
        Source(source_topic, registry),
        registry,
    )


steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 4), st.sampled_from("uuuud"), st.booleans()),
    min_size=1,
    max_size=25,
)


@pytest.mark.fault("C22", place=PLACE)
@pytest.mark.parametrize("topic", MOVERS)
@settings(deadline=None, max_examples=examples(10))
@given(steps=steps, seed=seeds)
def test_c22_rows_that_move_stand_once_in_what_the_normalizer_writes(
    topic: str, steps: list[tuple[int, int, str, bool]], seed: int
) -> None:
    """A step: the row, its place, change or deletion, and whether a chunk ends with it."""
    source_topic, sound, column, places = MOVERS[topic]
    normalize, source, _ = bench(source_topic)
    key = mapping_key(source_topic)
    state, chunk, records = MemoryState(), list[bytes | None](), list[Published]()
    held: dict[int, Any] = {}
    for at, (number, place, op, is_last) in enumerate(steps, start=1):
        native: Any = number if BY_NAME[source_topic].contract is None else None
        identity = {key: native if native is not None else native_id(source_topic, number)}
        row = {**sound, column: places[place % len(places)], **identity}
        deleted = op == "d"
        before = {**row} if deleted else None
        chunk.append(source.change(at * 1000, None if deleted else row, op=op, before=before))
        held.pop(number, None)
        if not deleted:
            held[number] = row[column]
        if is_last or at == len(steps):
            effects = normalize(chunk_of(source_topic, chunk), state)
            assert not effects.accounting.dead_lettered
            state.commit(effects)
            records += [each for each in published(effects) if each.topic == topic]
            chunk = []
    log: list[Log] = [[] for _ in range(BY_NAME[topic].partitions)]
    for record in records:
        log[record.partition].append((record.key, record.value))
    last = {each.value["id"]: each.value for each in records if each.value}
    standing = {row_id: row for row_id, row in last.items() if row_number(row_id) in held}
    assert len(standing) == len(held)
    assert_reads_as(topic, log, standing, seed)


def mapping_key(source_topic: str) -> str:
    return {"src.float.allocation": "task_id"}.get(
        source_topic, "Id" if "salesforce" in source_topic else "id"
    )


def native_id(source_topic: str, number: int) -> Any:
    return number if "float" in source_topic else str(number)


def row_number(row_id: str) -> int:
    return int(row_id.rpartition(":")[2])


@pytest.mark.fault("C22", place=PLACE)
@unhurried
@given(any_history, seeds, chunk_sizes)
def test_c22_every_compacted_topic_reads_as_the_rows_that_stand(
    history: list[Change], seed: int, chunk_max: int
) -> None:
    topology, feeder = play(history, seed, chunk_max)
    logs = {
        topic: [[topology.message(key, value) for _, key, value in partition] for partition in log]
        for topic, log in topology.topics.items()
        if topic in BY_NAME and BY_NAME[topic].cleanup is Cleanup.COMPACT
    }
    outputs = oracle_of(feeder).tables()
    for topic, log in logs.items():
        single = interleaved(log, seed)
        if topic in OUTPUTS:
            assert comparable(single) == outputs[topic]
        if topic in feeder.rows:
            ids = {BY_NAME[topic].row_id(key) for key in single}
            assert ids == feeder.rows[topic].keys()
        rows = {BY_NAME[topic].row_id(key): row for key, row in single.items()}
        assert_reads_as(topic, log, rows, seed + 1)


@pytest.mark.fault("C22", place=PLACE)
def test_c22_every_canonical_topic_whose_rows_move_is_tried() -> None:
    moving = {topic.name for topic in CANONICAL if topic.rows_move}
    of_a_single_shape = {
        "psa.opportunity",  # its engagement is minted from its own id
        "psa.expense",  # as tasks
    }
    assert moving - MOVERS.keys() == of_a_single_shape


@pytest.mark.fault("C22", place=PLACE)
def test_c22_a_row_is_found_in_its_key_whatever_its_co_partition_key_holds() -> None:
    topic = BY_NAME["psa.expense"]
    key = topic.message_key("typed | by hand", "inhouse:expense:7")
    assert topic.row_id(key) == "inhouse:expense:7" != key
