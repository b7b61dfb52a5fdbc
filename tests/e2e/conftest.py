"""Fixtures of the end-to-end tests: each demo has a stack of its own."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from sandbox.demo.options import DemoOptions, Disruption
from sandbox.demo.run import run_demo
from sandbox.stack.settings import cache_dir_from
from tests.support.eventually import eventually
from tests.support.stack import stack_directory

RunDemo = Callable[..., tuple[int, str]]

ENTRIES = 300  # of the volume act: enough for every state, and soon done
DEADLINE_S = 600.0
STAYS_UP = "everything stays up"
LAST_ADDRESS = "dispatcher metrics"


@dataclass(frozen=True, slots=True)
class KeptDemo:
    """`psastream demo --keep` as a user sees it: what it printed, and the addresses in that."""

    process: subprocess.Popen[bytes]
    printed: str
    data_dir: Path

    @property
    def addresses(self) -> Mapping[str, str]:
        lines = self.printed.partition(STAYS_UP)[2].splitlines()[1:]
        return {name.strip(): at for name, _, at in (line.rpartition(" ") for line in lines)}

    def end(self) -> int:
        """Press Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture(scope="session")
def kept_demo() -> Iterator[KeptDemo]:
    """One demo whose parts stay up for the tests of this folder.

    In its middle the process that keeps the read model is killed: nothing else may tell.
    """
    with running_demo("--kill", "readmodel@hours:100") as demo:
        yield demo


@contextmanager
def running_demo(*options: str) -> Iterator[KeptDemo]:
    """A demo that stays up for the length of the block, once it has told everything."""
    with stack_directory() as directory:
        log = directory / "demo.log"
        command = [sys.executable, "-m", "psastream", "demo", "--keep", "--entries", str(ENTRIES)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *options, "--data-dir", str(directory / "data")],
                stdout=output,
                stderr=output,
            )
        try:
            printed = eventually(lambda: _ready(process, log), deadline_s=DEADLINE_S)
            yield KeptDemo(process, printed, directory / "data")
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(60)


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """What a demo has printed once it has told everything; empty before that."""
    printed = log.read_text(errors="replace")
    assert process.poll() is None, printed
    return printed if LAST_ADDRESS in printed.partition(STAYS_UP)[2] else ""


@pytest.fixture
def play_demo() -> Iterator[RunDemo]:
    """Run a small demo on an event loop of its own; its exit code and everything it printed."""
    with stack_directory() as directory:

        def play(*disruptions: Disruption) -> tuple[int, str]:
            options = DemoOptions(
                data_dir=directory,
                cache_dir=cache_dir_from(os.environ),
                seed=1,
                entries=ENTRIES,
                disruptions=disruptions,
                deadline_s=DEADLINE_S,
            )
            printed = io.StringIO()
            code = asyncio.run(run_demo(options, Console(file=printed, width=120)))
            return code, printed.getvalue()

        yield play
