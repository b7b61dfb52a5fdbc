"""Measures of the firm's own equal their SQL over the rows that are left, whatever happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streams.engine import GroupSpec
from streams.groups import make_groups
from tables.measures.own import CONTEXT, OwnMeasure, load_measure, rows_schema
from tests.support.catalogue import BY_NAME, LANDSCAPE
from tests.support.examples import examples
from tests.support.topology import FixedRegistry, Topology

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
CLIENT_TIME = PAGE.partition("```sql\n")[2].partition("```")[0]
"""The example of the documentation."""
INVOICED = """
-- name: invoiced
-- key: kind, invoiced_on
-- sums: amount, net
-- unit: currency, currency
-- period: invoiced_on
SELECT kind, invoiced_on, SUM(amount) AS amount,
  SUM(CASE WHEN kind = 'credit_memo' THEN amount ELSE 0 END) AS net
FROM invoice GROUP BY invoiced_on, kind
"""
PLANNED = """
-- name: projects
-- key: status, is_priced
-- sums: projects
-- unit: projects
-- period: none
SELECT status, billing_type IS NOT NULL AS is_priced, COUNT(*) AS projects
FROM project GROUP BY status, is_priced
"""
BY_PROJECT = """
-- name: booked
-- key: project_id, engagement_id
-- sums: entries
-- unit: entries
-- period: none
SELECT project_id, engagement_id, COUNT(*) AS entries
FROM time_entry GROUP BY project_id, engagement_id
"""
MEASURES = (CLIENT_TIME, INVOICED, PLANNED, BY_PROJECT)
PROJECTS = [f"inhouse:project:{number}" for number in range(3)]


@cache
def product() -> tuple[FixedRegistry, list[OwnMeasure], list[GroupSpec]]:
    measures = [load_measure(text, "a.sql") for text in MEASURES]
    registry = FixedRegistry()
    for each in measures:
        registry.add_topic(each.topic)
    groups = make_groups([], registry, LANDSCAPE, measures)
    return registry, measures, [group for group in groups if group.name == "measures"]


@dataclass
class Firm:
    """Rows of a firm as they come, and those that are left."""

    seed: int = 0
    chunk_max: int = 50
    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        registry, self.measures, groups = product()
        own = [each.topic for each in self.measures]
        self.topology = Topology(
            groups, registry, seed=self.seed, chunk_max=self.chunk_max, own=own
        )

    def put(self, name: str, row: str, values: Mapping[str, Any] | None) -> None:
        """Write a row, or delete it; one that moves is deleted where it was."""
        self.count += 1
        rows, topic = self.rows.setdefault(name, {}), BY_NAME[f"psa.{name}"]
        former = rows.pop(row, None)
        now = None if values is None else {"id": row, "source_position": self.count, **values}

        def route(of: Mapping[str, Any]) -> str:
            return str(of[topic.route_field]) if topic.rows_move else row

        if former is not None and (now is None or route(former) != route(now)):
            self.topology.put(topic.name, row, None, route(former))
        if now is not None:
            rows[row] = now
            self.topology.put(topic.name, row, now, route(now))

    def again(self, name: str, row: str) -> None:
        """Deliver a row that stands once more."""
        found = self.rows.get(name, {}).get(row)
        topic = BY_NAME[f"psa.{name}"]
        if found is not None:
            route = str(found[topic.route_field]) if topic.rows_move else row
            self.topology.put(topic.name, row, found, route)

    def found(self, own: OwnMeasure) -> list[tuple[Any, ...]]:
        rows = self.topology.table(own.topic.name).values()
        return by_key(tuple(row[name] for name in (*own.key, *own.units)) for row in rows)

    def expected(self, own: OwnMeasure, sql: str) -> list[tuple[Any, ...]]:
        """Run the SQL of a measure over all rows that are left, as anybody would."""
        schema = rows_schema(own.of)
        projects = self.rows.get("project", {})
        rows = []
        for row in self.rows.get(own.of, {}).values():
            context = projects.get(str(row.get("project_ref")), {}) if own.of != "project" else {}
            if context:
                context = {**context, "project_id": context.get("project_id") or context["id"]}
            some = {name: context.get(name) for name in CONTEXT if name in schema}
            rows.append([({**some, **row}).get(name) for name in schema])
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        result = pl.SQLContext({own.of: frame}, eager=True).execute(sql)
        result = result.select(*own.key, *(pl.col(name).fill_null(0) for name in own.units))
        return by_key(result.iter_rows())

    def check(self) -> None:
        self.topology.run()
        for own, sql in zip(self.measures, MEASURES, strict=True):
            assert self.found(own) == self.expected(own, sql), own.name


def by_key(rows: Any) -> list[tuple[Any, ...]]:
    return sorted(rows, key=str)


money = st.decimals(-50, 50, places=4)
entries = st.fixed_dictionaries(
    {
        "project_ref": st.sampled_from(PROJECTS),
        "work_on": st.sampled_from([date(2026, 11, 30), date(2026, 12, 1)]),
        "seconds": st.sampled_from([0, 60, 5_000, -60, None]),
        "bill_rate": st.one_of(st.none(), money),
        "currency": st.sampled_from(["EUR", "U|D", "\\N", "", None]),
        "status": st.sampled_from(["approved", "approved", "submitted"]),
    }
)
invoices = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["invoice", "credit_memo", None]),
        "invoiced_on": st.sampled_from([date(2026, 11, 30), None]),
        "amount": st.one_of(st.none(), money),
    }
)
projects = st.fixed_dictionaries(
    {
        "source_system": st.just("inhouse"),
        "customer_id": st.sampled_from(["cus-1", "cus-2", None]),
        "project_id": st.sampled_from(["eng-1-DE", None]),
        "status": st.sampled_from(["active", "closed"]),
        "billing_type": st.sampled_from(["capped", None]),
    }
)
values = st.one_of(
    st.tuples(st.just("time_entry"), st.none() | entries),
    st.tuples(st.just("time_entry"), entries),
    st.tuples(st.just("invoice"), st.none() | invoices),
    st.tuples(st.just("project"), st.none() | projects),
)
Step = tuple[tuple[str, dict[str, Any] | None], int, bool]
steps = st.lists(st.tuples(values, st.integers(0, 2), st.booleans()), min_size=5, max_size=40)


@settings(
    max_examples=examples(10),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
)
@given(steps, st.integers(0, 2**16), st.sampled_from([1, 3, 50]), st.sampled_from([1, 7, 99]))
def test_measures_equal_their_sql_over_the_rows_that_are_left(
    history: Sequence[Step], seed: int, chunk_max: int, pause: int
) -> None:
    """Any order of topics, cut into any chunks, with rows that change, move, go and come twice."""
    firm = Firm(seed, chunk_max)
    for number, ((name, row), at, is_repeated) in enumerate(history):
        identity = PROJECTS[at] if name == "project" else f"inhouse:{name}:{at}"
        firm.put(name, identity, row)
        if is_repeated:
            firm.again(name, identity)
        if number % pause == 0:
            firm.topology.run()
    firm.check()


ENTRY = {
    "project_ref": PROJECTS[0],
    "work_on": date(2026, 11, 30),
    "seconds": 5_400,
    "bill_rate": Decimal("100.0000"),
    "currency": "EUR",
    "status": "approved",
}


def test_the_example_of_the_documentation_follows_its_rows() -> None:
    firm = Firm()

    def rows() -> dict[str, tuple[object, ...]]:
        firm.check()
        table = firm.topology.table("psa.metric.client_time").items()
        names = ("seconds", "worth", "entries", "version")
        return {key: tuple(row[name] for name in names) for key, row in table}

    firm.put("time_entry", "e", ENTRY)
    assert rows() == {"\\N|2026-11|EUR": (5_400, 150, 1, 1)}, "nobody knows the project yet"
    firm.put("project", PROJECTS[0], {"source_system": "inhouse", "customer_id": "cus-1"})
    assert rows() == {"cus-1|2026-11|EUR": (5_400, 150, 1, 1)}
    firm.put("time_entry", "e", {**ENTRY, "seconds": 1_800})
    firm.put("time_entry", "f", {**ENTRY, "seconds": None})
    assert rows() == {"cus-1|2026-11|EUR": (1_800, 50, 2, rows()["cus-1|2026-11|EUR"][-1])}
    firm.put("time_entry", "e", None)
    firm.put("time_entry", "f", {**ENTRY, "status": "submitted"})
    assert rows() == {}


def test_a_project_without_a_deal_is_named_by_its_source_until_it_has_one() -> None:
    firm = Firm()

    def booked() -> dict[str, int]:
        firm.check()
        rows = firm.topology.table("psa.metric.booked").values()
        return {row["project_id"]: row["entries"] for row in rows}

    project = {"source_system": "inhouse", "project_id": None}
    for ref in PROJECTS[:2]:
        firm.put("project", ref, project)
        firm.put("time_entry", f"of-{ref}", {**ENTRY, "project_ref": ref})
    assert booked() == {PROJECTS[0]: 1, PROJECTS[1]: 1}
    firm.put("project", PROJECTS[0], {**project, "project_id": "eng-1-DE"})
    assert booked() == {"eng-1-DE": 1, PROJECTS[1]: 1}


def test_another_definition_counts_nothing_of_the_former_one_and_deletes_its_rows() -> None:
    registry, _, _ = product()
    firm = Firm()
    firm.put("time_entry", "e", ENTRY)
    firm.put("time_entry", "f", {**ENTRY, "currency": "USD"})
    firm.check()
    other = load_measure(CLIENT_TIME.replace("'approved'", "'approved' AND currency = 'USD'"), "a")
    groups = make_groups([], registry, LANDSCAPE, [other])
    layouts = [group.layout for group in (groups[-1], product()[2][0])]
    assert layouts[0] != layouts[1], "the worker refuses the state of the former one"
    firm.topology.replace_groups([groups[-1]])
    firm.topology.rebuild("measures")
    assert list(firm.topology.table("psa.metric.client_time")) == ["\\N|2026-11|USD"]


@pytest.mark.parametrize("text", MEASURES)
def test_what_is_published_is_named_after_its_measure(text: str) -> None:
    own = load_measure(text, "a.sql")
    assert own.topic.contract is not None
    assert own.topic.name == f"psa.metric.{own.name}"
    assert own.topic.key == "|".join(own.key)
