"""Who has an address while another one has it, too."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.project.shared_address import Holder, Holders

DAY = date(2026, 1, 1)
days = st.integers(0, 6).map(lambda number: DAY + timedelta(number))
holders = st.dictionaries(
    st.sampled_from("abcdefg"), st.builds(Holder, starts_on=days, ends_on=days), max_size=6
)


def shares_a_day(one: Holder, other: Holder) -> bool:
    every = (DAY + timedelta(number) for number in range(7))
    return any(all(each.starts_on <= day <= each.ends_on for each in (one, other)) for day in every)


@pytest.mark.fault("C13", place="tables/project/shared_address.py")
@given(holders)
def test_c13_who_shares_a_day_with_another_one_has_the_address_at_once(
    held: dict[str, Holder],
) -> None:
    expected = {
        row
        for pair in combinations(held, 2)
        if shares_a_day(*(held[row] for row in pair))
        for row in pair
    }
    assert Holders(holders=held).at_once() == sorted(expected)
