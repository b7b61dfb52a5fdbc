"""What the product costs while nothing happens: processor share of each process, all at work.

PostgreSQL, Debezium, worker, poller, dispatcher and read model as shipped, their pace too, with
simulated vendors that have nothing new. The share is that of one core, over `--seconds` after the
start.

Run: make bench-idle
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench.latency import meter_of
from sandbox.demo.options import DemoOptions
from sandbox.demo.parts import start_parts
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack

PRODUCT = ("worker", "poller", "dispatcher", "readmodel")
BESIDE = ("kafka", "connect", "registry", "postgres", "vendors")
"""What the product stands on: not its own processor time."""
SETTLE_S = 30


async def measure(stack: Stack, seconds: float) -> dict[str, float]:
    """Return the share of a core that each process takes while nothing changes."""
    meters = {name: meter_of(stack, name) for name in (*PRODUCT, *BESIDE)}
    await asyncio.sleep(SETTLE_S)
    began = {name: meter.seconds() for name, meter in meters.items()}
    await asyncio.sleep(seconds)
    return {name: (meter.seconds() - began[name]) / seconds for name, meter in meters.items()}


def told(shares: dict[str, float]) -> str:
    """Return a line a process, and what the product takes together."""
    together = sum(shares[name] for name in PRODUCT)
    lines = [f"{name:12s}{share:8.2%}" for name, share in shares.items()]
    lines.insert(len(PRODUCT), f"{'together':12s}{together:8.2%}  of a core")
    return "\n".join(lines)


async def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("bench/idle.json"))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="psastream-bench-"))
    cache = cache_dir_from(os.environ)
    try:
        settings = StackSettings(data_dir=folder, cache_dir=cache, quick_start=False)
        async with Stack(settings, PlainReporter(sys.stderr)) as stack:
            options = DemoOptions(data_dir=folder, cache_dir=cache)
            await start_parts(stack, options, source_overrides={})  # polled as they are shipped
            shares = await measure(stack, arguments.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    arguments.out.write_text(json.dumps(shares, indent=2) + "\n")
    print(told(shares))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
