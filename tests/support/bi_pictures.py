"""Pictures of what the first queries of pages on BI answer, from a demo that stays up.

`python -m tests.support.bi_pictures` in its shell (`. .psastream/demo/env.sh`) writes all of them.
Those on the read model are asked as `psastream_bi`, the page on DuckDB on an export.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import psycopg
from rich import box
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from psastream.cli import app
from tests.support.bi_pages import statements
from tests.support.catalogue_pages import DOCS

IMAGES: Final = DOCS / "images"
ON_FILES: Final = "duckdb.md"
PICTURED: Final = (ON_FILES, "excel.md", "metabase.md", "power-bi.md")
WIDTH: Final = 112
_FETCHED_FONTS: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def image(page: str) -> Path:
    """The picture of a page."""
    return IMAGES / f"bi-{Path(page).stem}.svg"


def pictures(read_model: str) -> Iterator[tuple[str, str]]:
    """Yield page and picture, an SVG document that fetches nothing.

    `read_model`: its address. The environment says where the broker is.
    """
    with psycopg.connect(read_model) as connection:
        connection.execute("SET ROLE psastream_bi")
        for page in PICTURED:
            query = statements(page)[0]
            if page == ON_FILES:
                yield page, drawn(page, *_from_files(query))
            else:
                answer = connection.execute(query)
                names = [column.name for column in answer.description or ()]
                yield page, drawn(page, names, answer.fetchall())


def drawn(page: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Draw an answer as a table: amounts and hours at two digits, ratios at four."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, name in enumerate(names):
        is_number = any(isinstance(row[number], Decimal | float | int) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(_said, row))
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True)
    console.print(table)
    title = f"the first query of docs/bi/{page}, beside the demo"
    return _FETCHED_FONTS.sub("", console.export_svg(title=title, unique_id=Path(page).stem))


def _said(value: Any) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return f"{value:,.2f}"
        case float():
            return f"{value:.4f}"
        case _:
            return str(value)


def _from_files(query: str) -> tuple[list[str], list[Any]]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        done = CliRunner().invoke(app, ["export", "--format", "parquet", "exported"])
        assert done.exit_code == 0, done.output
        with duckdb.connect() as database:
            answer = database.execute(query)
            return [column[0] for column in answer.description or ()], answer.fetchall()


def main() -> None:
    for page, picture in pictures(os.environ["PSASTREAM_READ_MODEL_URL"]):
        image(page).write_text(picture)


if __name__ == "__main__":
    main()
