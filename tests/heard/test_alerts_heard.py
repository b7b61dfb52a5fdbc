"""Faults of a running product, the alerts heard of them, and their end: `make prove-alerts`.

A demo that stays up, Prometheus over what its processes serve, Alertmanager with our routes. Time
runs thirty times as fast for the rules, and not for the product.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import pytest

from runtime.kafka import make_producer, read_compacted
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from sandbox.vendors.client import VendorAdmin
from tests.e2e.conftest import running_demo
from tests.support.eventually import eventually
from tests.support.heard import HEARD, Ears, Fault, listening
from tests.support.kept_demo import KeptDemo
from tests.unit.streams.test_metrics_port import free_port

pytestmark = pytest.mark.stack

DEADLINE_S: Final = 240.0
JOBS: Final = {
    "worker": "psastream-worker",
    "poller": "psastream-poller",
    "dispatcher": "psastream-dispatcher",
    "readmodel": "psastream-read-model",
}


@dataclass(frozen=True)
class Watched:
    """A demo and what is heard of it."""

    demo: KeptDemo
    ears: Ears

    @property
    def settings(self) -> Settings:
        return Settings.from_env({**self.demo.variables})

    def process(self, *words: str) -> psutil.Process:
        """Return the process of the demo of whose words some end in each of these."""
        found = [
            process
            for process in psutil.Process(self.demo.process.pid).children(recursive=True)
            if all(any(part.endswith(word) for part in _command(process)) for word in words)
        ]
        assert found, words
        return found[0]

    @contextmanager
    def stopped(self, *words: str) -> Iterator[None]:
        process = self.process(*words)
        process.suspend()
        try:
            yield
        finally:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def heard(self, fault: Fault, state: str) -> None:
        eventually(
            lambda: self.ears.state(fault.receiver, fault.alert) == state, deadline_s=DEADLINE_S
        )


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("heard")
    with running_demo() as demo:
        served = dict(
            pair.split("=http://") for pair in demo.variables["PSASTREAM_PROCESSES"].split(",")
        )
        jobs = {JOBS[name]: address for name, address in served.items()}
        port = free_port()
        jobs["psastream-connect-watcher"] = f"127.0.0.1:{port}"
        with _watcher(demo, port), listening(jobs, folder) as ears:
            yield Watched(demo, ears)


@contextmanager
def _watcher(demo: KeptDemo, port: int) -> Iterator[None]:
    """The process that watches connectors, which a demo does without."""
    file = next((Path.cwd() / "connectors/vendors/inhouse").glob("connector.json"))
    command = [sys.executable, "-m", "psastream", "connectors", "watch", "--config", str(file)]
    variables = {**os.environ, **demo.variables, "PSASTREAM_METRICS_PORT": str(port)}
    process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def unreadable(watched: Watched) -> Iterator[None]:
    producer = make_producer(watched.settings.kafka)
    producer.produce("src.float.person", key=b"\0", value=b"no record")
    assert producer.flush(30) == 0
    yield


@contextmanager
def without_tax_code(watched: Watched) -> Iterator[None]:
    """It lacks it since the demo told its story."""
    yield
    serde = Serde(Registry(watched.settings.registry))
    rows = read_compacted(watched.settings.kafka, "psa.legal_entity").values()
    [entity] = {row["id"] for row in map(serde.read, rows) if row["country_code"] == "PL"}
    with VendorAdmin(watched.demo.addresses["vendors"]) as admin:
        changes = {"custrecord_psa_tax_code": "PL-VAT-23"}
        admin.update("netsuite", "subsidiary", entity.rpartition(":")[2], changes)


FAULTS: Final[dict[str, Callable[[Watched], object]]] = {
    "PsastreamProcessDown": lambda it: it.stopped("psastream", "worker"),
    "PsastreamReadModelDown": lambda it: it.stopped("psastream", "readmodel"),
    "PsastreamSourceSilent": lambda it: it.stopped("sandbox.vendors"),
    "PsastreamConnectUnreachable": lambda it: it.stopped("ConnectDistributed"),
    "PsastreamDeadLetters": unreadable,
    "PsastreamMoneyBlocked": without_tax_code,
}


@pytest.mark.parametrize("alert", FAULTS)
def test_a_fault_is_heard_by_whom_it_concerns_and_so_is_its_end(
    watched: Watched, alert: str
) -> None:
    faults = [fault for fault in HEARD if fault.alert == alert]
    with FAULTS[alert](watched):  # type: ignore[attr-defined]
        for fault in faults:
            watched.heard(fault, "firing")
    for fault in faults:
        watched.heard(fault, "resolved")


def test_what_is_said_to_be_heard_is_tried() -> None:
    assert {fault.alert for fault in HEARD} == set(FAULTS)
