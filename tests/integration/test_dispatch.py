"""The dispatcher as a process, between Kafka and the vendor twin over HTTP.

What counts is the twin's log of effects: every command must be in it exactly once, whatever is
killed, lost, refused or replayed.
"""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner, Result

from connectors.dispatch.decisions import DECISIONS
from connectors.dispatch.dispatcher import GROUP_ID
from connectors.dispatch.refusals import HOLD_AFTER
from connectors.dispatch.signals import REQUESTS
from psastream.cli import app
from runtime.kafka import KafkaSettings, create_topics, make_producer, read_compacted, read_topic
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.routing import partition_of
from tests.support.catalogue import BY_NAME, CATALOGUE, COMMANDS
from tests.support.commands import command_record, project_content
from tests.support.eventually import eventually
from tests.support.sinks import KillPoint
from tests.support.stack import RunningStack
from tests.support.vendors import Vendors, vendors
from tests.unit.streams.test_metrics_port import free_port

__all__ = ["vendors"]  # the fixture

pytestmark = pytest.mark.stack

ROOT: Final = Path(__file__).parents[2]
DEADLINE_S: Final = 60.0
RELEASED_S: Final = 40.0
"""Less than the first pause after which what is refused is tried again by itself."""
FAST: Final = {
    "request.timeout.ms": 1_000,
    "settle.ms": 200,
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 200,
    "auth.retry.ms": 200,
    "requests.per.second": None,
}


