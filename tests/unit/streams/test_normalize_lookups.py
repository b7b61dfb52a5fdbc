"""Rows that look others up, chunk by chunk: when they are published, under which versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec
from schemas.envelope import UNAVAILABLE
from schemas.mapping.loader import load_system
from schemas.topics import PARTITIONS
from streams.agents.lookups import PROJECTIONS, stamp_of
from streams.engine import Accounting, Chunk, Effects, OutputBatch
from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE
from tests.support.source_events import MemoryState, Published, chunk_of, published
from tests.support.topology import FixedRegistry

MAPPING: Final = """
system: ledger
capture: debezium
objects:
  headers:
    kind: header
    key: id
    columns: {id: long, project: text, state: text, flag: boolean}
  lines:
    kind: line
    key: id
    columns: {id: long, header_id: long, notes: text, status: text}
    source_checks: {status: {one_of: [draft, approved]}}
    lookups: {header: {object: headers, by: header_id, columns: [project, state]}}
    targets:
      - entity: time_entry
        when: header.state IS DISTINCT FROM 'void'
        fields: {project_ref: {from: header.project}, notes: {from: notes}, status: {from: status}}
        required: [project_ref]
        unset_kept: [notes]
      - entity: role
        fields: {name: {from: header.state}}
"""
LSN: Final = 1_000
STAMP: Final = 1_767_225_600_000_000
"""Of the first record of a chunk, in microseconds."""


class Bench:
    """One partition of the normalizer."""

    def __init__(self, mapping: str = MAPPING) -> None:
        self.registry = FixedRegistry()
        self.state = MemoryState()
        self.position = 0
        self.use(mapping)

    def use(self, mapping: str) -> None:
        """Go on with another mapping."""
        system = load_system(mapping, {}, {})
        self.mappings = {each.topic.rpartition(".")[2]: each for each in system.mappings}
        self.ids = {
            name: self.registry.add(f"src.ledger.{name}-value", each.reader)
            for name, each in self.mappings.items()
        }
        [group, *_] = make_groups(system.mappings, self.registry, LANDSCAPE)
        assert group.name == "normalize" and group.counted == b"waits|"
        self.handlers = group.handlers()

    def event(self, name: str, row: Mapping[str, Any] | int | None) -> bytes:
        """A change of a row; of its id alone its deletion, of None a truncation."""
        self.position += LSN
        mapping = self.mappings[name]
        fields: Any = mapping.reader.parsed["fields"]
        [read] = [each["type"][1]["fields"] for each in fields if each["name"] == "after"]
        after = None
        if isinstance(row, Mapping):
            after = {each["name"]: row.get(each["name"]) for each in read}
        op = "t" if row is None else "u" if after else "d"
        source: dict[str, Any] = {"ts_ms": self.position % 10**12, "lsn": self.position}
        source |= {"sequence": None, "snapshot": None}
        before = {"id": row if isinstance(row, int) else None}
        envelope = {"before": before, "after": after, "source": source, "op": op}
        return frame(self.ids[name], RecordCodec(mapping.reader).encode(envelope))

    def feed(self, name: str, *rows: Mapping[str, Any] | int | None) -> Effects:
        """One chunk of changes."""
        values = [self.event(name, row) for row in rows]
        chunk = chunk_of(f"src.ledger.{name}", values)
        if rows == (None,):
            chunk = replace(chunk, keys=[None])
        return self.handle(chunk)

    def handle(self, chunk: Chunk) -> Effects:
        effects = self.handlers[chunk.topic](chunk, self.state)
        assert effects.accounting.consumed == len(chunk)
        self.state.commit(effects)
        return effects

    def carry(self, effects: Effects, *, timestamp_ms: int | None = None) -> Effects:
        """Hand what rows show on to the partition."""
        shown = [
            (key, value)
            for batch in effects.outputs
            if isinstance(batch, OutputBatch) and batch.topic == PROJECTIONS.name
            for to, key, value in zip(batch.partitions, batch.keys, batch.values, strict=True)
            if to == 0
        ]
        chunk = chunk_of(PROJECTIONS.name, [value for _, value in shown])
        chunk = replace(chunk, keys=[key for key, _ in shown])
        if timestamp_ms is not None:
            chunk = replace(chunk, timestamps_ms=[timestamp_ms] * len(chunk))
        return self.handle(chunk)


def seen(effects: Effects, entity: str = "time_entry") -> list[tuple[str, Any]]:
    """What readers of a topic see: keys, and the project of each record, None where it goes."""
    name = "project_ref" if entity == "time_entry" else "name"
    return [
        (record.key, record.value and record.value[name])
        for record in published(effects)
        if record.topic == f"psa.{entity}"
    ]


def versions(effects: Effects) -> list[int]:
    return [
        record.value["source_position"]
        for record in published(effects)
        if record.topic == "psa.time_entry" and record.value is not None
    ]


LINE: Final = {"id": 1, "header_id": 5, "notes": "n"}
HEADER: Final = {"id": 5, "project": "p1", "state": "open"}
ROW: Final = "ledger:line:1"


def published_line() -> Bench:
    """A bench whose line has been published."""
    bench = Bench()
    bench.carry(bench.feed("headers", HEADER))
    assert seen(bench.feed("lines", LINE)) == [(f"p1|{ROW}", "p1")]
    return bench


def test_a_row_waits_until_what_it_looks_up_is_there() -> None:
    bench = Bench()
    first = bench.feed("lines", LINE, {"id": 2})
    assert first.accounting == Accounting(parked=2)
    assert seen(first) == seen(first, "role") == []
    assert bench.state.rows[b"waits|ledger:line:1"] == b"ledger:line|header|missing"
    # Of a row that looks for nothing a rule decides: it has no project.
    assert bench.state.rows[b"waits|ledger:line:2"] == b"ledger:line||unfit"
    carried = bench.carry(bench.feed("headers", HEADER))
    assert carried.accounting == Accounting(applied=1)
    assert seen(carried) == [(f"p1|{ROW}", "p1")]
    assert [*bench.state.scan(b"waits|ledger:line:1")] == []


def test_what_rows_show_goes_to_every_partition_and_its_end_does() -> None:
    bench = Bench()
    shown = [r for r in published(bench.feed("headers", HEADER)) if r.topic == PROJECTIONS.name]
    record = {"id": "ledger:header:5", "columns": ["project", "state"], "texts": ["p1", "open"]}
    assert shown == [
        Published(PROJECTIONS.name, partition, "ledger:header:5", record)
        for partition in range(PARTITIONS)
    ]
    nulls = [r for r in published(bench.feed("headers", {"id": 5})) if r.topic == PROJECTIONS.name]
    assert [record.value and record.value["texts"] for record in nulls] == [[None, None]] * 4
    gone = [r for r in published(bench.feed("headers", 5)) if r.topic == PROJECTIONS.name]
    assert [(r.partition, r.key, r.value) for r in gone] == [
        (partition, "ledger:header:5", None) for partition in range(PARTITIONS)
    ]
    assert bench.feed("headers").outputs == []


def test_a_row_moves_and_goes_with_what_it_looks_up() -> None:
    bench = published_line()
    moved = bench.carry(bench.feed("headers", {**HEADER, "project": "p2"}))
    assert seen(moved) == [(f"p1|{ROW}", None), (f"p2|{ROW}", "p2")]
    void = bench.carry(bench.feed("headers", {**HEADER, "state": "void"}))
    assert seen(void) == [(f"p2|{ROW}", None)]
    assert seen(void, "role") == [(ROW, "void")] * PARTITIONS
    assert [*bench.state.scan(b"waits|")] == []


def test_a_row_whose_parent_has_gone_waits_again() -> None:
    bench = published_line()
    gone = bench.carry(bench.feed("headers", 5))
    assert seen(gone) == [(f"p1|{ROW}", None)]
    assert seen(gone, "role") == [(ROW, None)] * PARTITIONS
    assert bench.state.rows[b"waits|ledger:line:1"] == b"ledger:line|header|missing"
    assert seen(bench.carry(bench.feed("headers", HEADER))) == [(f"p1|{ROW}", "p1")]


def test_what_changes_nothing_of_what_is_shown_publishes_nothing() -> None:
    bench = published_line()
    again = bench.carry(bench.feed("headers", {**HEADER, "flag": True}))
    assert again.outputs == [] and again.state == {}


def test_each_version_of_a_row_is_newer_than_the_last() -> None:
    bench = Bench()
    bench.carry(bench.feed("headers", HEADER))
    found = versions(bench.feed("lines", LINE))
    assert found == [STAMP + 2]
    found += versions(bench.carry(bench.feed("headers", {**HEADER, "project": "p2"})))
    found += versions(bench.feed("lines", {**LINE, "notes": "m"}))
    found += versions(bench.carry(bench.feed("headers", HEADER)))
    assert found == [STAMP + 2, STAMP + 4, STAMP + 6, STAMP + 8]
    bench.feed("lines", 1)
    assert versions(bench.feed("lines", LINE)) == [STAMP + 12]


def test_what_passes_within_a_chunk_has_a_version_of_its_own() -> None:
    bench = Bench()
    bench.carry(bench.feed("headers", HEADER))
    effects = bench.feed("lines", LINE, 1)
    assert seen(effects) == [(f"p1|{ROW}", "p1"), (f"p1|{ROW}", None)]
    assert versions(effects) == [STAMP + 1_000 + 1]
    assert versions(bench.feed("lines", LINE)) == [STAMP + 1_000 + 4]


def test_versions_are_as_late_as_the_chunk_and_as_the_position() -> None:
    bench = published_line()
    later = bench.feed("headers", {**HEADER, "project": "p2"})
    assert versions(bench.carry(later, timestamp_ms=1_800_000_000_000)) == [1_800_000_000_000_002]
    bench.position = 2 * 10**15
    assert versions(bench.feed("lines", LINE)) == [2 * 10**15 + LSN + 2]


@pytest.mark.parametrize(
    ("stamps", "stamp"),
    [
        ([5, 7, 6], 7_000),
        ([], 0),
        ([-1], 0),
        ([0], 0),
        ([253_402_300_799_999], 253_402_300_799_999_000),
        ([253_402_300_800_000, 3], 3_000),
    ],
)
def test_a_stamp_is_the_latest_time_that_is_one(stamps: list[int], stamp: int) -> None:
    chunk = replace(chunk_of("src.ledger.lines", [None] * len(stamps)), timestamps_ms=stamps)
    assert stamp_of(chunk) == stamp


def test_a_repeated_change_is_stale_also_after_what_it_looked_up_changed() -> None:
    bench = published_line()
    bench.position -= LSN
    chunk = chunk_of("src.ledger.lines", [bench.event("lines", LINE)])
    bench.carry(bench.feed("headers", {**HEADER, "project": "p2"}))
    effects = bench.handle(chunk)
    assert effects.accounting == Accounting(stale=1)
    assert (effects.outputs, effects.state) == ([], {})


def test_a_rule_without_lookups_refuses_a_change_and_the_former_one_stands() -> None:
    bench = published_line()
    refused = bench.feed("lines", {**LINE, "header_id": None, "status": "lost"})
    assert refused.accounting == Accounting(dead_lettered=1)
    assert seen(refused) == []
    changed = bench.carry(bench.feed("headers", {**HEADER, "project": "p2"}))
    assert seen(changed) == [(f"p1|{ROW}", None), (f"p2|{ROW}", "p2")]


def test_a_kept_text_stays_where_a_row_is_published_again() -> None:
    bench = published_line()
    bench.feed("lines", {**LINE, "notes": UNAVAILABLE})
    changed = bench.carry(bench.feed("headers", {**HEADER, "project": "p2"}))
    [record] = [r.value for r in published(changed) if r.topic == "psa.time_entry" and r.value]
    assert record["notes"] == "n"
    # The source holds it, though the change that brought it was refused.
    bench.feed("lines", {**LINE, "notes": "newer", "status": "lost"})
    changed = bench.carry(bench.feed("headers", HEADER))
    [record] = [r.value for r in published(changed) if r.topic == "psa.time_entry" and r.value]
    assert record["notes"] == "newer"


def test_a_text_that_a_database_did_not_send_is_not_shown() -> None:
    bench = published_line()
    unset = bench.feed("headers", {**HEADER, "project": UNAVAILABLE})
    assert unset.accounting == Accounting(dead_lettered=1)
    assert [r for r in published(unset) if r.topic == PROJECTIONS.name] == []


def test_a_truncation_ends_what_rows_show_and_rows_that_wait() -> None:
    bench = published_line()
    bench.feed("lines", {"id": 2, "header_id": 6})
    gone = bench.feed("headers", None)
    assert seen(bench.carry(gone)) == [(f"p1|{ROW}", None)]
    assert len([*bench.state.scan(b"waits|")]) == 2
    bench.feed("lines", None)
    assert [*bench.state.scan(b"waits|")] == [*bench.state.scan(b"lookd|")] == []
    assert bench.carry(bench.feed("headers", HEADER, {**HEADER, "id": 6})).outputs == []


def test_a_projection_that_cannot_be_read_is_a_dead_letter() -> None:
    bench = Bench()
    chunk = replace(chunk_of(PROJECTIONS.name, [b"\x00", None]), keys=[b"x", b"y"])
    effects = bench.handle(chunk)
    assert effects.accounting == Accounting(dead_lettered=2)
    assert {record.topic for record in published(effects)} == {"psa.dlq"}


def test_another_mapping_goes_on_with_the_state_there_is() -> None:
    bench = published_line()
    bench.use(MAPPING.replace("[project, state]", "[project, state, flag]"))
    changed = bench.feed("lines", {**LINE, "notes": "m"})
    assert seen(changed) == [(f"p1|{ROW}", None)]
    assert bench.state.rows[b"waits|ledger:line:1"] == b"ledger:line|header|unreadable"
    assert seen(bench.carry(bench.feed("headers", HEADER))) == [(f"p1|{ROW}", "p1")]
    bench.use(MAPPING.replace("one_of: [draft", "one_of: [draught"))
    assert seen(bench.carry(bench.feed("headers", {**HEADER, "project": "p3"}))) == [
        (f"p1|{ROW}", None),
        (f"p3|{ROW}", "p3"),
    ]


def test_a_row_that_another_mapping_refuses_waits() -> None:
    bench = published_line()
    bench.use(MAPPING.replace("required: [project_ref]", "required: [project_ref, status]"))
    assert seen(bench.carry(bench.feed("headers", {**HEADER, "project": "p2"}))) == [
        (f"p1|{ROW}", None)
    ]
    assert bench.state.rows[b"waits|ledger:line:1"] == b"ledger:line||unfit"


def test_a_row_that_cannot_be_read_any_more_stays_as_it_was() -> None:
    bench = published_line()
    bench.use(MAPPING.replace("status: text}", "status: text, extra: text}").replace(
        "status: {from: status}", "status: {from: extra}"
    ))  # fmt: skip
    effects = bench.carry(bench.feed("headers", {**HEADER, "project": "p2"}))
    assert seen(effects) == []
    assert bench.state.rows[b"waits|ledger:line:1"] == b"ledger:line||unreadable"
    assert effects.accounting == Accounting(applied=1)


def test_a_mapping_without_lookups_reads_and_keeps_nothing_more() -> None:
    plain = MAPPING.replace(
        "    lookups: {header: {object: headers, by: header_id, columns: [project, state]}}\n", ""
    ).replace("header.state", "status").replace("header.project", "notes")  # fmt: skip
    plain = plain.replace("required: [project_ref]", "").replace(
        "        unset_kept: [notes]\n", ""
    )
    bench = Bench(plain)
    assert [*bench.handlers] == ["src.ledger.lines"]
    assert versions(bench.feed("lines", LINE)) == [LSN]
    assert [*bench.state.rows] == [b"ledger:line:1", b"source|src.ledger.lines"]
