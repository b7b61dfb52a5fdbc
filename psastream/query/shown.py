"""Answers on paper: a table for people, JSON and CSV for machines."""

from __future__ import annotations

import csv
import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from numbers import Real
from typing import Any, Final, TextIO

from rich.cells import cell_len

from psastream.lines import instant, printable, wrapped
from psastream.query.fitting import GAP, Column, Fitted, fitted, squeezed
from psastream.query.session import Answer
from psastream.topic_rows import text_of

MONEY_DIGITS: Final = 2
_NUMBERS: Final = ("DECIMAL", "BIGINT", "INTEGER", "HUGEINT", "DOUBLE", "SMALLINT")


class Form(Enum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def print_answer(answer: Answer, form: Form, out: TextIO, *, width: int | None) -> None:
    """Print an answer. `width`: columns of the terminal, None where it may be as wide as it is.

    In a table that is wider than the terminal amounts are rounded and texts cut, and where the
    query names no columns some are left out; it is said below. What does not fit even so is
    printed row by row, a column a line, long texts on several.
    """
    if form is Form.JSON:
        for line in json_lines(answer):
            out.write(line + "\n")
    elif form is Form.CSV:
        write_csv(answer, out)
    else:
        _print_table(answer, out, width)


def json_lines(answer: Answer) -> Iterator[str]:
    """Yield rows as JSON objects: decimals as texts, times as ISO 8601."""
    names = [name for name, _ in answer.columns]
    for row in answer.rows:
        yield json.dumps(_plain(dict(zip(names, row, strict=True))), ensure_ascii=False)


def write_csv(answer: Answer, out: TextIO) -> None:
    """Write rows with a line of names first; null is an empty field, what is nested is JSON."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([name for name, _ in answer.columns])
    for row in answer.rows:
        writer.writerow([_field(value) for value in row])


def shown(value: object, digits: int = MONEY_DIGITS) -> str:
    """Return a value as people read it, on one line, without what a terminal obeys.

    A decimal is whole, without zeros at its end beyond so many digits.
    """
    match value:
        case None:
            return ""
        case Decimal():
            return f"{value:.{max(min(digits, _scale(value)), _digits(value))}f}"
        case datetime():
            return instant(value.replace(microsecond=0))
        case bool():
            return str(value).lower()
        case list() | dict():
            text = json.dumps(_plain(value), ensure_ascii=False)
        case _:
            text = str(_plain(value))
    return printable(text)


def _print_table(answer: Answer, out: TextIO, width: int | None) -> None:
    rows = list(answer.rows)
    columns = [
        Column(name, kind, cells)
        for (name, kind), cells in zip(answer.columns, _columns(answer, rows), strict=True)
    ]
    names = [each.name for each in columns]
    told = ""
    size = sum(max(cell_len(each.name), each.width) + GAP for each in columns) - GAP
    if width is None or size <= width:
        _print_lines(names, columns, out)
    elif (found := _fitted(answer, _rounded(answer, rows), width)) is not None:
        _print_lines(found.headers, found.columns, out)
        left_out = f"left out, to fit: {', '.join(found.left_out)}; " if found.left_out else ""
        told = f"{left_out}amounts are rounded and texts cut, to fit (--json has all)"
    else:
        _print_rows(names, [each.cells for each in columns], out, width)
    out.write(f"{len(rows)} row{'' if len(rows) == 1 else 's'}\n")
    if told:
        out.write("\n".join(textwrap.wrap(told, width or len(told))) + "\n")


def _fitted(answer: Answer, columns: Sequence[Column], width: int) -> Fitted | None:
    if answer.names_no_columns:
        return fitted(columns, width, answer.first)
    return squeezed(columns, width)


def _rounded(answer: Answer, rows: Sequence[tuple[Any, ...]]) -> list[Column]:
    """Return the columns with as many digits as people read: of money two, of ratios four."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in answer.columns)
    return [
        Column(name, kind, [_short(value, 4 if name.endswith("_ratio") else 2) for value in values])
        for (name, kind), values in zip(answer.columns, columns, strict=True)
    ]


def _short(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, Decimal) else shown(value)


def _columns(answer: Answer, rows: Sequence[tuple[Any, ...]]) -> list[list[str]]:
    return [_cells(values) for values in zip(*rows, strict=True)] or [[] for _ in answer.columns]


def _print_lines(headers: Sequence[str], columns: Sequence[Column], out: TextIO) -> None:
    widths = [max(cell_len(h), each.width) for h, each in zip(headers, columns, strict=True)]
    sides = [each.kind.startswith(_NUMBERS) for each in columns]
    rows = zip(*(each.cells for each in columns), strict=True)
    for line in (headers, ["─" * each for each in widths], *rows):
        cells = map(_padded, line, widths, sides)
        out.write("  ".join(cells).rstrip() + "\n")


def _print_rows(
    names: Sequence[str], columns: Sequence[Sequence[str]], out: TextIO, width: int
) -> None:
    size = max(map(cell_len, names))
    for row in zip(*columns, strict=True):
        for name, value in zip(names, row, strict=True):
            for line in wrapped(_padded(name, size, False) + "  ", value, width):
                out.write(line.rstrip() + "\n")
        out.write("\n")


def _cells(values: Sequence[object]) -> list[str]:
    """Return the values of a column, decimals with as many digits as the finest of them needs."""
    needed = (_digits(value) for value in values if isinstance(value, Decimal))
    digits = max(needed, default=0)
    return [shown(value, max(digits, MONEY_DIGITS)) for value in values]


def _padded(text: str, size: int, is_number: bool) -> str:
    space = " " * (size - cell_len(text))
    return space + text if is_number else text + space


def _scale(value: Decimal) -> int:
    """Return how many digits of a decimal stand behind its point."""
    return max(-int(value.as_tuple().exponent), 0)


def _digits(value: Decimal) -> int:
    """Return how many of them it needs."""
    return len(f"{value:f}".partition(".")[2].rstrip("0"))


def _field(value: object) -> object:
    if isinstance(value, (list, dict)):
        return json.dumps(_plain(value), ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return _plain(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON can say it."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return _text(value)


def _text(value: object) -> object:
    if isinstance(value, Real) and math.isfinite(value):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return text_of(value)
    if isinstance(value, datetime):
        return instant(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
