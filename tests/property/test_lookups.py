"""What rows look up equals a join in SQL over the rows that are left, whatever happened before.

The oracle is SQLite over the last rows. Changes come in any order between objects, cut into any
chunks, any of them again; rows are deleted, tables truncated, parents moved, in circles too.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec
from schemas.mapping.compiled import ObjectMapping
from schemas.mapping.loader import load_system
from schemas.routing import partition_of
from schemas.system import SystemBundle
from schemas.topics import PARTITIONS
from streams.groups import make_groups
from tables.lookups import WAITS
from tests.support.catalogue import LANDSCAPE
from tests.support.examples import examples
from tests.support.topology import STEP_MS, FixedRegistry, Topology

MAPPING: Final = """
system: ledger
capture: debezium
objects:
  headers:
    kind: header
    key: id
    columns: {id: long, project: text, currency: text, state: text}
  tasks:
    kind: task
    key: id
    columns: {id: long, parent_id: long, project: text}
  notes:
    kind: note
    key: id
    columns: {id: long, line_id: long, told: text}
  lines:
    kind: line
    key: id
    columns: {id: long, header_id: long, task_id: long, cents: long, code: text}
    source_checks:
      code: {one_of: [a, b]}
    lookups:
      header: {object: headers, by: header_id, columns: [project, currency, state]}
      root: {object: tasks, by: task_id, closure: parent_id, columns: [project]}
      note: {object: notes, reverse: line_id, columns: [told], optional: true}
    vars:
      place: COALESCE(root.project, header.project)
    targets:
      - entity: expense
        when: header.state IS DISTINCT FROM 'void'
        fields:
          project_ref: {sql: place}
          resource_id: {from: note.told}
          amount: {sql: "CAST(cents AS DECIMAL(18,4))"}
          currency: {from: header.currency}
        checks:
          currency: {one_of: [EUR, USD]}
"""

SQL: Final = """
WITH RECURSIVE up(began, at, parent, project) AS (
  SELECT id, id, parent_id, project FROM tasks
  UNION
  SELECT up.began, tasks.id, tasks.parent_id, tasks.project
  FROM up JOIN tasks ON tasks.id = up.parent
)
SELECT lines.id, COALESCE(root.project, headers.project), MIN(notes.told), cents, currency
FROM lines
LEFT JOIN headers ON headers.id = header_id
LEFT JOIN up AS root ON root.began = task_id AND root.parent IS NULL
LEFT JOIN notes ON notes.line_id = lines.id
WHERE (header_id IS NULL OR headers.id IS NOT NULL)
  AND (task_id IS NULL OR root.began IS NOT NULL)
  AND state IS NOT 'void' AND (currency IS NULL OR currency IN ('EUR', 'USD'))
GROUP BY lines.id HAVING COUNT(notes.id) < 2
"""
WAITING: Final = """
WITH RECURSIVE up(began, at, parent) AS (
  SELECT id, id, parent_id FROM tasks
  UNION
  SELECT up.began, tasks.id, tasks.parent_id FROM up JOIN tasks ON tasks.id = up.parent
)
SELECT lines.id, CASE
  WHEN header_id IS NOT NULL AND headers.id IS NULL THEN 'header|missing'
  WHEN task_id IS NOT NULL AND root.began IS NULL AND EXISTS (
    SELECT * FROM up WHERE began = task_id AND NOT EXISTS (SELECT * FROM tasks WHERE id = up.parent)
  ) THEN 'root|missing'
  WHEN task_id IS NOT NULL AND root.began IS NULL AND EXISTS (
    SELECT * FROM tasks WHERE id = task_id
  ) THEN 'root|cycle'
  WHEN task_id IS NOT NULL AND root.began IS NULL THEN 'root|missing'
  WHEN COUNT(notes.id) > 1 THEN 'note|several'
  WHEN state IS NOT 'void' AND currency NOT IN ('EUR', 'USD') THEN '|unfit'
