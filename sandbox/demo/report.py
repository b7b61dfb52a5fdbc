"""Prints what an audit found."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich.console import Console
from rich.table import Table

from sandbox.books.audit import Audit

DIFFERENCES_SHOWN: Final = 40


def print_audit(console: Console, audit: Audit) -> None:
    """Print the rows compared by table, the first differences, and the verdict."""
    differences = Counter(each.table for each in audit.differences)
    table = Table("table", "rows", "differences", title="psastream against the books")
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, rows in audit.rows_compared.items():
        table.add_row(name, f"{rows:,}", str(differences[name] or "—"))
    console.print(table)
    for each in audit.differences[:DIFFERENCES_SHOWN]:
        console.print(f"  {each}", markup=False, highlight=False, soft_wrap=True)
    if len(audit.differences) > DIFFERENCES_SHOWN:
        console.print(f"  … and {len(audit.differences) - DIFFERENCES_SHOWN} more")
    console.print(verdict(audit), highlight=False)


def verdict(audit: Audit) -> str:
    """Return the last line of a demo."""
    count = len(audit.differences)
    return f"books differ: {count} differences" if count else "all books agree"
