"""The product beside Prometheus and Alertmanager, and the faults that a run has chosen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from sandbox.demo.options import StoryLandscape
from sandbox.stack.health import HttpHealth
from tests.heard import (
    certificate_faults,
    command_faults,
    database_faults,
    letter_faults,
    level_faults,
    process_faults,
    source_faults,
    stream_faults,
    table_faults,
    target_faults,
    unreadable_faults,
)
from tests.support.heard import Hearing, Watched, faults_of, listening
from tests.support.running_system import RunningSystem, running_system
from tests.unit.streams.test_metrics_port import free_port

FAULTS: Final = faults_of(
    process_faults,
    certificate_faults,
    stream_faults,
    source_faults,
    database_faults,
    letter_faults,
    unreadable_faults,
    command_faults,
    target_faults,
    level_faults,
    table_faults,
)
LANDSCAPE: Final = StoryLandscape.parse("two_erps")
STORY: Final = ("firm", "deal", "tax", "early", "projects")
UNHURRIED: Final = {"poll.interval.ms": 1_500, "sweep.interval.ms": 8_000}
"""Beside Prometheus a machine with two cores has enough to do."""
JOBS: Final = {
    "worker": "psastream-worker",
    "poller": "psastream-poller",
    "dispatcher": "psastream-dispatcher",
    "readmodel": "psastream-read-model",
    "connect-watcher": "psastream-connect-watcher",
}


@pytest.fixture(scope="session")
def hearing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hearing]:
    """Every fault that this run has chosen, under way."""
    chosen = [
        item.callspec.params["fault"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "hearing" in item.fixturenames
    ]
    with watched(tmp_path_factory.mktemp("heard")) as product, Hearing(product, chosen) as it:
        yield it


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """The product and the story's firm, whose people book their hours; each process is scraped."""
    factors = {alert: fault.faster for fault in FAULTS for alert in fault.alerts}
    with running_system(
        entries=0, landscape=LANDSCAPE, heals=False, of_sources=UNHURRIED
    ) as system:
        system.tell(*STORY)
        system.world.erp_in("PL").complete(system.world.cast.subsidiaries["PL"], "PL-VAT-23")
        certificate_faults.write_authority(folder, certificate_faults.YEARS)
        ports = {name: urlsplit(url).port for name, url in system.parts.metrics_urls.items()}
        ports["connect-watcher"] = watch_connectors(system, certificate_faults.authority(folder))
        jobs = {JOBS[name]: f"127.0.0.1:{port}" for name, port in ports.items()}
        with (
            listening(system, jobs, factors, folder) as product,
            product.again_and_again(system.insert_entry, every_s=1),
        ):
            yield product


def watch_connectors(system: RunningSystem, authority: Path) -> int:
    """Start the process that watches connectors, which a story does without; the port it serves.

    `authority` is a file that it would trust a registry by.
    """
    file, port = Path("connectors/vendors/inhouse/connector.json"), free_port()
    command = [sys.executable, "-m", "psastream", "connectors", "watch", "--config", str(file)]
    variables = {
        **system.parts.variables,
        "PSASTREAM_METRICS_PORT": str(port),
        "PSASTREAM_REGISTRY_SSL_CA_LOCATION": str(authority),
    }
    health = HttpHealth(f"http://127.0.0.1:{port}/metrics")
    system.stack.start_process("connect-watcher", command, env=variables, health=health)
    return port
