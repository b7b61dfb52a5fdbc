"""Faust as it is released: agents, tables on RocksDB with changelogs, repartition topics."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from bench.peers.environment import program
from bench.peers.peer import Job, Launch

WORKERS = 2
TABLES = ("rows", "margin-totals", "utilization-totals")


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
        # Made ahead: a worker that subscribes while the other makes a topic can miss it until its
        # metadata is refreshed, minutes later.
        amounts = [f"{job.group}-{name}-amounts" for name in ("margin", "utilization")]
        compact = {"cleanup.policy": "compact"}
        topics = [NewTopic(name, job.partitions, 1) for name in amounts] + [
            NewTopic(f"{job.group}-{table}-changelog", job.partitions, 1, config=compact)
            for table in TABLES
        ]
        admin = AdminClient({"bootstrap.servers": job.bootstrap_servers})
        for future in admin.create_topics(topics).values():
            future.result()
        command = [sys.executable, program("stock_faust")]
        return Launch(
            commands=[[*command, str(number)] for number in range(WORKERS)],
            environment=job.environment(),
            drained=(job.source_topic, *amounts),
        )


PEER = StockFaust()
