"""Answers on paper: a table for people, JSON and CSV for machines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from numbers import Real
from typing import Any, Final, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

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

    A table that is wider than the terminal is printed row by row, a column a line.
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


def shown(value: object) -> str:
    """Return a value as people read it, on one line, without what a terminal obeys."""
    match value:
        case None:
            return ""
        case Decimal():
            return _decimal(value)
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
        case bool():
            return str(value).lower()
        case list() | dict():
            text = json.dumps(_plain(value), ensure_ascii=False)
        case _:
            text = str(_plain(value))
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _print_table(answer: Answer, out: TextIO, width: int | None) -> None:
    rows = [tuple(map(shown, row)) for row in answer.rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, kind in answer.columns:
        is_number = kind.startswith(_NUMBERS)
        table.add_column(Text(name), justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    needed = _width(table)
    if width is not None and needed > width:
        _print_rows([name for name, _ in answer.columns], rows, out)
    else:
        Console(file=out, width=max(needed, 1), highlight=False).print(table)
    out.write(f"{len(rows)} row{'' if len(rows) == 1 else 's'}\n")


def _print_rows(names: Sequence[str], rows: Sequence[tuple[str, ...]], out: TextIO) -> None:
    size = max(map(len, names))
    for row in rows:
        for name, value in zip(names, row, strict=True):
            out.write(f"{name:<{size}}  {value}\n".rstrip() + "\n")
        out.write("\n")


def _width(table: Table) -> int:
    console = Console(width=1_000_000)
    return Measurement.get(console, console.options, table).maximum


def _decimal(value: Decimal) -> str:
    """Return a decimal whole, without zeros at its end beyond those of cents."""
    text = f"{value:f}"
    head, point, digits = text.partition(".")
    kept = digits.rstrip("0").ljust(min(len(digits), MONEY_DIGITS), "0")
    return f"{head}{point}{kept}" if kept else head


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
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
