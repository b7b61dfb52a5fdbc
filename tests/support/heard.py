"""Alerts that fire for real: Prometheus and Alertmanager beside a demo, in a time that runs faster.

The rules are those of `deploy/prometheus`, their durations and the bounds that are seconds divided
by `FASTER`; the routes are those of its Alertmanager, each receiver a page of this process.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.eventually import eventually
from tests.unit.streams.test_metrics_port import free_port

PROMETHEUS: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
FASTER: Final = 30
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION: Final = re.compile(r"(?<=[\[ ])(\d+)([smhd])(?=\]|$|\s)")
_BOUND: Final = re.compile(r"(?<=[<>] )(900|300)\b|(?<=bool )(3600)\b")
_START_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to a running product, the alert that was heard, and what ended it."""

    alert: str
    receiver: str
    done: str
    mended: str


HEARD: Final = (
    Fault("PsastreamProcessDown", "pager", "a worker is stopped", "it goes on"),
    Fault("PsastreamReadModelDown", "chat", "its process is stopped", "it goes on"),
    Fault("PsastreamSourceSilent", "pager", "the vendors answer no more", "they answer"),
    Fault("PsastreamConnectUnreachable", "pager", "Kafka Connect is stopped", "it goes on"),
    Fault("PsastreamDeadLetters", "pager", "a record that cannot be read is sent", "no other is"),
    Fault("PsastreamMoneyBlocked", "pager", "a project lacks its tax code", "the ERP is mended"),
    Fault("PsastreamMoneyBlocked", "finance", "a project lacks its tax code", "the ERP is mended"),
)
"""What `make prove-alerts` does."""


def faster(text: str) -> str:
    """Return the text of rules whose time runs faster."""

    def shorter(found: re.Match[str]) -> str:
        seconds = int(found[1]) * _SECONDS[found[2]]
        return f"{max(1, seconds // FASTER)}s"

    def smaller(found: re.Match[str]) -> str:
        return str(int(found[0]) // FASTER)

    return _BOUND.sub(smaller, _DURATION.sub(shorter, text))


@dataclass
class Ears:
    """What Alertmanager told each receiver: the state of an alert as told last."""

    told: dict[tuple[str, str], str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, receiver: str, message: Mapping[str, Any]) -> None:
        with self.lock:
            for alert in message["alerts"]:
                name = alert["labels"]["alertname"]
                self.told[receiver, name] = alert["status"]

    def state(self, receiver: str, alert: str) -> str | None:
        with self.lock:
            return self.told.get((receiver, alert))


def tool(*names: str) -> str:
    """Return the path of an executable of Debian's or its maker's name; skip where it is absent."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed")


@contextmanager
def listening(jobs: Mapping[str, str], folder: Path) -> Iterator[Ears]:
    """Run Prometheus over jobs, host:port by name, and Alertmanager; yield what is told to whom."""
    ears = Ears()
    with (
        _pages(ears) as pages,
        _run(_alertmanager(folder, pages)) as alerts,
        _run(_prometheus(folder, jobs, alerts)),
    ):
        yield ears


@contextmanager
def _pages(ears: Ears) -> Iterator[int]:
    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            ears.hear(self.path.strip("/"), json.loads(self.rfile.read(size)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


def _alertmanager(folder: Path, pages: int) -> tuple[list[str], str]:
    config = yaml.safe_load((PROMETHEUS / "alertmanager.yml").read_text())
    for receiver in config["receivers"]:
        name = receiver["name"]
        receiver.clear()
        hook = {"url": f"http://127.0.0.1:{pages}/{name}", "send_resolved": True}
        receiver.update(name=name, webhook_configs=[hook])
    config["time_intervals"] = [{"name": "working-hours", "time_intervals": [{}]}]
    routes = [config["route"], *config["route"]["routes"]]
    for route in routes:
        route.update(group_wait="1s", group_interval="1s", group_by=["..."])
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    found = tool("prometheus-alertmanager", "alertmanager")
    options = ["--cluster.listen-address=", f"--storage.path={folder / 'alertmanager'}"]
    return [found, f"--config.file={path}", f"--web.listen-address={address}", *options], address


def _prometheus(folder: Path, jobs: Mapping[str, str], alerts: str) -> tuple[list[str], str]:
    for path in PROMETHEUS.glob("rules/*.rules.yml"):
        (folder / path.name).write_text(faster(path.read_text()))
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{folder}/*.rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts]}]}]},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]}
            for job, target in jobs.items()
        ],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    options = [f"--storage.tsdb.path={folder / 'prometheus'}", f"--web.listen-address={address}"]
    return [tool("prometheus"), f"--config.file={path}", *options], address


@contextmanager
def _run(started: tuple[list[str], str]) -> Iterator[str]:
    import httpx2

    command, address = started

    def is_ready() -> bool:
        try:
            return httpx2.get(f"http://{address}/-/ready", timeout=1).status_code == 200
        except httpx2.HTTPError:
            return False

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(is_ready, deadline_s=_START_S)
        yield address
    finally:
        process.terminate()
        process.wait(30)
