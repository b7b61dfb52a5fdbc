"""The whole product on real parts, for tests that disturb it while it works.

Starts every process once and keeps them alive as an orchestrator would. Sources are fed through
the vendors' admin client and the PSA's tables; results are read from topics and metrics.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from connectors.debezium.client import ConnectClient, RestartBudget, heal
from connectors.toolkit.faults import VendorRejectedError
from runtime.kafka import make_producer, read_topic
from runtime.serde import Serde
from runtime.settings import MASTER_KEYS, Settings
from sandbox.books.audit import audit
from sandbox.books.reading import Library
from sandbox.demo.options import DemoOptions, StoryLandscape
from sandbox.demo.parts import Parts, start_parts
from sandbox.stack.settings import StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from sandbox.story.act import Act, Stage, play
from sandbox.story.acts import ACTS
from sandbox.story.crm import CRMS
from sandbox.story.erps import ERPS
from sandbox.story.inhouse import Inhouse
from sandbox.story.resources import RESOURCE_TOOLS
from sandbox.story.world import Cast, World
from sandbox.vendors.client import VendorAdmin
from schemas.errors import TransientError
from tests.support.eventually import eventually
from tests.support.stack import RunningStack, running_stack, stack_directory

DEADLINE_S: Final = 120.0
RESTART_PAUSE_S: Final = 1.0
HEAL_INTERVAL_S: Final = 2.0
HEAL_RESTARTS: Final = 20
OURS: Final = ("worker", "poller", "dispatcher")
LOG_CHARACTERS: Final = 5_000
LANDSCAPE: Final = StoryLandscape()
IMPATIENCE: Final[Mapping[str, object]] = {"request.timeout.ms": 3_000, "retry.max.ms": 3_000}
"""Let sources give up on an answer, and try again after a failure, within seconds."""


@dataclass
class RunningSystem:
    """All processes, and what a test does to them. `restarted` names parts that gave up, in order.

    `world` holds the story's cast; its PSA connection ends with PostgreSQL (`reconnect_psa`).
    """

    stack: RunningStack
    parts: Parts
    world: World
    restarted: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    """Parts that are down on purpose: where they end, they are not started again."""
    serde: Serde = field(kw_only=True)

    @property
    def admin(self) -> VendorAdmin:
        return self.world.admin

    @property
    def database(self) -> Inhouse:
        """The PSA, where rows may be written as no screen would."""
        assert isinstance(self.world.psa, Inhouse)
        return self.world.psa

    def tell(self, *names: str) -> None:
        """Play acts of the story, by default all, each until its consequences show."""
        acts = [act for act in ACTS if not names or act.name in names]
        play(acts, self.world, Stage(_Nobody(), DEADLINE_S, threading.Event()))

    def insert_entry(self, **fields: object) -> int:
        """Add approved hours on the first project of the story, but for `fields`; the row's id."""
        entry = self.world.cast.next_id()
        project = self.world.cast.projects[0]
        row = {
            "id": entry,
            "project_id": int(project.id),
            "worker_email": self.world.cast.people[0].email,
            "work_on": date(2026, 9, 9),
            "hours": Decimal("2.00"),
            "status": "approved",
            "bill_rate": Decimal(120),
            "cost_rate": Decimal(70),
            "currency": project.currency,
        }
        self.database.insert("time_entries", {**row, **fields})
        return entry

    def reconnect_psa(self) -> None:
        """Open the PSA anew after PostgreSQL was killed."""
        self.world.psa = Inhouse(self.parts.postgres_dsn, self.world.cast.next_id)

    def produce(self, topic: str, partition: int, key: bytes, value: bytes | None) -> int:
        """Write raw bytes to a partition; their offset."""
        offsets: list[int] = []
        producer = make_producer(self.parts.kafka)
        producer.produce(
            topic,
            key=key,
            value=value,
            partition=partition,
            on_delivery=lambda error, message: offsets.append(message.offset()),
        )
        assert producer.flush(30) == 0
        return offsets[0]

    def published(self, topic: str) -> Mapping[str, Mapping[str, Any]]:
        """Rows of a compacted topic by key."""
        return self.world.library.published(topic)

    def await_entry(self, entry: int) -> Mapping[str, Any]:
        """Canonical record of a time entry, once it is there."""
        key = f"inhouse:time_entry:{entry}"
        return eventually(
            lambda: self.published("psa.time_entry").get(key, {}), deadline_s=DEADLINE_S
        )

    def dead_letters(self) -> list[dict[str, Any]]:
        """Every dead letter so far."""
        return [
            self.serde.read(value)
            for message in read_topic(self.parts.kafka, "psa.dlq")
            if (value := message.value()) is not None
        ]

    def refused(self) -> int:
        """How many records were refused so far."""
        return len(set(self.world.library.dead_letters()))

    def await_books(self, *, refused: int) -> None:
        """Wait until every table, every write and every dead letter is what the sources say."""

        def differences() -> list[str]:
            try:
                evidence = self.world.library.evidence()
            except TransientError as error:  # a part is down for a moment
                return [str(error)]
            return [str(each) for each in audit(evidence, dead_letters=refused).differences]

        deadline_at = time.monotonic() + DEADLINE_S
        while found := differences():
            assert time.monotonic() < deadline_at, found[:10]

    def metric(self, part: str, name: str, **labels: str) -> float:
        """Sum of a metric's samples with these labels; 0 while the part does not answer."""
        try:
            with urllib.request.urlopen(self.parts.metrics_urls[part], timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@contextmanager
def running_system(
    *,
    entries: int,
    landscape: StoryLandscape = LANDSCAPE,
    heals: bool = True,
    of_broker: Mapping[str, str] = MappingProxyType({}),
    of_sources: Mapping[str, object] = MappingProxyType({}),
    of_processes: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[RunningSystem]:
    """Start everything; `entries` is how many time entries the story's volume act books.

    `heals`: whether failed tasks of the connector are started again. `of_broker` are further
    properties of Kafka, `of_sources` keys of polled sources, `of_processes` variables of ours.
    """
    with stack_directory() as directory:
        options = DemoOptions(
            data_dir=directory, cache_dir=cache_dir_from(os.environ), landscape=landscape
        )
        settings = StackSettings(
            data_dir=directory, cache_dir=options.cache_dir, kafka_properties=of_broker
        )
        with running_stack(settings) as stack:
            parts = stack.run(lambda it: start_parts(it, options, of_processes=of_processes))
            serde = _serde_of(parts, of_processes)
            _change_sources(directory / "connectors", {**IMPATIENCE, **of_sources})
            stack.restart("poller")
            with (
                VendorAdmin(parts.vendors_url) as admin,
                _orchestrated(stack, parts if heals else None) as (restarted, held),
            ):
                cast = Cast()
                world = World(
                    admin=admin,
                    crm=CRMS[options.landscape.crm](admin),
                    psa=Inhouse(parts.postgres_dsn, cast.next_id),
                    erps={erp: ERPS[erp](admin) for erp in options.landscape.erps},
                    resource_tool=RESOURCE_TOOLS[options.landscape.resource](admin),
                    library=Library(
                        parts.kafka,
                        parts.registry_url,
                        admin,
                        parts.postgres_dsn,
                        erps=landscape.erps,
                        resource=landscape.resource,
                        serde=serde,
                    ),
                    random=Random(options.seed),
                    rate=options.rate,
                    entries=entries,
                    cast=cast,
                )
                try:
                    yield RunningSystem(stack, parts, world, restarted, held, serde=serde)
                finally:
                    for name in OURS:  # shown where a test fails
                        sys.stderr.write(f"-- {name}\n{stack.log(name)[-LOG_CHARACTERS:]}\n")


def _serde_of(parts: Parts, variables: Mapping[str, str]) -> Serde:
    """What reads topics, with the keys of our processes where they have some."""
    keys = {name: variables[name] for name in MASTER_KEYS if name in variables}
    addresses = {
        "PSASTREAM_BOOTSTRAP_SERVERS": parts.kafka.bootstrap_servers,
        "PSASTREAM_REGISTRY_URL": parts.registry_url,
    }
    return Serde.of(Settings.from_env(addresses | keys))


def _change_sources(configs: Path, keys: Mapping[str, object]) -> None:
    """Write keys into the files of polled sources, before the poller is started again."""
    for path in configs.glob("*-source.json"):
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, **keys}))


