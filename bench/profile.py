"""Where each microsecond of a change goes in psastream's engine, on work A of the benchmark.

As fast as it can, in large chunks, or at a rate, as `bench.latency` sends its probes: then chunks
are small, and tasks and threads are told one by one.

Run: make profile CHANGES=2000000
     make profile RATE=100
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.latency import measure, meter_of
from bench.peers import psastream_engine
from bench.peers.peer import Job, Launch
from bench.processes import CpuMeter
from bench.stages import (
    CHUNK,
    STAGES,
    THREADS,
    TRANSACTION,
    Snapshot,
    between,
    read_snapshots,
)
from bench.testbed import Bench
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack


class Profiled(psastream_engine.PsastreamEngine):
    """The benchmark's workers, each writing its stages to a folder."""

    def __init__(self, stages: Path) -> None:
        super().__init__("psastream engine")
        self._stages = stages

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        launch = super().launch(job, cache)
        return replace(
            launch, environment={**launch.environment, "BENCH_STAGES": str(self._stages)}
        )


REST = "event loops, network, Faust"
SMALLEST = 0.005  # a share below it is told with others


def together(workers: Sequence[Snapshot]) -> tuple[Counter[str], Counter[str]]:
    """Return seconds and calls by stage, of all workers."""
    seconds: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for each in workers:
        seconds.update(each.seconds)
        calls.update(each.calls)
    return seconds, calls


def coarse(seconds: Counter[str]) -> Counter[str]:
    """Return the stages of functions and native threads; all else is one more."""
    named = STAGES.keys() | set(THREADS.values())
    found = Counter({stage: spent for stage, spent in seconds.items() if stage in named})
    found[REST] = sum(seconds.values()) - sum(found.values())
    return found


def without_small(seconds: Counter[str]) -> Counter[str]:
    """Return the stages with those of less than `SMALLEST` as one."""
    total = sum(seconds.values())
    found = Counter({each: spent for each, spent in seconds.items() if spent >= total * SMALLEST})
    found["stages of less than a half per cent"] = total - sum(found.values())
    return found


def table(seconds: Counter[str], changes: int, transactions: int = 0) -> str:
    """Return microseconds a change by stage, the largest first, and a transaction if there are."""
    total = sum(seconds.values())

    def line(stage: str, spent: float) -> str:
        each = f"{spent / transactions * 1e6:16.0f}" if transactions else ""
        return f"{stage:48s}{spent / changes * 1e6:12.2f}{each}{spent / total:8.1%}"

    title = f"{'a transaction':>16s}" if transactions else ""
    return "\n".join(
        [
            f"{'stage':48s}{'us a change':>12s}{title}{'share':>8s}",
            *(line(stage, spent) for stage, spent in seconds.most_common()),
            line("all", total),
        ]
    )


def in_large_chunks(bench: Bench, stages: Path, changes: int) -> tuple[str, dict[str, float], bool]:
    """Work a filled topic off; return the table, microseconds a change, and whether it is right."""
    source = bench.source(changes)
    run = bench.run(Profiled(stages), source)
    seconds, _ = together([between(each) for each in written(stages)])
    found = coarse(seconds)
    verdict = "exact" if not run.wrong else f"WRONG: {run.wrong} totals"
    per_change = {stage: spent / source.records * 1e6 for stage, spent in found.most_common()}
    return f"{table(found, source.records)}\n{verdict}", per_change, not run.wrong


def at_rate(
    bench: Bench, stages: Path, rate: int, seconds: int, broker: CpuMeter
) -> tuple[str, dict[str, float], bool]:
    """Send changes at a rate; the same, of the seconds after the warm-up."""
    (line,) = measure(bench, Profiled(stages), [rate], seconds, broker)
    begin = line.counted_from
    workers = [between(each, begin, begin + seconds) for each in written(stages)]
    spent, calls = together(workers)
    changes = round(rate * max(each.at for each in workers))
    found = without_small(spent)
    per_change = {stage: spent / changes * 1e6 for stage, spent in found.most_common()}
    is_right = line.latency is not None and not line.latency.missing
    per_s = {name: calls[name] / max(each.at for each in workers) for name in (TRANSACTION, CHUNK)}
    told = f"{per_s[TRANSACTION]:.0f} transactions a second, of {per_s[CHUNK]:.0f} chunks"
    return f"{table(found, changes, calls[TRANSACTION])}\n{told}", per_change, is_right


def written(stages: Path) -> list[list[Snapshot]]:
    """Return the snapshots of each worker."""
    return [read_snapshots(file) for file in sorted(stages.glob("*.json"))]


async def main() -> int:
    """Run the benchmark's workers once and print their stages; exit code 1 if they were wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=2_000_000)
    parser.add_argument("--rate", type=int, help="changes a second; else as fast as it can")
    parser.add_argument("--seconds", type=int, default=20, help="of a rate, after the warm-up")
    parser.add_argument("--out", type=Path, default=Path("bench/profile.json"))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="psastream-bench-"))
    stages = folder / "stages"
    stages.mkdir()
    settings = StackSettings(
        data_dir=folder / "stack",
        cache_dir=cache_dir_from(os.environ),
        parts=frozenset({Part.KAFKA, Part.REGISTRY}),
        kafka_heap_mb=1024,
        quick_start=False,
        kafka_join_wait_ms=3000,
    )
    try:
        async with Stack(settings, PlainReporter(sys.stderr)) as stack:
            addresses = stack.addresses
            bench = Bench(addresses.bootstrap_servers, addresses.registry_url, folder)
            if arguments.rate is None:
                found = await asyncio.to_thread(in_large_chunks, bench, stages, arguments.changes)
            else:
                found = await asyncio.to_thread(
                    at_rate,
                    bench,
                    stages,
                    arguments.rate,
                    arguments.seconds,
                    meter_of(stack, "kafka"),
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told, per_change, is_right = found
    arguments.out.write_text(json.dumps(per_change, indent=2) + "\n")
    print(told)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
