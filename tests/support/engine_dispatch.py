"""Two dispatchers beside the workers of the crash suite, and who orders what from them.

The dispatchers are the real ones: sinks over HTTP to the simulated vendors, journal in Kafka. Of
what the workers publish of regions the desk orders the newest as a customer of that name, revision
after revision; beside it things that are ordered once.
"""

import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.dispatch.commands import Command
from connectors.dispatch.dispatcher import GROUP_ID
from connectors.dispatch.lease import Lease
from connectors.dispatch.main import run_dispatcher
from runtime.kafka import KafkaSettings, create_topics, describe_members, read_topic
from runtime.logs import configure_logs
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.routing import partition_of
from tests.support.catalogue import BY_NAME, CATALOGUE, COMMANDS
from tests.support.commands import command_record, project_content
from tests.support.engine_plans import DispatcherFreeze
from tests.support.engine_process import begin_log
from tests.support.engine_sabotage import Sabotage
from tests.support.eventually import eventually
from tests.support.sinks import KillPoint, MarkedJournal
from tests.support.vendors import Vendors

DISPATCHERS: Final = ("dispatcher-a", "dispatcher-b")
"""The first is the one that is frozen."""
TARGETS: Final = ("netsuite", "float")
SESSION_MS: Final = 8_000
_ROOT: Final = Path(__file__).parents[2]
_ANSWER_S: Final = 5.0
_PAUSE_S: Final = 0.5
_PACE: Final = {
    # Longer than the simulated vendors take on a busy machine: a heir counts on it.
    "request.timeout.ms": 5_000,
    "settle.ms": 1_000,
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 500,
    "auth.retry.ms": 200,
    "requests.per.second": None,
}


class NoLease(Lease):
    """A lease that never ends: its holder acts whatever happened while it stood still."""

    @property
    def is_held(self) -> bool:
        return True


@dataclass(frozen=True)
class Halt:
    """Freeze yourself when you get to a point for the `nth` time from now.

    Only commands whose natural key holds `about` count.
    """

    point: KillPoint
    nth: int
    about: str = ""

    @classmethod
    def of(cls, freeze: DispatcherFreeze) -> "Halt":
        return cls(freeze.point, freeze.nth, freeze.about)

    def to_json(self) -> dict[str, Any]:
        return {"point": self.point.value, "nth": self.nth, "about": self.about}


