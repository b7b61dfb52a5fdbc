from decimal import ROUND_HALF_UP, Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidEntityError
from schemas.money import CURRENCIES, Money, exact_product, is_currency, rounded


def test_sums_keep_every_digit_of_their_currency() -> None:
    total = Money(Decimal("0.1"), "EUR") + Money(Decimal("0.2"), "EUR")
    assert total == Money(Decimal("0.3"), "EUR")
    assert total - total == Money(Decimal("0.0"), "EUR")
    assert -total == Money(Decimal("-0.3"), "EUR")


def test_currencies_do_not_mix() -> None:
    with pytest.raises(InvalidEntityError, match="EUR and USD"):
        Money(Decimal(1), "EUR") + Money(Decimal(1), "USD")


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (Decimal("NaN"), "EUR"),
        (Decimal("Infinity"), "EUR"),
        (Decimal(1), "eur"),
        (Decimal(1), "XBA"),
    ],
)
def test_what_is_no_money_is_refused(amount: Decimal, currency: str) -> None:
    with pytest.raises(InvalidEntityError):
        Money(amount, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("2.675", "EUR", "2.68"),
        ("-2.675", "EUR", "-2.68"),
        ("2.5", "JPY", "3"),
        ("1.0005", "KWD", "1.001"),
    ],
)
def test_rounding_is_half_away_from_zero_to_the_minor_unit(
    amount: str, currency: str, expected: str
) -> None:
    assert str(Money(Decimal(amount), currency).rounded().amount) == expected


amounts = st.integers(-(10**12), 10**12).map(lambda unscaled: Decimal(unscaled).scaleb(-6))


@given(st.lists(st.tuples(amounts, st.sampled_from(sorted(CURRENCIES))), min_size=1, max_size=20))
def test_i7_columns_round_as_values_do(rows: list[tuple[Decimal, str]]) -> None:
    frame = pl.DataFrame(
        rows, schema={"amount": pl.Decimal(38, 6), "currency": pl.String}, orient="row"
    )
    column = frame.select(rounded(pl.col("amount"), pl.col("currency"))).to_series().to_list()
    assert column == [Money(amount, currency).rounded().amount for amount, currency in rows]


def test_an_amount_without_a_currency_rounds_to_nothing() -> None:
    frame = pl.DataFrame(
        {"amount": [Decimal("1.005")] * 2, "currency": [None, "XXX"]},
        schema={"amount": pl.Decimal(38, 6), "currency": pl.String},
    )
    assert frame.select(rounded(pl.col("amount"), pl.col("currency"))).to_series().to_list() == [
        None,
        None,
    ]


@given(st.integers(-(10**9), 10**9), st.integers(-(10**12), 10**12))
def test_i7_a_product_of_columns_is_exact(hours: int, rate: int) -> None:
    left, right = Decimal(hours).scaleb(-2), Decimal(rate).scaleb(-4)
    frame = pl.DataFrame(
        {"hours": [left], "rate": [right]},
        schema={"hours": pl.Decimal(12, 2), "rate": pl.Decimal(18, 4)},
    )
    product = frame.select(exact_product(pl.col("hours"), pl.col("rate"))).item()
    assert product == left * right
    assert (
        product.quantize(Decimal("0.01"), ROUND_HALF_UP)
        == Money(left * right, "EUR").rounded().amount
    )


def test_a_product_too_large_for_a_column_raises() -> None:
    frame = pl.DataFrame({"a": [Decimal(10**30)]}, schema={"a": pl.Decimal(38, 0)})
    with pytest.raises(pl.exceptions.PolarsError):
        frame.select(exact_product(pl.col("a"), pl.col("a")))


def test_currencies_are_told_from_others() -> None:
    frame = pl.DataFrame({"code": ["EUR", "BGN", "HRK", "XAU", "XXX", "usd", "", None]})
    expected = [True, True, True, False, False, False, False, None]
    assert frame.select(is_currency(pl.col("code"))).to_series().to_list() == expected
