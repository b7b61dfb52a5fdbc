"""Lines of a terminal: what others wrote, on one of them, no wider than it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rich.cells import cell_len
from rich.text import Text


def shown_age(age: timedelta) -> str:
    """Return an age in its largest unit of two or more: 90s, 30m, 3h, 4d."""
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def printable(text: str) -> str:
    """Return a text of others on one line, without what a terminal obeys."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def fitted(name: str, said: str, width: int = 80) -> Iterator[str]:
    """Yield a name, never cut since it is to be copied, and what is said of it, cut to the width.

    Where both do not fit on a line, what is said comes on the next one.
    """
    line = f"{printable(name)}  {printable(said)}"
    if cell_len(line) <= width:
        yield line
    else:
        yield printable(name)
        yield cut(f"  {said}", width)


def cut(text: str, width: int) -> str:
    """Return a text as wide as `width` at most; … stands for what is left out."""
    line = Text(printable(text).rstrip())
    line.truncate(width, overflow="ellipsis")
    return line.plain
