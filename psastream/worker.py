"""The stream worker process: registry, mappings and engine put together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY

from psastream.landscape import read_firm
from psastream.letter_ages import watch_letters
from runtime.prometheus import serve_process
from runtime.registry import Registry
from runtime.retries import tell_retry
from runtime.sealing import sealing_of
from runtime.serde import Serde
from runtime.settings import Settings
from runtime.tracing import Tracing, start_tracing, stop_tracing
from schemas.errors import ConfigError, PsaStreamError, RegistryUnavailableError
from schemas.topics import SOURCE_PREFIX
from streams.agents.own_measures import GROUP as MEASURES
from streams.agents.sealed import sealed_group
from streams.engine import EngineSettings, GroupSpec, create_app
from streams.engine.errors import StateGapError
from streams.engine.tracing import ChunkTracing
from streams.groups import make_groups
from streams.instruments import PrometheusInstruments
from streams.worker import Worker

APP_ID: Final = "psastream"
MEASURES_APP_ID: Final = "psastream-measures"
"""A consumer group reads a topic once, and measures of the firm's own read what tables read."""
LAST_SCRAPE_S: Final = 40.0
"""How long a worker that needs a person waits to have been asked why: longer than a scrape takes to
come."""
APP_IDS: Final = (APP_ID, MEASURES_APP_ID)


def app_id_of(group: str) -> str:
    """Return the consumer group of the workers that run an agent group."""
    return MEASURES_APP_ID if group == MEASURES else APP_ID


def product_groups(settings: Settings, registry: Registry) -> list[GroupSpec]:
    """Return the agent groups of the firm's landscape. Raises ConfigError."""
    firm = read_firm(settings)
    return make_groups(firm.mappings, registry, firm.landscape, firm.measures)


def chosen_groups(
    settings: Settings, registry: Registry, names: Sequence[str] | None
) -> list[GroupSpec]:
    """Return the agent groups of these names, by default all. Raises ConfigError."""
    groups = {group.name: group for group in product_groups(settings, registry)}
    unknown = set(names or ()) - groups.keys()
    if unknown:
        raise ConfigError(
            f"there is no agent group {', '.join(sorted(unknown))}",
            hint=f"choose from {', '.join(groups)}",
        )
    return [groups[name] for name in names or groups]


def run_worker(settings: Settings, app_id: str = APP_ID) -> int:
    """Work until SIGTERM or a failure; return the exit code. Raises ConfigError."""
    registry = Registry(settings.registry)
    groups = groups_of(app_id, product_groups(settings, registry))
    if (sealing := sealing_of(settings, registry.schema)) is not None:
        own = {measure.topic.name for measure in read_firm(settings).measures}
        groups = [sealed_group(group, sealing, own) for group in groups]
    if not groups:
        raise ConfigError(
            "there is no measure of the firm's own",
            hint="PSASTREAM_MEASURES names files of measures, or folders that hold them",
        )
    try:
        registry.require()
    except RegistryUnavailableError as error:  # records wait for it; nothing is lost
        tell_retry(error)
    instruments = PrometheusInstruments(REGISTRY)
    serde = Serde(registry, sealing=sealing)
    tracing = chunk_tracing(start_tracing(settings, "worker", os.environ), app_id, serde)
    app = create_app(engine_settings(settings, app_id), groups, instruments, tracing=tracing)
    worker = Worker(app, instruments, check=lambda: serde.require_keys(settings.kafka))
    scrapes = serve_process(
        settings,
        checks={"livez": worker.health.is_live, "readyz": worker.health.is_ready},
        reasons=worker.reasons,
    )
    if app_id == APP_ID and settings.metrics_port:
        watch_letters(settings, serde)
    try:
        code = worker.run()
        if isinstance(worker.failure, StateGapError) and settings.metrics_port:
            scrapes.wait_for_next(LAST_SCRAPE_S)  # its metric has an alert, and ends with it
        return code
    finally:
        stop_tracing()


def chunk_tracing(tracing: Tracing | None, app_id: str, serde: Serde) -> ChunkTracing | None:
    """Return what traces the chunks of a worker. Changes begin traces where they are captured."""
    if tracing is None:
        return None

    def changed_at_ms(value: bytes) -> int | None:
        try:
            source = serde.read(value).get("source")
        except PsaStreamError:  # whoever works the record says so
            return None
        at_ms = source.get("ts_ms") if isinstance(source, Mapping) else None
        return at_ms if isinstance(at_ms, int) and at_ms > 0 else None

    return ChunkTracing(
        tracing,
        app_id,
        begins=lambda topic: app_id == APP_ID and topic.startswith(f"{SOURCE_PREFIX}."),
        changed_at_ms=changed_at_ms,
    )


def groups_of(app_id: str, groups: Sequence[GroupSpec]) -> list[GroupSpec]:
    """Return those that the workers of a consumer group run."""
    return [group for group in groups if app_id_of(group.name) == app_id]


def engine_settings(settings: Settings, app_id: str = APP_ID) -> EngineSettings:
    """Return the engine's settings of a worker of a consumer group."""
    return EngineSettings(
        app_id=app_id,
        bootstrap_servers=settings.bootstrap_servers,
        state_dir=Path(settings.data_dir) / ("state" if app_id == APP_ID else app_id),
        instance_id=settings.instance_id,
        in_flight_max_bytes=settings.in_flight_max_bytes,
        dead_letter_run_max=settings.dead_letter_run_max,
        dead_letter_ratio_max=settings.dead_letter_ratio_max,
        kafka_options=dict(settings.kafka.extra),
        kafka_secrets=settings.kafka.secrets,
    )
