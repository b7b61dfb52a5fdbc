"""The whole audit: expected tables from the sources' rows against what is really there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sandbox.books import billing, deals, effects, measures, offices, status
from sandbox.books.comparison import Difference, compare
from sandbox.books.rows import SourceRows
from sandbox.books.status import Expected
from sandbox.vendors.effects import Effect

PUBLISHED: Final[Mapping[str, Callable[[SourceRows], Expected]]] = {
    "psa.status.customer": status.expected_customers,
    "psa.status.project": status.expected_projects,
    "psa.status.assignment": status.expected_assignments,
    "psa.status.billing": billing.expected_billing,
    "psa.metric.project_margin": measures.expected_margins,
    "psa.metric.utilization": measures.expected_utilization,
    "psa.metric.pipeline_health": measures.expected_pipeline,
    "psa.exception": lambda rows: (
        status.expected_exceptions(rows) | billing.expected_billing_exceptions(rows)
    ),
}
"""Expected content of every compared topic."""

NOT_COMPARED: Final = frozenset({"version", "as_of", "source_position"})
"""Fields that tell how a row came about, not what it says."""

BILLING_TOTALS: Final = "approved hours in one billing state each"
DEAD_LETTERS: Final = "psa.dlq"


def planned(resource_tool: str) -> str:
    """Return the name of the table of the projects that a resource tool holds."""
    return f"{resource_tool} projects"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found: source rows, published rows by topic and key, writes, dead letters."""

    rows: SourceRows
    published: Mapping[str, Expected]
    effects: Sequence[Effect]
    dead_letters: Sequence[str]  # one identity for each refused record


def expected_tables(evidence: Evidence, dead_letters: int) -> dict[str, Expected]:
    """Return everything that must hold, by table."""
    rows = evidence.rows
    return {
        **{topic: expect(rows) for topic, expect in PUBLISHED.items()},
        **offices.expected_records(rows.offices),
        BILLING_TOTALS: billing.expected_billing_totals(rows),
        "erp customers": effects.expected_debtors(rows),
        "erp projects": effects.expected_jobs(rows),
        "erp time bills": effects.expected_time_bills(rows),
        planned(rows.resource): effects.expected_rm_projects(rows),
        "crm deals": deals.expected_deals(rows),
        "writes, each once": effects.expected_log(rows),
        DEAD_LETTERS: {"refused records": {"count": dead_letters}},
    }


def actual_tables(evidence: Evidence) -> dict[str, Expected]:
    """Return what is there, under the same names."""
    rows = evidence.rows
    published = dict(evidence.published)
    published["psa.exception"] = _open(evidence.published.get("psa.exception", {}))
    published["psa.status.project"] = _not_cancelled(
        evidence.published.get("psa.status.project", {})
    )
    return {
        **published,
        BILLING_TOTALS: billing.billing_totals(evidence.published.get("psa.status.billing", {})),
        "erp customers": effects.actual_debtors(rows),
        "erp projects": effects.actual_jobs(rows),
        "erp time bills": effects.actual_time_bills(rows),
        planned(rows.resource): effects.actual_rm_projects(rows),
        "crm deals": deals.actual_deals(rows),
        "writes, each once": effects.actual_log(evidence.effects),
        DEAD_LETTERS: {"refused records": {"count": len(set(evidence.dead_letters))}},
    }


@dataclass(frozen=True, slots=True)
class Audit:
    """Result of an audit: rows compared by table, and what differs."""

    rows_compared: Mapping[str, int]
    differences: Sequence[Difference]


def audit(evidence: Evidence, *, dead_letters: int) -> Audit:
    """Compare everything. `dead_letters` is how many impossible records were entered."""
    expected = expected_tables(evidence, dead_letters)
    return Audit(
        rows_compared={name: len(table) for name, table in expected.items()},
        differences=compare(expected, actual_tables(evidence)),
    )


def _not_cancelled(projects: Expected) -> Expected:
    """Return the projects without those taken back: the final rows do not tell what once was."""
    return {key: row for key, row in projects.items() if row["status"] != "cancelled"}


def _open(exceptions: Mapping[str, Mapping[str, Any]]) -> Expected:
    return {key: dict(row) for key, row in exceptions.items() if row["status"] == "open"}
