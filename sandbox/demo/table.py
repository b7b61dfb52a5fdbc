"""Lines of a table that is as wide as a terminal at most: numbers whole, names cut with …"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from psastream.lines import cut, printable

WIDTH: Final = 80
"""Columns of a terminal."""
GAP: Final = "  "
LINES_MAX: Final = 2
TEXT_CHARACTERS_MIN: Final = 8

Cells = Sequence[str]


def table_lines(headers: Cells, rows: Sequence[Cells | str]) -> Iterator[Text]:
    """Yield a header and the rows; the first column is text, the others are numbers.

    A row that is one text goes over all columns. The first column takes what the numbers leave.
    """
    whole = [headers, *(row for row in rows if not isinstance(row, str))]
    widths = [max(cell_len(row[at]) for row in whole) for at in range(1, len(headers))]
    left = max(TEXT_CHARACTERS_MIN, WIDTH - sum(widths) - len(GAP) * len(widths))
    for number, row in enumerate([headers, *rows]):
        if isinstance(row, str):
            yield Text(cut(row, WIDTH))
            continue
        numbers = [
            " " * (width - cell_len(cell)) + cell
            for width, cell in zip(widths, row[1:], strict=True)
        ]
        name = cut(row[0], left)
        line = GAP.join([name + " " * (left - cell_len(name)), *numbers])
        yield Text(line, style="dim" if number == 0 else "")


def wrapped(text: str) -> list[str]:
    """Return a text in two lines at most, broken between words, cut with … after that."""
    return textwrap.wrap(printable(text), WIDTH, max_lines=LINES_MAX, placeholder=" …")
