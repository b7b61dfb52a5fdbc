"""A demo that stays up, as a user sees it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.eventually import eventually

DEADLINE_S = 600.0
STAYS_UP = "everything stays up"
LAST_ADDRESS = "dispatcher metrics"


@dataclass(frozen=True, slots=True)
class KeptDemo:
    """`psastream demo --keep`: what it printed, and the addresses in that."""

    process: subprocess.Popen[bytes]
    printed: str
    data_dir: Path

    @property
    def addresses(self) -> Mapping[str, str]:
        lines = self.printed.partition(STAYS_UP)[2].splitlines()[1:]
        return {name.strip(): at for name, _, at in (line.rpartition(" ") for line in lines)}

    @property
    def variables(self) -> Mapping[str, str]:
        """What the shell that it prepares exports."""
        lines = (self.data_dir / "env.sh").read_text().splitlines()
        words = (word for line in lines for word in shlex.split(line.removeprefix("export ")))
        return dict(word.split("=", 1) for word in words)

    def end(self) -> int:
        """Press Ctrl-C; the exit code."""
        return _end(self.process)


@contextmanager
def keeping(command: Sequence[str], folder: Path, log: Path, data_dir: Path) -> Iterator[KeptDemo]:
    """Run a command that starts a demo, in a folder; yield once it has told everything."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        printed = eventually(lambda: _ready(process, log), deadline_s=DEADLINE_S)
        yield KeptDemo(process, printed, data_dir)
    finally:
        if process.poll() is None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> int:
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    return process.wait(60)


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """What a demo has printed once it has told everything; empty before that."""
    printed = log.read_text(errors="replace")
    assert process.poll() is None, printed
    return printed if LAST_ADDRESS in printed.partition(STAYS_UP)[2] else ""
