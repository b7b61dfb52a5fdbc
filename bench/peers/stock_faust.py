"""Faust as it is released: agents, tables on RocksDB with changelogs, repartition topics."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from bench.peers.environment import program
from bench.peers.peer import Job, Launch

WORKERS = 2


class StockFaust:
    """See Peer."""

    name = "Faust (stock)"
    guarantee = "at least once"
    state = "RocksDB"
    share = 0.02
    is_ceiling = False

    def version(self) -> str:
        """See Peer."""
        return version("faust-streaming")

    def prepare(self, cache: Path) -> None:
        """See Peer."""

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        command = [sys.executable, program("stock_faust")]
        return Launch(
            commands=[[*command, str(number)] for number in range(WORKERS)],
            environment=job.environment(),
            drained=(
                job.source_topic,
                f"{job.group}-margin-amounts",
                f"{job.group}-utilization-amounts",
            ),
        )


PEER = StockFaust()
