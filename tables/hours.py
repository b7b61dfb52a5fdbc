"""What time entries contribute to margin, utilization and billing status, as columns.

Every function maps rows to contributions; a change of rows is the contributions of the new rows
less those of the old ones. Quantities are scaled 64-bit integers, so sums are exact: hours in
hundredths, money in millionths of the currency (hours times rate has exactly that scale).
Definitions: `docs/metrics.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

APPROVED: Final = "approved"
HOURS_SCALE: Final = 2
MONEY_SCALE: Final = 6

MARGIN_KEY: Final = ("project_ref", "period", "currency")
UTILIZATION_KEY: Final = ("resource_id", "iso_week")
BILLING_KEY: Final = ("project_ref", "currency", "state")

NON_BILLABLE: Final = "non_billable"
BLOCKED: Final = "blocked"
READY: Final = "ready"
TRANSFERRED: Final = "transferred"
INVOICED: Final = "invoiced"
NO_CURRENCY: Final = "XXX"  # of ISO 4217: hours without rates have a key in totals, too
IS_PRICED: Final = pl.col("bill_rate").is_not_null() & pl.col("currency").is_not_null()

BILLING_STATES: Final = (NON_BILLABLE, BLOCKED, READY, TRANSFERRED, INVOICED)


@dataclass(frozen=True, slots=True)
class Contributions:
    """Contributions by key: one row a key, in no particular order.

    `margin`: MARGIN_KEY, hours, revenue, cost, source_position.
    `utilization`: UTILIZATION_KEY, hours (billable), total_hours.
    `billing`: BILLING_KEY, hours, amount, entries.
    """

    margin: pl.DataFrame
    utilization: pl.DataFrame
    billing: pl.DataFrame


def period_text(period: int) -> str:
    """Return YYYY-MM of a period number YYYYMM."""
    return f"{period // 100:04d}-{period % 100:02d}"


def week_text(week: int) -> str:
    """Return YYYY-Www of an ISO week number YYYYww."""
    return f"{week // 100:04d}-W{week % 100:02d}"


def unscaled(column: str, scale: int) -> pl.Expr:
    """Return a decimal column of that scale as its unscaled 64-bit integer; null counts as 0."""
    # Rescaling by cast is exact here: the contract fixes the column's scale.
    return pl.col(column).cast(pl.Decimal(38, scale)).to_physical().cast(pl.Int64).fill_null(0)


def measured(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the quantities and keys that contributions are made of.

    `rows` has the columns of `canonical/time_entry`, plus `is_known` and `is_in_erp` (of the
    project) and `billed` (null, `transferred` or `invoiced`: what the ERP shows of the entry).
    """
    hours = unscaled("hours", HOURS_SCALE)
    billable = pl.col("is_billable").fill_null(value=False)
    state = (
        pl.when(~billable)
        .then(pl.lit(NON_BILLABLE))
        .when(pl.col("billed").is_not_null())
        .then(pl.col("billed"))
        .when(pl.col("is_in_erp") & IS_PRICED)
        .then(pl.lit(READY))
        .otherwise(pl.lit(BLOCKED))
    )
    return rows.select(
        "project_ref",
        "resource_id",
        pl.col("currency").fill_null(NO_CURRENCY),
        "source_position",
        "sign",
        hours.alias("hours"),
        pl.when(billable).then(hours).otherwise(0).alias("billable_hours"),
        (hours * unscaled("bill_rate", 4)).alias("amount"),
        (hours * unscaled("cost_rate", 4)).alias("cost"),
        # Numbers group faster than texts; `period_text` and `week_text` name them afterwards.
        (pl.col("work_on").dt.year() * 100 + pl.col("work_on").dt.month()).alias("period"),
        (pl.col("work_on").dt.iso_year() * 100 + pl.col("work_on").dt.week()).alias("iso_week"),
        state.alias("state"),
    )


def contributions(rows: pl.DataFrame) -> Contributions:
    """Sum what rows contribute, each times its `sign` (1: new, -1: retracted).

    Only approved entries of known projects count. See `measured` for the columns.
    """
    counted = measured(
        rows.filter((pl.col("status") == APPROVED) & pl.col("is_known").fill_null(value=False))
    )
    signed = counted.with_columns(
        pl.col("hours", "billable_hours", "amount", "cost") * pl.col("sign")
    )
    is_billable = pl.col("state") != NON_BILLABLE
    return Contributions(
        margin=signed.group_by(*MARGIN_KEY).agg(
            pl.col("hours").sum(),
            pl.when(is_billable).then(pl.col("amount")).otherwise(0).sum().alias("revenue"),
            pl.col("cost").sum(),
            pl.col("source_position").max(),
        ),
        utilization=signed.group_by(*UTILIZATION_KEY).agg(
            pl.col("billable_hours").sum().alias("hours"),
            pl.col("hours").sum().alias("total_hours"),
        ),
        billing=signed.group_by(*BILLING_KEY).agg(
            pl.col("hours").sum(),
            pl.when(is_billable).then(pl.col("amount")).otherwise(0).sum().alias("amount"),
            pl.col("sign").sum().alias("entries"),
        ),
    )
