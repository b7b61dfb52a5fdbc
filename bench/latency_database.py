"""How long a commit in the PSA's database takes to the project margin: the whole product at work.

PostgreSQL, Debezium, normalizer, canonical topic, project table, metric topic, each as shipped.
Every probe is a transaction that inserts one approved hour; its latency begins when the commit has
returned and ends when a reader of committed records has the margin that covers it. Processor time
is that of the worker, and of the broker, by commit.

Run: make bench-latency-database ARGS="--rates 20"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench.latency import GRACE_S, CpuShares, Line, meter_of, text
from bench.probes import Probes, latency
from runtime.kafka import make_consumer, topic_spans
from runtime.registry import Registry
from runtime.serde import Serde
from sandbox.demo.options import DemoOptions
from sandbox.demo.parts import Parts, start_parts
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from sandbox.story.inhouse import PsaDatabase

METRIC = "psa.metric.project_margin"
RATES = (10, 100)
PROJECTS = 50
FIRST_ID = 1_000_000
FIRST_YEAR = 2030
WARM_UP_S = 10
START_S = 120.0


def add_projects(psa: PsaDatabase) -> None:
    """Insert the projects that hours are booked on."""
    for number in range(PROJECTS):
        row = {"id": FIRST_ID + number, "name": f"Probe {number}", "currency": "EUR"}
        psa.insert("projects", {**row, "country_code": "DE", "status": "active"})


def book(psa: PsaDatabase, entry: int, project: str, day: date) -> None:
    """Insert an approved hour in a transaction of its own."""
    row: dict[str, Any] = {
        "id": FIRST_ID + entry,
        "project_id": int(project.rpartition(":")[2]),
        "worker_email": f"person{entry % 20}@example.com",
        "work_on": day,
        "hours": Decimal("1.00"),
        "status": "approved",
        "bill_rate": Decimal(120),
        "cost_rate": Decimal(70),
        "currency": "EUR",
    }
    psa.insert("time_entries", row)


class Booker:
    """Books hours on a schedule, and notes when each commit has returned."""

    def __init__(self, dsn: str, projects: Sequence[str], rate: int, day: date, first: int) -> None:
        self._dsn = dsn
        self._projects = projects
        self._rate = rate
        self._day = day
        self._first = first
        self.committed_at: list[float] = []

    def run(self) -> None:
        """Book all; each waits until it is due, not for what became of the others."""
        with PsaDatabase(self._dsn) as psa:
            start_at = time.monotonic()
            for number, project in enumerate(self._projects):
                time.sleep(max(0.0, start_at + number / self._rate - time.monotonic()))
                book(psa, self._first + number, project, self._day)
                self.committed_at.append(time.monotonic())


class Metrics:
    """Reads the margin topic from its end of now."""

    def __init__(self, parts: Parts) -> None:
        self._serde = Serde(Registry(parts.registry_url))
        self._reader: Consumer = make_consumer(parts.kafka, "bench-latency")
        spans = topic_spans(parts.kafka, METRIC)
        ends = [TopicPartition(METRIC, number, end) for number, (_, end) in spans.items()]
        self._reader.assign(ends)

    def follow(self, probes: Probes, month: str, deadline: float) -> None:
        """Note every margin of the month until all probes are seen."""
        while probes.missing and time.monotonic() < deadline:
            message = self._reader.poll(0.1)
            if message is None:
                continue
            if message.error() is not None:
                raise KafkaException(message.error())
            seen_at = time.monotonic()
            record = self._serde.read(message.value()) if message.value() else {}
            if record.get("period") == month:
                probes.show(record["project_ref"], int(record["hours"]), seen_at)

    def close(self) -> None:
        """Leave the topic."""
        self._reader.close()


def at_rate(
    parts: Parts, cpu: CpuShares, rate: int, seconds: int, *, year: int, first: int
) -> Line:
    """Book hours at a rate and wait for the last margin."""
    count = rate * (WARM_UP_S + seconds)
    projects = [f"inhouse:project:{FIRST_ID + number % PROJECTS}" for number in range(count)]
    probes = Probes(projects)
    metrics = Metrics(parts)
    booker = Booker(parts.postgres_dsn, projects, rate, date(year, 1, 15), first)
    thread = threading.Thread(target=booker.run)
    start_at = time.monotonic()
    thread.start()
    metrics.follow(probes, f"{year}-01", start_at + WARM_UP_S)
    cpu.begin()
    metrics.follow(probes, f"{year}-01", start_at + count / rate + GRACE_S)
    share = cpu.share(rate * seconds)
    thread.join()
    metrics.close()
    counted = slice(WARM_UP_S * rate, None)
    found = latency(booker.committed_at[counted], probes.seen_at[counted])
    return Line("database to margin", "", rate, found, cpu=share)


def warm_up(parts: Parts) -> None:
    """Insert the projects and wait until an hour on each shows, so that every part is at work."""
    with PsaDatabase(parts.postgres_dsn) as psa:
        add_projects(psa)
        projects = [f"inhouse:project:{FIRST_ID + number}" for number in range(PROJECTS)]
        probes = Probes(projects)
        metrics = Metrics(parts)
        for number, project in enumerate(projects):
            book(psa, number, project, date(FIRST_YEAR - 1, 1, 15))
        metrics.follow(probes, f"{FIRST_YEAR - 1}-01", time.monotonic() + START_S)
        metrics.close()
    if probes.missing:
        raise TimeoutError(f"{probes.missing} of {PROJECTS} first hours did not show")


def measure(parts: Parts, cpu: CpuShares, rates: Sequence[int], seconds: int) -> list[Line]:
    """Measure at all rates, one after the other."""
    warm_up(parts)
    first, lines = PROJECTS, []
    for number, rate in enumerate(rates):
        year = FIRST_YEAR + number
        lines.append(at_rate(parts, cpu, rate, seconds, year=year, first=first))
        first += rate * (WARM_UP_S + seconds)
        print(text(lines[-1]), flush=True)
    return lines


async def main() -> int:
    """Run the benchmark; exit code 1 if a probe was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="commits a second")
    parser.add_argument("--seconds", type=int, default=30, help="of each rate, after the warm-up")
    parser.add_argument("--out", type=Path, default=Path("bench/latency_database.json"))
    arguments = parser.parse_args()
    rates = [int(rate) for rate in arguments.rates.split(",")]
    folder = Path(tempfile.mkdtemp(prefix="psastream-bench-"))
    cache = cache_dir_from(os.environ)
    try:
        settings = StackSettings(data_dir=folder, cache_dir=cache, quick_start=False)
        async with Stack(settings, PlainReporter(sys.stderr)) as stack:
            parts = await start_parts(stack, DemoOptions(data_dir=folder, cache_dir=cache))
            worker, broker = meter_of(stack, "worker"), meter_of(stack, "kafka")
            cpu = CpuShares(worker.seconds, broker.seconds)
            lines = await asyncio.to_thread(measure, parts, cpu, rates, arguments.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    arguments.out.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n")
    return 0 if all(line.latency and not line.latency.missing for line in lines) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
