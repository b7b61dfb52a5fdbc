"""Billing status: how far approved time of a project is on its way to an invoice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from tables.foundation.columns import named
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.measures.fold import Fold
from tables.measures.measure import Measure, Quantity, Row, hours, micros, money, publish
from tables.project.document import Standing

BILLING: Final = Measure(
    name="billing",
    topic="psa.status.billing",
    prefix="b:",
    key=("project_ref", "currency", "state"),
    sums={"seconds": Quantity.SECONDS, "amount": Quantity.MONEY, "entries": Quantity.COUNT},
    of_hours={"seconds": "open_seconds", "amount": "open_amount", "entries": "entries"},
    text="{}|{}|{}".format,
    columns={
        **dict.fromkeys(("project_ref", "project_id", "currency", "state"), pl.String()),
        "seconds": pl.Int64(),
        "amount": pl.Int128(),
        "entries": pl.Int64(),
    },
    shown={
        **{name: named(name) for name in ("project_ref", "project_id", "currency", "state")},
        "seconds": named("seconds"),
        "amount": money(micros("amount")),
        "entries": named("entries"),
        "hours": hours("seconds"),
    },
)


class BillingStates(Fold):
    """The billing states of a partition, for one chunk."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(BILLING, documents)

    def publish(self, standings: Mapping[str, Standing], outbox: Outbox, timestamp_ms: int) -> None:
        """Write and publish every state the chunk changed; `standings` of its projects."""
        rows: list[Row] = []
        keys, removed = [], []
        for total in self.settle():
            if not any(total.after):
                removed.append(total.key)
                continue
            keys.append(total.key)
            project, currency, state = total.key.split("|")
            ids = project, standings[project].project_id, currency, state
            rows.append((*ids, *total.after))
        publish(outbox, BILLING, keys, rows, removed=removed, timestamp_ms=timestamp_ms)
