"""Targets with a condition: a record is published while it is true, and deleted when that ends."""

from __future__ import annotations

from typing import Any

import pytest

from streams.agents.normalize import make_normalizer
from streams.engine import Accounting, Effects
from tests.support.catalogue import load_mappings
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    Published,
    Source,
    chunk_of,
    published,
)

TOPIC = "src.inhouse.tasks"
MAPPING = """
system: inhouse
capture: debezium
objects:
  tasks:
    kind: task
    key: id
    columns: {id: long, project_id: long, name: text, is_billable: boolean}
    targets:
      - entity: task
        when: CASE WHEN name <> 'unknown' THEN is_billable END
        fields:
          project_ref: {from: project_id, source_id: "inhouse:project"}
          name: {sql: "upper(name)"}
      - entity: role
        when: name LIKE 'lead%'
        fields: {name: {from: name}}
"""

ROW: dict[str, Any] = {"id": 1, "project_id": 4, "name": "build", "is_billable": True}


class Bench:
    def __init__(self) -> None:
        registry = FakeRegistry()
        self.source = Source(TOPIC, registry)
        self.state = MemoryState()
        self.normalize = make_normalizer(load_mappings(MAPPING)[TOPIC], registry)
        self._next = 0

    def feed(self, *values: bytes) -> Effects:
        chunk = chunk_of(TOPIC, values, start=self._next)
        self._next += len(values)
        effects = self.normalize(chunk, self.state)
        self.state.commit(effects)
        return effects

    def task(self, position: int, **changes: Any) -> bytes:
        return self.source.change(position, ROW | changes)

    def gone(self, position: int) -> bytes:
        return self.source.change(position, None, op="d", before=ROW)


def tasks(effects: Effects, entity: str = "task") -> list[tuple[str, object]]:
    """The keys of published records with their names, None for a tombstone."""
    records: list[Published] = [
        each for each in published(effects) if each.topic == f"psa.{entity}"
    ]
    return [(each.key, each.value and each.value["name"]) for each in records]


KEY = "inhouse:project:4|inhouse:task:1"
MOVED = "inhouse:project:5|inhouse:task:1"


def test_a_row_that_no_longer_matches_is_deleted_once_and_comes_back() -> None:
    bench = Bench()
    assert tasks(bench.feed(bench.task(1))) == [(KEY, "BUILD")]
    ended = bench.feed(bench.task(2, is_billable=False))
    assert tasks(ended) == [(KEY, None)]
    assert ended.accounting == Accounting(applied=1)
    assert tasks(bench.feed(bench.task(3, is_billable=False, name="x"))) == []
    assert tasks(bench.feed(bench.task(4))) == [(KEY, "BUILD")]


@pytest.mark.parametrize("row", [{"is_billable": False}, {"name": "unknown"}])
def test_a_row_that_never_matched_is_applied_and_not_published(row: dict[str, Any]) -> None:
    bench = Bench()
    effects = bench.feed(bench.task(1, **row))
    assert tasks(effects) == []
    assert effects.accounting == Accounting(applied=1)
    assert tasks(bench.feed(bench.task(1))) == []  # it is known: this repeats it
    assert tasks(bench.feed(bench.gone(2))) == []


def test_a_row_that_moves_and_no_longer_matches_is_deleted_where_it_was() -> None:
    bench = Bench()
    bench.feed(bench.task(1))
    assert tasks(bench.feed(bench.task(2, project_id=5, is_billable=False))) == [(KEY, None)]
    assert tasks(bench.feed(bench.task(3, project_id=5))) == [(MOVED, "BUILD")]


def test_a_row_that_matches_within_a_chunk_alone_has_been_seen() -> None:
    bench = Bench()
    effects = bench.feed(bench.task(1, name="a"), bench.task(2), bench.task(3, is_billable=False))
    assert tasks(effects) == [(KEY, "BUILD"), (KEY, None)]


def test_what_ends_within_a_chunk_lies_nowhere() -> None:
    bench = Bench()
    bench.feed(bench.task(1))
    effects = bench.feed(bench.task(2, project_id=5), bench.task(3, is_billable=False))
    last = dict(tasks(effects))
    assert last == {KEY: None, MOVED: None}
    assert (MOVED, "BUILD") in tasks(effects)


def test_the_end_of_one_target_leaves_the_other() -> None:
    bench = Bench()
    first = bench.feed(bench.task(1, name="lead a"))
    assert {name for _, name in tasks(first, "role")} == {"lead a"}
    second = bench.feed(bench.task(2, name="b"))
    assert tasks(second) == [(KEY, "B")]
    assert {name for _, name in tasks(second, "role")} == {None}
    third = bench.feed(bench.gone(3))
    assert tasks(third) == [(KEY, None)]
    assert tasks(third, "role") == []


def test_a_truncation_deletes_what_exists_only() -> None:
    bench = Bench()
    bench.feed(bench.task(1), bench.task(2, id=2, is_billable=False))
    truncated = bench.feed(bench.source.change(3, None, op="t"))
    assert tasks(truncated) == [(KEY, None)]
