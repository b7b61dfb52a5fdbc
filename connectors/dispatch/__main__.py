"""`python -m connectors.dispatch --config a.json --config b.json`: one dispatcher process."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from connectors.dispatch.main import EXIT_CONFIG, run_dispatcher
from runtime.logs import configure_logs
from runtime.settings import Settings
from schemas.errors import ConfigError


def main() -> int:
    """Read arguments and environment, run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m connectors.dispatch", description=__doc__)
    parser.add_argument(
        "--config", action="append", type=Path, required=True, help="a sink.json; repeatable"
    )
    arguments = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG
    configure_logs(json=settings.log_json, level=settings.log_level)
    return run_dispatcher(settings, arguments.config)


if __name__ == "__main__":
    sys.exit(main())
