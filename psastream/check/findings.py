"""What a check finds, and how it is told: a line that says what, and one that says what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from psastream.lines import printable
from psastream.verdict import Verdict, worst
from runtime.secrets import mask
from schemas.errors import ConfigError, PsaStreamError

WIDTH: Final = 80
_AREA: Final = 11
_HANG: Final = " " * (6 + _AREA)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy`: what to do, empty where nothing need be done."""

    area: str
    subject: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def failed(area: str, error: PsaStreamError, remedy: str = "") -> list[Finding]:
    """Return an error as findings: each of its problems, where it names several.

    `remedy` counts where the error has none.
    """
    problems = error.problems if isinstance(error, ConfigError) else (error.detail,)
    return [Finding(area, "", Verdict.FAIL, each, error.hint or remedy) for each in problems]


def asked(area: str, ask: Callable[[], Iterable[Finding]], remedy: str = "") -> list[Finding]:
    """Return what is found; where the question ends in an error of ours, that."""
    try:
        return list(ask())
    except PsaStreamError as error:
        return failed(area, error, remedy)


def lines_of(findings: Sequence[Finding], width: int = WIDTH) -> Iterator[str]:
    """Yield findings as lines within the width, whole; last how many there are of each verdict."""
    for each in findings:
        head = f"{each.verdict.value:<6}{each.area:<{_AREA}}"
        said = f"{each.subject}: {each.detail}" if each.subject else each.detail
        yield from _wrapped(said, head, width)
        if each.remedy and each.verdict is not Verdict.OK:
            yield from _wrapped(f"try: {each.remedy}", _HANG, width)
    counts = {
        verdict: sum(each.verdict is verdict for each in findings) for verdict in reversed(Verdict)
    }
    told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
    yield told or "nothing was looked at"


def _wrapped(text: str, head: str, width: int) -> Iterator[str]:
    yield from textwrap.wrap(
        printable(mask(text)), width, initial_indent=head, subsequent_indent=_HANG
    )


def findings_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return findings as plain values, with the worst verdict of all."""
    shown = [{**asdict(each), "verdict": each.verdict.value} for each in findings]
    return {"verdict": worst(each.verdict for each in findings).value, "findings": shown}
