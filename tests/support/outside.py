"""A system from outside the repo at work: its database captured, beside an ERP that takes orders.

All parts are real but the ERP, which is the simulated NetSuite. Its projects are captured, its time
bills are not: a bill that shows locks its entry once an invoice line names it, so what is ordered
would follow from which came first, and not from the rows alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from confluent_kafka import Message, TopicPartition
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.debezium.client import ConnectClient, ConnectorFile, read_connector_file
from psastream.landscape import ANY_ADDRESSES, read_firm
from psastream.prove import Place, tallies_of
from runtime.kafka import KafkaSettings, create_topics, make_consumer, read_topic
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from sandbox.books.reading import Library
from sandbox.demo.parts import CONNECTORS, SINK_OVERRIDES, SOURCE_OVERRIDES
from sandbox.stack.settings import Part
from sandbox.vendors.client import VendorAdmin
from schemas.topics import PARTITIONS
from streams.engine import GroupSpec
from streams.engine.tally import Tally
from streams.groups import make_groups
from tests.support.eventually import eventually
from tests.support.outputs import published_truth
from tests.support.stack import RunningStack, running_stack, stack_directory, stack_settings
from tests.support.vendors import running_vendors
from tests.support.workshop import Truth

DEADLINE_S: Final = 180.0
SILENCE_S: Final = 1.0
"""So long nothing comes where nothing is left to come."""
COARSE_S: Final = 18
"""Seconds by which a time bill may differ from what was ordered: it shows hours at two digits."""
LOG_CHARACTERS: Final = 5_000
OURS: Final = ("worker", "poller", "dispatcher")
ERP: Final = "netsuite"
CAPTURED: Final = "subsidiary,customer,project"
ROLES: Final = {"salesforce": "crm", ERP: "erp", "float": "resource"}
VARIABLES: Final = {
    "HOST": "host",
    "PORT": "port",
    "USER": "user",
    "PASSWORD": "password",
    "DATABASE": "dbname",
}
"""How connector files name the parts of an address, after the name of their system."""


class Tail:
    """Every record of some topics, once, as they come."""

    def __init__(self, kafka: KafkaSettings, topics: Sequence[str]) -> None:
        self._consumer = make_consumer(kafka, "outside")
        self._consumer.assign(
            [TopicPartition(topic, number, 0) for topic in topics for number in range(PARTITIONS)]
        )

    def __iter__(self) -> Iterator[Message]:
        """Yield what is new until nothing more comes."""
        while messages := self._consumer.consume(10_000, timeout=SILENCE_S):
            for message in messages:
                assert message.error() is None, message.error()
                yield message


class Progress:
    """How far the workers are with what the topics hold."""

    def __init__(self, kafka: KafkaSettings, groups: Sequence[GroupSpec]) -> None:
        self._groups = {group.state_topic: group for group in groups}
        self._tallies: dict[str, dict[Place, Tally]] = {name: {} for name in self._groups}
        self._last: dict[Place, int] = {}
        read = {topic for group in groups for topic in group.handlers()}
        self._tail = Tail(kafka, [*self._groups, *sorted(read)])

    def consumed(self) -> int:
        """How many records of whatever topic were taken in."""
        self._read()
        tallies = [tally for found in self._tallies.values() for tally in found.values()]
        return sum(tally.accounting.consumed for tally in tallies)

    def is_over(self) -> bool:
        """Whether nothing comes any more, and all there is was taken in."""
        self._read()
        return all(
            place in tallies and self._last[place] < tallies[place].end
            for name, tallies in self._tallies.items()
            for place in self._last
            if place[0] in self._groups[name].handlers()
        )

    def _read(self) -> None:
        for message in self._tail:
            topic, partition = message.topic(), message.partition()
            if group := self._groups.get(topic):
                record = partition, message.key(), message.value()
                self._tallies[topic] |= tallies_of([record], group.handlers().keys())
            else:
                self._last[topic, partition] = message.offset()


@dataclass
class OutsideFirm:
    """The firm's processes, and what a test asks of them."""

    stack: RunningStack
    database: psycopg.Connection[Any]
    connector: ConnectorFile
    erp: VendorAdmin
    kafka: KafkaSettings
    progress: Progress
    serde: Serde = field(init=False)

    def __post_init__(self) -> None:
        addresses = self.stack.addresses
        self.serde = Serde(Registry(addresses.registry_url))
        self._library = Library(self.kafka, addresses.registry_url, self.erp, "")

    def hold(self, project_id: str) -> None:
        """Have the ERP hold a project under its canonical id."""
        customer = self.erp.create(ERP, "customer", {"companyname": "Builder"})
        job = {
            "companyname": project_id,
            "externalid": project_id,
            "parent": customer["id"],
            "currency": "EUR",
            "custentity_psa_tax_code": "V",
        }
        self.erp.create(ERP, "job", job)

    def register(self, **changes: str) -> None:
        """Have Connect run the connector, with some of its settings changed."""
        file = ConnectorFile(self.connector.name, {**self.connector.config, **changes})

        async def register() -> None:
            client = ConnectClient(self.stack.addresses.connect_url)
            try:
                await client.register(file)
            finally:
                await client.close()

        asyncio.run(register())

    def captured(self) -> Mapping[str, Any]:
        """How far the connector is, as Connect has kept it; empty before it has."""
        url = f"{self.stack.addresses.connect_url}/connectors/{self.connector.name}/offsets"
        with urllib.request.urlopen(url, timeout=30) as answer:
            offsets = json.loads(answer.read())["offsets"]
        return next((each["offset"] for each in offsets if each["offset"]), {})

    def is_streaming(self) -> bool:
        """Whether the connector has read what was there when it began, and follows changes."""
        captured = self.captured()
        return bool(captured) and "snapshot" not in captured

    def settle(self) -> None:
        """Wait until all that was committed in the database is captured and taken in."""
        target = self.one("SELECT pg_current_wal_lsn()")
        passed = sql.SQL(
            "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots"
            " WHERE slot_name = %s"
        )
        slot = self.connector.config["slot.name"]
        eventually(self.is_streaming, deadline_s=DEADLINE_S)
        eventually(lambda: self.one(passed, str(target), slot), deadline_s=DEADLINE_S)
        eventually(self.progress.is_over, deadline_s=DEADLINE_S)

    def published(self) -> Truth:
        """What the product says, and what it orders by its last commands."""
        commands = read_topic(self.kafka, f"psa.command.{ERP}")
        return published_truth(
            self._library.published("psa.metric.project_margin"),
            self._library.published("psa.metric.utilization"),
            [self.serde.read(value) for each in commands if (value := each.value()) is not None],
        )

    def dead_letters(self) -> set[tuple[str, str]]:
        """Of which topics records were refused, and why."""
        values = [each.value() for each in read_topic(self.kafka, "psa.dlq")]
        letters = [self.serde.read(value) for value in values if value is not None]
        return {(each["topic"], each["detail"]) for each in letters}

    def unbilled(self, orders: Mapping[str, Sequence[Any]]) -> list[str]:
        """Those of some orders of which the ERP holds no time bill."""
        books = self.erp.books()[ERP]
        jobs = {job["id"]: job["externalid"] for job in books["job"]}
        held: dict[str, list[Mapping[str, Any]]] = {}
        for bill in books["timebill"]:
            key = f"{bill['custcol_psa_time_entry']}|{bill['custcol_psa_project']}"
            held.setdefault(key, []).append(bill)

        def is_held(key: str, order: Sequence[Any]) -> bool:
            project, day, seconds, rate, currency = order
            return any(
                (jobs[bill["customer"]], bill["trandate"]) == (project, day)
                and (Decimal(bill["rate"]), bill["custcol_psa_currency"]) == (rate, currency)
                and abs(Decimal(bill["hours"]) * 3_600 - seconds) <= COARSE_S
                for bill in held.get(key, [])
            )

        return [key for key, order in orders.items() if not is_held(key, order)]

    def one(self, query: sql.SQL | str, *values: object) -> Any:
        """The first column of a query's first row; None where there is no row."""
        row = self.database.execute(query, values).fetchone()
        return None if row is None else row[0]


