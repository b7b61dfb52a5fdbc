"""Fixtures of the end-to-end tests: each demo has a stack of its own."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from sandbox.demo.options import DemoOptions, Disruption
from sandbox.demo.run import run_demo
from sandbox.stack.settings import cache_dir_from
from tests.support.kept_demo import DEADLINE_S, KeptDemo, keeping
from tests.support.stack import stack_directory

RunDemo = Callable[..., tuple[int, str]]

ENTRIES = 300  # of the volume act: enough for every state, and soon done


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
        data = directory / "data"
        always = ["--keep", "--entries", str(ENTRIES), "--data-dir", str(data)]
        command = [sys.executable, "-m", "psastream", "demo", *always, *options]
        with keeping(command, Path.cwd(), directory / "demo.log", data) as demo:
            yield demo


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
