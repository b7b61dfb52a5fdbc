"""How long a change takes from its append to the metric that shows it, at fixed rates.

Every system first works a history off and a stream that is not counted. Then it gets probes
(`bench.probes`) on a schedule that does not wait for it. A probe's latency begins when it is due,
so a sender that falls behind counts, and ends when a reader of committed records has the metric
that covers it. Processor time is that of the same seconds, by change: of the system's processes,
and of the broker, which also serves the sender and the reader.

Run: make bench-latency ARGS="--rates 1000 --systems psastream_engine"
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench.canonical import RECORD, Record, canonical_records
from bench.changes import FIRST_DAY, Change, Changes, Entry, project_id
from bench.peers.peer import Job, Peer
from bench.probes import Latency, Probes, latency
from bench.processes import CpuMeter, Processes
from bench.testbed import PARTITIONS, PROJECTS, Bench, Source
from runtime.kafka import KafkaSettings, make_consumer, make_producer, topic_spans
from runtime.serde import Serde
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from schemas.contracts import record_schema

SYSTEMS = ("psastream_engine", "kafka_streams", "quix")
RATES = (100, 1_000, 10_000)
HISTORY = 100_000
HOLD_MS = 20
WARM_UP_S = 5
WARM_UP_RATE = 1_000
GRACE_S = 10.0
START_S = 0.2
HOUR = 100  # hundredths
FIRST_YEAR = 2030  # every rate has a January of its own, and the warm-up the one before


@dataclass(frozen=True, slots=True)
class CpuShare:
    """Processor milliseconds a change, after the warm-up."""

    system: float
    broker: float


class CpuShares:
    """Reads the processor time of a system and of the broker it works on."""

    def __init__(self, system: Callable[[], float], broker: Callable[[], float]) -> None:
        """Both return processor seconds until now."""
        self._read = system, broker
        self._began = (0.0, 0.0)

    def begin(self) -> None:
        """Count from now on."""
        system, broker = self._read
        self._began = system(), broker()

    def share(self, changes: int) -> CpuShare:
        """Return what was spent since `begin`, by change."""
        system, broker = (
            (read() - began) / changes * 1_000
            for read, began in zip(self._read, self._began, strict=True)
        )
        return CpuShare(system, broker)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of latency.json: milliseconds, of the probes after the warm-up."""

    system: str
    version: str
    rate: int
    latency: Latency | None
    note: str = ""
    cpu: CpuShare | None = None
    counted_from: float = 0.0
    """When the warm-up was over, in CLOCK_MONOTONIC."""


def probe_changes(rate: int, seconds: int, year: int, first_id: int) -> list[Change]:
    """Return approved rows of one hour each, spread over all projects."""
    day = (date(year, 1, 1) - FIRST_DAY).days
    return [
        Change(
            first_id + number,
            Entry(
                first_id + number,
                number * 7_919 % PROJECTS,
                number % 2_000,
                day,
                HOUR,
                1_000_000,
                500_000,
                "approved",
                True,
            ),
        )
        for number in range(rate * seconds)
    ]


def send(
    kafka: KafkaSettings, topic: str, records: Sequence[Record], rate: int, line: Connection
) -> None:
    """Process: say when record 0 is due, then append each when it is. Waits for nothing else."""
    producer = make_producer(kafka, linger_ms=1, compression_type="none")
    producer.list_topics(topic, timeout=10)
    start_at = time.monotonic() + START_S
    line.send(start_at)
    for number, (partition, key, value) in enumerate(records):
        while (wait := start_at + number / rate - time.monotonic()) > 0:
            producer.poll(0)
            time.sleep(min(wait, 0.0005))
        producer.produce(topic, value, key, partition)
    assert producer.flush(60) == 0


class Measurement:
    """One running system, and its probes."""

    def __init__(self, peer: Peer, bench: Bench, job: Job, seconds: int, cpu: CpuShares) -> None:
        self._name = peer.name
        self._version = peer.version()
        self._bench = bench
        self._job = job
        self._seconds = seconds
        self._cpu = cpu
        self._serde = Serde(bench.registry)
        self._schema_id = bench.registry.register(
            f"{job.source_topic}-value", record_schema(RECORD)
        )

    def at_rate(self, rate: int, year: int, first_id: int) -> Line:
        """Send probes and wait for the last; return what they took after the warm-up."""
        changes = probe_changes(rate, WARM_UP_S + self._seconds, year, first_id)
        records = list(canonical_records(changes, self._schema_id, PARTITIONS))
        probes = Probes([project_id(change.entry.project) for change in changes if change.entry])
        reader = self._reader()
        here, there = multiprocessing.get_context("spawn").Pipe()
        sender = multiprocessing.get_context("spawn").Process(
            target=send, args=(self._bench.kafka, self._job.source_topic, records, rate, there)
        )
        sender.start()
        start_at = float(here.recv())
        counted_from = start_at + WARM_UP_S
        try:
            self._read(reader, probes, f"{year}-01", counted_from)
            self._cpu.begin()
            self._read(reader, probes, f"{year}-01", start_at + len(records) / rate + GRACE_S)
            cpu = self._cpu.share(rate * self._seconds)
        finally:
            reader.close()
            sender.terminate()
            sender.join()
        due_at = [start_at + number / rate for number in range(len(records))]
        counted = slice(WARM_UP_S * rate, None)
        found = latency(due_at[counted], probes.seen_at[counted])
        return Line(self._name, self._version, rate, found, cpu=cpu, counted_from=counted_from)

    def _reader(self) -> Consumer:
        reader = make_consumer(self._bench.kafka, "bench-latency")
        topic = self._job.margin_topic
        spans = topic_spans(self._bench.kafka, topic)
        ends = [TopicPartition(topic, number, end) for number, (_, end) in spans.items()]
        reader.assign(ends)
        return reader

    def _read(self, reader: Consumer, probes: Probes, month: str, deadline: float) -> None:
        while probes.missing and time.monotonic() < deadline:
            message = reader.poll(0.1)
            if message is None:
                continue
            if message.error() is not None:
                raise KafkaException(message.error())
            project, period, _ = message.key().decode().split("|")
            if period == month and message.value():
                hours = self._serde.read(message.value())["hours"]
                probes.show(project, int(hours), time.monotonic())


