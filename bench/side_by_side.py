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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.peers.peer import Peer
from bench.picture import Bar, bars
from bench.testbed import Bench
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack

SYSTEMS = (
    "fetch_loop",
    "psastream_engine",
    "psastream_one_worker",
    "kafka_streams",
    "flink_sql",
    "flink_datastream",
    "flink_batched",
    "bytewax",
    "quix",
    "stock_faust",
)
WORKS = {"A": "PEER", "B": "FROM_DEBEZIUM"}
"""The name a system's module gives to what does the work."""
SMALL = 50  # the short run, whose time is subtracted, has one change in so many
SMALL_MIN = 500
OURS = {"A": "psastream engine", "B": "psastream from Debezium"}
WANTED = {
    "fetch loop (no totals)": 0.5,
    "Kafka Streams": 4.0,
    "Flink SQL": 2.0,
    "Flink DataStream": 2.0,
    "Flink DataStream, mini-batches": 1.2,
    "Bytewax": 5.0,
    "Quix Streams": 10.0,
    "Faust (stock)": 100.0,
    "Kafka Streams from Debezium": 3.0,
}
"""How many times as fast as each psastream is meant to be."""


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


def measure(bench: Bench, peer: Peer, changes: int, work: str) -> Result:
    """Measure one system at a work; whatever goes wrong becomes its note."""
    count = max(int(changes * peer.share), 1)
    try:
        version = peer.version()
        peer.prepare(bench.cache)
        few = bench.source(max(count // SMALL, SMALL_MIN), work)
        bench.run(peer, few)  # untimed: files and the broker's coordinators are cold
        small = bench.run(peer, few)
        source = bench.source(count, work)
        full = bench.run(peer, source)
    # A system that fails must not hide the figures of the others.
    except Exception as error:
        traceback.print_exc()
        note = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return Result(
            work,
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
        work,
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


def peers_of(systems: Sequence[str], works: Sequence[str]) -> Iterator[tuple[str, Peer]]:
    """Yield the works of each system it can do, work A of all systems first."""
    modules = [importlib.import_module(f"bench.peers.{name}") for name in systems]
    for work in works:
        for module in modules:
            peer = getattr(module, WORKS[work], None)
            if peer is not None:
                yield work, peer


def table(results: Sequence[Result]) -> str:
    """Return the results as text, the fastest first."""
    lines = [
        f"{'work':5s}{'system':32s}{'changes/s':>12s}{'changes':>11s}{'seconds':>9s}{'MB':>7s}"
        f"{'cpu µs':>8s}  result"
    ]
    for each in sorted(results, key=lambda r: (r.work, -(r.changes_per_second or 0))):
        verdict = {True: "exact", False: "WRONG", None: "(no result)"}[each.correct]
        if each.changes_per_second is None:
            lines.append(f"{each.work:5s}{each.system:32s}{'-':>12s}{'':>35s}  {each.note}")
            continue
        lines.append(
            f"{each.work:5s}{each.system:32s}{each.changes_per_second:12,d}{each.changes:11,d}"
            f"{each.seconds:9.1f}{each.peak_rss_mb:7d}{each.cpu_us_per_change:8.2f}"
            f"  {verdict}, {each.guarantee}, {each.state}"
        )
    return "\n".join(lines)


def ratios(results: Sequence[Result]) -> str:
    """Return how many times as fast as each peer psastream was, beside what is wanted."""
    speeds = {each.system: each.changes_per_second for each in results if each.changes_per_second}
    lines = []
    for each in results:
        ours, theirs = speeds.get(OURS[each.work]), each.changes_per_second
        wanted = WANTED.get(each.system)
        if not ours or not theirs or wanted is None:
            continue
        verdict = "reached" if ours / theirs >= wanted else "missed"
        lines.append(f"{each.system:32s}{ours / theirs:8.2f} times, {wanted:g} wanted: {verdict}")
    return "\n".join(lines)


async def main() -> int:
    """Run the benchmark; exit code 1 if a system failed or was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=2_000_000)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="comma-separated modules")
    parser.add_argument("--works", default=",".join(WORKS), help="A, B or both")
    parser.add_argument("--out", type=Path, default=Path("bench/results.json"))
    arguments = parser.parse_args()
    chosen = list(peers_of(arguments.systems.split(","), arguments.works.split(",")))
    folder = Path(tempfile.mkdtemp(prefix="psastream-bench-"))
    settings = StackSettings(
        data_dir=folder / "stack",
        cache_dir=cache_dir_from(os.environ),
        parts=frozenset({Part.KAFKA, Part.REGISTRY}),
        kafka_heap_mb=1024,
        quick_start=False,
        kafka_join_wait_ms=3000,
    )
    results: list[Result] = []
    try:
        async with Stack(settings, PlainReporter(sys.stderr)) as stack:
            addresses = stack.addresses
            bench = Bench(addresses.bootstrap_servers, addresses.registry_url, folder)
            for work, peer in chosen:
                result = await asyncio.to_thread(measure, bench, peer, arguments.changes, work)
                results.append(result)
                print(table([result]), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    arguments.out.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    arguments.out.with_suffix(".svg").write_text(
        bars(
            [
                Bar(each.work, each.system, each.changes_per_second, each.guarantee)
                for each in results
                if each.changes_per_second
            ]
        )
    )
    print(table(results))
    print(ratios(results))
    return 0 if all(result.correct is not False for result in results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
