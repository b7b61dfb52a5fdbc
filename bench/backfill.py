"""The first read of an object of Salesforce: psastream's poller beside other readers of the vendor.

All read the same columns of the same rows from one org (`bench/backfill_vendor.py`), by its REST
API, in pages of 2,000 and under the same allowance of requests, one after the other. Each is timed
from the start of its process to its last row: psastream to the commit of it on a topic, the others
to their end. Its rows are counted before its time does. The org's processor time, and the broker's,
is nobody's.

tap-salesforce and Airbyte's source sign in at the vendor's own host, whatever they are told: the
org is their proxy there. Airbyte's source reads an object by REST where it has a compound field, as
accounts have, and in bulk otherwise; so it alone is sent one, empty in each row.

Run: make bench-backfill RECORDS=1000000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from bench.backfill_vendor import OBJECT
from bench.peers.peer import Launch
from bench.peers.salesforce import Airbyte, Dlt, Org, Psastream, Reader, TapSalesforce
from bench.processes import Processes
from connectors.systems import Systems
from psastream.landscape import systems_of
from runtime.kafka import KafkaSettings, create_topics, make_consumer
from runtime.registry import Registry
from runtime.serde import Serde
from sandbox.stack.ports import HOST
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackAddresses, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from schemas.landscape import load_landscape

POLL_S = 0.05
DEADLINE_S = 3_600.0
UP_S = 600.0
TOPIC = f"src.salesforce.{OBJECT.lower()}"
OURS = "psastream"


@dataclass(frozen=True, slots=True)
class Result:
    """A line of backfill.json."""

    reader: str
    version: str
    into: str
    records: int
    found: int
    seconds: float
    cpu_seconds: float
    peak_rss_mb: int
    requests: int

    @property
    def is_right(self) -> bool:
        """Whether each row came once, or more often, and no other."""
        return self.found == self.records


def measure(reader: Reader, org: Org, records: int, folder: Path, cache: Path) -> Result:
    """Run one reader, and count what came of it."""
    reader.prepare(cache)
    place = folder / reader.name
    place.mkdir()
    launch = reader.launch(org, place, cache)
    spent(org)
    began = time.monotonic()
    with Processes(launch, place) as processes:
        while not reader.is_done(processes, place):
            processes.check(may_end=True)
            if time.monotonic() - began > DEADLINE_S:
                raise TimeoutError(f"{reader.name} is not done after {DEADLINE_S:.0f} s")
            time.sleep(POLL_S)
        seconds, cpu_seconds = time.monotonic() - began, processes.cpu_seconds()
    requests = spent(org)
    found = len(set(reader.ids(place)))
    shutil.rmtree(place, ignore_errors=True)
    return Result(
        reader.name, reader.version(), reader.into, records, found, round(seconds, 2),
        round(cpu_seconds, 2), processes.peak_rss_mb, requests,
    )  # fmt: skip


def spent(org: Org) -> int:
    """Return the requests since it was asked last."""
    with urllib.request.urlopen(f"{org.url}/bench/used", timeout=60) as answer:
        return int(json.load(answer)["used"])


def table(results: Sequence[Result]) -> str:
    """Return the results as text: whose rows are wrong has no times."""
    ours = next((each for each in results if each.reader == OURS and each.is_right), None)
    lines = [
        f"{'reader':34s}{'records/s':>11s}{'cpu s':>9s}{'cpu µs':>9s}{'MB':>7s}{'requests':>10s}"
        f"{'x wall':>9s}{'x cpu':>8s}  rows go to"
    ]
    for each in results:
        name = f"{each.reader} {each.version}"
        if not each.is_right:
            lines.append(f"{name:34s}  WRONG: {each.found:,} of {each.records:,} rows")
            continue
        ratios = f"{'':17s}"
        if ours is not None:
            ratios = f"{each.seconds / ours.seconds:9.2f}{each.cpu_seconds / ours.cpu_seconds:8.2f}"
        lines.append(
            f"{name:34s}{each.records / each.seconds:11,.0f}{each.cpu_seconds:9.1f}"
            f"{each.cpu_seconds / each.records * 1e6:9.1f}{each.peak_rss_mb:7,d}"
            f"{each.requests:10,d}{ratios}  {each.into}"
        )
    return "\n".join(lines)


def verdict(results: Sequence[Result]) -> str:
    """Return whether psastream was faster than each, by the clock and by processor time."""
    ours = [each for each in results if each.reader == OURS]
    others = [each for each in results if each.reader != OURS]
    if not ours or not all(each.is_right for each in results):
        return "not compared"
    slower = [
        f"{each.reader} by {what}"
        for each in others
        for what, mine, theirs in (
            ("the clock", ours[0].seconds, each.seconds),
            ("processor time", ours[0].cpu_seconds, each.cpu_seconds),
        )
        if theirs <= mine
    ]
    return f"not faster than {', '.join(slower)}" if slower else "faster than each, by both"


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def serve(records: int, folder: Path) -> tuple[Org, Processes]:
    """Start the org, and return once it answers: its pages are made."""
    port = free_port()
    command = [sys.executable, "-m", "bench.backfill_vendor", "--port", str(port)]
    command += ["--records", str(records), "--folder", str(folder)]
    processes = Processes(Launch([command], {}), folder)
    return Org(f"http://{HOST}:{port}", folder), processes


def await_up(org: Org, processes: Processes) -> None:
    """Wait until the org answers."""
    deadline = time.monotonic() + UP_S
    while True:
        processes.check(may_end=False)
        try:
            spent(org)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


class Target:
    """The broker that psastream publishes to, with all topics and contracts of the product."""

    def __init__(self, addresses: StackAddresses) -> None:
        self._kafka = KafkaSettings(bootstrap_servers=addresses.bootstrap_servers)
        registry = Registry(addresses.registry_url)
        landscape = load_landscape((files("connectors") / "landscape.yaml").read_text())
        topics = systems_of(landscape, Systems()).topics
        create_topics(self._kafka, topics, replication_factor=1)
        registry.register_catalogue(topics)
        self._serde = Serde(registry)
        [self._topic] = [topic for topic in topics if topic.name == TOPIC]
        self.environment = {
            "PSASTREAM_BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": addresses.registry_url,
            "PSASTREAM_METRICS_PORT": str(free_port()),
        }

    def ids(self) -> Iterator[str]:
        """Yield the id of each row on the topic, as committed."""
        consumer = make_consumer(
            self._kafka, "bench-backfill", isolation_level="read_committed",
            enable_partition_eof=True,
        )  # fmt: skip
        partitions = range(self._topic.partitions)
        consumer.assign([TopicPartition(TOPIC, each, 0) for each in partitions])
        ended = 0
        while ended < self._topic.partitions:
            for message in consumer.consume(10_000, 1.0):
                error = message.error()
                if error is None:
                    yield self._serde.read_key(message.key())
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended += 1
                else:
                    raise KafkaException(error)
        consumer.close()


async def main() -> int:
    """Run the benchmark; exit code 1 where rows were wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path("bench/backfill.json"))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="psastream-bench-"))
    cache = cache_dir_from(os.environ)
    settings = StackSettings(
        data_dir=folder / "stack",
        cache_dir=cache,
        parts=frozenset({Part.KAFKA, Part.REGISTRY}),
        quick_start=False,
    )
    (cache / "bench").mkdir(parents=True, exist_ok=True)
    try:
        async with Stack(settings, PlainReporter(sys.stderr)) as stack:
            target = await asyncio.to_thread(Target, stack.addresses)
            readers = [
                Psastream(target.environment, target.ids),
                TapSalesforce(),
                Airbyte(),
                Dlt(),
            ]
            results = await asyncio.to_thread(
                run, readers, arguments.records, folder, cache / "bench"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    arguments.out.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    print(table(results))
    print(verdict(results))
    return 0 if all(result.is_right for result in results) else 1


def run(readers: Iterable[Reader], records: int, folder: Path, cache: Path) -> list[Result]:
    """Run the readers one after the other, on one org."""
    place = folder / "org"
    place.mkdir()
    org, processes = serve(records, place)
    results: list[Result] = []
    with processes:
        await_up(org, processes)
        for reader in readers:
            results.append(measure(reader, org, records, folder, cache))
            print(table(results[-1:]).splitlines()[-1], flush=True)
    return results


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
