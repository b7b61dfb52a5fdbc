"""Fixtures of the end-to-end tests: each demo has a stack of its own."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from sandbox.demo.options import DemoOptions, Disruption
from sandbox.demo.run import run_demo
from sandbox.stack.settings import cache_dir_from
from tests.support.stack import stack_directory

RunDemo = Callable[..., tuple[int, str]]


@pytest.fixture
def play_demo() -> Iterator[RunDemo]:
    """Run a small demo on an event loop of its own; its exit code and everything it printed."""
    import asyncio

    with stack_directory() as directory:

        def play(*disruptions: Disruption) -> tuple[int, str]:
            options = DemoOptions(
                data_dir=directory,
                cache_dir=cache_dir_from(os.environ),
                seed=1,
                entries=300,
                disruptions=disruptions,
                deadline_s=240.0,
            )
            printed = io.StringIO()
            code = asyncio.run(run_demo(options, Console(file=printed, width=120)))
            return code, printed.getvalue()

        yield play
