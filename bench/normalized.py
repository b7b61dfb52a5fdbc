"""The product's normalizer of time entries, from and to topics of the benchmark."""

from __future__ import annotations

from dataclasses import replace

from bench.changes import TIME_ENTRIES
from connectors.systems import Systems
from streams.agents.normalize import make_normalizer
from streams.agents.registry import SchemaSource
from streams.engine import AgentSpec, Chunk, ChunkHandler, Effects, GroupSpec, OutputBatch, State

CANONICAL = "psa.time_entry"


class Renamed:
    """A handler whose canonical records go to another topic. Raises ValueError on a dead letter."""

    def __init__(self, handler: ChunkHandler, topic: str) -> None:
        self._handler = handler
        self._topic = topic

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """See ChunkHandler."""
        effects = self._handler(chunk, state)
        for at, output in enumerate(effects.outputs):
            if not isinstance(output, OutputBatch) or output.topic != CANONICAL:
                raise ValueError(f"the normalizer refused records: {output.topic}")
            effects.outputs[at] = replace(output, topic=self._topic)
        return effects


def normalized(
    source: str, rows_topic: str, partitions: int, app_id: str, registry: SchemaSource
) -> GroupSpec:
    """Return the group that maps changes of the database to rows; `-normalize-state` must exist."""
    mapping = next(
        each for each in Systems().read("inhouse").mappings if each.topic == TIME_ENTRIES
    )
    agent = AgentSpec(source, Renamed(make_normalizer(mapping, registry), rows_topic))
    state = f"{app_id}-normalize-state"
    return GroupSpec("normalize", partitions, (agent,), state, (rows_topic,))
