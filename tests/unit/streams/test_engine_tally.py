"""Tallies add up chunk by chunk and survive being stored."""

import pytest

from streams.engine import Accounting, Chunk
from streams.engine.tally import Tally


def covering(start: int, end: int) -> Chunk:
    """A chunk of these offsets; a tally looks at no record."""
    return Chunk("t", 0, start, end, (), (), (), ())


def test_i5_a_tally_covers_what_its_chunks_cover() -> None:
    tally = Tally.beginning(7)
    tally = tally.after(covering(7, 12), Accounting(applied=3, stale=1))
    tally = tally.after(covering(12, 20), Accounting(applied=2, parked=4, dead_lettered=1))
    assert tally == Tally(7, 20, Accounting(5, 1, 4, 1))
    assert tally.accounting.consumed == 11


def test_a_stored_tally_is_the_same() -> None:
    tally = Tally(0, 12_345_678_901, Accounting(1, 2, 3, 4))
    assert Tally.from_bytes(tally.to_bytes()) == tally


def test_a_broken_tally_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Tally.from_bytes(b"0 12 x 0 0 0")