class Bench:
    """Command topics, a dispatcher process to start and kill, and what came of the commands."""

    def __init__(self, stack: RunningStack, vendors: Vendors, directory: Path) -> None:
        self.vendors = vendors
        self.kafka = KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)
        self._registry_url = stack.addresses.registry_url
        create_topics(self.kafka, COMMANDS, replication_factor=1)
        registry = Registry(self._registry_url)
        registry.register_catalogue(CATALOGUE)
        self._serde = Serde(registry)
        self._producer = make_producer(self.kafka)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self._replicas: list[subprocess.Popen[bytes]] = []
        self._configs = [self._config(vendor) for vendor in ("netsuite", "float")]
        self.run_id = uuid.uuid4().hex[:8]

    def _config(self, vendor: str) -> Path:
        shipped = json.loads((ROOT / "connectors" / "vendors" / vendor / "sink.json").read_text())
        path = self._directory / f"{vendor}.json"
        path.write_text(json.dumps(shipped | FAST))
        return path

    def require_approval(self, bounds: dict[str, dict[str, str]]) -> None:
        """Of commands to NetSuite, from the next start on."""
        path = self._configs[0]
        path.write_text(json.dumps(json.loads(path.read_text()) | {"approval": bounds}))

    def shadow(self, *kinds: str) -> None:
        """Have kinds of commands to NetSuite looked up alone, from the next start on."""
        path = self._configs[0]
        path.write_text(json.dumps(json.loads(path.read_text()) | {"shadow": kinds}))

    def decided(self, natural_key: str) -> list[dict[str, Any]]:
        """What people have decided about a command."""
        values = (message.value() for message in read_topic(self.kafka, DECISIONS))
        told = [self._serde.read(value) for value in values if value is not None]
        return [each for each in told if each["natural_key"] == natural_key]

    def start(self, *, kill_at: KillPoint | None = None, kill_on: str = "") -> None:
        options = [] if kill_at is None else ["--kill-at", kill_at, "--kill-on", kill_on]
        # By its name a restart takes over at once.
        variables = {"PSASTREAM_INSTANCE_ID": "bench", "PSASTREAM_METRICS_PORT": str(self._port)}
        self._process = self._run("dispatcher", options, variables)

    def start_replica(
        self, name: str, *, instance_id: str | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one more dispatcher with a log of its own, unnamed unless told otherwise."""
        named = {"PSASTREAM_INSTANCE_ID": instance_id} if instance_id else {}
        replica = self._run(name, [], named)
        self._replicas.append(replica)
        return replica

    def _run(
        self, name: str, options: list[str], variables: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.support.sinks"]
        for path in self._configs:
            command += ["--config", str(path)]
        environment = {
            **os.environ,
            **self.vendors.environment,
            "PSASTREAM_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": self._registry_url,
            **variables,
        }
        with (self._directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *options], stdout=log, stderr=log, env=environment, cwd=ROOT
            )

    def wait_for_death(self) -> None:
        assert self._process is not None
        assert self._process.wait(timeout=DEADLINE_S) == -signal.SIGKILL, self.log()

    def stop(self) -> int:
        """Ask the process to end, as Kubernetes does; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=DEADLINE_S)

    def end(self) -> None:
        for process in (self._process, *self._replicas):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    def log(self, name: str = "*") -> str:
        logs = sorted(self._directory.glob(f"{name}.log"))
        return "\n".join(path.read_text(errors="replace") for path in logs)

    def send(self, *commands: dict[str, Any]) -> None:
        for command in commands:
            topic = f"psa.command.{command['target']}"
            partitions = BY_NAME[topic].partitions
            self._producer.produce(
                topic,
                key=self._serde.key(topic, command["natural_key"]),
                value=self._serde.value(topic, command),
                partition=partition_of(command["natural_key"], partitions),
            )
        assert self._producer.flush(10) == 0

    def results(self) -> dict[str, list[dict[str, Any]]]:
        """Results by command id, in the order they were written."""
        found: dict[str, list[dict[str, Any]]] = {}
        for message in read_topic(self.kafka, "psa.command_result"):
            record = self._serde.read(message.value())
            found.setdefault(record["command_id"], []).append(record)
        return found

    def statuses(self, *commands: dict[str, Any]) -> list[str]:
        """The status of every command, once all are settled."""

        def settled() -> dict[str, list[dict[str, Any]]] | None:
            assert self._process is None or self._process.poll() is None, self.log()
            results = self.results()
            return results if all(it["command_id"] in results for it in commands) else None

        results = eventually(settled, deadline_s=DEADLINE_S)
        assert results is not None
        return [results[command["command_id"]][-1]["status"] for command in commands]

    def exceptions(self) -> dict[str, dict[str, Any]]:
        rows = read_compacted(self.kafka, "psa.exception").values()
        return {row["exception_id"]: row for row in map(self._serde.read, rows)}

    def shows(self, sample: str) -> bool:
        """Whether the dispatcher serves this line among its metrics; not as long as it starts."""
        try:
            served = httpx2.get(f"http://127.0.0.1:{self._port}/metrics", timeout=10).text
        except httpx2.ConnectError:
            return False
        return sample in served.splitlines()

    def requests(self, exception_id: str) -> list[dict[str, Any]]:
        """What people have asked about an exception."""
        values = (message.value() for message in read_topic(self.kafka, REQUESTS))
        told = [self._serde.read(value) for value in values if value is not None]
        return [each for each in told if each["exception_id"] == exception_id]

    def psastream(self, *arguments: str) -> Result:
        """Run a command of an operator's."""
        environment = {
            "PSASTREAM_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": self._registry_url,
        }
        return CliRunner().invoke(app, arguments, env=environment)

    def effects(self) -> Counter[tuple[str, str, str | None]]:
        """How often each (type, operation, external id) was carried out."""
        return Counter(
            (effect.record_type, effect.operation, effect.external_id)
            for effect in self.vendors.admin.effects()
        )

    def unread(self) -> int:
        """Commands whose offset is not committed."""
        admin = AdminClient(self.kafka.client())
        [future] = admin.list_consumer_group_offsets([_group_request()]).values()
        committed = {
            (part.topic, part.partition): part.offset for part in future.result().topic_partitions
        }
        return sum(
            1
            for target in ("netsuite", "float")
            for message in read_topic(self.kafka, f"psa.command.{target}")
            if message.offset() >= committed.get((message.topic(), message.partition()), 0)
        )

    def forget_offsets(self) -> bool:
        """Make the next dispatcher read all commands from the start; False while one is known.

        The group remembers a static member for its session time-out.
        """
        admin = AdminClient(self.kafka.client())
        [future] = admin.delete_consumer_groups([GROUP_ID]).values()
        try:
            future.result()
        except KafkaException as error:
            assert error.args[0].code() == KafkaError.NON_EMPTY_GROUP, error
            return False
        return True

    def customer(self, name: str, *, revision: int = 1) -> dict[str, Any]:
        customer_id = f"cus-{self.run_id}{name}"
        content = {
            "customer_id": customer_id,
            "name": f"{name} {revision}",
            "country_code": "DE",
            "currency": "EUR",
            "tax_number": None,
            "correlation_id": "cor-1",
        }
        return command_record(
            "netsuite", "upsert_customer", f"customer:{customer_id}", revision, content
        )

    def project(self, name: str, *, revision: int, tax_code: str | None) -> dict[str, Any]:
        project_id = f"eng-{self.run_id}{name}-de"
        customer = f"cus-{self.run_id}{name}"
        content = project_content(
            project_id, name, customer_id=customer, legal_entity_id="1", tax_code=tax_code
        )
        command = command_record(
            "netsuite", "upsert_project", f"project:{project_id}", revision, content
        )
        return command | {"amount": Decimal("125000.50"), "currency": "EUR"}

    def plan(self, name: str, *, revision: int = 1) -> dict[str, Any]:
        project_id = f"eng-{self.run_id}{name}-de"
        content = project_content(project_id, f"{name} {revision}")
        return command_record("float", "upsert_project", f"project:{project_id}", revision, content)