END AS reason
FROM lines
LEFT JOIN headers ON headers.id = header_id
LEFT JOIN up AS root ON root.began = task_id AND root.parent IS NULL
LEFT JOIN notes ON notes.line_id = lines.id
GROUP BY lines.id HAVING reason IS NOT NULL
"""
COLUMNS: Final = {
    "headers": ("id", "project", "currency", "state"),
    "tasks": ("id", "parent_id", "project"),
    "notes": ("id", "line_id", "told"),
    "lines": ("id", "header_id", "task_id", "cents", "code"),
}

Row = Mapping[str, Any]


@cache
def ledger() -> SystemBundle:
    return load_system(MAPPING, {}, {})


@dataclass
class Ledger:
    """A database as its changes are captured, and what psastream makes of it."""

    seed: int
    chunk_max: int
    position: int = 0
    rows: dict[str, dict[int, Row]] = field(default_factory=lambda: {name: {} for name in COLUMNS})
    events: list[tuple[str, int, bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registry = FixedRegistry()
        self.mappings: dict[str, ObjectMapping] = {
            each.topic.rpartition(".")[2]: each for each in ledger().mappings
        }
        self.ids = {
            name: self.registry.add(f"{name}-value", each.reader)
            for name, each in self.mappings.items()
        }
        [self.group] = [
            group
            for group in make_groups(ledger().mappings, self.registry, LANDSCAPE)
            if group.name == "normalize"
        ]
        self.random = random.Random(self.seed)
        self.topology = Topology(
            [self.group],
            self.registry,
            seed=self.seed,
            chunk_max=self.chunk_max,
            own=[*ledger().topics.values()],
        )

    def write(self, name: str, row: Row) -> None:
        """Insert or update a row."""
        rows = self.rows[name]
        if name != "lines" or row["code"] in ("a", "b"):  # one that is refused changes nothing
            rows[row["id"]] = row
        self._tell(name, row["id"], after={column: row.get(column) for column in COLUMNS[name]})

    def delete(self, name: str, row: int) -> None:
        """Delete a row, whether it is there or not."""
        self.rows[name].pop(row, None)
        self._tell(name, row, after=None)

    def truncate(self, name: str) -> None:
        """Delete all rows of a table at once."""
        self.rows[name].clear()
        value = self._event(name, "t", None, None)
        self.topology.append(f"src.ledger.{name}", 0, None, value)

    def again(self) -> None:
        """Deliver a change that was delivered before."""
        if self.events:
            name, partition, key, value = self.random.choice(self.events)
            self.topology.append(f"src.ledger.{name}", partition, key, value)

    def rebuild(self) -> None:
        """Compute the state of the normalizer anew, from all there is and before more comes."""
        self.topology.run()
        self.topology.now_ms += STEP_MS
        self.topology._floor_ms["normalize"] = self.topology.now_ms
        self.topology._state.clear()
        for topic in self.topology.sources():
            self.topology.reread(topic, is_compacted=topic.startswith("psa."))
        self.topology.run()

    def _tell(self, name: str, row: int, after: Row | None) -> None:
        value = self._event(name, "d" if after is None else "u", {"id": row}, after)
        partition, key = partition_of(f"{name}|{row}", PARTITIONS), str(row).encode()
        self.topology.append(f"src.ledger.{name}", partition, key, value)
        self.events.append((name, partition, key, value))

    def _event(self, name: str, op: str, before: Row | None, after: Row | None) -> bytes:
        self.position += 1_000
        self.topology.now_ms += STEP_MS
        source = {"ts_ms": self.topology.now_ms, "sequence": None, "lsn": self.position}
        fields: Any = self.mappings[name].reader.parsed["fields"]
        [read] = [each["type"][1]["fields"] for each in fields if each["name"] == "after"]
        used = after and {each["name"]: after[each["name"]] for each in read}
        envelope = {"before": before, "after": used, "op": op} | {
            "source": source | {"snapshot": "false"}
        }
        codec = RecordCodec(self.mappings[name].reader)
        return frame(self.ids[name], codec.encode(envelope))

    # -- what is compared -------------------------------------------------------------------

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask SQL of the rows that are left."""
        with sqlite3.connect(":memory:") as database:
            for name, columns in COLUMNS.items():
                database.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
                marks = ", ".join("?" * len(columns))
                rows = [[row.get(each) for each in columns] for row in self.rows[name].values()]
                database.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
            return sorted(database.execute(sql).fetchall(), key=str)

    def check(self) -> None:
        """All that can be read equals SQL over the rows that are left."""
        self.topology.run()
        expected = self.query(SQL)
        assert comparable(self.topology.table("psa.expense").values()) == expected
        assert comparable(self.read_as_tables_do()) == expected
        waits = {
            (int(name.decode().rpartition(":")[2]), label.decode().partition(":line|")[2])
            for name, label in self.topology.kept(WAITS.encode()).items()
        }
        assert sorted(waits, key=str) == self.query(WAITING)

    def read_as_tables_do(self) -> list[Row]:
        """The rows as tables hold them, which take nothing that is not newer."""
        found: list[Row] = []
        for log in self.topology.topics.get("psa.expense", []):
            held: dict[str, Row] = {}
            newest: dict[str, int] = {}
            for _, key, value in log:
                name, record = self.topology.message(key, value)
                row_id = name.rpartition("|")[2]
                if record is None:
                    held.pop(name, None)
                    continue
                version = record["source_position"]
                assert isinstance(version, int)
                assert version > newest.get(row_id, -1), "a table would drop it as stale"
                newest[row_id] = version
                held[name] = record
            found += held.values()
        return found


