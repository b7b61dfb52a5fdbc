"""Pipeline: deals by stage and currency, what they are worth and what is likely of it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

import polars as pl
from pydantic import BaseModel, ConfigDict

from tables.foundation.columns import named
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import Opportunity
from tables.measures.fold import Fold
from tables.measures.measure import (
    MONEY_DIGITS,
    Amounts,
    Measure,
    Quantity,
    Row,
    money_of_micros,
    publish_partials,
)
from tables.project.hours import MONEY

PIPELINE: Final = Measure(
    name="pipeline",
    topic="psa.metric.pipeline_health",
    prefix="p:",
    key=("stage", "currency"),
    sums={
        "count": Quantity.COUNT,
        "amount": Quantity.MICROS,
        "weighted_amount": Quantity.MICROS,
    },
    columns={
        **dict.fromkeys(("stage", "currency"), pl.String()),
        "opportunities": pl.Int64(),
        **dict.fromkeys(("amount", "weighted_amount"), pl.Int128()),
        "version": pl.Int64(),
    },
    shown={
        **{name: named(name) for name in ("stage", "currency", "opportunities")},
        **{name: money_of_micros(name) for name in ("amount", "weighted_amount")},
        "version": named("version"),
    },
)


class Contribution(BaseModel):
    """What a deal adds to `dimension` (`<stage>|<currency>`)."""

    model_config = ConfigDict(frozen=True)

    dimension: str
    amount: Decimal
    weighted_amount: Decimal


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


class Deals(Fold):
    """The first fold: deals of a partition, for one chunk."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(PIPELINE, documents)

    def replace(self, old: Contribution | None, new: Contribution | None) -> None:
        """Retract what a deal has added so far, and add what it does now."""
        if old == new:
            return
        for sign, part in ((-1, old), (1, new)):
            if part is not None:
                amounts = 1, micros_of(part.amount), micros_of(part.weighted_amount)
                self.add(part.dimension, tuple(sign * each for each in amounts))

    def publish(self, outbox: Outbox, source: str) -> None:
        """Write every total the chunk changed, and hand it on to who adds all deals up."""
        changed = self.settle()
        partials = [(total.key, source, *total.after) for total in changed]
        publish_partials(outbox, PIPELINE, partials, [total.key for total in changed])


def row(key: str, amounts: Amounts) -> Row | None:
    """Return the columns of `PIPELINE` up to the version; None: no deals."""
    stage, _, currency = key.partition("|")
    return (stage, currency, *amounts) if amounts[0] else None


def micros_of(amount: Decimal) -> int:
    """Return money in millionths of its currency, exactly; it has no more digits."""
    return int(Fraction(amount) * 10**MONEY_DIGITS)
