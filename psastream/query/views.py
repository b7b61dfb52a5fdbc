"""The views that questions are asked of: SQL files in `sql/`, each with what its columns mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

SUFFIX: Final = ".sql"
_COLUMN: Final = re.compile(r"--   (\w+) \| ([^|]+) \| (.+)")
_KEY: Final = "-- key: "
_FIRST: Final = "-- first: "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view: unit of its values, what they mean and when they are null."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class View:
    """A query with a name. `key`: the columns of which no two rows have the same values; `first`:
    those that people look for, in the order in which they would rather do without the others.
    """

    name: str
    summary: str
    key: tuple[str, ...]
    first: tuple[str, ...]
    columns: tuple[Column, ...]
    query: str


@cache
def packaged_views() -> tuple[View, ...]:
    """Return the views of the product, by name."""
    folder = files("psastream.query") / "sql"
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(SUFFIX))
    return tuple(
        parse_view(name.removesuffix(SUFFIX), (folder / name).read_text()) for name in found
    )


def parse_view(name: str, text: str) -> View:
    """Read the file of a view: what it is, its key, what of it is shown first, its columns, and
    its query.
    """
    lines = text.splitlines()
    size = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    header = lines[:size]
    [key] = (line.removeprefix(_KEY) for line in header if line.startswith(_KEY))
    first = [line.removeprefix(_FIRST) for line in header if line.startswith(_FIRST)]
    columns = tuple(Column(*found.groups()) for line in header if (found := _COLUMN.match(line)))
    summary = header[0].removeprefix("-- ")
    return View(
        name,
        summary,
        tuple(key.split(", ")),
        tuple(first[0].split(", ")) if first else (),
        columns,
        "\n".join(lines[size:]),
    )
