"""The poller process: connector files in, loops running, a clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from connectors.polled import instruments
from connectors.polled.bookmark import Bookmark
from connectors.polled.config import PolledConfig
from connectors.polled.describing import Fingerprints, Looks
from connectors.polled.kafka_log import KafkaLog
from connectors.polled.ledger import Ledger
from connectors.polled.loop import LoopSettings, ObjectLoop, part_of
from connectors.polled.order_log import OrderLog
from connectors.polled.orders import Action, Orders, pending
from connectors.polled.poller import ObjectPoller
from connectors.polled.source import PolledSource
from connectors.systems import Systems, class_name
from connectors.toolkit.config import parse_config, read_document, secret_files
from connectors.toolkit.metadata import Describes
from runtime.health import EVENT_LOOP, Health
from runtime.logs import configure_logs
from runtime.prometheus import serve_process
from runtime.registry import Registry
from runtime.renewal import Renewal
from runtime.retries import Retries, tell_recovered, tell_retry
from runtime.sealing import sealing_of
from runtime.serde import Serde
from runtime.settings import Settings
from runtime.tracing import start_tracing, stop_tracing
from schemas.errors import ConfigError, PsaStreamError, TransientError
from schemas.system import SystemBundle

_log = structlog.get_logger()

EXIT_OK: Final = 0
EXIT_FATAL: Final = 1
EXIT_CONFIG: Final = 2

BEAT_S: Final = 1.0
LOOP_SILENCE_S: Final = 30.0
OPENING_SILENCE_S: Final = 600.0
"""Longest attempt to read the bookmarks: an open transaction is waited for, then all is read."""
GARBAGE: Final = (50_000, 20, 50)
"""Objects, and rounds of the younger generation, that the collector of each generation awaits."""
RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector file with what it names."""

    config: PolledConfig
    source: PolledSource
    system: SystemBundle


def load_source(
    path: Path, environment: Mapping[str, str], systems: Systems | None = None
) -> Connector:
    """Load a connector file and make its source. Raises ConfigError naming every problem.

    `systems` are by default those of the product.
    """
    systems = Systems() if systems is None else systems
    document = read_document(path)
    source_class = _source_class(document.get("connector.class"), path, systems)
    config = parse_config(document, source_class.config_model, environment, origin=str(path))
    try:
        system = systems.read(config.system)
    except ConfigError as error:
        raise ConfigError(f"{path}: topic.prefix: {error.detail}", hint=error.hint) from error
    if (own := systems.vendor(system.vendor).source) is not source_class:
        hint = f"connector.class {class_name(own)} reads it" if own else "nothing polls it"
        raise ConfigError(f"{path}: topic.prefix: {config.system} is another system's", hint=hint)
    try:
        readable = source_class.objects_of(system)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.detail}", hint=error.hint) from error
    known = [obj for obj in system.topics if obj in readable]
    if unknown := [obj for obj in config.objects if obj not in known]:
        raise ConfigError(
            f"{path}: object.include.list: {config.system} has no {', '.join(unknown)}",
            hint=f"it has {', '.join(known)}",
        )
    try:
        source = source_class.from_config(config, system)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.detail}", hint=error.hint) from error
    except ValueError as error:
        raise ConfigError(
            f"{path}: the private key cannot be used: {error}",
            hint="it must be an RSA private key in PEM without a passphrase",
        ) from error
    return Connector(config, source, system)


def _source_class(name: object, path: Path, systems: Systems) -> type[PolledSource]:
    """Only classes that a system declares: a configuration file must not run other code."""
    vendors = systems.vendors(name)
    sources = {class_name(each.source): each.source for each in vendors if each.source}
    if isinstance(name, str) and name in sources:
        return sources[name]
    hint = f"one of {', '.join(sources)}"
    if str(name) in {class_name(each.sink) for each in vendors if each.sink}:
        hint = "`psastream poll` takes source files; sink files go to `psastream dispatch`"
    raise ConfigError(f"{path}: connector.class names no source: {name}", hint=hint)