def _group_request() -> Any:
    return ConsumerGroupTopicPartitions(GROUP_ID)


@pytest.fixture
def bench(stack: RunningStack, vendors: Vendors, tmp_path: Path) -> Iterator[Bench]:
    it = Bench(stack, vendors, tmp_path)
    vendors.admin.create(
        "netsuite", "subsidiary", {"name": "Tern GmbH", "country": "DE", "currency": "EUR"}
    )
    try:
        yield it
    finally:
        it.end()


def once(kind: str, commands: list[dict[str, Any]], id_field: str) -> Counter[Any]:
    return Counter((kind, "create", json.loads(it["payload"])[id_field]) for it in commands)


def test_i8_faults_of_both_targets_leave_one_effect_each(bench: Bench) -> None:
    customers = [bench.customer(f"f{number}") for number in range(15)]
    plans = [bench.plan(f"f{number}") for number in range(5)]
    for vendor in ("netsuite", "float"):
        admin = bench.vendors.admin
        admin.add_fault(vendor, "commit_then_timeout", count=2, delay_s=5.0)
        for kind in ("rate_limited", "server_error", "unavailable", "connection_reset"):
            admin.add_fault(vendor, kind, count=3, scope="any")
    bench.start()
    bench.send(*customers, *plans)

    statuses = Counter(bench.statuses(*customers, *plans))

    assert statuses.keys() <= {"succeeded", "adopted"}
    assert statuses["adopted"] >= 2
    assert bench.effects() == once("customer", customers, "customer_id") + once(
        "project", plans, "project_id"
    )
    eventually(lambda: bench.unread() == 0, deadline_s=DEADLINE_S)
    assert bench.stop() == 0, bench.log()


@pytest.mark.crash
@pytest.mark.parametrize("point", KillPoint)
@pytest.mark.parametrize("kind", ["upsert_customer", "upsert_project"])
def test_i8_a_dispatcher_killed_at_any_point_leaves_one_effect_each(
    bench: Bench, point: KillPoint, kind: str
) -> None:
    customers = [bench.customer(f"k{number}") for number in range(3)]
    plans = [bench.plan(f"k{number}") for number in range(3)]
    bench.send(*customers, *plans)
    bench.start(kill_at=point, kill_on=kind)
    bench.wait_for_death()

    bench.start()
    statuses = bench.statuses(*customers, *plans)

    assert set(statuses) <= {"succeeded", "adopted"}
    assert bench.effects() == once("customer", customers, "customer_id") + once(
        "project", plans, "project_id"
    )
    eventually(lambda: bench.unread() == 0, deadline_s=DEADLINE_S)


def test_i8_a_replay_of_all_commands_has_no_effect(bench: Bench) -> None:
    customers = [bench.customer(f"r{number}") for number in range(5)]
    bench.start()
    bench.send(*customers)
    bench.statuses(*customers)
    eventually(lambda: bench.unread() == 0, deadline_s=DEADLINE_S)
    assert bench.stop() == 0, bench.log()
    effects, results = bench.effects(), bench.results()

    eventually(bench.forget_offsets, deadline_s=DEADLINE_S)
    bench.start()
    eventually(lambda: bench.unread() == 0, deadline_s=DEADLINE_S)

    assert bench.effects() == effects
    assert bench.results() == results


