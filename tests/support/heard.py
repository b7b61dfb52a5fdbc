"""Alerts that fire for real: Prometheus and Alertmanager beside the running product.

The rules and routes are those of `deploy/prometheus`, in a time that runs faster for them and not
for the product; each receiver is a page of this process. A fault is a context manager that breaks
something for the length of its block; faults that do not meet run at the same time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

import httpx2
import psutil
import pytest
import yaml

from tests.support.eventually import eventually
from tests.support.heard_rules import FASTER, PROMETHEUS, alert_rules, fast_rules, receivers_of
from tests.support.running_system import RunningSystem
from tests.unit.streams.test_metrics_port import free_port

DEADLINE_S: Final = 420.0
"""Numbers that do not add up are told at the second look at a database, which a busy one delays."""
_START_S: Final = 60.0

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a running product, the alerts that are heard of it, and what ends them.

    `labels` are those of the series that must fire, or a part of them. Nothing else runs that
    breaks or needs one of `breaks`, or breaks one of `needs`: names of parts, vendors, tables.
    """

    name: str
    alerts: tuple[str, ...]
    done: str
    mended: str
    inject: Callable[[Watched], AbstractContextManager[None]]
    labels: Labels
    breaks: frozenset[str]
    needs: frozenset[str]
    faster: int


def fault(
    *alerts: str,
    done: str,
    mended: str,
    labels: Labels | None = None,
    breaks: Sequence[str] = (),
    needs: Sequence[str] = (),
    faster: int = FASTER,
) -> Callable[[Callable[[Watched], Iterator[None]]], Fault]:
    """Make a fault of a generator function: it breaks something, yields, and mends it."""

    def make(inject: Callable[[Watched], Iterator[None]]) -> Fault:
        return Fault(
            name=inject.__name__,
            alerts=alerts,
            done=done,
            mended=mended,
            inject=contextmanager(inject),
            labels=labels or {},
            breaks=frozenset(breaks),
            needs=frozenset(needs),
            faster=faster,
        )

    return make


def faults_of(*modules: object) -> list[Fault]:
    """Return the faults that modules hold, in their order."""
    return [it for module in modules for it in vars(module).values() if isinstance(it, Fault)]


@dataclass(frozen=True, slots=True)
class Heard:
    """One alert as it was told: to whom, and what it said."""

    alert: str
    told: tuple[str, ...]
    said: str


@dataclass
class Ears:
    """What Alertmanager told each receiver: the state of each series of an alert as told last."""

    told: dict[tuple[str, frozenset[tuple[str, str]]], Mapping[str, Any]] = field(
        default_factory=dict
    )
    changed: threading.Condition = field(default_factory=threading.Condition)

    def hear(self, receiver: str, message: Mapping[str, Any]) -> None:
        """Take in what Alertmanager sends to a webhook."""
        with self.changed:
            for alert in message["alerts"]:
                self.told[receiver, frozenset(alert["labels"].items())] = alert
            self.changed.notify_all()

    def of(self, alert: str, labels: Labels) -> dict[str, list[Mapping[str, Any]]]:
        """Return what was told last of an alert's series with these labels, by receiver."""
        wanted = {"alertname": alert, **labels}.items()
        found: dict[str, list[Mapping[str, Any]]] = {}
        with self.changed:
            for (receiver, series), told in self.told.items():
                if wanted <= set(series):
                    found.setdefault(receiver, []).append(told)
        return found

    def firing(self, alert: str, labels: Labels) -> dict[str, list[Mapping[str, Any]]]:
        """Return what of that fires, by receiver."""
        found = {
            receiver: [it for it in told if it["status"] == "firing"]
            for receiver, told in self.of(alert, labels).items()
        }
        return {receiver: told for receiver, told in found.items() if told}


