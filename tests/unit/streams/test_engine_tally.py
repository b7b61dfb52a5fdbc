"""Tallies add up chunk by chunk and survive being stored."""

import pytest

from streams.engine import Accounting, Chunk
from streams.engine.tally import WINDOW_RECORDS, LetterRate, Tally


def covering(start: int, end: int) -> Chunk:
    """A chunk of these offsets; a tally looks at no record."""
    return Chunk("t", 0, start, end, (), (), (), ())


def test_i5_a_tally_covers_what_its_chunks_cover() -> None:
    tally = Tally.beginning(7)
    tally = tally.after(covering(7, 12), Accounting(applied=3, stale=1))
    tally = tally.after(covering(12, 20), Accounting(applied=2, parked=4, dead_lettered=1))
    assert (tally.start, tally.end) == (7, 20)
    assert tally.accounting == Accounting(5, 1, 4, 1)
    assert tally.accounting.consumed == 11


def test_a_stored_tally_is_the_same() -> None:
    tally = Tally(0, 12_345_678_901, Accounting(1, 2, 3, 4))
    assert Tally.from_bytes(tally.to_bytes()) == tally
    with_rate = Tally(0, 9, Accounting(1, 2, 3, 3), LetterRate(2, 5, 3))
    assert Tally.from_bytes(with_rate.to_bytes()) == with_rate


def test_a_broken_tally_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Tally.from_bytes(b"0 12 x 0 0 0")


@pytest.mark.parametrize("count", [5, 7, 8, 10])
def test_a_tally_of_too_few_or_too_many_numbers_is_an_error(count: int) -> None:
    with pytest.raises(ValueError, match=f"a tally of {count} numbers"):
        Tally.from_bytes(b" ".join([b"1"] * count))


def rate_after(*outcomes: tuple[int, int]) -> LetterRate:
    """After chunks of so many sound records and dead letters."""
    rate = LetterRate()
    for sound, letters in outcomes:
        rate = rate.after(Accounting(applied=sound, dead_lettered=letters))
    return rate


def test_a_run_of_dead_letters_ends_with_a_sound_record() -> None:
    assert rate_after((5, 0), (0, 2), (0, 3)).run == 5
    assert rate_after((0, 5), (1, 2)).run == 0
    assert rate_after((0, 5), (0, 0)).run == 5


def test_a_run_is_too_long_and_a_share_too_large() -> None:
    assert not rate_after((0, 5)).exceeds(5, 1.0)
    assert rate_after((0, 6)).exceeds(5, 1.0)
    mixed = [(1, 1)] * 10
    assert rate_after(*mixed).exceeds(5, 0.4)
    assert not rate_after(*mixed).exceeds(5, 0.5)
    assert not rate_after(*mixed).exceeds(10, 0.0)


def test_a_full_window_halves_what_it_knows() -> None:
    assert rate_after((0, 100), (9_900, 0)) == LetterRate(0, 10_000, 100)
    assert rate_after((0, 100), (9_901, 0)) == LetterRate(0, 5_000, 50)
    assert rate_after((0, 100), (9_901, 0), (0, 3)) == LetterRate(3, 5_003, 53)


def test_old_dead_letters_are_forgotten() -> None:
    rate = rate_after((0, 100), *[(WINDOW_RECORDS, 0)] * 10)
    assert rate == LetterRate()
    recent = rate_after((WINDOW_RECORDS * 9, 0), (0, WINDOW_RECORDS))
    assert recent.letters == recent.records == WINDOW_RECORDS


@pytest.mark.parametrize("records", [1, 7, 1_000])
def test_a_window_that_is_full_notices_when_most_become_dead_letters(records: int) -> None:
    """Whatever the size of the chunks: a slow stream comes record by record."""
    few, most = records * 2 // 5, records * 99 // 100
    rate = LetterRate()
    for count in range(WINDOW_RECORDS // records):
        letters = few if records > 1 else int(count % 5 < 2)
        rate = rate.after(Accounting(applied=records - letters, dead_lettered=letters))
        assert not rate.exceeds(1_000, 0.5)
    for count in range(WINDOW_RECORDS // records):
        letters = most if records > 1 else int(count % 100 > 0)
        rate = rate.after(Accounting(applied=records - letters, dead_lettered=letters))
    assert rate.exceeds(1_000, 0.5)
