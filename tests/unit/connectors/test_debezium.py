"""The connector file, and healing a connector within a budget."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth, web
from prometheus_client import CollectorRegistry

from connectors.debezium.client import (
    ConnectClient,
    ConnectorFailedError,
    ConnectorStatus,
    RestartBudget,
    heal,
    read_connector_file,
)
from connectors.debezium.watcher import (
    IDLE_ROUNDS,
    INTERVAL_S,
    LATE_ROUNDS,
    ConnectorWatcher,
    WatcherMetrics,
)
from connectors.toolkit.faults import UnreadableBodyError
from psastream.query.session import public_topics
from schemas.errors import ConfigError, ReplicationSlotLostError, TargetBusyError
from tests.support.catalogue import CATALOGUE, SOURCES
from tests.support.vendor_server import serving, vendor_at

FILE = Path(__file__).parents[3] / "connectors" / "vendors" / "inhouse" / "connector.json"


def test_every_captured_table_has_a_catalogued_topic() -> None:
    config = read_connector_file(FILE).config
    tables = config["table.include.list"].split(",")
    captured = {f"{config['topic.prefix']}.{table}" for table in tables}
    assert captured == {topic.name for topic in SOURCES if topic.contract is None}


def test_no_secret_and_no_address_is_in_the_file() -> None:
    config = read_connector_file(FILE).config
    outside = ("hostname", "port", "user", "password", "dbname")
    assert all(config[f"database.{name}"].startswith("${env:") for name in outside)
    assert all(isinstance(value, str) for value in config.values())


def test_the_variables_of_a_file_are_those_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    config = {"topic.prefix": "src", "a": "${env:A_1}:${env:_b}", "c": "${file:x}", "d": "$env:D"}
    path.write_text(json.dumps({"name": "x", "config": config}))
    assert read_connector_file(path).variables == {"A_1", "_b"}
    assert "INHOUSE_PSA_HOST" in read_connector_file(FILE).variables


def test_a_sink_names_its_topics_and_has_no_prefix_of_them() -> None:
    lake = read_connector_file(FILE.parents[3] / "deploy" / "lake" / "connector.json")
    topics = re.compile(lake.config["topics.regex"])
    written = {topic.name for topic in CATALOGUE if topics.fullmatch(topic.name)}
    public = {topic.name for topic in public_topics(CATALOGUE)}
    assert written == {
        name for name in public if name != "psa.dlq" and not name.startswith("psa.command.")
    }
    assert lake.variables >= {"LAKE_CATALOG", "LAKE_WAREHOUSE", "PSASTREAM_REGISTRY_URL"}


def test_money_and_quiet_tables_are_safe() -> None:
    config = read_connector_file(FILE).config
    assert config["decimal.handling.mode"] == "string"
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

    def __init__(self, answer: ConnectorStatus | Exception) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answer = answer
        self.restarts = 0

    async def status(self, name: str) -> ConnectorStatus:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def restart_failed(self, name: str) -> None:
        self.restarts += 1


def test_a_running_connector_is_left_alone() -> None:
    connect = Connect(ConnectorStatus("RUNNING", ("RUNNING",)))
    budget = RestartBudget(1, 60, clock_s=lambda: 0)
    assert asyncio.run(heal(connect, "c", budget)).is_running
    assert connect.restarts == 0


TOO_LARGE = """org.apache.kafka.connect.errors.ConnectException: Unrecoverable exception
\tat org.apache.kafka.connect.runtime.AbstractWorkerSourceTask.execute
Caused by: org.apache.kafka.connect.errors.RetriableException: some
\tat x
Caused by: org.apache.kafka.common.errors.RecordTooLargeException: The message is 17 MB
"""


def test_why_a_task_failed_is_its_last_cause() -> None:
    connect = Connect(ConnectorStatus("RUNNING", ("FAILED",), (TOO_LARGE,)))
    budget = RestartBudget(0, window_s=60, clock_s=lambda: 0.0)
    with pytest.raises(ConnectorFailedError, match=r"ConnectException.*RecordTooLargeException"):
        asyncio.run(heal(connect, "c", budget))


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


@pytest.mark.fault("B9", place="connectors/debezium/client.py")
@pytest.mark.parametrize(
    "trace",
    [
        'ERROR: can no longer get changes from replication slot "s"',
        'ERROR: cannot read from logical replication slot "s"',
        'ERROR: can no longer access replication slot "s"',
        "The offset 7 is no longer available on the server",
        "IllegalStateException: None of log files contains offset SCN: 7, re-snapshot is required.",
        "ConnectException: Unable to obtain valid replication slot. Make sure there are no",
    ],
)
def test_b9_a_lost_slot_is_not_restarted_over(trace: str) -> None:
    connect = Connect(ConnectorStatus("RUNNING", ("FAILED",), (trace,)))
    with pytest.raises(ReplicationSlotLostError):
        asyncio.run(heal(connect, "c", RestartBudget(9, 60, clock_s=lambda: 0)))
    assert connect.restarts == 0


FAILED = ConnectorStatus("RUNNING", ("FAILED",), ("boom\n at x",))


class Watch:
    """A watcher of one connector, with its clock and what it shows."""

    def __init__(self, answer: ConnectorStatus | Exception) -> None:
        self.now_s = 0.0
        self.connect = Connect(answer)
        self.registry = CollectorRegistry()
        metrics = WatcherMetrics(self.registry)
        self.watcher = ConnectorWatcher(self.connect, ["c"], metrics, clock_s=lambda: self.now_s)

    def rounds(self, count: int) -> None:
        async def work() -> None:
            for _ in range(count):
                await self.watcher.round()

        asyncio.run(work())

    def shown(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.mark.fault("B9", place="connectors/debezium/watcher.py")
def test_b9_a_failed_task_is_restarted_three_times_an_hour_and_shown_until_it_runs() -> None:
    watch = Watch(FAILED)
    watch.rounds(10)
    assert watch.connect.restarts == 3
    assert watch.shown("psastream_connector_failed", connector="c") == 1
    assert watch.shown("psastream_connector_restarts_total", connector="c") == 3

    watch.connect.answer = ConnectorStatus("RUNNING", ("RUNNING",))
    watch.rounds(1)
    assert watch.shown("psastream_connector_failed", connector="c") == 0


@pytest.mark.fault("B9", place="connectors/debezium/watcher.py")
def test_b9_a_lost_slot_is_shown_and_not_restarted_over() -> None:
    trace = "ERROR: can no longer get changes from replication slot"
    watch = Watch(ConnectorStatus("RUNNING", ("FAILED",), (trace,)))
    watch.rounds(2)
    assert watch.connect.restarts == 0
    assert watch.shown("psastream_connector_slot_lost", connector="c") == 1


IDLE = [
    ConnectorStatus("PAUSED", ("PAUSED",)),
    ConnectorStatus("STOPPED"),
    ConnectorStatus("RUNNING"),
    ConnectorStatus("UNASSIGNED", ("UNASSIGNED",)),
    ConnectorStatus("RUNNING", ("UNASSIGNED",)),
]


@pytest.mark.fault("B9", place="connectors/debezium/watcher.py")
@pytest.mark.parametrize("status", IDLE)
def test_b9_a_connector_that_does_not_run_is_shown_though_nothing_has_failed(
    status: ConnectorStatus,
) -> None:
    watch = Watch(status)
    watch.rounds(IDLE_ROUNDS)
    assert watch.shown("psastream_connector_failed", connector="c") == 0  # a rebalance
    watch.rounds(1)
    assert watch.shown("psastream_connector_failed", connector="c") == 1
    assert watch.connect.restarts == 0

    watch.connect.answer = ConnectorStatus("RUNNING", ("RUNNING",))
    watch.rounds(1)
    assert watch.shown("psastream_connector_failed", connector="c") == 0


def test_a_connect_that_is_away_is_no_failed_connector_and_not_ready() -> None:
    watch = Watch(TargetBusyError("connect is away"))
    watch.rounds(1)
    assert not watch.watcher.is_ready()
    assert watch.watcher.is_live()
    assert watch.shown("psastream_connect_reachable") == 0
    assert watch.shown("psastream_connector_failed", connector="c") is None


@pytest.mark.fault("D13", place="connectors/debezium/watcher.py")
def test_d13_a_connect_that_hangs_with_each_question_is_no_hanging_watcher() -> None:
    watch = Watch(TargetBusyError("connect is away"))
    lives: list[bool] = []

    class Hanging(Connect):
        async def status(self, name: str) -> ConnectorStatus:
            watch.now_s += LATE_ROUNDS * INTERVAL_S / 2
            lives.append(watch.watcher.is_live())
            return await super().status(name)

    watch.watcher = ConnectorWatcher(
        Hanging(watch.connect.answer),
        ["a", "b", "c"],
        WatcherMetrics(CollectorRegistry()),
        clock_s=lambda: watch.now_s,
    )
    watch.rounds(2)
    assert lives == [True] * 6
    assert not watch.watcher.is_ready()


def test_a_watcher_whose_rounds_do_not_end_is_not_live() -> None:
    watch = Watch(FAILED)
    watch.now_s = LATE_ROUNDS * INTERVAL_S
    assert not watch.watcher.is_live()


@pytest.mark.parametrize(
    "body",
    ["null", "[]", "{}", '{"connector": null}', '{"connector": {"state": 1}}', '{"tasks": []}'],
)
def test_a_status_of_another_form_is_unreadable(body: str) -> None:
    async def ask() -> None:
        async with vendor_at(web.Response(text=body, content_type="application/json")) as url:
            client = ConnectClient(url)
            try:
                await client.status("c")
            finally:
                await client.close()

    with pytest.raises(UnreadableBodyError):
        asyncio.run(ask())


@pytest.mark.fault("D5", place="connectors/debezium/client.py")
def test_d5_a_trace_is_told_without_secrets_in_letters_that_can_be_printed() -> None:
    trace = "jdbc:postgresql://db/psa?user=u&password=hunter2x refused \ud83d\n at x"
    body = json.dumps({"connector": {"state": "FAILED", "trace": trace}})

    async def ask() -> ConnectorStatus:
        async with vendor_at(web.Response(text=body, content_type="application/json")) as url:
            client = ConnectClient(url)
            try:
                return await client.status("c")
            finally:
                await client.close()

    (told,) = asyncio.run(ask()).traces
    assert "hunter2x" not in told
    assert told.encode().decode().startswith("jdbc:postgresql://db/psa")


@pytest.mark.fault("D6", place="connectors/debezium/client.py")
def test_d6_name_and_password_of_the_address_go_into_the_header_only() -> None:
    seen: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((str(request.url), request.headers.get("Authorization", "")))
        return web.json_response({"connector": {"state": "RUNNING"}, "tasks": []})

    async def ask() -> None:
        async with serving(answer) as url:
            client = ConnectClient(url.replace("//", "//psastream:p%40ss@"))
            try:
                await client.status("c")
            finally:
                await client.close()

    asyncio.run(ask())
    ((url, header),) = seen
    assert header == encode_basic_auth("psastream", "p@ss")
    assert "ss" not in url.partition("/connectors")[0].partition("//")[2]