def comparable(records: Iterable[Row]) -> list[tuple[Any, ...]]:
    return sorted(
        (
            (
                int(record["id"].rpartition(":")[2]),
                record["project_ref"],
                record["resource_id"],
                None if record["amount"] is None else int(record["amount"]),
                record["currency"],
            )
            for record in records
        ),
        key=str,
    )


few = st.integers(1, 4)
rows = {
    "headers": st.fixed_dictionaries(
        {
            "id": few,
            "project": st.sampled_from(["p1", "p2", None]),
            "currency": st.sampled_from(["EUR", "USD", "XXX", None]),
            "state": st.sampled_from(["open", "void", None]),
        }
    ),
    "tasks": st.fixed_dictionaries(
        {
            "id": few,
            "parent_id": st.none() | few | few,
            "project": st.sampled_from(["p3", "p4", "p5", None]),
        }
    ),
    "notes": st.fixed_dictionaries(
        {"id": few, "line_id": st.none() | few, "told": st.sampled_from(["x", "y"])}
    ),
    "lines": st.fixed_dictionaries(
        {
            "id": few,
            "header_id": st.none() | few | few,
            "task_id": st.none() | few,
            "cents": st.none() | st.integers(0, 9),
            "code": st.sampled_from(["a", "a", "a", "b", "wrong"]),
        }
    ),
}
names = st.sampled_from([*COLUMNS, "lines", "headers", "tasks"])
steps = st.one_of(
    names.flatmap(lambda name: st.tuples(st.just("write"), st.just(name), rows[name])),
    names.flatmap(lambda name: st.tuples(st.just("write"), st.just(name), rows[name])),
    names.flatmap(lambda name: st.tuples(st.just("write"), st.just(name), rows[name])),
    st.tuples(st.just("delete"), names, few),
    st.tuples(st.just("truncate"), names, st.none()),
    st.tuples(st.sampled_from(["again", "read", "rebuild"]), st.none(), st.none()),
)


@settings(deadline=None, max_examples=examples(6))
@given(
    history=st.lists(steps, min_size=4, max_size=25),
    seed=st.integers(0, 1000),
    chunk_max=st.sampled_from([1, 2, 5, 50]),
)
def test_what_rows_look_up_equals_sql_over_the_rows_that_are_left(
    history: list[tuple[str, Any, Any]], seed: int, chunk_max: int
) -> None:
    books = Ledger(seed, chunk_max)
    for step, name, what in history:
        match step:
            case "write":
                books.write(name, what)
            case "delete":
                books.delete(name, what)
            case "truncate":
                books.truncate(name)
            case "again":
                books.again()
            case "read":
                books.topology.run()
            case _:
                books.rebuild()
    books.check()
