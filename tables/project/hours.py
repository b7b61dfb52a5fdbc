"""What time entries contribute to margin, utilization and billing status, as columns.

A change of rows is the contributions of the new rows less those of the old ones; measures
(`tables.measures`) add them up. Quantities are integers, so sums are exact: time in seconds, money
in seconds times ten-thousandths of the currency an hour (`MONEY_UNITS` make one unit of currency),
which is divided once, where it is published. Definitions: `docs/metrics.md`.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import polars as pl

from schemas.exact import HOURS_SCALE, SECONDS_AN_HOUR, seconds_of_hundredths
from tables.foundation.columns import (
    Get,
    is_there,
    known,
    least,
    made,
    month_number,
    most,
    named,
    negated,
    number,
    unscaled,
    week_number,
    where,
)

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


def is_counted(get: Get) -> Any:
    """Whether an entry counts: approved, of a known project."""
    return (get("status") == APPROVED) & known(get("is_known"), False)


def is_priced(get: Get) -> Any:
    """Whether an entry has what a bill needs."""
    return is_there(get("bill_rate")) & is_there(get("currency"))


def exact_seconds(get: Get) -> Any:
    """Return the time of rows that have `seconds`, or of older ones that have only `hours`."""
    of_hours = made(
        lambda hours: seconds_of_hundredths(unscaled(hours, HOURS_SCALE)), named("hours")
    )
    return known(known(get("seconds"), _as_long(of_hours(get))), 0)


def _as_long(value: Any) -> Any:
    return value.cast(pl.Int64) if isinstance(value, pl.Expr) else value


def _rate(get: Get, column: str) -> Any:
    return known(unscaled(get(column), RATE_SCALE), 0)


def measured(get: Get) -> dict[str, Any]:
    """Return the quantities and keys that contributions are made of.

    A row has the columns of `canonical/time_entry`, plus `is_known`, `is_in_erp`, `is_hourly`
    and `is_paid` (of the project and its contract) and what the ERP shows of the entry there:
    `billed` (null, `transferred` or `written_off`), `invoiced` (seconds, signed) and `is_locked`,
    so that no bill is ordered. Quantities come times its `sign`.
    """
    seconds = exact_seconds(get)
    billable = known(get("is_billable"), False) & known(get("is_paid"), True)
    is_charged = billable & known(get("is_hourly"), True)
    rest = seconds - known(get("invoiced"), 0)
    # As `tables.project.billing.open_seconds`: between nothing and all of it.
    still_open = where(
        seconds >= 0,
        least(most(rest, 0), seconds),
        most(least(rest, 0), seconds),
    )
    is_orderable = known(get("is_in_erp"), False) & is_priced(get)
    is_ready = is_orderable & negated(known(get("is_locked"), False))
    state = where(
        negated(billable),
        NON_BILLABLE,
        where(
            negated(is_charged),
            COVERED,
            known(get("billed"), where(is_ready, READY, BLOCKED)),
        ),
    )
    price = where(is_charged, _rate(get, "bill_rate"), 0)
    day, sign = get("work_on"), get("sign")
    quantities = {
        "seconds": seconds,
        "billable_seconds": where(billable, seconds, 0),
        "revenue": seconds * price,
        "cost": seconds * _rate(get, "cost_rate"),
        "open_seconds": still_open,
        "open_amount": still_open * price,
        "entries": number((still_open != 0) | (rest == seconds)),
    }
    return {
        "project_ref": get("project_ref"),
        "resource_id": get("resource_id"),
        "currency": known(get("currency"), NO_CURRENCY),
        "source_position": known(get("source_position"), 0),
        # Numbers group faster than texts; `period_text` and `week_text` name them afterwards.
        "period": month_number(day),
        "iso_week": week_number(day),
        "state": state,
        **{name: quantity * sign for name, quantity in quantities.items()},
    }


def contributions(rows: pl.DataFrame) -> pl.DataFrame:
    """Return what rows contribute, each times its `sign` (1: new, -1: retracted).

    What is invoiced of them is told by the invoice lines (`tables.project.billing`); here is what
    is open. Only approved entries of known projects count. See `measured` for the columns.
    """
    return rows.filter(is_counted(pl.col)).select(**measured(pl.col))


def each_contribution(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the same one by one, for few rows."""
    return [measured(row.__getitem__) for row in rows.to_dicts() if is_counted(row.__getitem__)]
