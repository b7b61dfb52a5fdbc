"""What the product has published, in the form that truths of outside databases are compared in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from tests.support.workshop import Truth

Rows = Mapping[str, Mapping[str, Any]]
LIVE: Final = "upsert_time_bill"


def published_truth(
    margin: Rows, utilization: Rows, commands: Iterable[Mapping[str, Any]]
) -> Truth:
    """What is said of margin and utilization by key, and what is ordered by the last commands.

    Weeks without hours are left out: a person has some as long as the product knows of no end.
    """
    return Truth(
        margin={
            key: (row["seconds"], row["revenue"], row["cost"])
            for key, row in margin.items()
            if row["margin"] == row["revenue"] - row["cost"]
        },
        utilization={
            key: (row["billable_seconds"], row["total_seconds"], row["available_hours"])
            for key, row in utilization.items()
            if row["total_seconds"]
        },
        orders=_once(_orders(commands)),
    )


def _once(orders: Iterable[tuple[str, tuple[Any, ...]]]) -> dict[str, tuple[Any, ...]]:
    """By entry and project; two bills for one of them would be one too many."""
    found: dict[str, tuple[Any, ...]] = {}
    for key, content in orders:
        assert key not in found, f"{key} is ordered twice"
        found[key] = content
    return found


def _orders(commands: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, tuple[Any, ...]]]:
    last: dict[str, Mapping[str, Any]] = {}
    for command in commands:
        key = command["natural_key"]
        if key not in last or command["revision"] > last[key]["revision"]:
            last[key] = command
    for command in last.values():
        if command["kind"] == LIVE:
            said = json.loads(command["payload"], parse_float=Decimal)
            content = (
                said["project_id"],
                said["work_on"],
                said["seconds"],
                Decimal(said["bill_rate"]),
                said["currency"],
            )
            yield f"{said['time_entry_id']}|{said['project_ref']}", content
