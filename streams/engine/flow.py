"""How much of a partition may be in the worker at once, and of which group generation."""

from dataclasses import dataclass
from itertools import chain

from streams.engine.contract import Chunk

_OBJECTS_BYTES = 200  # of a record's key, value, offset and timestamp, beside what they hold


@dataclass(frozen=True, slots=True)
class Delivery:
    """A fetched chunk and the group generation it was fetched in."""

    chunk: Chunk
    generation: int

    @property
    def size_bytes(self) -> int:
        """About what it takes up in memory."""
        chunk = self.chunk
        payload = sum(map(len, filter(None, chain(chunk.keys, chunk.values))))
        return payload + (1 + len(chunk)) * _OBJECTS_BYTES


class FlowWindow:
    """Weighs what is between fetch and commit. Used on the event loop only.

    Bounds memory, and lets a backlog gather into fewer, larger chunks while one is in work. It goes
    by bytes: a slow stream comes in many fetches of few records, and has room for all of them.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._generation = -1
        self._in_flight: dict[tuple[str, int], int] = {}

    def start_generation(self, generation: int) -> None:
        """Forget everything in flight: after a rebalance it is fetched again."""
        self._generation = generation
        self._in_flight.clear()

    def is_full(self, topic: str, partition: int) -> bool:
        """Whether no further chunk of the partition may be fetched now."""
        return self._in_flight.get((topic, partition), 0) >= self._max_bytes

    def enter(self, delivery: Delivery) -> None:
        """A chunk has been fetched."""
        if delivery.generation == self._generation:
            key = (delivery.chunk.topic, delivery.chunk.partition)
            self._in_flight[key] = self._in_flight.get(key, 0) + delivery.size_bytes

    def leave(self, delivery: Delivery) -> None:
        """A chunk has been committed."""
        key = (delivery.chunk.topic, delivery.chunk.partition)
        if delivery.generation == self._generation and key in self._in_flight:
            self._in_flight[key] -= delivery.size_bytes
