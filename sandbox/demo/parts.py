"""Starts psastream's own processes and the vendors on the embedded stack, ready for a story."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import psycopg

from connectors.debezium.client import ConnectClient, ConnectorFile, read_connector_file
from connectors.systems import Systems
from psastream.landscape import ANY_ADDRESSES, read_firm, systems_of
from runtime.kafka import KafkaSettings, create_topics
from runtime.registry import Registry
from runtime.settings import MASTER_KEYS, Settings
from sandbox.demo.guarding import DEPLOYER, OPERATOR, kafka_as, story_guard, variables_as
from sandbox.demo.options import DemoOptions, StoryLandscape
from sandbox.stack.connect import connector_environment
from sandbox.stack.guard import Guard
from sandbox.stack.health import HttpHealth
from sandbox.stack.ports import HOST, PortBook
from sandbox.stack.postgres import read_model_dsn
from sandbox.stack.settings import StackAddresses
from sandbox.stack.supervisor import Stack
from sandbox.story.erps import BusinessCentral, FinanceOperations, company_of
from sandbox.vendors.business_central.books import companies_filter
from sandbox.vendors.client import VendorAdmin
from sandbox.vendors.credentials import ENVIRONMENT_FILE
from schemas.landscape import load_landscape
from schemas.topics import Topic

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CONNECTORS: Final = REPOSITORY / "connectors"
PSA_SCHEMA: Final = REPOSITORY / "sandbox" / "psa.sql"

OWN_SYSTEMS: Final = REPOSITORY / "sandbox" / "systems"
"""Folders of systems that are the story's firm's own."""

# A story lasts a minute and its vendors answer at once: poll fast, and do not wait for a slow day.
SOURCE_OVERRIDES: Final[Mapping[str, object]] = {
    "poll.interval.ms": 500,
    "overlap.ms": 5_000,
    "sweep.interval.ms": 2_000,
    "max.delete.ratio": 0.5,
}
SINK_OVERRIDES: Final[Mapping[str, object]] = {
    "request.timeout.ms": 10_000,
    "settle.ms": 500,
    "retry.backoff.ms": 100,
    "retry.backoff.max.ms": 2_000,
    "auth.retry.ms": 1_000,
}
UNLIMITED: Final = 1_000

READ_MODEL: Final = "readmodel"
USERS: Final[Mapping[str, str]] = {READ_MODEL: "psastream-read-model"}
"""Users of processes on a guarded broker, where they are not called after them."""

# The library writes every failed connection to the terminal; the audience hears of them anyhow.
QUIET_CLIENT: Final = {"log_level": "0", "reconnect.backoff.max.ms": "1000"}


@dataclass(frozen=True, slots=True)
class Parts:
    """Where everything is."""

    vendors_url: str
    kafka: KafkaSettings
    registry_url: str
    postgres_dsn: str
    connect_url: str
    read_model_url: str
    """Empty where its database could not be started."""
    connector: ConnectorFile | None
    """Of the database that plays the PSA; None where a vendor does."""
    metrics_urls: Mapping[str, str]
    variables: Mapping[str, str]
    """What another process needs in its environment to find everything, and to sign in."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What processes of the product find, and how each is started."""

    parts: Parts
    topics: Sequence[Topic]
    commands: Mapping[str, Sequence[str]]
    """Arguments of `psastream`, by process."""
    environments: Mapping[str, Mapping[str, str]]
    connector_files: Sequence[Path]


async def start_parts(
    stack: Stack,
    options: DemoOptions,
    source_overrides: Mapping[str, object] = SOURCE_OVERRIDES,
    *,
    of_processes: Mapping[str, str] = MappingProxyType({}),
) -> Parts:
    """Create topics, contracts and tables; start the vendors, the connector and our processes.

    `of_processes` are variables that our processes have instead of the usual ones.
    """
    layout = await lay_out(
        stack, options, source_overrides, of_processes=of_processes, is_applied=True
    )
    for name, command in layout.commands.items():
        await stack.start_process(
            name,
            [sys.executable, "-m", "psastream", *command],
            env=layout.environments[name],
            health=None,
        )
    return layout.parts


