"""The ceiling: only fetching every record, in two Python processes."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from bench.peers.environment import program
from bench.peers.peer import Job, Launch

PROCESSES = 2


class FetchLoop:
    """See Peer."""

    name = "fetch loop (no totals)"
    guarantee = "none"
    state = "none"
    share = 1.0
    is_ceiling = True

    def version(self) -> str:
        """See Peer."""
        return f"confluent-kafka {version('confluent-kafka')}"

    def prepare(self, cache: Path) -> None:
        """See Peer."""

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        command = [sys.executable, program("fetch_loop")]
        return Launch(
            commands=[[*command, f"{index}/{PROCESSES}"] for index in range(PROCESSES)],
            environment=job.environment(),
        )


PEER = FetchLoop()
