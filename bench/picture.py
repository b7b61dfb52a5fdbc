"""The results as a picture that stands alone: one bar a system, the fastest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

TITLES = {"A": "Canonical changes to totals", "B": "Debezium envelopes to totals"}
LEFT, WIDTH, BAR, STEP, HEAD = 250, 420, 20, 28, 40
RIGHT = 210
OURS, THEIRS, CEILING = "#1f6f54", "#8fa3ad", "#d9dfe2"


class Bar(NamedTuple):
    """One bar; `guarantee` is written beside the figure."""

    work: str
    system: str
    changes_per_second: int
    guarantee: str


def bars(found: Sequence[Bar]) -> str:
    """Return an SVG document; each work has a scale of its own, without the ceiling."""
    body: list[str] = []
    top = 0
    for work in sorted({bar.work for bar in found}):
        mine = sorted(
            (bar for bar in found if bar.work == work), key=lambda bar: -bar.changes_per_second
        )
        body.append(_text(0, top + 22, f"{TITLES[work]}, changes a second", weight="bold"))
        most = max((b.changes_per_second for b in mine if b.guarantee != "none"), default=1)
        for number, bar in enumerate(mine):
            body += _row(bar, top + HEAD + number * STEP, most)
        top += HEAD + len(mine) * STEP + 20
    width = LEFT + WIDTH + RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}"'
        f' viewBox="0 0 {width} {top}" font-family="sans-serif" font-size="14">'
        f'<rect width="{width}" height="{top}" fill="white"/>{"".join(body)}</svg>\n'
    )


def _row(bar: Bar, top: int, most: int) -> list[str]:
    length = max(1, min(WIDTH, round(WIDTH * bar.changes_per_second / most)))
    is_ceiling = bar.guarantee == "none"
    color = CEILING if is_ceiling else OURS if bar.system.startswith("psastream") else THEIRS
    # The ceiling's bar is cut at the edge: its figure says how far it goes.
    figure = f"{bar.changes_per_second:,d}" + ("" if is_ceiling else f"  {bar.guarantee}")
    return [
        _text(LEFT - 10, top + 15, bar.system, anchor="end"),
        f'<rect x="{LEFT}" y="{top}" width="{length}" height="{BAR}" fill="{color}"/>',
        _text(LEFT + length + 8, top + 15, figure),
    ]


def _text(x: int, y: int, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
    )
