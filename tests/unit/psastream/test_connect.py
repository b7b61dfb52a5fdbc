"""Connectors on the command line, against answers as Kafka Connect gives them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from aiohttp import web
from typer.testing import CliRunner, Result

from psastream.cli import app
from psastream.landscape import ANY_ADDRESSES
from tests.support.vendor_server import serving

STATES: Mapping[str, tuple[str, str]] = {
    "runs": ("RUNNING", "RUNNING"),
    "failed": ("RUNNING", "FAILED"),
    "paused": ("PAUSED", "PAUSED"),
}


def run(*arguments: str) -> tuple[Result, list[str]]:
    """Run a command on a Connect with these connectors; also return what it started again."""
    restarted: list[str] = []

    def status(name: str) -> dict[str, object]:
        state, task = STATES[name]
        trace = {"trace": "boom\n at y"} if task == "FAILED" else {}
        return {"connector": {"state": state}, "tasks": [{"state": task, **trace}]}

    async def answer(request: web.Request) -> web.Response:
        parts = request.path.strip("/").split("/")
        if len(parts) == 1:
            return web.json_response({name: {"status": status(name)} for name in STATES})
        if parts[1] not in STATES:
            return web.json_response({"error_code": 404, "message": "not there"}, status=404)
        if parts[2] == "restart":
            assert request.query_string == "includeTasks=true&onlyFailed=true"
            restarted.append(parts[1])
            return web.json_response({}, status=202)
        if parts[2] == "resume":
            assert request.method == "PUT"
            restarted.append(parts[1])
            return web.Response(status=202)
        return web.json_response({"name": parts[1], **status(parts[1])})

    async def served() -> Result:
        async with serving(answer) as url:
            environment = {**ANY_ADDRESSES, "PSASTREAM_CONNECT_URL": url}
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


@pytest.mark.parametrize("command", ["restart", "resume", "status"])
def test_one_that_is_not_there_is_named_and_nothing_is_restarted(command: str) -> None:
    shown, restarted = run(command, "failed", "nix")
    assert (shown.exit_code, shown.stdout, restarted) == (2, "", [])
    assert shown.stderr.startswith(
        "psastream: no connector: nix\n  try: psastream connectors status\n"
    )
