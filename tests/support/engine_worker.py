"""A worker process of the engine's tests: `python -m tests.support.engine_worker '<json>'`."""

import json
import logging
import sys
from typing import Any

import structlog

from streams.engine import EngineSettings, NoInstruments, create_app
from streams.worker import Worker
from tests.support.engine_agents import Topics, totals_group


def main(config: dict[str, Any]) -> int:
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    settings = EngineSettings(**config["settings"])
    group = totals_group(Topics.of(settings.app_id), config["partitions"])
    return Worker(create_app(settings, [group], NoInstruments())).run()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