def measure(
    bench: Bench, peer: Peer, rates: Sequence[int], seconds: int, broker: CpuMeter
) -> list[Line]:
    """Measure one system at all rates; whatever goes wrong becomes a note."""
    topic = f"bench-latency-{time.monotonic_ns()}"
    bench.create_topics([topic])
    schema_id = bench.registry.register(f"{topic}-value", record_schema(RECORD))
    history = Changes(HISTORY, PROJECTS)
    records = bench.write(topic, canonical_records(history, schema_id, PARTITIONS))
    job = bench.job(peer, Source(topic, records, {}, {}), hold_ms=HOLD_MS)
    lines: list[Line] = []
    try:
        peer.prepare(bench.cache)
        launch = peer.launch(job, bench.cache)
        with Processes(launch, job.folder) as processes:
            bench.await_done(job, launch, processes, time.monotonic())
            cpu = CpuShares(processes.cpu_seconds, broker.seconds)
            running = Measurement(peer, bench, job, seconds, cpu)
            # A broker that has compiled nothing yet is slower for half a minute than ever after.
            running.at_rate(WARM_UP_RATE, FIRST_YEAR - 1, HISTORY)
            first_id = HISTORY + WARM_UP_RATE * (WARM_UP_S + seconds)
            for number, rate in enumerate(rates):
                lines.append(running.at_rate(rate, FIRST_YEAR + number, first_id))
                first_id += rate * (WARM_UP_S + seconds)
                print(text(lines[-1]), flush=True)
    # A system that fails must not hide the figures of the others.
    except Exception as error:
        traceback.print_exc()
        lines.append(Line(peer.name, "", 0, None, f"{type(error).__name__}: {error}"))
    return lines


def meter_of(stack: Stack, name: str) -> CpuMeter:
    """Return a meter of a process of the stack. Raises StackError if it does not run."""
    return CpuMeter([psutil.Process(stack.pid(name))])


def text(line: Line) -> str:
    """Return a line of the table."""
    found = line.latency
    if found is None:
        return f"{line.system:22s}{line.note}"
    cpu = (
        f"  processor ms a change {line.cpu.system:7.3f}, broker {line.cpu.broker:7.3f}"
        if line.cpu is not None
        else ""
    )
    late = f"  {found.missing} NOT SEEN" if found.missing else ""
    return (
        f"{line.system:22s}{line.rate:7,d}/s {found.count:9,d} probes  p50 {found.p50:8.1f}  "
        f"p99 {found.p99:8.1f}  p99.9 {found.p999:8.1f}  max {found.highest:8.1f} ms{cpu}{late}"
    )


async def main() -> int:
    """Run the benchmark; exit code 1 if a system failed or lost a probe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="changes a second")
    parser.add_argument("--seconds", type=int, default=20, help="of each rate, after the warm-up")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="comma-separated modules")
    parser.add_argument("--out", type=Path, default=Path("bench/latency.json"))
    arguments = parser.parse_args()
    peers: list[Peer] = [
        importlib.import_module(f"bench.peers.{name}").PEER for name in arguments.systems.split(",")
    ]
    rates = [int(rate) for rate in arguments.rates.split(",")]
    folder = Path(tempfile.mkdtemp(prefix="psastream-bench-"))
    settings = StackSettings(
        data_dir=folder / "stack",
        cache_dir=cache_dir_from(os.environ),
        parts=frozenset({Part.KAFKA, Part.REGISTRY}),
        kafka_heap_mb=1024,
        quick_start=False,
    )
    lines: list[Line] = []
    try:
        async with Stack(settings, PlainReporter(sys.stderr)) as stack:
            addresses = stack.addresses
            bench = Bench(addresses.bootstrap_servers, addresses.registry_url, folder)
            broker = meter_of(stack, "kafka")
            for peer in peers:
                lines += await asyncio.to_thread(
                    measure, bench, peer, rates, arguments.seconds, broker
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    arguments.out.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n")
    print("\n".join(map(text, lines)))
    return 0 if all(line.latency and not line.latency.missing for line in lines) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
