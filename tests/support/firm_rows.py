"""A small firm's numbers, for what shows them: in two currencies, with what is not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from psastream.query.session import dtypes_of
from tests.support.catalogue import BY_NAME

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by topic."""
AT: Final = datetime(2026, 9, 9, 12, tzinfo=UTC)


def margin(project: str, period: str, revenue: str | None, cost: str, **values: Any) -> Any:
    row = {"project_ref": project, "project_id": project, "period": period, "currency": "EUR"}
    known = {}
    if revenue is not None:
        known = {"revenue": Decimal(revenue), "margin": Decimal(revenue) - Decimal(cost)}
    return {**row, "cost": Decimal(cost), **known, **values}


def billing(state: str, amount: str, seconds: int, **values: Any) -> Any:
    row = {"project_ref": "eng-1-DE", "project_id": "eng-1-DE", "currency": "EUR"}
    return {**row, "state": state, "amount": Decimal(amount), "seconds": seconds, **values}


def waiting(number: int, amount: str | None, **values: Any) -> Any:
    row = {"exception_id": f"netsuite:x{number}", "system": "netsuite", "status": "open"}
    money = {"amount": Decimal(amount), "currency": "EUR"} if amount else {}
    return {**row, "error_code": "tax_code", "raised_at": AT, **money, **values}


ROWS: Final[Rows] = {
    "psa.status.customer": [{"customer_id": "cus-1", "name": "Abel [Ltd]", "status": "active"}],
    "psa.project": [
        {"id": "psa:project:9", "name": "Holidays"},
        {"id": "erp:project:5", "name": "By hand", "customer_id": "cus-1"},
    ],
    "psa.role": [{"id": "rm:role:1", "name": "Consultant"}],
    "psa.resource": [
        {"id": "rm:person:1", "resource_id": "res-1", "name": "Ada", "role_ref": "rm:role:1"},
        {"id": "rm:person:2", "resource_id": "res-2", "name": "Bo"},
    ],
    "psa.metric.project_margin": [
        margin("eng-1-DE", "2026-01", "1000", "600", seconds=36_000),
        margin("eng-1-DE", "2026-02", "500", "600", seconds=18_000),
        margin("eng-1-FR", "2026-01", None, "70", seconds=3_600, revenue_reason="no_budget"),
        margin("eng-1-DE", "2025-12", "9000", "1"),  # before the chosen time
        {**margin("eng-1-DE", "2026-01", "7000", "1"), "currency": "USD"},
        margin("psa:project:9", "2026-01", "8000", "1"),  # internal
    ],
    "psa.metric.utilization": [
        {"resource_id": "res-1", "iso_week": "2026-W02", "billable_seconds": 108_000,
         "total_seconds": 144_000, "available_hours": Decimal(40)},
        {"resource_id": "res-2", "iso_week": "2026-W02", "billable_seconds": 36_000,
         "total_seconds": 36_000, "available_hours": Decimal(10)},
        {"resource_id": "res-2", "iso_week": "2026-W03", "billable_seconds": 3_600,
         "total_seconds": 3_600, "ratio_reason": "unknown_hours"},
    ],
    "psa.metric.pipeline_health": [
        {"stage": "won", "currency": "EUR", "opportunities": 2, "amount": Decimal(900),
         "weighted_amount": Decimal(900)},
        {"stage": "lost", "currency": "USD", "opportunities": 1, "amount": Decimal(5),
         "weighted_amount": Decimal(0)},
    ],
    "psa.status.billing": [
        billing("blocked", "100", 3_600),
        billing("ready", "20", 720),
        billing("invoiced", "300", 10_800),
        billing("credited", "-50", -1_800),
        billing("ready", "4000", 720, currency="USD"),
    ],
    "psa.status.project": [
        {"project_id": "eng-1-DE", "customer_id": "cus-1", "name": "Move DE", "status": "active",
         "budget_hours": Decimal(30)},
        {"project_id": "eng-1-FR", "customer_id": "cus-1", "status": "active"},
    ],
    "psa.status.assignment": [
        {"id": "a", "status": "approved", "planned_hours": Decimal(80)},
        {"id": "b", "status": "waiting_rate", "planned_hours": Decimal(8)},
    ],
    "psa.command.netsuite": [
        {"natural_key": "netsuite:project:eng-1-DE", "target": "netsuite", "revision": 1,
         "kind": "upsert_project", "command_id": "c1", "payload": "{}", "issued_at": AT},
    ],
    "psa.command_result": [
        {"command_id": "c1", "natural_key": "netsuite:project:eng-1-DE", "status": "succeeded",
         "revision": 1},
    ],
    "psa.exception": [
        waiting(1, "48000.50"), waiting(2, "100"), waiting(3, None, error_code="other"),
        waiting(4, "7", status="resolved"),
    ],
}  # fmt: skip


def load(names: Sequence[str], rows: Rows = ROWS) -> Iterator[tuple[str, pl.DataFrame]]:
    """Frames of topics, as a session of `psastream sql` asks for them; what is left out is null."""
    for name in names:
        dtypes = dtypes_of(BY_NAME[name])
        found = [dict.fromkeys(dtypes) | dict(row) for row in rows.get(name, ())]
        yield name, pl.DataFrame(found, dtypes)
