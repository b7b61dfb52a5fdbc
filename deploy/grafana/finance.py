"""Finance: how far billing is, what each project earns, and which refusals cost money."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.business import CURRENCY, EARNED, MARGIN_RATIO, SINCE, WAITING
from deploy.grafana.parts import (
    Part,
    Query,
    Sql,
    graph,
    number,
    percentile,
    rows,
    series,
    sum_by,
)
from deploy.grafana.parts import (
    dashboard as make,
)


def dashboard() -> models.Dashboard:
    """Money, in one currency at a time."""
    return make(
        "finance",
        "psastream finance",
        "Billing by state, margin by project, and refusals with the money behind them.",
        [*_billing(), *_margins(), *_refusals()],
        since=SINCE,
        is_business=True,
    )


def _billing() -> Iterator[Part]:
    yield builders.Row("Billing now, $currency")
    for title, condition, meaning in (
        ("To be invoiced", f"state IN {WAITING}", "Approved and not invoiced yet."),
        ("Blocked", "state = 'blocked'", "Of that: what cannot go to the ERP yet."),
        (
            "Owed",
            "state IN ('invoiced', 'credited')",
            "Invoiced, less what credit memos took back.",
        ),
        ("Written off", "state = 'written_off'", "In the ERP, which will not invoice it."),
        (
            "Invoiced beyond approved time",
            "state = 'unmatched'",
            "Negative: on invoices, and no approved time stands for it.",
        ),
    ):
        yield number(
            title,
            Sql(
                "SELECT coalesce(sum(amount), 0) AS amount\nFROM psa.fact_billing\n"
                f"WHERE {CURRENCY} AND {condition}"
            ),
            meaning,
            unit="locale",
            span=4,
        )
    yield number(
        "Waits for a person",
        Sql(
            f"SELECT coalesce(sum(amount), 0) AS amount\nFROM psa.fact_exception\nWHERE {CURRENCY}"
        ),
        "Money behind what is open.",
        unit="locale",
        also=("PsastreamMoneyBlocked",),
        span=4,
    )
    yield rows(
        "Billing by state",
        Sql(
            "SELECT state, round(sum(seconds) / 3600.0, 2) AS hours, sum(amount) AS amount\n"
            f"FROM psa.fact_billing\nWHERE {CURRENCY}\nGROUP BY state\n"
            "ORDER BY amount DESC, state"
        ),
        "The states add up to the approved time.",
        span=8,
    )
    yield rows(
        "To be invoiced, by project",
        Sql(
            "SELECT project, customer, state, round(sum(seconds) / 3600.0, 2) AS hours,\n"
            "  sum(amount) AS amount\nFROM psa.fact_billing\n"
            f"WHERE {CURRENCY} AND state IN {WAITING} AND NOT is_internal\n"
            "GROUP BY project_id, project, customer, state\nORDER BY amount DESC, project, state"
        ),
        "The most money first.",
        span=16,
    )


def _margins() -> Iterator[Part]:
    yield builders.Row("Margin in the chosen time, $currency")
    yield rows(
        "Margin by project",
        Sql(
            "SELECT project, customer, sum(revenue) AS revenue, sum(cost) AS cost,\n"
            f"  sum(margin) AS margin, {MARGIN_RATIO} AS ratio\n{EARNED}\n"
            "GROUP BY project_id, project, customer\nORDER BY margin, project"
        ),
        "The least first; months whose revenue is not known are left out.",
        span=16,
    )
    yield graph(
        "Revenue and cost by month",
        Sql(
            "SELECT CAST(month || '-01' AS timestamp) AS \"time\", sum(revenue) AS revenue,\n"
            f"  sum(cost) AS cost\n{EARNED}\nGROUP BY 1\nORDER BY 1",
            is_series=True,
        ),
        "By month of the work.",
        unit="locale",
        span=8,
    )


def _refusals() -> Iterator[Part]:
    yield builders.Row("What a person must mend")
    yield rows(
        "Open exceptions",
        Sql(
            "SELECT amount, currency, system, error_code, project, customer, detail, hint,\n"
            "  raised_at\nFROM psa.fact_exception\n"
            "ORDER BY amount DESC NULLS LAST, raised_at, exception_id\nLIMIT 100"
        ),
        "The hundred with the most money; `psastream exceptions list` has them all.",
        span=24,
    )
    yield graph(
        "Money behind refused commands",
        Query(
            sum_by("system, currency", series("psastream_exceptions_open_money")),
            "{{system}} {{currency}}",
        ),
        "For display; the exact amounts are above.",
        also=("PsastreamMoneyBlocked",),
        span=12,
    )
    yield graph(
        "From change to settled command, 95 %",
        Query(percentile(0.95, "target, kind", "psastream_command_seconds"), "{{target}} {{kind}}"),
        "Of 19 of 20 commands of each kind; 0 while there are none.",
        unit="s",
        also=("PsastreamCommandBacklog",),
        span=12,
    )
    yield graph(
        "Commands later than 5 minutes",
        Query(sum_by("target, kind", series("psastream_commands_overdue")), "{{target}} {{kind}}"),
        "Not settled yet; what is promised is that 1 of 100 is that late.",
        also=("PsastreamFlowLate", "PsastreamFlowSlow"),
        span=12,
    )
    yield graph(
        "Money that they move",
        Query(
            sum_by("target, currency", series("psastream_commands_overdue_money")),
            "{{target}} {{currency}}",
        ),
        "For display; the exact amounts are in `psastream commands list`.",
        also=("PsastreamFlowLate",),
        span=12,
    )
