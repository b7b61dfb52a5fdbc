"""Prints what an audit found, and the verdict."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich.console import Console
from rich.text import Text

from sandbox.books.audit import Audit
from sandbox.demo.table import table_lines

DIFFERENCES_SHOWN: Final = 40


def print_audit(console: Console, audit: Audit) -> None:
    """Print how much was compared, each table that differs, the first differences; the verdict."""
    rows = sum(audit.rows_compared.values())
    tables = len(audit.rows_compared)
    console.print(Text("Compared with the books of the firm's own systems", style="bold"))
    found = f"{len(audit.differences):,} differences" if audit.differences else "no difference"
    console.print(f"{rows:,} rows in {tables} tables: {found}", highlight=False)
    differences = Counter(each.table for each in audit.differences)
    if differences:
        lines = [
            (name, f"{audit.rows_compared[name]:,}", f"{count:,}")
            for name, count in differences.items()
        ]
        for line in table_lines(("table", "rows", "differences"), lines):
            console.print(line, soft_wrap=True)
    for each in audit.differences[:DIFFERENCES_SHOWN]:
        console.print(f"  {each}", markup=False, highlight=False, soft_wrap=True)
    if len(audit.differences) > DIFFERENCES_SHOWN:
        console.print(f"  … and {len(audit.differences) - DIFFERENCES_SHOWN} more")
    console.print()
    console.print(Text(verdict(audit), style="bold"))


def verdict(audit: Audit) -> str:
    """Return the verdict of a demo."""
    count = len(audit.differences)
    return f"books differ: {count} differences" if count else "all books agree"
