"""The stream worker process: registry, mappings and engine put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY

from psastream.landscape import read_firm
from runtime.prometheus import serve_metrics
from runtime.registry import Registry
from runtime.retries import tell_retry
from runtime.settings import Settings
from schemas.errors import ConfigError, RegistryUnavailableError
from streams.engine import EngineSettings, GroupSpec, create_app
from streams.groups import make_groups
from streams.instruments import PrometheusInstruments
from streams.worker import Worker

APP_ID: Final = "psastream"


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


def run_worker(settings: Settings) -> int:
    """Work until SIGTERM or a failure; return the exit code."""
    registry = Registry(settings.registry_url)
    groups = product_groups(settings, registry)
    try:
        registry.require()
    except RegistryUnavailableError as error:  # records wait for it; nothing is lost
        tell_retry(error)
    instruments = PrometheusInstruments(REGISTRY)
    app = create_app(engine_settings(settings), groups, instruments)
    worker = Worker(app, instruments)
    serve_metrics(
        settings.metrics_port,
        host=settings.metrics_host,
        checks={"livez": worker.health.is_live, "readyz": worker.health.is_ready},
        reasons=worker.reasons,
    )
    return worker.run()


def engine_settings(settings: Settings) -> EngineSettings:
    """Return the engine's settings of this process."""
    return EngineSettings(
        app_id=APP_ID,
        bootstrap_servers=settings.bootstrap_servers,
        state_dir=Path(settings.data_dir) / "state",
        instance_id=settings.instance_id,
        in_flight_max_bytes=settings.in_flight_max_bytes,
        dead_letter_run_max=settings.dead_letter_run_max,
        dead_letter_ratio_max=settings.dead_letter_ratio_max,
        kafka_options=dict(settings.kafka_extra),
    )
