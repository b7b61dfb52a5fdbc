"""What a ledger forgets, and when."""

from __future__ import annotations

from datetime import timedelta

from connectors.polled.ledger import EPOCH, Entry, Ledger

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
