"""Processes of the crash suite: forked from one that has imported everything, and given orders."""

import faulthandler
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests.support.eventually import eventually

Target = Callable[[dict[str, Any], str, Connection], None]
"""Runs in the process: configuration, path of the log, and where orders come from."""
_DUMP_S = 10.0
_TOLD_LINES = 150


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


def begin_log(log_path: str) -> None:
    """Send what this process writes to its log; on SIGUSR1 that is where its threads stand."""
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.register(signal.SIGUSR1)


class ForkedProcess:
    """A running process, and the way to give it orders."""

    def __init__(self, target: Target, config: dict[str, Any], log_path: Path) -> None:
        self._log_path = log_path
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

    def stand(self) -> str:
        """Its state, and the end of its log, which by then says what each of its threads is at."""
        known = psutil.Process(self.process.pid) if self.has_ended() is None else None
        state = f"ended with {self.has_ended()}" if known is None else str(known.status())
        if known is not None and not self.is_frozen():
            sizes = [len(self._log())] * 2

            def is_told() -> bool:
                sizes.append(len(self._log()))
                return sizes[-1] == sizes[-2] > sizes[0]

            self.send(signal.SIGUSR1)
            with suppress(AssertionError):
                eventually(is_told, deadline_s=_DUMP_S)
        return "\n".join([f"{state}:", *self._log().splitlines()[-_TOLD_LINES:]])

    def _log(self) -> str:
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


@contextmanager
def told_where_they_stand(
    processes: Callable[[], Mapping[str, ForkedProcess]], *others: Callable[[], str]
) -> Iterator[None]:
    """Add to an AssertionError where each process stands, and what `others` say."""
    try:
        yield
    except AssertionError as error:
        said = [other() for other in others]
        said += [f"{name}: {process.stand()}" for name, process in processes().items()]
        raise AssertionError("\n\n".join([str(error), *said])) from error
