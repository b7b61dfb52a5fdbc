"""`psastream up`: the product's processes on a broker, a registry and connector files of one's own.

What the environment does not name is started from the embedded stack, so that a first try needs
only connector files.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.debezium.client import read_connector_file
from psastream import connect
from psastream.anew import rebuild_group
from psastream.check.files import Configuration, Files, read_configuration
from psastream.check.run import ask_all, exit_of, print_findings
from psastream.exits import Exit
from psastream.letters import LetterWatch, tell_news
from psastream.lines import say
from psastream.verdict import Verdict
from runtime.access import HttpAccess
from runtime.kafka import create_topics
from runtime.registry import Registry
from runtime.sealing import sealing_of
from runtime.serde import Serde
from runtime.settings import READ_MODEL_VARIABLES, Settings
from sandbox.stack.ports import HOST, PortBook
from sandbox.stack.postgres import read_model_dsn
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.revival import Revival
from sandbox.stack.settings import Part, StackAddresses, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from schemas.errors import ConfigError

READ_MODEL: Final = "readmodel"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Which connector files to run, where to keep local state, and whether to keep a read model.

    `rebuilt`: groups to be computed anew before their processes start.
    """

    data_dir: Path
    files: Files
    has_read_model: bool = True
    rebuilt: Sequence[str] = ()


async def run_up(options: UpOptions, environment: Mapping[str, str] = os.environ) -> int:
    """Run until cancelled; a process that ends by itself is started again.

    What a check finds to fail is printed, and nothing is started. Raises PartFailedError where the
    configuration of a process turns out to be wrong.
    """
    configuration = _configuration(options, environment)
    settings, firm = configuration.settings, configuration.firm
    findings = configuration.findings
    if configuration.is_sound:
        findings = findings + await asyncio.to_thread(
            ask_all, configuration, _asked_of(options, environment), makes=True
        )
    if settings is None or firm is None or exit_of(findings) is not Exit.OK:
        print_findings([each for each in findings if each.verdict is not Verdict.OK])
        print("nothing was started")
        return exit_of(findings)
    if told := [each for each in findings if each.verdict is Verdict.WARN]:
        print_findings(told)
    async with Stack(_stack_settings(options, environment), PlainReporter(sys.stderr)) as stack:
        addresses = stack.addresses
        kafka = settings.kafka.model_copy(update={"bootstrap_servers": addresses.bootstrap_servers})
        registry = Registry(_given(environment, "REGISTRY", settings) or addresses.registry_url)
        copies = int(environment.get("PSASTREAM_REPLICATION_FACTOR", "1"))
        created = create_topics(kafka, firm.topics, replication_factor=copies)
        registry.register_catalogue(firm.topics)
        say(f"{len(created)} topics created, contracts registered")
        if options.files.databases:
            given = _given(environment, "CONNECT", settings)
            await connect.apply(given or addresses.connect_url, options.files.databases)
        for group in options.rebuilt:
            there = _started(settings, addresses, environment)
            rebuilt = await asyncio.to_thread(rebuild_group, there, group)
            say(f"{group} is computed anew from {rebuilt.topics} topics")
        read_model = _read_model(options, stack, environment)
        commands = _commands(options, settings)
        if read_model is not None:
            commands[READ_MODEL] = [READ_MODEL, "run"]
        ports = _metrics_ports(list(commands), options, settings)
        started = {"PSASTREAM_READ_MODEL_URL": read_model} if read_model else {}
        for name, command in commands.items():
            variables = {
                "PSASTREAM_METRICS_PORT": str(ports[name]),
                "PSASTREAM_BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
                "PSASTREAM_REGISTRY_URL": addresses.registry_url,
                "PSASTREAM_DATA_DIR": str(options.data_dir / name),
                **(started if READ_MODEL_VARIABLES[1] not in environment else {}),
            }
            await stack.start_process(
                name, [sys.executable, "-m", "psastream", *command], env=variables, health=None
            )
            say(f"{name} runs, log in {stack.log_path(name)}")
        say(
            f"kafka at {addresses.bootstrap_servers}, registry at {addresses.registry_url};"
            " in another shell:"
        )
        served = ",".join(f"{name}=http://{HOST}:{port}" for name, port in ports.items())
        has_read_model = not environment.keys().isdisjoint(READ_MODEL_VARIABLES)
        _tell_shell(
            {
                "PSASTREAM_BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
                # An address that was given with a password is known to who gave it.
                "PSASTREAM_REGISTRY_URL": _without_password(addresses.registry_url),
                "PSASTREAM_REPLICATION_FACTOR": str(copies),
                "PSASTREAM_CONNECT_URL": _without_password(addresses.connect_url),
                "PSASTREAM_READ_MODEL_URL": None if has_read_model else read_model,
                "PSASTREAM_PROCESSES": served,
            }
        )
        say("Ctrl-C ends it")
        sealing = sealing_of(_started(settings, addresses, environment), registry.schema)
        serde = Serde(registry, sealing=sealing)
        telling = asyncio.create_task(tell_news(LetterWatch(kafka, serde), say))
        try:
            await Revival(stack, say, final_codes={Exit.CONFIG}).run()
        finally:
            telling.cancel()