def test_a_rejection_waits_for_a_person_and_is_resolved_by_the_next_revision(
    bench: Bench,
) -> None:
    refused = bench.project("x", revision=1, tax_code=None)
    bench.start()
    bench.send(bench.customer("x"))
    bench.statuses(bench.customer("x"))
    bench.send(refused)

    assert bench.statuses(refused) == ["rejected"]
    exception = bench.exceptions()[f"netsuite:{refused['natural_key']}"]
    assert exception["status"] == "open"
    assert exception["field"] == "custentity_psa_tax_code"
    assert "subsidiary" in exception["hint"]
    assert (exception["amount"], exception["currency"]) == (Decimal("125000.500000"), "EUR")

    mended = bench.project("x", revision=2, tax_code="DE-19")
    bench.send(mended)

    assert bench.statuses(mended) == ["succeeded"]
    assert bench.exceptions()[f"netsuite:{refused['natural_key']}"]["status"] == "resolved"


@pytest.mark.crash
@pytest.mark.fault("D15", place="connectors/dispatch/dispatcher.py")
def test_d15_replicas_on_one_host_joined_killed_and_frozen_leave_one_effect_each(
    bench: Bench,
) -> None:
    """Two unnamed dispatchers share the work; one is killed, then the other stands still."""
    commands = [bench.customer(f"d{number}") for number in range(40)]
    plans = [bench.plan(f"d{number}") for number in range(8)]
    bench.vendors.admin.add_fault("float", "commit_then_timeout", count=2, delay_s=1.5)
    first = bench.start_replica("first")
    bench.send(*commands[:10], *plans[:2])
    bench.statuses(*commands[:10], *plans[:2])
    second = bench.start_replica("second")
    bench.send(*commands[10:20], *plans[2:4])
    bench.statuses(*commands[10:20], *plans[2:4])

    first.kill()
    bench.send(*commands[20:30], *plans[4:6])
    bench.statuses(*commands[20:30], *plans[4:6])
    third = bench.start_replica("third")
    second.send_signal(signal.SIGSTOP)  # for longer than its session
    bench.send(*commands[30:], *plans[6:])
    bench.statuses(*commands[30:], *plans[6:])
    second.send_signal(signal.SIGCONT)
    newer = [bench.customer(f"d{number}", revision=2) for number in range(40)]
    bench.send(*newer)
    bench.statuses(*newer)

    assert second.poll() is None, bench.log()
    assert third.poll() is None, bench.log()
    creates = [effect for effect in bench.effects().items() if effect[0][1] == "create"]
    assert Counter(dict(creates)) == once("customer", commands, "customer_id") + once(
        "project", plans, "project_id"
    )
    updates = [
        count for (_, operation, _), count in bench.effects().items() if operation != "create"
    ]
    assert updates == [1] * len(newer)
    results = bench.results()
    assert all(results[it["command_id"]][-1]["revision"] == it["revision"] for it in newer)


def test_other_keys_flow_while_one_is_retried(bench: Bench) -> None:
    """While it is, it is overdue, with the money that it moves."""
    since = datetime.now(UTC) - timedelta(minutes=6)
    money = {"amount": Decimal("12.50"), "currency": "EUR"}
    stuck = bench.customer("stuck") | money | {"issued_at": since}
    others = [bench.customer(f"o{number}") for number in range(5)]
    stuck_id = json.loads(stuck["payload"])["customer_id"]
    bench.vendors.admin.add_fault("netsuite", "unavailable", path=stuck_id)
    bench.start()
    bench.send(stuck, *others)

    assert set(bench.statuses(*others)) == {"succeeded"}
    assert stuck["command_id"] not in bench.results()
    overdue = 'psastream_commands_overdue{kind="upsert_customer",target="netsuite"} 1.0'
    eventually(lambda: bench.shows(overdue), deadline_s=DEADLINE_S)
    assert bench.shows('psastream_commands_overdue_money{currency="EUR",target="netsuite"} 12.5')
    assert bench.stop() == 0, bench.log()
    assert bench.unread() >= 1

    bench.vendors.admin.clear_faults("netsuite")
    bench.start()
    assert bench.statuses(stuck) == ["succeeded"]
    assert bench.effects()[("customer", "create", stuck_id)] == 1