@dataclass(frozen=True)
class Watched:
    """The running product, and what is heard of it."""

    system: RunningSystem
    ears: Ears
    prometheus: str
    """host:port of Prometheus."""
    folder: Path

    @contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """Stop a part where it stands (SIGSTOP); it goes on at the end of the block."""
        process = psutil.Process(self.system.stack.pid(part))
        process.suspend()
        try:
            yield
        finally:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    @contextmanager
    def stopped(self, *parts: str) -> Iterator[None]:
        """End parts in order, and start them again at the end of the block."""
        held = set(parts) - self.system.held
        self.system.held.update(held)
        for part in parts:
            self.system.stack.stop(part)
        try:
            yield
        finally:
            for part in parts:
                self.system.stack.restart(part)
            self.system.held.difference_update(held)

    @contextmanager
    def again_and_again(self, action: Callable[[], object], *, every_s: float) -> Iterator[None]:
        """Do something at once and every so often until the block ends. Raises what it raises."""
        ends = threading.Event()

        def go_on() -> None:
            action()
            while not ends.wait(every_s):
                action()

        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(go_on)
            try:
                yield
            finally:
                ends.set()
        going.result()

    def ask(self, promql: str) -> list[Mapping[str, Any]]:
        """Return what Prometheus answers: one sample a series."""
        url = f"http://{self.prometheus}/api/v1/query"
        answer = httpx2.get(url, params={"query": promql}, timeout=10)
        result: list[Mapping[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return result

    def seen(self, promql: str) -> None:
        """Wait until a condition holds in what Prometheus has scraped."""
        eventually(lambda: self.ask(promql), deadline_s=DEADLINE_S)


def hear(watched: Watched, fault: Fault) -> list[Heard]:
    """Carry a fault out: return what was told of it once its end was told, too.

    It is mended in any case. Raises AssertionError where an alert fires before the fault, does not
    reach exactly whom its labels name, or does not end.
    """
    for alert in fault.alerts:
        _until(watched, fault, alert, lambda it: not it, "is silent before")
    failure: Exception | None = None
    heard = []
    with fault.inject(watched):
        try:
            heard = [_told(watched, fault, alert) for alert in fault.alerts]
        except Exception as error:  # to be raised once it is mended
            failure = error
    if failure is not None:
        raise failure
    for alert in fault.alerts:
        _until(watched, fault, alert, lambda it: not it, "has ended")
    return heard


def _told(watched: Watched, fault: Fault, alert: str) -> Heard:
    wanted = receivers_of(alert_rules()[alert])
    told = _until(watched, fault, alert, lambda it: wanted <= it.keys(), "fires")
    assert told.keys() == wanted, f"{alert} was told to {sorted(told)}"
    said = next(iter(told.values()))[0]["annotations"]["summary"]
    assert "error expanding" not in said, said
    return Heard(alert, tuple(sorted(wanted)), said)


def _until(
    watched: Watched, fault: Fault, alert: str, holds: Callable[[Any], bool], what: str
) -> Mapping[str, list[Mapping[str, Any]]]:
    ears = watched.ears
    with ears.changed:
        if not ears.changed.wait_for(
            lambda: holds(ears.firing(alert, fault.labels)), timeout=DEADLINE_S
        ):
            rule = fast_expr(watched, alert)
            raise AssertionError(
                f"{alert} {what}: not within {DEADLINE_S:g} s of {fault.name}; "
                f"told: {ears.of(alert, fault.labels)}; rule: {rule}"
            )
        return ears.firing(alert, fault.labels)


def fast_expr(watched: Watched, alert: str) -> object:
    """Return what Prometheus says of an alerting rule: its state, its query, what that yields."""
    url = f"http://{watched.prometheus}/api/v1/rules"
    groups = httpx2.get(url, params={"type": "alert"}, timeout=10).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"] if rule["name"] == alert]
    keys = ("state", "query", "duration", "alerts", "lastError")
    return [{key: rule.get(key) for key in keys} for rule in rules] + watched.ask(rules[0]["query"])


class Hearing:
    """Carries faults out, each once it meets no other that is under way."""

    def __init__(self, watched: Watched, faults: Sequence[Fault]) -> None:
        self._watched = watched
        self._faults = faults
        self._under_way: list[Fault] = []
        self._turn = threading.Condition()
        self._futures: dict[str, Future[list[Heard]]] = {}

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(len(self._faults) or 1)
        self._futures = {it.name: self._pool.submit(self._hear, it) for it in self._faults}
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def heard(self, fault: Fault) -> list[Heard]:
        """Wait for what was heard of a fault. Raises what went wrong with it."""
        return self._futures[fault.name].result()

    def _hear(self, fault: Fault) -> list[Heard]:
        with self._turn:
            self._turn.wait_for(lambda: not any(_meet(fault, it) for it in self._under_way))
            self._under_way.append(fault)
        try:
            return hear(self._watched, fault)
        finally:
            with self._turn:
                self._under_way.remove(fault)
                self._turn.notify_all()


def _meet(one: Fault, other: Fault) -> bool:
    return bool(one.breaks & (other.breaks | other.needs) or one.needs & other.breaks)


def tool(*names: str) -> str:
    """Return the path of an executable of Debian's or its maker's name; skip where it is absent."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed")


@contextmanager
def listening(
    system: RunningSystem, jobs: Mapping[str, str], factors: Mapping[str, int], folder: Path
) -> Iterator[Watched]:
    """Run Prometheus over jobs, host:port by name, and Alertmanager, beside a system.

    `factors`: how much faster than `FASTER` or slower time runs for a rule, by its name.
    """
    ears = Ears()
    with (
        _pages(ears) as pages,
        _run(_alertmanager(folder, pages)) as alerts,
        _run(_prometheus(folder, jobs, factors, alerts)) as prometheus,
    ):
        yield Watched(system, ears, prometheus, folder)


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


def _prometheus(
    folder: Path, jobs: Mapping[str, str], factors: Mapping[str, int], alerts: str
) -> tuple[list[str], str]:
    for path in PROMETHEUS.glob("rules/*.rules.yml"):
        (folder / path.name).write_text(fast_rules(path, factors))
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
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
