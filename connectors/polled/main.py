"""The poller process: connector files in, loops running, a clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final, Protocol, Self

import stamina
import structlog

from connectors.config import parse_config, read_document
from connectors.polled.config import PolledConfig
from connectors.polled.kafka_log import KafkaLog
from connectors.polled.loop import LoopSettings, ObjectLoop
from connectors.polled.model import ObjectReader
from connectors.polled.poller import ObjectPoller
from runtime.logs import configure_logs
from runtime.prometheus import serve_metrics
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError, PsaStreamError, TransientError

log = structlog.get_logger()

EXIT_OK: Final = 0
EXIT_FATAL: Final = 1
EXIT_CONFIG: Final = 2


class Source(Protocol):
    """A vendor's readers. `connector.class` names a class that makes one."""

    @classmethod
    def from_config(cls, config: PolledConfig) -> Self:
        """Make the source. Opens nothing."""
        ...

    def reader(self, obj: str) -> ObjectReader:
        """Return the reader of an object."""
        ...

    async def close(self) -> None:
        """Close what the readers opened."""
        ...


def load_source(path: Path, environment: Mapping[str, str]) -> tuple[PolledConfig, Source]:
    """Load a connector file and make its source. Raises ConfigError naming every problem."""
    document = read_document(path)
    source_class = _source_class(document.get("connector.class"), path)
    config: PolledConfig = parse_config(
        document, source_class.config_model, environment, origin=str(path)
    )
    if unknown := config.unknown_objects():
        raise ConfigError(f"{path}: no topic for object.include.list: {', '.join(unknown)}")
    try:
        source: Source = source_class.from_config(config)
    except ValueError as error:
        raise ConfigError(
            f"{path}: the private key cannot be used", hint="it must be an RSA key in PEM"
        ) from error
    return config, source


def _source_class(name: object, path: Path) -> Any:
    """Only classes of this package: a configuration file must not run other code."""
    if not isinstance(name, str) or not name.startswith("connectors."):
        raise ConfigError(f"{path}: connector.class must name a class below connectors")
    try:
        found = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path}: connector.class {name} does not exist") from error
    if not hasattr(found, "config_model") or not hasattr(found, "from_config"):
        raise ConfigError(
            f"{path}: connector.class {name} is no source",
            hint="`psastream poll` takes source files; sink files go to `psastream dispatch`",
        )
    return found


def run_poller(
    settings: Settings,
    config_paths: Sequence[Path],
    environment: Mapping[str, str] | None = None,
) -> int:
    """Poll until SIGTERM or SIGINT and return the exit code.

    0: stopped on request; 1: going on would do damage; 2: the configuration is wrong.
    """
    configure_logs(json=settings.log_json, level=settings.log_level)
    try:
        sources = _load_all(config_paths, os.environ if environment is None else environment)
    except ConfigError as error:
        log.error("configuration_refused", error=str(error))
        return EXIT_CONFIG
    serve_metrics(settings.metrics_port, host=settings.metrics_host)
    try:
        asyncio.run(_run(settings, sources))
    except PsaStreamError as error:
        log.error("poller_stopped", code=error.code, error=str(error))
        return EXIT_FATAL
    return EXIT_OK


def _load_all(
    paths: Sequence[Path], environment: Mapping[str, str]
) -> list[tuple[PolledConfig, Source]]:
    sources, problems = [], []
    for path in paths:
        try:
            sources.append(load_source(path, environment))
        except ConfigError as error:
            problems.append(error.detail)
    if problems:
        raise ConfigError("; ".join(problems), hint="correct the files and start again")
    return sources


async def _run(settings: Settings, sources: Sequence[tuple[PolledConfig, Source]]) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    serde = Serde(Registry(settings.registry_url))
    tasks = {
        asyncio.create_task(run_connector(config, source, KafkaLog(settings.kafka, serde, config)))
        for config, source in sources
    }
    stopper = asyncio.create_task(stopped.wait())
    try:
        done, _ = await asyncio.wait({stopper, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopper}:
            task.result()  # a connector only ends by an error
    finally:
        for task in (stopper, *tasks):
            task.cancel()
        await asyncio.gather(stopper, *tasks, return_exceptions=True)
        for _, source in sources:
            await source.close()


async def run_connector(
    config: PolledConfig,
    source: Source,
    kafka_log: KafkaLog,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Poll every object of a connector until cancelled. Raises FatalError."""
    async for attempt in stamina.retry_context(on=_is_transient, attempts=None, timeout=None):
        with attempt:
            states = await kafka_log.open()
    log.info(
        "connector_started",
        connector=config.name,
        rows={obj: len(ledger) for obj, (_, ledger) in states.items()},
    )
    times = LoopSettings(
        interval_s=config.poll_interval_ms / 1000, retry_max_s=config.retry_max_ms / 1000
    )
    loops = []
    for obj, (bookmark, ledger) in states.items():
        poller = ObjectPoller(
            config,
            obj,
            source.reader(obj),
            kafka_log,
            bookmark=bookmark,
            ledger=ledger,
            clock=clock,
        )
        loops.append(asyncio.create_task(ObjectLoop(config.system, obj, poller, times).run()))
    try:
        await asyncio.gather(*loops)
    finally:
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        log.info("connector_stopped", connector=config.name)


def _is_transient(error: Exception) -> bool:
    if isinstance(error, TransientError):
        log.warning("source_log_unavailable", code=error.code, error=str(error))
        return True
    return False
