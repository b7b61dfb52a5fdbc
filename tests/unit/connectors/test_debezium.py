"""The connector file, and healing a connector within a budget."""

import asyncio
import json
from pathlib import Path

import pytest

from connectors.debezium.client import (
    ConnectClient,
    ConnectorFailedError,
    ConnectorStatus,
    RestartBudget,
    heal,
    read_connector_file,
)
from schemas.errors import ConfigError, ReplicationSlotLostError
from schemas.topics import SOURCES

FILE = Path(__file__).parents[3] / "connectors" / "debezium" / "inhouse-psa.json"


def test_every_captured_table_has_a_catalogued_topic() -> None:
    config = read_connector_file(FILE).config
    tables = config["table.include.list"].split(",")
    captured = {f"{config['topic.prefix']}.{table}" for table in tables}
    assert captured == {topic.name for topic in SOURCES if topic.record is None}


def test_no_secret_and_no_address_is_in_the_file() -> None:
    config = read_connector_file(FILE).config
    outside = ("hostname", "port", "user", "password", "dbname")
    assert all(config[f"database.{name}"].startswith("${env:") for name in outside)
    assert all(isinstance(value, str) for value in config.values())


def test_money_and_quiet_tables_are_safe() -> None:
    config = read_connector_file(FILE).config
    assert config["decimal.handling.mode"] == "precise"
    assert int(config["heartbeat.interval.ms"]) > 0
    assert "pg_logical_emit_message" in config["heartbeat.action.query"]


@pytest.mark.parametrize("document", [{}, {"name": "x"}, {"name": "x", "config": {}, "extra": 1}])
def test_other_files_are_refused(document: object, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError):
        read_connector_file(path)


class Connect(ConnectClient):
    """A cluster whose connector always has one status."""

    def __init__(self, status: ConnectorStatus) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answer = status
        self.restarts = 0

    async def status(self, name: str) -> ConnectorStatus:
        return self.answer

    async def restart_failed(self, name: str) -> None:
        self.restarts += 1


def test_a_running_connector_is_left_alone() -> None:
    connect = Connect(ConnectorStatus("RUNNING", ("RUNNING",)))
    budget = RestartBudget(1, 60, clock_s=lambda: 0)
    assert asyncio.run(heal(connect, "c", budget)).is_running
    assert connect.restarts == 0


def test_a_failed_task_is_restarted_until_the_budget_is_spent() -> None:
    now_s = 0.0
    connect = Connect(ConnectorStatus("RUNNING", ("FAILED",), ("boom\n at x",)))
    budget = RestartBudget(2, window_s=60, clock_s=lambda: now_s)
    for _ in range(2):
        asyncio.run(heal(connect, "c", budget))
    with pytest.raises(ConnectorFailedError, match="boom"):
        asyncio.run(heal(connect, "c", budget))
    assert connect.restarts == 2
    now_s = 61.0
    asyncio.run(heal(connect, "c", budget))
    assert connect.restarts == 3


def test_a_lost_slot_is_not_restarted_over() -> None:
    trace = "ERROR: can no longer get changes from replication slot"
    connect = Connect(ConnectorStatus("RUNNING", ("FAILED",), (trace,)))
    with pytest.raises(ReplicationSlotLostError):
        asyncio.run(heal(connect, "c", RestartBudget(9, 60, clock_s=lambda: 0)))
    assert connect.restarts == 0
