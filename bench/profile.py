"""Where each microsecond of a change goes in psastream's engine, on work A of the benchmark.

Run: make profile CHANGES=2000000
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
from dataclasses import replace
from pathlib import Path

from bench.peers import psastream_engine
from bench.peers.peer import Job, Launch
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


def table(seconds: Counter[str], changes: int) -> str:
    """Return microseconds a change by stage, the largest first."""
    total = sum(seconds.values())
    lines = [f"{'stage':32s}{'us a change':>12s}{'share':>8s}"]
    lines += [
        f"{stage:32s}{spent / changes * 1e6:12.2f}{spent / total:8.1%}"
        for stage, spent in seconds.most_common()
    ]
    lines.append(f"{'all':32s}{total / changes * 1e6:12.2f}{1:8.1%}")
    return "\n".join(lines)


async def main() -> int:
    """Run the benchmark's workers once and print their stages; exit code 1 if they were wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=2_000_000)
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
            source = bench.source(arguments.changes)
            run = await asyncio.to_thread(bench.run, Profiled(stages), source)
        seconds: Counter[str] = Counter()
        for file in stages.glob("*.json"):
            seconds.update(json.loads(file.read_text()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    per_change = {stage: spent / source.records * 1e6 for stage, spent in seconds.most_common()}
    arguments.out.write_text(json.dumps(per_change, indent=2) + "\n")
    print(table(seconds, source.records))
    print("exact" if not run.wrong else f"WRONG: {run.wrong} totals")
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
