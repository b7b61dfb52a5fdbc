"""Delivery: who is busy, which projects use up their plan, and what keeps them from going on."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.business import SINCE, UTILIZATION, WORKED
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
    """People and projects."""
    return make(
        "delivery",
        "psastream delivery",
        "Utilization of people and roles, projects against their plan, and what holds them up.",
        [*_people(), *_projects(), *_orders()],
        since=SINCE,
        is_business=True,
    )


def _people() -> Iterator[Part]:
    yield builders.Row("People")
    yield graph(
        "Utilization by role",
        Sql(
            'SELECT CAST(week_starts_on AS timestamp) AS "time",\n'
            f"  coalesce(role, 'no role') AS metric, {UTILIZATION} AS utilization\n{WORKED}\n"
            "GROUP BY 1, 2\nORDER BY 1, 2",
            is_series=True,
        ),
        "Billable time by available time, by ISO week.",
        unit="percentunit",
        span=12,
    )
    yield rows(
        "Utilization by person",
        Sql(
            "SELECT coalesce(person, resource_id) AS person, role,\n"
            "  round(sum(billable_seconds) / 3600.0, 2) AS billable_hours,\n"
            "  round(sum(total_seconds) / 3600.0, 2) AS hours,\n"
            f"  sum(available_hours) AS available_hours, {UTILIZATION} AS ratio\n{WORKED}\n"
            "GROUP BY resource_id, person, role\nORDER BY ratio, 1"
        ),
        "In the chosen time, the least utilized first.",
        span=12,
    )


def _projects() -> Iterator[Part]:
    yield builders.Row("Projects")
    yield rows(
        "Hours against the plan",
        Sql(
            "SELECT p.project, p.customer, p.budget_hours,\n"
            "  round(coalesce(sum(m.seconds), 0) / 3600.0, 2) AS hours,\n"
            "  coalesce(sum(m.seconds), 0) / (p.budget_hours * 3600) AS ratio\n"
            "FROM psa.dim_project AS p\n"
            "LEFT JOIN psa.fact_project_month_margin AS m ON m.project_id = p.project_id\n"
            "WHERE p.budget_hours > 0\n"
            "GROUP BY p.project_id, p.project, p.customer, p.budget_hours\n"
            "ORDER BY ratio DESC, p.project"
        ),
        "Approved hours of all time against those of approved assignments.",
        span=12,
    )
    yield rows(
        "Projects by status",
        Sql(
            "SELECT coalesce(status, 'no deal') AS status, reason, count(*) AS projects\n"
            "FROM psa.dim_project\nWHERE NOT is_internal\nGROUP BY status, reason\n"
            "ORDER BY projects DESC, 1, reason"
        ),
        "And why they wait or were rejected.",
        span=6,
    )
    yield rows(
        "Planned work by status",
        Sql(
            "SELECT status, count(*) AS assignments, sum(planned_hours) AS hours\n"
            "FROM psa.fact_assignment\nGROUP BY status\nORDER BY hours DESC, status"
        ),
        "waiting_rate: the person has no rate yet, so no budget holds it.",
        span=6,
    )


def _orders() -> Iterator[Part]:
    yield builders.Row("What is ordered in other systems")
    yield number(
        "Commands on their way",
        Query(f"sum({series('psastream_commands_open')}) or on () vector(0)"),
        "Queued, in flight, or retried.",
        alert="PsastreamCommandBacklog",
        span=4,
    )
    yield graph(
        "From change to the other system, 95 %",
        Query(percentile(0.95, "target, kind", "psastream_command_seconds"), "{{target}} {{kind}}"),
        "Of 19 of 20 commands; 0 while there are none.",
        unit="s",
        span=10,
    )
    yield graph(
        "Settled within a day",
        Query(
            sum_by("target, status", f"increase({series('psastream_commands_total')}[1d])"),
            "{{target}} {{status}}",
        ),
        "Commands by what became of them.",
        also=("PsastreamCommandsRejected",),
        span=10,
    )
