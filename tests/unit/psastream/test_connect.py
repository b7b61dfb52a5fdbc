"""Connectors on the command line, against answers as Kafka Connect gives them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner, Result

from connectors.debezium.client import ConnectClient, ConnectorFile
from connectors.debezium.watcher import WatcherMetrics
from psastream.cli import app
from psastream.connect import tell_captured, watcher_of
from psastream.landscape import ANY_ADDRESSES
from runtime.settings import Settings
from tests.support.vendor_server import serving

STATES: Mapping[str, tuple[str, str]] = {
    "runs": ("RUNNING", "RUNNING"),
    "failed": ("RUNNING", "FAILED"),
    "paused": ("PAUSED", "PAUSED"),
}


CONNECTOR = Path("connectors/vendors/inhouse/connector.json")


def run(*arguments: str, owner: str = "psastream", keeps: str = "") -> tuple[Result, list[str]]:
    """Run a command on a Connect with these connectors; also return what it started or wrote.

    `keeps` owns the connector of the in-house database, where there is one.
    """
    restarted: list[str] = []

    def status(name: str) -> dict[str, object]:
        state, task = STATES[name]
        trace = {"trace": "boom\n at y"} if task == "FAILED" else {}
        return {"connector": {"state": state}, "tasks": [{"state": task, **trace}]}

    async def answer(request: web.Request) -> web.Response:
        parts = request.path.strip("/").split("/")
        # Connect answers 415 to others.
        assert request.method == "GET" or request.content_type == "application/json"
        if len(parts) == 1:
            return web.json_response({name: {"status": status(name)} for name in STATES})
        if parts[2] == "config" and (keeps or request.method == "PUT"):
            restarted.extend(parts[1:2] * (request.method == "PUT"))
            return web.json_response(
                {"name": parts[1], "psastream.connector.owner": keeps}, status=200 if keeps else 201
            )
        if parts[1] not in STATES:
            return web.json_response({"error_code": 404, "message": "not there"}, status=404)
        if parts[2] == "restart":
            assert request.query_string == "includeTasks=true&onlyFailed=true"
            restarted.append(parts[1])
            return web.json_response({}, status=202)
        if parts[2] in ("resume", "pause"):
            assert request.method == "PUT"
            restarted.append(parts[1])
            return web.Response(status=202)
        return web.json_response({"name": parts[1], **status(parts[1])})

    async def served() -> Result:
        async with serving(answer) as url:
            environment = {
                **ANY_ADDRESSES,
                "PSASTREAM_CONNECT_URL": url,
                "PSASTREAM_CONNECTOR_OWNER": owner,
            }
            return await asyncio.to_thread(
                CliRunner().invoke, app, ["connectors", *arguments], env=environment
            )

    return asyncio.run(served()), restarted


def test_without_names_all_are_told() -> None:
    shown, _ = run("status")
    assert (shown.exit_code, shown.stdout.splitlines()) == (
        1,
        [
            "failed: RUNNING, tasks FAILED",
            "  boom",
            "paused: PAUSED, tasks PAUSED",
            "runs: RUNNING, tasks RUNNING",
        ],
    )
    # No broker is there to tell of polled systems.
    assert shown.stderr.startswith("what was ordered of polled systems is not known: no Kafka")
    shown, _ = run("status", "runs")
    assert (shown.exit_code, shown.stdout) == (0, "runs: RUNNING, tasks RUNNING\n")


def test_states_are_json_where_that_is_asked_for() -> None:
    shown, _ = run("status", "failed", "--json")
    assert shown.exit_code == 1
    (told,) = json.loads(shown.stdout)
    assert (told["name"], told["is_running"], told["tasks"]) == ("failed", False, ["FAILED"])


@pytest.mark.parametrize(
    ("name", "said", "exit_code"),
    [
        ("runs", "nothing is restarted", 0),
        ("failed", "what has failed is restarted", 0),
        ("paused", "nothing has failed: psastream connectors resume paused", 1),
    ],
)
def test_what_has_failed_is_restarted_and_nothing_else(
    name: str, said: str, exit_code: int
) -> None:
    shown, restarted = run("restart", name)
    assert (shown.exit_code, said in shown.stdout) == (exit_code, True), shown.output
    assert restarted == [name] * (name == "failed")


@pytest.mark.parametrize(
    ("arguments", "said", "exit_code", "is_resumed"),
    [
        (["paused"], "PAUSED, is resumed", 0, True),
        (["paused", "--dry-run"], "PAUSED, would be resumed", 0, False),
        (["runs"], "nothing is resumed", 0, False),
        (["failed"], "psastream connectors restart failed", 1, False),
    ],
)
def test_what_is_paused_is_resumed_and_nothing_else(
    arguments: list[str], said: str, exit_code: int, is_resumed: bool
) -> None:
    shown, resumed = run("resume", *arguments)
    assert (shown.exit_code, said in shown.stdout) == (exit_code, True), shown.output
    assert resumed == arguments[:1] * is_resumed


@pytest.mark.parametrize(
    ("arguments", "said", "is_paused"),
    [
        (["runs"], "is paused; its database keeps its log meanwhile", True),
        (["failed"], "is paused", True),
        (["runs", "--dry-run"], "would be paused", False),
        (["paused"], "PAUSED, nothing is paused", False),
    ],
)
def test_what_runs_is_paused(arguments: list[str], said: str, is_paused: bool) -> None:
    shown, paused = run("pause", *arguments)
    assert (shown.exit_code, said in shown.stdout) == (0, True), shown.output
    assert paused == arguments[:1] * is_paused


@pytest.mark.parametrize("command", ["restart", "pause", "resume", "status"])
def test_one_that_is_not_there_is_named_and_nothing_is_restarted(command: str) -> None:
    shown, restarted = run(command, "failed", "nix")
    assert (shown.exit_code, shown.stdout, restarted) == (2, "", [])
    assert shown.stderr.startswith(
        "psastream: no connector: nix\n  try: psastream connectors status\n"
    )


@pytest.mark.parametrize(("keeps", "said"), [("", "created"), ("psastream", "up to date")])
def test_a_connector_of_ours_is_written(keeps: str, said: str) -> None:
    shown, written = run("apply", f"--config={CONNECTOR}", keeps=keeps)
    assert (shown.exit_code, shown.stdout) == (0, f"inhouse-psa: {said}\n"), shown.output
    assert written == ["inhouse-psa"]


def test_a_connector_that_a_kafkaconnector_keeps_is_not_written() -> None:
    shown, written = run("apply", f"--config={CONNECTOR}", keeps="strimzi")
    assert (shown.exit_code, written) == (2, [])
    assert "inhouse-psa is kept by a KafkaConnector" in shown.stderr
    assert "set PSASTREAM_CONNECTOR_OWNER=strimzi" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["apply", f"--config={CONNECTOR}"], "kubectl apply the KafkaConnectors"),
        (["restart", "failed"], "kubectl annotate kafkaconnector failed strimzi.io/restart-task=0"),
        (["resume", "paused"], "set spec.state to running in the KafkaConnector paused"),
    ],
)
def test_connectors_of_strimzis_are_changed_by_nobody_here(
    arguments: list[str], remedy: str
) -> None:
    shown, written = run(*arguments, owner="strimzi")
    assert (shown.exit_code, written) == (2, [])
    assert f"  try: {remedy}" in shown.stderr
    assert run("status", "runs", owner="strimzi")[0].exit_code == 0


def test_a_watcher_shows_which_systems_its_connectors_capture() -> None:
    registry = CollectorRegistry()
    config = {"topic.prefix": "src", "table.include.list": "worklog.entries,worklog.tasks"}
    sink = ConnectorFile("lake", {"topics.regex": "psa[.].*"})
    tell_captured([ConnectorFile("worklog-psa", config), sink], WatcherMetrics(registry))

    [captures] = [it for it in registry.collect() if it.name == "psastream_connector_captures"]
    shown = [(sample.labels, sample.value) for sample in captures.samples]
    assert shown == [({"connector": "worklog-psa", "system": "worklog"}, 1)]


@pytest.mark.parametrize(("owner", "restarts"), [("psastream", 1), ("strimzi", 0)])
def test_a_watcher_shows_what_has_failed_and_restarts_what_is_ours(
    owner: str, restarts: int
) -> None:
    registry = CollectorRegistry()
    restarted: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            restarted.append(request.path)
            return web.json_response({}, status=202)
        tasks = [{"state": "FAILED", "trace": "boom"}]
        return web.json_response({"connector": {"state": "RUNNING"}, "tasks": tasks})

    async def watched() -> None:
        settings = Settings.from_env({**ANY_ADDRESSES, "PSASTREAM_CONNECTOR_OWNER": owner})
        async with serving(answer) as url:
            client = ConnectClient(url)
            await watcher_of(settings, client, ["c"], WatcherMetrics(registry)).round()
            await client.close()

    asyncio.run(watched())

    assert len(restarted) == restarts
    assert registry.get_sample_value("psastream_connector_failed", {"connector": "c"}) == 1