async def lay_out(
    stack: Stack,
    options: DemoOptions,
    source_overrides: Mapping[str, object] = SOURCE_OVERRIDES,
    *,
    of_processes: Mapping[str, str] = MappingProxyType({}),
    is_applied: bool,
) -> Layout:
    """Start the vendors and make the tables of the database; start none of our processes.

    `is_applied`: topics, contracts and the connector are made, too.
    """
    addresses, ports = stack.addresses, PortBook(options.data_dir / "demo-ports.json")
    kafka = KafkaSettings(bootstrap_servers=addresses.bootstrap_servers, extra=QUIET_CLIENT)
    landscape = _write_landscape(options)
    keys = {name: of_processes[name] for name in MASTER_KEYS if name in of_processes}
    topics = read_firm(Settings.from_env({**ANY_ADDRESSES, **landscape, **keys})).topics
    guard = stack.guard
    vendors_url = f"http://{HOST}:{ports.port('vendors')}"
    vendors_environment, _ = await asyncio.gather(
        _start_vendors(stack, vendors_url, options),
        _apply(stack, topics) if is_applied else asyncio.sleep(0),
    )
    files = list(connector_files(options.landscape, "connector.json").values())
    if files:
        await asyncio.to_thread(_create_psa_tables, addresses.postgres_dsn)
    connector = None
    for file in files:
        connector = read_connector_file(file)
        if is_applied:
            await _register_connector(connector, addresses.connect_url)
    read_model = read_model_dsn(addresses.postgres_dsn) if addresses.postgres_dsn else ""
    configs = _write_configs(options.data_dir / "connectors", options.landscape, source_overrides)
    commands = _commands(configs, is_split=guard is not None)
    if read_model:
        commands[READ_MODEL] = [READ_MODEL, "run"]
    metrics = {name: ports.port(name) for name in sorted(commands, key=READ_MODEL.__ne__)}
    variables = {
        **vendors_environment,
        **variables_of(addresses, metrics),
        **variables_as(guard, OPERATOR, addresses),
        **landscape,
    }
    environments = {
        name: {
            **variables,
            **variables_as(guard, USERS.get(name, f"psastream-{name}"), addresses),
            **of_processes,
            "PSASTREAM_DATA_DIR": str(options.data_dir / name),
            "PSASTREAM_METRICS_PORT": str(port),
        }
        for name, port in metrics.items()
    }
    parts = Parts(
        vendors_url=vendors_url,
        kafka=kafka,
        registry_url=addresses.registry_url,
        postgres_dsn=addresses.postgres_dsn,
        connect_url=addresses.connect_url,
        read_model_url=read_model,
        connector=connector,
        metrics_urls={name: f"http://{HOST}:{port}/metrics" for name, port in metrics.items()},
        variables=variables,
    )
    return Layout(parts, topics, commands, environments, files)


async def _apply(stack: Stack, topics: Sequence[Topic]) -> None:
    maker = kafka_as(stack.guard, DEPLOYER, stack.addresses)
    await asyncio.gather(
        asyncio.to_thread(create_topics, maker, topics, replication_factor=1),
        asyncio.to_thread(Registry(stack.addresses.registry_url).register_catalogue, topics),
    )


def guard_of_story(landscape: StoryLandscape) -> Guard:
    """Return who may do what on the broker, for a story with this landscape. Raises ConfigError."""
    read = load_landscape(_landscape_text(landscape))
    files = [
        path
        for name in ("source.json", "sink.json", "connector.json")
        for path in connector_files(landscape, name).values()
    ]
    return story_guard(systems_of(read, Systems(_own_folders(landscape), read)), files)


def _commands(configs: Sequence[Path], *, is_split: bool) -> dict[str, list[str]]:
    """The product's processes; `is_split`: one for each source and each target."""
    if not is_split:
        return {
            "worker": ["worker"],
            "poller": ["poll", *_config_options(configs, "source")],
            "dispatcher": ["dispatch", *_config_options(configs, "sink")],
        }
    commands = {"worker": ["worker"]}
    for path in configs:
        system, _, kind = path.stem.rpartition("-")
        name = "poller" if kind == "source" else "dispatcher"
        command = "poll" if kind == "source" else "dispatch"
        commands[f"{name}-{system.replace('_', '-')}"] = [command, "--config", str(path)]
    return commands


