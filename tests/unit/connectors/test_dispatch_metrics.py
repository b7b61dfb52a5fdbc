"""The gauges of what waits for a person: sums over all dispatchers are true."""

from datetime import UTC, datetime
from decimal import Decimal

from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import OpenException
from connectors.dispatch.journal import waiting_commands
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.session import exceptions_of
from schemas.topics import PARTITIONS

WAITING = {
    f"netsuite:netsuite:project:{n}": OpenException(
        "netsuite", f"netsuite:project:{n}", Decimal(100), "EUR", datetime(2026, 3, 2, tzinfo=UTC)
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
