"""How much may be in the worker at once, shared by its partitions, and of which generation."""

from dataclasses import dataclass
from itertools import chain

from streams.engine.contract import Chunk

OBJECTS_BYTES = 200  # of a record's key, value, offset and timestamp, beside what they hold


@dataclass(frozen=True, slots=True)
class Delivery:
    """A fetched chunk and the group generation it was fetched in."""

    chunk: Chunk
    generation: int

    @property
    def size_bytes(self) -> int:
        """About what it takes up in memory; without records it takes room too."""
        chunk = self.chunk
        payload = sum(map(len, filter(None, chain(chunk.keys, chunk.values))))
        return payload + (1 + len(chunk)) * OBJECTS_BYTES


class FlowWindow:
    """Weighs what is between fetch and commit in the whole worker. Used on the event loop only.

    Bounds memory, and lets a backlog gather into fewer, larger chunks while one is in work. It goes
    by bytes: a slow stream comes in many fetches of few records, and has room for all of them.

    A partition may hold as much as is free. So k partitions that hold all they may leave a
    (k + 1)th part free: those that stand still never take the room of the others, and none needs
    a share of its own. Where nothing is in the worker there is room, however large a record is.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._generation: int | None = None
        self._in_flight: dict[tuple[str, int], int] = {}
        self.total_bytes = 0
        """What is in the worker; above `max_bytes` by no more than one record."""

    def start_generation(self, generation: int) -> None:
        """Forget everything in flight: after a rebalance it is fetched again."""
        self._generation = generation
        self._in_flight.clear()
        self.total_bytes = 0

    def room_bytes(self, topic: str, partition: int) -> int:
        """How much more is free than the partition has in flight. Half of it may be fetched."""
        free = self._max_bytes - self.total_bytes
        return free - self._in_flight.get((topic, partition), 0)

    def is_full(self, topic: str, partition: int) -> bool:
        """Whether no further chunk of the partition may be fetched now."""
        return self.room_bytes(topic, partition) <= 0

    def enter(self, delivery: Delivery) -> None:
        """A chunk has been fetched."""
        if delivery.generation == self._generation:
            key = (delivery.chunk.topic, delivery.chunk.partition)
            size_bytes = delivery.size_bytes
            self._in_flight[key] = self._in_flight.get(key, 0) + size_bytes
            self.total_bytes += size_bytes

    def leave(self, delivery: Delivery) -> None:
        """A chunk has been committed."""
        key = (delivery.chunk.topic, delivery.chunk.partition)
        if delivery.generation == self._generation and key in self._in_flight:
            size_bytes = delivery.size_bytes
            self._in_flight[key] -= size_bytes
            self.total_bytes -= size_bytes
