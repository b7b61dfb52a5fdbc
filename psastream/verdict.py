"""How well something is, in one word, and what several such words come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import StrEnum


class Verdict(StrEnum):
    """`skip`: not asked. `warn`: for a person to look at, nothing stands still. `fail`: broken."""

    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts; of none, ok."""
    return max(verdicts, key=list(Verdict).index, default=Verdict.OK)


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
    if len(line) <= width:
        yield line
    else:
        yield printable(name)
        yield cut(f"  {said}", width)


def cut(line: str, width: int) -> str:
    """Return a line that fits; what is too long ends in an ellipsis."""
    line = printable(line).rstrip()
    return line if len(line) <= width else f"{line[: width - 1]}…"
