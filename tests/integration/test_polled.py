"""The poller as a process: real vendors over HTTP, real Kafka, faults and SIGKILL."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from confluent_kafka import TopicPartition
from typer.testing import CliRunner

from psastream.cli import app
from runtime.kafka import KafkaSettings, create_topics, make_consumer, spans_of
from runtime.registry import Registry
from runtime.serde import Serde
from sandbox.vendors.faults import FaultKind
from schemas.routing import partition_of
from schemas.topics import BOOKMARKS, SOURCE_ORDERS
from tests.support.catalogue import BY_NAME, CATALOGUE, SOURCES
from tests.support.eventually import eventually
from tests.support.stack import RunningStack
from tests.support.vendors import Vendors, vendors

__all__ = ["vendors"]

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60


@dataclass
class Pipeline:
    """A poller process between a vendor twin and the stack, and what its topics hold."""

    stack: RunningStack
    vendors: Vendors
    configs: list[Path]
    log_path: Path
    process: subprocess.Popen[bytes] | None = None
    metrics_port: int = 0
    _seen: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        addresses = self.stack.addresses
        self.kafka = KafkaSettings(bootstrap_servers=addresses.bootstrap_servers)
        self.registry = Registry(addresses.registry_url)
        self.serde = Serde(self.registry, SOURCES)

    def prepare(self) -> None:
        """Make the topics, and look only at what comes from now on: the stack is shared."""
        create_topics(
            self.kafka,
            [*SOURCES, BY_NAME["psa.dlq"], BOOKMARKS, SOURCE_ORDERS],
            replication_factor=1,
        )
        self.registry.register_catalogue(CATALOGUE)
        self._consumer = make_consumer(self.kafka, "test-polled")
        spans = spans_of(self.kafka, [topic.name for topic in SOURCES])
        self._consumer.assign([TopicPartition(*place, end) for place, (_, end) in spans.items()])

    def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.metrics_port = probe.getsockname()[1]
        environment = {
            **{name: value for name, value in os.environ.items() if "PSASTREAM" not in name},
            **self.vendors.environment,
            "PSASTREAM_BOOTSTRAP_SERVERS": self.stack.addresses.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": self.stack.addresses.registry_url,
            "PSASTREAM_METRICS_PORT": str(self.metrics_port),
        }
        files = [part for path in self.configs for part in ("--config", str(path))]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "connectors.polled", *files],
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def changes(self, topic: str) -> list[dict[str, Any]]:
        """Change events of a topic so far, in order within a row."""
        while messages := self._consumer.consume(500, timeout=0.3):
            for message in messages:
                assert message.error() is None
                row_id = self.serde.read_key(message.key())
                partitions = BY_NAME[message.topic()].partitions
                assert message.partition() == partition_of(row_id, partitions)
                change = {"id": row_id, **self.serde.read(message.value())}
                self._seen[message.topic()].append(change)
        return self._seen[topic]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._consumer.close()

    def state(self, topic: str) -> dict[str, Mapping[str, Any]]:
        rows: dict[str, Mapping[str, Any]] = {}
        for change in self.changes(topic):
            if change["op"] == "d":
                rows.pop(change["id"], None)
            else:
                rows[change["id"]] = change["after"]
        return rows

    def await_rows(self, topic: str, count: int) -> None:
        eventually(lambda: len(self.state(topic)) == count, deadline_s=DEADLINE_S)

    def await_changes(self, topic: str, *, more_than: int) -> None:
        eventually(lambda: len(self.changes(topic)) > more_than, deadline_s=DEADLINE_S)

    def metric(self, name: str, **labels: str) -> float:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith(f"{name}{{") and all(part in line for part in wanted)
        )


@contextmanager
def pipeline_of(
    stack: RunningStack, vendors: Vendors, directory: Path, **keys: object
) -> Iterator[Pipeline]:
    configs = []
    for vendor in ("salesforce", "netsuite", "float"):
        document = json.loads(
            (ROOT / "connectors" / "vendors" / vendor / "source.json").read_text()
        )
        document |= {
            "name": f"{vendor}-{directory.name}".replace("_", "-").lower(),
            "poll.interval.ms": 100,
            "page.size": 3,
            "retry.max.ms": 500,
            "requests.per.second": 200,
            **keys,
        }
        path = directory / f"{vendor}.json"
        path.write_text(json.dumps(document))
        configs.append(path)
    pipeline = Pipeline(stack, vendors, configs, directory / "poller.log")
    pipeline.prepare()
    try:
        yield pipeline
    finally:
        pipeline.close()
        sys.stderr.write(pipeline.log_path.read_text()[-6000:])


def account(vendors: Vendors, name: str, **fields: object) -> str:
    row = vendors.admin.create("salesforce", "Account", {"Name": name, **fields})
    return str(row["Id"])


def names(rows: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {str(row["Name"]) for row in rows.values()}


def test_every_object_of_every_vendor_arrives_and_a_quiet_source_publishes_nothing(
    stack: RunningStack, vendors: Vendors, tmp_path: Path
) -> None:
    admin = vendors.admin
    customer = account(vendors, "Acme")
    deal = {"AccountId": customer, "Name": "Deal", "StageName": "Proposal"}
    deal_id = admin.create("salesforce", "Opportunity", {**deal, "CloseDate": "2026-12-01"})["Id"]
    admin.create(
        "salesforce",
        "OpportunityLineItem",
        {"OpportunityId": deal_id, "Quantity": "10", "UnitPrice": "100.1"},
    )
    subsidiary = admin.create("netsuite", "subsidiary", {"name": "S", "currency": "EUR"})["id"]
    parent = admin.create("netsuite", "customer", {"externalid": "c-1", "companyname": "A"})["id"]
    job = {"externalid": "p-1", "parent": parent, "subsidiary": subsidiary, "currency": "EUR"}
    job_id = admin.create("netsuite", "job", job)["id"]
    for number in range(4):
        bill = {"externalid": f"t-{number}", "customer": job_id, "hours": "7.5", "rate": "100.10"}
        admin.create("netsuite", "timebill", {**bill, "trandate": "2026-01-02"})
    admin.invoice("p-1")
    person = admin.create("float", "people", {"name": "P", "email": "p@example.com"})["people_id"]
    admin.create("float", "roles", {"name": "R"})
    project = admin.create("float", "projects", {"name": "P"})["project_id"]
    task = {"people_id": person, "project_id": project, "hours": "7.5"}
    days = {"start_date": "2026-01-01", "end_date": "2026-01-02"}
    admin.create("float", "tasks", {**task, **days})
    admin.create("float", "timeoffs", {"people_ids": [person], **days})
    # Of another year than this one: without dates the vendor would not tell it.
    holiday = {"name": "H", "dates": ["2020-05-01"], "region": 1}
    admin.create("float", "public-holidays", holiday)
    admin.create("float", "holidays", {"name": "H", "date": "2026-06-05"})

    with pipeline_of(stack, vendors, tmp_path, **{"sweep.interval.ms": 300}) as pipeline:
        pipeline.start()
        expected = {
            topic.name: {"time_bill": 4, "invoice": 4}.get(topic.name.rpartition(".")[2], 1)
            for topic in SOURCES
            if topic.contract is not None
        }
        eventually(
            lambda: {name: len(pipeline.state(name)) for name in expected} == expected,
            deadline_s=DEADLINE_S,
        )
        duplicates = pipeline.metric("psastream_source_duplicates_total")
        eventually(
            lambda: pipeline.metric("psastream_source_duplicates_total") > duplicates + 50,
            deadline_s=DEADLINE_S,
        )
        assert {name: len(pipeline.changes(name)) for name in expected} == expected
        line = pipeline.changes("src.netsuite.invoice")[0]
        assert str(line["after"]["foreignamount"]) == "-750.750000"
        assert line["op"] == "r"
        assert line["source"]["table"] == "invoice"
        assert pipeline.end(signal.SIGTERM) == 0


def test_changes_deletes_and_late_rows_arrive(
    stack: RunningStack, vendors: Vendors, tmp_path: Path
) -> None:
    admin = vendors.admin
    kept, gone = account(vendors, "kept"), account(vendors, "gone")
    parent = admin.create("netsuite", "customer", {"externalid": "c-1", "companyname": "A"})["id"]
    job = admin.create("netsuite", "job", {"externalid": "p-1", "parent": parent})["id"]
    hour = {"customer": job, "hours": "1"}
    bills = [
        admin.create("netsuite", "timebill", {**hour, "externalid": f"t-{n}"}) for n in range(2)
    ]
    people = [admin.create("float", "people", {"name": f"P{n}"})["people_id"] for n in range(3)]
    with pipeline_of(stack, vendors, tmp_path, **{"sweep.interval.ms": 500}) as pipeline:
        pipeline.start()
        pipeline.await_rows("src.float.person", 3)
        eventually(
            lambda: len(pipeline.state("src.netsuite.time_bill")) == 2, deadline_s=DEADLINE_S
        )
        eventually(
            lambda: len(pipeline.state("src.salesforce.account")) == 2, deadline_s=DEADLINE_S
        )

        stamp = admin.update("salesforce", "Account", kept, {"Name": "renamed"})["SystemModstamp"]
        for number in range(7):  # a bulk job: more rows than a page share a stamp
            account(vendors, f"bulk {number}", SystemModstamp=stamp)
        admin.delete("salesforce", "Account", gone)
        admin.delete("netsuite", "timebill", bills[0]["id"])
        admin.delete("float", "people", people[0])

        wanted = {"renamed", *(f"bulk {number}" for number in range(7))}
        eventually(
            lambda: names(pipeline.state("src.salesforce.account")) == wanted,
            deadline_s=DEADLINE_S,
        )
        eventually(
            lambda: len(pipeline.state("src.netsuite.time_bill")) == 1, deadline_s=DEADLINE_S
        )
        eventually(
            lambda: set(pipeline.state("src.float.person")) == {str(p) for p in people[1:]},
            deadline_s=DEADLINE_S,
        )
        deleted = [c for c in pipeline.changes("src.float.person") if c["op"] == "d"]
        assert [(c["before"]["people_id"], c["after"]) for c in deleted] == [(people[0], None)]
        operations = [
            c["op"] for c in pipeline.changes("src.salesforce.account") if c["id"] in (kept, gone)
        ]
        assert sorted(operations) == ["d", "r", "r", "u"]


def test_an_implausible_mass_delete_is_refused(
    stack: RunningStack, vendors: Vendors, tmp_path: Path
) -> None:
    people = [vendors.admin.create("float", "people", {"name": f"P{n}"}) for n in range(8)]
    keys = {"sweep.interval.ms": 200, "max.delete.rows": 2, "max.delete.ratio": 0.5}
    with pipeline_of(stack, vendors, tmp_path, **keys) as pipeline:
        pipeline.start()
        pipeline.await_rows("src.float.person", 8)
        for person in people[1:]:
            vendors.admin.delete("float", "people", person["people_id"])
        eventually(
            lambda: pipeline.metric("psastream_source_refused_deletes", object="person") == 7,
            deadline_s=DEADLINE_S,
        )
        assert len(pipeline.state("src.float.person")) == 8


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.RATE_LIMITED,
        FaultKind.SERVER_ERROR,
        FaultKind.UNAVAILABLE,
        FaultKind.CONNECTION_RESET,
        FaultKind.HALF_PAGE,
        FaultKind.EXPIRED_TOKEN,
    ],
)
def test_nothing_is_lost_under_faults(
    kind: FaultKind, stack: RunningStack, vendors: Vendors, tmp_path: Path
) -> None:
    vendors.admin.create_many("netsuite", "customer", [{"companyname": f"C{n}"} for n in range(10)])
    vendors.admin.create_many("float", "projects", [{"name": f"P{n}"} for n in range(10)])
    for vendor in ("netsuite", "float"):
        vendors.admin.add_fault(vendor, kind, count=15, probability=0.5)
    with pipeline_of(stack, vendors, tmp_path) as pipeline:
        pipeline.start()
        eventually(
            lambda: len(pipeline.state("src.netsuite.customer")) == 10, deadline_s=DEADLINE_S
        )
        pipeline.await_rows("src.float.project", 10)
        assert vendors.admin.faults_drawn("netsuite")[kind.value] > 0
        assert len(pipeline.changes("src.netsuite.customer")) == 10


def test_a_removed_field_stops_only_its_object_until_it_is_back(
    stack: RunningStack, vendors: Vendors, tmp_path: Path
) -> None:
    vendors.admin.create("float", "people", {"name": "P"})
    vendors.admin.create("float", "projects", {"name": "first"})
    vendors.admin.remove_field("float", "people", "email")
    with pipeline_of(stack, vendors, tmp_path) as pipeline:
        pipeline.start()
        pipeline.await_rows("src.float.project", 1)
        eventually(
            lambda: (
                pipeline.metric("psastream_source_stopped", object="person", reason="schema") == 1
            ),
            deadline_s=DEADLINE_S,
        )
        assert pipeline.changes("src.float.person") == []
        vendors.admin.reset_fields("float")
        pipeline.await_rows("src.float.person", 1)


@pytest.mark.crash
def test_i2_a_killed_poller_loses_nothing_and_repeats_nothing(
    stack: RunningStack, vendors: Vendors, tmp_path: Path
) -> None:
    with pipeline_of(stack, vendors, tmp_path) as pipeline:
        expected = 0
        for round_number in range(4):
            vendors.admin.create_many(
                "salesforce",
                "Account",
                [{"Name": f"{round_number}-{number}"} for number in range(40)],
            )
            expected += 40
            pipeline.start()
            # Killed in the middle of its pages, wherever that is.
            pipeline.await_changes("src.salesforce.account", more_than=expected - 40)
            pipeline.end(signal.SIGKILL)
        pipeline.start()
        pipeline.await_rows("src.salesforce.account", expected)
        assert len(pipeline.changes("src.salesforce.account")) == expected


def test_a_second_poller_of_the_same_connectors_takes_over(
    stack: RunningStack, vendors: Vendors, tmp_path: Path
) -> None:
    with pipeline_of(stack, vendors, tmp_path) as pipeline:
        pipeline.start()
        account(vendors, "one")
        eventually(
            lambda: len(pipeline.state("src.salesforce.account")) == 1, deadline_s=DEADLINE_S
        )
        first = pipeline.process
        assert first is not None
        try:
            pipeline.start()
            account(vendors, "two")
            eventually(lambda: first.poll() == 1, deadline_s=DEADLINE_S)
        finally:
            first.kill()
            first.wait()
        eventually(
            lambda: len(pipeline.state("src.salesforce.account")) == 2, deadline_s=DEADLINE_S
        )
        assert len(pipeline.changes("src.salesforce.account")) == 2


def test_orders_are_carried_out_once_by_whichever_process_finds_them(
    stack: RunningStack, vendors: Vendors, tmp_path: Path
) -> None:
    people = [vendors.admin.create("float", "people", {"name": f"P{n}"}) for n in range(5)]
    addresses = stack.addresses
    environment = {
        "PSASTREAM_BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
        "PSASTREAM_REGISTRY_URL": addresses.registry_url,
    }

    def ask(*arguments: str) -> str:
        shown = CliRunner().invoke(app, ["connectors", *arguments], env=environment)
        assert shown.exit_code == 0, shown.output
        return shown.stdout

    def shown_of(person: str) -> list[str]:
        return [c["op"] for c in pipeline.changes("src.float.person") if c["id"] == person]

    def is_paused() -> bool:
        with suppress(URLError):  # a process that has just begun does not answer yet
            return pipeline.metric("psastream_source_paused", object="project") == 1
        return False

    kept, gone = (str(each["people_id"]) for each in people[:2])
    with pipeline_of(stack, vendors, tmp_path) as pipeline:
        pipeline.start()
        pipeline.await_rows("src.float.person", 5)

        ask("resync", "float", "person", "--yes", "--note", "a restore")
        eventually(lambda: shown_of(kept) == ["r", "r"], deadline_s=DEADLINE_S)
        pipeline.end(signal.SIGKILL)
        vendors.admin.delete("float", "people", people[1]["people_id"])
        ask("sweep", "float", "person")
        pipeline.start()
        eventually(lambda: shown_of(gone) == ["r", "r", "d"], deadline_s=DEADLINE_S)
        eventually(
            lambda: (
                ask("status", "float").count("float person") == 2
                and "not done" not in ask("status", "float")
                and "yet" not in ask("status", "float")
            ),
            deadline_s=DEADLINE_S,
        )

        assert "(a restore): done" in ask("status", "float")
        ask("pause", "float", "project")
        eventually(is_paused, deadline_s=DEADLINE_S)
        vendors.admin.create("float", "projects", {"name": "while it is paused"})
        pipeline.end(signal.SIGTERM)
        pipeline.start()
        eventually(is_paused, deadline_s=DEADLINE_S)
        assert pipeline.changes("src.float.project") == []
        ask("resume", "float", "project")
        pipeline.await_rows("src.float.project", 1)
        pipeline.await_changes("src.float.person", more_than=10)
        assert len(pipeline.changes("src.float.person")) == 11


def test_what_an_api_describes_otherwise_than_was_accepted_is_told_until_somebody_accepts_it(
    stack: RunningStack, vendors: Vendors, tmp_path: Path
) -> None:
    environment = {
        "PSASTREAM_BOOTSTRAP_SERVERS": stack.addresses.bootstrap_servers,
        "PSASTREAM_REGISTRY_URL": stack.addresses.registry_url,
        **vendors.environment,
    }

    def drift(*arguments: str) -> tuple[int, str]:
        command = ["connectors", "drift", "salesforce", "account", *arguments]
        shown = CliRunner().invoke(app, command, env=environment)
        return shown.exit_code, shown.output

    def counted() -> float:
        with suppress(URLError):  # a process that has just begun does not answer yet
            return pipeline.metric("psastream_source_drift", object="account", kind="new_field")
        return 0

    with pipeline_of(stack, vendors, tmp_path, **{"description.interval.ms": 1_000}) as pipeline:
        pipeline.start()
        eventually(lambda: "as accepted" in drift()[1], deadline_s=DEADLINE_S)
        assert drift("--source", str(pipeline.configs[0]))[0] == 0

        vendors.admin.add_field("salesforce", "Account", "Tier__c", "gold")
        asked = drift("--source", str(pipeline.configs[0]))
        assert asked == (1, "salesforce account: new_field: Tier__c is new (string)\n")
        eventually(lambda: counted() == 1, deadline_s=DEADLINE_S)
        eventually(lambda: drift() == asked, deadline_s=DEADLINE_S)

        code, said = drift("--accept", "--note", "of the sales team")
        assert code == 0 and said.endswith("1 accepted\n")
        assert drift()[0] == 0
        eventually(lambda: counted() == 0, deadline_s=DEADLINE_S)
        assert "poll.description_failed" not in pipeline.log_path.read_text()
