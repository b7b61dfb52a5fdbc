"""psastream's engine with the two agents of `bench.agents`, in worker processes of one group."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from bench.peers.peer import Job, Launch
from runtime.registry import Registry
from schemas.topics import PRODUCT_TOPICS

WORKERS = 2


class PsastreamEngine:
    """See Peer."""

    guarantee = "exactly once"
    state = "RocksDB"
    share = 1.0
    is_ceiling = False

    def __init__(self, name: str, workers: int = WORKERS) -> None:
        self.name = name
        self._workers = workers

    def version(self) -> str:
        """See Peer."""
        return version("psastream")

    def prepare(self, cache: Path) -> None:
        """See Peer."""

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        create_topics(job, ("rows-state", "weeks-state"), compact=True)
        create_topics(job, ("partials",))
        program = [sys.executable, "-m", "bench.peers.programs.psastream_worker"]
        return Launch(
            commands=[[*program, str(number)] for number in range(self._workers)],
            environment=job.environment(),
            drained=(job.source_topic, f"{job.group}-partials"),
        )


class PsastreamFromDebezium(PsastreamEngine):
    """See Peer. The product's normalizer writes the rows to a topic of their own."""

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        Registry(job.registry_url).register_catalogue(PRODUCT_TOPICS)
        create_topics(job, ("normalize-state", "time-entry"), compact=True)
        launch = super().launch(job, cache)
        rows = f"{job.group}-time-entry"
        source, *others = launch.drained
        return Launch(
            commands=launch.commands,
            environment={**launch.environment, "BENCH_ROWS_TOPIC": rows},
            drained=(source, rows, *others),
        )


def create_topics(job: Job, names: Sequence[str], *, compact: bool = False) -> None:
    """Create topics of the job's group."""
    config = {"cleanup.policy": "compact"} if compact else {}
    admin = AdminClient({"bootstrap.servers": job.bootstrap_servers})
    topics = [NewTopic(f"{job.group}-{n}", job.partitions, 1, config=config) for n in names]
    for future in admin.create_topics(topics).values():
        future.result()


PEER = PsastreamEngine("psastream engine")
FROM_DEBEZIUM = PsastreamFromDebezium("psastream from Debezium")