class Halts:
    """Carries out the halts of this process. Orders come on one thread, points on another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[dict[str, Any]] = []

    def add(self, halt: dict[str, Any]) -> None:
        with self._lock:
            self._left.append(dict(halt))

    def reached(self, point: KillPoint, command: Command) -> None:
        with self._lock:
            for halt in self._left:
                if halt["point"] == point and halt["about"] in command.natural_key:
                    halt["nth"] -= 1
            due = [halt for halt in self._left if halt["nth"] == 0]
            self._left = [halt for halt in self._left if halt["nth"] > 0]
        if due:
            os.kill(os.getpid(), signal.SIGSTOP)


def run_dispatcher_forked(config: dict[str, Any], log_path: str, lines: Connection) -> None:
    """The dispatcher in a forked process: output goes to a log, halts come from `lines`."""
    begin_log(log_path)
    halts = Halts()
    for halt in config["orders"]:
        halts.add(halt)

    def take() -> None:
        try:
            while True:
                halts.add(lines.recv())
        except EOFError:  # whoever started this process is gone
            os._exit(1)

    threading.Thread(target=take, daemon=True).start()
    configure_logs(json=True)
    code = run_dispatcher(
        Settings.from_env(config["variables"]),
        [Path(path) for path in config["sinks"]],
        environment=config["placeholders"],
        wrap_journal=lambda journal: MarkedJournal(journal, halts.reached),
        session_timeout_ms=SESSION_MS,
        make_lease=NoLease if config["sabotage"] == Sabotage.NO_LEASE else Lease,
    )
    sys.exit(code)


def dispatcher_config(
    name: str,
    directory: Path,
    variables: Mapping[str, str],
    vendors: Vendors,
    sabotage: Sabotage,
) -> dict[str, Any]:
    """What `run_dispatcher_forked` needs to know."""
    pace = _PACE
    if sabotage is Sabotage.NO_LEASE and name == DISPATCHERS[0]:
        pace = _PACE | {"request.timeout.ms": 300_000}  # else it is too late for its attempt, too
    sinks = []
    for target in TARGETS:
        shipped = json.loads((_ROOT / "connectors" / "vendors" / target / "sink.json").read_text())
        path = directory / f"{name}-{target}.json"
        path.write_text(json.dumps(shipped | pace))
        sinks.append(str(path))
    return {
        "variables": dict(variables),
        "placeholders": vendors.environment,
        "sinks": sinks,
        "sabotage": sabotage.value,
        "orders": [],
    }


def failures_of(log_path: Path) -> Counter[str]:
    """Why a dispatcher ended by itself, from its log."""
    found: Counter[str] = Counter()
    for line in log_path.read_text().splitlines() if log_path.exists() else ():
        if line.startswith("{"):
            entry, _ = json.JSONDecoder().raw_decode(line)
            if entry["event"] == "dispatch.failed":
                found[entry["code"]] += 1
    return found


class Commands:
    """The topics of commands: what is in them, and how far the dispatchers are."""

    def __init__(self, bootstrap_servers: str, registry_url: str) -> None:
        self._kafka = KafkaSettings(bootstrap_servers=bootstrap_servers)
        create_topics(self._kafka, COMMANDS, replication_factor=1)
        registry = Registry(registry_url)
        registry.register_catalogue(CATALOGUE)
        self._serde = Serde(registry)
        self._admin = AdminClient(self._kafka.client())
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "enable.idempotence": True,
                "reconnect.backoff.max.ms": 500,
            }
        )

    def send(self, command: dict[str, Any]) -> None:
        topic = f"psa.command.{command['target']}"
        self._producer.produce(
            topic,
            key=self._serde.key(topic, command["natural_key"]),
            value=self._serde.value(topic, command),
            partition=partition_of(command["natural_key"], BY_NAME[topic].partitions),
        )

    def flush(self, deadline_s: float) -> None:
        assert self._producer.flush(deadline_s) == 0, "the broker does not take the commands"

    def statuses(self) -> dict[str, list[str]]:
        """What became of commands, by their id: every status that was written of it."""
        found: dict[str, list[str]] = {}
        for message in read_topic(self._kafka, "psa.command_result"):
            result = self._serde.read(message.value())
            found.setdefault(result["command_id"], []).append(result["status"])
        return found

    def ends(self) -> dict[tuple[str, int], int]:
        """End offsets that are not 0; empty while no broker answers."""
        wanted = {
            TopicPartition(topic, number): OffsetSpec.latest()
            for topic in (f"psa.command.{target}" for target in TARGETS)
            for number in range(BY_NAME[topic].partitions)
        }
        try:
            futures = self._admin.list_offsets(wanted, request_timeout=_ANSWER_S)
            found = {(at.topic, at.partition): f.result().offset for at, f in futures.items()}
        except KafkaException:
            self._admin = AdminClient(self._kafka.client())
            return {}
        return {place: end for place, end in found.items() if end}

    def are_done(self, ends: Mapping[tuple[str, int], int]) -> bool:
        """Whether the dispatchers have committed all that lies below these offsets."""
        committed = self._committed()
        return bool(ends) and all(committed.get(at, 0) >= end for at, end in ends.items())

    def stand(self) -> str:
        """How far the dispatchers are of what there is, and who they are."""
        members = describe_members(self._kafka, GROUP_ID)
        return f"committed: {self._committed()}\nof {self.ends()}\nin the group: {members}"

    def _committed(self) -> dict[tuple[str, int], int]:
        """Committed offsets; empty while no broker answers.

        Not through librdkafka's admin client: it crashes the process if the coordinator has moved.
        """
        wanted = [
            TopicPartition(topic, number)
            for topic in (f"psa.command.{target}" for target in TARGETS)
            for number in range(BY_NAME[topic].partitions)
        ]
        consumer = Consumer(self._kafka.client() | {"group.id": GROUP_ID})
        try:
            found = consumer.committed(wanted, timeout=_ANSWER_S)
        except KafkaException:
            return {}
        finally:
            consumer.close()
        return {(at.topic, at.partition): at.offset for at in found if at.offset >= 0}


class Desk:
    """Orders what the workers publish of regions, until it is told to finish."""

    def __init__(
        self, commands: Commands, regions: Consumer, topic: str, partitions: int, seed: int
    ) -> None:
        self._commands = commands
        self._regions = regions
        self._places = [TopicPartition(topic, number, 0) for number in range(partitions)]
        self._regions.assign(self._places)
        self._run_id = topic.split("-")[1]
        self._rng = random.Random(f"desk {seed}")
        self._figures: dict[str, str] = {}
        self._ordered: dict[str, str] = {}
        self.orders: list[dict[str, Any]] = []
        """What was ordered: target, id, revision, name, id of the command."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    @property
    def customers(self) -> dict[str, str]:
        """The ids of the customers that stand for regions, by region."""
        return {region: self._customer_id(region) for region in self._ordered}

    def start(self) -> None:
        self._thread.start()

    def stand(self) -> str:
        """What it has read and ordered."""
        works = "at work" if self._thread.is_alive() else "not at work"
        return f"desk: {works}, {len(self._figures)} figures read, {len(self.orders)} orders"

    def finish(self, deadline_s: float) -> None:
        """Order the newest of every region; nothing comes after."""
        self.stop()
        self._regions.assign(self._places)  # the end of a partition is told once
        left = set(range(len(self._places)))

        def has_all() -> bool:
            left.difference_update(self._read())
            return not left

        eventually(has_all, deadline_s=deadline_s)
        for region in self._changed():
            self._order_region(region)
        self._commands.flush(deadline_s)

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        self.stop()
        self._regions.close()

    def _work(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            self._read()
            changed = self._changed()
            for region in self._rng.sample(changed, min(2, len(changed))):
                self._order_region(region)
                self._order_once(self._rng.choice(TARGETS))

    def _read(self) -> set[int]:
        """Take in what there is; return the partitions that have come to an end."""
        ended: set[int] = set()
        for message in self._regions.consume(10_000, 0.2):
            if message.error() is not None:
                if message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
            else:
                self._figures[message.key().decode()] = message.value().decode()
        return ended

    def _changed(self) -> list[str]:
        return sorted(
            region
            for region, figure in self._figures.items()
            if self._ordered.get(region) != figure
        )

    def _order_region(self, region: str) -> None:
        figure = self._figures[region]
        self._ordered[region] = figure
        version = int(figure.rpartition(":")[2])
        self._order("netsuite", self._customer_id(region), version, figure)

    def _customer_id(self, region: str) -> str:
        return f"cus-{self._run_id}{region}"

    def _order_once(self, target: str) -> None:
        self._order(target, f"one-{self._run_id}-{len(self.orders)}", 1, f"no. {len(self.orders)}")

    def _order(self, target: str, identity: str, revision: int, name: str) -> None:
        kind, content = _CONTENTS[target](identity, name)
        key = f"{kind.removeprefix('upsert_')}:{identity}"
        command = command_record(target, kind, key, revision, content)
        self._commands.send(command)
        order = {"target": target, "id": identity, "revision": revision, "name": name}
        self.orders.append(order | {"command_id": command["command_id"]})


def _customer(identity: str, name: str) -> tuple[str, dict[str, Any]]:
    return "upsert_customer", {
        "customer_id": identity,
        "name": name,
        "country_code": "DE",
        "currency": "EUR",
        "tax_number": None,
        "correlation_id": "cor-1",
    }


def _project(identity: str, name: str) -> tuple[str, dict[str, Any]]:
    return "upsert_project", project_content(identity, name)


_CONTENTS: Final[Mapping[str, Callable[[str, str], tuple[str, dict[str, Any]]]]] = {
    "netsuite": _customer,
    "float": _project,
}
