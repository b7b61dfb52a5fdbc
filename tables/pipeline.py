"""Pipeline contributions: what one deal adds to its stage and currency, with retraction."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from pydantic import BaseModel, ConfigDict

from tables.documents import Documents
from tables.effects import Outbox
from tables.facts import Opportunity, Partial

PARTIAL_TOPIC: Final = "psa.internal.partial"
MONEY: Final = Decimal("0.000001")


class Contribution(BaseModel):
    """What a deal adds to `dimension` (`<stage>|<currency>`)."""

    model_config = ConfigDict(frozen=True)

    dimension: str
    amount: Decimal
    weighted_amount: Decimal


class Pipeline(BaseModel):
    """Sum of the contributions of this partition to one dimension."""

    count: int = 0
    amount: Decimal = Decimal(0)
    weighted_amount: Decimal = Decimal(0)


def contribution(opportunity: Opportunity | None) -> Contribution | None:
    """Return what a deal adds; a deal without amount or currency adds nothing."""
    if opportunity is None or opportunity.amount is None or opportunity.currency is None:
        return None
    probability = opportunity.probability_ratio or Decimal(0)
    return Contribution(
        dimension=f"{opportunity.stage}|{opportunity.currency}",
        amount=opportunity.amount.quantize(MONEY),
        weighted_amount=(opportunity.amount * probability).quantize(MONEY),
    )


def replace(
    documents: Documents,
    outbox: Outbox,
    old: Contribution | None,
    new: Contribution | None,
    source: str,
) -> None:
    """Retract the old contribution, add the new one, publish the partials that changed."""
    if old == new:
        return
    for sign, part in ((-1, old), (1, new)):
        if part is None:
            continue
        key = f"p:{part.dimension}"
        total = documents.get(Pipeline, key) or Pipeline()
        total = Pipeline(
            count=total.count + sign,
            amount=total.amount + sign * part.amount,
            weighted_amount=total.weighted_amount + sign * part.weighted_amount,
        )
        documents.put(key, total)
        partial = Partial(
            measure="pipeline", dimension=part.dimension, source=source, **total.model_dump()
        )
        outbox.add(
            PARTIAL_TOPIC,
            f"pipeline|{part.dimension}|{source}",
            partial.model_dump(),
            route=part.dimension,
        )
