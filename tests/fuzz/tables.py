"""Histories through the tables against the oracle, and whatever the normalizer publishes."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from schemas.codec.framing import frame
from schemas.errors import InvalidEntityError
from streams.groups import make_groups
from tests.fuzz.case import Case, Kind
from tests.fuzz.sources import play, sound_envelope, source_topics
from tests.property import test_tables_oracle as tables
from tests.support.catalogue import LANDSCAPE
from tests.support.firms import oracle_of
from tests.support.histories import Change, Feeder
from tests.support.oracle import OUTPUTS
from tests.support.source_events import FakeRegistry
from tests.support.topology import FixedRegistry, Topology

LENGTH = 38
"""Changes of a history, about."""


def run_histories(case: Case) -> None:
    """Random histories: the oracle says the same, and so does another order of the same changes."""
    while case.counted < case.size:
        bounds = settings(
            max_examples=max(1, (case.size - case.counted) // LENGTH),
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )

        @seed(case.chance.getrandbits(64))
        @bounds
        @given(tables.any_history, tables.seeds, tables.chunk_sizes, tables.chunk_sizes)
        def check(history: list[Change], order: int, chunk_max: int, other_chunk_max: int) -> None:
            history = history[: case.size - case.counted]
            if history:
                case.step(len(history))
                _compare(case, history, order, chunk_max, other_chunk_max)

        check()


def _compare(
    case: Case, history: list[Change], order: int, chunk_max: int, other_chunk_max: int
) -> None:
    topology, feeder = tables.play(history, order, chunk_max, 5 if order % 3 else 1_000)
    actual = tables.published(topology)
    expected = oracle_of(feeder).tables()
    for topic in OUTPUTS:
        case.expect(
            actual[topic] == expected[topic],
            Kind.DISAGREEMENT,
            lambda t=topic: f"{history}\n{t}: {actual[t]}\noracle: {expected[t]}",
            f"{topic}: tables and oracle",
        )
    if order % 2:
        other, _ = tables.play(history, order + 1, other_chunk_max)
        case.expect(
            tables.published(other) == actual,
            Kind.DISAGREEMENT,
            lambda: f"{history}\norders {order} and {order + 1}",
            "interleavings of one history",
        )
    _none_lost(case, topology, lambda: str(history))


def _none_lost(case: Case, topology: Topology, what: Any) -> None:
    outcomes = topology.outcomes
    case.expect(
        sum(outcomes.values()) == topology.consumed and not outcomes["dead_lettered"],
        Kind.SILENT_DROP,
        lambda: f"{what()}\n{topology.consumed} consumed, {outcomes}",
        "records of tables that are not accounted for",
    )


@cache
def _read_by_tables() -> set[str]:
    return {
        agent.topic
        for group in make_groups([], FixedRegistry(), LANDSCAPE)
        for agent in group.agents
    }


def run_published(case: Case) -> None:
    """Source rows of any value, normalized: the tables take all that is published of them."""
    known = FixedRegistry()
    feeder = Feeder(
        Topology(make_groups([], known, LANDSCAPE), known, seed=case.number, chunk_max=20)
    )
    chance = case.chance
    topics = chance.sample(source_topics(), 4)
    fed: list[Any] = []
    while case.counted < case.size:
        topic = chance.choice(topics)
        registry = FakeRegistry()
        schema_id = registry.add(topic.schema)
        messages: list[bytes | None] = []
        for offset in range(min(50, case.size - case.counted)):
            try:
                envelope = sound_envelope(chance, topic, offset)
                messages.append(frame(schema_id, topic.codec.encode(envelope)))
            except InvalidEntityError:  # a NOT NULL column, or an instant beyond its type
                messages.append(None)
        case.step(len(messages))
        for record in play(topic.mapping, registry, messages).records:
            if record.topic in _read_by_tables() and record.value is not None:
                fed.append((record.topic, record.value))
                feeder.upsert(record.topic, record.value["id"], record.value)
        feeder.topology.run()
    _none_lost(case, feeder.topology, lambda: str(fed[-20:]))