def test_what_is_held_back_is_released_by_a_person(bench: Bench) -> None:
    """Without a right all are refused, then not even sent; `exceptions release` has one sent."""
    bench.vendors.admin.configure("netsuite", denied_records=("customer",))
    refused = [bench.customer(f"h{number}") for number in range(HOLD_AFTER)]
    held = [bench.customer(f"h{number}") for number in range(HOLD_AFTER, HOLD_AFTER + 2)]
    bench.start()
    bench.send(*refused)
    assert set(bench.statuses(*refused)) == {"rejected"}
    bench.send(*held)
    assert bench.statuses(*held) == ["rejected", "rejected"]
    ids = [f"netsuite:{each['natural_key']}" for each in (*refused, *held)]
    assert [bench.exceptions()[each]["is_held"] for each in (ids[0], *ids[-2:])] == [
        False, True, True,
    ]  # fmt: skip

    unheld = bench.psastream("exceptions", "release", ids[0], "--yes")
    assert (unheld.exit_code, "not held back" in unheld.stderr) == (2, True)
    bench.vendors.admin.configure("netsuite", denied_records=())
    dry = bench.psastream("exceptions", "release", ids[-1], "--dry-run")
    assert dry.stdout.splitlines()[-1] == "nothing was done: a dry run"
    done = bench.psastream("exceptions", "release", ids[-1], "--yes", "--note", "right is back")
    assert (done.exit_code, done.stdout.splitlines()[0].split()[0]) == (0, ids[-1]), done.output

    eventually(lambda: bench.exceptions()[ids[-1]]["status"] == "resolved", deadline_s=RELEASED_S)
    assert bench.statuses(held[-1]) == ["succeeded"]
    assert bench.effects()["customer", "create", f"cus-{bench.run_id}h{HOLD_AFTER + 1}"] == 1
    [request] = bench.requests(ids[-1])
    assert request["note"] == "right is back"
    # Those are taken, so the rest follows, and each is sent once.
    eventually(lambda: set(bench.statuses(*refused, *held)) == {"succeeded"}, deadline_s=DEADLINE_S)
    assert bench.effects() == once("customer", [*refused, *held], "customer_id")


def test_what_a_person_stops_is_sent_by_no_dispatcher_until_it_is_started(bench: Bench) -> None:
    """Two of them, then a restart: the stop holds for all, and all that waited goes out once."""
    before = [bench.customer(f"s{number}") for number in range(10)]
    bench.start()
    bench.start_replica("second")
    bench.send(*before)
    assert set(bench.statuses(*before)) == {"succeeded"}
    done = bench.psastream(
        "commands", "stop", "netsuite", "--kind", "upsert_customer", "--note", "wrong names"
    )
    assert done.exit_code == 0, done.output
    stopped = 'psastream_commands_stopped{kind="upsert_customer",target="netsuite"} 1.0'
    eventually(lambda: bench.shows(stopped), deadline_s=DEADLINE_S)
    eventually(lambda: "dispatch.stopped" in bench.log("second"), deadline_s=DEADLINE_S)

    waiting = [bench.customer(f"s{number}", revision=2) for number in range(20)]
    plans = [bench.plan(f"s{number}") for number in range(5)]
    bench.send(*waiting, *plans)  # what is sent to other targets shows that all were read
    assert set(bench.statuses(*plans)) == {"succeeded"}
    assert bench.stop() == 0, bench.log()
    bench.start()
    more = bench.plan("more")
    bench.send(more)
    assert bench.statuses(more) == ["succeeded"]
    eventually(lambda: bench.shows(stopped), deadline_s=DEADLINE_S)
    listed = bench.psastream("commands", "list", "--target", "netsuite")
    assert "waiting  stopped  upsert_customer" in listed.stdout
    assert "upsert_customer of netsuite is stopped since" in listed.stdout
    assert "wrong names" in listed.stdout
    assert bench.effects() == once("customer", before, "customer_id") + once(
        "project", [*plans, more], "project_id"
    )

    refused = bench.psastream("commands", "start", "netsuite", "--yes")
    assert (refused.exit_code, "netsuite is not stopped" in refused.stderr) == (2, True)
    started = bench.psastream("commands", "start", "netsuite", "--kind", "upsert_customer", "--yes")
    assert started.exit_code == 0, started.output
    assert set(bench.statuses(*waiting)) == {"succeeded"}
    customers = {key: count for key, count in bench.effects().items() if key[0] == "customer"}
    assert set(customers.values()) == {1}
    eventually(lambda: bench.unread() == 0, deadline_s=DEADLINE_S)


