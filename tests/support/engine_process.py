"""Processes of the crash suite: forked from one that has imported everything, and given orders."""

import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

import psutil

Target = Callable[[dict[str, Any], str, Connection], None]
"""Runs in the process: configuration, path of the log, and where orders come from."""


class AnyOrder(Protocol):
    """What a process may be told to do."""

    def to_json(self) -> dict[str, Any]: ...


def fork_server() -> ForkServerContext:
    """Starts workers and dispatchers in a moment: what they import has been imported once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["pytest", "tests.support.engine_worker", "tests.support.engine_dispatch"]
    )
    return context


class ForkedProcess:
    """A running process, and the way to give it orders."""

    def __init__(self, target: Target, config: dict[str, Any], log_path: Path) -> None:
        context = fork_server()
        lines, self._orders = context.Pipe(duplex=False)
        self.process: ForkServerProcess = context.Process(
            target=target, args=(config, str(log_path), lines), daemon=True
        )
        self.process.start()
        lines.close()

    def order(self, order: AnyOrder) -> None:
        with suppress(BrokenPipeError):  # one that has just ended by itself takes none
            self._orders.send(order.to_json())

    def send(self, number: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self.process.pid).send_signal(number)

    def has_ended(self) -> int | None:
        """The exit code, if it has; negative after a signal."""
        return self.process.exitcode

    def is_frozen(self) -> bool:
        try:
            return bool(psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED)
        except psutil.NoSuchProcess:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
