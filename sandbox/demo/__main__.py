"""Run the demo: `python -m sandbox.demo --data-dir DIR`. `psastream demo` is the usual way in."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from runtime.logs import configure_logs
from sandbox.demo.options import DemoOptions, Disruption
from sandbox.demo.run import run_demo
from sandbox.stack.settings import cache_dir_from


def main() -> int:
    """Parse the command line, run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="emptied first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=300, help="changes a second")
    parser.add_argument("--entries", type=int, default=900, help="time entries")
    parser.add_argument("--keep", action="store_true", help="stay up afterwards")
    parser.add_argument(
        "--kill", action="append", default=[], type=Disruption.parse, help="part@act[:changes]"
    )
    chosen = parser.parse_args()
    configure_logs(json=False, level="ERROR")  # the parts log to files of their own
    options = DemoOptions(
        data_dir=chosen.data_dir,
        cache_dir=cache_dir_from(os.environ),
        seed=chosen.seed,
        rate=chosen.rate,
        entries=chosen.entries,
        keep=chosen.keep,
        disruptions=tuple(chosen.kill),
    )
    return asyncio.run(run_demo(options))


if __name__ == "__main__":
    sys.exit(main())