def test_what_moves_much_money_is_sent_once_somebody_has_approved_what_it_says(
    bench: Bench,
) -> None:
    bench.require_approval({"upsert_project": {"EUR": "125000.50"}})
    first = bench.project("ap", revision=1, tax_code="DE-19")
    second = bench.project("ap", revision=2, tax_code="DE-7")  # or it would be found, and adopted
    key, project = first["natural_key"], f"eng-{bench.run_id}ap-de"
    bench.start()
    bench.send(bench.customer("ap"))
    bench.statuses(bench.customer("ap"))
    bench.send(first)
    assert bench.statuses(first) == ["rejected"]
    exception = bench.exceptions()[f"netsuite:{key}"]
    assert (exception["error_code"], exception["is_held"]) == ("APPROVAL_REQUIRED", True)
    assert "commands approve" in exception["hint"]
    for unfit in ("release", "--yes"), ("retry",):
        told = bench.psastream("exceptions", unfit[0], f"netsuite:{key}", *unfit[1:])
        assert (told.exit_code, "commands approve" in told.stderr) == (2, True)
    assert bench.effects()["job", "create", project] == 0

    done = bench.psastream("commands", "approve", key, "--yes", "--note", "as agreed")
    assert done.exit_code == 0 and "125,000.50 EUR" in done.stdout, done.output
    eventually(lambda: bench.statuses(first) == ["succeeded"], deadline_s=RELEASED_S)
    assert bench.effects()["job", "create", project] == 1

    bench.send(second)  # nobody has seen what it says
    assert bench.statuses(second) == ["rejected"]
    effects = bench.effects()
    refused = bench.psastream("commands", "refuse", key, "--yes", "--note", "wrong rate")
    assert refused.exit_code == 0, refused.output
    eventually(
        lambda: bench.exceptions()[f"netsuite:{key}"]["error_code"] == "APPROVAL_REFUSED",
        deadline_s=RELEASED_S,
    )
    assert "wrong rate" in bench.exceptions()[f"netsuite:{key}"]["detail"]
    assert bench.effects() == effects
    assert [(each["decision"], each["command_id"]) for each in bench.decided(key)] == [
        ("approved", first["command_id"]),
        ("refused", second["command_id"]),
    ]


def test_what_is_in_shadow_is_written_once_it_is_over_and_only_the_newest(bench: Bench) -> None:
    """Other kinds and targets go on meanwhile."""
    there, changed = bench.customer("w1"), bench.customer("w2")
    newest = bench.customer("w2", revision=2)
    plans = [bench.plan(f"w{number}") for number in range(3)]
    bench.shadow("upsert_customer")
    bench.start()
    bench.send(there, changed, *plans)
    assert set(bench.statuses(there, changed)) == {"rejected"}
    bench.send(newest)
    assert bench.statuses(newest) == ["rejected"]
    assert set(bench.statuses(*plans)) == {"succeeded"}
    assert bench.effects() == once("project", plans, "project_id")
    shadowed = (
        'psastream_commands_shadowed{kind="upsert_customer",plan="create",target="netsuite"} 2.0'
    )
    eventually(lambda: bench.shows(shadowed), deadline_s=DEADLINE_S)
    listed = bench.psastream("commands", "list", "--target", "netsuite", "--state", "held")
    assert "held  would create  upsert_customer" in listed.stdout
    exceptions = bench.psastream("exceptions", "list")
    assert "2 in shadow" in exceptions.stdout

    assert bench.stop() == 0, bench.log()
    bench.shadow()
    bench.start()
    eventually(
        lambda: bench.statuses(there, newest) == ["succeeded", "succeeded"], deadline_s=RELEASED_S
    )
    assert bench.effects() == once("customer", [there, newest], "customer_id") + once(
        "project", plans, "project_id"
    )
