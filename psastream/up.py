"""`psastream up`: the product's processes on a broker, a registry and connector files of one's own.

What the environment does not name is started from the embedded stack, so that a first try needs
only connector files.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from connectors.debezium.client import read_connector_file
from connectors.dispatch.main import load_sink, load_sinks
from connectors.polled.main import load_source
from connectors.systems import Systems
from psastream import connect
from psastream.exits import Exit
from psastream.landscape import ANY_ADDRESSES, FirmSystems, read_firm
from psastream.letters import LetterWatch, tell_news
from runtime.kafka import KafkaSettings, create_topics
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from sandbox.stack.ports import HOST, PortBook
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Which connector files to run, and where to keep local state."""

    data_dir: Path
    sources: Sequence[Path]
    sinks: Sequence[Path]
    databases: Sequence[Path]


async def run_up(options: UpOptions, environment: Mapping[str, str] = os.environ) -> int:
    """Run until cancelled, or until one of the processes ends: then return 1."""
    console = Console()
    settings, firm = check(options, environment)
    async with Stack(_stack_settings(options, environment), PlainReporter(sys.stderr)) as stack:
        addresses = stack.addresses
        kafka = KafkaSettings(
            bootstrap_servers=addresses.bootstrap_servers, extra=settings.kafka_extra
        )
        copies = int(environment.get("PSASTREAM_REPLICATION_FACTOR", "1"))
        created = create_topics(kafka, firm.topics, replication_factor=copies)
        Registry(addresses.registry_url).register_catalogue(firm.topics)
        console.print(f"{len(created)} topics created, contracts registered")
        if options.databases:
            await connect.apply(addresses.connect_url, options.databases)
        ports = _metrics_ports(options, settings)
        for name, command in _commands(options).items():
            variables = {
                "PSASTREAM_METRICS_PORT": str(ports[name]),
                "PSASTREAM_BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
                "PSASTREAM_REGISTRY_URL": addresses.registry_url,
                "PSASTREAM_DATA_DIR": str(options.data_dir / name),
            }
            await stack.start_process(
                name, [sys.executable, "-m", "psastream", *command], env=variables, health=None
            )
            console.print(f"{name} runs, log in {stack.log_path(name)}")
        console.print(
            f"kafka at {addresses.bootstrap_servers}, registry at {addresses.registry_url};"
            " in another shell:"
        )
        # As they are, without the console's line breaks: to be copied.
        served = ",".join(f"{name}=http://{HOST}:{port}" for name, port in ports.items())
        print(f"  export PSASTREAM_BOOTSTRAP_SERVERS={addresses.bootstrap_servers}")
        print(f"  export PSASTREAM_REGISTRY_URL={addresses.registry_url}")
        if addresses.connect_url:
            print(f"  export PSASTREAM_CONNECT_URL={addresses.connect_url}")
        print(f"  export PSASTREAM_PROCESSES={served}")
        print("  psastream status")
        print("  psastream topics read psa.metric.project_margin", flush=True)
        console.print("Ctrl-C ends it")
        watch = LetterWatch(kafka, Serde(Registry(addresses.registry_url)))
        telling = asyncio.create_task(tell_news(watch, console.print))
        try:
            ended = await stack.next_exit()
        finally:
            telling.cancel()
        console.print(f"{ended.name} ended with code {ended.exit_code}:\n{ended.log_tail}")
        return Exit.FAILED


def check(options: UpOptions, environment: Mapping[str, str]) -> tuple[Settings, FirmSystems]:
    """Read every file and variable before anything starts. Raises ConfigError naming all."""
    problems: list[str] = []
    settings, firm = _read_environment(environment, problems)
    systems = Systems(settings.systems if settings else ())
    readers: list[tuple[Sequence[Path], Callable[[Path], object]]] = [
        (options.sources, lambda path: _read_source(path, environment, systems, firm)),
        (options.sinks, lambda path: _read_sink(path, environment, systems, firm)),
        (options.databases, lambda path: _read_database(path, environment)),
    ]
    for paths, read in readers:
        for path in paths:
            try:
                read(path)
            except ConfigError as error:
                problems.append(error.detail)
    if not problems:
        try:
            load_sinks(options.sinks, environment, systems)
        except ConfigError as error:
            problems.append(error.detail)
    if problems or settings is None or firm is None:
        raise ConfigError(
            "; ".join(problems), hint="nothing was started: correct the files and variables"
        )
    return settings, firm


def _read_source(
    path: Path, environment: Mapping[str, str], systems: Systems, firm: FirmSystems | None
) -> None:
    name = load_source(path, environment, systems).config.system
    if firm is not None and name not in firm.bundles:
        raise ConfigError(f"{path}: topic.prefix: the landscape does not name {name}")


def _read_sink(
    path: Path, environment: Mapping[str, str], systems: Systems, firm: FirmSystems | None
) -> None:
    name = load_sink(path, environment, systems).target
    if firm is not None and name not in firm.targets:
        raise ConfigError(f"{path}: target: by the landscape no commands go to {name}")


def _read_database(path: Path, environment: Mapping[str, str]) -> None:
    connector = read_connector_file(path)
    if "PSASTREAM_CONNECT_URL" in environment:
        return  # its worker's environment is not this one
    if missing := sorted(connector.variables - environment.keys() - {"PSASTREAM_REGISTRY_URL"}):
        raise ConfigError(f"{path}: {', '.join(missing)} not set in the environment")


def _read_environment(
    environment: Mapping[str, str], problems: list[str]
) -> tuple[Settings | None, FirmSystems | None]:
    # What `up` starts itself it also names; the rest must hold as for any other process.
    settings: Settings | None = None
    try:
        settings = Settings.from_env({**ANY_ADDRESSES, **environment})
        return settings, read_firm(settings)
    except ConfigError as error:
        problems.append(error.detail)
        return settings, None


def _stack_settings(options: UpOptions, environment: Mapping[str, str]) -> StackSettings:
    wanted = {Part.KAFKA, Part.REGISTRY}
    if options.databases:
        wanted.add(Part.CONNECT)
    return StackSettings(
        data_dir=options.data_dir,
        cache_dir=cache_dir_from(environment),
        bootstrap_servers=environment.get("PSASTREAM_BOOTSTRAP_SERVERS"),
        registry_url=environment.get("PSASTREAM_REGISTRY_URL"),
        connect_url=environment.get("PSASTREAM_CONNECT_URL"),
        connector_variables=frozenset(
            name for file in options.databases for name in read_connector_file(file).variables
        ),
        parts=frozenset(wanted),
    )


def _commands(options: UpOptions) -> dict[str, list[str]]:
    commands = {"worker": ["worker"]}
    if options.sources:
        commands["poller"] = ["poll", *_config_options(options.sources)]
    if options.sinks:
        commands["dispatcher"] = ["dispatch", *_config_options(options.sinks)]
    return commands


def _metrics_ports(options: UpOptions, settings: Settings) -> dict[str, int]:
    """One port for each process: counted up from the one that is configured, else a free one."""
    names, first = list(_commands(options)), settings.metrics_port
    if first:
        return {name: first + number for number, name in enumerate(names)}
    book = PortBook(options.data_dir / "metrics-ports.json")
    return {name: book.port(name) for name in names}


def _config_options(paths: Sequence[Path]) -> list[str]:
    return [text for path in paths for text in ("--config", str(path))]
