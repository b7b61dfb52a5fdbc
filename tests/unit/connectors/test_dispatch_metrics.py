"""The gauges of what waits for a person: sums over all dispatchers are true."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import OpenException
from connectors.dispatch.journal import waiting_commands
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.session import exceptions_of
from schemas.topics import PARTITIONS

AT = datetime(2026, 3, 2, tzinfo=UTC)
WAITING = {
    f"netsuite:netsuite:project:{n}": OpenException(
        "netsuite", f"netsuite:project:{n}", Decimal(100), "EUR", AT
    )
    for n in range(20)
}


def test_each_open_exception_is_told_by_the_one_dispatcher_that_owns_its_command() -> None:
    told = []
    for partition in range(PARTITIONS):
        ours = exceptions_of({("psa.command.netsuite", partition)}, WAITING)
        registry = CollectorRegistry()
        DispatchMetrics(registry).show_exceptions(ours.values())
        labels = {"system": "netsuite"}
        count = registry.get_sample_value("psastream_exceptions_open", labels)
        money = registry.get_sample_value(
            "psastream_exceptions_open_money", {**labels, "currency": "EUR"}
        )
        assert (count or 0, money or 0) == (len(ours), 100 * len(ours))
        told += list(ours)
    assert sorted(told) == sorted(WAITING)


def test_findings_of_tables_are_no_commands_that_wait() -> None:
    command = {"exception_id": "float:x", "status": "open", "command_id": "cmd-1"}
    rows = [
        command,
        {**command, "status": "resolved"},
        {"exception_id": "person:res-1", "status": "open", "command_id": None},
    ]
    assert waiting_commands(rows) == [command]


@pytest.mark.parametrize("currency", ["EUR", None])
@pytest.mark.parametrize("amount", [Decimal("3.50"), None])
def test_the_gauges_of_open_exceptions_follow_each_that_changes(
    amount: Decimal | None, currency: str | None
) -> None:
    registry = CollectorRegistry()
    first, other = (
        OpenException("netsuite", f"netsuite:project:{n}", Decimal(n), "EUR", AT) for n in (10, 20)
    )
    changed = replace(first, amount=amount, currency=currency)
    rest = amount if amount and currency else Decimal(0)

    def shown() -> tuple[float | None, float | None]:
        system = {"system": "netsuite"}
        euros = system | {"currency": "EUR"}
        return (
            registry.get_sample_value("psastream_exceptions_open", system),
            registry.get_sample_value("psastream_exceptions_open_money", euros),
        )

    metrics = DispatchMetrics(registry)
    totals = metrics.show_exceptions([first])
    assert shown() == (1, 10)
    totals.change(None, other)
    assert shown() == (2, 30)
    totals.change(first, changed)
    assert shown() == (2, 20 + rest)
    totals.change(other, None)
    assert shown() == (1, rest)
    totals.change(changed, None)
    assert shown() == (0, 0)
    totals.change(None, other)
    metrics.show_exceptions([])
    assert shown() == (None, None)