def run_poller(
    settings: Settings,
    config_paths: Sequence[Path],
    environment: Mapping[str, str] | None = None,
) -> int:
    """Poll until SIGTERM or SIGINT and return the exit code.

    0: stopped on request; 1: going on would do damage; 2: the configuration is wrong.
    """
    configure_logs(json=settings.log_json, level=settings.log_level)
    environment = os.environ if environment is None else environment
    load = partial(load_sources, config_paths, environment, Systems(settings.systems))
    try:
        connectors = load()
        files = [
            file for path in config_paths for file in secret_files(read_document(path), environment)
        ]
    except ConfigError as error:
        _log.error("poll.config_wrong", error=str(error))
        return EXIT_CONFIG
    spare_collector()
    health = Health()
    serve_process(
        settings,
        checks=health.checks(),
        reasons=health.reasons,
    )
    try:
        start_tracing(settings, "poller", environment)
        asyncio.run(_run(settings, _Connectors(connectors, load), files, health))
    except PsaStreamError as error:
        _log.error("poll.process_failed", code=error.code, error=str(error))
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FATAL
    finally:
        stop_tracing()
    return EXIT_OK


def spare_collector() -> None:
    """Keep the collector from the objects of a page while it is read.

    They are tens of thousands, in no cycle, and gone with the page; by default it walks them again
    and again, for a quarter of the processor time of a first read.
    """
    gc.freeze()  # what is there already stays
    gc.set_threshold(*GARBAGE)


def load_sources(
    paths: Sequence[Path], environment: Mapping[str, str], systems: Systems | None = None
) -> list[Connector]:
    """Load connector files and make their sources. Raises ConfigError naming every problem."""
    systems = Systems() if systems is None else systems
    connectors, problems = [], []
    for path in paths:
        try:
            connectors.append(load_source(path, environment, systems))
        except ConfigError as error:
            problems.append(error.detail)
    names = [connector.config.name for connector in connectors]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        # They would share bookmarks, and each would shut the other out.
        problems.append(f"several files name their connector {', '.join(twice)}")
    topics = [each.config.topic(obj) for each in connectors for obj in each.config.objects]
    if shared := sorted({topic for topic in topics if topics.count(topic) > 1}):
        # What one of them publishes, the other would delete.
        problems.append(f"several files poll into {', '.join(shared)}")
    if problems:
        raise ConfigError("; ".join(problems), hint="correct the files and start again")
    return connectors


class _Connectors:
    """The connectors of the files, and those that take their place when secrets have changed."""

    def __init__(
        self, connectors: Sequence[Connector], load: Callable[[], Sequence[Connector]]
    ) -> None:
        self.now = connectors
        self._next: Sequence[Connector] | None = None
        self._load = load

    def problems(self) -> list[str]:
        """Load the files again; why that cannot be."""
        try:
            self._next = self._load()
        except ConfigError as error:
            return [error.detail]
        return []

    async def renew(self) -> None:
        """Use those that were loaded last."""
        if self._next is not None:
            await self.close()
            self.now, self._next = self._next, None

    async def close(self) -> None:
        """Close the sources."""
        for each in self.now:
            await each.source.close()


