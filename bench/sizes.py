"""What a change, a restart and a recovery cost at several sizes of state, on psastream's engine.

At each size the benchmark's two workers first take so many rows in. Then they get scattered
updates of those rows, are stopped and started again, and are started once more without their
local state, which comes back from the state logs. The totals must be exact in the end.

Run: make bench-sizes ARGS="--rows 100000,1000000"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from bench.canonical import RECORD, canonical_records
from bench.changes import FIRST_DAY, Change, Entry, project_id
from bench.peers import psastream_engine
from bench.peers.peer import Job, Launch
from bench.processes import Processes
from bench.testbed import PARTITIONS, PROJECTS, Bench, Source
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from schemas.contracts import record_schema

SIZES = (100_000, 1_000_000, 10_000_000)
UPDATES = 200_000
LATER = 1_000  # what waits for a worker that is started again
MONTH = "2026-03"
DAY = (date(2026, 3, 16) - FIRST_DAY).days
BYTES_A_ROW = 600  # on disk: source, state log, local state, and what compaction holds meanwhile
READY = re.compile(
    r"partition ready .*\bgroup=(\S+) partition=(\d+).*restored_records=(\d+) seconds=([0-9.]+)"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of sizes.json. `update_us` is processor time of the workers; the rest wall-clock."""

    rows: int
    filled_per_second: int
    resident_mb: int
    update_us: float
    restart_s: float
    recovery_s: float
    recovered_keys: int
    recovered_keys_per_second: int
    disk_mb: int
    correct: bool


class Rows:
    """Rows of one hour each; an update makes it two. Knows the hours of each project."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._random = random.Random(count)
        self._updated: set[int] = set()

    def inserts(self) -> Iterator[Change]:
        """Yield every row once."""
        for number in range(self._count):
            yield self._change(number, 100)

    def updates(self, count: int) -> Iterator[Change]:
        """Yield updates of rows anywhere."""
        for _ in range(count):
            number = self._random.randrange(self._count)
            self._updated.add(number)
            yield self._change(number, 200)

    def hours(self) -> dict[str, Decimal]:
        """Return what the margin of each project must say."""
        totals = Counter(_project(number) for number in range(self._count))
        totals.update(_project(number) for number in self._updated)
        return {f"{project_id(each)}|{MONTH}|EUR": Decimal(n) for each, n in totals.items()}

    def _change(self, number: int, hours: int) -> Change:
        person = number % 2_000
        entry = Entry(
            number, _project(number), person, DAY, hours, 1_000_000, 500_000, "approved", True
        )
        return Change(number, entry)


def _project(number: int) -> int:
    return number * 7_919 % PROJECTS


class Measurement:
    """One size: a source topic, a group of workers, and their folders."""

    def __init__(self, bench: Bench, count: int) -> None:
        self._bench = bench
        self._rows = Rows(count)
        self._count = count
        topic = f"bench-rows-{count}"
        bench.create_topics([topic])
        self._schema_id = bench.registry.register(f"{topic}-value", record_schema(RECORD))
        self._job: Job = bench.job(psastream_engine.PEER, Source(topic, 0, {}, {}))
        self._launch: Launch = psastream_engine.PEER.launch(self._job, bench.cache)

    def run(self) -> Line:
        """Return what was measured. Raises RuntimeError if a worker fails."""
        self._write(self._rows.inserts())
        with Processes(self._launch, self._job.folder) as workers:
            fill_s = self._drain(workers)
            before = workers.cpu_seconds()
            self._write(self._rows.updates(UPDATES))
            self._drain(workers)
            update_us = (workers.cpu_seconds() - before) / UPDATES * 1e6
            resident_mb = workers.resident_mb
        disk_mb = sum(file.stat().st_size for file in self._job.folder.rglob("*.sst")) >> 20
        restart_s = self._restart()
        for directory in self._job.folder.glob("worker-*"):
            shutil.rmtree(directory)
        recovery_s = self._restart()
        keys, seconds = self._recovered()
        return Line(
            self._count,
            round(self._count / fill_s),
            resident_mb,
            round(update_us, 2),
            round(restart_s, 2),
            round(recovery_s, 2),
            keys,
            round(keys / seconds),
            disk_mb,
            self._is_correct(),
        )

    def _restart(self) -> float:
        """Start with a little to do; return the seconds until that is committed."""
        self._write(self._rows.updates(LATER))
        with Processes(self._launch, self._job.folder) as workers:
            return self._drain(workers)

    def _write(self, changes: Iterator[Change]) -> None:
        records = canonical_records(changes, self._schema_id, PARTITIONS)
        self._bench.write(self._job.source_topic, records)

    def _drain(self, workers: Processes) -> float:
        began = time.monotonic()
        return self._bench.await_done(self._job, self._launch, workers, began) - began

    def _recovered(self) -> tuple[int, float]:
        """Return the keys the last start restored, and the seconds its slowest partition took."""
        log = (self._job.folder / "system.log").read_text()
        found = [(int(keys), float(seconds)) for _, _, keys, seconds in READY.findall(log)]
        return sum(keys for keys, _ in found), max(seconds for _, seconds in found)

    def _is_correct(self) -> bool:
        shown = self._bench.published(self._job.margin_topic, ("hours",))
        return {key: hours for key, (hours,) in shown.items()} == self._rows.hours()


def text(line: Line) -> str:
    """Return a line of the table."""
    return (
        f"{line.rows:11,d} rows"
        f"  {line.update_us:6.2f} us an update"
        f"  {line.resident_mb:,d} MB resident, {line.disk_mb:,d} MB on disk"
        f"  restart {line.restart_s:.1f} s, without local state {line.recovery_s:.1f} s"
        f" ({line.recovered_keys:,d} keys, {line.recovered_keys_per_second:,d}/s)"
        f"  {'exact' if line.correct else 'WRONG'}"
    )


def check_disk(folder: Path, sizes: Sequence[int]) -> None:
    """Raise SystemExit if the disk is too small for the sizes."""
    needed = sum(sizes) * BYTES_A_ROW
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(f"{folder} has {free >> 30} GB free, {needed >> 30} GB are needed: --rows")


async def main() -> int:
    """Run the benchmark; exit code 1 if totals were wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(map(str, SIZES)), help="sizes of state")
    parser.add_argument("--out", type=Path, default=Path("bench/sizes.json"))
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.rows.split(",")]
    folder = Path(tempfile.mkdtemp(prefix="psastream-bench-"))
    check_disk(folder, sizes)
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
            for size in sizes:
                lines.append(await asyncio.to_thread(Measurement(bench, size).run))
                print(text(lines[-1]), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    arguments.out.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n")
    ratio = lines[-1].update_us / lines[0].update_us
    print(f"an update at {sizes[-1]:,d} rows costs {ratio:.2f} times one at {sizes[0]:,d}")
    return 0 if all(line.correct for line in lines) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
