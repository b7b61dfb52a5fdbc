"""A worker process of the engine's tests: `python -m tests.support.engine_worker '<json>'`."""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import structlog

from streams.engine import EngineSettings, GroupSpec, NoInstruments, create_app
from streams.worker import Worker
from tests.support.engine_agents import Topics, totals_group
from tests.support.engine_orders import Order, Orders
from tests.support.engine_process import begin_log
from tests.support.engine_regions import region_groups
from tests.support.engine_sabotage import Sabotage, sabotage_transport, sabotaged_seams

TOPOLOGIES: dict[str, Callable[[str, int], Sequence[GroupSpec]]] = {
    "totals": lambda app_id, partitions: [totals_group(Topics.of(app_id), partitions)],
    "regions": region_groups,
}


def main(config: dict[str, Any], orders: Orders) -> int:
    """Run the worker of `config`: settings, partitions, and what is not as usual."""
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    for order in config.get("orders", ()):
        orders.add(Order.from_json(order))
    structlog.get_logger().info("worker starts", pid=os.getpid(), orders=config.get("orders"))
    settings = EngineSettings(**config["settings"])
    sabotage = Sabotage(config.get("sabotage", Sabotage.NOTHING))
    groups = TOPOLOGIES[config.get("topology", "totals")](settings.app_id, config["partitions"])
    seams = sabotaged_seams(sabotage, orders.reached)
    app = create_app(settings, groups, NoInstruments(), seams)
    sabotage_transport(sabotage, app)
    return Worker(app, stop_timeout_s=config.get("stop_timeout_s", 25.0)).run()


def run_forked(config: dict[str, Any], log_path: str, lines: Connection) -> None:
    """As `main`, in a forked process: output goes to a log, further orders come from `lines`."""
    begin_log(log_path)
    orders = Orders()
    threading.Thread(target=_take_orders, args=(lines, orders), daemon=True).start()
    sys.exit(main(config, orders))


def _take_orders(lines: Connection, orders: Orders) -> None:
    try:
        while True:
            orders.add(Order.from_json(lines.recv()))
    except EOFError:  # whoever started this process is gone
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), Orders()))