def variables_of(addresses: StackAddresses, ports: Mapping[str, int]) -> dict[str, str]:
    """The variables that name what runs; `ports` are those of the metrics, by process.

    With those of the database that plays the PSA: its connector file names them.
    """
    variables = {
        **connector_environment(addresses),
        "PSASTREAM_BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
        "PSASTREAM_PROCESSES": ",".join(f"{it}=http://{HOST}:{at}" for it, at in ports.items()),
    }
    if addresses.connect_url:
        variables["PSASTREAM_CONNECT_URL"] = addresses.connect_url
    if addresses.postgres_dsn:
        variables["PSASTREAM_READ_MODEL_URL"] = read_model_dsn(addresses.postgres_dsn)
    return variables


async def _start_vendors(stack: Stack, url: str, options: DemoOptions) -> dict[str, str]:
    """Start the vendors and return the environment that connectors sign in with."""
    credentials = options.data_dir / "credentials"
    command = [sys.executable, "-m", "sandbox.vendors", "--port", url.rpartition(":")[2]]
    arguments = ["--seed", str(options.seed), "--credentials-dir", str(credentials)]
    health = HttpHealth(f"{url}/admin/health")
    await stack.start_process("vendors", [*command, *arguments], env={}, health=health)
    with VendorAdmin(url) as admin:
        admin.lift_rate_limits()
    environment: dict[str, str] = json.loads((credentials / ENVIRONMENT_FILE).read_text())
    if BusinessCentral.system in options.landscape.erps:
        countries = options.landscape.countries_in(BusinessCentral.system)
        environment["BUSINESS_CENTRAL_COMPANIES"] = companies_filter(len(countries))
    if FinanceOperations.system in options.landscape.erps:
        countries = options.landscape.countries_in(FinanceOperations.system)
        environment["FINANCE_OPERATIONS_COMPANIES"] = ",".join(map(company_of, countries))
    return environment


def _create_psa_tables(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(PSA_SCHEMA.read_bytes())


async def _register_connector(connector: ConnectorFile, connect_url: str) -> None:
    client = ConnectClient(connect_url)
    try:
        await client.register(connector)
    finally:
        await client.close()


def _write_landscape(options: DemoOptions) -> dict[str, str]:
    """Write the firm's landscape; return the variables that name it and systems of its own."""
    path = options.data_dir / "landscape.yaml"
    path.write_text(_landscape_text(options.landscape))
    own = os.pathsep.join(map(str, _own_folders(options.landscape)))
    return {"PSASTREAM_LANDSCAPE": str(path)} | ({"PSASTREAM_SYSTEMS": own} if own else {})


def _landscape_text(landscape: StoryLandscape) -> str:
    systems: dict[str, dict[str, object]] = {
        name: {"role": role} for name, role in landscape.systems.items()
    }
    if landscape.takes_status:
        systems[landscape.crm]["takes_status"] = True
    return json.dumps({"systems": systems})  # which is YAML, too


def _own_folders(landscape: StoryLandscape) -> list[Path]:
    folders = [_folder_of(name) for name in landscape.systems]
    return [folder for folder in folders if folder.parent == OWN_SYSTEMS]


def _folder_of(system: str) -> Path:
    own = OWN_SYSTEMS / system
    return own if own.is_dir() else CONNECTORS / "vendors" / system


def connector_files(landscape: StoryLandscape, name: str) -> dict[str, Path]:
    """The files of a name, of those systems that have one and use it."""
    systems = landscape.written if name == "sink.json" else landscape.systems
    paths = {system: _folder_of(system) / name for system in systems}
    return {system: path for system, path in paths.items() if path.is_file()}


def _write_configs(
    directory: Path, landscape: StoryLandscape, source_overrides: Mapping[str, object]
) -> list[Path]:
    """Write the shipped connector files with a pace of ours; placeholders stay in them."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, overrides in (("source", source_overrides), ("sink", SINK_OVERRIDES)):
        for vendor, file in connector_files(landscape, f"{kind}.json").items():
            document: dict[str, Any] = json.loads(file.read_text())
            if "requests.per.second" in document:
                document["requests.per.second"] = UNLIMITED
            path = directory / f"{vendor}-{kind}.json"
            path.write_text(json.dumps({**document, **overrides}, indent=2))
            paths.append(path)
    return paths


def _config_options(configs: Sequence[Path], kind: str) -> list[str]:
    chosen = [str(path) for path in configs if path.stem.endswith(kind)]
    return [text for path in chosen for text in ("--config", path)]
