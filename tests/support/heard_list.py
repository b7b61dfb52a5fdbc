"""The list of alerts that were heard: what runs of `make prove-alerts` have written down."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parents[1] / "heard" / "heard.json"


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One alert of a fault: whom it was told, in which words, what was done and what ended it."""

    alert: str
    done: str
    mended: str
    told: tuple[str, ...]
    said: str
    faster: int


def read_lines() -> list[Line]:
    """Return what was written down."""
    lines = json.loads(FILE.read_text()) if FILE.exists() else []
    return [Line(**{**line, "told": tuple(line["told"])}) for line in lines]


def write_lines(heard: Iterable[Line], tried: Iterable[tuple[str, str]]) -> None:
    """Write down what was heard in place of what was before, and forget what is not tried any more.

    `tried` are alerts with what is done to have them fire.
    """
    fresh = {(line.alert, line.done): line for line in heard}
    known = {(line.alert, line.done): line for line in read_lines()}
    kept = [line for key, line in {**known, **fresh}.items() if key in set(tried)]
    FILE.write_text(json.dumps([asdict(line) for line in sorted(kept)], indent=2) + "\n")
