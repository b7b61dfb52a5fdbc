"""What became of every record of a source partition since its state began. Upholds I5.

Kept in the state, so it is committed with the effects it counts and survives whatever they do.
"""

from dataclasses import astuple, dataclass
from typing import Final, Self

from streams.engine.contract import Accounting, Chunk

TALLY_PREFIX: Final = b"!a:"
WINDOW_RECORDS: Final = 10_000


def tally_key(topic: str) -> bytes:
    """Key, in the store and in the state log, of the tally of a source topic."""
    return TALLY_PREFIX + topic.encode()


@dataclass(frozen=True, slots=True)
class LetterRate:
    """How many records of late became dead letters.

    `run`: the last so many records without one that did not; a chunk counts whole, so a run is
    never overrated. `letters` of the last `records`, at most `WINDOW_RECORDS`: both are halved when
    there are more, so older ones weigh less and less. Nothing is counted before the first letter.
    """

    run: int = 0
    records: int = 0
    letters: int = 0

    def after(self, accounting: Accounting) -> Self:
        """This rate with what became of the next chunk."""
        consumed, dead_lettered = accounting.consumed, accounting.dead_lettered
        letters = self.letters + dead_lettered
        if not letters or not consumed:
            return self
        run = self.run + consumed if dead_lettered == consumed else 0
        records = self.records + consumed
        while records > WINDOW_RECORDS:  # seldom: rounding down at each record would forget them
            letters, records = letters // 2, records // 2
        return type(self)(run, records, letters) if letters else type(self)()

    def exceeds(self, run_max: int, ratio_max: float) -> bool:
        """Whether the fault is no longer in the records. Up to `run_max` letters it may be."""
        return self.run > run_max or self.letters > max(run_max, ratio_max * self.records)


@dataclass(frozen=True, slots=True)
class Tally:
    """Outcomes of the records from `start` to `end`, which is not covered."""

    start: int
    end: int
    accounting: Accounting
    rate: LetterRate = LetterRate()

    @classmethod
    def beginning(cls, offset: int) -> Self:
        """Of no record, from `offset` on."""
        return cls(offset, offset, Accounting())

    def after(self, chunk: Chunk, accounting: Accounting) -> Self:
        """This tally with what became of the next chunk."""
        sums = (a + b for a, b in zip(astuple(self.accounting), astuple(accounting), strict=True))
        rate = self.rate.after(accounting)
        return type(self)(self.start, chunk.end_offset, Accounting(*sums), rate)

    def to_bytes(self) -> bytes:
        """The six numbers, and the three of the rate where there is one, separated by blanks."""
        numbers = [self.start, self.end, *astuple(self.accounting)]
        if self.rate != LetterRate():
            numbers += astuple(self.rate)
        return b" ".join(b"%d" % number for number in numbers)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Inverse of `to_bytes`. Raises ValueError."""
        numbers = [int(number) for number in stored.split()]
        if len(numbers) not in (6, 9):
            raise ValueError(f"a tally of {len(numbers)} numbers")
        start, end, *outcomes = numbers[:6]
        return cls(start, end, Accounting(*outcomes), LetterRate(*numbers[6:]))
