"""What a ledger forgets, and when."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.polled.ledger import EPOCH, Entry, Ledger, digest_of, digest_of_row

WINDOW = EPOCH + timedelta(days=10)
BEFORE = WINDOW - timedelta(seconds=1)


def test_a_deleted_row_is_forgotten_when_no_read_shows_it_again_and_a_living_one_never() -> None:
    ledger = Ledger(
        {
            "deleted before": Entry("d", BEFORE, is_deleted=True),
            "deleted in the window": Entry("d", WINDOW, is_deleted=True),
            "deleted at no time": Entry("d", None, is_deleted=True),
            "living": Entry("d", BEFORE),
            "living without a stamp": Entry("d", None),
            "living in the window": Entry("d", WINDOW),
        }
    )
    assert ledger.expired(WINDOW) == ["deleted before", "deleted at no time"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = (
    st.none() | st.booleans() | st.integers() | texts
    | st.decimals(allow_nan=False, allow_infinity=False) | st.dates()
)  # fmt: skip
nested = values | st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3)


@given(st.dictionaries(texts, nested, max_size=5))
@example({"text": 'a\\"\x7f\x00\n\u2028\U0001f600é/'})
@example({"text": "\x7f"})
@example({"é": 2**64, "b": -(2**63)})
@example({"amount": Decimal("-0E-4"), "on": date(2026, 3, 1)})
def test_the_digest_of_a_row_is_the_one_that_older_releases_kept(row: dict[str, Any]) -> None:
    assert digest_of_row(row) == digest_of(row)


@pytest.mark.parametrize("micro", [0, 250_000, 1])
def test_an_entry_is_kept_in_the_words_that_older_releases_read(micro: int) -> None:
    at = datetime(2026, 3, 1, 8, 5, 7, micro, tzinfo=UTC)
    entry = Entry("ab", at, is_deleted=True, refused="record|é", shown_at=at)
    assert json.loads(entry.to_bytes()) == {
        "digest": "ab",
        "modified_at": at.isoformat(),
        "is_deleted": True,
        "refused": "record|é",
        "shown_at": at.isoformat(),
    }
    assert Entry.from_bytes(entry.to_bytes()) == entry
    assert json.loads(Entry("ab", None).to_bytes()) == {"digest": "ab"}
