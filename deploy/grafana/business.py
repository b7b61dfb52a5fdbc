"""What the dashboards on business numbers share: which rows of the read model they show."""

from typing import Final

# Grafana puts the ends of the chosen time in as texts like '2026-03-01T00:00:00Z'.
MONTHS: Final = "month BETWEEN substr($__timeFrom(), 1, 7) AND substr($__timeTo(), 1, 7)"
WEEKS: Final = (
    "week_starts_on BETWEEN CAST(substr($__timeFrom(), 1, 10) AS date)"
    " AND CAST(substr($__timeTo(), 1, 10) AS date)"
)
CURRENCY: Final = "currency = ${currency:sqlstring}"
EARNED: Final = f"""FROM psa.fact_project_month_margin
WHERE {MONTHS} AND {CURRENCY} AND margin IS NOT NULL AND NOT is_internal"""
"""Rows whose margin adds up: of one currency, and known."""
WORKED: Final = f"""FROM psa.fact_person_week_utilization
WHERE {WEEKS} AND available_hours IS NOT NULL"""
UTILIZATION: Final = "sum(billable_seconds) / nullif(sum(available_hours * 3600), 0)"
MARGIN_RATIO: Final = "sum(margin) / nullif(sum(revenue), 0)"
"""Ratios are made of sums; none is averaged."""
WAITING: Final = "('blocked', 'ready', 'transferred')"
"""States of billing before an invoice."""
WORTH: Final = f"""SELECT coalesce(sum(amount), 0) AS amount
FROM psa.fact_exception
WHERE {CURRENCY}"""  # noqa: S608 - all of it is of this file
"""Money behind what is open for a person."""
SINCE: Final = "now-1y"
