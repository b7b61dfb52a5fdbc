"""Quix Streams: rows and totals in its RocksDB stores with changelogs, exactly once."""

from __future__ import annotations

from pathlib import Path

from bench.peers.environment import make, pinned, program, python_of
from bench.peers.peer import Job, Launch

PROCESSES = 2


class Quix:
    """See Peer."""

    name = "Quix Streams"
    guarantee = "exactly once"
    state = "RocksDB"
    share = 0.25
    is_ceiling = False

    def version(self) -> str:
        """See Peer."""
        return pinned("quix", "quixstreams")

    def prepare(self, cache: Path) -> None:
        """See Peer."""
        make(cache, "quix")

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        command = [python_of(cache, "quix"), program("quix")]
        return Launch(
            commands=[[*command, str(number)] for number in range(PROCESSES)],
            environment=job.environment(),
            drained=(
                job.source_topic,
                f"{job.group}-margin-amounts",
                f"{job.group}-utilization-amounts",
            ),
        )


PEER = Quix()