async def _run(
    settings: Settings, connectors: _Connectors, files: Sequence[Path], health: Health
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    registry, kafka = Registry(settings.registry), settings.kafka
    sealing = sealing_of(settings, registry.schema)
    renewal = Renewal(kafka, files, connectors.problems)
    stopper = asyncio.create_task(stopped.wait())
    beats = asyncio.create_task(_beat(health))
    try:
        while not stopped.is_set():
            renewal.began()
            await connectors.renew()
            logs = [
                KafkaLog(kafka, Serde(registry, each.system.topics.values(), sealing), each.config)
                for each in connectors.now
            ]
            others, orders = {stopper, beats}, OrderLog(kafka)
            try:
                await _until_renewed(connectors.now, logs, orders, others, renewal, health=health)
            finally:
                await orders.close()
    finally:
        stopper.cancel()
        beats.cancel()
        await asyncio.gather(stopper, beats, return_exceptions=True)
        await connectors.close()


async def _until_renewed(
    connectors: Sequence[Connector],
    logs: Sequence[KafkaLog],
    orders: OrderLog,
    others: set[asyncio.Task[Any]],
    renewal: Renewal,
    *,
    health: Health,
) -> None:
    """Run connectors until one of the others ends, or new clients of Kafka are due."""
    tasks = {
        asyncio.create_task(
            run_connector(each, kafka_log, health=health, orders=orders, fingerprints=orders)
        )
        for each, kafka_log in zip(connectors, logs, strict=True)
    }
    due = asyncio.create_task(renewal.due())
    try:
        done, _ = await asyncio.wait({*others, due, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a connector only ends by an error
    finally:
        for task in (due, *tasks):
            task.cancel()
        await asyncio.gather(due, *tasks, return_exceptions=True)


async def _beat(health: Health) -> None:
    health.watch(EVENT_LOOP, within_s=LOOP_SILENCE_S, is_ready=True)
    while True:
        health.beat(EVENT_LOOP)
        await asyncio.sleep(BEAT_S)


async def run_connector(
    connector: Connector,
    kafka_log: KafkaLog,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    *,
    health: Health,
    orders: Orders | None = None,
    fingerprints: Fingerprints | None = None,
) -> None:
    """Poll every object of a connector until cancelled. Raises FatalError.

    `fingerprints`: where it is kept what the API describes, which is looked at then.
    """
    config = connector.config
    for obj in config.objects:  # at once: who asks sees what is to be polled
        interval = instruments.POLL_INTERVAL.labels(config.system, obj)
        interval.set(config.poll_interval_ms / 1000)
    states = await _open(config, kafka_log, health)
    _log.info(
        "poll.started",
        connector=config.name,
        rows={obj: len(ledger) for obj, (_, ledger) in states.items()},
    )
    times = LoopSettings(
        interval_s=config.poll_interval_ms / 1000, retry_max_s=config.retry_max_ms / 1000
    )
    loops, retries, pollers = [], Retries(), dict[str, ObjectPoller]()
    for obj, (bookmark, ledger) in states.items():
        poller = ObjectPoller(
            config,
            obj,
            connector.source.reader(obj, connector.system.contract(obj)),
            kafka_log,
            bookmark=bookmark,
            ledger=ledger,
            clock=clock,
            beat=partial(health.beat, part_of(config.system, obj)),
            orders=orders,
        )
        pollers[obj] = poller
        loop = ObjectLoop(config.system, obj, poller, times, health=health, retries=retries)
        loops.append(asyncio.create_task(loop.run()))
    if fingerprints is not None:
        looks = _looks(connector, pollers, fingerprints, clock)
        loops += [asyncio.create_task(looks.run())] if looks else []
    try:
        await asyncio.gather(*loops)
    finally:
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await kafka_log.close()
        _log.info("poll.stopped", connector=config.name)


def _looks(
    connector: Connector,
    pollers: Mapping[str, ObjectPoller],
    fingerprints: Fingerprints,
    clock: Callable[[], datetime],
) -> Looks | None:
    """Return the looks at what an API describes; None where it does not, or nobody wants them."""
    config, source = connector.config, connector.source
    if not isinstance(source, Describes) or not config.description_interval_ms:
        return None

    def is_paused(obj: str) -> bool:
        return pending(pollers[obj].bookmark.orders, Action.PAUSE) is not None

    return Looks(config, connector.system, source, fingerprints, clock=clock, is_paused=is_paused)


async def _open(
    config: PolledConfig, kafka_log: KafkaLog, health: Health
) -> dict[str, tuple[Bookmark | None, Ledger]]:
    """Return where every object stands, once the broker tells; not ready until then."""
    part = f"log of {config.name}"
    pause_s, failed = RETRY_FIRST_S, None
    while True:
        health.watch(part, within_s=OPENING_SILENCE_S)
        try:
            states = await kafka_log.open()
        except TransientError as error:
            failed = error
            tell_retry(error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_MAX_S)
        else:
            break
    if failed is not None:
        tell_recovered(failed)
    health.forget(part)
    return states
