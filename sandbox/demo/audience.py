"""Shows a story to a person: a few lines an act, and on a terminal one line of what is going on."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from psastream.lines import printable
from sandbox.demo.table import WIDTH
from sandbox.story.act import Act, Audience

NAME_CHARACTERS: Final = 13
STILL_S: Final = 30.0
"""Between two lines that say what is waited for, where there is no terminal."""


class DemoAudience(Audience, Protocol):
    """An audience that also hears what happens to the parts."""

    def note(self, text: str) -> None:
        """Something happened that is not of the story. Called from any thread."""

    def pulse(self, text: str) -> None:
        """These are the numbers now. Called from any thread."""


class PlainAudience:
    """Writes what an act is, then what came of it: for logs, pipes and continuous integration."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._changes = 0
        self._told_at_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """There is nothing to end."""

    def act_began(self, act: Act) -> None:
        self._changes = 0
        self._told_at_s = self._clock()
        self._write(act.title, name=act.name)
        self._write(act.narration)

    def changed(self, act: Act, changes: int) -> None:
        self._changes = changes

    def waiting(self, act: Act, missing: str) -> None:
        if self._clock() - self._told_at_s >= STILL_S:
            self._told_at_s = self._clock()
            self._write(f"still waiting for {missing}")

    def act_ended(self, act: Act, seconds: float, outcome: str) -> None:
        self._write(f"{_changes(self._changes)}, {seconds:.1f} s")
        for line in filter(None, outcome.splitlines()):
            self._write(line)

    def note(self, text: str) -> None:
        self._write(text, name="!")

    def pulse(self, text: str) -> None:
        """A line every second would bury the story."""

    def _write(self, text: str, name: str = "") -> None:
        margin = " " * NAME_CHARACTERS
        lines = textwrap.wrap(printable(text), WIDTH - NAME_CHARACTERS)
        block = textwrap.indent("\n".join(lines), margin)
        self._console.print(
            name.ljust(NAME_CHARACTERS) + block.removeprefix(margin),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class LiveAudience(PlainAudience):
    """Has one line more, which says what is going on; a context manager that owns it."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self._lock = threading.Lock()
        self._began_at_s = clock()
        self._missing = self._pulse = ""
        self._live = Live(
            console=console, refresh_per_second=4, transient=True, get_renderable=self.line
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def act_began(self, act: Act) -> None:
        with self._lock:
            self._missing, self._began_at_s = "", self._clock()
        super().act_began(act)

    def waiting(self, act: Act, missing: str) -> None:
        with self._lock:
            self._missing = f"waiting for {missing}"

    def act_ended(self, act: Act, seconds: float, outcome: str) -> None:
        with self._lock:
            self._missing = "comparing with the books"
        super().act_ended(act, seconds, outcome)

    def pulse(self, text: str) -> None:
        with self._lock:
            self._pulse = text

    def line(self) -> RenderableType:
        """Return what is going on now: one line, however long."""
        with self._lock:
            now, seconds = self._missing or self._pulse, self._clock() - self._began_at_s
        text = f"{'…':<{NAME_CHARACTERS}}{_changes(self._changes)}, {seconds:.0f} s  {now}"
        return Text(printable(text), style="dim", no_wrap=True, overflow="ellipsis")


def make_audience(console: Console) -> PlainAudience:
    """Return the audience that fits the console."""
    return LiveAudience(console) if console.is_interactive else PlainAudience(console)


def _changes(count: int) -> str:
    return f"{count:,} change" if count == 1 else f"{count:,} changes"
