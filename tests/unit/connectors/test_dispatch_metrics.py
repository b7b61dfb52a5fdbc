"""The gauges of what waits for a person: sums over all dispatchers are true."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import OpenException
from connectors.dispatch.journal import waiting_commands
from connectors.dispatch.metrics import OBJECTIVE, DispatchMetrics
from connectors.dispatch.session import exceptions_of
from schemas.topics import PARTITIONS
from tests.support.sinks import make_command

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


def test_what_is_overdue_is_counted_with_the_money_it_moves_and_zero_when_it_is_settled() -> None:
    registry = CollectorRegistry()
    metrics = DispatchMetrics(registry)

    def shown() -> list[float | None]:
        by_kind = {"target": "netsuite", "kind": "upsert_project"}
        euros = {"target": "netsuite", "currency": "EUR"}
        return [
            registry.get_sample_value("psastream_commands_overdue", by_kind),
            registry.get_sample_value("psastream_commands_overdue_money", euros),
        ]

    command = replace(make_command(), amount=Decimal("100.50"), currency="EUR")
    metrics.show_overdue([(AT - OBJECTIVE, command), (None, command)], AT)
    assert shown() == [None, None]
    late = AT - OBJECTIVE - timedelta(milliseconds=1)
    metrics.show_overdue([(late, command), (late, command), (late, make_command())], AT)
    assert shown() == [3, 201]
    metrics.show_overdue([(AT, command)], AT)
    assert shown() == [0, 0]


def test_the_histogram_knows_exactly_how_many_were_settled_within_the_objective() -> None:
    registry = CollectorRegistry()
    metrics = DispatchMetrics(registry)
    for seconds in (OBJECTIVE.total_seconds(), OBJECTIVE.total_seconds() + 0.001):
        metrics.settle_time.labels("netsuite", "upsert_project").observe(seconds)
    within = {"target": "netsuite", "kind": "upsert_project", "le": "300.0"}
    assert registry.get_sample_value("psastream_command_seconds_bucket", within) == 1
