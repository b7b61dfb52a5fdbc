"""Executives: margin, utilization, pipeline, and what waits for a person with its worth."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.business import (
    CURRENCY,
    EARNED,
    MARGIN_RATIO,
    MONTHS,
    SINCE,
    UTILIZATION,
    WAITING,
    WEEKS,
    WORKED,
)
from deploy.grafana.parts import Part, Sql, graph, number, rows
from deploy.grafana.parts import dashboard as make


def dashboard() -> models.Dashboard:
    """How the firm does, in one currency at a time."""
    return make(
        "executives",
        "psastream executives",
        "Margin, utilization, pipeline, and what waits for a person with its worth.",
        [*_now(), *_months(), *_what_waits()],
        since=SINCE,
        is_business=True,
    )


def _now() -> Iterator[Part]:
    yield builders.Row("In the chosen time, $currency")
    yield number(
        "Revenue",
        Sql(
            "SELECT coalesce(sum(revenue), 0) AS revenue\nFROM psa.fact_project_month_margin\n"
            f"WHERE {MONTHS} AND {CURRENCY} AND NOT is_internal"
        ),
        "Fees and billable expenses of approved work, as far as they are known.",
        unit="locale",
        span=4,
    )
    yield number(
        "Margin",
        Sql(f"SELECT coalesce(sum(margin), 0) AS margin\n{EARNED}"),
        "Revenue less cost, of work whose margin is known.",
        unit="locale",
        span=4,
    )
    yield number(
        "Margin ratio",
        Sql(f"SELECT coalesce({MARGIN_RATIO}, 0) AS ratio\n{EARNED}"),
        "Margin by revenue of the same work, both added up first.",
        unit="percentunit",
        span=4,
    )
    yield number(
        "Utilization",
        Sql(f"SELECT coalesce({UTILIZATION}, 0) AS ratio\n{WORKED}"),
        "Billable time by available time, of everybody whose available time is known.",
        unit="percentunit",
        span=4,
    )
    yield number(
        "To be invoiced",
        Sql(
            "SELECT coalesce(sum(amount), 0) AS amount\nFROM psa.fact_billing\n"
            f"WHERE {CURRENCY} AND state IN {WAITING}"
        ),
        "Approved time that is not invoiced yet, now.",
        unit="locale",
        span=4,
    )
    yield number(
        "Waits for a person",
        Sql(
            f"SELECT coalesce(sum(amount), 0) AS amount\nFROM psa.fact_exception\nWHERE {CURRENCY}"
        ),
        "Money behind what is open for a person, now.",
        unit="locale",
        also=("PsastreamMoneyBlocked",),
        span=4,
    )


def _months() -> Iterator[Part]:
    yield graph(
        "Margin by month",
        Sql(
            "SELECT CAST(month || '-01' AS timestamp) AS \"time\", sum(margin) AS margin,\n"
            f"  sum(revenue) AS revenue\n{EARNED}\nGROUP BY 1\nORDER BY 1",
            is_series=True,
        ),
        "By month of the work, where the margin is known.",
        unit="locale",
        span=12,
    )
    yield graph(
        "Utilization by week",
        Sql(
            f'SELECT CAST(week_starts_on AS timestamp) AS "time", {UTILIZATION} AS utilization\n'
            f"{WORKED}\nGROUP BY 1\nORDER BY 1",
            is_series=True,
        ),
        "Of everybody, by ISO week.",
        unit="percentunit",
        span=12,
    )
    yield rows(
        "Customers",
        Sql(
            "SELECT customer, sum(revenue) AS revenue, sum(margin) AS margin,\n"
            f"  {MARGIN_RATIO} AS ratio\n{EARNED}\nGROUP BY customer_id, customer\n"
            "ORDER BY margin DESC, customer"
        ),
        "The most margin first.",
        span=12,
    )
    yield rows(
        "Pipeline",
        Sql(
            "SELECT stage, opportunities, amount, weighted_amount\nFROM psa.fact_pipeline\n"
            f"WHERE {CURRENCY}\nORDER BY amount DESC, stage"
        ),
        "Deals with an amount, by stage, now; weighted by their probability.",
        span=12,
    )


def _what_waits() -> Iterator[Part]:
    yield builders.Row("What is not in these numbers")
    yield rows(
        "Waits for a person, by cause",
        Sql(
            "SELECT system, error_code, currency, count(*) AS exceptions, sum(amount) AS amount\n"
            "FROM psa.fact_exception\nGROUP BY system, error_code, currency\n"
            "ORDER BY amount DESC NULLS LAST, exceptions DESC, system, error_code"
        ),
        "The most money first, in all currencies.",
        span=12,
    )
    yield rows(
        "Work without a known margin",
        Sql(
            "SELECT coalesce(revenue_reason, 'cost_withheld') AS reason,\n"
            "  count(DISTINCT project_ref) AS projects,\n"
            "  round(sum(seconds) / 3600.0, 2) AS hours, coalesce(sum(revenue), 0) AS revenue\n"
            f"FROM psa.fact_project_month_margin\nWHERE {MONTHS} AND {CURRENCY}"
            " AND margin IS NULL\nGROUP BY revenue_reason\nORDER BY hours DESC, 1"
        ),
        "Nobody knows its fees, or its cost would tell what a person earns.",
        span=6,
    )
    yield rows(
        "Weeks without utilization",
        Sql(
            "SELECT ratio_reason AS reason, count(*) AS weeks,\n"
            "  round(sum(total_seconds) / 3600.0, 2) AS hours\n"
            f"FROM psa.fact_person_week_utilization\nWHERE {WEEKS} AND ratio_reason IS NOT NULL\n"
            "GROUP BY ratio_reason\nORDER BY hours DESC, reason"
        ),
        "Weeks of people whose available time is not known or none.",
        span=6,
    )