@contextmanager
def _orchestrated(stack: RunningStack, parts: Parts | None) -> Iterator[tuple[list[str], set[str]]]:
    """Restart parts that end by themselves, and tasks of the connector of `parts` that fail."""
    restarted: list[str] = []
    held: set[str] = set()

    async def begin(parent: Stack) -> list[asyncio.Task[None]]:
        healing = [asyncio.create_task(_heal(parts))] if parts is not None else []
        return [asyncio.create_task(_revive(parent, restarted, held)), *healing]

    async def end(_: Stack) -> None:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    tasks = stack.run(begin)
    try:
        yield restarted, held
    finally:
        stack.run(end)


async def _revive(stack: Stack, restarted: list[str], held: set[str]) -> None:
    while True:
        gone = await stack.next_exit()
        await asyncio.sleep(RESTART_PAUSE_S)
        if gone.name not in held:
            restarted.append(gone.name)
            await stack.restart(gone.name)


async def _heal(parts: Parts) -> None:
    assert parts.connector is not None
    client = ConnectClient(parts.connect_url)
    budget = RestartBudget(HEAL_RESTARTS, 600.0, time.monotonic)
    try:
        while True:
            with suppress(TransientError, VendorRejectedError):  # Connect is down, or starts
                await heal(client, parts.connector.name, budget)
            await asyncio.sleep(HEAL_INTERVAL_S)
    finally:
        await client.close()


class _Nobody:
    """An audience that looks away."""

    def act_began(self, act: Act) -> None:
        """See Audience."""

    def changed(self, act: Act, changes: int) -> None:
        """See Audience."""

    def waiting(self, act: Act, missing: str) -> None:
        """See Audience."""

    def act_ended(self, act: Act, seconds: float, outcome: str) -> None:
        """See Audience."""
