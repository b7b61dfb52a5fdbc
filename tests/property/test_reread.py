"""A topic read again from its first record, into the state there is, changes nothing.

That is what `psastream reread` has a group of the product do; here there is no broker.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_tables_oracle import any_history, play, published, seeds, unhurried
from tests.property.test_topics_as_tables import MOVERS, bench, mapping_key, native_id
from tests.support.examples import examples
from tests.support.histories import Change
from tests.support.source_events import MemoryState, chunk_of
from tests.support.source_events import published as records_of
from tests.support.topology import Topology


def orders(topology: Topology) -> dict[str, Any]:
    """What the last command of each natural key asks for."""
    found = {}
    for target in ("netsuite", "float"):
        for _, command in topology.records(f"psa.command.{target}"):
            assert command is not None
            found[str(command["natural_key"])] = command["kind"], command["payload"]
    return found


@unhurried
@given(any_history, seeds, st.sampled_from([3, 200]), st.booleans())
def test_topics_of_tables_that_are_read_again_change_nothing(
    history: list[Change], seed: int, chunk_max: int, is_compacted: bool
) -> None:
    """Each of them after the others, as long as it held and as compaction leaves it."""
    topology, _ = play(history, seed, chunk_max)
    before = published(topology), orders(topology)
    for topic in topology.sources():
        topology.reread(topic, is_compacted=is_compacted)
        topology.run()
        assert published(topology) == before[0], topic
        assert orders(topology) == before[1], topic


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
