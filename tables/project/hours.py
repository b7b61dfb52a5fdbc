"""What time entries contribute to margin, utilization and billing status, as columns.

A change of rows is the contributions of the new rows less those of the old ones; measures
(`tables.measures`) add them up. Quantities are integers, so sums are exact: time in seconds, money
in seconds times ten-thousandths of the currency an hour (`MONEY_UNITS` make one unit of currency),
which is divided once, where it is published. Definitions: `docs/metrics.md`.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

import polars as pl

from schemas.exact import SECONDS_AN_HOUR, seconds_of_hundredths, unscaled

APPROVED: Final = "approved"
RATE_SCALE: Final = 4
MONEY_UNITS: Final = SECONDS_AN_HOUR * 10**RATE_SCALE
MONEY: Final = Decimal("0.000001")
"""The last digit of money as it is published."""

NON_BILLABLE: Final = "non_billable"
BLOCKED: Final = "blocked"
READY: Final = "ready"
TRANSFERRED: Final = "transferred"
COVERED: Final = "covered"  # the contract is not billed by the hour
WRITTEN_OFF: Final = "written_off"
INVOICED: Final = "invoiced"
CREDITED: Final = "credited"
UNMATCHED: Final = "unmatched"
NO_CURRENCY: Final = "XXX"  # of ISO 4217: hours without rates have a key in totals, too
IS_COUNTED: Final = (pl.col("status") == APPROVED) & pl.col("is_known").fill_null(value=False)
IS_PRICED: Final = pl.col("bill_rate").is_not_null() & pl.col("currency").is_not_null()

BILLING_STATES: Final = (
    NON_BILLABLE,
    COVERED,
    BLOCKED,
    READY,
    TRANSFERRED,
    WRITTEN_OFF,
    INVOICED,
    CREDITED,
    UNMATCHED,
)


def money_of(units: int) -> Decimal:
    """Return `MONEY_UNITS` as money, half-even at 6 digits."""
    return Decimal(round(Fraction(units * 10**6, MONEY_UNITS))).scaleb(-6)


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

    `rows` has the columns of `canonical/time_entry`, plus `is_known`, `is_in_erp`, `is_hourly`
    and `is_paid` (of the project and its contract) and what the ERP shows of the entry there:
    `billed` (null, `transferred` or `written_off`), `invoiced` (seconds, signed) and `is_locked`,
    so that no bill is ordered.
    """
    seconds = exact_seconds()
    is_paid = pl.col("is_paid").fill_null(value=True)
    billable = pl.col("is_billable").fill_null(value=False) & is_paid
    is_charged = billable & pl.col("is_hourly").fill_null(value=True)
    rest = seconds - pl.col("invoiced").fill_null(0)
    # As `tables.project.billing.open_seconds`: between nothing and all of it.
    still_open = (
        pl.when(seconds >= 0)
        .then(pl.min_horizontal(pl.max_horizontal(rest, 0), seconds))
        .otherwise(pl.max_horizontal(pl.min_horizontal(rest, 0), seconds))
    )
    state = (
        pl.when(~billable)
        .then(pl.lit(NON_BILLABLE))
        .when(~is_charged)
        .then(pl.lit(COVERED))
        .when(pl.col("billed").is_not_null())
        .then(pl.col("billed"))
        .when(pl.col("is_in_erp") & IS_PRICED & ~pl.col("is_locked").fill_null(value=False))
        .then(pl.lit(READY))
        .otherwise(pl.lit(BLOCKED))
    )
    price = pl.when(is_charged).then(_rate("bill_rate")).otherwise(0)
    return rows.select(
        "project_ref",
        "resource_id",
        pl.col("currency").fill_null(NO_CURRENCY),
        pl.col("source_position").fill_null(0),
        "sign",
        seconds.alias("seconds"),
        pl.when(billable).then(seconds).otherwise(0).alias("billable_seconds"),
        (seconds * price).alias("revenue"),
        (seconds * _rate("cost_rate")).alias("cost"),
        still_open.alias("open_seconds"),
        (still_open * price).alias("open_amount"),
        ((still_open != 0) | (rest == seconds)).cast(pl.Int64).alias("entries"),
        # Numbers group faster than texts; `period_text` and `week_text` name them afterwards.
        (pl.col("work_on").dt.year() * 100 + pl.col("work_on").dt.month()).alias("period"),
        (pl.col("work_on").dt.iso_year() * 100 + pl.col("work_on").dt.week()).alias("iso_week"),
        state.alias("state"),
    )


def contributions(rows: pl.DataFrame) -> pl.DataFrame:
    """Return what rows contribute, each times its `sign` (1: new, -1: retracted).

    What is invoiced of them is told by the invoice lines (`tables.project.billing`); here is what
    is open. Only approved entries of known projects count. See `measured` for the columns.
    """
    counted = measured(rows.filter(IS_COUNTED))
    quantities = (
        *("seconds", "billable_seconds", "revenue", "cost"),
        *("open_seconds", "open_amount", "entries"),
    )
    return counted.with_columns(pl.col(quantities) * pl.col("sign"))
