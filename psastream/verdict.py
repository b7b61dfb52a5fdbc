"""How well something is, in one word, and what several such words come to."""

from __future__ import annotations

from collections.abc import Iterable
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
