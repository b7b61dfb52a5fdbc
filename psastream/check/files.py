"""What is wrong with variables, landscape and connector files, before anything is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.debezium.client import ConnectorFile, read_connector_file
from connectors.debezium.routing import entries, plain, prefixes, routed
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.main import load_sink, load_sinks
from connectors.polled.main import Connector, load_source, load_sources
from connectors.systems import Systems
from psastream.check.findings import Finding, failed
from psastream.landscape import ANY_ADDRESSES, FirmSystems, read_firm
from psastream.verdict import Verdict
from runtime.deprecations import DEPRECATIONS, Deprecation, deprecated_settings
from runtime.settings import Settings
from schemas.errors import ConfigError

VARIABLES: Final = "variables"
LANDSCAPE: Final = "landscape"
FILES: Final = "files"
OFFLINE: Final = (VARIABLES, LANDSCAPE, FILES)
"""Areas in which a failure is one of the configuration."""


@dataclass(frozen=True, slots=True)
class Files:
    """The connector files of a firm."""

    sources: Sequence[Path] = ()
    sinks: Sequence[Path] = ()
    databases: Sequence[Path] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.sources or self.sinks or self.databases)


@dataclass(slots=True)
class Configuration:
    """What could be read, and what was found meanwhile."""

    findings: list[Finding]
    settings: Settings | None = None
    firm: FirmSystems | None = None
    sources: Sequence[Connector] = ()
    sinks: Sequence[SinkConfig] = ()
    databases: Sequence[ConnectorFile] = ()
    unread: Files = Files()
    """Files of which none was taken, for not all can be used."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing fails."""
        return all(each.verdict is not Verdict.FAIL for each in self.findings)


def read_configuration(
    files: Files,
    environment: Mapping[str, str],
    *,
    needs_addresses: bool,
    deprecations: Iterable[Deprecation] = DEPRECATIONS,
) -> Configuration:
    """Read variables, landscape and files, each whatever is wrong with the others.

    Without `needs_addresses` those of broker and registry need not be set.
    """
    found = Configuration(
        [
            Finding(VARIABLES, each.name, Verdict.WARN, "is deprecated", each.told)
            for each in deprecated_settings(environment, deprecations)
        ]
    )
    given = environment if needs_addresses else {**ANY_ADDRESSES, **environment}
    try:
        found.settings = Settings.from_env(given)
        found.findings.append(Finding(VARIABLES, "", Verdict.OK, "all are valid"))
    except ConfigError as error:
        found.findings += failed(VARIABLES, error)
        return _read_files(files, environment, found)
    try:
        found.firm = read_firm(found.settings)
        systems = ", ".join(found.firm.landscape.systems)
        found.findings.append(Finding(LANDSCAPE, systems, Verdict.OK, "mappings and flows fit"))
    except ConfigError as error:
        found.findings += failed(LANDSCAPE, error)
    return _read_files(files, environment, found)


def _read_files(
    files: Files, environment: Mapping[str, str], found: Configuration
) -> Configuration:
    systems = Systems(_folders(found.settings, environment))
    readers: list[tuple[Sequence[Path], Callable[[Path], object]]] = [
        (files.sources, lambda path: _source(path, environment, systems, found.firm)),
        (files.sinks, lambda path: _sink(path, environment, systems, found.firm)),
        (files.databases, lambda path: _database(path, environment)),
    ]
    before = len(found.findings)
    for paths, read in readers:
        for path in paths:
            try:
                read(path)
                found.findings.append(Finding(FILES, str(path), Verdict.OK, "can be used"))
            except ConfigError as error:
                found.findings += failed(FILES, error, "correct the files")
    if all(each.verdict is Verdict.OK for each in found.findings[before:]):
        try:
            found.sources = load_sources(files.sources, environment, systems)
            found.sinks = list(load_sinks(files.sinks, environment, systems).values())
            found.databases = [read_connector_file(path) for path in files.databases]
        except ConfigError as error:
            found.findings += failed(FILES, error, "correct the files")
            found.sources, found.sinks, found.unread = (), (), files
    else:
        found.unread = files
    if found.firm is not None:
        found.findings += _uncovered(files, found, found.firm)
    return found


def _folders(settings: Settings | None, environment: Mapping[str, str]) -> Sequence[Path]:
    """Return the firm's folders, whatever is wrong with the variables that name other things."""
    if settings is not None:
        return settings.systems
    named = {name: value for name, value in environment.items() if name == "PSASTREAM_SYSTEMS"}
    try:
        return Settings.from_env({**ANY_ADDRESSES, **named}).systems
    except ConfigError:
        return ()


def _uncovered(files: Files, found: Configuration, firm: FirmSystems) -> Iterator[Finding]:
    """Systems that nothing reads, and targets that nothing writes."""
    if not files:
        yield Finding(
            FILES, "", Verdict.SKIP, "none was given", "--source, --sink and --database name them"
        )
        return
    if not found.is_sound:
        return
    captured = {each.config.system for each in found.sources} | {
        system for each in found.databases for system in systems_of(each)
    }
    for system in firm.bundles:
        if system not in captured:
            yield Finding(
                FILES,
                system,
                Verdict.WARN,
                "nothing captures it",
                "--source names its source file, --database its connector file",
            )
    targets = {each.target for each in found.sinks}
    for target in firm.targets:
        if target not in targets:
            yield Finding(
                FILES,
                target,
                Verdict.WARN,
                f"nobody carries out its commands: they wait in psa.command.{target}",
                "--sink names its sink file",
            )


def systems_of(connector: ConnectorFile) -> set[str]:
    """Return the systems of ours that a connector captures: their schemas, or as it routes them."""
    config = connector.config
    listed = [
        plain(entry)
        for key in ("table.include.list", "schema.include.list")
        for entry in entries(config.get(key))
    ]
    topics = [
        f"{prefix}.{name if '.' in name else f'{name}.table'}"
        for prefix in prefixes(config)
        for name in listed
    ]
    written = [found.split(".") for topic in topics if (found := routed(config, topic))]
    return {steps[1] for steps in written if len(steps) > 1}


def _source(
    path: Path, environment: Mapping[str, str], systems: Systems, firm: FirmSystems | None
) -> None:
    name = load_source(path, environment, systems).config.system
    if firm is not None and name not in firm.bundles:
        raise ConfigError(
            f"{path}: topic.prefix: the landscape does not name {name}", hint=_LANDSCAPE
        )


def _sink(
    path: Path, environment: Mapping[str, str], systems: Systems, firm: FirmSystems | None
) -> None:
    name = load_sink(path, environment, systems).target
    if firm is not None and name not in firm.targets:
        raise ConfigError(
            f"{path}: target: by the landscape no commands go to {name}", hint=_LANDSCAPE
        )


def _database(path: Path, environment: Mapping[str, str]) -> None:
    connector = read_connector_file(path)
    if "PSASTREAM_CONNECT_URL" in environment:
        return  # its worker's environment is not this one
    if missing := sorted(connector.variables - environment.keys() - {"PSASTREAM_REGISTRY_URL"}):
        raise ConfigError(
            f"{path}: {', '.join(missing)} not set in the environment",
            hint="set them: the Connect that is started fills them in",
        )


_LANDSCAPE: Final = "leave the file out, or name the system in the landscape"
