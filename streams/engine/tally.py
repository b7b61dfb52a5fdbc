"""What became of every record of a source partition since its state began. Upholds I5.

Kept in the state, so it is committed with the effects it counts and survives whatever they do.
"""

from dataclasses import astuple, dataclass
from typing import Final, Self

from streams.engine.contract import Accounting, Chunk

TALLY_PREFIX: Final = b"!a:"


def tally_key(topic: str) -> bytes:
    """Key, in the store and in the state log, of the tally of a source topic."""
    return TALLY_PREFIX + topic.encode()


@dataclass(frozen=True, slots=True)
class Tally:
    """Outcomes of the records from `start` to `end`, which is not covered."""

    start: int
    end: int
    accounting: Accounting

    @classmethod
    def beginning(cls, offset: int) -> Self:
        """Of no record, from `offset` on."""
        return cls(offset, offset, Accounting())

    def after(self, chunk: Chunk, accounting: Accounting) -> Self:
        """This tally with what became of the next chunk."""
        sums = (a + b for a, b in zip(astuple(self.accounting), astuple(accounting), strict=True))
        return type(self)(self.start, chunk.end_offset, Accounting(*sums))

    def to_bytes(self) -> bytes:
        """The six numbers, separated by blanks."""
        return b"%d %d %d %d %d %d" % (self.start, self.end, *astuple(self.accounting))

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Inverse of `to_bytes`. Raises ValueError."""
        start, end, *outcomes = map(int, stored.split())
        return cls(start, end, Accounting(*outcomes))
