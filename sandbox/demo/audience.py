"""Shows a story to a person: a live table on a terminal, one line an event elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sandbox.story.act import Act, Audience

NOTES_SHOWN = 3
MISSING_CHARACTERS_MAX = 90


class DemoAudience(Audience, Protocol):
    """An audience that also hears what happens to the parts."""

    def note(self, text: str) -> None:
        """Something happened that is not of the story. Called from any thread."""

    def pulse(self, text: str) -> None:
        """These are the numbers now. Called from any thread."""


class PlainAudience:
    """Writes one line an event: for logs, pipes and continuous integration."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_missing = ""
        self._changes = 0

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
        self._write(f"{act.name}: {act.title}. {act.narration}")

    def changed(self, act: Act, changes: int) -> None:
        self._changes = changes

    def waiting(self, act: Act, missing: str) -> None:
        if missing != self._last_missing:
            self._last_missing = missing
            self._write(f"  after {self._changes} changes, not yet: {_shortened(missing)}")

    def act_ended(self, act: Act, seconds: float, outcome: str) -> None:
        self._write(f"  done after {seconds:.1f} s, {self._changes} changes. {outcome}")

    def note(self, text: str) -> None:
        self._write(f"  ! {text}")

    def pulse(self, text: str) -> None:
        """A line every second would bury the story."""

    def _write(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@dataclass(slots=True)
class _Progress:
    mark: str = " "
    changes: int = 0
    detail: str = ""


class LiveAudience:
    """Keeps a table of the acts on the terminal; a context manager that owns the live display."""

    def __init__(self, console: Console, acts: Sequence[Act]) -> None:
        self._acts = acts
        self._progress = {act.name: _Progress() for act in acts}
        self._notes: list[str] = []
        self._pulse = ""
        self._lock = threading.Lock()
        self._live = Live(console=console, refresh_per_second=8, get_renderable=self._render)

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
        self._set(act, "▸", act.narration)

    def changed(self, act: Act, changes: int) -> None:
        with self._lock:
            self._progress[act.name].changes = changes

    def waiting(self, act: Act, missing: str) -> None:
        self._set(act, "▸", f"waiting for {_shortened(missing)}")

    def act_ended(self, act: Act, seconds: float, outcome: str) -> None:
        self._set(act, "✓", f"{seconds:.1f} s  {outcome}")

    def note(self, text: str) -> None:
        with self._lock:
            self._notes = [*self._notes, text][-NOTES_SHOWN:]

    def pulse(self, text: str) -> None:
        with self._lock:
            self._pulse = text

    def _set(self, act: Act, mark: str, detail: str) -> None:
        with self._lock:
            progress = self._progress[act.name]
            progress.mark, progress.detail = mark, detail

    def _render(self) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right")
        table.add_column(style="dim", overflow="fold")
        with self._lock:
            for act in self._acts:
                progress = self._progress[act.name]
                count = f"{progress.changes:,}" if progress.changes else ""
                table.add_row(progress.mark, act.title, count, Text(progress.detail))
            notes = [Text(f"! {note}", style="yellow") for note in self._notes]
            pulse = Text(self._pulse, style="dim")
        return Group(table, pulse, *notes)


def make_audience(console: Console, acts: Sequence[Act]) -> PlainAudience | LiveAudience:
    """Return the audience that fits the console."""
    return LiveAudience(console, acts) if console.is_terminal else PlainAudience(console)


def _shortened(text: str) -> str:
    is_long = len(text) > MISSING_CHARACTERS_MAX
    return f"{text[:MISSING_CHARACTERS_MAX]}…" if is_long else text
