"""Numbers of a database come as text: read exactly, or that row is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import Accounting
from tests.unit.streams.test_normalize import Bench, canonical, entry, letters

PLACE = "schemas/mapping/reader.py"


@pytest.mark.fault("B9", place=PLACE)
@pytest.mark.parametrize(
    "text",
    [
        "NAN",
        "NaN",
        "POSITIVE_INFINITY",
        "Infinity",
        "-Infinity",
        "",
        " ",
        "7,5",
        "0x1",
        "1_0",
        "7.125",
    ],
)
def test_b9_what_is_no_number_of_the_column_refuses_its_row_alone(text: str) -> None:
    bench = Bench()
    effects = bench.feed(
        bench.source.change(1, entry(1)),
        bench.source.change(2, entry(2, hours=text)),
        bench.source.change(3, entry(3)),
    )
    assert effects.accounting == Accounting(applied=2, dead_lettered=1)
    (letter,) = letters(effects)
    assert letter["detail"] == "hours is no number of decimal(9,2)"


@pytest.mark.fault("B9", place=PLACE)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7.500", "7.50"),
        ("0E-8", "0"),
        ("0.000E-10", "0"),
        ("8", "8"),
        ("+8.1", "8.1"),
        ("-.5", "-0.5"),
    ],
)
def test_b9_a_column_of_another_scale_gives_the_same_numbers(text: str, value: str) -> None:
    bench = Bench()
    (record,) = canonical(bench.feed(bench.source.change(1, entry(hours=text))))
    assert record.value is not None
    assert record.value["hours"] == Decimal(value)


@pytest.mark.fault("B9", place=PLACE)
@given(
    number=st.decimals(-24, 24, allow_nan=False, places=4).map(lambda it: it.normalize()),
    zeros=st.integers(0, 6),
)
def test_b9_a_number_is_read_exactly_or_not_at_all(number: Decimal, zeros: int) -> None:
    text = f"{number:f}"
    if zeros:
        text = text if "." in text else text + "."
        text += "0" * zeros
    bench = Bench()
    records = canonical(bench.feed(bench.source.change(1, entry(hours=text))))
    is_exact = number == number.quantize(Decimal("0.01"))
    assert [record.value and record.value["hours"] for record in records] == [number] * is_exact
