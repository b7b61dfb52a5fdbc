"""Lines of a terminal: what others wrote, on one of them, no wider than it is."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Final, TextIO

from rich.cells import cell_len
from rich.text import Text

from runtime.secrets import mask

WIDTH: Final = 80
"""Columns of a terminal that nobody has made wider."""


def shown_age(age: timedelta) -> str:
    """Return an age in its largest unit of two or more: 90s, 30m, 3h, 4d."""
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def say_of(name: str, said: str) -> None:
    """Print a name, which is to be copied, and what is said of it, as `fitted` has them."""
    for line in fitted(mask(name), mask(said)):
        sys.stdout.write(f"{line}\n")


def instant(at: datetime) -> str:
    """Return an instant as ISO 8601 in UTC: 2026-03-02T08:00:00Z; one without a zone as it is."""
    if at.tzinfo is None:
        return at.isoformat()
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def plain(value: object) -> object:
    """Return what JSON has no word for: instants and days as ISO 8601, decimals as texts."""
    if isinstance(value, datetime):
        return instant(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def terminal_width(out: TextIO | None = None) -> int | None:
    """Return the columns of the terminal that output goes to, None where it goes to none."""
    out = out or sys.stdout
    return os.get_terminal_size(out.fileno()).columns if out.isatty() else None


def say(said: str, head: str = "", *, is_error: bool = False) -> None:
    """Print what is for people to read, without secrets: as `wrapped` breaks it on a terminal.

    What goes to no terminal is one line.
    """
    out = sys.stderr if is_error else sys.stdout
    for line in wrapped(head, mask(said), terminal_width(out)):
        out.write(f"{line}\n")
    out.flush()


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Hand out what tells of work under way: on one line of a terminal, else nowhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    try:
        yield lambda text: _rewrite(cut(text, WIDTH - 1))
    finally:
        _rewrite("")


def _rewrite(text: str) -> None:
    sys.stderr.write(f"\r\x1b[K{text}")
    sys.stderr.flush()


def printable(text: str) -> str:
    """Return a text of others on one line, without what a terminal obeys."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def fitted(name: str, said: str, width: int = WIDTH) -> Iterator[str]:
    """Yield a name, never cut since it is to be copied, and what is said of it, cut to the width.

    Where both do not fit on a line, what is said comes on the next one.
    """
    line = f"{printable(name)}  {printable(said)}"
    if cell_len(line) <= width:
        yield line
    else:
        yield printable(name)
        yield cut(f"  {said}", width)


def wrapped(head: str, said: str, width: int | None) -> Iterator[str]:
    """Yield a head and what is said under it on as many lines as the width asks for.

    None is the width of what is no terminal: one line. What is said keeps 20 columns at least. A
    word is never broken, since it may be a key, a path or an address that is to be copied.
    """
    said = printable(said)
    if width is None or cell_len(head + said) <= width:
        yield head + said
        return
    room = max(width - cell_len(head), 20)
    line = ""
    for word in re.findall(r" *[^ ]+", said):
        if line and cell_len(line + word) > room:
            yield head + line
            head, line = " " * cell_len(head), word.lstrip(" ")
        else:
            line += word
    yield head + line


def cut(text: str, width: int) -> str:
    """Return a text as wide as `width` at most; … stands for what is left out."""
    line = Text(printable(text).rstrip())
    line.truncate(width, overflow="ellipsis")
    return line.plain
