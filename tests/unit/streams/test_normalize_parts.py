"""Parts: several records of one entity from a row, each with an id of its own."""

from __future__ import annotations

from typing import Any

import pytest

from psastream.system import tried_row
from schemas.errors import ConfigError
from schemas.mapping.loader import load_system
from streams.agents.normalize import make_normalizer
from streams.engine import Effects
from tests.support.catalogue import load_mappings
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
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
        parts:
          build: {title: "name || ' build'", is_made: "name <> 'tests only'"}
          tests: {title: "name || ' tests'", is_made: "TRUE"}
        when: part.is_made
        fields:
          project_ref: {from: project_id, source_id: "inhouse:project"}
          name: {first_non_null: [{sql: "UPPER(part.title)"}, {constant: none}]}
          is_billable: {from: is_billable}
        required: [name]
      - entity: role
        fields: {name: {from: name}}
"""
ROW: dict[str, Any] = {"id": 1, "project_id": 4, "name": "quay", "is_billable": True}


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

    def row(self, position: int, **changes: Any) -> bytes:
        return self.source.change(position, ROW | changes)

    def gone(self, position: int) -> bytes:
        return self.source.change(position, None, op="d", before=ROW)


def told(effects: Effects, entity: str = "task") -> list[tuple[str, object, object]]:
    """Key, id and name of published records, None for a tombstone."""
    return [
        (each.key, each.value and each.value["id"], each.value and each.value["name"])
        for each in published(effects)
        if each.topic == f"psa.{entity}"
    ]


BUILD, TESTS = "inhouse:task:1,build", "inhouse:task:1,tests"
AT = "inhouse:project:4|"


def test_a_row_makes_a_record_of_each_part_under_an_id_of_its_own() -> None:
    bench = Bench()
    made = bench.feed(bench.row(1))
    assert told(made) == [
        (AT + BUILD, BUILD, "QUAY BUILD"),
        (AT + TESTS, TESTS, "QUAY TESTS"),
    ]
    assert next(each[:2] for each in told(made, "role")) == ("inhouse:task:1", "inhouse:task:1")


def test_a_part_that_is_no_more_is_deleted_alone() -> None:
    bench = Bench()
    bench.feed(bench.row(1))
    assert told(bench.feed(bench.row(2, name="tests only"))) == [
        (AT + BUILD, None, None),
        (AT + TESTS, TESTS, "TESTS ONLY TESTS"),
    ]


def test_all_parts_move_and_go_with_their_row() -> None:
    bench = Bench()
    bench.feed(bench.row(1))
    moved = [key for key, _, _ in told(bench.feed(bench.row(2, project_id=5)))]
    there = "inhouse:project:5|"
    assert sorted(moved) == sorted([AT + BUILD, AT + TESTS, there + BUILD, there + TESTS])
    assert told(bench.feed(bench.gone(3))) == [
        (there + BUILD, None, None),
        (there + TESTS, None, None),
    ]


def test_rows_that_are_tried_show_the_parts_apart() -> None:
    [tasks] = load_system(MAPPING, {}, {}).mappings
    columns = {"id": "long", "project_id": "long", "name": "text", "is_billable": "boolean"}
    made = tried_row(tasks, None, ROW | {"name": "tests only"}, columns)
    assert (list(made.records), made.unmade) == (["task.tests", "role"], ["task.build"])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('tests: {title: "name || \' tests\'", is_made: "TRUE"}', "tests: {title: name}", "same"),
        ("UPPER(part.title)", "UPPER(part.label)", "line 17, .* unknown source column part"),
        ("is_made: \"TRUE\"", "is_made: \"TRUEISH\"", "line 14, .* unknown source column TRUEISH"),
    ],
)  # fmt: skip
def test_what_is_no_part_is_told_with_its_line(old: str, new: str, problem: str) -> None:
    assert old in MAPPING
    with pytest.raises(ConfigError, match=problem):
        load_system(MAPPING.replace(old, new), {}, {})
