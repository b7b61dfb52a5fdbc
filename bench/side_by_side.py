"""The same work on every system, one after the other, on one broker on this machine.

Each result is compared with the truth; a wrong one is shown as wrong. See `bench/peers/README.md`
for the work and for what is timed.

Run: make bench CHANGES=200000
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

from bench.peers.peer import Peer
from bench.testbed import Bench
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack

SYSTEMS = (
    "fetch_loop",
    "psastream_engine",
    "kafka_streams",
    "flink_sql",
    "flink_datastream",
    "flink_batched",
    "bytewax",
    "quix",
    "stock_faust",
)
PARTITIONS = 4
PROJECTS = 5_000
SMALL = 50  # the short run, whose time is subtracted, has one change in so many
SMALL_MIN = 500
POLL_S = 0.05
MARKERS = 8  # at most so many ends of transactions follow the last record of a partition
DEADLINE_S = 600.0
AGREE_S = 10.0
STOP_S = 20.0
SCHEMAS = Path(__file__).parent / "peers"

Totals = Mapping[str, Sequence[Decimal]]


@dataclass(frozen=True, slots=True)
class Result:
    """A line of results.json. `correct` is None for the ceiling, which has no result."""

    work: str
    system: str
    version: str
    guarantee: str
    state: str
    changes: int
    seconds: float | None
    changes_per_second: int | None
    correct: bool | None
    peak_rss_mb: int | None
    cpu_us_per_change: float | None = None
    """Processor time of the system alone, without the broker's."""
    note: str = ""


def measure(bench: Bench, peer: Peer, changes: int) -> Result:
    """Measure one system; whatever goes wrong becomes its note."""
    count = max(int(changes * peer.share), 1)
    try:
        version = peer.version()
        peer.prepare(bench.cache)
        few = bench.source(max(count // SMALL, SMALL_MIN))
        bench.run(peer, few)  # untimed: files and the broker's coordinators are cold
        small = bench.run(peer, few)
        source = bench.source(count)
        full = bench.run(peer, source)
    # A system that fails must not hide the figures of the others.
    except Exception as error:
        traceback.print_exc()
        note = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return Result(
            "A",
            peer.name,
            "",
            peer.guarantee,
            peer.state,
            count,
            None,
            None,
            False,
            None,
            note=note,
        )
    seconds = full.seconds - small.seconds
    counted = source.records - few.records
    return Result(
        "A",
        peer.name,
        version,
        peer.guarantee,
        peer.state,
        counted,
        round(seconds, 2),
        round(counted / seconds),
        None if peer.is_ceiling else small.wrong == full.wrong == 0,
        full.peak_rss_mb,
        round((full.cpu_seconds - small.cpu_seconds) / counted * 1e6, 2),
        f"whole run {full.seconds:.1f} s, short run {small.seconds:.1f} s",
    )


def table(results: Sequence[Result]) -> str:
    """Return the results as text, the fastest first."""
    lines = [
        f"{'system':34s}{'changes/s':>12s}{'changes':>11s}{'seconds':>9s}{'MB':>7s}"
        f"{'cpu µs':>8s}  result"
    ]
    for each in sorted(results, key=lambda r: -(r.changes_per_second or 0)):
        verdict = {True: "exact", False: "WRONG", None: "(no result)"}[each.correct]
        if each.changes_per_second is None:
            lines.append(
                f"{each.system:34s}{'-':>12s}{'':>11s}{'':>9s}{'':>7s}{'':>8s}  {each.note}"
            )
            continue
        lines.append(
            f"{each.system:34s}{each.changes_per_second:12,d}{each.changes:11,d}"
            f"{each.seconds:9.1f}{each.peak_rss_mb:7d}{each.cpu_us_per_change:8.2f}"
            f"  {verdict}, {each.guarantee}, {each.state}"
        )
    return "\n".join(lines)


async def main() -> int:
    """Run the benchmark; exit code 1 if a system failed or was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=2_000_000)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="comma-separated modules")
    parser.add_argument("--out", type=Path, default=Path("bench/results.json"))
    arguments = parser.parse_args()
    peers: list[Peer] = [
        importlib.import_module(f"bench.peers.{name}").PEER for name in arguments.systems.split(",")
    ]
    folder = Path(tempfile.mkdtemp(prefix="psastream-bench-"))
    settings = StackSettings(
        data_dir=folder / "stack",
        cache_dir=cache_dir_from(os.environ),
        parts=frozenset({Part.KAFKA, Part.REGISTRY}),
        kafka_heap_mb=1024,
        kafka_join_wait_ms=3000,
    )
    results: list[Result] = []
    try:
        async with Stack(settings, PlainReporter(sys.stderr)) as stack:
            addresses = stack.addresses
            bench = Bench(addresses.bootstrap_servers, addresses.registry_url, folder)
            for peer in peers:
                result = await asyncio.to_thread(measure, bench, peer, arguments.changes)
                results.append(result)
                print(table([result]), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    arguments.out.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    print(table(results))
    return 0 if all(result.correct is not False for result in results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
