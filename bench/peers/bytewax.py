"""Bytewax: two processes of one dataflow, with recovery on disk."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from bench.peers.environment import make, pinned, program, python_of
from bench.peers.peer import Job, Launch

PROCESSES = 2  # not threads: workers of one process would share one interpreter lock
SNAPSHOT_S = 1


class Bytewax:
    """See Peer."""

    name = "Bytewax"
    guarantee = "at least once"
    state = "memory, snapshots in SQLite"
    share = 0.25
    is_ceiling = False

    def version(self) -> str:
        """See Peer."""
        return pinned("bytewax", "bytewax")

    def prepare(self, cache: Path) -> None:
        """See Peer."""
        # Its last release has wheels up to Python 3.12.
        make(cache, "bytewax", sys.executable if sys.version_info < (3, 13) else "3.12")

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        python = python_of(cache, "bytewax")
        recovery = job.folder / "recovery"
        recovery.mkdir()
        make_recovery = [python, "-m", "bytewax.recovery", str(recovery), str(PROCESSES)]
        subprocess.run(make_recovery, check=True)
        addresses = ";".join(f"127.0.0.1:{port}" for port in _free_ports(PROCESSES))
        flow = Path(program("bytewax"))
        command = [python, "-m", "bytewax.run", f"{flow.stem}:flow", "-a", addresses]
        options = ["-r", str(recovery), "-s", str(SNAPSHOT_S), "-b", "0"]
        return Launch(
            commands=[[*command, *options, "-i", str(number)] for number in range(PROCESSES)],
            environment={**job.environment(), "PYTHONPATH": str(flow.parent)},
        )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


PEER = Bytewax()