def _configuration(options: UpOptions, environment: Mapping[str, str]) -> Configuration:
    """Read it. Raises ConfigError where a part that is started here would have to sign in.

    And where connectors, which would be written here, are somebody else's.
    """
    configuration = read_configuration(options.files, environment, needs_addresses=False)
    settings = configuration.settings
    if options.files.databases and settings is not None:
        connect.refuse_unless_ours(settings, "leave --database out, and the processes run as well")
    of_kafka = {} if settings is None else settings.kafka_extra
    if of_kafka.get("security.protocol", "plaintext").lower() == "plaintext":
        return configuration
    needed = ["PSASTREAM_REGISTRY_URL"]
    needed += ["PSASTREAM_CONNECT_URL"] if options.files.databases else []
    if missing := [name for name in needed if name not in environment]:
        raise ConfigError(
            "what is started beside a broker that asks for TLS or a password knows neither",
            hint=f"name your own: {', '.join(missing)}",
        )
    return configuration


def _given(environment: Mapping[str, str], service: str, settings: Settings) -> HttpAccess | None:
    """Return how to reach a service that was given, and not started here."""
    if f"PSASTREAM_{service}_URL" not in environment:
        return None
    return settings.registry if service == "REGISTRY" else settings.connect


def _started(
    settings: Settings, addresses: StackAddresses, environment: Mapping[str, str]
) -> Settings:
    """Return the settings with what was started in the place of what was not named."""
    started: dict[str, object] = {
        "bootstrap_servers": addresses.bootstrap_servers,
        "registry_url": addresses.registry_url,
        "replication_factor": 1,
    }
    named = {name for name in started if f"PSASTREAM_{name.upper()}" in environment}
    return settings.model_copy(update={k: v for k, v in started.items() if k not in named})


def _without_password(address: str) -> str | None:
    return None if "@" in address else address


def _tell_shell(variables: Mapping[str, str | None]) -> None:
    """Print what sets the variables that have a value, and what to ask then.

    As it is, without the console's line breaks: to be copied.
    """
    for name, value in variables.items():
        if value:
            print(f"  export {name}={value}")
    print("  psastream status")
    print("  psastream topics read psa.metric.project_margin", flush=True)


def _asked_of(options: UpOptions, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment without the read model where none is kept."""
    unused = () if options.has_read_model else READ_MODEL_VARIABLES
    return {name: value for name, value in environment.items() if name not in unused}


def _stack_settings(options: UpOptions, environment: Mapping[str, str]) -> StackSettings:
    wanted = {Part.KAFKA, Part.REGISTRY}
    if options.files.databases:
        wanted.add(Part.CONNECT)
    if options.has_read_model and environment.keys().isdisjoint(READ_MODEL_VARIABLES):
        wanted.add(Part.POSTGRES)
    return StackSettings(
        data_dir=options.data_dir,
        cache_dir=cache_dir_from(environment),
        bootstrap_servers=environment.get("PSASTREAM_BOOTSTRAP_SERVERS"),
        registry_url=environment.get("PSASTREAM_REGISTRY_URL"),
        connect_url=environment.get("PSASTREAM_CONNECT_URL"),
        connector_variables=frozenset(
            name for file in options.files.databases for name in read_connector_file(file).variables
        ),
        parts=frozenset(wanted),
        dispensable_parts=frozenset({Part.POSTGRES}),
        asks_given=False,  # the check has done so, with certificates and passwords
        is_source=False,
    )


def _read_model(options: UpOptions, stack: Stack, environment: Mapping[str, str]) -> str | None:
    """Return where the read model is. Where its database could not be started, that is told."""
    if not options.has_read_model:
        return None
    for name in READ_MODEL_VARIABLES:
        if name in environment:
            return environment[name]
    if reason := stack.left_out.get(Part.POSTGRES):
        say(f"the read model is left out: {reason}")
        say("name a database with PSASTREAM_READ_MODEL_URL, or --no-read-model", "  try: ")
        return None
    return read_model_dsn(stack.addresses.postgres_dsn)


def _commands(options: UpOptions, settings: Settings) -> dict[str, list[str]]:
    commands = {"worker": ["worker"]}
    if settings.measures:
        commands["measures"] = ["worker", "--measures"]
    if options.files.sources:
        commands["poller"] = ["poll", *_config_options(options.files.sources)]
    if options.files.sinks:
        commands["dispatcher"] = ["dispatch", *_config_options(options.files.sinks)]
    return commands


def _metrics_ports(names: Sequence[str], options: UpOptions, settings: Settings) -> dict[str, int]:
    """One port for each process: counted up from the one that is configured, else a free one."""
    first = settings.metrics_port
    if first:
        return {name: first + number for number, name in enumerate(names)}
    book = PortBook(options.data_dir / "metrics-ports.json")
    return {name: book.port(name) for name in names}


def _config_options(paths: Sequence[Path]) -> list[str]:
    return [text for path in paths for text in ("--config", str(path))]
