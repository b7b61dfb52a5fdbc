"""psastream's engine with the two agents of `bench.agents`, in worker processes of one group."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from bench.peers.peer import Job, Launch

WORKERS = 2


class PsastreamEngine:
    """See Peer."""

    name = "psastream engine"
    guarantee = "exactly once"
    state = "RocksDB"
    share = 1.0
    is_ceiling = False

    def version(self) -> str:
        """See Peer."""
        return version("psastream")

    def prepare(self, cache: Path) -> None:
        """See Peer."""

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        compact = {"cleanup.policy": "compact"}
        topics = [
            NewTopic(f"{job.group}-rows-state", job.partitions, 1, config=compact),
            NewTopic(f"{job.group}-weeks-state", job.partitions, 1, config=compact),
            NewTopic(f"{job.group}-partials", job.partitions, 1),
        ]
        admin = AdminClient({"bootstrap.servers": job.bootstrap_servers})
        for future in admin.create_topics(topics).values():
            future.result()
        program = [sys.executable, "-m", "bench.peers.programs.psastream_worker"]
        return Launch(
            commands=[[*program, str(number)] for number in range(WORKERS)],
            environment=job.environment(),
            drained=(job.source_topic, f"{job.group}-partials"),
        )


PEER = PsastreamEngine()
