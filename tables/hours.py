"""What time entries contribute to margin, utilization and billing status, as columns.

Every function maps rows to contributions; a change of rows is the contributions of the new rows
less those of the old ones. Quantities are integers, so sums are exact: time in seconds, money in
seconds times ten-thousandths of the currency an hour (`MONEY_UNITS` make one unit of currency),
which is divided once, where it is published. Definitions: `docs/metrics.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from schemas.exact import SECONDS_AN_HOUR, seconds_of_hundredths, unscaled

APPROVED: Final = "approved"
RATE_SCALE: Final = 4
MONEY_UNITS: Final = SECONDS_AN_HOUR * 10**RATE_SCALE

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

    `margin`: MARGIN_KEY, seconds, revenue, cost, source_position.
    `utilization`: UTILIZATION_KEY, seconds (billable), total_seconds.
    `billing`: BILLING_KEY, seconds, amount, entries.
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


def exact_seconds() -> pl.Expr:
    """Return the time of rows that have `seconds`, or of older ones that have only `hours`."""
    of_hours = seconds_of_hundredths(unscaled(pl.col("hours"))).cast(pl.Int64)
    return pl.coalesce(pl.col("seconds"), of_hours).fill_null(0)


def _rate(column: str) -> pl.Expr:
    # Rescaling by cast is exact here: the contract fixes the column's scale.
    return unscaled(pl.col(column).cast(pl.Decimal(38, RATE_SCALE))).fill_null(0)


def measured(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the quantities and keys that contributions are made of.

    `rows` has the columns of `canonical/time_entry`, plus `is_known` and `is_in_erp` (of the
    project) and `billed` (null, `transferred` or `invoiced`: what the ERP shows of the entry).
    """
    seconds = exact_seconds()
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
        seconds.alias("seconds"),
        pl.when(billable).then(seconds).otherwise(0).alias("billable_seconds"),
        (seconds * _rate("bill_rate")).alias("amount"),
        (seconds * _rate("cost_rate")).alias("cost"),
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
        pl.col("seconds", "billable_seconds", "amount", "cost") * pl.col("sign")
    )
    is_billable = pl.col("state") != NON_BILLABLE
    return Contributions(
        margin=signed.group_by(*MARGIN_KEY).agg(
            pl.col("seconds").sum(),
            pl.when(is_billable).then(pl.col("amount")).otherwise(0).sum().alias("revenue"),
            pl.col("cost").sum(),
            pl.col("source_position").max(),
        ),
        utilization=signed.group_by(*UTILIZATION_KEY).agg(
            pl.col("billable_seconds").sum().alias("seconds"),
            pl.col("seconds").sum().alias("total_seconds"),
        ),
        billing=signed.group_by(*BILLING_KEY).agg(
            pl.col("seconds").sum(),
            pl.when(is_billable).then(pl.col("amount")).otherwise(0).sum().alias("amount"),
            pl.col("sign").sum().alias("entries"),
        ),
    )
