"""Tells a person what the supervisor is doing. Not a log: nothing is kept."""

import time
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

SOON_S: Final = 3.0


class Reporter(Protocol):
    """Receives the progress of named steps (a part, or `jars`)."""

    def step(self, name: str, detail: str) -> None:
        """`name` now does `detail`."""

    def progress(self, name: str, done: int, total: int) -> None:
        """`done` of `total` items of `name` are finished."""

    def done(self, name: str, seconds: float) -> None:
        """`name` finished after `seconds`."""


class PlainReporter:
    """One line per step on a text stream: for logs, pipes and continuous integration."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def step(self, name: str, detail: str) -> None:
        self._write(f"{name}: {detail}")

    def progress(self, name: str, done: int, total: int) -> None:
        # A line per quarter: a file of a hundred lines of progress hides what matters.
        if done == total or done % max(1, total // 4) == 0:
            self._write(f"{name}: {done} of {total}")

    def done(self, name: str, seconds: float) -> None:
        self._write(f"{name}: done after {seconds:.1f} s")

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class BriefReporter:
    """One line a part, once it is up; a context manager that is silent when it is left."""

    def __init__(self, stream: TextIO) -> None:
        self._plain = PlainReporter(stream)
        self._is_open = True
        self._began_at_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False

    def step(self, name: str, detail: str) -> None:
        """A line for its end is enough."""

    def progress(self, name: str, done: int, total: int) -> None:
        # What is in the cache is there at once; only what is downloaded is waited for.
        if time.monotonic() - self._began_at_s > SOON_S:
            self._plain.progress(name, done, total)

    def done(self, name: str, seconds: float) -> None:
        if self._is_open:
            self._plain.done(name, seconds)


class RichReporter:
    """A live list of steps on a terminal; a context manager that owns the live display."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.fields[name]:<10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def step(self, name: str, detail: str) -> None:
        self._progress.reset(self._task(name), description=detail, total=None)

    def progress(self, name: str, done: int, total: int) -> None:
        self._progress.update(
            self._task(name), completed=done, total=total, description=f"{done}/{total}"
        )

    def done(self, name: str, seconds: float) -> None:
        self._progress.update(
            self._task(name), completed=1, total=1, description=f"done after {seconds:.1f} s"
        )

    def _task(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task("", total=None, name=name)
        return self._tasks[name]
