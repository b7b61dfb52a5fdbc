"""Run the poller: `python -m connectors.polled --config a.json --config b.json`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from connectors.polled.main import EXIT_CONFIG, run_poller
from runtime.settings import Settings
from schemas.errors import ConfigError


def main() -> int:
    """Parse the command line, run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="connectors.polled")
    parser.add_argument("--config", action="append", required=True, type=Path)
    arguments = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG
    return run_poller(settings, arguments.config)


if __name__ == "__main__":
    sys.exit(main())
