"""Entry point of the dispatcher process: read configuration, wire, forward signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from connectors.dispatch.config import SinkConfig
from connectors.dispatch.decisions import ALL
from connectors.dispatch.dispatcher import SESSION_TIMEOUT_MS, Dispatcher, WrapJournal
from connectors.dispatch.lease import Lease
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.session import Target
from connectors.dispatch.shadow import make_sink
from connectors.systems import Systems, class_name
from connectors.toolkit.config import parse_config, read_document, secret_files
from runtime.health import Health
from runtime.prometheus import serve_process
from runtime.registry import Registry
from runtime.renewal import Renewal
from runtime.sealing import sealing_of
from runtime.serde import Serde
from runtime.settings import Settings
from runtime.tracing import start_tracing, stop_tracing
from schemas.commands import with_amounts
from schemas.errors import ConfigError, PsaStreamError

_log = structlog.get_logger()

EXIT_STOPPED: Final = 0
EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2

MakeLease = Callable[[float], Lease]


def run_dispatcher(
    settings: Settings,
    config_paths: Sequence[Path],
    *,
    environment: Mapping[str, str] | None = None,
    wrap_journal: WrapJournal = lambda journal: journal,
    session_timeout_ms: int = SESSION_TIMEOUT_MS,
    make_lease: MakeLease = Lease,
) -> int:
    """Execute commands until SIGTERM or SIGINT; return the exit code.

    `environment` answers the placeholders of the configuration files (default: the process's).
    `make_lease` makes the lease of a session of so many seconds.
    """
    try:
        systems = Systems(settings.systems)
        environment = os.environ if environment is None else environment
        sinks = _Sinks(config_paths, environment, systems)
        lease = make_lease(session_timeout_ms / 1000)
        start_tracing(settings, "dispatcher", environment)
        asyncio.run(_run(settings, sinks, wrap_journal, session_timeout_ms, lease))
    except ConfigError as error:
        _log.error("dispatch.config_wrong", error=str(error))
        return EXIT_CONFIG
    except PsaStreamError as error:
        _log.error("dispatch.failed", code=error.code, error=str(error))
        return EXIT_FAILED
    finally:
        stop_tracing()
    return EXIT_STOPPED


class _Sinks:
    """The sink files as they were read last: again, when their secrets have changed."""

    def __init__(
        self, paths: Sequence[Path], environment: Mapping[str, str], systems: Systems
    ) -> None:
        """Raises ConfigError."""
        self._paths, self._environment, self._systems = paths, environment, systems
        self.configs = load_sinks(paths, environment, systems)
        self.files = [
            file for path in paths for file in secret_files(read_document(path), environment)
        ]

    def problems(self) -> list[str]:
        """Read the files again; why that cannot be."""
        try:
            configs = load_sinks(self._paths, self._environment, self._systems)
            for config in configs.values():
                make_sink(config, lambda: None)  # of a key that cannot be used only this says so
        except ConfigError as error:
            return [error.detail]
        self.configs = configs
        return []

    def targets(self, lease: Lease) -> dict[str, Target]:
        """Return targets with sinks of their own; they ask the lease before each request."""
        targets = {}
        for name, config in self.configs.items():
            vendor = self._systems.vendor_of(name)
            kinds = frozenset(content.kind for content in vendor.commands)
            sink = make_sink(config, lease.check)
            targets[name] = Target(config, sink, vendor.remedies, kinds)
        return targets


async def _run(
    settings: Settings,
    sinks: _Sinks,
    wrap_journal: WrapJournal,
    session_timeout_ms: int,
    lease: Lease,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    health = Health()
    serve_process(
        settings,
        checks=health.checks(),
        reasons=health.reasons,
    )
    kafka, metrics = settings.kafka, DispatchMetrics()
    registry, renewal = Registry(settings.registry), Renewal(kafka, sinks.files, sinks.problems)
    sealing = sealing_of(settings, registry.schema)
    while not stop.is_set():
        renewal.began()
        dispatcher = Dispatcher(
            kafka,
            Serde(registry, sealing=sealing),
            sinks.targets(lease),
            metrics=metrics,
            health=health,
            lease=lease,
            session_timeout_ms=session_timeout_ms,
            instance_id=settings.instance_id,
            wrap_journal=wrap_journal,
        )
        await dispatcher.run(lambda: stop.is_set() or renewal.is_due())


def load_sinks(
    paths: Sequence[Path], environment: Mapping[str, str], systems: Systems | None = None
) -> dict[str, SinkConfig]:
    """Return the sink configurations by target.

    Raises ConfigError for the first file that does not hold, and where two name one target: only
    one of them could be used.
    """
    systems = Systems() if systems is None else systems
    configs: dict[str, SinkConfig] = {}
    files: dict[str, Path] = {}
    for path in paths:
        config = load_sink(path, environment, systems)
        if config.target in configs:
            raise ConfigError(
                f"{path}: target is {config.target}, as in {files[config.target]}",
                hint="give each target one sink file",
            )
        configs[config.target], files[config.target] = config, path
    return configs


def load_sink(
    path: Path, environment: Mapping[str, str], systems: Systems | None = None
) -> SinkConfig:
    """Return the sink configuration at `path`. Raises ConfigError naming every problem.

    `systems` are by default those of the product.
    """
    systems = Systems() if systems is None else systems
    document = read_document(path)
    named = document.get("connector.class")
    sinks = {class_name(each.sink): each.sink for each in systems.vendors(named) if each.sink}
    sink = sinks.get(str(named))
    if sink is None:
        raise ConfigError(
            f"{path}: connector.class names no sink: {named}",
            hint=f"one of {', '.join(sinks)}; source files go to `psastream poll`",
        )
    config = parse_config(document, sink.config_model, environment, origin=str(path))
    try:
        vendor = systems.vendor_of(config.target)
    except ConfigError as error:
        raise ConfigError(f"{path}: target: {error.detail}", hint=error.hint) from error
    if (own := vendor.sink) is not sink:
        hint = f"connector.class {class_name(own)} writes it" if own else "nothing writes it"
        raise ConfigError(f"{path}: target: {config.target} is another system's", hint=hint)
    kinds = [ALL, *(content.kind for content in vendor.commands)]
    moved = with_amounts(kinds)
    for key, named in (
        ("stopped", config.stopped),
        ("approval", config.approval),
        ("shadow", config.shadow),
    ):
        if unknown := [kind for kind in named if kind not in kinds]:
            detail = f"{path}: {key}: {config.target} carries out no {', '.join(unknown)}"
            raise ConfigError(detail, hint=f"any of {', '.join(kinds)}")
    if unmoved := [kind for kind in config.approval if not moved or kind not in (ALL, *moved)]:
        raise ConfigError(
            f"{path}: approval: no command of {config.target} bears an amount that is"
            f" {', '.join(unmoved)}",
            hint=f"amounts are borne by {' and '.join(moved) or 'none of its commands'}",
        )
    return config
