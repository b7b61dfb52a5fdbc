"""How many chunks of a partition may be in the worker at once, and of which group generation."""

from dataclasses import dataclass

from streams.engine.contract import Chunk


@dataclass(frozen=True, slots=True)
class Delivery:
    """A fetched chunk and the group generation it was fetched in."""

    chunk: Chunk
    generation: int


class FlowWindow:
    """Counts chunks between fetch and commit. Used on the event loop only.

    Bounds memory, and lets a backlog gather into fewer, larger chunks while one is in work.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._generation = -1
        self._in_flight: dict[tuple[str, int], int] = {}

    def start_generation(self, generation: int) -> None:
        """Forget everything in flight: after a rebalance it is fetched again."""
        self._generation = generation
        self._in_flight.clear()

    def is_full(self, topic: str, partition: int) -> bool:
        """Whether no further chunk of the partition may be fetched now."""
        return self._in_flight.get((topic, partition), 0) >= self._limit

    def enter(self, delivery: Delivery) -> None:
        """A chunk has been fetched."""
        if delivery.generation == self._generation:
            key = (delivery.chunk.topic, delivery.chunk.partition)
            self._in_flight[key] = self._in_flight.get(key, 0) + 1

    def leave(self, delivery: Delivery) -> None:
        """A chunk has been committed."""
        key = (delivery.chunk.topic, delivery.chunk.partition)
        if delivery.generation == self._generation and key in self._in_flight:
            self._in_flight[key] -= 1
