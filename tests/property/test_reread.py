"""A topic read again from its first record, into the state there is, changes nothing; nor does a
group that is computed anew from all its topics, read in any order.

That is what `psastream reread` and `rebuild` have a group of the product do; here there is no
broker. Billing under the acts of finance, also after a rebuild: `test_billing_papers`.
"""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_tables_oracle import any_history, play, published, seeds, unhurried
from tests.property.test_topics_as_tables import MOVERS, bench, mapping_key, native_id
from tests.support.examples import examples
from tests.support.histories import Change, Feeder
from tests.support.source_events import MemoryState, chunk_of
from tests.support.source_events import published as records_of
from tests.support.topology import Topology


def orders(topology: Topology) -> dict[str, Any]:
    """What dispatchers do last for each natural key: they leave out what is older than that."""
    found: dict[str, Any] = {}
    done: dict[str, int] = {}
    for target in ("netsuite", "float"):
        for _, command in topology.records(f"psa.command.{target}"):
            assert command is not None
            name, revision = str(command["natural_key"]), cast("int", command["revision"])
            if revision > done.get(name, -1):
                found[name] = command["kind"], command["payload"]
                done[name] = revision
    return found


@unhurried
@given(any_history, seeds, st.sampled_from([3, 200]), st.booleans())
def test_topics_of_tables_that_are_read_again_change_nothing(
    history: list[Change], seed: int, chunk_max: int, is_compacted: bool
) -> None:
    """Each of them after the others, as long as it held and as compaction leaves it.

    Halfway through, an old record may order what is taken back by the next one: while commands
    wait, that is as good as no order.
    """
    topology, _ = play(history, seed, chunk_max)
    before = published(topology), orders(topology)
    for topic in topology.sources():
        topology.reread(topic, is_compacted=is_compacted)
        topology.run()
        after = orders(topology)
        new = {key for key in after.keys() - before[1].keys() if after[key][0] != "withdraw"}
        assert published(topology) == before[0], topic
        assert not new, topic
        assert {key: after.get(key) for key in before[1]} == before[1], topic


def open_exceptions(topology: Topology) -> dict[str, Any]:
    """What is told of each open exception."""
    table = topology.table("psa.exception")
    return {key: row["detail"] for key, row in table.items() if row["status"] == "open"}


def keeps_what_no_topic_has(feeder: Feeder) -> bool:
    """Whether people's rows have changed: the project group keeps values of days before."""
    topics = ("psa.resource", "psa.rate_card")
    rows = ((topic, row) for topic in topics for row in feeder.rows.get(topic, {}))
    return any(len(feeder.versions(*row)) > 1 for row in rows)


@unhurried
@given(
    st.sampled_from(["customer", "engagement", "project", "rollup"]),
    any_history,
    seeds,
    st.sampled_from([1, 3, 200]),
)
def test_a_group_that_is_computed_anew_ends_in_the_same_tables_orders_and_exceptions(
    group: str, history: list[Change], seed: int, chunk_max: int
) -> None:
    """A withdrawal is as good as no order, where the target has nothing to forget."""
    topology, feeder = play(history, seed, chunk_max)
    is_without_history = group == "project" and keeps_what_no_topic_has(feeder)
    before = outcome(topology, is_without_history=is_without_history)
    topology.rebuild(group)
    assert outcome(topology, is_without_history=is_without_history) == before


def outcome(topology: Topology, *, is_without_history: bool) -> dict[str, Any]:
    """Tables, orders and open exceptions; without those that people's former values are in."""
    found = {**published(topology), "orders": wishes(topology), "open": open_exceptions(topology)}
    if is_without_history:
        kept = ("psa.metric.project_margin", "psa.status.billing", "psa.status.customer")
        return {name: found[name] for name in kept}
    return found


def wishes(topology: Topology) -> dict[str, Any]:
    """What is ordered in the end, without what is taken back."""
    return {key: order for key, order in orders(topology).items() if order[0] != "withdraw"}


@pytest.mark.parametrize("topic", MOVERS)
@settings(deadline=None, max_examples=examples(5))
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans()), min_size=1, max_size=12
    ),
    chunk_max=st.integers(1, 12),
)
def test_a_topic_of_a_source_that_is_read_again_publishes_nothing(
    topic: str, steps: list[tuple[int, int, bool]], chunk_max: int
) -> None:
    """A step: the row, its place, and whether it is deleted there."""
    source_topic, sound, column, places = MOVERS[topic]
    normalize, source, _ = bench(source_topic)
    is_database = "inhouse" in source_topic
    values: list[bytes | None] = []
    for at, (number, place, is_deleted) in enumerate(steps, start=1):
        identity = number if is_database else native_id(source_topic, number)
        row = {**sound, column: places[place], mapping_key(source_topic): identity}
        op, after, before = ("d", None, row) if is_deleted else ("u", row, None)
        values.append(source.change(at * 1_000, after, op=op, before=before))
    state = MemoryState()
    for is_again in (False, True):
        for start in range(0, len(values), chunk_max):
            chunk = chunk_of(source_topic, values[start : start + chunk_max], start=start)
            effects = normalize(chunk, state)
            state.commit(effects)
            assert not effects.accounting.dead_lettered
            if is_again:
                assert effects.accounting.stale == len(chunk)
                assert records_of(effects) == []
