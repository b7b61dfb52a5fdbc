"""What to try once a demo is over: commands to copy, which work as they are printed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console

from psastream.called import called, from_here
from psastream.query.session import WITHOUT_DUCKDB
from runtime.extras import install_hint

ENVIRONMENT_FILE: Final = "env.sh"
STAYS_UP: Final = "everything stays up; Ctrl-C ends it"
MARGINS: Final = """"
    SELECT project, month, margin, currency
    FROM margin_by_project_month ORDER BY ALL\""""
KEPT: Final = (
    f"psastream sql {MARGINS}",
    "psastream exceptions list",
    "psastream status",
)
"""What works in another shell while everything stays up, with `ENVIRONMENT_FILE` read.

No comments stand beside commands that are to be copied: zsh takes them for arguments.
"""
ENDED: Final = (
    f"psastream sql --from TABLES {MARGINS}",
    """psastream sql --from TABLES "
    SELECT project, amount, currency, hint FROM exceptions\"""",
    "psastream sql --from TABLES",
)
"""What works once nothing runs any more; TABLES stands for the folder of the tables."""


def write_environment(directory: Path, variables: Mapping[str, str]) -> Path:
    """Write a file for `.` of a shell: it finds `psastream`, and that finds what stays up.

    Credentials are among the variables: the file is for its owner alone.
    """
    scripts = shlex.quote(str(Path(sys.executable).parent))
    lines = [f'export PATH={scripts}:"$PATH"']
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    path = directory / ENVIRONMENT_FILE
    path.unlink(missing_ok=True)  # the mode counts only for a file that is created
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    return path


def print_next(console: Console, tables: Path) -> None:
    """Print three commands that ask the tables a demo has left, with nothing running."""
    _print(console, "Try next: the margins, what waits for a person, what else can be asked")
    for command in ENDED:
        program = command.replace("psastream", called(), 1)
        _print(console, f"  {program.replace('TABLES', from_here(tables))}")
    _print(console, "The tables above are files in Parquet; demo --keep leaves everything running.")


def print_next_without_sql(console: Console) -> None:
    """Print what asking needs, where that is not installed."""
    _print(console, f"{WITHOUT_DUCKDB}: no tables were kept\n  try: {install_hint('sql')}")


def print_kept(console: Console, environment: Path, addresses: Mapping[str, str]) -> None:
    """Print three commands for another shell, and where everything is."""
    _print(console, STAYS_UP)
    _print(console, "Try next: the margins, what waits for a person, how all that runs is;")
    _print(console, "in another shell:")
    _print(console, f"  . {shlex.quote(str(environment))}")
    for command in KEPT:
        _print(console, f"  {command}")
    _print(console, "Addresses:")
    for name, address in addresses.items():
        _print(console, f"  {name:<20}{address}")


def _print(console: Console, text: str) -> None:
    """Print a text as it is, without breaks: to be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
