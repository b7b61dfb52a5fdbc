"""Debezium connectors on Kafka Connect: apply files, print states."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import typer

from connectors.debezium.client import (
    OWNER_KEY,
    STRIMZI,
    ConnectClient,
    ConnectorFile,
    ConnectorStatus,
    read_connector_file,
    reason_of,
)
from connectors.debezium.watcher import RESTARTS, ConnectorWatcher, WatcherMetrics
from connectors.toolkit.faults import RecordNotFoundError
from psastream.check.files import systems_of
from psastream.exits import Exit
from psastream.landscape import read_firm
from psastream.lines import say
from psastream.running import run
from psastream.slots import SlotMetrics, SlotWatcher
from psastream.source_orders import Standing, polled_of, read_standings
from runtime.access import HttpAccess
from runtime.prometheus import serve_process
from runtime.secrets import mask
from runtime.settings import Settings
from schemas.errors import BrokerUnavailableError, ConfigError

WATCH_TIMEOUT_S: Final = 8.0
"""Of one question for a status: one that hangs is said soon, and asked again."""
WATCH_ATTEMPTS: Final = 3
RESUMABLE: Final = ("PAUSED", "STOPPED")


def apply_connectors(settings: Settings, paths: Sequence[Path]) -> None:
    """Register connectors or bring them up to date; repeating it changes nothing.

    Raises ConfigError where somebody else keeps connectors, or one of these.
    """
    remedy = "kubectl apply the KafkaConnectors that python -m deploy.strimzi writes"
    asyncio.run(apply(_ours(settings, remedy), paths))


async def apply(access: HttpAccess | str, paths: Sequence[Path]) -> None:
    """As `apply_connectors`, on a Connect at an address."""
    client = ConnectClient(access)
    try:
        for path in paths:
            connector = read_connector_file(path)
            await _refuse_another_owner(client, connector.name)
            is_new = await client.register(connector)
            say("created" if is_new else "up to date", f"{connector.name}: ")
    finally:
        await client.close()


async def _refuse_another_owner(client: ConnectClient, name: str) -> None:
    """Raise ConfigError for a connector that a KafkaConnector keeps: it would be set back."""
    try:
        config = await client.config(name)
    except RecordNotFoundError:
        return
    if config.get(OWNER_KEY) == STRIMZI:
        raise ConfigError(
            f"connector {name} is kept by a KafkaConnector of Strimzi's",
            hint=f"set PSASTREAM_CONNECTOR_OWNER={STRIMZI} (connect.connectorOwner of the chart), "
            "or delete the KafkaConnector first: psastream docs kafka-access",
        )


def print_status(settings: Settings, names: Sequence[str], *, as_json: bool = False) -> Exit:
    """Print the state of connectors and of polled systems, without names of all.

    FAILED unless all of them run, and what is named could be asked.
    """
    polled = set(polled_of(read_firm(settings), settings))
    captured = [name for name in names if name not in polled]
    statuses: Mapping[str, ConnectorStatus] = {}
    if captured or not names:
        statuses = asyncio.run(_statuses(_access(settings), captured))
    found: list[Standing] = []
    unread: BrokerUnavailableError | None = None
    if captured != list(names) or not names:
        try:
            found = read_standings(settings, [name for name in names if name in polled])
        except BrokerUnavailableError as error:
            unread = error
    is_named = len(captured) < len(names)
    is_well = all(each.is_running for each in statuses.values())
    is_well = is_well and not any(each.is_paused for each in found)
    is_well = is_well and not (unread and is_named)
    exit_code = Exit.OK if is_well else Exit.FAILED
    if as_json:
        told = [
            {"name": name, **asdict(each), "is_running": each.is_running}
            for name, each in statuses.items()
        ]
        told += [
            {"name": f"{each.order.system} {each.order.obj}", **each.as_record()} for each in found
        ]
        typer.echo(mask(json.dumps(told, indent=2)))
    else:
        _say_statuses(statuses, is_asked=bool(captured or not names))
        _say_standings(found, is_asked=is_named and unread is None)
    if unread is not None:
        say(unread.detail, "what was ordered of polled systems is not known: ", is_error=True)
    return exit_code


def _say_statuses(statuses: Mapping[str, ConnectorStatus], *, is_asked: bool) -> None:
    if is_asked and not statuses:
        say("no connectors")
    for name, status in statuses.items():
        say(f"{status.state}, tasks {', '.join(status.tasks) or 'none'}", f"{name}: ")
        for trace in status.traces:
            say(reason_of(trace), "  ")


def _say_standings(found: Sequence[Standing], *, is_asked: bool) -> None:
    if is_asked and not found:
        say("nothing was ordered of it")
    for each in found:
        say(each.told(), f"{each.order.system} {each.order.obj}: ")


def restart_connectors(settings: Settings, names: Sequence[str]) -> Exit:
    """Restart what has failed; FAILED where a connector does not run for another reason."""
    remedy = f"kubectl annotate kafkaconnector {' '.join(names)} strimzi.io/restart-task=0"
    told = asyncio.run(_restart(_ours(settings, remedy), names))
    for name, (said, _) in told.items():
        say(said, f"{name}: ")
    return Exit.OK if all(is_well for _, is_well in told.values()) else Exit.FAILED


async def _restart(access: HttpAccess, names: Sequence[str]) -> dict[str, tuple[str, bool]]:
    client = ConnectClient(access, attempts=WATCH_ATTEMPTS)
    told = {}
    try:
        # All are asked first: what is named wrong ends it before anything is restarted.
        statuses = {name: await _status(client, name) for name in names}
        for name, status in statuses.items():
            if status.has_failed:
                await client.restart_failed(name)
                told[name] = "what has failed is restarted (psastream connectors status)", True
            elif status.is_running:
                told[name] = "runs, nothing is restarted", True
            else:
                said = f"is {status.state}, and nothing has failed"
                if status.state in RESUMABLE:
                    said += f": psastream connectors resume {name}, once you know who did it"
                told[name] = said, False
        return told
    finally:
        await client.close()


def pause_connectors(settings: Settings, names: Sequence[str], *, is_dry: bool = False) -> Exit:
    """Have connectors capture nothing until they are resumed."""
    remedy = f"set spec.state to paused in the KafkaConnector {', '.join(names)}"
    told = asyncio.run(_pause(_ours(settings, remedy), names, is_dry=is_dry))
    for name, said in told.items():
        say(said, f"{name}: ")
    return Exit.OK


async def _pause(access: HttpAccess, names: Sequence[str], *, is_dry: bool) -> dict[str, str]:
    client = ConnectClient(access, attempts=WATCH_ATTEMPTS)
    told = {}
    try:
        # All are asked first: what is named wrong ends it before anything is paused.
        statuses = {name: await _status(client, name) for name in names}
        for name, status in statuses.items():
            if status.state in RESUMABLE:
                told[name] = f"{status.state}, nothing is paused"
                continue
            if not is_dry:
                await client.pause(name)
            done = "would be paused" if is_dry else "is paused"
            told[name] = f"{done}; its database keeps its log meanwhile"
        return told
    finally:
        await client.close()


def resume_connectors(settings: Settings, names: Sequence[str], *, is_dry: bool = False) -> Exit:
    """Have what is paused or stopped go on; FAILED where a connector waits for something else."""
    remedy = f"set spec.state to running in the KafkaConnector {', '.join(names)}"
    told = asyncio.run(_resume(_ours(settings, remedy), names, is_dry=is_dry))
    for name, (said, _) in told.items():
        say(said, f"{name}: ")
    return Exit.OK if all(is_well for _, is_well in told.values()) else Exit.FAILED


async def _resume(
    access: HttpAccess, names: Sequence[str], *, is_dry: bool
) -> dict[str, tuple[str, bool]]:
    client = ConnectClient(access, attempts=WATCH_ATTEMPTS)
    told = {}
    try:
        # All are asked first: what is named wrong ends it before anything is resumed.
        statuses = {name: await _status(client, name) for name in names}
        for name, status in statuses.items():
            if status.state in RESUMABLE:
                if not is_dry:
                    await client.resume(name)
                done = "would be resumed" if is_dry else "is resumed (psastream connectors status)"
                told[name] = f"{status.state}, {done}", True
            elif status.has_failed:
                told[name] = f"has failed: psastream connectors restart {name}", False
            elif status.is_running:
                told[name] = "runs, nothing is resumed", True
            else:
                told[name] = f"is {status.state}, neither paused nor stopped", False
        return told
    finally:
        await client.close()


async def _statuses(access: HttpAccess, names: Sequence[str]) -> dict[str, ConnectorStatus]:
    client = ConnectClient(access, attempts=WATCH_ATTEMPTS)
    try:
        if not names:
            return await client.statuses()
        return {name: await _status(client, name) for name in names}
    finally:
        await client.close()


async def _status(client: ConnectClient, name: str) -> ConnectorStatus:
    try:
        return await client.status(name)
    except RecordNotFoundError as error:
        hint = "psastream connectors status"
        raise ConfigError(f"no connector: {name}", hint=hint) from error


def watch_connectors(settings: Settings, paths: Sequence[Path]) -> int:
    """Watch connectors until SIGTERM or SIGINT: states as metrics, restarts within a budget.

    Where Strimzi keeps them its operator restarts them, and nothing is restarted here.
    """
    return run(_watch(settings, [read_connector_file(path) for path in paths]))


def watcher_of(
    settings: Settings, client: ConnectClient, names: Sequence[str], metrics: WatcherMetrics
) -> ConnectorWatcher:
    """Return a watcher of connectors, which restarts none that are Strimzi's."""
    restarts = 0 if settings.connector_owner == STRIMZI else RESTARTS
    return ConnectorWatcher(client, names, metrics, restarts=restarts)


