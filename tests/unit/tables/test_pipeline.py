"""What a deal adds to its stage, and takes away when it moves on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import Opportunity
from tables.measures.pipeline import Contribution, Deals, contribution
from tests.support.topology import MemoryState


def deal(**changes: Any) -> Opportunity:
    fields = {"id": "d", "engagement_id": "e", "stage": "proposed", "currency": "EUR"}
    money = {"amount": Decimal("100.5"), "probability_ratio": Decimal("0.25")}
    return Opportunity.model_validate({**fields, **money, **changes})


def test_a_deal_counts_with_its_amount_and_what_is_likely_of_it() -> None:
    assert contribution(deal()) == Contribution(
        dimension="proposed|EUR", amount=Decimal("100.5"), weighted_amount=Decimal("25.125")
    )
    unlikely = contribution(deal(probability_ratio=None))
    assert unlikely is not None
    assert (unlikely.amount, unlikely.weighted_amount) == (Decimal("100.5"), Decimal(0))


@pytest.mark.parametrize("missing", ["amount", "currency"])
def test_a_deal_without_money_counts_for_nothing(missing: str) -> None:
    assert contribution(deal(**{missing: None})) is None
    assert contribution(None) is None


def test_a_deal_that_moves_leaves_one_stage_and_joins_the_other() -> None:
    documents = Documents(MemoryState())

    def moved(*deals: Opportunity | None) -> dict[str, tuple[Any, ...]]:
        outbox = Outbox()
        old, new = (contribution(each) for each in deals)
        fold = Deals(documents)
        fold.replace(old, new)
        fold.publish(outbox, "engagement-1")
        return {
            f"{key}>{route}": row
            for each in outbox.columns
            for key, route, row in zip(
                each.keys,
                each.routes,
                ((row["count"], row["amount"], row["weighted_amount"]) for row in each.to_dicts()),
                strict=True,
            )
        }

    first, second = deal(), deal(amount=Decimal(10), probability_ratio=Decimal(1))
    proposed, won = (
        f"pipeline|{stage}|EUR|engagement-1>{stage}|EUR" for stage in ("proposed", "won")
    )
    assert moved(None, first) == {proposed: (1, Decimal("100.5"), Decimal("25.125"))}
    assert moved(None, second) == {proposed: (2, Decimal("110.5"), Decimal("35.125"))}
    assert moved(first, first) == {}
    later = first.model_copy(update={"stage": "won"})
    assert moved(first, later) == {
        proposed: (1, 10, 10),
        won: (1, Decimal("100.5"), Decimal("25.125")),
    }
    assert moved(later, None) == {won: (0, 0, 0)}