@contextmanager
def outside_database(name: str) -> Iterator[str]:
    """A PostgreSQL of a system's own; the address of an empty database in it."""
    postgres = frozenset({Part.POSTGRES})
    with (
        stack_directory() as directory,
        running_stack(stack_settings(directory, os.environ, postgres)) as stack,
    ):
        dsn = stack.addresses.postgres_dsn
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(dsn, dbname=name)


@contextmanager
def running_firm(folder: Path, dsn: str) -> Iterator[OutsideFirm]:
    """Start everything but the connector; `folder` is the system, its PSA, `dsn` its database."""
    connector = read_connector_file(folder / "connector.json")
    with (
        stack_directory() as directory,
        psycopg.connect(dsn, autocommit=True) as database,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in address_of(folder.name, dsn).items():
            patch.setenv(name, value)
        parts = frozenset({Part.KAFKA, Part.REGISTRY, Part.CONNECT})
        settings = stack_settings(directory / "stack", os.environ, parts)
        variables = {"connector_variables": connector.variables}
        with (
            running_stack(settings.model_copy(update=variables)) as stack,
            running_vendors(directory / "vendors") as vendors,
        ):
            vendors.admin.lift_rate_limits()
            firm_is = _landscape(directory, folder)
            kafka, progress = _prepare(stack, firm_is)
            _start(stack, {**vendors.environment, **firm_is}, directory)
            try:
                yield OutsideFirm(stack, database, connector, vendors.admin, kafka, progress)
            finally:
                for name in OURS:  # shown where a test fails
                    sys.stderr.write(f"-- {name}\n{stack.log(name)[-LOG_CHARACTERS:]}\n")


def address_of(system: str, dsn: str) -> dict[str, str]:
    """The variables by which connector files know the address of a system's database."""
    address = conninfo_to_dict(dsn)
    return {
        f"{system.upper()}_{name}": str(address.get(part) or "") for name, part in VARIABLES.items()
    }


def _landscape(directory: Path, folder: Path) -> dict[str, str]:
    """Write the firm's landscape; return the variables that name it and the system."""
    systems = {name: {"role": role} for name, role in {**ROLES, folder.name: "psa"}.items()}
    path = directory / "landscape.yaml"
    path.write_text(json.dumps({"systems": systems}))  # which is YAML, too
    return {"PSASTREAM_LANDSCAPE": str(path), "PSASTREAM_SYSTEMS": str(folder)}


def _prepare(stack: RunningStack, firm_is: Mapping[str, str]) -> tuple[KafkaSettings, Progress]:
    """Create the firm's topics and register its contracts."""
    kafka = KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)
    registry = Registry(stack.addresses.registry_url)
    firm = read_firm(Settings.from_env({**ANY_ADDRESSES, **firm_is}))
    create_topics(kafka, firm.topics, replication_factor=1)
    registry.register_catalogue(firm.topics)
    return kafka, Progress(kafka, make_groups(firm.mappings, registry, firm.landscape))


def _start(stack: RunningStack, environment: Mapping[str, str], directory: Path) -> None:
    """Start our processes."""
    commands = {
        "worker": ["worker"],
        "poller": ["poll", "--config", _config(directory, "source", SOURCE_OVERRIDES)],
        "dispatcher": ["dispatch", "--config", _config(directory, "sink", SINK_OVERRIDES)],
    }
    for name, command in commands.items():
        variables = {
            **environment,
            "PSASTREAM_BOOTSTRAP_SERVERS": stack.addresses.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": stack.addresses.registry_url,
            "PSASTREAM_DATA_DIR": str(directory / name),
        }
        stack.start_process(name, [sys.executable, "-m", "psastream", *command], env=variables)


def _config(directory: Path, kind: str, overrides: Mapping[str, object]) -> str:
    """Write the shipped connector file of the ERP, at a story's pace."""
    document = json.loads((CONNECTORS / "vendors" / ERP / f"{kind}.json").read_text())
    if kind == "source":
        document["object.include.list"] = CAPTURED
    path = directory / f"{ERP}-{kind}.json"
    path.write_text(json.dumps({**document, **overrides}))
    return str(path)