def tell_captured(connectors: Sequence[ConnectorFile], metrics: WatcherMetrics) -> None:
    """Show which systems connectors capture: whose silence is worth an alert."""
    for connector in connectors:
        for system in systems_of(connector):
            metrics.captures.labels(connector.name, system).set(1)


async def _watch(settings: Settings, connectors: Sequence[ConnectorFile]) -> int:
    client = ConnectClient(_access(settings), timeout_s=WATCH_TIMEOUT_S, attempts=WATCH_ATTEMPTS)
    metrics = WatcherMetrics()
    tell_captured(connectors, metrics)
    watcher = watcher_of(settings, client, [each.name for each in connectors], metrics)
    slots = SlotWatcher(connectors, os.environ, SlotMetrics())
    serve_process(
        settings,
        checks={"livez": watcher.is_live, "readyz": watcher.is_ready},
        reasons=lambda: ["Kafka Connect did not answer"],
    )
    try:
        await asyncio.gather(watcher.run(), slots.run())
    finally:
        await client.close()
    return Exit.OK


def refuse_unless_ours(settings: Settings, remedy: str) -> None:
    """Raise ConfigError where connectors are Strimzi's to change."""
    if settings.connector_owner == STRIMZI:
        raise ConfigError(
            "Strimzi keeps the connectors (PSASTREAM_CONNECTOR_OWNER): psastream changes none",
            hint=remedy,
        )


def _ours(settings: Settings, remedy: str) -> HttpAccess:
    refuse_unless_ours(settings, remedy)
    return _access(settings)


def _access(settings: Settings) -> HttpAccess:
    if settings.connect is None:
        raise ConfigError(
            "no Kafka Connect is configured", hint="set PSASTREAM_CONNECT_URL to its REST address"
        )
    return settings.connect
