"""Which columns of a wide answer fit the terminal. Pure.

Only where a query names no columns (`FROM view`) any is left out: what somebody names is shown. A
view says what people look for; of a topic identifiers, which people do not read where there is a
name, go first. What amounts are of stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, chop_cells

GAP: Final = 2
TEXT_MIN: Final = 20
"""To so many columns a text is cut, in its middle: names of one project differ at their ends."""
LONG_TEXT: Final = 40
WORD: Final = 16
"""So long a text is one of the words of a column, such as a state."""
IDS: Final = ("_ref", "_id", "_key")
NAMES: Final = ("project", "person", "customer", "name")
COUNTS: Final = ("INTEGER", "BIGINT")
CURRENCY: Final = "currency"
HEADERS: Final = {CURRENCY: "ccy"}
"""Shorter headers, where a table is too wide."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is shown: its name, DuckDB's type, a text for each row."""

    name: str
    kind: str
    cells: Sequence[str]

    @property
    def is_text(self) -> bool:
        """Whether its values may be cut."""
        return self.kind == "VARCHAR"

    @property
    def width(self) -> int:
        """How wide its values are; that of the header is no part of it."""
        return max(map(cell_len, self.cells), default=0)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Columns that fit, under their headers, and the names of those left out."""

    headers: Sequence[str]
    columns: Sequence[Column]
    left_out: Sequence[str]


def fitted(columns: Sequence[Column], width: int, first: Sequence[str] = ()) -> Fitted | None:
    """Return what of some columns fits a width, None where too little would be left.

    What it leaves out first is of the least use to a reader: never one of `first` while there are
    others, and of these the last. Texts are cut as long as all that differ still do.
    """
    kept = list(columns)
    left_out: list[str] = []
    for name in _given_up(columns, first):
        if (found := _cut(kept, width)) is not None:
            return Fitted(*found, left_out)
        kept = [each for each in kept if each.name != name]
        left_out.append(name)
    found = _cut(kept, width)
    return None if found is None or len(kept) < 2 else Fitted(*found, left_out)


def _given_up(columns: Sequence[Column], first: Sequence[str]) -> Iterator[str]:
    """Yield the names of columns in the order in which they are left out, a currency last."""
    if not first:
        yield from _least_wanted(columns)
        return
    yield from (name for name in _least_wanted(columns) if name not in first)
    yield from (name for name in reversed(first[1:]) if name != CURRENCY)
    if CURRENCY in first:
        yield CURRENCY


def squeezed(columns: Sequence[Column], width: int) -> Fitted | None:
    """Return all of some columns within a width, texts cut, None where two would look alike."""
    found = _cut(list(columns), width)
    return None if found is None else Fitted(*found, ())


def _least_wanted(columns: Sequence[Column]) -> Iterator[str]:
    """Yield the names of columns that may be left out, in their order: never the first of names,
    and a currency last, without which amounts say nothing.
    """
    names = {each.name for each in columns}
    ranks: Sequence[Callable[[Column], bool]] = (
        lambda each: each.name.endswith(IDS),
        lambda each: each.kind.startswith("TIMESTAMP"),
        lambda each: not any(each.cells),
        lambda each: each.name.removesuffix("seconds") + "hours" in names - {each.name},
        lambda each: each.kind == "BOOLEAN",
        lambda each: each.is_text and each.width > LONG_TEXT,
        lambda each: each.is_text and each.width > WORD and each.name not in NAMES,
        lambda each: each.is_text and each.width > WORD,
        lambda each: each.kind in COUNTS,
        lambda each: each.name.endswith("_ratio"),
        lambda each: each.name != CURRENCY,
        lambda _: True,
    )
    texts = [each for each in columns if each.is_text and not each.name.endswith(IDS)]
    first = next((each for each in texts if each.name in NAMES and any(each.cells)), None)
    first = first or next(iter(texts), columns[0])
    told: set[str] = set()
    for is_of_rank in ranks:
        for each in reversed(columns):
            if each.name not in told and each is not first and is_of_rank(each):
                told.add(each.name)
                yield each.name


def _cut(columns: Sequence[Column], width: int) -> tuple[list[str], list[Column]] | None:
    """Return headers and columns within a width, None where they do not fit."""
    headers = [HEADERS.get(each.name, each.name) for each in columns]
    widths = [max(cell_len(h), each.width) for h, each in zip(headers, columns, strict=True)]
    room = width - GAP * (len(columns) - 1) - sum(widths)
    cut = list(columns)
    while room < 0:
        wide = [
            at for at, each in enumerate(columns)
            if each.is_text and widths[at] > max(TEXT_MIN, cell_len(headers[at]))
        ]  # fmt: skip
        if not wide:
            return None
        at = max(wide, key=lambda at: widths[at])
        widths[at] -= 1
        room += 1
        cells = [middle(cell, widths[at]) for cell in columns[at].cells]
        if len(set(cells)) < len(set(columns[at].cells)):
            return None
        cut[at] = Column(columns[at].name, columns[at].kind, cells)
    return headers, cut


def middle(text: str, width: int) -> str:
    """Return a text as wide as `width` at most; … stands for what is left out in its middle."""
    if cell_len(text) <= width:
        return text
    head = chop_cells(text, (width - 1) // 2)[0]
    tail = chop_cells(text[::-1], width - 1 - cell_len(head))[0][::-1]
    return f"{head}…{tail}"
