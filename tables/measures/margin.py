"""Project margin: what a month of a project earns by its contract, less what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from operator import sub
from typing import Final

import polars as pl

from tables.foundation.columns import constant, made, named
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.measures.fold import Fold
from tables.measures.measure import (
    Measure,
    Quantity,
    Row,
    hours,
    micros,
    money,
    publish,
    ratio,
)
from tables.project.contract import Fees, Worked
from tables.project.document import Standing
from tables.project.hours import period_text

VARIANT: Final = "actual_approved"
_EARNED: Final = micros("revenue")
_SPENT: Final = micros("cost")

MARGIN: Final = Measure(
    name="project_margin",
    topic="psa.metric.project_margin",
    prefix="m:",
    key=("project_ref", "period", "currency"),
    sums={
        "seconds": Quantity.SECONDS,
        "charged": Quantity.MONEY,  # time at its rates
        "expenses": Quantity.MONEY,  # billable ones
        "cost": Quantity.MONEY,
    },
    of_hours={"seconds": "seconds", "charged": "revenue", "cost": "cost"},
    text=lambda project, period, currency: f"{project}|{period_text(period)}|{currency}",
    columns={
        **dict.fromkeys(("project_id", "project_ref", "period", "currency"), pl.String()),
        "seconds": pl.Int64(),
        "revenue": pl.Int128(),
        "revenue_reason": pl.String(),
        "cost": pl.Int128(),
        **dict.fromkeys(("version", "source_position"), pl.Int64()),
    },
    shown={
        **{name: named(name) for name in ("project_id", "project_ref", "period", "currency")},
        "variant": constant(VARIANT),
        "hours": hours("seconds"),
        "seconds": named("seconds"),
        "revenue": money(_EARNED),
        "revenue_reason": named("revenue_reason"),
        "cost": money(_SPENT),
        # Of the two as they are published, so that a row adds up.
        "margin": money(made(sub, _EARNED, _SPENT)),
        "margin_ratio": ratio(made(sub, named("revenue"), named("cost")), named("revenue")),
        **{name: named(name) for name in ("version", "source_position")},
    },
    is_dated=True,
)


class Margins(Fold):
    """The margins of a partition, for one chunk."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(MARGIN, documents)

    def publish(
        self,
        standings: Mapping[str, Standing],
        republished: set[str],
        outbox: Outbox,
        timestamp_ms: int,
    ) -> None:
        """Write and publish every month the chunk changed; `standings` of its projects.

        `republished` are projects whose contract may be another one than before.
        """
        rows: list[Row] = []
        keys, removed = [], []
        fees = self._fees(standings, republished)
        for total in self.settle(timestamp_ms):
            seconds, charged, expenses, cost = total.after
            fee, reason = fees.get(total.key, Fees(charged))
            if not any((*total.after, fee)):
                removed.append(total.key)
                continue
            keys.append(total.key)
            project, period, currency = total.key.split("|")
            ids = standings[project].project_id or project, project, period, currency
            revenue = None if fee is None else fee + expenses
            amounts = seconds, revenue, reason, cost
            rows.append((*ids, *amounts, total.version, total.position))
        publish(outbox, MARGIN, keys, rows, removed=removed, timestamp_ms=timestamp_ms)

    def _fees(self, standings: Mapping[str, Standing], republished: set[str]) -> dict[str, Fees]:
        """Return the fees of each month of changed projects whose contract spreads them.

        A month may move the fees of others: those go out as well.
        """
        found: dict[str, Fees] = {}
        touched: dict[str, set[str]] = {}
        for key in self.keys():
            touched.setdefault(key.partition("|")[0], set()).add(key)
        for project in sorted(touched):
            contract = standings[project].contract
            if contract.rule.fees is None:
                continue
            before: dict[tuple[str, str], Worked] = {}
            after: dict[tuple[str, str], Worked] = {}
            for total in self.look(touched[project] | set(self.stored_keys(f"{project}|"))):
                _, month, currency = total.key.split("|")
                before[month, currency] = Worked(*total.before[:2])
                after[month, currency] = Worked(*total.after[:2])
            former = {} if project in republished else contract.revenue(before)
            for month_and_currency, fees in contract.revenue(after).items():
                key = "|".join((project, *month_and_currency))
                found[key] = fees
                if fees != former.get(month_and_currency, Fees(0)):
                    self.touch(key)
        return found
